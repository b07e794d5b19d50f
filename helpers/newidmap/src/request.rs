//! The command line: `TARGET [ID LOWERID COUNT]...`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use common::Error;
use common::os::target::Named;
use common::policy::id::decimal;
use common::policy::idmap::Triple;
use common::policy::refusal;
use common::policy::text::Quoted;

use crate::Program;

/// A command line of the right shape. The numbers are looked at later: whose target it is comes first.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) target: Named,
    words: &'a [&'a OsStr],
    program: &'static Program,
}

impl<'a> Request<'a> {
    pub(crate) fn parse(program: &'static Program, args: &'a [&'a OsStr]) -> Result<Self, Error> {
        let usage = |why: String| Error::Usage { why, usage: program.usage };
        let Some((target, words)) = args.split_first() else {
            return Err(usage("no target given".to_owned()));
        };
        if let Some(why) = refusal::not_triples(program.kind, words.len()) {
            return Err(usage(why));
        }
        let target = match parse_target(target) {
            Some(Target::Pid(pid)) => Named::Pid(pid),
            Some(Target::Descriptor(number)) => Named::descriptor(number)?,
            None => {
                let target = Quoted(target.as_bytes());
                return Err(usage(format!(
                    "target \"{target}\" is neither a pid nor fd:N, in plain decimal"
                )));
            }
        };
        Ok(Self { target, words, program })
    }

    /// The triples, every one of them a legal pair of ranges.
    pub(crate) fn triples(&self) -> Result<Vec<Triple>, Error> {
        refusal::triples(self.program.kind, self.words)
            .map_err(|why| Error::Usage { why, usage: self.program.usage })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Target {
    Pid(i32),
    Descriptor(i32),
}

fn parse_target(word: &OsStr) -> Option<Target> {
    let number = |digits| i32::try_from(decimal(digits).ok()?).ok();
    match word.as_bytes().strip_prefix(b"fd:") {
        Some(digits) => number(digits).map(Target::Descriptor),
        None => number(word.as_bytes()).filter(|pid| *pid > 0).map(Target::Pid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_plain_pid_or_descriptor() {
        let parse = |word: &str| parse_target(OsStr::new(word));
        assert_eq!(parse("1"), Some(Target::Pid(1)));
        assert_eq!(parse("2147483647"), Some(Target::Pid(i32::MAX)));
        assert_eq!(parse("fd:0"), Some(Target::Descriptor(0)));
        assert_eq!(parse("fd:2147483647"), Some(Target::Descriptor(i32::MAX)));
        for word in [
            "",
            "0",
            "-0",
            "-1",
            " 1",
            "+1",
            "1 ",
            "1x",
            "0x1",
            "01",
            "２",
            "self",
            "2147483648",
            "4294967297",
            "99999999999999999999",
            "fd:",
            "fd:-1",
            "fd:+3",
            "fd: 3",
            "fd:3x",
            "fd:03",
            "fd:2147483648",
            "FD:3",
            "--",
        ] {
            assert_eq!(parse(word), None, "{word:?}");
        }
    }
}
