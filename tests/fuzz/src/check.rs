//! `nsgate check`, over what an administrator, or somebody else, has written into the four policy files.

use nsgate::accounts::Accounts;
use nsgate::check::machine::People;
use nsgate::check::{Content, Finding, Machine, Policy, RULES, findings, text};
use nsgate::cli::PolicyFile;

const PASSWD: &[u8] = b"root:x:0:0:::\nalice:x:1000:1000:::\nbob:x:1001:1001:::\n1500:x:1002:1002:::\n";
const GROUP: &[u8] = b"root:x:0:\nalice:x:1000:\nlab:x:300000:\n";

/// The four files, with a byte between them that is in no text: each by itself, and all together on a machine.
pub fn check(data: &[u8]) {
    let mut parts = data.splitn(4, |byte| *byte == 0xff);
    let files = PolicyFile::ALL.map(|file| (file, parts.next().unwrap_or_default()));
    for (file, bytes) in files {
        text(file, bytes).iter().for_each(|finding| may_be_said(finding, &files));
    }
    let accounts = Accounts::of(PASSWD, GROUP, false);
    let people =
        People { users: accounts.users().to_vec(), groups: accounts.groups().to_vec(), all_asked: true };
    let machine = Machine {
        files: files.map(|(file, bytes)| Policy::of(file, Content::Bytes(bytes.to_vec()))).into(),
        people: Some(people),
        ..Machine::default()
    };
    findings(&machine).iter().for_each(|finding| may_be_said(finding, &files));
}

/// Of a rule that there is, in a line that there is, and fit for a terminal.
fn may_be_said(finding: &Finding, files: &[(PolicyFile, &[u8])]) {
    let Finding { rule, place, message, fix } = finding;
    assert!(RULES.iter().any(|known| known.id == rule.id), "{}", rule.id);
    let (_, bytes) = files.iter().find(|(file, _)| file.path() == &*place.file).expect("one of the files");
    let newlines = bytes.iter().filter(|byte| **byte == b'\n').count();
    let lines = newlines + usize::from(bytes.last().is_some_and(|last| *last != b'\n'));
    let is_there = |line: u32| (1..=lines).contains(&usize::try_from(line).expect("a number"));
    assert!(place.line.is_none_or(is_there), "{finding:?} of {lines} lines");
    for said in [Some(message), fix.as_ref()].into_iter().flatten() {
        assert!(said.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{said:?}");
    }
}
