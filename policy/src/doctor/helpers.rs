//! The helpers' own files: there, root's, and with the privilege that they need.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use common::policy::settings::{Bridge, Idmap, Set, Settings, in_force, limit};
use nix::errno::Errno;
use nix::sys::stat::{FileStat, Mode, stat};
use nix::sys::statvfs::{FsFlags, statvfs};

use super::files::settings;
use super::fix::Fix;
use super::install;
use super::kernel::read;
use super::network;
use super::probe::{Finding, State};
use crate::root::Root;
use crate::tool;

/// A program that should be set-id.
struct Helper {
    path: &'static str,
    /// What else than set-user-ID would do. None: nothing.
    capability: Option<&'static str>,
    /// Is it a problem if it is missing?
    is_needed: bool,
    /// The one that is installed in the same way.
    sibling: &'static str,
}

impl Helper {
    const fn newuidmap(path: &'static str, sibling: &'static str) -> Self {
        Self { path, capability: Some("cap_setuid"), is_needed: false, sibling }
    }

    const fn newgidmap(path: &'static str, sibling: &'static str) -> Self {
        Self { path, capability: Some("cap_setgid"), is_needed: false, sibling }
    }

    const fn needed(self) -> Self {
        Self { is_needed: true, ..self }
    }

    const fn nic(path: &'static str) -> Self {
        Self { path, capability: None, is_needed: false, sibling: "" }
    }
}

/// Where our packages have them, and where containers look for them. An admin may have linked a name of the second kind to one of the
/// first: so those come first.
const HELPERS: [Helper; 16] = [
    Helper::newuidmap("/usr/libexec/nsgate/newuidmap-nss", "/usr/bin/newuidmap"),
    Helper::newgidmap("/usr/libexec/nsgate/newgidmap-nss", "/usr/bin/newgidmap"),
    Helper::nic("/usr/libexec/nsgate/lxc-user-nic"),
    Helper::nic("/usr/libexec/nsgate/lxc-user-nic-nss"),
    // openSUSE
    Helper::newuidmap("/usr/libexec/nsgate/bin/newuidmap", "/usr/libexec/nsgate/bin/newgidmap"),
    Helper::newgidmap("/usr/libexec/nsgate/bin/newgidmap", "/usr/libexec/nsgate/bin/newuidmap"),
    // Arch, and where else there is no /usr/libexec
    Helper::newuidmap("/usr/lib/nsgate/bin/newuidmap", "/usr/lib/nsgate/bin/newgidmap"),
    Helper::newgidmap("/usr/lib/nsgate/bin/newgidmap", "/usr/lib/nsgate/bin/newuidmap"),
    Helper::newuidmap("/usr/lib/nsgate/newuidmap-nss", "/usr/lib/nsgate/bin/newuidmap"),
    Helper::newgidmap("/usr/lib/nsgate/newgidmap-nss", "/usr/lib/nsgate/bin/newgidmap"),
    Helper::nic("/usr/lib/nsgate/lxc-user-nic"),
    Helper::nic("/usr/lib/nsgate/lxc-user-nic-nss"),
    Helper::newuidmap("/usr/bin/newuidmap", "/usr/bin/newgidmap").needed(),
    Helper::newgidmap("/usr/bin/newgidmap", "/usr/bin/newuidmap").needed(),
    Helper::nic("/usr/libexec/lxc/lxc-user-nic"),
    Helper::nic("/usr/lib/lxc/lxc-user-nic"),
];

/// All of them; one that has two names, once.
pub(super) fn installed(root: &Root) -> Vec<Finding> {
    // Rules that cannot be read: `policy` says so.
    let settings = settings(root).unwrap_or_default();
    let mut seen = BTreeSet::new();
    let mut is_new = |helper: &&Helper| {
        stat(helper.path).map_or(true, |status| seen.insert((status.st_dev, status.st_ino)))
    };
    let mut found: Vec<Finding> =
        HELPERS.iter().filter(&mut is_new).filter_map(|helper| look(helper, &settings)).collect();
    found.extend(no_nic_helper(root));
    if found.is_empty() {
        found.push(Finding::ok("installed, root's, and with the privilege that they need"));
    }
    found
}

/// Is nobody there to make the interfaces that are allotted?
fn no_nic_helper(root: &Root) -> Option<Finding> {
    let is_there = |path: &str| !matches!(stat(path), Err(Errno::ENOENT | Errno::ENOTDIR));
    let mut places = HELPERS.iter().map(|helper| helper.path).filter(|path| path.ends_with("/lxc-user-nic"));
    if places.any(is_there) || network::owners(root).unwrap_or_default().is_empty() {
        return None;
    }
    let what = "/etc/lxc/lxc-usernet allots interfaces, and lxc-user-nic is not installed";
    let cause = "so nobody gets one";
    let command = install("nsgate-lxc-user-nic");
    Some(Finding { state: State::Warning, command, ..Finding::unknown(what, cause) })
}

/// What is in it now may be another's program: no command that would make it root's.
fn not_roots_alone(what: String, cause: &str) -> Finding {
    let cause = format!("{cause}: install it again from its package");
    Finding { state: State::Problem, ..Finding::unknown(what, cause) }
}

fn look(helper: &Helper, settings: &Settings) -> Option<Finding> {
    let path = helper.path;
    let status = match stat(path) {
        Ok(status) => status,
        Err(Errno::ENOENT | Errno::ENOTDIR) => {
            let what = format!("{path} is not installed");
            let cause = "no map of subordinate ids can be made";
            return helper.is_needed.then(|| match install("uidmap") {
                Some(command) => Finding::bad(State::Problem, what, cause, command),
                None => {
                    let cause =
                        format!("{cause}; it is in the package of shadow's programs, or in one of its own");
                    Finding { state: State::Problem, ..Finding::unknown(what, cause) }
                }
            });
        }
        Err(errno) => return Some(Finding::unknown(format!("{path} cannot be looked at"), errno.desc())),
    };
    if status.st_uid != 0 {
        let what = format!("{path} belongs to uid {}", status.st_uid);
        return Some(not_roots_alone(what, "he can replace it, and may have"));
    }
    if status.st_mode & (Mode::S_IWGRP | Mode::S_IWOTH).bits() != 0 {
        let what = format!("{path} can be written by others than root");
        return Some(not_roots_alone(what, "whoever writes to it becomes root, and somebody may have"));
    }
    if statvfs(path).is_ok_and(|system| system.flags().contains(FsFlags::ST_NOSUID)) {
        let what = format!("{path} is on a file system mounted nosuid");
        let cause = "so it gets no privilege from its file";
        // Which mount that is: of a bind mount, the file itself.
        let command = format!("mount -o remount,bind,suid \"$(findmnt -n -o TARGET -T {path})\"");
        return Some(Finding::bad(State::Problem, what, cause, command));
    }
    if is_set_uid(&status) {
        return goes_by_no_rules(helper, settings);
    }
    if status.st_mode & Mode::S_IXOTH.bits() == 0 {
        // Before others are told how to run it.
        if let Some(found) = goes_by_no_rules(helper, settings) {
            return Some(found);
        }
        let what = format!("{path} can be run by its owner and its group alone");
        let cause = "nobody else can make use of it; an admin may have decided that";
        let command = match privilege(helper, by_rpm(path).as_deref()) {
            fix @ Fix::Capability { .. } => format!("chmod 755 {path} && {fix}"),
            fix => fix.to_string(),
        };
        return Some(Finding::bad(State::Warning, what, cause, command));
    }
    let Some(wanted) = helper.capability else { return Some(lost(helper)) };
    match capabilities(path) {
        Some(text) => match flags(&text, wanted) {
            Some(flags) if flags.contains('p') && flags.contains('e') => goes_by_no_rules(helper, settings),
            // Ours puts it into effect itself.
            Some(flags) if flags.contains('p') => match whose(path) {
                Whose::Ours => None,
                Whose::Others => Some(lost(helper)),
                Whose::Unknown => {
                    let what = format!("{path} has {wanted}, but not in effect (e)");
                    Some(Finding::unknown(
                        what,
                        "it is enough if the program is nsgate's, but it does not say",
                    ))
                }
            },
            _ => Some(lost(helper)),
        },
        None => {
            let what = format!("{path} is not set-user-ID; has it {wanted} instead?");
            let how = install("libcap2-bin").unwrap_or_else(|| "it is in a package of libcap's".to_owned());
            Some(Finding::unknown(what, format!("getcap is not there to ask; {how}")))
        }
    }
}

fn is_set_uid(status: &FileStat) -> bool {
    status.st_mode & Mode::S_ISUID.bits() != 0 && status.st_mode & Mode::S_IXOTH.bits() != 0
}

/// What capabilities a file gives. None: nobody can say.
fn capabilities(path: &str) -> Option<String> {
    let said = tool::ask("getcap", &[path])?;
    Some(String::from_utf8_lossy(&said.stdout).into_owned())
}

/// With which flags that text gives a capability: `PATH cap_a,cap_b=ep`; of libcap before 2.41 `PATH = cap_a,cap_b+ep`.
fn flags<'a>(text: &'a str, capability: &str) -> Option<&'a str> {
    text.split_whitespace().find_map(|clause| {
        let (names, flags) = clause.rsplit_once(['=', '+'])?;
        names.split(',').any(|name| name == capability).then_some(flags)
    })
}

/// Whose program a file is.
enum Whose {
    Ours,
    Others,
    /// It does not answer.
    Unknown,
}

/// Asks a file that is root's alone; but in case it is not what it is called, as nobody, unless he may not run it.
fn whose(path: &str) -> Whose {
    const NOBODY: u32 = 65534;
    let is_for_some =
        stat(path).is_ok_and(|status| status.st_uid == 0 && status.st_mode & Mode::S_IXOTH.bits() == 0);
    let mut command = Command::new(path);
    command.arg("--version").current_dir("/").env_clear();
    if nix::unistd::geteuid().is_root() && !is_for_some {
        command.uid(NOBODY).gid(NOBODY);
    }
    match tool::run(&mut command) {
        // newuidmap (nsgate) 0.1.0
        Some(said) if said.ok && said.stdout.split(|byte| *byte == b' ').nth(1) == Some(b"(nsgate)") => {
            Whose::Ours
        }
        Some(_) => Whose::Others,
        None => Whose::Unknown,
    }
}

/// Are there rules for a program that does not know of them?
fn goes_by_no_rules(helper: &Helper, settings: &Settings) -> Option<Finding> {
    let path = helper.path;
    let (sections, package, has_rules) = match helper.capability {
        Some(_) => ("[idmap]", "nsgate-uidmap", has_rules_for_maps(settings)),
        None => ("[nic], [bridge] or [per-user-bridge]", "nsgate-lxc-user-nic", has_rules_for_nics(settings)),
    };
    if !has_rules {
        return None;
    }
    match whose(path) {
        Whose::Ours => None,
        Whose::Others => {
            let what = format!("{path} does not go by the rules in {sections} of /etc/nsgate.ini");
            let cause = "nsgate.ini has rules, and this program, which is not nsgate's, does not read them";
            let command = install(package);
            Some(Finding { state: State::Problem, command, ..Finding::unknown(what, cause) })
        }
        Whose::Unknown => {
            let what = format!("does {path} go by the rules in {sections} of /etc/nsgate.ini?");
            Some(Finding::unknown(what, "only nsgate's does, and it does not say whether it is"))
        }
    }
}

fn has_rules_for_maps(settings: &Settings) -> bool {
    let Idmap {
        refuse_overlap,
        protect,
        protect_accounts,
        strict_setgroups,
        max_ids,
        exclusive,
        require_limits,
        ulimits,
    } = &settings.idmap;
    [refuse_overlap, protect_accounts, strict_setgroups, exclusive]
        .into_iter()
        .any(|rule| in_force(*rule).is_some())
        || limit(*max_ids).is_some()
        || has_values(protect.as_ref())
        || has_values(require_limits.as_ref())
        || has_values(ulimits.as_ref())
}

fn has_rules_for_nics(settings: &Settings) -> bool {
    let has_rules = |name: &str| {
        let Bridge { isolate, lock_mac, max_nics, stable_mac, max_multicast_groups } = settings.bridge(name);
        [isolate, lock_mac, stable_mac].into_iter().any(|rule| in_force(rule).is_some())
            || [max_nics, max_multicast_groups].into_iter().any(|rule| limit(rule).is_some())
    };
    has_values(settings.nic.require_limits.as_ref())
        || in_force(settings.per_user_bridge.create).is_some()
        || settings.bridge_names().chain(["*"]).any(has_rules)
}

fn has_values<T>(rule: Option<&Set<Vec<T>>>) -> bool {
    rule.is_some_and(|rule| !rule.value.is_empty())
}

/// How RPM has the file in its database, if it does.
fn by_rpm(path: &str) -> Option<String> {
    let format = "[%{FILENAMES} %{FILEMODES:perms} %{FILECAPS}\n]";
    let said = tool::ask("rpm", &["-qf", "--qf", format, path]).filter(|said| said.ok)?;
    let text = String::from_utf8_lossy(&said.stdout);
    Some(text.lines().find(|line| line.split(' ').next() == Some(path)).unwrap_or_default().to_owned())
}

fn has_privilege(by_rpm: &str) -> bool {
    by_rpm.contains("-rws") || by_rpm.contains("cap_set")
}

/// What gives it its privilege again: that of its package, or else that of its sibling.
fn privilege(helper: &Helper, by_rpm: Option<&str>) -> Fix {
    let path = helper.path;
    let is_by_capability = |_: &&str| match by_rpm.filter(|by_rpm| has_privilege(by_rpm)) {
        Some(by_rpm) => by_rpm.contains("cap_set"),
        // No package of ours has newuidmap or newgidmap set-user-ID there.
        None if path.contains("/nsgate/bin/") || path.starts_with("/usr/lib/nsgate/") => true,
        None => {
            stat(helper.sibling).is_ok_and(|status| !is_set_uid(&status))
                && capabilities(helper.sibling).is_some_and(|text| text.contains("cap_set"))
        }
    };
    match helper.capability.filter(is_by_capability) {
        Some(capability) => Fix::Capability { path, capability: capability.to_owned() },
        None => Fix::SetUid { path },
    }
}

fn lost(helper: &Helper) -> Finding {
    let path = helper.path;
    let by_rpm = by_rpm(path);
    let fix = privilege(helper, by_rpm.as_deref());
    let command = fix.to_string();
    let what = match (&fix, helper.capability) {
        (Fix::Capability { capability, .. }, _) => format!("{path} has lost {capability}"),
        (_, Some(capability)) => format!("{path} is not set-user-ID root and has no {capability}"),
        (_, None) => format!("{path} is not set-user-ID root"),
    };
    match should_have_none(path, by_rpm.as_deref()) {
        Some(Doubt::Override) => {
            let cause = "dpkg-statoverride says that it is to be so: an admin has decided it";
            let command = format!("dpkg-statoverride --remove {path} && {command}");
            Finding::bad(State::Problem, what, cause, command)
        }
        Some(Doubt::Local) => {
            let cause = "/etc/permissions.local says how it is to be: an admin has decided it";
            Finding::bad(State::Problem, what, cause, command)
        }
        Some(Doubt::Package) => {
            let cause = "its package has it without; it has no privilege, and can do nothing for its callers";
            Finding::bad(State::Problem, what, cause, command)
        }
        None => {
            let cause = "it has no privilege, and can do nothing for its callers";
            Finding::bad(State::Problem, what, cause, command).with_fix(Some(fix))
        }
    }
}

/// What speaks against giving a file the bit.
enum Doubt {
    Override,
    /// permissions(5), of openSUSE.
    Local,
    /// The package does not have it so, or nobody knows.
    Package,
}

fn should_have_none(path: &str, by_rpm: Option<&str>) -> Option<Doubt> {
    if tool::ask("dpkg-statoverride", &["--list", path])
        .is_some_and(|said| said.ok && !said.stdout.is_empty())
    {
        return Some(Doubt::Override);
    }
    let local = read("/etc/permissions.local").unwrap_or_default();
    if local.lines().any(|line| line.split_whitespace().next() == Some(path)) {
        return Some(Doubt::Local);
    }
    if let Some(by_rpm) = by_rpm {
        return if has_privilege(by_rpm) { None } else { Some(Doubt::Package) };
    }
    // Ours alone.
    if path.starts_with("/usr/libexec/nsgate/") || path.starts_with("/usr/lib/nsgate/") {
        return None;
    }
    if let Some(said) = tool::ask("dpkg-query", &["-S", path]).filter(|said| said.ok) {
        let text = String::from_utf8_lossy(&said.stdout);
        // Debian's packages of these have their files set-user-ID.
        let package = |line: &str| {
            let line = line.strip_prefix("diversion by ").unwrap_or(line);
            ["uidmap", "lxc", "liblxc", "nsgate"].iter().any(|name| line.starts_with(name))
        };
        return if text.lines().any(package) { None } else { Some(Doubt::Package) };
    }
    Some(Doubt::Package).filter(|_| Path::new(path).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_a_capability_are_read_as_getcap_writes_them() {
        for (text, expected) in [
            ("/usr/bin/newuidmap cap_setuid=ep\n", Some("ep")),
            ("/usr/bin/newuidmap cap_setuid=p\n", Some("p")),
            ("/usr/bin/newuidmap = cap_setuid+ep\n", Some("ep")),
            ("/usr/bin/newuidmap cap_setfcap,cap_setuid=eip\n", Some("eip")),
            ("/usr/bin/newuidmap cap_chown=ep cap_setuid=i\n", Some("i")),
            ("/usr/bin/newuidmap cap_setuid_x=ep\n", None),
            ("", None),
        ] {
            assert_eq!(flags(text, "cap_setuid"), expected, "{text}");
        }
    }

    #[test]
    fn a_rule_counts_that_takes_something_away() {
        let has = |text: &str| {
            let settings = Settings::parse(text.as_bytes()).unwrap();
            (has_rules_for_maps(&settings), has_rules_for_nics(&settings))
        };
        for none in [
            "",
            "[idmap]\noverlap = allow\nexclusive = no\nmax-ids = 0\n",
            "[nic]\non-missing-kernel = warn\n[bridge \"*\"]\nisolate = no\nmac = random\n[per-user-bridge]\ncreate = no\n",
        ] {
            assert_eq!(has(none), (false, false), "{none}");
        }
        for rule in [
            "overlap = refuse",
            "protect = 0",
            "protect-accounts = yes",
            "strict-setgroups = yes",
            "max-ids = 7",
            "exclusive = yes",
            "require-limits = cpu",
            "ulimits = as",
        ] {
            assert_eq!(has(&format!("[idmap]\n{rule}\n")), (true, false), "{rule}");
        }
        for rule in
            ["isolate = yes", "lock-mac = yes", "max-nics = 1", "mac = stable", "max-multicast-groups = 9"]
        {
            assert_eq!(has(&format!("[bridge \"*\"]\n{rule}\n")), (false, true), "{rule}");
            assert_eq!(has(&format!("[bridge \"br0\"]\n{rule}\n")), (false, true), "{rule}");
        }
        assert_eq!(has("[nic]\nrequire-limits = cpu\n"), (false, true));
        assert_eq!(has("[per-user-bridge]\ncreate = yes\n"), (false, true));
    }
}
