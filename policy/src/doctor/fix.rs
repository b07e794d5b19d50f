//! What `--fix` does: little, and nothing that could take away what somebody wanted.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use common::os::sysctl;
use common::policy::nic::InterfaceName;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, fstat};

use crate::tool;

/// One deed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fix {
    /// Makes a helper set-user-ID again.
    SetUid {
        /// The helper.
        path: &'static str,
    },
    /// Gives a helper its capability again.
    Capability {
        /// The helper.
        path: &'static str,
        /// Which.
        capability: String,
    },
    /// Has a bridge ignore router advertisements, now and after the next boot.
    AcceptRa {
        /// The bridge.
        bridge: InterfaceName,
    },
}

const DIRECTORY: &str = "/etc/sysctl.d";

impl Fix {
    /// Does it, and says what was done.
    ///
    /// # Errors
    /// Why it could not be done.
    pub(super) fn apply(&self) -> Result<String, String> {
        match self {
            Self::SetUid { path } => {
                set_uid(path).map_err(|errno| errno.desc().to_owned())?;
                Ok(format!("chmod 4755 {path}"))
            }
            Self::Capability { path, capability } => {
                let word = format!("{capability}=ep");
                let said = tool::ask("setcap", &[&word, path]).ok_or("setcap could not be run")?;
                if said.ok { Ok(self.to_string()) } else { Err(super::quoted(&said.stderr)) }
            }
            Self::AcceptRa { bridge } => {
                sysctl::directory()
                    .and_then(|directory| sysctl::set(&directory, "ipv6", bridge, "accept_ra", "0"))
                    .map_err(|error| error.to_string())?;
                let path = file_of(bridge);
                // With slashes: there may be dots in its name.
                let text = format!(
                    "# nsgate doctor: what a container calls a router is none of the host's.\n\
                     net/ipv6/conf/{}/accept_ra = 0\n",
                    bridge.as_str()
                );
                std::fs::create_dir_all(DIRECTORY).map_err(|error| error.to_string())?;
                let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
                let mut options = OpenOptions::new();
                options.write(true).create_new(true).mode(0o644).custom_flags(flags);
                match options.open(&path).and_then(|mut file| file.write_all(text.as_bytes())) {
                    Ok(()) => Ok(self.to_string()),
                    Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                        Ok(format!("set accept_ra of {bridge} to 0; {path} was there already"))
                    }
                    Err(error) => Err(format!("set for now, but {path} could not be written: {error}")),
                }
            }
        }
    }
}

/// By descriptor, so that what is looked at is what is changed.
fn set_uid(path: &str) -> nix::Result<()> {
    let file = open(path, OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
    let status = fstat(&file)?;
    if status.st_uid != 0 || status.st_mode & (Mode::S_IWGRP | Mode::S_IWOTH).bits() != 0 {
        return Err(nix::errno::Errno::EPERM);
    }
    let itself = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    let mode = Mode::from_bits_truncate(0o4755);
    fchmodat(nix::fcntl::AT_FDCWD, itself.as_str(), mode, FchmodatFlags::FollowSymlink)
}

fn file_of(bridge: &InterfaceName) -> String {
    format!("{DIRECTORY}/60-nsgate-{}.conf", bridge.as_str())
}

impl fmt::Display for Fix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetUid { path } => write!(f, "chmod 4755 {path}"),
            Self::Capability { path, capability } => write!(f, "setcap {capability}=ep {path}"),
            Self::AcceptRa { bridge } => {
                write!(
                    f,
                    "set accept_ra of {bridge} to 0, now and in {}",
                    super::quoted(file_of(bridge).as_bytes())
                )
            }
        }
    }
}
