//! What a test of `lxc-user-nic` needs besides the rest of the machine: bridges, containers with a network of their own,
//! the policy file, and a look at what was made.
//!
//! ```ignore
//! #[test]
//! fn a_pair_is_made() {
//!     World::enter_with_nic(|world| {
//!         world.bridge("lxcbr0");
//!         world.usernet("alice veth lxcbr0 10\n");
//!         let container = world.container(ALICE);
//!         let nic = world.create(ALICE, &container, "veth", "lxcbr0", &["eth0"]).nic();
//!         assert_eq!(container.link("eth0").index, nic.container_index);
//!         assert_eq!(world.host_link(&nic.host_name).master, "lxcbr0");
//!     });
//! }
//! ```

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Answer, PRIVATE, Target, User, World, run};

/// Where clients look for it.
pub const LXC_USER_NIC: &str = "/usr/libexec/lxc/lxc-user-nic";

/// The program and its twin.
pub(crate) const BINARIES: [&str; 2] = ["lxc-user-nic", "lxc-user-nic-nss"];

impl World {
    pub(crate) fn prepare_for_nics(&self) {
        for name in BINARIES {
            let path = format!("{PRIVATE}/bin/{name}");
            fs::set_permissions(path, fs::Permissions::from_mode(0o4755)).expect("chmod");
        }
        // A sysfs shows the network namespace that it was mounted in. The cgroups stay where they are.
        let cgroups = format!("{PRIVATE}/cgroup");
        fs::create_dir(&cgroups).expect("create");
        run(Command::new("mount").args(["-n", "--rbind", "/sys/fs/cgroup", &cgroups]));
        run(Command::new("mount").args(["-n", "-t", "sysfs", "sysfs", "/sys"]));
        if Path::new("/sys/fs/cgroup").is_dir() {
            run(Command::new("mount").args(["-n", "--rbind", &cgroups, "/sys/fs/cgroup"]));
        }
        self.ip(&["link", "set", "lo", "up"]);
        fs::create_dir_all("/etc/lxc").expect("create");
        drop(fs::remove_file("/etc/lxc/lxc-usernet"));
    }

    /// Runs `ip` of iproute2 in the host's network namespace. Returns what it prints.
    ///
    /// # Panics
    /// It fails.
    pub fn ip(&self, args: &[&str]) -> String {
        output(Command::new("/usr/sbin/ip").args(args))
    }

    /// Makes a bridge, which is up.
    pub fn bridge(&self, name: &str) {
        self.ip(&["link", "add", "name", name, "type", "bridge"]);
        self.ip(&["link", "set", name, "up"]);
    }

    /// Replaces `/etc/lxc/lxc-usernet`.
    pub fn usernet(&self, text: impl AsRef<[u8]>) {
        self.write("/etc/lxc/lxc-usernet", text);
    }

    /// Adds a group to `/etc/group`. Who is in it by that file matters to `newgrp` and the like alone: what counts are
    /// the groups of a process, see [`World::command_in_groups`].
    pub fn group(&self, name: &str, gid: u32) {
        self.append("/etc/group", &format!("{name}:x:{gid}:\n"));
    }

    /// As [`World::command`], with these supplementary groups.
    #[must_use]
    pub fn command_in_groups(&self, user: User, groups: &[u32], program: &str) -> Command {
        let groups = groups.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        // std's own way to set groups is not stable yet.
        let mut command = self.command(super::ROOT, "/usr/bin/setpriv");
        command.arg(format!("--reuid={}", user.id)).arg(format!("--regid={}", user.id));
        command.arg(if groups.is_empty() {
            "--clear-groups".to_owned()
        } else {
            format!("--groups={groups}")
        });
        command.arg(program);
        command
    }

    /// Runs `lxc-user-nic` as this user.
    pub fn nic(&self, user: User, args: &[&str]) -> Answer {
        self.run(self.command(user, LXC_USER_NIC).args(args))
    }

    /// `lxc-user-nic create`. `name` has the container's name of it, or nothing.
    pub fn create(
        &self,
        user: User,
        container: &Container,
        kind: &str,
        bridge: &str,
        name: &[&str],
    ) -> Answer {
        let pid = container.pid();
        self.nic(user, &[&["create", "/dev/null", "dummy", &pid, kind, bridge], name].concat())
    }

    /// `lxc-user-nic delete` of a veth.
    pub fn delete(&self, user: User, netns: &str, bridge: &str, host_name: &str) -> Answer {
        self.nic(user, &["delete", "/dev/null", "dummy", netns, "veth", bridge, host_name])
    }

    /// A process of this user in a user namespace, where he is root, and a network namespace of his own.
    #[must_use]
    pub fn container(&self, user: User) -> Container {
        self.container_of(self.command(user, "/usr/bin/unshare").args(["-r", "-n", "sleep", "1000"]))
    }

    /// A process with a subordinate id (host uid and gid 600000), as the init of an unprivileged container has it. The
    /// user namespace is Alice's, and so is a network namespace in it.
    #[must_use]
    pub fn container_of_a_subordinate(&self) -> Container {
        use super::ALICE;
        let holder = self.target(ALICE);
        self.newuidmap(ALICE, &[&holder.pid(), "0", "600000", "65536"]).succeeds();
        self.newgidmap(ALICE, &[&holder.pid(), "0", "600000", "65536"]).succeeds();
        let mut command = self.command(ALICE, "/usr/bin/nsenter");
        command.args([
            "-t",
            &holder.pid(),
            "-U",
            "-S",
            "0",
            "-G",
            "0",
            "--",
            "unshare",
            "-n",
            "sleep",
            "1000",
        ]);
        let container = self.container_of(&mut command);
        let status = container.target.file("status");
        assert!(status.contains("\nUid:\t600000\t600000\t"), "{status}");
        container
    }

    /// A process started by this command, when it has entered a network namespace other than the host's and become
    /// something else than `unshare` and `nsenter`.
    pub fn container_of(&self, command: &mut Command) -> Container {
        let child = command.stdin(std::process::Stdio::null()).spawn().expect("start a container");
        let target = Target { child };
        let host = fs::read_link("/proc/thread-self/ns/net").expect("ns/net");
        target.wait_until(|target| {
            let elsewhere = target.link("ns/net").is_some_and(|netns| netns != host);
            elsewhere
                && target.link("exe").is_some_and(|exe| {
                    !["unshare", "nsenter", "setpriv", "sh", "dash"].iter().any(|name| exe.ends_with(name))
                })
        });
        Container { target }
    }

    /// All links of the host.
    #[must_use]
    pub fn host_links(&self) -> Vec<Link> {
        Link::parse_all(&self.ip(&["-d", "-o", "link"]))
    }

    /// This link of the host.
    ///
    /// # Panics
    /// It is not there.
    #[must_use]
    pub fn host_link(&self, name: &str) -> Link {
        find(self.host_links(), name)
    }

    /// The veth ends on the host.
    #[must_use]
    pub fn host_veths(&self) -> Vec<String> {
        let veths = self.host_links().into_iter().filter(|link| link.detail.contains(" veth "));
        veths.map(|link| link.name).collect()
    }

    /// Waits until this link of the host is gone: the kernel takes its time when a network namespace ends.
    ///
    /// # Panics
    /// It stays.
    pub fn wait_until_gone(&self, name: &str) {
        let start = Instant::now();
        while Path::new("/sys/class/net").join(name).exists() {
            assert!(start.elapsed() < Duration::from_secs(20), "{name} stays");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The lines of `/run/lxc/nics`; none if it does not exist.
    #[must_use]
    pub fn nics(&self) -> Vec<String> {
        let text = fs::read_to_string("/run/lxc/nics").unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The directory of our ledger's tables for the host's network namespace.
    ///
    /// # Panics
    /// `/proc` does not say which that is.
    #[must_use]
    pub fn tables(&self) -> String {
        // Of this thread: the process has another one.
        let netns = fs::metadata("/proc/thread-self/ns/net").expect("look at the network namespace");
        format!("/run/lxc/nsgate/{}", netns.ino())
    }

    /// The records of our ledger; none if it does not exist.
    ///
    /// # Panics
    /// A record is not what it should be.
    #[must_use]
    pub fn ledger(&self) -> Vec<Record> {
        let Ok(directory) = fs::read_dir(self.tables()) else { return vec![] };
        let mut files = directory.map(|entry| entry.expect("read").path()).collect::<Vec<_>>();
        files.sort();
        let mut records = vec![];
        for file in files {
            let quota = file.file_name().expect("a name").to_string_lossy().into_owned();
            let table = fs::read(&file).expect("read a ledger");
            assert_eq!(table.len() % 64, 0, "{quota} is not a table of 64-byte records");
            for record in table.chunks(64).filter(|record| !record.iter().all(|byte| b" \0\n".contains(byte)))
            {
                let text = std::str::from_utf8(record).expect("a record is text");
                assert!(text.ends_with('\n'), "{text:?}");
                let fields = text.split_whitespace().map(str::to_owned).collect();
                records.push(Record { quota: quota.clone(), fields });
            }
        }
        records
    }

    /// What refusing must not change: the host's links, `/run/lxc/nics` and the ledger. Two of them can be compared.
    #[must_use]
    pub fn state(&self) -> State {
        let links = self.host_links().into_iter().map(|link| format!("{}: {}", link.index, link.name));
        State { links: links.collect(), nics: self.nics(), ledger: self.ledger() }
    }
}

/// See [`World::state`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// `INDEX: NAME` of each link of the host.
    pub links: Vec<String>,
    /// See [`World::nics`].
    pub nics: Vec<String>,
    /// See [`World::ledger`].
    pub ledger: Vec<Record>,
}

/// A record of our ledger that is not free.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The name of the file, such as `u52001.veth.lxcbr0`.
    pub quota: String,
    /// State, name and so on, without the padding.
    pub fields: Vec<String>,
}

/// A live process in a network namespace of its own. It ends with the value; its network namespace does, too, if nothing
/// else holds that.
#[derive(Debug)]
pub struct Container {
    /// The process.
    pub target: Target,
}

impl Container {
    /// Its pid, as an argument.
    #[must_use]
    pub fn pid(&self) -> String {
        self.target.pid()
    }

    /// Path of its network namespace.
    #[must_use]
    pub fn netns(&self) -> String {
        format!("/proc/{}/ns/net", self.pid())
    }

    /// A command of root's in its network namespace.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("/usr/bin/nsenter");
        command.args(["-t", &self.pid(), "-n", "--", program]);
        command
    }

    /// Runs `ip` in its network namespace. Returns what it prints.
    ///
    /// # Panics
    /// It fails.
    pub fn ip(&self, args: &[&str]) -> String {
        output(self.command("/usr/sbin/ip").args(args))
    }

    /// All its links, `lo` among them.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        Link::parse_all(&self.ip(&["-d", "-o", "link"]))
    }

    /// Names of its links but `lo`, in the order of their indexes.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.links().into_iter().map(|link| link.name).filter(|name| name != "lo").collect()
    }

    /// This link.
    ///
    /// # Panics
    /// It is not there.
    #[must_use]
    pub fn link(&self, name: &str) -> Link {
        find(self.links(), name)
    }

    /// Deletes a link from the inside. The other end of a veth goes with it, at once.
    pub fn delete_link(&self, name: &str) {
        self.ip(&["link", "del", name]);
    }

    /// Ends the process. What it held on the host goes a moment later: [`World::wait_until_gone`].
    pub fn end(&mut self) {
        self.target.end();
    }
}

/// A link, as `ip -d -o link` shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `UP`, `BROADCAST` and so on.
    pub flags: Vec<String>,
    /// Its MTU.
    pub mtu: u32,
    /// Its address.
    pub mac: String,
    /// The bridge that it is a port of, or empty.
    pub master: String,
    /// Its alias (a label that it carries), or empty.
    pub alias: String,
    /// All that `ip` says about it, with one blank between words: bridge-port flags are there (` guard on `).
    pub detail: String,
}

impl Link {
    /// Is it administratively up?
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.flags.iter().any(|flag| flag == "UP")
    }

    fn parse_all(text: &str) -> Vec<Self> {
        text.lines().map(Self::parse).collect()
    }

    fn parse(line: &str) -> Self {
        // 3: veth0@if2: <BROADCAST,UP> mtu 1500 ... master br0 ...\    link/ether 02:..:01 brd ...\    alias LABEL
        let (index, rest) = line.split_once(": ").expect("an index");
        let (name, rest) = rest.split_once(": ").expect("a name");
        let words = rest.split(['\\', ' ']).filter(|word| !word.is_empty()).collect::<Vec<_>>();
        let after = |what: &str| {
            let place = words.iter().position(|word| *word == what);
            place.and_then(|place| words.get(place + 1)).copied().unwrap_or_default()
        };
        let kind = words.iter().find(|word| word.starts_with("link/")).expect("a kind");
        Self {
            index: index.parse().expect("an index"),
            name: name.rsplit_once('@').map_or(name, |(name, _)| name).to_owned(),
            flags: words[0].trim_matches(['<', '>']).split(',').map(str::to_owned).collect(),
            mtu: after("mtu").parse().expect("an MTU"),
            mac: after(kind).to_owned(),
            master: after("master").to_owned(),
            alias: after("alias").to_owned(),
            detail: words.join(" "),
        }
    }
}

/// What `lxc-user-nic create` says on success.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NicAnswer {
    /// Name of the container's end.
    pub container_name: String,
    /// Its index there.
    pub container_index: u32,
    /// Name of the host's end.
    pub host_name: String,
    /// Its index on the host.
    pub host_index: u32,
}

impl Answer {
    /// Exit 0, nothing on stderr, and the one line on stdout that reports a new NIC.
    ///
    /// # Panics
    /// It is anything else.
    #[track_caller]
    #[must_use]
    pub fn nic(&self) -> NicAnswer {
        assert_eq!((self.status, &*self.stderr), (Some(0), ""), "{self:?}");
        let line = self.stdout.strip_suffix('\n').unwrap_or_else(|| panic!("no line: {self:?}"));
        let fields = line.split(':').collect::<Vec<_>>();
        let [container_name, container_index, host_name, host_index] = fields[..] else {
            panic!("not four fields: {self:?}")
        };
        let index = |text: &str| {
            let number: u32 = text.parse().unwrap_or_else(|_| panic!("not an index: {self:?}"));
            assert_eq!(number.to_string(), text, "{self:?}");
            number
        };
        NicAnswer {
            container_name: container_name.to_owned(),
            container_index: index(container_index),
            host_name: host_name.to_owned(),
            host_index: index(host_index),
        }
    }
}

#[track_caller]
fn find(links: Vec<Link>, name: &str) -> Link {
    let names = links.iter().map(|link| link.name.clone()).collect::<Vec<_>>();
    let link = links.into_iter().find(|link| link.name == name);
    link.unwrap_or_else(|| panic!("{name} is not among {names:?}"))
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {:?}", Answer::of(&output));
    String::from_utf8(output.stdout).expect("text")
}
