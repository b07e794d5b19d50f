//! Bridges of the policy, and the ports on them that are ours.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use common::policy::nic::InterfaceName;
use common::policy::text::lines;
use common::policy::usernet;
use usernic::census::Census;

use super::files::{is_plain, settings};
use super::fix::Fix;
use super::kernel::read;
use super::probe::{Finding, State};
use super::quoted;
use crate::check::command::make_bridge;
use crate::check::command::word;
use crate::check::junk::says_nothing;
use crate::failure::Failure;
use crate::root::Root;

/// A machine may have many; a person reads so many of a kind.
const MOST: usize = 20;

/// Of each line of lxc-usernet that allots something, one field. A remark allots nothing: to lxc-user-nic "#alice" may be the name of a
/// user, but nobody means that.
fn fields(root: &Root, field: fn(usernet::Entry<'_>) -> &[u8]) -> Result<BTreeSet<Vec<u8>>, Failure> {
    let text = root.read("/etc/lxc/lxc-usernet")?.map(|text| text.bytes).unwrap_or_default();
    let said = lines(&text).filter(|line| !says_nothing(line));
    Ok(said.filter_map(usernet::entry).map(|entry| field(entry).to_vec()).collect())
}

/// Whom lxc-usernet allots interfaces: users, and groups with an `@`.
pub(super) fn owners(root: &Root) -> Result<BTreeSet<Vec<u8>>, Failure> {
    fields(root, |entry| entry.owner)
}

/// Bridges that it names, but for `none` and those of each user's own.
fn named(root: &Root) -> Result<BTreeSet<Vec<u8>>, Failure> {
    let mut bridges = fields(root, |entry| entry.bridge)?;
    bridges.retain(|bridge| bridge != b"none" && !bridge.contains(&b'%'));
    Ok(bridges)
}

/// Are they there?
pub(super) fn bridges(root: &Root) -> Vec<Finding> {
    let named = match named(root) {
        Ok(named) => named,
        Err(failure) => {
            return vec![Finding::unknown("which bridges are allotted is not known", failure.to_string())];
        }
    };
    let number = named.len();
    let mut found: Vec<Finding> = named.iter().filter_map(|name| missing(name)).take(MOST).collect();
    if found.is_empty() {
        found.push(Finding::ok(match number {
            0 => "/etc/lxc/lxc-usernet names no bridge".to_owned(),
            number => format!("all bridges of /etc/lxc/lxc-usernet are there ({number})"),
        }));
    }
    found
}

fn missing(name: &[u8]) -> Option<Finding> {
    let shown = quoted(name);
    let wrong =
        |what: String, cause: &str, command: String| Some(Finding::bad(State::Problem, what, cause, command));
    let Ok(valid) = InterfaceName::parse(name) else {
        let what = format!("/etc/lxc/lxc-usernet names \"{shown}\", which can be no bridge");
        return wrong(what, "no interface can have this name", "nsgate edit lxc-usernet".to_owned());
    };
    let place = Path::new("/sys/class/net").join(valid.as_str());
    if place.join("bridge").is_dir() {
        return None;
    }
    if crate::tool::ask("ovs-vsctl", &["--timeout=2", "br-exists", valid.as_str()])
        .is_some_and(|said| said.ok)
    {
        return None;
    }
    if place.exists() {
        let what = format!("{shown}, which /etc/lxc/lxc-usernet names, is no bridge");
        return wrong(what, "no interface can be put on it", "nsgate edit lxc-usernet".to_owned());
    }
    let make = Some(valid.as_str()).filter(|name| is_plain(OsStr::new(name)));
    let make = make.and_then(|name| make_bridge(name.as_bytes()));
    let command = make.unwrap_or_else(|| "nsgate edit lxc-usernet".to_owned());
    wrong(
        format!("there is no bridge {shown}, which /etc/lxc/lxc-usernet names"),
        "no container of those who may use it gets an interface",
        command,
    )
}

/// All interfaces.
fn interfaces() -> Vec<String> {
    let entries = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Does the host believe what routers say that may be containers? And, where it is a router itself, what others do?
pub(super) fn accept_ra(root: &Root) -> Vec<Finding> {
    if !Path::new("/proc/sys/net/ipv6").exists() {
        return vec![Finding::ok("there is no IPv6")];
    }
    if !Path::new("/sys/class/net").exists() {
        return vec![Finding::unknown(
            "which interfaces there are is not known",
            "there is no /sys/class/net",
        )];
    }
    let policy = named(root).unwrap_or_default();
    let mut found = Vec::new();
    for name in interfaces() {
        let of = |key: &str| read(&format!("/proc/sys/net/ipv6/conf/{name}/{key}"));
        let accepts = of("accept_ra").unwrap_or_default();
        if matches!(accepts.as_str(), "" | "0") || name == "lo" || of("disable_ipv6").as_deref() == Some("1")
        {
            continue;
        }
        let forwards = of("forwarding").is_some_and(|value| value != "0");
        let is_bridge = Path::new("/sys/class/net").join(&name).join("bridge").is_dir();
        let shown = quoted(name.as_bytes());
        let command = format!("sysctl -w {}", word(format!("net/ipv6/conf/{name}/accept_ra=0").as_bytes()));
        if is_bridge && (policy.contains(name.as_bytes()) || is_ours(&name)) {
            let cause =
                "any container on it can say that it is a router, and the host sends its traffic there";
            let fix = InterfaceName::parse(name.as_bytes()).ok().map(|bridge| Fix::AcceptRa { bridge });
            let fix = fix.filter(|_| is_plain(OsStr::new(&name)));
            let what = format!("the bridge {shown} accepts router advertisements (accept_ra {accepts})");
            found.push(Finding::bad(State::Problem, what, cause, command).with_fix(fix));
        } else if forwards {
            let what = format!("{shown} forwards, and has accept_ra {}", quoted(accepts.as_bytes()));
            let cause = if accepts == "2" {
                "a router that believes other routers; well if that is its uplink"
            } else {
                "nothing comes of it while forwarding is on; as soon as it is off, it believes any router"
            };
            found.push(Finding::bad(State::Warning, what, cause, command));
        }
    }
    found.truncate(MOST);
    if found.is_empty() {
        found.push(Finding::ok("no bridge for containers accepts router advertisements"));
    }
    found
}

/// By the alias that a per-user bridge gets.
fn is_ours(name: &str) -> bool {
    read(&format!("/sys/class/net/{name}/ifalias")).is_some_and(|alias| alias.starts_with("nsgate:bridge"))
}

/// Have the host ends that lxc-user-nic has made the guards that it gave them?
pub(super) fn ports(root: &Root) -> Vec<Finding> {
    let settings = settings(root).unwrap_or_default();
    let (mut found, mut number) = (Vec::new(), 0_usize);
    let mut unknown = None;
    let mut census = match Census::without_ledger() {
        Ok(census) => census,
        Err(error) => {
            return vec![Finding::unknown("which guards ports have is not known", error.to_string())];
        }
    };
    for name in interfaces() {
        let place = format!("/sys/class/net/{name}");
        let ours = read(&format!("{place}/ifalias")).is_some_and(|alias| alias.starts_with("nsgate:uid="));
        if !ours || !Path::new(&place).join("brport").is_dir() {
            continue;
        }
        number = number.saturating_add(1);
        let bridge = std::fs::read_link(format!("{place}/master")).ok();
        let bridge = bridge.as_ref().and_then(|path| path.file_name()).unwrap_or_default().to_string_lossy();
        let Ok(port) = InterfaceName::parse(name.as_bytes()) else { continue };
        // /sys does not show all of them.
        let lost = match census.lost_guards(&port, &bridge, &settings) {
            Ok(lost) => lost,
            Err(error) => {
                let what = format!("which guards the port {} has is not known", quoted(name.as_bytes()));
                unknown.get_or_insert(Finding::unknown(what, error.to_string()));
                continue;
            }
        };
        if !lost.is_empty() {
            let keys = lost.iter().map(|(key, _)| *key).collect::<Vec<_>>().join(", ");
            let words = lost.iter().map(|(_, words)| &**words).collect::<Vec<_>>().join(" ");
            let (shown, bridge) = (quoted(name.as_bytes()), quoted(bridge.as_bytes()));
            let what = format!("the port {shown} on {bridge} is without a guard: {keys}");
            let mut cause = "somebody has taken it away, or the rule is newer than the interface".to_owned();
            if lost.iter().any(|(key, _)| *key == "locked") {
                // Without such an entry the command would cut the container off.
                cause.push_str(
                    "; a locked port sends from an address that it has an entry for: bridge fdb add ADDRESS dev PORT master static",
                );
            }
            found.push(Finding::bad(
                State::Problem,
                what,
                cause,
                format!("bridge link set dev {} {words}", word(name.as_bytes())),
            ));
        }
    }
    found.truncate(MOST);
    // One stands for all: problems are not to be lost among them.
    found.extend(unknown);
    if found.is_empty() {
        found.push(Finding::ok(match number {
            0 => "no interface of lxc-user-nic is on a bridge just now".to_owned(),
            number => format!("the guards of all ports of lxc-user-nic are in place ({number})"),
        }));
    }
    found
}
