//! The main job, as every client does it.

use world::{ALICE, BOB, CAROL, Install, World, theirs};

#[test]
fn a_grant_is_written_however_the_helpers_are_installed() {
    // Debian's fails where a set-user-ID file has file capabilities too: they are then all it gets.
    let both = if theirs() { None } else { Some(Install::Both) };
    for how in [Install::SetUid, Install::FileCapabilities].into_iter().chain(both) {
        World::enter(|world| {
            world.install(how);
            let target = world.target(ALICE);
            let pid = target.pid();
            world.newuidmap(ALICE, &[&pid, "0", "52001", "1", "1", "600000", "65536"]).succeeds();
            world.newgidmap(ALICE, &[&pid, "0", "52001", "1", "1", "600000", "65536"]).succeeds();
            assert_eq!(target.uid_map(), "0 52001 1\n1 600000 65536", "{how:?}");
            assert_eq!(target.gid_map(), target.uid_map());
            assert_eq!(target.setgroups(), "allow");
        });
    }
}

#[test]
fn another_users_ids_are_refused_and_nothing_is_written() {
    World::enter(|world| {
        let target = world.target(ALICE);
        let pid = target.pid();
        world
            .newuidmap(ALICE, &[&pid, "0", "52001", "1", "1", "700000", "10"])
            .refuses("uid range [1-11) -> [700000-700010) not allowed");
        world
            .newgidmap(ALICE, &[&pid, "0", "52001", "1", "1", "700000", "10"])
            .refuses("gid range [1-11) -> [700000-700010) not allowed");
        target.assert_untouched();
    });
}

#[test]
fn another_users_process_is_refused() {
    World::enter(|world| {
        let target = world.target(ALICE);
        let answer = world.newuidmap(BOB, &[&target.pid(), "0", "700000", "1"]);
        answer.refuses("is owned by a different user: uid:52002 pw_uid:52002 st_uid:52001, gid:52002 pw_gid:52002 st_gid:52001");
        target.assert_untouched();
    });
}

#[test]
fn a_user_without_grants_can_map_himself_and_loses_setgroups() {
    World::enter(|world| {
        let target = world.target(CAROL);
        let pid = target.pid();
        world.newuidmap(CAROL, &[&pid, "0", "52003", "1"]).succeeds();
        world.newgidmap(CAROL, &[&pid, "0", "52003", "1"]).succeeds();
        assert_eq!((target.uid_map(), target.setgroups()), ("0 52003 1".to_owned(), "deny".to_owned()));
        assert_eq!(target.gid_map(), "0 52003 1");
    });
}

/// What the caller names is opened after every uid and gid has become his; and what he cannot read, we open before.
#[test]
fn what_the_caller_names_is_opened_with_his_rights_alone() {
    if theirs() {
        return; // which open it as root
    }
    World::enter(|world| {
        let target = world.target(ALICE);
        let options = ["-o", "/run/world/trace", "-e", "trace=setresuid,openat,open"];
        let mut command = world.strace(ALICE, &options, "/usr/bin/newuidmap");
        world.run(command.args([&target.pid(), "0", "600000", "10"])).succeeds();
        let trace = std::fs::read_to_string("/run/world/trace").expect("a trace");
        let place = |what: &str| trace.find(what).unwrap_or_else(|| panic!("no {what} in {trace}"));
        let lowered = place("setresuid(52001, 52001, 52001)");
        assert!(place("\"subuid\"") < lowered, "{trace}");
        assert!(lowered < place(&format!("\"/proc/{}\"", target.pid())), "{trace}");
        assert!(lowered < place("\"uid_map\""), "{trace}");
    });
}
