//! Settings of one interface that only `/proc/sys/net` has: `ip-sysctl` in the kernel's documents.

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::write;

use super::trusted::open;
use crate::Error;
use crate::policy::nic::InterfaceName;

/// Sets `net.FAMILY.conf.INTERFACE.KEY`, in the network namespace that we are in.
///
/// # Errors
/// There is no such setting, or the kernel refuses.
pub fn set(family: &str, interface: &InterfaceName, key: &str, value: &str) -> Result<(), Error> {
    let path = format!("/proc/sys/net/{family}/conf/{}/{key}", interface.as_str());
    let refused = || Error::when(format!("set {path}"));
    let file = open(path.as_str(), OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(refused())?;
    match write(&file, value.as_bytes()) {
        Ok(written) if written == value.len() => Ok(()),
        Ok(_) => Err(refused()(Errno::EIO)),
        Err(errno) => Err(refused()(errno)),
    }
}
