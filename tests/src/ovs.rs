//! A real Open vSwitch in the private machine, with its datapath in user space, so that no module of the
//! kernel is needed; and stand-ins for `ovs-vsctl`, which lie, hang or kill.
//!
//! ```ignore
//! #[test]
//! fn a_port_is_made() {
//!     World::enter_with_nic(|world| {
//!         let ovs = Ovs::start(world);
//!         ovs.bridge("ovsbr0");
//!         world.usernet("alice veth ovsbr0 10\n");
//!         let nic = world.create(ALICE, &world.container(ALICE), "veth", "ovsbr0", &[]).nic();
//!         assert_eq!(ovs.ports("ovsbr0"), [nic.host_name]);
//!         ovs.stand_in(&[("add-port", Does::Hang)]);
//!     });
//! }
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{World, bind, run};

/// Where it is to be found.
pub const OVS_VSCTL: &str = "/usr/bin/ovs-vsctl";

/// Belongs to this module: the real `ovs-vsctl`, the stand-in, its notes.
const OURS: &str = "/run/stand-in";
const REAL: &str = "/run/stand-in/ovs-vsctl";
const SCRIPT: &str = "/run/stand-in/script";

/// In a script: does what it is asked for.
const DO: &str = "exec /run/stand-in/ovs-vsctl \"$@\"\n";

/// A running database server and switch. They end with the value.
#[derive(Debug)]
pub struct Ovs<'a> {
    world: &'a World,
    database: Child,
    switch: Child,
}

/// What a stand-in does instead of what it is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Does {
    /// Goes on for ever, deaf to what can be ignored.
    Hang,
    /// The first to come hangs; the others do what they are asked for.
    HangOnce,
    /// Leaves a process behind that keeps its standard streams, and exits 0.
    LeaveChild,
    /// Nothing, and exits 0.
    Nothing,
    /// Nothing, and exits 1.
    Fail,
    /// What it is asked for, and exits 1.
    DoThenFail,
    /// Dies of a signal.
    Crash,
    /// Kills its parent by SIGKILL, and does nothing.
    KillParent,
    /// What it is asked for, and kills its parent by SIGKILL.
    DoThenKillParent,
    /// Prints this on both streams, and exits 0.
    Say(&'static str),
    /// Prints this on both streams, and does what it is asked for.
    SayThenDo(&'static str),
    /// Prints a gigabyte on both streams, and does what it is asked for.
    Gigabyte,
}

/// How a stand-in was called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// The path that was executed.
    pub path: String,
    /// The arguments after the program's name.
    pub args: Vec<String>,
    /// `NAME=VALUE`
    pub environment: Vec<String>,
    /// Open descriptors, and what they are.
    pub descriptors: BTreeMap<u32, String>,
    /// The fields of `/proc/PID/status`.
    pub status: BTreeMap<String, String>,
    /// The soft limits of `/proc/PID/limits`.
    pub limits: BTreeMap<String, String>,
    /// Its working directory.
    pub directory: String,
}

impl<'a> Ovs<'a> {
    /// Starts both in this machine, on an empty database.
    ///
    /// # Panics
    /// They do not get ready.
    #[must_use]
    pub fn start(world: &'a World) -> Self {
        for directory in ["/run/openvswitch", OURS, &format!("{OURS}/calls")] {
            fs::create_dir(directory).expect("create");
        }
        run(Command::new("cp").args([OVS_VSCTL, REAL]));
        run(Command::new("ovsdb-tool").args([
            "create",
            "/run/openvswitch/conf.db",
            "/usr/share/openvswitch/vswitch.ovsschema",
        ]));
        let database = daemon(&[
            "ovsdb-server",
            "/run/openvswitch/conf.db",
            "--remote=punix:/run/openvswitch/db.sock",
            "--log-file=/run/openvswitch/ovsdb-server.log",
        ]);
        let switch = daemon(&[
            "ovs-vswitchd",
            "unix:/run/openvswitch/db.sock",
            "--disable-system",
            "--log-file=/run/openvswitch/ovs-vswitchd.log",
        ]);
        let ovs = Self { world, database, switch };
        let start = Instant::now();
        while !ovs.try_vsctl(&["--no-wait", "init"]) {
            assert!(start.elapsed() < Duration::from_secs(10), "ovsdb-server is not getting ready");
            std::thread::sleep(Duration::from_millis(5));
        }
        ovs
    }

    /// Makes a bridge, which is up.
    pub fn bridge(&self, name: &str) {
        self.vsctl(&["add-br", name, "--", "set", "bridge", name, "datapath_type=netdev"]);
        self.world.ip(&["link", "set", name, "up"]);
    }

    /// The ports of a bridge, but its own. They may have lost their interface.
    #[must_use]
    pub fn ports(&self, bridge: &str) -> Vec<String> {
        self.vsctl(&["list-ports", bridge]).lines().map(str::to_owned).collect()
    }

    /// The number of a port in its bridge. None: it does not work.
    #[must_use]
    pub fn ofport(&self, port: &str) -> Option<u16> {
        let number = self.vsctl(&["get", "interface", port, "ofport"]);
        number.trim().parse().ok().filter(|number| *number > 0)
    }

    /// Runs the real `ovs-vsctl`, whatever stands in for it. Returns what it prints.
    ///
    /// # Panics
    /// It fails, or takes longer than 10 seconds.
    pub fn vsctl(&self, args: &[&str]) -> String {
        let output = Command::new(REAL).arg("--timeout=10").args(args).output().expect("run ovs-vsctl");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ovs-vsctl {args:?}: {}: {errors}", output.status);
        String::from_utf8(output.stdout).expect("text")
    }

    /// The same, if failing is no surprise: was it successful?
    pub fn try_vsctl(&self, args: &[&str]) -> bool {
        let mut command = Command::new(REAL);
        let quiet = command.arg("--timeout=10").args(args).stdout(Stdio::null()).stderr(Stdio::null());
        quiet.status().expect("run ovs-vsctl").success()
    }

    /// Sends a signal to the switch.
    pub fn signal_switch(&self, signal: Signal) {
        kill(pid_of(&self.switch), signal).expect("kill");
    }

    /// Sends a signal to the database server.
    pub fn signal_database(&self, signal: Signal) {
        kill(pid_of(&self.database), signal).expect("kill");
    }

    /// Puts a stand-in in the place of `ovs-vsctl`, or of the last one. It notes how it is called, then does
    /// what the first rule says whose words are all in its arguments, in this order; if there is none, what
    /// it is asked for.
    pub fn stand_in(&self, rules: &[(&str, Does)]) {
        let mut script = PREAMBLE.to_owned();
        for (words, does) in rules {
            // " a"*" b "* fits " a b ", as well as " a x b ".
            let words = words.split(' ').map(|word| format!("*' {word}'")).collect::<String>();
            let action = does.script();
            write!(script, "case \" $* \" in {words}' '*)\n{action}\nesac\n").expect("write");
        }
        script.push_str(DO);
        let mounted = Path::new(SCRIPT).exists();
        fs::write(format!("{SCRIPT}.new"), script).expect("write");
        // Not written by us: what one of the other threads starts now would have the file open, and it could
        // not be run.
        run(Command::new("cp").args(["--no-preserve=mode", &format!("{SCRIPT}.new"), SCRIPT]));
        run(Command::new("chmod").args(["755", SCRIPT]));
        if !mounted {
            bind(SCRIPT, OVS_VSCTL);
        }
    }

    /// From now on there is no `ovs-vsctl`; everything else of `/usr/bin` is there.
    pub fn remove_vsctl(&self) {
        let (all, but_one) = (format!("{OURS}/usr-bin"), format!("{OURS}/bin"));
        fs::create_dir(&all).expect("create");
        fs::create_dir(&but_one).expect("create");
        run(Command::new("mount").args(["-n", "--rbind", "/usr/bin", &all]));
        for entry in fs::read_dir("/usr/bin").expect("read") {
            let name = entry.expect("read").file_name();
            if Path::new("/usr/bin").join(&name) != Path::new(OVS_VSCTL) {
                symlink(Path::new(&all).join(&name), Path::new(&but_one).join(&name)).expect("symlink");
            }
        }
        bind(&but_one, "/usr/bin");
    }

    /// The calls of stand-ins until now, in their order, but those that are still being noted.
    ///
    /// # Panics
    /// A note cannot be understood.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.notes().into_iter().map(|(_, call)| call).collect()
    }

    /// The processes of stand-ins that are still there, and what they have left behind.
    #[must_use]
    pub fn still_there(&self) -> Vec<i32> {
        let left = fs::read_to_string(format!("{OURS}/left")).unwrap_or_default();
        let left = left.lines().map(|pid| pid.parse().expect("a pid"));
        let pids = self.notes().into_iter().map(|(pid, _)| pid).chain(left);
        // Numbers of processes come again. Nobody else is in this mount namespace.
        let ours = fs::read_link("/proc/thread-self/ns/mnt").expect("ns/mnt");
        pids.filter(|pid| fs::read_link(format!("/proc/{pid}/ns/mnt")).is_ok_and(|theirs| theirs == ours))
            .collect()
    }

    /// Waits until the stand-ins have been called so often with this word.
    ///
    /// # Panics
    /// They are not.
    pub fn wait_for_calls(&self, word: &str, count: usize) {
        let start = Instant::now();
        while self.calls().iter().filter(|call| call.args.iter().any(|arg| arg == word)).count() < count {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "ovs-vsctl {word} was not called {count} times"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn notes(&self) -> Vec<(i32, Call)> {
        let mut notes = vec![];
        for entry in fs::read_dir(format!("{OURS}/calls")).expect("read") {
            let path = entry.expect("read").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if !name.starts_with('.') {
                notes.push((name, path));
            }
        }
        notes.sort();
        let pid_of = |name: &str| name.rsplit_once('.').expect("time.pid").1.parse().expect("a pid");
        notes.into_iter().map(|(name, path)| (pid_of(&name), Call::read(&path))).collect()
    }
}

impl Drop for Ovs<'_> {
    fn drop(&mut self) {
        for pid in self.still_there() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        for daemon in [&mut self.switch, &mut self.database] {
            drop(daemon.kill());
            drop(daemon.wait());
        }
    }
}

impl Does {
    fn script(self) -> String {
        const DO_NOT_END: &str = "trap '' HUP INT QUIT PIPE ALRM TERM USR1 USR2; exec /usr/bin/sleep 1000";
        match self {
            Self::Hang => DO_NOT_END.to_owned(),
            Self::HangOnce => {
                format!("if /usr/bin/mkdir {OURS}/once 2>/dev/null; then {DO_NOT_END}; fi\n{DO}")
            }
            Self::LeaveChild => format!("/usr/bin/sleep 1000 &\necho $! >>{OURS}/left; exit 0"),
            Self::Nothing => "exit 0".to_owned(),
            Self::Fail => "echo 'ovs-vsctl: it fails' >&2; exit 1".to_owned(),
            Self::DoThenFail => format!("{REAL} \"$@\"; exit 1"),
            Self::Crash => "kill -SEGV $$".to_owned(),
            Self::KillParent => "kill -KILL $PPID; exit 0".to_owned(),
            Self::DoThenKillParent => format!("{REAL} \"$@\"; kill -KILL $PPID; exit 0"),
            Self::Say(text) => format!("echo '{text}'; echo '{text}' >&2; exit 0"),
            Self::SayThenDo(text) => format!("echo '{text}'; echo '{text}' >&2; {DO}"),
            Self::Gigabyte => {
                let print = "/usr/bin/head -c 1000000000 /dev/zero | /usr/bin/tr '\\0' 1";
                format!("{print}; {print} >&2; {DO}")
            }
        }
    }
}

/// What it looks at is what it was given: the shell keeps its script in a descriptor of a high number,
/// ignores no signal and, with `-p`, remains root if it is that by its effective uid alone. For a command
/// that is not in parentheses it may redirect its own descriptors for a moment, and block signals. Each note
/// appears under its name when it is whole.
const PREAMBLE: &str = r#"#!/bin/sh -p
name=$(/usr/bin/date +%s%N).$$
note=/run/stand-in/calls/.$name
/usr/bin/mkdir -m 700 "$note"
(/usr/bin/cat /proc/$$/cmdline >"$note/cmdline")
(/usr/bin/cat /proc/$$/environ >"$note/environ")
(/usr/bin/cat /proc/$$/status >"$note/status")
(/usr/bin/cat /proc/$$/limits >"$note/limits")
(/usr/bin/readlink /proc/$$/cwd >"$note/cwd")
(/usr/bin/find /proc/$$/fd -type l -printf '%f %l\n' >"$note/fd")
/usr/bin/mv "$note" "/run/stand-in/calls/$name"
"#;

impl Call {
    fn read(note: &Path) -> Self {
        let text = |name: &str| match fs::read_to_string(note.join(name)) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => panic!("{name}: {error}"),
        };
        let words = |text: String| text.split_terminator('\0').map(str::to_owned).collect::<Vec<_>>();
        // The kernel has put the interpreter and the path of the script in the place of the program's name.
        let mut args = words(text("cmdline"));
        assert_eq!(args[..2], ["/bin/sh", "-p"]);
        args.drain(..2);
        let path = args.remove(0);
        let mut descriptors = BTreeMap::new();
        for line in text("fd").lines() {
            let (number, what) = line.split_once(' ').expect("a number");
            // The script itself; and the directory, if the shell should hold it open while it expands its
            // name.
            if !what.is_empty() && what != OVS_VSCTL && what != SCRIPT && !what.ends_with("/fd") {
                descriptors.insert(number.parse().expect("a number"), what.to_owned());
            }
        }
        let mut limits = BTreeMap::new();
        for line in text("limits").lines().skip(1) {
            let (name, values) = line.split_at(26);
            let soft = values.split_whitespace().next().expect("a limit");
            limits.insert(name.trim().to_owned(), soft.to_owned());
        }
        Self {
            path,
            args,
            environment: words(text("environ")),
            descriptors,
            status: text("status").lines().map(fields).collect(),
            limits,
            directory: text("cwd").trim_end().to_owned(),
        }
    }
}

fn fields(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').expect("a name");
    (name.to_owned(), value.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// A daemon in the foreground, which dies with the thread that runs the test, whatever that dies of.
fn daemon(command: &[&str]) -> Child {
    let mut child = Command::new("/usr/bin/setpriv");
    child.args(["--pdeathsig", "KILL", "--"]).args(command).args(["--pidfile", "-vconsole:off"]);
    child.env_clear().env("PATH", "/usr/sbin:/usr/bin").current_dir("/");
    child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    child.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("a pid"))
}
