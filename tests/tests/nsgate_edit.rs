//! `nsgate edit`: what comes back from an editor, whatever it has done, and what becomes of the file.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use world::{Answer, ROOT, World};

const SUBUID: &str = "alice:600000:65536\nbob:700000:65536\n";

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Edits with a script for an editor, whose `$1` is the draft, and these answers on standard input.
fn edit(world: &World, file: &str, script: &str, answers: &str) -> Answer {
    let path = "/run/world/editor";
    fs::write(path, format!("#!/bin/sh\n{script}\n")).expect("write");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
    edit_with(world, file, path, answers)
}

fn edit_with(world: &World, file: &str, editor: &str, answers: &str) -> Answer {
    fs::write("/run/answers", answers).expect("write");
    let mut command = world.nsgate(ROOT);
    command.args(["edit", file]).env("EDITOR", editor);
    command.stdin(Stdio::from(fs::File::open("/run/answers").expect("open")));
    world.run_within(Duration::from_secs(60), &mut command)
}

#[track_caller]
fn assert_installed(answer: &Answer) {
    assert_eq!(answer.status, Some(0), "{answer:?}");
    assert!(answer.stdout.contains("is installed"), "{answer:?}");
    assert_clean();
}

/// Nothing was installed, and the last line says why.
#[track_caller]
fn assert_refused(answer: &Answer, phrase: &str) {
    assert_eq!(answer.status, Some(1), "{answer:?}");
    let last = answer.stderr.lines().last().unwrap_or_default();
    assert!(last.contains("nsgate: ") && last.contains(phrase), "{phrase:?} is not in {answer:?}");
    assert_eq!(text("/etc/subuid"), SUBUID, "{answer:?}");
    assert_clean();
}

#[track_caller]
fn assert_clean() {
    let left = |directory: &str| {
        let names = fs::read_dir(directory).expect("read").map(|entry| entry.expect("entry").file_name());
        let names = names.map(|name| name.into_string().unwrap_or_default());
        let ours = |name: &String| {
            name.contains("nsgate-edit") || name.contains(".nsgate.") || name == "subuid.lock"
        };
        names.filter(ours).collect::<Vec<_>>()
    };
    assert_eq!([left("/etc"), left("/run"), left("/tmp")].concat(), Vec::<String>::new(), "was left behind");
}

/// M12
#[test]
fn a_good_text_is_installed_and_an_unchanged_one_is_not() {
    World::enter(|world| {
        let before = fs::metadata("/etc/subuid").expect("metadata").modified().expect("time");
        let answer = edit(world, "subuid", "exit 0", "");
        assert!(answer.status == Some(0) && answer.stdout.contains("nothing was changed"), "{answer:?}");
        assert_eq!(fs::metadata("/etc/subuid").expect("metadata").modified().expect("time"), before);
        // The draft is root's alone, in a directory that is root's alone; the lock is held; the password lock is not.
        let look = "stat -c %a:%u:%g \"$1\" \"$(dirname \"$1\")\" >/run/seen; ls /etc/subuid.lock >>/run/seen; \
                    flock -n /etc/.pwd.lock true; echo carol:900000:65536 >>\"$1\"; touch \"$1~\" \"$(dirname \"$1\")/.swp\"";
        assert_installed(&edit(world, "subuid", look, ""));
        assert_eq!(text("/run/seen"), "600:0:0\n700:0:0\n/etc/subuid.lock\n");
        assert_eq!(
            (text("/etc/subuid"), text("/etc/subuid-")),
            (format!("{SUBUID}carol:900000:65536\n"), SUBUID.to_owned())
        );
        // What was not there begins with remarks that say how to write it; unchanged, it is not installed.
        drop(fs::remove_file("/etc/nsgate.ini"));
        edit(world, "nsgate.ini", "exit 0", "");
        assert!(!Path::new("/etc/nsgate.ini").exists());
        assert_installed(&edit(world, "nsgate.ini", "sed -i 's/^;max-ids/max-ids/' \"$1\"", ""));
        assert!(text("/etc/nsgate.ini").contains("\nmax-ids = 65537\n"));
    });
}

/// M12
#[test]
fn a_broken_text_is_installed_only_if_somebody_says_so() {
    World::enter(|world| {
        let spoil = "sed -i 's/^bob:/bob,/' \"$1\"";
        for (answers, asked) in [("", 1), ("x\n", 1), ("what\n\nq\nx\n", 4), ("X", 1), (&"y".repeat(1000), 2)]
        {
            let answer = edit(world, "subuid", spoil, answers);
            assert_refused(&answer, "discarded");
            assert!(answer.stdout.contains("error: /etc/subuid:2: "), "{answer:?}");
            assert_eq!(answer.stderr.matches("What now?").count(), asked, "{answer:?}");
        }
        // Again: now it mends it.
        let answer =
            edit(world, "subuid", "sed -i 's/^bob:/bob,/; t; s/^bob,/bob:/; s/70/80/' \"$1\"", "e\n");
        assert_installed(&answer);
        assert_eq!(text("/etc/subuid"), SUBUID.replace("bob:70", "bob:80"));
        world.write("/etc/subuid", SUBUID);
        assert_installed(&edit(world, "subuid", spoil, "Q\n"));
        assert_eq!(text("/etc/subuid"), SUBUID.replace("bob:", "bob,"));
        // What is only worth knowing is called so.
        let answer = edit(world, "subuid", "echo bob:800000:65536 >\"$1\"", "");
        assert!(answer.stdout.contains("info: /etc/subuid:1: "), "{answer:?}");
    });
}

/// M12: with it, every helper would refuse everybody.
#[test]
fn a_broken_nsgate_ini_is_never_installed() {
    World::enter(|world| {
        let break_it = "printf '[idmap]\\nnone-such = 1\\n' >\"$1\"";
        for (old, answers, asked) in [(None, "", 1), (None, "Q\n", 2), (Some("[idmap]\n"), "Q\nQ\nx\n", 3)] {
            if let Some(old) = old {
                world.write("/etc/nsgate.ini", old);
            }
            let answer = edit(world, "nsgate.ini", break_it, answers);
            assert!(answer.status == Some(1) && answer.stdout.contains("none-such"), "{answer:?}");
            assert_eq!(answer.stderr.matches("(e)dit again, (x) discard: ").count(), asked, "{answer:?}");
            assert_eq!(answer.stderr.matches("\"Q\" is none of e and x\n").count(), asked - 1, "{answer:?}");
            assert_eq!(fs::read_to_string("/etc/nsgate.ini").ok().as_deref(), old, "{answer:?}");
            assert_clean();
        }
        // Of 1 MiB they read it.
        let of_size = |size: u32| format!("yes '#' | head -c {size} >\"$1\"");
        assert_refused(&edit(world, "nsgate.ini", &of_size(1_048_577), ""), "discarded");
        assert_installed(&edit(world, "nsgate.ini", &of_size(1_048_576), ""));
        // An editor that leaves nothing takes away no rule; somebody who means it says so.
        let rule = "[idmap]\noverlap = refuse\n";
        world.write("/etc/nsgate.ini", rule);
        let answer = edit(world, "nsgate.ini", ": >\"$1\"", "Q\n");
        assert!(
            answer
                .stdout
                .contains("/etc/nsgate.ini would be empty; a remark in it says that it is meant so\n"),
            "{answer:?}"
        );
        assert_eq!(fs::read_to_string("/etc/nsgate.ini").expect("read"), rule);
        assert_installed(&edit(world, "nsgate.ini", "echo '# none' >\"$1\"", ""));
    });
}

/// M12
#[test]
fn an_editor_that_fails_or_leaves_something_else_installs_nothing() {
    World::enter(|world| {
        for (script, phrase) in [
            ("exit 3", "ended with status 3"),
            ("kill -9 $$", "ended by signal 9"),
            ("echo carol:900000:1 >>\"$1\"; exit 3", "discarded"),
            ("echo carol:900000:1 >>\"$1\"; kill -9 $$", "discarded"),
            ("rm \"$1\"", "removed"),
            ("rm -r \"$(dirname \"$1\")\"", "removed"),
            (": >\"$1\"", "discarded"),
            ("ln -sf /etc/shadow \"$1\"", "symbolic link"),
            ("rm \"$1\"; mkfifo \"$1\"", "no regular file"),
            ("rm \"$1\"; mkdir \"$1\"", "no regular file"),
            ("truncate -s 300M \"$1\"", "larger"),
        ] {
            let answer = edit(world, "subuid", script, "");
            assert_refused(&answer, phrase);
        }
    });
}

/// M12, CVE-2023-22809: an editor's words are words.
#[test]
fn the_editor_is_words_and_no_shell_sees_them() {
    World::enter(|world| {
        for editor in [
            "vi -- /etc/shadow",
            "vi --",
            "true; touch /run/pwned",
            "$(touch /run/pwned)",
            "/nonexistent/editor",
        ] {
            let answer = edit_with(world, "subuid", editor, "");
            assert_refused(&answer, if editor.contains("--") { "--" } else { "cannot start the editor" });
            assert_eq!(answer.stderr.lines().count(), 1, "{answer:?}");
        }
        assert!(!Path::new("/run/pwned").exists());
        // VISUAL wins, so the command that names another sets that.
        let mut command = world.nsgate(ROOT);
        command.args(["edit", "subuid"]).env("VISUAL", "/nonexistent/editor -nw");
        assert_refused(&world.run(&mut command), "to choose another: VISUAL=vi nsgate edit subuid");
        assert_installed(&edit_with(world, "subuid", " sed  -i\t-e s/700000/800000/ ", ""));
        assert_eq!(text("/etc/subuid"), SUBUID.replace("700000", "800000"));
        // VISUAL comes first; empty is unset.
        let mut command = world.nsgate(ROOT);
        command.args(["edit", "subuid"]).env("VISUAL", "sed -i s/800000/900000/").env("EDITOR", "false");
        assert_installed(&world.run(&mut command));
        let mut command = world.nsgate(ROOT);
        command.args(["edit", "subuid"]).env("VISUAL", " ").env("EDITOR", "sed -i s/900000/800000/");
        assert_installed(&world.run(&mut command));
    });
}

/// M12: somebody wrote the file while the editor was open, and asked nobody.
#[test]
fn what_another_program_wrote_meanwhile_is_not_overwritten() {
    World::enter(|world| {
        let answer =
            edit(world, "subuid", "echo carol:900000:65536 >>\"$1\"; echo zoe:1000000:1 >>/etc/subuid", "");
        assert_eq!(answer.status, Some(1), "{answer:?}");
        assert!(answer.stderr.contains("was changed meanwhile"), "{answer:?}");
        assert_eq!(text("/etc/subuid"), format!("{SUBUID}zoe:1000000:1\n"));
        let kept = answer.stderr.rsplit(' ').next().expect("a path").trim();
        assert_eq!(text(kept), format!("{SUBUID}carol:900000:65536\n"), "{answer:?}");
    });
}

/// M01: useradd does not write while the editor is open; groupadd, passwd(1) and the like need not care. shadow's programs wait for
/// the password lock alone, which would keep everybody from everything for as long as somebody thinks.
#[test]
fn useradd_keeps_off_while_the_editor_is_open() {
    World::enter(|world| {
        let script = "echo carol:900000:65536 >>\"$1\"; touch /run/open; sleep 2";
        fs::write("/run/world/slow", format!("#!/bin/sh\n{script}\n")).expect("write");
        fs::set_permissions("/run/world/slow", fs::Permissions::from_mode(0o755)).expect("chmod");
        let mut command = world.nsgate(ROOT);
        command.args(["edit", "subuid"]).env("EDITOR", "/run/world/slow").stdout(Stdio::piped());
        let editing = command.spawn().expect("start");
        while !Path::new("/run/open").exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let groupadd = world.run(world.command(ROOT, "/usr/sbin/groupadd").arg("quick"));
        assert_eq!(groupadd.status, Some(0), "{groupadd:?}");
        assert_eq!(text("/etc/subuid"), SUBUID, "groupadd did not wait");
        let useradd = || {
            world.run_within(
                Duration::from_secs(60),
                world.command(ROOT, "/usr/sbin/useradd").args(["-M", "newton"]),
            )
        };
        let meanwhile = useradd();
        assert!(meanwhile.status != Some(0) && meanwhile.stderr.contains("/etc/subuid"), "{meanwhile:?}");
        assert!(editing.wait_with_output().expect("wait").status.success());
        assert_eq!(text("/etc/subuid"), format!("{SUBUID}carol:900000:65536\n"));
        assert_eq!(useradd().status, Some(0));
        let after = text("/etc/subuid");
        assert!(after.starts_with(&format!("{SUBUID}carol:900000:65536\nnewton:")), "{after}");
        assert_clean();
    });
}

/// M12: on a terminal, an interrupt is the editor's.
#[test]
fn an_interrupt_while_the_editor_is_open_is_the_editors() {
    World::enter(|world| {
        let script = "trap '' INT; sleep 0.3; kill -INT $PPID; sleep 0.2; echo carol:900000:65536 >>\"$1\"";
        assert_installed(&edit(world, "subuid", script, ""));
        // At the question it is ours: the lock of who is killed is stale, and the next one takes it over.
        fs::write("/run/world/spoil", "#!/bin/sh\necho x >>\"$1\"; touch /run/spoilt\n").expect("write");
        fs::set_permissions("/run/world/spoil", fs::Permissions::from_mode(0o755)).expect("chmod");
        let before = text("/etc/subuid");
        let mut command = world.nsgate(ROOT);
        command
            .args(["edit", "subuid"])
            .env("EDITOR", "/run/world/spoil")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped());
        let mut asking = command.stdout(Stdio::null()).spawn().expect("start");
        let mut stderr = asking.stderr.take().expect("stderr");
        let mut byte = [0];
        std::io::Read::read_exact(&mut stderr, &mut byte).expect("the question");
        let pid = asking.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
        let ended = asking.wait().expect("wait");
        assert!(!ended.success());
        asking.stdin.take().map(|mut stdin| stdin.write_all(b"Q\n"));
        assert_eq!(text("/etc/subuid"), before);
        for entry in fs::read_dir("/run").expect("read").flatten() {
            if entry.file_name().to_string_lossy().starts_with("nsgate-edit") {
                fs::remove_dir_all(entry.path()).expect("remove");
            }
        }
        assert_installed(&edit(world, "subuid", "sed -i /carol/d \"$1\"", ""));
    });
}
