//! What `--fix` does: little, and nothing that could take away what somebody wanted.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use common::os::sysctl;
use common::policy::nic::InterfaceName;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, fstat};

use crate::root::Root;
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
    /// Does it.
    ///
    /// # Errors
    /// Why it could not be done.
    pub(super) fn apply(&self) -> Result<(), String> {
        match self {
            Self::SetUid { path } => set_uid(path).map_err(|errno| errno.desc().to_owned()),
            Self::Capability { path, capability } => {
                let word = format!("{capability}=ep");
                let said = tool::ask("setcap", &[&word, path]).ok_or("setcap could not be run")?;
                if said.ok { Ok(()) } else { Err(super::quoted(&said.stderr)) }
            }
            Self::AcceptRa { bridge } => {
                sysctl::directory()
                    .and_then(|directory| sysctl::set(&directory, "ipv6", bridge, "accept_ra", "0"))
                    .map_err(|error| error.to_string())?;
                let path = file_of(bridge);
                let text = format!(
                    "# nsgate doctor: what a container calls a router is none of the host's.\n{} = 0\n",
                    key_of(bridge)
                );
                std::fs::create_dir_all(DIRECTORY).map_err(|error| error.to_string())?;
                let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
                let mut options = OpenOptions::new();
                options.write(true).create_new(true).mode(0o644).custom_flags(flags);
                match options.open(&path).and_then(|mut file| file.write_all(text.as_bytes())) {
                    Ok(()) => Ok(()),
                    Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                        let there = Root::open(None).and_then(|root| root.read(&path));
                        let there = there.map_err(|failure| format!("set for now, but {failure}"))?;
                        let says = there.is_some_and(|text| sets_to_0(&text.bytes, &key_of(bridge)));
                        if says {
                            Ok(())
                        } else {
                            Err(format!(
                                "set for now, but {} is there and does not say so",
                                super::quoted(path.as_bytes())
                            ))
                        }
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

/// With slashes: there may be dots in its name.
fn key_of(bridge: &InterfaceName) -> String {
    format!("net/ipv6/conf/{}/accept_ra", bridge.as_str())
}

/// Does a file of sysctl.d(5) set this key, with slashes, to 0? Its last line about it counts.
fn sets_to_0(text: &[u8], key: &str) -> bool {
    let text = String::from_utf8_lossy(text);
    let mut values = text.lines().filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        // What begins with a dash may fail.
        let name = name.trim().trim_start_matches('-').trim_start();
        (with_slashes(name) == key).then(|| value.trim())
    });
    values.next_back() == Some("0")
}

/// A key whose first separator is a dot has slashes for the dots of a name.
fn with_slashes(key: &str) -> String {
    if key.chars().find(|letter| "./".contains(*letter)) == Some('/') {
        return key.to_owned();
    }
    let swap = |letter| match letter {
        '.' => '/',
        '/' => '.',
        letter => letter,
    };
    key.chars().map(swap).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_sets_a_key_to_0_if_its_last_line_about_it_does() {
        let says = |text: &str| sets_to_0(text.as_bytes(), "net/ipv6/conf/br.7/accept_ra");
        assert!(says("# x\nnet/ipv6/conf/br.7/accept_ra = 0\n") && says("net.ipv6.conf.br/7.accept_ra=0"));
        assert!(
            says("-net/ipv6/conf/br.7/accept_ra=0")
                && says(
                    "net/ipv6/conf/br.7/accept_ra=1\n\
                       net/ipv6/conf/br.7/accept_ra=0"
                )
        );
        for other in [
            "",
            "# net/ipv6/conf/br.7/accept_ra = 0",
            "; net/ipv6/conf/br.7/accept_ra = 0",
            "net/ipv6/conf/br.7/accept_ra = 1",
            "net/ipv6/conf/br.7/accept_ra = 0\nnet/ipv6/conf/br.7/accept_ra = 2",
            "net/ipv6/conf/br/accept_ra = 0",
            "net.ipv6.conf.br.7.accept_ra = 0",
            "net/ipv6/conf/br.7/accept_ra 0",
        ] {
            assert!(!says(other), "{other}");
        }
    }
}
