//! The helpers as they are really called: by the clients that people use, each driven by a recipe in `tests/clients`.
//!
//! A recipe prints the kernel's view of the namespace that its client made, from inside. The runner adds which helpers
//! were executed, by access time, and their hash: what ran is what was to be tested.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use world::{theirs, tree};

/// What comes of a refusal that reaches a client.
struct Refused {
    /// What `/etc/subuid` and `/etc/subgid` say: `tests/clients/run.sh` has the list.
    policy: &'static str,
    /// The client's exit status.
    status: i32,
    /// What is mapped after all, and which helpers ran.
    views: &'static str,
    /// The words of both ours and theirs, which reach the user.
    phrase: &'static str,
    /// What ours says besides.
    reason: &'static str,
}

/// The client reads the policy itself, asks for all that it says, and gives up at newuidmap's refusal.
const WRAPS: Refused = Refused {
    policy: "wraps",
    status: 1,
    views: "ran: newuidmap\nnot run: newgidmap\n",
    phrase: "newuidmap: subuid overflow detected",
    reason: "leaves the ids 0 to 4294967294",
};

/// The client asks for more than the policy says, and gives up at newuidmap's refusal.
const SHORT: Refused = Refused {
    policy: "short",
    phrase: "newuidmap: uid range [0-65536) -> [600000-665536) not allowed",
    reason: "uid 665535 is not granted to alice (/etc/subuid:1 grants 600000-665534)",
    ..WRAPS
};

/// Two or three tests a client: it gets its maps from helpers that are set-user-ID root, and from helpers with file
/// capabilities; and when it is refused, its user is told why.
macro_rules! clients {
    ($($client:ident $(refused $refused:expr)?;)*) => {$(
        mod $client {
            /// N04
            #[test]
            fn gets_the_maps_it_asks_for() {
                super::gets_its_maps(stringify!($client), false);
            }

            /// N04
            #[test]
            fn gets_them_from_helpers_with_file_capabilities() {
                super::gets_its_maps(stringify!($client), true);
            }

            $(
            /// N04
            #[test]
            fn passes_on_why_it_is_refused() {
                #[allow(unused_imports, reason = "not every row builds on another")]
                use super::{Refused, SHORT, WRAPS};
                super::is_refused(stringify!($client), &$refused);
            })?
        }
    )*};
}

clients! {
    unshare_auto refused WRAPS;
    unshare_ranges refused SHORT;
    unshare_own;
    podman_unshare refused Refused { status: 125, ..WRAPS };
    podman_run refused Refused { status: 125, ..WRAPS };
    podman_overlay;
    podman_keep_id;
    podman_uidmap;
    // buildah falls back to the one map that needs no grant.
    buildah_unshare refused Refused {
        status: 0,
        views: "uid_map: 0 52001 1\ngid_map: 0 52001 1\nsetgroups: deny\nran: newuidmap\nran: newgidmap\n",
        ..WRAPS
    };
    rootlesskit refused WRAPS;
    // getsubids prints what the helpers go by: nothing is asked for that they would refuse.
    rootlesskit_getsubids;
    lxc_usernsexec refused SHORT;
    // Both helpers ran before, without arguments: mmdebstrap looks whether they are there.
    mmdebstrap refused Refused { status: 25, views: "ran: newuidmap\nran: newgidmap\n", ..WRAPS };
    bwrap refused Refused {
        phrase: "newuidmap: uid range [1-65537) -> [600000-665536) not allowed",
        ..SHORT
    };
    runc refused Refused {
        phrase: "newuidmap: uid range [100000-160536) -> [605000-665536) not allowed",
        ..SHORT
    };
    // crun asks newgidmap first.
    crun refused Refused {
        views: "not run: newuidmap\nran: newgidmap\n",
        phrase: "newgidmap: gid range [100000-160536) -> [605000-665536) not allowed",
        reason: "gid 665535 is not granted to alice (/etc/subgid:1 grants 600000-665534)",
        ..SHORT
    };
}

/// E04
#[test]
fn ids_next_to_the_callers_own_are_refused_with_the_rule() {
    let refused = Refused {
        policy: "whole",
        phrase: "newuidmap: uid range [0-2) -> [52001-52003) not allowed",
        reason: "own uid 52001 is allowed by itself only",
        ..WRAPS
    };
    is_refused("unshare_next_to_own", &refused);
}

/// E04, F01
#[test]
fn the_callers_own_ids_need_no_grant_and_deny_setgroups() {
    for client in ["unshare_own", "buildah_unshare"] {
        let answer = run(client, "empty", false);
        assert_eq!(answer.status, 0, "{answer:?}");
        let own = "uid_map: 0 52001 1\ngid_map: 0 52001 1\nsetgroups: deny\nran: newuidmap\nran: newgidmap\n";
        assert_eq!(answer.views, own, "{answer:?}");
    }
}

#[test]
fn a_caller_without_a_line_is_told_so() {
    let reason = "/etc/subuid has no line for alice";
    is_refused("unshare_ranges", &Refused { policy: "empty", reason, ..SHORT });
}

/// Podman, buildah and rootlesskit map a line as often as it is there. Theirs passes on the kernel's `EINVAL`.
#[test]
fn a_line_that_is_there_twice_is_named_as_the_cause() {
    for (client, status) in [("podman_unshare", 125), ("buildah_unshare", 0), ("rootlesskit", 1)] {
        let answer = run(client, "twice", false);
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(!answer.views.contains("600000"), "{answer:?}");
        answer.says(if theirs() {
            "newuidmap: write to uid_map failed: Invalid argument"
        } else {
            "newuidmap: uid ranges [1-65537) -> [600000-665536) and [65537-131073) -> [600000-665536) share host ids"
        });
    }
}

/// A26
#[test]
fn no_new_privs_is_named_as_the_cause() {
    let refused = Refused {
        policy: "whole",
        phrase: "newuidmap: write to uid_map failed: Operation not permitted",
        reason: "no_new_privs",
        ..WRAPS
    };
    is_refused("unshare_no_new_privs", &refused);
}

/// D02 Differs: theirs trusts a policy file that everybody can write
#[test]
fn a_policy_file_that_everybody_can_write_grants_nothing() {
    let answer = run("podman_run", "writable", false);
    if theirs() {
        assert_eq!((answer.status, answer.views.as_str()), (0, expected("podman_run").as_str()));
        return;
    }
    assert_eq!((answer.status, answer.views.as_str()), (125, WRAPS.views), "{answer:?}");
    answer.says("newuidmap: /etc/subuid is not trusted: it can be written by others than root; chmod go-w");
}

fn gets_its_maps(client: &str, file_capabilities: bool) {
    let answer = run(client, "whole", file_capabilities);
    assert_eq!(answer.status, 0, "{answer:?}");
    assert_eq!(answer.views, expected(client), "{answer:?}");
}

fn is_refused(client: &str, refused: &Refused) {
    let answer = run(client, refused.policy, false);
    assert_eq!((answer.status, answer.views.as_str()), (refused.status, refused.views), "{answer:?}");
    answer.says(refused.phrase);
    if !theirs() {
        answer.says(refused.reason);
    }
}

/// How a client ended.
#[derive(Debug)]
struct Answer {
    status: i32,
    /// The kernel's view from inside, and which helpers ran: the lines that `tests/clients/run.sh` promises.
    views: String,
    /// Everything else, as the user reads it.
    told: String,
}

impl Answer {
    #[track_caller]
    fn says(&self, phrase: &str) {
        assert!(self.told.contains(phrase), "{phrase:?} is not in {self:?}");
    }
}

/// Runs a client's recipe, and makes sure that the helpers that ran are the ones under test.
fn run(client: &str, policy: &str, file_capabilities: bool) -> Answer {
    let mut command = Command::new("timeout");
    command.args(["-k", "5", "60"]).arg(recipes().join("run.sh")).args([&recipe(client), policy]);
    command.env("NEWUIDMAP", under_test("newuidmap")).env("NEWGIDMAP", under_test("newgidmap"));
    command.env("GETSUBIDS", under_test("getsubids"));
    command.env_remove("HELPER_CAPS");
    if file_capabilities {
        command.env("HELPER_CAPS", "1");
    }
    let Output { status, stdout, stderr } = command.output().expect("timeout(1)");
    let mut answer = Answer {
        status: status.code().unwrap_or_else(|| panic!("{client} {policy}: {status}")),
        views: String::new(),
        told: String::from_utf8_lossy(&stderr).into_owned(),
    };
    for line in String::from_utf8_lossy(&stdout).lines() {
        let line = match line.strip_prefix("ran: ").and_then(|rest| rest.split_once(' ')) {
            Some((helper, hash)) => {
                assert_eq!(hash, sha256(&under_test(helper)), "{client}: another {helper} ran");
                format!("ran: {helper}")
            }
            None => line.to_owned(),
        };
        let labels = ["uid_map: ", "gid_map: ", "setgroups: ", "ran: ", "not run: "];
        let is_view = labels.iter().any(|label| line.starts_with(label));
        let part = if is_view { &mut answer.views } else { &mut answer.told };
        part.push_str(&line);
        part.push('\n');
    }
    answer
}

fn recipes() -> PathBuf {
    tree().join("tests/clients")
}

fn recipe(client: &str) -> String {
    client.replace('_', "-")
}

fn expected(client: &str) -> String {
    let path = recipes().join("expected").join(recipe(client));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn under_test(helper: &str) -> PathBuf {
    if theirs() { PathBuf::from("/usr/bin").join(helper) } else { tree().join("target/release").join(helper) }
}

fn sha256(path: &PathBuf) -> String {
    let output = Command::new("sha256sum").arg(path).output().expect("sha256sum(1)");
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace().next().unwrap_or_else(|| panic!("no hash of {}", path.display())).to_owned()
}
