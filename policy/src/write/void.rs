//! What makes a grant void, or somebody else's word too: the helpers do not go by the file, or refuse everybody.

use common::policy::nsswitch::Nsswitch;
use common::policy::text::Quoted;

use crate::cli::PolicyFile;
use crate::machine::Machine;
use crate::root::Root;

/// What there is to say of a grant in these files, as the helpers would find them.
pub fn notes(root: &Root, files: &[PolicyFile]) -> Vec<String> {
    let machine = match Machine::of(root) {
        Ok(machine) => machine,
        Err(failure) => return vec![failure.to_string()],
    };
    let mut notes = Vec::new();
    let refuses = |helpers: &str, why: &dyn std::fmt::Display| {
        format!("{helpers} every request, this grant or not: {why}")
    };
    for file in files {
        let (name, helper) = match file {
            PolicyFile::Subuid => ("subuid", "newuidmap refuses"),
            PolicyFile::Subgid => ("subgid", "newgidmap refuses"),
            PolicyFile::LxcUsernet => ("lxc/lxc-usernet", "lxc-user-nic refuses"),
            // It grants nothing.
            PolicyFile::NsgateIni => continue,
        };
        match machine.policy(name) {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => notes.push(refuses(helper, &error)),
            Err(failure) => notes.push(failure.to_string()),
        }
    }
    match machine.host_policy() {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => notes.push(refuses("the helpers refuse", &error)),
        Err(failure) => notes.push(failure.to_string()),
    }
    match machine.nsswitch() {
        Ok(Ok(nsswitch)) if files.contains(&PolicyFile::Subuid) => notes.extend(sources(&nsswitch, root)),
        Ok(Ok(_)) => {}
        Ok(Err(error)) => notes.push(refuses("the helpers refuse", &error)),
        Err(failure) => notes.push(failure.to_string()),
    }
    notes
}

/// Do `/etc/subuid` and `/etc/subgid` count, and they alone?
fn sources(nsswitch: &Nsswitch, root: &Root) -> Option<String> {
    let line = "the subid: line of /etc/nsswitch.conf";
    match nsswitch.subid_sources() {
        Err(word) => Some(format!(
            "newuidmap and newgidmap refuse every request, this grant or not: {line} has \"{}\" on it, which \
             is no name of a source",
            Quoted(word)
        )),
        Ok(sources) if !sources.files => Some(format!(
            "this grants nothing: {line} does not name files, so what is in /etc/subuid and /etc/subgid does not count"
        )),
        Ok(sources) if !sources.plugins.is_empty() => Some(format!(
            "{line} names other sources too, so these files alone do not decide; see {} doctor",
            root.nsgate()
        )),
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_line_of_sources_means_for_the_files_is_said() {
        for (line, said) in [
            ("", None),
            ("subid: files", None),
            ("subid: sss", Some("this grants nothing")),
            ("subid: files sss", Some("these files alone do not decide")),
            ("subid: files [NOTFOUND=return] sss", Some("refuse every request")),
        ] {
            let note = sources(&Nsswitch::parse(line.as_bytes()), &Root::open(None).unwrap());
            assert_eq!(note.is_some(), said.is_some(), "{line}");
            assert!(note.unwrap_or_default().contains(said.unwrap_or_default()), "{line}");
        }
    }
}
