//! Commands that an administrator may copy into a shell. Names in policy files may be chosen by somebody who hopes for that.

use common::policy::id::Range;
use common::policy::text::{Quoted, is_tame};

use crate::cli::PolicyFile;

use super::machine::{Machine, Policy};

/// Bytes made fit for a terminal, all of them.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    // Quoted shows so many without a cut.
    bytes.chunks(64).map(|part| Quoted(part).to_string()).collect()
}

/// One word to a shell, whatever is in it.
#[must_use]
pub fn word(bytes: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+:@%,=".contains(byte);
    if !bytes.is_empty() && bytes.iter().all(plain) {
        return bytes.iter().copied().map(char::from).collect();
    }
    // $'...' has the same escapes as ours: \n, \t, \r, \\ and \xHH. A shell that does not know it ends the quotes at a \', so
    // there is none: to that one it is another word, but one.
    format!("$'{}'", shown(bytes).replace("\\\"", "\"").replace("\\'", "\\x27"))
}

/// A name as the same word to every shell of POSIX, and as no option or group: as it is, or in plain quotes, as the backslash of a domain's user
/// needs them. None: a name with anything else in it is in no command.
#[must_use]
pub fn plain_word(name: &[u8]) -> Option<String> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-@\\".contains(byte);
    if matches!(name, [] | [b'-' | b'@', ..]) || !name.iter().all(plain) {
        return None;
    }
    let word: String = name.iter().copied().map(char::from).collect();
    Some(if word.contains('\\') { format!("'{word}'") } else { word })
}

/// What makes a bridge of this name, if that may be in a command.
#[must_use]
pub fn make_bridge(name: &[u8]) -> Option<String> {
    plain_word(name).map(|name| format!("ip link add name {name} type bridge && ip link set dev {name} up"))
}

/// `nsgate`, for this machine.
#[must_use]
pub fn nsgate(machine: &Machine) -> String {
    machine.root.as_ref().map_or("nsgate".to_owned(), |root| format!("nsgate --root {}", word(root)))
}

/// Opens the file at the line.
#[must_use]
pub fn edit(machine: &Machine, policy: &Policy, line: u32) -> String {
    if policy.draft {
        return editor(&policy.found.path, line);
    }
    let file = match policy.file {
        PolicyFile::Subuid => "subuid",
        PolicyFile::Subgid => "subgid",
        PolicyFile::LxcUsernet => "lxc-usernet",
        PolicyFile::NsgateIni => "nsgate.ini",
    };
    format!("{} edit {file}", nsgate(machine))
}

/// The same for nsswitch.conf. None of an image: whoever owns that may have put a link there before root has run the command.
#[must_use]
pub fn edit_nsswitch(machine: &Machine, path: &[u8], line: u32) -> Option<String> {
    machine.root.is_none().then(|| editor(path, line))
}

/// Opens a file that `nsgate edit` is not for, at the line. Without quotes: the editor may have arguments.
fn editor(path: &[u8], line: u32) -> String {
    format!("${{EDITOR:-vi}} +{line} {}", word(path))
}

/// What mends a line: a filter over the whole file if there is one, and nobody but root can lead it elsewhere before it is run.
#[must_use]
pub fn filter_or_edit(machine: &Machine, policy: &Policy, line: u32, script: Option<&str>) -> String {
    match script {
        Some(script) if !policy.draft && machine.root.is_none() && policy.found.is_roots_alone() => {
            format!("sed -i '{script}' {}", word(&policy.found.path))
        }
        _ => edit(machine, policy, line),
    }
}

/// Is one of the files not in its place? Then what follows from comparing them is not so on the machine, where a command would act.
fn has_draft(machine: &Machine) -> bool {
    machine.files.iter().any(|policy| policy.draft)
}

/// Gives an owner other ids in place of these.
#[must_use]
pub fn move_away(machine: &Machine, policy: &Policy, owner: &[u8], (range, line): (Range, u32)) -> String {
    if has_draft(machine) || !is_tame(owner) {
        return edit(machine, policy, line);
    }
    let (nsgate, count) = (nsgate(machine), range.count());
    let revoke = revoke(machine, policy, owner, (range, line));
    format!("{revoke} && {nsgate} grant ids {} --count {count}", word(owner))
}

/// Takes these ids from an owner, in both files.
#[must_use]
pub fn revoke(machine: &Machine, policy: &Policy, owner: &[u8], (range, line): (Range, u32)) -> String {
    if has_draft(machine) || !is_tame(owner) {
        return edit(machine, policy, line);
    }
    let (nsgate, owner, first, count) = (nsgate(machine), word(owner), range.first(), range.count());
    format!("{nsgate} revoke ids {owner} --start {first} --count {count}")
}

/// Gives an owner these ids, in that one of the files where he has them not. It is refused if somebody else has them.
#[must_use]
pub fn grant_these(machine: &Machine, policy: &Policy, owner: &[u8], (range, line): (Range, u32)) -> String {
    if has_draft(machine) || !is_tame(owner) {
        return edit(machine, policy, line);
    }
    let (nsgate, owner, first, count) = (nsgate(machine), word(owner), range.first(), range.count());
    format!("{nsgate} grant ids {owner} --start {first} --count {count}")
}

/// Gives an owner ids.
#[must_use]
pub fn grant(machine: &Machine, policy: &Policy, owner: &[u8], line: u32) -> String {
    if has_draft(machine) || !is_tame(owner) {
        return edit(machine, policy, line);
    }
    format!("{} grant ids {} --count 65536", nsgate(machine), word(owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_one_word_to_a_shell_whatever_is_in_it() {
        for hostile in [
            &b"/etc/subuid"[..],
            b"",
            b"a b",
            b"$(id)",
            b"'; id; '",
            b"\\\"x\"\\",
            b"`id`",
            b"a\nb\x1b[2J\x07",
            b"\xff\xfe\x80",
            b"*",
            b"~",
            b"#x",
            b"!!",
            b"a';id;#",
            b"a\\';id;#",
            b"a\\\\'';id;#",
        ] {
            let said = |shell: &str, script: &str| {
                let output = std::process::Command::new(shell).args(["-c", script]).output().unwrap();
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
            };
            let script = format!("printf %s {}", word(hostile));
            assert_eq!(said("bash", &script), String::from_utf8_lossy(hostile), "{script}");
            let script = format!("set -- {}; echo $#", word(hostile));
            assert_eq!(said("dash", &script), "1\n", "{script}");
        }
    }

    #[test]
    fn a_plain_word_is_the_name_to_any_shell() {
        for name in ["alice", "jo.d@x.org", "_a-b", "7", "DOM\\fred", "DOM\\\\n", "a\\"] {
            let word = plain_word(name.as_bytes()).unwrap();
            for shell in ["bash", "dash"] {
                let script = format!("printf %s {word}");
                let output = std::process::Command::new(shell).args(["-c", &script]).output().unwrap();
                assert_eq!(output.stdout, name.as_bytes(), "{script}");
            }
        }
        for name in ["", "-x", "@lab", "a';id;#", "a b", "$(id)", "~", "a\nb", "M\u{fc}ller", "a$", "a=b"] {
            assert_eq!(plain_word(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn a_name_that_is_not_tame_is_in_no_command() {
        let machine = Machine::default();
        let policy = Policy::of(PolicyFile::Subuid, super::super::machine::Content::Absent);
        let range = Range::new(common::policy::id::Id::new(5).unwrap(), 3).unwrap();
        for hostile in [&b"$(id)"[..], b"a b", b"-x", b"", b"a;b", b"a\nb", b"DOM\\user"] {
            for command in [revoke, grant_these, move_away] {
                assert_eq!(command(&machine, &policy, hostile, (range, 1)), "nsgate edit subuid");
            }
        }
        assert_eq!(
            grant_these(&machine, &policy, b"alice", (range, 1)),
            "nsgate grant ids alice --start 5 --count 3"
        );
    }

    /// The manual allows an editor arguments.
    #[test]
    fn an_editor_of_several_words_opens_the_file() {
        for (set, says) in [("EDITOR='echo -nw'", "-nw +7 /tmp/a b\n"), ("EDITOR=echo", "+7 /tmp/a b\n")] {
            let script = format!("{set}; {}", editor(b"/tmp/a b", 7));
            let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), says, "{script}");
        }
    }
}
