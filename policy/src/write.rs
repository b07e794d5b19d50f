//! The verbs that change a policy file.
//!
//! The order is the same in all of them: may he; the locks that `useradd` and its kin take; the file as it is, byte for byte;
//! the new text, made by pure functions (`lines`, `allocate`); everything written beside the old file and on the disk; and
//! only then the renames.

use nix::sys::stat::fstat;
use nix::unistd::geteuid;

use crate::failure::Failure;
use crate::root::Root;

pub mod allocate;
pub mod edit;
pub mod grant;
pub mod lines;
pub mod live;
pub mod lock;
pub mod owner;
pub mod place;
pub mod quota;
pub mod replace;
pub mod report;
pub mod revoke;
pub mod taken;
pub mod void;

/// Refuses at once whoever could not finish: only root writes the policy of this machine, and that of an image only root or
/// whoever owns it.
///
/// # Errors
/// He is neither; or he is root, and a link leads to the image.
pub fn may(root: &Root) -> Result<(), Failure> {
    let caller = geteuid();
    if caller.is_root() {
        if !root.is_by_a_link() {
            return Ok(());
        }
        // Who owns a directory on the way may have put it there after root has looked.
        return Err(Failure::new(
            "the directory of --root is named by way of a symbolic link, which may lead elsewhere by now: name the directory itself",
        ));
    }
    if root.is_live() {
        return Err(Failure::new("only root can change the policy of this machine: call it with sudo"));
    }
    let owner =
        fstat(root.directory()).map_err(Failure::when("cannot look at the directory of --root"))?.st_uid;
    if owner == caller.as_raw() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "the directory of --root belongs to uid {owner}: only he and root can change what is in it"
    )))
}
