//! Every way to be refused, in one place: one sentence each, saying what was refused, by which rule, and what would
//! help. Printed once, in [`crate::main`].
//!
//! A refusal never tells an unprivileged caller what a file says that he could not read himself, and whatever others
//! chose is [`Quoted`] in it.

use std::borrow::Cow;
use std::ffi::CStr;
use std::fmt;

use nix::errno::Errno;

use crate::policy::idmap::{Kind, LONGEST_MAP, MOST_EXTENTS, NotGranted, Unfit};
use crate::policy::text::Quoted;

/// A refusal or failure. The process changes nothing more and exits with status 1.
#[derive(Debug)]
pub enum Error {
    /// The command line is not one.
    Usage {
        /// What is wrong with it.
        why: String,
        /// What it should look like.
        usage: &'static str,
    },
    /// A system call failed.
    System {
        /// What was being done.
        doing: Cow<'static, str>,
        /// What the kernel said.
        errno: Errno,
    },
    /// The kernel's account of our privileges is not what we set.
    NotReduced,
    /// A file is not root's alone.
    Untrusted {
        /// Which.
        path: String,
        /// Whose it is, or the directory or link on the way to it that is not trusted.
        owner: u32,
        /// In what way, and what would mend it.
        why: String,
    },
    /// The caller's uid has no account.
    NoAccount {
        /// The caller.
        uid: u32,
    },
    /// Who the caller is has to be asked elsewhere than in `/etc/passwd`, and the program that asks cannot be run.
    NoTwin {
        /// The caller.
        uid: u32,
        /// Is he in `/etc/passwd` all the same?
        in_files: bool,
        /// The program.
        twin: &'static CStr,
        /// What the kernel said.
        errno: Errno,
    },
    /// The host's name services did something else than to answer.
    NameServices {
        /// What, as a part of a sentence.
        instead: String,
    },
    /// The caller's descriptor is not of a process.
    NotAProcess {
        /// Its number.
        number: i32,
        /// What it is.
        what: &'static str,
    },
    /// The target is not the caller's.
    ForeignTarget {
        /// Caller's real uid and gid, and what they have to equal.
        caller: (u32, u32),
        /// His account's uid and login group.
        account: (u32, u32),
        /// The target's.
        target: (u32, u32),
    },
    /// The target's user namespace is not one that the caller made below his own.
    ForeignNamespace {
        /// The file that would have been written.
        kind: Kind,
        /// In what way.
        why: String,
    },
    /// A triple is not allowed.
    NotGranted {
        /// Which ids.
        kind: Kind,
        /// Which triple, and where it fails.
        refused: NotGranted,
        /// The rule behind it, and what would help.
        why: String,
    },
    /// The host's own policy is not as it should be.
    Settings {
        /// File and line.
        place: String,
        /// In what way.
        why: String,
    },
    /// Policy has changed since it was read.
    Changed,
    /// The host's own policy forbids it.
    Forbidden {
        /// What.
        what: String,
        /// The rule.
        rule: Rule,
    },
    /// The kernel would not take the map.
    Unfit {
        /// Which ids.
        kind: Kind,
        /// Why.
        why: Unfit,
    },
    /// A name on the command line cannot be one.
    BadName {
        /// Of what.
        what: &'static str,
        /// The name.
        name: Vec<u8>,
        /// In what way.
        why: &'static str,
    },
    /// The caller's path does not lead to a network namespace that he can open.
    NotANetns,
    /// The network namespace is not in the caller's power.
    ForeignNetns {
        /// The caller.
        uid: u32,
        /// In what way.
        why: &'static str,
    },
    /// The program was not started with what it needs.
    NoPrivilege {
        /// For what.
        doing: &'static str,
        /// The cause, and what would help.
        cause: String,
    },
    /// Policy has no line for this.
    NotAllotted {
        /// The caller's name.
        user: Vec<u8>,
        /// The bridge, or `none`.
        bridge: String,
        /// The rule behind it, and what would help.
        why: String,
    },
    /// All that policy allows is in use.
    QuotaReached {
        /// The caller's name.
        user: Vec<u8>,
        /// The bridge, or `none`.
        bridge: String,
        /// Each quota and how it is used.
        used: String,
    },
    /// What the interface should be attached to is not there, or no bridge.
    NoBridge {
        /// Its name.
        bridge: String,
        /// What it is instead, and what would help.
        why: String,
    },
    /// A file in which interfaces are counted is not as we wrote it.
    Ledger {
        /// Which.
        path: String,
        /// In what way, and what would help.
        why: &'static str,
    },
    /// The kernel has not made of an interface what was asked.
    NotAsAsked {
        /// The host end.
        interface: String,
        /// What differs.
        what: &'static str,
    },
    /// Open vSwitch did not do what was asked.
    OpenVswitch {
        /// What was being done.
        doing: String,
        /// How it failed.
        why: String,
    },
    /// Nobody could be told what was made.
    Unreported(Errno),
    /// What was made is not to stay, and could not be taken back.
    LeftBehind {
        /// Why it is not to stay.
        why: Box<Self>,
        /// The host end.
        interface: String,
        /// Why it stays.
        stays: Box<Self>,
    },
    /// Nothing that this user made has that name.
    NoRecord {
        /// The caller.
        uid: u32,
        /// The interface.
        interface: String,
        /// The bridge, or `none`.
        bridge: String,
    },
    /// The kernel would not let us deny setgroups.
    Setgroups {
        /// What it said.
        errno: Errno,
        /// The cause, and what would help.
        cause: String,
    },
    /// The kernel did not take the map, or would not.
    Map {
        /// What was being done, in the words that every FAQ quotes.
        doing: String,
        /// What the kernel said.
        errno: Errno,
        /// The cause, and what would help.
        cause: String,
    },
}

/// A rule of the host's own policy.
#[derive(Debug)]
pub struct Rule {
    /// What it says to a request.
    pub why: String,
    /// File, line and key.
    pub place: String,
}

impl Error {
    /// For `map_err`: what was being done when a system call failed.
    pub fn when(doing: impl Into<Cow<'static, str>>) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::System { doing: doing.into(), errno }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage { why, usage } => write!(f, "{why}; usage: {usage}"),
            Self::System { doing, errno } => write!(f, "{doing}: {}", errno.desc()),
            Self::NotReduced => {
                f.write_str("the kernel did not reduce this process's privileges as asked; not going on")
            }
            Self::Untrusted { path, why, .. } => write!(f, "{path} {why}"),
            Self::NoAccount { uid } => write!(
                f,
                "Cannot determine your user name: uid {uid} has no account on this host; add one to /etc/passwd"
            ),
            Self::NoTwin { uid, in_files, twin, errno } => write!(
                f,
                "Cannot determine your user name: {}, and {}, which asks the other sources of /etc/nsswitch.conf, cannot be run: {}",
                if *in_files {
                    "/etc/nsswitch.conf does not begin with files for passwd:".to_owned()
                } else {
                    format!("uid {uid} is not in /etc/passwd")
                },
                Quoted(twin.to_bytes()),
                errno.desc()
            ),
            Self::NameServices { instead } => {
                write!(f, "the name services of /etc/nsswitch.conf (passwd:, group:) {instead}")
            }
            Self::NotAProcess { number, what } => write!(f, "fd:{number} is {what}"),
            Self::ForeignTarget { caller, account, target } => write!(
                f,
                "Target process is owned by a different user: uid:{} pw_uid:{} st_uid:{}, gid:{} pw_gid:{} st_gid:{}; \
                 {}",
                caller.0,
                account.0,
                target.0,
                caller.1,
                account.1,
                target.1,
                if caller != target {
                    "it must run as the caller, with the caller's group"
                } else {
                    "the caller's group is not his login group, which only GRANT_AUX_GROUP_SUBIDS yes in \
                     /etc/login.defs allows"
                }
            ),
            Self::ForeignNamespace { kind, why } => {
                write!(f, "write to {} failed: {}: {why}", kind.map_file(), Errno::EPERM.desc())
            }
            Self::NotGranted { kind, refused, why } => {
                write!(f, "{} range {} not allowed: {why}", kind.word(), refused.triple)
            }
            Self::Settings { place, why } => {
                write!(f, "{place}: {why}; nothing is granted until root has mended it")
            }
            Self::Changed => f.write_str("policy has been changed just now; call again"),
            Self::Forbidden { what, rule } => write!(f, "{what} not allowed: {} ({})", rule.why, rule.place),
            Self::Unfit { kind, why } => write_unfit(f, *kind, why),
            Self::BadName { what, name, why } => write!(f, "{what} \"{}\" {why}", Quoted(name)),
            Self::NotANetns => f.write_str(
                "Failed while opening netns file: not a path to a network namespace that the caller can open",
            ),
            Self::ForeignNetns { uid, why } => {
                write!(f, "uid {uid} may not modify that network namespace: {why}")
            }
            Self::NoPrivilege { doing, cause } => write!(f, "cannot {doing}: {cause}"),
            Self::NotAllotted { user, bridge, why } => {
                write!(f, "{} is not allowed a veth on {}: {why}", Quoted(user), Quoted(bridge.as_bytes()))
            }
            Self::QuotaReached { user, bridge, used } => {
                write!(
                    f,
                    "Quota reached: {} has no veth on {} left: {used}",
                    Quoted(user),
                    Quoted(bridge.as_bytes())
                )
            }
            Self::NoBridge { bridge, why } => write!(f, "{} {why}", Quoted(bridge.as_bytes())),
            Self::Ledger { path, why } => write!(f, "{} {why}", Quoted(path.as_bytes())),
            Self::NotAsAsked { interface, what } => {
                write!(f, "the kernel did not give {interface} {what}")
            }
            Self::OpenVswitch { doing, why } => write!(f, "{doing}: {why}"),
            Self::Unreported(errno) => {
                write!(f, "cannot say what was made, so it is not kept: standard output: {}", errno.desc())
            }
            Self::LeftBehind { why, interface, stays } => write!(
                f,
                "{why}; and not all of {interface} could be taken back ({stays}): what is left counts until the next create, or \
                 nsgate gc, removes it"
            ),
            Self::NoRecord { uid, interface, bridge } => write!(
                f,
                "Caller is not allowed to delete network device {}: uid {uid} has made none of that name on {} in a quota \
                 of his or of a group that this process is in",
                Quoted(interface.as_bytes()),
                Quoted(bridge.as_bytes())
            ),
            Self::Setgroups { errno, cause } => {
                write!(f, "couldn't open process setgroups: {}: {cause}", errno.desc())
            }
            Self::Map { doing, errno, cause } => write!(f, "{doing} failed: {}: {cause}", errno.desc()),
        }
    }
}

fn write_unfit(f: &mut fmt::Formatter<'_>, kind: Kind, why: &Unfit) -> fmt::Result {
    let (word, file) = (kind.word(), kind.map_file());
    match why {
        Unfit::OverlapInside(a, b) => {
            write!(f, "{word} ranges {a} and {b} overlap inside the namespace; an id can be mapped once")
        }
        Unfit::OverlapOutside(a, b) => {
            write!(f, "{word} ranges {a} and {b} share host ids; a host id can be mapped once")
        }
        Unfit::TooMany(extents) => {
            write!(
                f,
                "{extents} extents; the kernel takes at most {MOST_EXTENTS} in a {file}; merge adjoining ranges"
            )
        }
        Unfit::TooLong(bytes) => {
            write!(
                f,
                "the {file} would have {bytes} bytes; the kernel takes at most {LONGEST_MAP}; use fewer ranges"
            )
        }
        Unfit::NotInParent(id) => write!(
            f,
            "host {word} {id} does not exist in the caller's own user namespace (/proc/self/{file}), so it cannot be \
             mapped into a new one"
        ),
        Unfit::Nothing => write!(f, "no {word} range given"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_line_and_keeps_the_phrases_that_people_search_for() {
        let foreign = Error::ForeignTarget { caller: (1, 2), account: (1, 2), target: (0, 0) }.to_string();
        assert!(foreign.starts_with(
            "Target process is owned by a different user: uid:1 pw_uid:1 st_uid:0, gid:2 pw_gid:2 st_gid:0; "
        ));
        let system = Error::when("open x")(Errno::ENOENT).to_string();
        assert_eq!(system, "open x: No such file or directory");
        assert!(!foreign.contains('\n'));
    }
}
