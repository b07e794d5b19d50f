//! Sources of subordinate ids besides the files: `subid:` in `/etc/nsswitch.conf` and the plugins that it names. Ours
//! only: the C helpers load one plugin, into the privileged process, and use the files where they cannot.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use world::{ALICE, Answer, BOB, CAROL, Install, ROOT, Target, User, World, theirs, tree};

/// What every plugin begins with. `asked` keeps a log.
const INTERFACE: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum subid_type { UID = 1, GID = 2 };
enum subid_status { SUCCESS, UNKNOWN_USER, ERROR_CONN, ERROR };

static void say(const char *text)
{
    int fd = open("/tmp/asked", O_WRONLY | O_APPEND);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) _exit(99);
    close(fd);
}

static void asked(const char *owner, unsigned long start, unsigned long count, int type)
{
    char line[200];
    snprintf(line, sizeof line, "%s %lu %lu %d\n", owner, start, count, type);
    say(line);
}

enum subid_status shadow_subid_has_range(const char *owner, unsigned long start, unsigned long count,
                                         enum subid_type type, bool *result)
"#;

/// Gives alice 800000 to 809999 and her own ids nothing.
const GOOD: &str = "{
    asked(owner, start, count, type);
    if (strcmp(owner, \"alice\")) return UNKNOWN_USER;
    *result = start >= 800000 && start + count <= 810000;
    return SUCCESS;
}";

/// Where the C library of this machine looks first.
fn libraries() -> String {
    format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH)
}

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status().expect("run");
    assert!(status.success(), "{program} {args:?}: {status}");
}

/// A machine whose library directory, and `/usr/lib64`, are its own.
fn enter(test: impl FnOnce(&World) + Send) {
    if theirs() {
        return;
    }
    World::enter(|world| {
        for directory in [&*libraries(), "/usr/lib64"] {
            let place = format!("/run/world/overlay{}", directory.replace('/', "-"));
            for part in ["upper", "work"] {
                fs::create_dir_all(format!("{place}/{part}")).expect("mkdir");
                fs::set_permissions(format!("{place}/{part}"), fs::Permissions::from_mode(0o755))
                    .expect("chmod");
            }
            let options = format!("lowerdir={directory},upperdir={place}/upper,workdir={place}/work");
            run("mount", &["-n", "-t", "overlay", "-o", &options, "overlay", directory]);
        }
        forget();
        fs::set_permissions("/tmp/asked", fs::Permissions::from_mode(0o666)).expect("chmod");
        test(world);
    });
}

/// Compiles a plugin whose function has this body. More may follow it.
fn plugin(name: &str, body: &str) {
    compile(name, &format!("{INTERFACE}{body}\n"));
}

fn compile(name: &str, source: &str) {
    let file = format!("/run/world/{name}.c");
    fs::write(&file, source).expect("write");
    run("gcc", &["-shared", "-fPIC", "-w", "-o", &path_of(name), &file]);
    fs::set_permissions(path_of(name), fs::Permissions::from_mode(0o644)).expect("chmod");
}

fn path_of(name: &str) -> String {
    format!("{}/libsubid_{name}.so", libraries())
}

fn sources(world: &World, line: &str) {
    world.write("/etc/nsswitch.conf", format!("passwd: files\ngroup: files\nsubid: {line}\n"));
}

fn policy(world: &World, text: &str) {
    for file in ["/etc/subuid", "/etc/subgid"] {
        world.write(file, text);
    }
}

/// What plugins were asked since the last time.
fn asked() -> String {
    let text = fs::read_to_string("/tmp/asked").expect("read");
    forget();
    text
}

fn forget() {
    fs::write("/tmp/asked", "").expect("write");
}

const HELPERS: [(&str, &str, u32); 2] = [("newuidmap", "uid", 1), ("newgidmap", "gid", 2)];

fn ask(world: &World, user: User, target: &Target, triples: &[&str]) -> [Answer; 2] {
    HELPERS.map(|(helper, ..)| {
        let mut command = world.command(user, &format!("/usr/bin/{helper}"));
        world.run(command.arg(target.pid()).args(triples.iter().flat_map(|triple| triple.split(' '))))
    })
}

#[track_caller]
fn granted(world: &World, user: User, triples: &[&str]) {
    let target = world.target(user);
    for answer in ask(world, user, &target, triples) {
        answer.succeeds();
    }
    let map = triples.join("\n");
    assert_eq!(
        (target.uid_map(), target.gid_map(), target.setgroups()),
        (map.clone(), map, "allow".to_owned())
    );
}

/// `XID` in the reason is uid or gid.
#[track_caller]
fn refused(world: &World, user: User, triples: &[&str], reason: &str) {
    let target = world.target(user);
    for (answer, (_, kind, _)) in ask(world, user, &target, triples).iter().zip(HELPERS) {
        answer.refuses(" not allowed: ").refuses(&reason.replace("XID", kind));
    }
    target.assert_untouched();
}

/// One's own ids are one's own, and setgroups is denied.
#[track_caller]
fn own_ids_work(world: &World, user: User) {
    let (target, map) = (world.target(user), format!("0 {} 1", user.id));
    for answer in ask(world, user, &target, &[&map]) {
        answer.succeeds();
    }
    assert_eq!(
        (target.uid_map(), target.gid_map(), target.setgroups()),
        (map.clone(), map, "deny".to_owned())
    );
}

/// What a source says, as the refusal has it.
fn says(name: &str, what: &str) -> String {
    format!("not allowed: the subid source \"{name}\" of /etc/nsswitch.conf {what}")
}

#[test]
fn a_plugin_grants_to_whom_and_what_it_says() {
    enter(|world| {
        plugin("good", GOOD);
        sources(world, "good");
        for how in [Install::SetUid, Install::FileCapabilities, Install::Both] {
            world.install(how);
            forget();
            granted(world, ALICE, &["0 800000 10000"]);
            assert_eq!(asked(), "alice 800000 10000 1\nalice 800000 10000 2\n");
            granted(world, ALICE, &["0 52001 1", "1 800000 5", "100 809999 1"]);
            assert_eq!(
                asked(),
                "alice 800000 5 1\nalice 809999 1 1\nalice 800000 5 2\nalice 809999 1 2\n",
                "the own id is hers in any case"
            );
            for beyond in ["0 799999 2", "0 809999 2", "0 600000 1", "0 0 1", "0 0 4294967295"] {
                refused(
                    world,
                    ALICE,
                    &[beyond],
                    "is not granted to alice by \"good\" (subid: in /etc/nsswitch.conf)",
                );
            }
            refused(
                world,
                ALICE,
                &["0 800000 1", "1 700000 1"],
                "XID 700000 is not granted to alice by \"good\"",
            );
            refused(world, BOB, &["0 800000 1"], "XID 800000 is not granted to bob by \"good\"");
            own_ids_work(world, CAROL);
        }
        // Nearly as many as fit.
        let many: Vec<String> = (0..300).map(|n| format!("{n} {} 1", 800_000 + 2 * n)).collect();
        granted(world, ALICE, &many.iter().map(String::as_str).collect::<Vec<_>>());
        refused(
            world,
            ROOT,
            &["0 800000 1"],
            "to root by \"good\" (subid: in /etc/nsswitch.conf); root is not exempt",
        );
    });
}

/// What a caller may not read, no refusal tells him.
#[test]
fn sources_of_a_private_file_are_not_named() {
    enter(|world| {
        plugin("good", GOOD);
        plugin("bad", "{ return ERROR_CONN; }");
        for (line, says) in [
            (
                "good files",
                "XID 1 is not granted to alice by its sources (subid: in /etc/nsswitch.conf); XID 1 is not",
            ),
            ("bad", "a subid source of /etc/nsswitch.conf has not answered"),
            ("nowhere", "a subid source of /etc/nsswitch.conf has not answered"),
            ("Odd", "/etc/nsswitch.conf (subid:) is not as it should be"),
        ] {
            sources(world, line);
            fs::set_permissions("/etc/nsswitch.conf", fs::Permissions::from_mode(0o600)).expect("chmod");
            refused(world, ALICE, &["0 1 1"], says);
            let target = world.target(ALICE);
            for answer in ask(world, ALICE, &target, &["0 1 1"]) {
                let name = line.trim_end_matches(" files");
                assert!(!answer.stderr.contains(name), "{answer:?}");
            }
        }
    });
}

/// Differs: C asks by the login name.
#[test]
fn of_several_names_of_a_uid_a_plugin_is_asked_by_the_first() {
    enter(|world| {
        plugin("good", GOOD);
        sources(world, "good");
        world.append("/etc/passwd", "lass:x:52001:52001::/:/bin/sh\n");
        granted(world, ALICE, &["0 800000 1"]);
        assert_eq!(asked(), "alice 800000 1 1\nalice 800000 1 2\n");
    });
}

/// Where a private line of hers ends is not told by what the plugins are asked for.
#[test]
fn a_private_file_is_not_repeated_when_plugins_refuse_the_rest() {
    enter(|world| {
        plugin("good", GOOD);
        sources(world, "files good");
        for file in ["/etc/subuid", "/etc/subgid"] {
            fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("chmod");
        }
        let target = world.target(ALICE);
        for answer in ask(world, ALICE, &target, &["0 665000 1000"]) {
            answer.refuses("not allowed: it is not granted to alice by \"good\" (subid: in");
            assert!(!answer.stderr.contains("665536") && !answer.stderr.contains(":1"), "{answer:?}");
        }
        target.assert_untouched();
    });
}

#[test]
fn files_and_plugins_are_a_union_in_any_order() {
    enter(|world| {
        plugin("good", GOOD);
        for line in ["files good", "good files"] {
            sources(world, line);
            granted(world, ALICE, &["0 600000 65536"]);
            refused(
                world,
                BOB,
                &["0 700000 1", "1 600000 1"],
                "XID 600000 is not granted to bob by \"good\"",
            );
            forget();
            granted(world, ALICE, &["0 600000 65536"]);
            assert_eq!(asked(), "", "{line}: the files have all of it");
            granted(world, ALICE, &["0 800000 10", "10 600000 10"]);
            assert_eq!(asked(), "alice 800000 10 1\nalice 800000 10 2\n", "{line}");
            let in_files = "/etc/subXID:1 grants 600000-665535";
            refused(world, ALICE, &["0 810000 1"], in_files);
        }
        // A triple of which each has a part.
        policy(world, "alice:799990:15\nalice:809990:20\n");
        for line in ["files good", "good files"] {
            sources(world, line);
            forget();
            granted(world, ALICE, &["0 799990 10020"]);
            assert_eq!(asked(), "alice 800005 9985 1\nalice 800005 9985 2\n");
            refused(world, ALICE, &["0 799989 10"], "XID 799989 is not granted to alice by \"good\"");
        }
        // Who is not named is not asked.
        sources(world, "good");
        refused(world, ALICE, &["0 799990 20"], "XID 799990 is not granted to alice by \"good\" (subid: in");
        for file in ["/etc/subuid", "/etc/subgid"] {
            fs::set_permissions(file, fs::Permissions::from_mode(0o666)).expect("chmod");
        }
        granted(world, ALICE, &["0 800000 10"]);
        sources(world, "good files");
        let target = world.target(ALICE);
        for answer in ask(world, ALICE, &target, &["0 800000 10"]) {
            answer.refuses(" is not trusted: it can be written by others than root");
        }
    });
}

#[test]
fn several_plugins_are_asked_in_their_order_for_what_is_missing_until_nothing_is() {
    enter(|world| {
        plugin("good", GOOD);
        plugin(
            "more",
            "{ say(\"more \"); asked(owner, start, count, type); *result = start >= 900000; return SUCCESS; }",
        );
        plugin("bad", "{ say(\"bad \"); return ERROR_CONN; }");
        sources(world, "more good more files bad");
        granted(world, ALICE, &["0 800000 5", "5 900000 5"]);
        assert_eq!(
            asked(),
            "more alice 800000 5 1\nmore alice 900000 5 1\nalice 800000 5 1\n\
             more alice 800000 5 2\nmore alice 900000 5 2\nalice 800000 5 2\n"
        );
        granted(world, ALICE, &["0 900000 5"]);
        assert_eq!(asked(), "more alice 900000 5 1\nmore alice 900000 5 2\n");
        refused(world, ALICE, &["0 850000 1"], &says("bad", "answered: connection error"));
        forget();
        // One that fails is no obstacle where the others have all of it.
        for line in ["bad good", "bad files good", "nowhere good", "bad nowhere good"] {
            sources(world, line);
            granted(world, ALICE, &["0 800000 5"]);
        }
        sources(world, "bad good nowhere");
        refused(
            world,
            ALICE,
            &["0 850000 1"],
            "\"bad\" of /etc/nsswitch.conf answered: connection error; the subid source \"nowhere\" of \
             /etc/nsswitch.conf cannot be loaded: no libsubid_nowhere.so in /usr/lib/",
        );
    });
}

#[test]
fn only_success_and_true_is_a_yes_and_an_error_is_not_a_no() {
    enter(|world| {
        // Whatever the status, "true".
        plugin("odd", "{ *result = true; return (int) (start - 900010); }");
        policy(world, "alice:900011:1\n");
        for line in ["odd files", "files odd"] {
            sources(world, line);
            granted(world, ALICE, &["0 900010 1"]);
            granted(world, ALICE, &["0 900010 1", "1 900011 1"]);
            refused(world, ALICE, &["0 900010 1", "1 900012 1"], &says("odd", "answered: connection error"));
            refused(world, ALICE, &["0 900013 1"], &says("odd", "answered: error"));
            for odd in ["0 900009 1", "0 900014 1", "0 900265 1", "0 900266 1", "0 4294967294 1"] {
                refused(world, ALICE, &[odd], &says("odd", "answered: a status that is none"));
            }
        }
        sources(world, "odd");
        refused(world, ALICE, &["0 900011 1"], "XID 900011 is not granted to alice by \"odd\"");
        plugin("unset", "{ return SUCCESS; }");
        plugin("int", "{ *(int *) result = start == 900000; return SUCCESS; }");
        plugin("wide", "{ memset(result, 0, 16); *(long *) result = start == 900000; return SUCCESS; }");
        sources(world, "unset");
        refused(world, ALICE, &["0 900000 1"], "is not granted to alice by \"unset\"");
        for name in ["int", "wide"] {
            sources(world, name);
            granted(world, ALICE, &["0 900000 1"]);
            refused(world, ALICE, &["0 900001 1"], &format!("is not granted to alice by \"{name}\""));
        }
    });
}

#[test]
fn a_crash_or_an_exit_is_no_answer() {
    enter(|world| {
        for (name, body, what) in [
            ("segv", "*(volatile char *) 8 = 0;", "crashed (SIGSEGV)"),
            ("abrt", "abort();", "crashed (SIGABRT)"),
            ("kill", "raise(SIGKILL);", "crashed (SIGKILL)"),
            ("rt", "raise(SIGRTMIN + 3);", "crashed"),
            ("exit0", "exit(0);", "ended instead of answering (exit status 0)"),
            ("exit3", "_exit(3);", "ended instead of answering (exit status 3)"),
            ("close", "close(3);", "ended instead of answering (exit status 1)"),
            (
                "write",
                "if (write(3, \"\\0\\1\\0\\0\\0\\0\", 6) != 6) abort();",
                "answered something else than was asked",
            ),
            (
                "flood",
                "for (int i = 0; i < 1000; i++) if (write(3, \"yyyyyyyy\", 8) != 8) abort();",
                "answered something else than was asked",
            ),
        ] {
            eprintln!("{name}");
            // After a yes to one range: that does not count, either.
            plugin(name, &format!("{{ *result = true; if (start >= 800010) {{ {body} }} return SUCCESS; }}"));
            sources(world, &format!("{name} files"));
            granted(world, ALICE, &["0 800000 1"]);
            refused(world, ALICE, &["0 800000 1", "1 800010 1"], &says(name, what));
            granted(world, ALICE, &["0 600000 1"]);
        }
        // In the plugin's own start, and for one's own id.
        plugin(
            "start",
            "{ return ERROR; } __attribute__((constructor)) static void start(void) { abort(); }",
        );
        sources(world, "start files");
        refused(world, ALICE, &["0 800000 1"], &says("start", "crashed (SIGABRT)"));
        own_ids_work(world, ALICE);
        own_ids_work(world, CAROL);
    });
}

#[test]
fn a_plugin_that_hangs_is_given_up_after_25_seconds() {
    enter(|world| {
        plugin("hang", "{ for (;;) pause(); }");
        plugin(
            "deaf",
            "{ sigset_t all; sigfillset(&all); sigprocmask(SIG_SETMASK, &all, 0); signal(SIGTERM, SIG_IGN);
                          for (;;) pause(); }",
        );
        plugin(
            "start",
            "{ return ERROR; } __attribute__((constructor)) static void start(void) { for (;;) pause(); }",
        );
        let start = Instant::now();
        let oddities = ["block:all", "ignore:SIGALRM", "ignore:SIGCHLD", "env:LD_BIND_NOW=1"];
        std::thread::scope(|scope| {
            let mut runs = Vec::new();
            for (name, helper, triple) in [
                ("hang", "newuidmap", "0 800000 1"),
                ("deaf", "newgidmap", "0 800000 1"),
                ("start", "newuidmap", "0 800000 1"),
                ("hang", "newgidmap", "0 52001 1"),
            ] {
                sources(world, &format!("{name} files"));
                let target = world.target(ALICE);
                let mut command = world.launch(ALICE, &oddities, &format!("/usr/bin/{helper}"));
                command.env("HOME", "/").arg(target.pid()).args(triple.split(' '));
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
                let child = command.spawn().expect("spawn");
                let twin = child.id();
                // Until it has read nsswitch.conf: then the next one's may take its place.
                while children(twin).is_empty() {
                    assert!(start.elapsed() < Duration::from_secs(20), "{name} is not asked");
                    std::thread::sleep(Duration::from_millis(10));
                }
                runs.push((name, target, twin, scope.spawn(move || child.wait_with_output().expect("wait"))));
            }
            // It needs nobody's answer, so it waits for none.
            let target = world.target(ALICE);
            world.newuidmap(ALICE, &[&target.pid(), "0", "52001", "1"]).succeeds();
            assert!(start.elapsed() < Duration::from_secs(20));
            for (number, (name, target, twin, run)) in runs.into_iter().enumerate() {
                let plugins = children(twin);
                let output = run.join().expect("run");
                let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
                if number == 3 {
                    assert_eq!((output.status.code(), &*stderr), (Some(0), ""));
                    assert_eq!(
                        (target.gid_map(), target.setgroups()),
                        ("0 52001 1".to_owned(), "deny".to_owned())
                    );
                } else {
                    assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
                    assert!(stderr.contains(&says(name, "did not answer in 25 seconds")), "{stderr}");
                    target.assert_untouched();
                }
                for plugin in plugins {
                    assert!(!Path::new(&format!("/proc/{plugin}")).exists(), "{name} is left");
                }
            }
        });
        let taken = start.elapsed();
        assert!((Duration::from_secs(25)..Duration::from_secs(50)).contains(&taken), "{taken:?}");
    });
}

fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().map(|pid| pid.parse().expect("a pid")).collect()
}

#[test]
fn a_plugin_does_not_speak_on_our_streams_nor_read_from_them() {
    enter(|world| {
        plugin(
            "loud",
            "{
            char byte;
            puts(\"on stdout\"); fflush(stdout); fputs(\"on stderr\\n\", stderr);
            if (write(1, \"x\\n\", 2) != 2 || write(2, \"y\\n\", 2) != 2 || read(0, &byte, 1) != 0) abort();
            *result = start == 800000;
            return SUCCESS;
        } __attribute__((destructor)) static void end(void) { write(2, \"end\\n\", 4); }",
        );
        sources(world, "loud");
        granted(world, ALICE, &["0 800000 1"]);
        refused(world, ALICE, &["0 800001 1"], "is not granted to alice by \"loud\"");
        // Closed ones, and one that would be read for ever.
        let target = world.target(ALICE);
        let mut command = world.launch(ALICE, &["close:0", "close:1", "close:2"], "/usr/bin/newuidmap");
        command.args([&target.pid(), "0", "800000", "1"]);
        assert_eq!(world.run(&mut command).status, Some(0));
        assert_eq!(target.uid_map(), "0 800000 1");
    });
}

/// What a plugin finds out about itself, and what it tries.
const NOSY: &str = r#"{
    char text[8000], *line, *next;
    int fd = open("/proc/self/status", O_RDONLY);
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length < 0) abort();
    text[length] = 0;
    for (line = text; line; line = next) {
        if ((next = strchr(line, '\n'))) *next++ = 0;
        if (!strncmp(line, "Uid", 3) || !strncmp(line, "Gid", 3) || !strncmp(line, "NoNew", 5) ||
            (!strncmp(line, "Cap", 3) && strncmp(line, "CapBnd", 6)) || !strncmp(line, "Groups", 6)) {
            say(line); say("\n");
        }
    }
    for (fd = 0; fd < 5000; fd++)
        if (fcntl(fd, F_GETFD) != -1) { snprintf(text, sizeof text, "open %d\n", fd); say(text); }
    snprintf(text, sizeof text, "cwd %s dumpable %d\n", getcwd(text + 1000, 1000), prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
    say(text);
    say(getenv("SECRET") || getenv("PATH") ? "environment\n" : "no environment\n");
    if (getuid() && (!setuid(0) || !seteuid(0) || !setgid(0) || open("/etc/shadow", O_RDONLY) >= 0)) say("power\n");
    if (chown("/tmp/asked", 7, 7) == 0 || chroot("/tmp") == 0) say("power\n");
    *result = true;
    return SUCCESS;
}"#;

#[test]
fn a_plugin_has_the_callers_ids_no_capability_and_nothing_of_the_helpers() {
    enter(|world| {
        plugin("nosy", NOSY);
        sources(world, "nosy");
        for how in [Install::SetUid, Install::FileCapabilities, Install::Both] {
            world.install(how);
            for user in [ALICE, ROOT] {
                // The twin may be called by itself, too: then nobody has emptied the environment before.
                let programs = HELPERS.iter().flat_map(|(helper, ..)| {
                    [format!("/usr/bin/{helper}"), format!("/usr/libexec/nsgate/{helper}-nss")]
                });
                for program in programs {
                    let target = world.target(user);
                    let oddities =
                        ["open:7=r:/etc/passwd", "open:900=r:/etc/passwd", "cwd:/tmp", "env:SECRET=1"];
                    let mut command = world.launch(user, &oddities, &program);
                    world.run(command.env("HOME", "/").args([&target.pid(), "0", "800000", "1"])).succeeds();
                    let id = user.id;
                    let expected = format!(
                        "Uid:\t{id}\t{id}\t{id}\t{id}\nGid:\t{id}\t{id}\t{id}\t{id}\nGroups:\t{}\n\
                         CapInh:\t{none}\nCapPrm:\t{none}\nCapEff:\t{none}\nCapAmb:\t{none}\nNoNewPrivs:\t1\n\
                         open 0\nopen 1\nopen 2\nopen 3\ncwd / dumpable 0\nno environment\n",
                        "",
                        none = "0000000000000000",
                    );
                    assert_eq!(
                        asked().replace("Groups:\t \n", "Groups:\t\n"),
                        expected,
                        "{how:?} {user:?} {program}"
                    );
                }
            }
        }
    });
}

/// Every system call on the way to the plugin fails once. Whatever breaks, the plugin is not run with more than it should
/// have, and there is no map that it has not granted.
#[test]
fn a_failure_on_the_way_to_a_plugin_never_leaves_it_more() {
    enter(|world| {
        // The tracer gets hold of the twin while this one is asked, and so sees what comes for the next one.
        plugin("wait", "{ while (access(\"/tmp/go\", F_OK)) usleep(1000); return UNKNOWN_USER; }");
        plugin("nosy", NOSY);
        sources(world, "wait nosy");
        let none = "0000000000000000";
        let nothing =
            format!("CapInh:\t{none}\nCapPrm:\t{none}\nCapEff:\t{none}\nCapAmb:\t{none}\nNoNewPrivs:\t1\n");
        let runs = |call: &str, nth: u32, error: &str| {
            if Path::new("/tmp/go").exists() {
                fs::remove_file("/tmp/go").expect("remove");
            }
            forget();
            let target = world.target(ALICE);
            let mut command = world.launch(ALICE, &["open:7=r:/etc/passwd"], "/usr/bin/newgidmap");
            command.env("HOME", "/").args([&target.pid(), "0", "800000", "1"]);
            let twin = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawn");
            let start = Instant::now();
            let wait_for = |what: &dyn Fn() -> bool| {
                while !what() {
                    assert!(start.elapsed() < Duration::from_secs(10), "{call} {nth}: nothing happens");
                    std::thread::sleep(Duration::from_millis(1));
                }
            };
            wait_for(&|| !children(twin.id()).is_empty());
            let mut strace = world.command(ROOT, "/usr/bin/strace");
            let inject = format!("inject={call}:error={error}:when={nth}");
            strace.args(["-f", "-o", "/run/world/trace", "-e", &inject, "-p", &twin.id().to_string()]);
            let mut strace = strace.stderr(Stdio::null()).spawn().expect("strace");
            let status = format!("/proc/{}/status", twin.id());
            wait_for(&|| !fs::read_to_string(&status).expect("status").contains("TracerPid:\t0\n"));
            fs::write("/tmp/go", "").expect("write");
            let output = twin.wait_with_output().expect("wait");
            strace.wait().expect("wait");
            let trace = fs::read_to_string("/run/world/trace").expect("trace");

            let asked = asked();
            eprintln!(
                "{call} {nth} {error}: {:?} {}",
                output.status.code(),
                String::from_utf8_lossy(&output.stderr)
            );
            // One that was ended may have been ended in the middle of a sentence.
            if asked.contains("no environment\n") || output.status.code() == Some(0) && !asked.is_empty() {
                assert!(asked.contains(&nothing), "{call} {nth}: {asked}");
                assert!(
                    asked.contains("open 3\ncwd / dumpable 0\nno environment\n"),
                    "{call} {nth}: {asked}"
                );
                assert!(!asked.contains("power"), "{call} {nth}: {asked}");
            }
            if output.status.code() == Some(0) {
                assert_eq!(
                    (target.gid_map(), target.setgroups()),
                    ("0 800000 1".to_owned(), "allow".to_owned())
                );
            } else {
                target.assert_untouched();
            }
            (trace.contains("(INJECTED)"), !asked.is_empty())
        };
        for (call, times) in [("capset", 1), ("prctl", 3), ("chdir", 1), ("dup2", 3), ("dup3", 1)] {
            for nth in 1..=times {
                let (broken, asked) = runs(call, nth, "EPERM");
                assert!(broken && !asked, "{call} {nth}: broken {broken}, asked {asked}");
            }
        }
        // Kernels before 5.9 do not have it.
        assert_eq!(runs("close_range", 1, "ENOSYS"), (true, true));
        for (call, times) in [
            ("pipe2", 1),
            ("clone", 1),
            ("rt_sigaction", 1),
            ("kill", 1),
            ("wait4", 2),
            ("write", 1),
            ("poll", 2),
            ("read", 3),
            ("openat", 5),
        ] {
            for nth in 1..=times {
                for error in ["EPERM", "EINTR"] {
                    runs(call, nth, error);
                }
            }
        }
    });
}

/// A20
#[test]
fn the_caller_can_end_the_child_that_asks_but_not_answer_for_it() {
    enter(|world| {
        plugin("hang", "{ for (;;) pause(); }");
        sources(world, "hang");
        let target = world.target(ALICE);
        let mut command = world.launch(ALICE, &["ignore:SIGCHLD"], "/usr/bin/newuidmap");
        command.env("HOME", "/").args([&target.pid(), "0", "800000", "1"]);
        let twin = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawn");
        let start = Instant::now();
        let asking = loop {
            // Its last step before it loads the plugin is to close what it has inherited.
            let found = children(twin.id()).into_iter().find(|pid| {
                fs::read_to_string(format!("/proc/{pid}/maps"))
                    .is_ok_and(|maps| maps.contains("libsubid_hang.so"))
            });
            if let Some(pid) = found {
                break pid.to_string();
            }
            assert!(start.elapsed() < Duration::from_secs(10), "nobody is asked");
            std::thread::sleep(Duration::from_millis(1));
        };
        let as_alice = |script: &str| {
            let mut shell = world.command(ALICE, "/bin/sh");
            world.run(shell.args(["-c", script])).status == Some(0)
        };
        for pid in [&asking, &twin.id().to_string()] {
            for file in ["fd/3", "mem", "maps", "environ", "exe", "cwd/etc"] {
                assert!(!as_alice(&format!("exec 9</proc/{pid}/{file}")), "{file}");
            }
            assert!(!as_alice(&format!("echo yes >/proc/{pid}/fd/3")));
            let mut strace = world.command(ALICE, "/usr/bin/strace");
            let traced = world.run(strace.args(["-p", pid]));
            assert!(traced.stderr.contains("Operation not permitted"), "{traced:?}");
        }
        assert!(as_alice(&format!("kill -9 {asking}")));
        let output = twin.wait_with_output().expect("wait");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(1) && stderr.contains(&says("hang", "crashed (SIGKILL)")),
            "{stderr}"
        );
        target.assert_untouched();

        // And if he ends the helper, nobody is left.
        let mut command = world.command(ALICE, "/usr/bin/newuidmap");
        let mut twin = command.args([&target.pid(), "0", "800000", "1"]).spawn().expect("spawn");
        let start = Instant::now();
        while children(twin.id()).is_empty() {
            assert!(start.elapsed() < Duration::from_secs(10), "nobody is asked");
        }
        let asking = children(twin.id());
        std::thread::sleep(Duration::from_millis(200));
        assert!(as_alice(&format!("kill -9 {}", twin.id())));
        twin.wait().expect("wait");
        let gone = || !Path::new(&format!("/proc/{}", asking[0])).exists();
        while !gone() && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(gone());
    });
}

/// A15, A16, A18
#[test]
fn a_callers_limits_and_signals_refuse_or_change_nothing() {
    enter(|world| {
        plugin("good", GOOD);
        sources(world, "good files");
        for oddities in
            [&["ignore:SIGCHLD"][..], &["block:all"], &["ignore:SIGPIPE", "close:0"], &["umask:777"]]
        {
            let target = world.target(ALICE);
            let mut command = world.launch(ALICE, oddities, "/usr/bin/newgidmap");
            world.run(command.env("HOME", "/").args([&target.pid(), "0", "800000", "1"])).succeeds();
            assert_eq!((target.gid_map(), target.setgroups()), ("0 800000 1".to_owned(), "allow".to_owned()));
        }
        for limit in ["NPROC=0", "NOFILE=4", "NOFILE=6", "NOFILE=8", "FSIZE=0", "AS=4000000", "DATA=1000000"]
        {
            let target = world.target(ALICE);
            for own in [false, true] {
                let mut command = world.launch(ALICE, &[&format!("rlimit:{limit}")], "/usr/bin/newgidmap");
                let first = if own { "52001" } else { "800000" };
                let answer = world.run(command.env("HOME", "/").args([&target.pid(), "0", first, "1"]));
                eprintln!("{limit}: {answer:?}");
                let map = target.gid_map();
                match answer.status {
                    Some(0) => {
                        assert_eq!(map, format!("0 {first} 1"));
                        assert!(own == (target.setgroups() == "deny"), "{limit}");
                        break;
                    }
                    _ => assert_eq!((map, target.setgroups()), (String::new(), "allow".to_owned())),
                }
            }
        }
    });
}

/// D23
#[test]
fn a_plugin_that_cannot_be_loaded_is_named_with_the_reason() {
    enter(|world| {
        compile("empty", "int nothing;");
        compile(
            "unbound",
            &format!("{INTERFACE}{{ extern int nowhere_at_all(void); return nowhere_at_all(); }}"),
        );
        fs::write(path_of("text"), "not a library ".repeat(100)).expect("write");
        fs::write(path_of("nothing"), "").expect("write");
        fs::create_dir(path_of("directory")).expect("mkdir");
        nix::unistd::mkfifo(&*path_of("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o644))
            .expect("mkfifo");
        plugin("private", GOOD);
        fs::set_permissions(path_of("private"), fs::Permissions::from_mode(0o600)).expect("chmod");
        for (name, what) in [
            ("absent", "no libsubid_absent.so in "),
            ("empty", "it has no shadow_subid_has_range"),
            ("unbound", "undefined symbol: nowhere_at_all"),
            ("text", "invalid ELF header"),
            ("nothing", "file too short"),
            ("directory", "Is a directory"),
            ("fifo", "is not a regular file"),
            ("private", "Permission denied"),
        ] {
            sources(world, &format!("files {name}"));
            refused(world, ALICE, &["0 800000 1"], &says(name, "cannot be loaded: "));
            refused(world, ALICE, &["0 800000 1"], what);
            granted(world, ALICE, &["0 600000 1"]);
            own_ids_work(world, CAROL);
        }
        // What the C helpers of shadow 4.16 and later ask for, and what the plugins of the time before have.
        plugin("free", &format!("{GOOD} void shadow_subid_free(void *memory) {{ free(memory); }}"));
        plugin("nofree", GOOD);
        for name in ["free", "nofree"] {
            sources(world, name);
            granted(world, ALICE, &["0 800000 1"]);
        }
    });
}

/// D24
#[test]
fn a_plugin_that_root_alone_did_not_put_there_is_not_loaded() {
    enter(|world| {
        plugin("good", GOOD);
        let (library, place) = (libraries(), path_of("good"));
        sources(world, "good files");
        let distrusted = |what: &str| {
            forget();
            refused(
                world,
                ALICE,
                &["0 800000 1"],
                &says("good", &format!("cannot be loaded: {place} is not trusted: {what}")),
            );
            assert_eq!(asked(), "");
            granted(world, ALICE, &["0 600000 1"]);
            own_ids_work(world, CAROL);
        };
        let mode =
            |path: &str, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
        granted(world, ALICE, &["0 800000 1"]);

        for (writable, usual) in [(0o666, 0o644), (0o664, 0o644)] {
            mode(&place, writable);
            distrusted("it can be written by others than root");
            mode(&place, usual);
        }
        chown(&place, Some(ALICE.id), None).expect("chown");
        distrusted("it belongs to uid 52001");
        chown(&place, Some(0), None).expect("chown");
        for writable in [0o777, 0o775] {
            mode(&library, writable);
            distrusted("it or a directory on the way to it can be written");
        }
        mode(&library, 0o1777);
        distrusted("it is reached through a directory that others can write");
        mode(&library, 0o755);
        chown(&library, Some(BOB.id), None).expect("chown");
        distrusted("it or a directory on the way to it belongs to uid 52002");
        chown(&library, Some(0), None).expect("chown");

        // Links: root's to root's are fine, others not.
        fs::create_dir("/run/real").expect("mkdir");
        run("mv", &[&place, "/run/real/plugin.so"]);
        symlink("/run/real/plugin.so", &place).expect("symlink");
        granted(world, ALICE, &["0 800000 1"]);
        std::os::unix::fs::lchown(&place, Some(ALICE.id), None).expect("lchown");
        distrusted("it or a symbolic link on the way to it belongs to uid 52001");
        std::os::unix::fs::lchown(&place, Some(0), None).expect("lchown");
        mode("/run/real", 0o777);
        distrusted("it or a directory on the way to it can be written");
        fs::remove_file(&place).expect("remove");
        fs::copy("/run/real/plugin.so", "/tmp/plugin.so").expect("copy");
        symlink("/tmp/plugin.so", &place).expect("symlink");
        distrusted("it is reached through a directory that others can write");

        // The first that is there counts, not the first that would do.
        fs::copy("/run/real/plugin.so", "/usr/lib64/libsubid_good.so").expect("copy");
        mode("/usr/lib64/libsubid_good.so", 0o644);
        distrusted("it is reached through a directory that others can write");
        fs::remove_file(&place).expect("remove");
        granted(world, ALICE, &["0 800000 1"]);
    });
}

/// D24
#[test]
fn a_plugin_is_looked_for_nowhere_else() {
    enter(|world| {
        plugin("good", GOOD);
        let home = "/home/alice";
        run("mv", &[&path_of("good"), &format!("{home}/libsubid_good.so")]);
        sources(world, "good");
        let target = world.target(ALICE);
        let oddities = [
            &format!("cwd:{home}"),
            &format!("env:LD_LIBRARY_PATH={home}"),
            &format!("env:LD_PRELOAD={home}/libsubid_good.so"),
            &format!("env:LIBRARY_PATH={home}"),
        ];
        let oddities = oddities.map(String::as_str);
        let mut command = world.launch(ALICE, &oddities, "/usr/bin/newuidmap");
        world
            .run(command.args([&target.pid(), "0", "800000", "1"]))
            .refuses(&says("good", "cannot be loaded: no libsubid_good.so in "));
        assert_eq!(asked(), "");
        // Nor in the cache of the dynamic loader.
        fs::create_dir("/run/more").expect("mkdir");
        run("mv", &[&format!("{home}/libsubid_good.so"), "/run/more/libsubid_good.so"]);
        chown("/run/more/libsubid_good.so", Some(0), Some(0)).expect("chown");
        world.append("/etc/ld.so.conf", "/run/more\n");
        fs::create_dir_all("/var/cache/ldconfig").expect("mkdir");
        run("mount", &["-n", "-t", "tmpfs", "tmpfs", "/var/cache/ldconfig"]);
        run("ldconfig", &["-X"]);
        refused(world, ALICE, &["0 800000 1"], &says("good", "cannot be loaded: no libsubid_good.so in "));
    });
}

#[test]
fn a_yes_to_the_own_gid_keeps_setgroups_and_nothing_else_does() {
    enter(|world| {
        plugin(
            "own",
            "{ asked(owner, start, count, type); *result = start == 52001 && count == 1; return SUCCESS; }",
        );
        sources(world, "own");
        granted(world, ALICE, &["0 52001 1"]);
        assert_eq!(asked(), "alice 52001 1 2\n", "newuidmap has no need to know");
        own_ids_work(world, BOB);
        refused(world, ALICE, &["0 52001 2"], "XID 52001 is not granted to alice by \"own\"");
        plugin("broken", "{ *result = true; return ERROR_CONN; }");
        for line in ["broken", "absent", "own_ broken absent", "[NOTFOUND=return] own", "own ../own", "OWN"] {
            sources(world, line);
            own_ids_work(world, ALICE);
        }
        // Files first: they have it, so nobody is asked.
        sources(world, "own files");
        policy(world, "alice:52001:1\n");
        forget();
        granted(world, ALICE, &["0 52001 1"]);
        assert_eq!(asked(), "");
    });
}

#[test]
fn without_the_twin_a_plugin_cannot_be_asked() {
    enter(|world| {
        plugin("good", GOOD);
        world.remove_twins();
        for line in ["good files", "files good"] {
            sources(world, line);
            granted(world, ALICE, &["0 600000 65536"]);
            own_ids_work(world, ALICE);
            refused(
                world,
                ALICE,
                &["0 800000 1"],
                &says(
                    "good",
                    "cannot be asked: /usr/libexec/nsgate/newXIDmap-nss, which would ask it, cannot be run: No such file",
                ),
            );
        }
        assert_eq!(asked(), "");
    });
}

/// G12 again: without a plugin, and where the files have it all, nothing is started and nothing loaded. With one it is
/// the twin, and in it a child for each plugin that is asked, which runs no program.
#[test]
fn a_plugin_costs_one_exec_of_the_twin_and_one_child_and_nobody_else_pays() {
    enter(|world| {
        plugin("good", GOOD);
        plugin("no", "{ return UNKNOWN_USER; }");
        let trace_of = |first: &str| {
            let target = world.target(ALICE);
            let options = ["-f", "-o", "/run/world/trace", "-e", "trace=process,openat,open,dup3"];
            let mut command = world.strace(ALICE, &options, "/usr/bin/newuidmap");
            let status = world.run(command.args([&target.pid(), "0", first, "1"])).status;
            let trace = fs::read_to_string("/run/world/trace").expect("trace");
            if let Some((ours, _)) = trace.split_once("execve(\"/usr/libexec/nsgate/newuidmap-nss\"") {
                let (_, ours) = ours.split_once("/usr/bin/newuidmap").expect("the helper");
                let opened: Vec<&str> = ours.lines().filter(|line| line.contains("openat(")).collect();
                assert!(
                    opened.len() > 3 && opened.iter().all(|line| line.contains("O_CLOEXEC")),
                    "{opened:?}"
                );
            }
            let count = |words: &[&str]| {
                trace.lines().filter(|line| words.iter().any(|word| line.contains(word))).count()
            };
            // strace itself starts env's program with an execve.
            (status, count(&["execve("]), count(&["fork(", "clone(", "clone3("]), count(&["libsubid"]))
        };
        sources(world, "files");
        let (status, plain, ..) = trace_of("600000");
        assert_eq!(status, Some(0));
        assert_eq!(trace_of("800000"), (Some(1), plain, 0, 0));
        sources(world, "good no files");
        assert_eq!(trace_of("600000"), (Some(0), plain, 0, 0));
        assert_eq!(trace_of("52001"), (Some(0), plain, 0, 0));
        let (status, execs, children, loads) = trace_of("800000");
        assert_eq!((status, execs, children), (Some(0), plain + 1, 1));
        assert!(loads > 0, "the search looks for the wrong thing");
        let (status, execs, children, _) = trace_of("850000");
        assert_eq!((status, execs, children), (Some(1), plain + 1, 2));
    });
}

fn log_of(world: &World) -> UnixDatagram {
    let _ = world;
    fs::create_dir("/run/dev").expect("mkdir");
    for device in ["null", "zero", "full", "urandom", "random", "tty"] {
        let place = format!("/run/dev/{device}");
        fs::write(&place, "").expect("create");
        run("mount", &["-n", "--bind", &format!("/dev/{device}"), &place]);
    }
    run("mount", &["-n", "--rbind", "/run/dev", "/dev"]);
    let log = UnixDatagram::bind("/dev/log").expect("bind");
    fs::set_permissions("/dev/log", fs::Permissions::from_mode(0o666)).expect("chmod");
    log.set_read_timeout(Some(Duration::from_secs(5))).expect("time-out");
    log
}

#[test]
fn the_record_names_the_plugin_that_granted_or_failed() {
    enter(|world| {
        plugin("good", GOOD);
        plugin("bad", "{ return ERROR_CONN; }");
        policy(world, "alice:600000:10\nalice:799990:10\n");
        sources(world, "bad good files");
        let log = log_of(world);
        for (helper, kind, _) in HELPERS {
            let record = |triples: &str| {
                let target = world.target(ALICE);
                let mut command = world.command(ALICE, &format!("/usr/bin/{helper}"));
                world.run(command.arg(target.pid()).args(triples.split(' ')));
                let mut bytes = [0; 4096];
                let length = log.recv(&mut bytes).expect("a record");
                String::from_utf8_lossy(&bytes[..length]).into_owned()
            };
            let ends = |record: String, end: &str| assert!(record.ends_with(end), "{record}");
            ends(record("0 800000 10"), &format!(": host {kind}s 800000-800009 by subid source good"));
            ends(
                record("0 799990 20 20 52001 1"),
                &format!(
                    ": host {kind}s 799990-800009 by /etc/sub{kind}:2 and subid source good; host {kind} 52001, his own"
                ),
            );
            ends(record("0 600000 1"), &format!(": host {kind}s 600000 by /etc/sub{kind}:1"));
            let refused = record("0 850000 1");
            assert!(refused.contains("refused: uid 52001 target"), "{refused}");
            ends(refused, "the subid source \"bad\" of /etc/nsswitch.conf answered: connection error");
        }
        log.set_nonblocking(true).expect("nonblocking");
        assert!(log.recv(&mut [0; 10]).is_err(), "one record for each request");
    });
}

/// SSSD's own plugin, of Debian's package, without an SSSD: `tests/install-tools tests` puts it there.
#[test]
fn sssds_plugin_without_its_daemon_is_an_error_and_the_files_still_count() {
    let real = tree().join("target/tools/libsubid_sss.so");
    let bytes = fs::read(&real)
        .unwrap_or_else(|error| panic!("{}: {error}; run: tests/install-tools tests", real.display()));
    enter(|world| {
        fs::write(path_of("sss"), bytes).expect("write");
        for line in ["sss", "sss files", "files sss"] {
            sources(world, line);
            refused(world, ALICE, &["0 800000 1"], &says("sss", "answered: connection error"));
            own_ids_work(world, ALICE);
        }
        granted(world, ALICE, &["0 600000 65536"]);
    });
}

/// The static programs have no way to load anything.
#[test]
fn only_the_twins_can_load_a_plugin() {
    for (name, can) in
        [("newuidmap", false), ("newgidmap", false), ("newuidmap-nss", true), ("newgidmap-nss", true)]
    {
        let bytes = fs::read(tree().join("target/release").join(name)).expect("read");
        for text in ["shadow_subid_has_range", "/libsubid_"] {
            let has = bytes.windows(text.len()).any(|window| window == text.as_bytes());
            assert_eq!(has, can, "{name}: {text}");
        }
    }
}
