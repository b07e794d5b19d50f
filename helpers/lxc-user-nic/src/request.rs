//! The command line.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use common::Error;
use common::policy::id::decimal;
use common::policy::nic::{Attachment, InterfaceName};
use common::policy::text::Quoted;
use common::policy::usernet::VETH;

use crate::USAGE;

/// What is asked. Every name in it is a possible name.
#[derive(Debug)]
pub(crate) enum Request<'a> {
    /// Make an interface in the network namespace of a process.
    Create {
        /// 1 to 2147483647.
        pid: i32,
        /// Where its host end goes.
        attachment: Attachment,
        /// Its name in there. None: the next free ethN.
        name: Option<InterfaceName>,
        /// What LXC calls the container.
        container: &'a OsStr,
    },
    /// Remove one.
    Delete {
        /// To a network namespace of the caller's.
        netns: &'a Path,
        /// Where its host end is.
        attachment: Attachment,
        /// The host end.
        name: InterfaceName,
    },
}

impl<'a> Request<'a> {
    pub(crate) fn parse(args: &[&'a OsStr]) -> Result<Self, Error> {
        let usage = |why: String| Error::Usage { why, usage: USAGE };
        // LXCPATH is for the caller's own use: rootlesskit passes /dev/null, and dummy for NAME.
        let (command, container, target, kind, on, name) = match args {
            [command, _path, container, target, kind, on] => {
                (*command, *container, *target, *kind, *on, None)
            }
            [command, _path, container, target, kind, on, name] => {
                (*command, *container, *target, *kind, *on, Some(*name))
            }
            [] => return Err(usage("no command given".to_owned())),
            _ => return Err(usage(format!("a command is 6 or 7 words, and {} were given", args.len()))),
        };
        if command != "create" && command != "delete" {
            return Err(usage(format!("\"{}\" is neither create nor delete", Quoted(command.as_bytes()))));
        }
        if kind != VETH {
            let name = kind.as_bytes().to_vec();
            return Err(Error::BadName {
                what: "type",
                name,
                why: "is not one that can be made; there is only veth",
            });
        }
        let bad = |what, name: &OsStr, why| Error::BadName { what, name: name.as_bytes().to_vec(), why };
        let attachment = Attachment::parse(on.as_bytes()).map_err(|why| bad("bridge name", on, why))?;
        let interface = |name: &OsStr| {
            InterfaceName::parse(name.as_bytes()).map_err(|why| bad("interface name", name, why))
        };
        if command == "create" {
            let pid = decimal(target.as_bytes())
                .ok()
                .and_then(|pid| i32::try_from(pid).ok())
                .filter(|pid| *pid > 0);
            let pid = pid.ok_or_else(|| {
                usage(format!(
                    "Could not read pid: \"{}\" is none, in plain decimal",
                    Quoted(target.as_bytes())
                ))
            })?;
            let name = name.filter(|name| !name.is_empty()).map(interface).transpose()?;
            Ok(Self::Create { pid, attachment, name, container })
        } else {
            let name = name.ok_or_else(|| usage("no interface to delete given".to_owned()))?;
            Ok(Self::Delete { netns: Path::new(target), attachment, name: interface(name)? })
        }
    }
}
