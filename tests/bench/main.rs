//! What nsgate's helpers cost, side by side: ours, the C ones of this host's `uidmap` and `lxc` packages, and
//! floors that show what the kernel alone costs.
//!
//! ```sh
//! tests/install-tools tests
//! cargo build --release
//! cargo run --release -p nsgate-tests --bin bench              # as root; some minutes
//! cargo run --release -p nsgate-tests --bin bench -- --quick   # a few rounds: does it still run?
//! cargo run --release -p nsgate-tests --bin bench -- nic       # one of the two subjects, idmap and nic
//! ```
//!
//! Whole process, from spawn to exit, as an unprivileged user, on a machine of its own (`world`). All sides
//! are run in turn, in an order drawn anew each round. `/etc` and the programs are on the disk that the source tree is on, as a
//! host has them on one. Absolute times drift with the machine, so the figures
//! to quote are the medians of the ratios *within* a round; the brackets hold the middle half of them. Nobody
//! listens at `/dev/log`, nor does Debian's log there.
//!
//! It prints and judges nothing: "goal" is the ratio to reach, and a `*` says where it is not reached today.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use world::{ALICE, World, theirs, tree};

mod idmap;
mod nic;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (quick, subject) = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => (false, None),
        ["--quick"] => (true, None),
        [subject @ ("idmap" | "nic")] => (false, Some(subject)),
        ["--quick", subject @ ("idmap" | "nic")] => (true, Some(subject)),
        _ => panic!("usage: bench [--quick] [idmap | nic]"),
    };
    assert!(!theirs(), "UNDER_TEST means nothing here: both are run");
    if subject != Some("nic") {
        idmap::compare(quick);
    }
    if subject != Some("idmap") {
        nic::compare(quick);
    }
}

/// Where all that is measured is put, in the world: on the disk, and not under a directory that an unprivileged user could write.
const PLACE: &str = "/run/world/bench";

/// Runs something in a world on the disk. What it leaves there are set-user-ID programs: nobody but root is to find them
/// while they are, and nobody afterwards.
fn enter(with_nic: bool, run: impl FnOnce(&World) + Send) {
    let hidden = tree().join("target/bench-world");
    let remove = || match fs::remove_dir_all(&hidden) {
        Err(error) if error.kind() != ErrorKind::NotFound => panic!("{}: {error}", hidden.display()),
        _ => {}
    };
    remove();
    fs::DirBuilder::new().mode(0o700).create(&hidden).expect("target/ is there");
    let world = hidden.join("world");
    fs::create_dir(&world).expect("create");
    World::enter_on_disk(&world, with_nic, run);
    remove();
}

/// Taken along, as the world hides the source tree where that is in /tmp or /home.
const SOURCES: [(&str, &str); 7] = [
    ("bare.h", include_str!("bare.h")),
    ("write_map.h", include_str!("write_map.h")),
    ("floor.c", include_str!("floor.c")),
    ("scan.c", include_str!("scan.c")),
    ("stopwatch.c", include_str!("stopwatch.c")),
    ("floor_nic.c", include_str!("floor_nic.c")),
    ("spawner.c", include_str!("spawner.c")),
];

fn write_sources() {
    fs::create_dir(PLACE).expect("create");
    for (name, text) in SOURCES {
        fs::write(format!("{PLACE}/{name}"), text).expect("write");
    }
}

/// Compiles one of the sources. Returns the program's path.
fn gcc(args: &[&str], source: &str, program: &str) -> String {
    let mut command = Command::new("gcc");
    command.args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-static"]).args(args);
    command.arg("-o").arg(program).arg(source).current_dir(PLACE);
    let status = command.status().unwrap_or_else(|error| panic!("gcc: {error}; apt-get install gcc"));
    assert!(status.success(), "{command:?}: {status}");
    format!("{PLACE}/{program}")
}

/// Compiles a floor, which has no C library, and makes it set-user-ID.
fn gcc_floor(args: &[&str], source: &str, program: &str) -> String {
    let bare = ["-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-pie", "-no-pie"];
    let path = gcc(&[&bare, args].concat(), source, program);
    make_set_id(&path);
    path
}

/// Installs a helper of Debian's, which ours hides in the world, at another place.
fn install_debians(name: &str, program: &[u8]) -> String {
    let path = format!("{PLACE}/debian/{name}");
    fs::create_dir_all(format!("{PLACE}/debian")).expect("create");
    fs::write(&path, program).expect("write");
    make_set_id(&path);
    path
}

fn make_set_id(program: &str) {
    fs::set_permissions(program, Permissions::from_mode(0o4755)).expect("chmod");
}

/// System calls of the program itself, started by Alice, from its `execve` to its end.
fn system_calls(world: &World, program: &str, args: &[String]) -> f64 {
    let log = format!("{PLACE}/trace");
    let mut strace = world.strace(ALICE, &["-f", "-qq", "-e", "signal=none", "-o", &log], program);
    let output = strace.args(args).output();
    let output = output.unwrap_or_else(|error| panic!("strace: {error}; apt-get install strace"));
    assert!(output.status.success(), "{strace:?}: {output:?}");
    let log = fs::read_to_string(log).expect("trace");
    assert!(!log.contains("unfinished"), "more than one process: count again");
    log.lines().count() as f64
}

/// Differs from run to run.
fn seed() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    u64::try_from(since_1970.as_nanos() % (1 << 62)).expect("62 bits") | 1
}

/// What one process cost.
struct Run {
    milliseconds: f64,
    /// In KiB. Never less than the spawner's own.
    peak: f64,
    faults: f64,
}

/// Of each of the sides, one run a round.
struct Runs<const SIDES: usize>([Vec<Run>; SIDES]);

impl<const SIDES: usize> Runs<SIDES> {
    fn medians(&self, of: impl Fn(&Run) -> f64) -> [f64; SIDES] {
        self.0.each_ref().map(|runs| quartiles(runs.iter().map(&of))[1])
    }

    /// The quartiles of the ratios of time within a round.
    fn ratios(&self, this: usize, that: usize) -> [f64; 3] {
        let rounds = self.0[this].iter().zip(&self.0[that]);
        quartiles(rounds.map(|(this, that)| this.milliseconds / that.milliseconds))
    }
}

fn quartiles(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[values.len() * quarter / 4])
}
