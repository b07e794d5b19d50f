//! The machine that a test sees: this one, with an `/etc`, `/run`, `/home`, `/tmp` and network of its own, three
//! unprivileged users, and the helpers under test installed as the host's. Nothing on the real machine changes.
//!
//! ```ignore
//! #[test]
//! fn a_grant_is_written() {
//!     World::enter(|world| {
//!         let target = world.target(ALICE);
//!         world.newuidmap(ALICE, &[&target.pid(), "0", "600000", "65536"]).succeeds();
//!         assert_eq!(target.uid_map(), "0 600000 65536");
//!     });
//! }
//! ```
//!
//! With `UNDER_TEST=theirs` the helpers are the C ones of this host's `uidmap` package.

use std::fmt;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

mod cgroup;
mod dice;
mod held;
#[cfg(target_arch = "x86_64")]
mod intruder;
mod nic;
pub mod ovs;
pub mod packets;

pub use cgroup::Cgroup;
pub use dice::Dice;
pub use held::{Held, Place};
#[cfg(target_arch = "x86_64")]
pub use intruder::{Argument, Fake, Intruder, LSM_GET_SELF_ATTR, UNKNOWN_TO_STRACE};
pub use nic::{Container, LXC_USER_NIC, Link, NicAnswer, Record, State};

/// Somebody who may log in here. His group has the number of his uid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct User {
    /// Login name.
    pub name: &'static str,
    /// Uid, and gid of his login group.
    pub id: u32,
}

/// Holds `600000:65536` of both files.
pub const ALICE: User = User { name: "alice", id: 52001 };
/// Holds `700000:65536` of both files.
pub const BOB: User = User { name: "bob", id: 52002 };
/// Holds nothing.
pub const CAROL: User = User { name: "carol", id: 52003 };
/// Has no account.
pub const NOBODY_AT_ALL: User = User { name: "", id: 52999 };
/// The administrator.
pub const ROOT: User = User { name: "root", id: 0 };

/// How a helper is installed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Install {
    /// `chmod 4755`
    SetUid,
    /// `setcap cap_setuid=ep`, `cap_setgid=ep`
    FileCapabilities,
    /// Both.
    Both,
    /// Neither.
    Plain,
}

/// A private machine. See the module.
#[derive(Debug)]
pub struct World {
    _private: (),
}

const PRIVATE: &str = "/run/world";

/// Are the helpers under test the C ones?
#[must_use]
pub fn theirs() -> bool {
    match std::env::var("UNDER_TEST").as_deref() {
        Ok("theirs") => true,
        Ok("ours") | Err(_) => false,
        Ok(other) => panic!("UNDER_TEST is ours or theirs, not {other}"),
    }
}

/// Linux 5.13 is the first that has it.
#[must_use]
pub fn kernel_has_landlock() -> bool {
    kernel() >= (5, 13)
}

/// Linux 6.2 is the first that renames an interface that is UP.
#[must_use]
pub fn kernel_renames_what_is_up() -> bool {
    kernel() >= (6, 2)
}

/// Linux 6.3 is the first that limits the multicast groups of a port.
#[must_use]
pub fn kernel_limits_groups() -> bool {
    kernel() >= (6, 3)
}

/// The line of nsgate.ini that limits them, where the kernel can.
#[must_use]
pub fn limit_of_groups(most: u32) -> String {
    if kernel_limits_groups() { format!("max-multicast-groups = {most}\n") } else { String::new() }
}

fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("osrelease");
    let mut numbers = release.split(['.', '-']).map(|number| number.parse().expect("a number"));
    (numbers.next().expect("one"), numbers.next().expect("another"))
}

/// The top of the source tree.
#[must_use]
pub fn tree() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ is in a workspace").to_path_buf()
}

impl World {
    /// Runs a test in a machine of its own. Needs root.
    ///
    /// # Panics
    /// If the test panics, or the machine cannot be made: nothing is skipped.
    pub fn enter(test: impl FnOnce(&Self) + Send) {
        Self::enter_a(None, false, test);
    }

    /// The same in a machine that has `lxc-user-nic`, too, and a `/sys` of its own network.
    ///
    /// # Panics
    /// As [`World::enter`].
    pub fn enter_with_nic(test: impl FnOnce(&Self) + Send) {
        Self::enter_a(None, true, test);
    }

    /// One of the two, whose `/etc` and programs are in this empty directory and not in memory: on a disk, as a host has them.
    ///
    /// # Panics
    /// As [`World::enter`].
    pub fn enter_on_disk(disk: &Path, with_nic: bool, test: impl FnOnce(&Self) + Send) {
        Self::enter_a(Some(disk), with_nic, test);
    }

    fn enter_a(disk: Option<&Path>, with_nic: bool, test: impl FnOnce(&Self) + Send) {
        // Namespaces belong to a thread. What a thread starts inherits them.
        std::thread::scope(|scope| {
            let outcome = scope
                .spawn(|| {
                    let world = Self::make(disk, with_nic);
                    test(&world);
                })
                .join();
            if let Err(panic) = outcome {
                std::panic::resume_unwind(panic);
            }
        });
    }

    fn make(disk: Option<&Path>, with_nic: bool) -> Self {
        let mut names = vec!["newuidmap", "newgidmap", "newuidmap-nss", "newgidmap-nss"];
        if with_nic {
            names.extend(nic::BINARIES);
        }
        let binaries = names.into_iter().map(|name| {
            let path = if !theirs() {
                tree().join("target/release").join(name)
            } else if nic::BINARIES.contains(&name) {
                PathBuf::from(LXC_USER_NIC)
            } else {
                Path::new("/usr/bin").join(name.trim_end_matches("-nss"))
            };
            let bytes = fs::read(&path).unwrap_or_else(|error| {
                panic!("{}: {error}; run: cargo build --release, and tests/install-tools", path.display())
            });
            (name, bytes)
        });
        let binaries = binaries.collect::<Vec<_>>();
        let launch = fs::read(tree().join("tests/launch.py")).expect("tests/launch.py");
        // What is no helper is ours in any case.
        let ordinary = ["nsgate", "getsubids"].map(|name| {
            let path = tree().join("target/release").join(name);
            (name, fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        });

        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).expect("tests need root and namespaces");
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("make / private");
        let tmpfs = |on: &str, mode: &str| {
            mount(Some("tmpfs"), on, Some("tmpfs"), MsFlags::empty(), Some(mode)).expect("mount tmpfs");
        };
        tmpfs("/run", "mode=755");
        for directory in ["/run/lock", PRIVATE] {
            fs::create_dir(directory).expect("create");
        }
        if let Some(disk) = disk {
            bind(disk.to_str().expect("a path of text"), PRIVATE);
        }
        for directory in ["/run/world/bin", "/run/world/etc"] {
            fs::create_dir(directory).expect("create");
        }
        run(Command::new("cp").args(["-a", "/etc/.", "/run/world/etc"]));
        bind(&format!("{PRIVATE}/etc"), "/etc");
        tmpfs("/home", "mode=755");
        tmpfs("/tmp", "mode=1777");

        let world = Self { _private: () };
        world.write_private("launch.py", &launch);
        for (name, bytes) in binaries.into_iter().chain(ordinary) {
            world.write_private(&format!("bin/{name}"), &bytes);
        }
        for helper in ["newuidmap", "newgidmap"] {
            bind(&format!("{PRIVATE}/bin/{helper}"), &format!("/usr/bin/{helper}"));
        }
        if !theirs() && Path::new("/usr/libexec").is_dir() {
            // The twins' directory does not exist on the host: a tmpfs over its parent keeps the host clean.
            world.overlay_libexec(with_nic);
        } else if with_nic {
            bind(&format!("{PRIVATE}/bin/{}", nic::BINARIES[0]), LXC_USER_NIC);
        }
        if with_nic {
            world.prepare_for_nics();
        }
        world.install(Install::SetUid);

        for user in [ALICE, BOB, CAROL] {
            world.append("/etc/passwd", &format!("{0}:x:{1}:{1}::/home/{0}:/bin/sh\n", user.name, user.id));
            world.append("/etc/group", &format!("{0}:x:{1}:\n", user.name, user.id));
            let home = format!("/home/{}", user.name);
            fs::create_dir(&home).expect("home");
            chown(&home, Some(user.id), Some(user.id)).expect("home");
        }
        for file in ["/etc/subuid", "/etc/subgid"] {
            world.write(file, "alice:600000:65536\nbob:700000:65536\n");
        }
        world
    }

    fn overlay_libexec(&self, with_nic: bool) {
        fs::create_dir(format!("{PRIVATE}/libexec")).expect("create");
        run(Command::new("cp").args(["-a", "/usr/libexec/.", "/run/world/libexec"]));
        fs::create_dir_all(format!("{PRIVATE}/libexec/nsgate")).expect("create");
        for twin in ["newuidmap-nss", "newgidmap-nss"] {
            let place = format!("{PRIVATE}/libexec/nsgate/{twin}");
            fs::write(&place, "").expect("create");
            bind(&format!("{PRIVATE}/bin/{twin}"), &place);
        }
        if with_nic {
            fs::create_dir_all(format!("{PRIVATE}/libexec/lxc")).expect("create");
            for (name, place) in
                nic::BINARIES.into_iter().zip(["lxc/lxc-user-nic", "nsgate/lxc-user-nic-nss"])
            {
                let place = format!("{PRIVATE}/libexec/{place}");
                fs::write(&place, "").expect("create");
                bind(&format!("{PRIVATE}/bin/{name}"), &place);
            }
        }
        run(Command::new("mount").args(["-n", "--rbind", "/run/world/libexec", "/usr/libexec"]));
    }

    /// Installs the helpers, and their twins, in another way than set-user-ID root.
    pub fn install(&self, how: Install) {
        for name in ["newuidmap", "newgidmap", "newuidmap-nss", "newgidmap-nss"] {
            let path = format!("{PRIVATE}/bin/{name}");
            let mode = if matches!(how, Install::SetUid | Install::Both) { 0o4755 } else { 0o755 };
            // chmod and chown drop capabilities, so they come first.
            let _ = Command::new("setcap").args(["-q", "-r", &path]).stderr(Stdio::null()).status();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            if matches!(how, Install::FileCapabilities | Install::Both) {
                let capability = if name.contains("uid") { "cap_setuid=ep" } else { "cap_setgid=ep" };
                run(Command::new("setcap").args([capability, &path]));
            }
        }
    }

    /// Takes the twins away, as on a host where only the helpers were installed.
    pub fn remove_twins(&self) {
        for twin in ["newuidmap-nss", "newgidmap-nss"] {
            for mounted_on in ["/usr/libexec", "/run/world/libexec"] {
                run(Command::new("umount").args(["-n", &format!("{mounted_on}/nsgate/{twin}")]));
            }
            fs::remove_file(format!("/usr/libexec/nsgate/{twin}")).expect("remove");
        }
    }

    /// Takes `ovs-vsctl` away, as on a host without Open vSwitch.
    pub fn without_open_vswitch(&self) {
        let place = format!("{PRIVATE}/overlay-bin");
        for part in ["upper", "work"] {
            fs::create_dir_all(format!("{place}/{part}")).expect("create");
        }
        fs::set_permissions(format!("{place}/upper"), fs::Permissions::from_mode(0o755)).expect("chmod");
        run(Command::new("mknod").args([&format!("{place}/upper/ovs-vsctl"), "c", "0", "0"]));
        let options = format!("lowerdir=/usr/bin,upperdir={place}/upper,workdir={place}/work");
        run(Command::new("mount").args(["-n", "-t", "overlay", "-o", &options, "overlay", "/usr/bin"]));
        for helper in ["newuidmap", "newgidmap"] {
            bind(&format!("{PRIVATE}/bin/{helper}"), &format!("/usr/bin/{helper}"));
        }
        assert!(!Path::new(ovs::OVS_VSCTL).exists());
    }

    /// Replaces a file of the private machine.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let new = format!("{path}.new");
        fs::write(&new, text).expect("write");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o644)).expect("chmod");
        fs::rename(&new, path).expect("rename");
    }

    /// Adds to a file of the private machine.
    pub fn append(&self, path: &str, text: &str) {
        let mut whole = fs::read(path).expect("read");
        whole.extend_from_slice(text.as_bytes());
        self.write(path, whole);
    }

    fn write_private(&self, name: &str, bytes: &[u8]) {
        let path = format!("{PRIVATE}/{name}");
        fs::write(&path, bytes).expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
    }

    /// A command to be run by this user: his uid and group, no other group, a short environment, an accessible
    /// working directory.
    #[must_use]
    pub fn command(&self, user: User, program: &str) -> Command {
        self.command_as(user.id, user.id, program)
    }

    /// The same with any uid and gid.
    #[must_use]
    pub fn command_as(&self, uid: u32, gid: u32, program: &str) -> Command {
        let mut command = Command::new(program);
        command.uid(uid).gid(gid).env_clear().env("PATH", "/usr/bin:/usr/sbin").current_dir("/");
        command.stdin(Stdio::null());
        command
    }

    /// A command that does something odd to its own process before it becomes `program`: `tests/launch.py` has the
    /// list, for example `["close:0", "rlimit:NOFILE=3"]`.
    #[must_use]
    pub fn launch(&self, user: User, oddities: &[&str], program: &str) -> Command {
        let mut command = self.command(user, "/usr/bin/python3");
        command.args(["-I", "/run/world/launch.py"]).args(oddities).arg("--").arg(program);
        command
    }

    /// Runs `newuidmap` as this user.
    pub fn newuidmap(&self, user: User, args: &[&str]) -> Answer {
        self.run(self.command(user, "/usr/bin/newuidmap").args(args))
    }

    /// Runs `newgidmap` as this user.
    pub fn newgidmap(&self, user: User, args: &[&str]) -> Answer {
        self.run(self.command(user, "/usr/bin/newgidmap").args(args))
    }

    /// A command that runs our `nsgate` as this user.
    #[must_use]
    pub fn nsgate(&self, user: User) -> Command {
        self.command(user, &format!("{PRIVATE}/bin/nsgate"))
    }

    /// A command that runs our `getsubids` as this user.
    #[must_use]
    pub fn getsubids(&self, user: User) -> Command {
        self.command(user, &format!("{PRIVATE}/bin/getsubids"))
    }

    /// Runs a command to its end, with a limit of 20 seconds.
    ///
    /// # Panics
    /// It cannot be started, or does not end.
    pub fn run(&self, command: &mut Command) -> Answer {
        self.run_within(Duration::from_secs(20), command)
    }

    /// The same with another limit, for what is slow by design.
    ///
    /// # Panics
    /// It cannot be started, or does not end.
    pub fn run_within(&self, limit: Duration, command: &mut Command) -> Answer {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
        let (done, ended) = std::sync::mpsc::channel::<()>();
        let watchdog = std::thread::spawn(move || {
            if ended.recv_timeout(limit) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
                return true;
            }
            false
        });
        let output = child.wait_with_output().expect("wait");
        drop(done);
        let hung = watchdog.join().expect("watchdog");
        assert!(!hung, "{command:?} did not end in {limit:?}");
        Answer::of(&output)
    }

    /// A command under `strace`, run as this user, who has an account. The tracer is root, so that set-id files give
    /// their privilege all the same. `options` has to say where the trace goes (`-o FILE`).
    #[must_use]
    pub fn strace(&self, user: User, options: &[&str], program: &str) -> Command {
        // Whoever started the tests may ignore signals (nohup does); the program is to have them as they are by default.
        let mut command = self.command(ROOT, "/usr/bin/env");
        command.args(["--default-signal", "/usr/bin/strace"]).args(options).args(["-u", user.name, program]);
        command
    }

    /// A program of ours makes itself undumpable before it opens anything, and again after each change of its user, which
    /// sets that anew (to `fs.suid_dumpable`: it makes no difference here where that is 0, and is not ours to change).
    ///
    /// # Panics
    /// It does not, in this trace.
    pub fn assert_hides_itself(&self, trace: &str) {
        let (mut hidden, mut times) = (false, 0);
        for call in trace.lines() {
            let is = |names: &[&str]| names.iter().any(|name| call.starts_with(&format!("{name}(")));
            if call.starts_with("prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE) = 0") {
                (hidden, times) = (true, times + 1);
            } else if is(&["setresuid", "setuid", "setreuid"]) {
                hidden = false;
            } else {
                let looks_elsewhere = is(&["open", "openat", "read", "socket", "connect", "execve"]);
                let is_the_start = call.starts_with("execve(") && times == 0;
                assert!(hidden || !looks_elsewhere || is_the_start, "{call}\n{trace}");
            }
        }
        assert!(hidden && times > 1, "{trace}");
    }

    /// Runs a program under `strace`, whose `options` must stop it (`inject=write:signal=STOP`) when it has written
    /// `file` of the target. There `look` sees its pid; then it goes on to its end.
    ///
    /// # Panics
    /// It ends without having written, or does not get there in 10 seconds.
    pub fn look_after_write(
        &self,
        command: (User, &[&str], &str, &[&str]),
        (target, file): (&Target, &str),
        look: impl FnOnce(&str),
    ) -> Answer {
        let (user, options, program, args) = command;
        // -D: the program itself is our child, strace its tracer beside it.
        let mut options = options.to_vec();
        options.extend(["-D", "-o", "/dev/null"]);
        let mut command = self.strace(user, &options, program);
        command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("start strace");
        let before = target.file(file);
        target.wait_until(|target| {
            // Read before the test of the child's end: it may write and end between the two.
            let written = target.file(file) != before;
            assert!(written || child.try_wait().expect("wait").is_none(), "{command:?} did not write {file}");
            written
        });
        look(&child.id().to_string());
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
        target.wait_until(|_| {
            // Until it has ended, its number is nobody else's.
            let ended = child.try_wait().expect("wait").is_some();
            ended || nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).is_err()
        });
        Answer::of(&child.wait_with_output().expect("wait"))
    }

    /// A process of this user in a fresh user namespace of his own, waiting to be mapped.
    #[must_use]
    pub fn target(&self, user: User) -> Target {
        self.target_of(self.command(user, "/usr/bin/unshare").args(["-U", "sleep", "1000"]))
    }

    /// A process started by this command, when it has entered a user namespace other than ours.
    pub fn target_of(&self, command: &mut Command) -> Target {
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("start a target");
        let target = Target { child };
        let ours = fs::read_link("/proc/self/ns/user").expect("ns/user");
        target.wait_until(|target| {
            let elsewhere = target.link("ns/user").is_some_and(|theirs| theirs != ours);
            elsewhere && target.link("exe").is_some_and(|exe| !exe.ends_with("unshare"))
        });
        target
    }

    /// A process of this user in the caller's own user namespace.
    #[must_use]
    pub fn plain_process(&self, user: User) -> Target {
        self.plain_process_of(self.command(user, "/usr/bin/sleep").arg("1000"))
    }

    /// A process started by this command, when it has become `sleep`.
    pub fn plain_process_of(&self, command: &mut Command) -> Target {
        let child = command.spawn().expect("start a process");
        let target = Target { child };
        target.wait_until(|target| target.link("exe").is_some_and(|exe| exe.ends_with("sleep")));
        target
    }
}

/// A live process. It ends with the value.
#[derive(Debug)]
pub struct Target {
    child: Child,
}

impl Target {
    /// Its pid, as an argument.
    #[must_use]
    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// The kernel's view of its uid map: a line an extent, numbers separated by one blank.
    #[must_use]
    pub fn uid_map(&self) -> String {
        self.map("uid_map")
    }

    /// The kernel's view of its gid map.
    #[must_use]
    pub fn gid_map(&self) -> String {
        self.map("gid_map")
    }

    /// `allow` or `deny`.
    #[must_use]
    pub fn setgroups(&self) -> String {
        self.file("setgroups").trim().to_owned()
    }

    /// Nothing was written: neither map, nor setgroups.
    pub fn assert_untouched(&self) {
        let state = (self.uid_map(), self.gid_map(), self.setgroups());
        assert_eq!(state, (String::new(), String::new(), "allow".to_owned()), "the target was touched");
    }

    /// What one of its `/proc` files says.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.pid()))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Waits until one of its `/proc` files says this.
    pub fn wait_for(&self, name: &str, text: &str) {
        self.wait_until(|target| target.file(name) == text);
    }

    fn map(&self, name: &str) -> String {
        let text = self.file(name);
        let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        text.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    fn link(&self, name: &str) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/{name}", self.pid())).ok()
    }

    pub(crate) fn wait_until(&self, mut ready: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !ready(self) {
            assert!(start.elapsed() < Duration::from_secs(10), "the target process is not getting ready");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends the process.
    pub fn end(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.end();
    }
}

/// How a program ended and what it said.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// Exit status. None: it died of a signal.
    pub status: Option<i32>,
    /// The signal it died of.
    pub signal: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Answer {
    fn of(output: &Output) -> Self {
        Self {
            status: output.status.code(),
            signal: output.status.signal(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Exit 0 and not a word.
    #[track_caller]
    pub fn succeeds(&self) -> &Self {
        assert_eq!((self.status, &*self.stdout, &*self.stderr), (Some(0), "", ""), "{self:?}");
        self
    }

    /// Exit 1, nothing on stdout and, of ours, one line on stderr that has `phrase` in it.
    #[track_caller]
    pub fn refuses(&self, phrase: &str) -> &Self {
        assert_eq!((self.status, &*self.stdout), (Some(1), ""), "{self:?}");
        if !theirs() {
            assert!(
                self.stderr.ends_with('\n') && self.stderr.lines().count() == 1,
                "not one line: {self:?}"
            );
            assert!(
                ["newuidmap: ", "newgidmap: ", "lxc-user-nic: "]
                    .iter()
                    .any(|name| self.stderr.starts_with(name)),
                "{self:?}"
            );
            assert!(
                self.stderr.bytes().all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\n'),
                "{self:?}"
            );
        }
        assert!(self.stderr.contains(phrase), "{phrase:?} is not in {self:?}");
        self
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, signal, stdout, stderr } = self;
        write!(f, "status {status:?} signal {signal:?} stdout {stdout:?} stderr {stderr:?}")
    }
}

fn bind(from: &str, to: &str) {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .unwrap_or_else(|error| panic!("{to}: {error}"));
}

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}
