//! lxc-user-nic as it is really called: by LXC and rootlesskit, each driven by a recipe in `tests/clients`.
//!
//! A recipe shows step by step what the kernel has, and how the client's commands end. All of that is
//! compared with the transcript in `tests/clients/expected`, where lines that begin with `ours:` or `theirs:`
//! are for one of the helpers alone. The runner adds whether the helper was executed, by access time, and its
//! hash: what ran is what was to be tested.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use world::{theirs, tree};

/// N04: the NIC is on the bridge with its MTU, the bridge answers, and each start gets a new one.
#[test]
fn a_daemonised_container_is_attached_to_stopped_started_again_and_rebooted() {
    goes_as_expected("nic-lxc-daemon");
}

/// N04
#[test]
fn a_container_in_the_foreground_reaches_its_bridge() {
    goes_as_expected("nic-lxc-foreground");
}

/// N04: the second container has its place as soon as the first one's NIC is gone.
#[test]
fn a_container_over_the_quota_is_told_so_and_starts_when_the_first_has_stopped() {
    let told = goes_as_expected("nic-lxc-quota");
    for who in ["lxc-start: c2: ", "lxc-start c2 "] {
        assert!(told.lines().any(|line| line.starts_with(who) && tells_of_the_quota(line)), "{who}: {told}");
    }
}

/// N04
#[test]
fn two_nics_of_one_container_may_be_on_a_bridge_and_on_none() {
    goes_as_expected("nic-lxc-two-nics");
}

/// N04
#[test]
fn nics_without_a_name_are_counted_from_eth0() {
    goes_as_expected("nic-lxc-no-name");
}

/// N04
#[test]
fn a_pool_of_the_callers_group_is_charged_when_his_own_quota_is_full() {
    let told = goes_as_expected("nic-lxc-group-pool");
    assert!(told.lines().any(tells_of_the_quota), "{told}");
}

/// N04: unlike theirs: theirs starts no container then.
#[test]
fn lines_for_groups_that_the_caller_is_not_in_are_harmless() {
    if !theirs() {
        goes_as_expected("nic-lxc-other-groups");
    }
}

/// N04: unlike theirs: ours takes the line out of the view with the port; theirs leaves it for the next create.
#[test]
fn a_container_on_open_vswitch_leaves_no_port_behind() {
    let told = goes_as_expected("nic-lxc-ovs");
    assert!(told.lines().any(tells_of_the_quota), "{told}");
}

/// N04
#[test]
fn rootlesskit_gets_its_address_by_dhcp_and_is_told_of_the_quota() {
    let told = goes_as_expected("nic-rootlesskit");
    assert!(told.lines().any(tells_of_the_quota), "{told}");
}

/// N04: unlike theirs: root's NICs have his uid in their names, too.
#[test]
fn root_needs_a_line_like_anybody_else() {
    let told = goes_as_expected("nic-root");
    let reason = if theirs() { "Quota reached" } else { "is not allowed" };
    assert!(
        told.lines().any(|line| line.contains("lxc-user-nic failed: ") && line.contains(reason)),
        "{told}"
    );
}

/// N04
#[test]
fn lxc_as_root_makes_its_nics_itself() {
    goes_as_expected("nic-root-lxc");
}

/// LXC and rootlesskit pass on the helper's line, after words of their own. Of ours, it has the numbers.
fn tells_of_the_quota(line: &str) -> bool {
    let ours = [
        "lxc-user-nic failed to configure requested network: lxc-user-nic: ",
        "lxc-user-nic failed: lxc-user-nic: ",
    ];
    let is_ours = |before: &&str| line.contains(before) && line.contains("1 of 1 used by alice");
    line.contains("Quota reached") && (theirs() || ours.iter().any(is_ours))
}

/// Runs a recipe, compares what it shows, and makes sure that the helper that ran is the one under test.
/// Returns what the clients told their user.
#[track_caller]
fn goes_as_expected(recipe: &str) -> String {
    let recipes = tree().join("tests/clients");
    let mut command = Command::new("timeout");
    command.args(["-k", "5", "60"]).arg(recipes.join("run-nic.sh")).arg(recipe);
    for (variable, helper) in
        [("NEWUIDMAP", "newuidmap"), ("NEWGIDMAP", "newgidmap"), ("LXC_USER_NIC", "lxc-user-nic")]
    {
        command.env(variable, under_test(helper));
    }
    command.env_remove("HELPER_CAPS");
    let Output { status, stdout, stderr } = command.output().expect("timeout(1)");
    let told = String::from_utf8_lossy(&stderr).into_owned();

    let hash = sha256(&under_test("lxc-user-nic"));
    let shown =
        String::from_utf8_lossy(&stdout).replace(&format!("ran: lxc-user-nic {hash}"), "ran: lxc-user-nic");
    let path = recipes.join("expected").join(recipe);
    let expected = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (these, others) = if theirs() { ("theirs: ", "ours: ") } else { ("ours: ", "theirs: ") };
    let expected = expected.lines().filter(|line| !line.starts_with(others));
    let expected: Vec<&str> = expected.map(|line| line.strip_prefix(these).unwrap_or(line)).collect();
    assert_eq!(shown.lines().collect::<Vec<_>>(), expected, "{recipe}, {status}; the clients said:\n{told}");
    assert!(status.success(), "{recipe}: {status}; the clients said:\n{told}");
    told
}

fn under_test(helper: &str) -> PathBuf {
    match (theirs(), helper) {
        (true, "lxc-user-nic") => PathBuf::from("/usr/libexec/lxc").join(helper),
        (true, _) => PathBuf::from("/usr/bin").join(helper),
        (false, _) => tree().join("target/release").join(helper),
    }
}

fn sha256(path: &PathBuf) -> String {
    let output = Command::new("sha256sum").arg(path).output().expect("sha256sum(1)");
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace().next().unwrap_or_else(|| panic!("no hash of {}", path.display())).to_owned()
}
