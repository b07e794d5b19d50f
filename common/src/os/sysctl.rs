//! Settings of one interface that only `/proc/sys/net` has: `ip-sysctl` in the kernel's documents.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::write;

use super::landlock;
use crate::Error;
use crate::policy::nic::InterfaceName;

/// Where they are.
const DIRECTORY: &str = "/proc/sys/net";

/// The directory that they are in.
///
/// # Errors
/// It cannot be opened.
pub fn directory() -> Result<OwnedFd, Error> {
    landlock::directory(DIRECTORY).map_err(Error::when("open /proc/sys/net"))
}

/// Sets `net.FAMILY.conf.INTERFACE.KEY`, in the network namespace that we are in.
///
/// # Errors
/// There is no such setting, or the kernel refuses.
pub fn set(
    directory: &OwnedFd,
    family: &str,
    interface: &InterfaceName,
    key: &str,
    value: &str,
) -> Result<(), Error> {
    let path = format!("{family}/conf/{}/{key}", interface.as_str());
    let refused = || Error::when(format!("set {DIRECTORY}/{path}"));
    let file = openat(
        directory,
        path.as_str(),
        OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .map_err(refused())?;
    match write(&file, value.as_bytes()) {
        Ok(written) if written == value.len() => Ok(()),
        Ok(_) => Err(refused()(Errno::EIO)),
        Err(errno) => Err(refused()(errno)),
    }
}
