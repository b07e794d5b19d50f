//! A real map, in a user namespace that is thrown away: what all the rest is about.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use common::os::child::spawn_apart;
use common::policy::id::{Id, Range};

use super::files::{NOBODY_CAN_SAY, files_count};
use super::probe::{Finding, State};
use super::quoted;
use crate::accounts::{Accounts, User};
use crate::check::command::word;
use crate::root::Root;
use crate::show::holders::{Holders, Identity, Names};
use crate::tool;

/// Makes one: for the caller, or if that is root, for the first who holds ids.
pub(super) fn real_map(root: &Root) -> Vec<Finding> {
    vec![try_map(root).unwrap_or_else(|why| Finding::unknown("no map was tried", why))]
}

fn try_map(root: &Root) -> Result<Finding, String> {
    if !files_count(root).ok_or(NOBODY_CAN_SAY)? {
        return Ok(Finding::ok("ids do not come from /etc/subuid and /etc/subgid, so no map was tried"));
    }
    let accounts = Accounts::read(root).map_err(|failure| failure.to_string())?;
    let names = Names::of(&accounts);
    let mut holders = Vec::new();
    for path in ["/etc/subuid", "/etc/subgid"] {
        let text = root.read(path).map_err(|failure| failure.to_string())?;
        holders.push(Holders::of(&text.map(|text| text.bytes).unwrap_or_default(), &names));
    }
    let first = |holders: &Holders, uid: Id| -> Option<Range> {
        let has = holders.all.iter().find(|holder| holder.identity == Identity::Uid(uid))?;
        has.ids.first().copied()
    };
    let both = |uid: Id| {
        Some((
            holders.first().and_then(|one| first(one, uid))?,
            holders.get(1).and_then(|one| first(one, uid))?,
        ))
    };
    let own = nix::unistd::getuid().as_raw();
    let as_root = own == 0;
    let candidates: Vec<Id> = if as_root {
        let all = holders.iter().flat_map(|holders| &holders.all).filter(|holder| holder.known);
        let uid = |identity: &Identity| match identity {
            Identity::Uid(uid) if uid.raw() != 0 => Some(*uid),
            Identity::Uid(_) | Identity::Unknown(_) => None,
        };
        all.filter_map(|holder| uid(&holder.identity)).collect()
    } else {
        Id::new(own).into_iter().collect()
    };
    let chosen = candidates.into_iter().find_map(|uid| Some((accounts.user_with(uid)?, both(uid)?)));
    let Some((user, (uids, gids))) = chosen else {
        return if as_root {
            Ok(Finding::ok("nobody with an account holds ids in both files, so no map was tried"))
        } else {
            Err("you hold no ids in both files".to_owned())
        };
    };
    let mut child = Namespace::of(&user, as_root)?;
    let shown = quoted(&user.name);
    for (program, letter, range, file) in
        [("newuidmap", "u", uids, "uid_map"), ("newgidmap", "g", gids, "gid_map")]
    {
        let numbers = ["0".to_owned(), range.first().to_string(), range.count().to_string()];
        let mut command = by(&user, as_root, &tool::find(program).ok_or(format!("there is no {program}"))?);
        let said = tool::run(command.arg(child.pid().to_string()).args(&numbers));
        let said = said.ok_or(format!("{program} did not end in time"))?;
        let explain = format!("nsgate explain map {} {letter} {}", word(&user.name), numbers.join(" "));
        if !said.ok {
            let what = format!("{program} refuses {shown} the ids {range}, which he holds");
            let cause = String::from_utf8_lossy(&said.stderr);
            let cause = cause.trim().as_bytes().chunks(64).map(quoted).collect::<String>();
            return Ok(Finding::bad(State::Problem, what, cause, explain));
        }
        let map = std::fs::read_to_string(format!("/proc/{}/{file}", child.pid())).unwrap_or_default();
        let map: Vec<&str> = map.split_whitespace().collect();
        if map != numbers {
            let what = format!("{program} said that it made the map of {shown}, but {file} is another one");
            return Ok(Finding::bad(State::Problem, what, quoted(map.join(" ").as_bytes()), explain));
        }
    }
    child.end();
    Ok(Finding::ok(format!("a map of {shown}'s ids was made, looked at, and thrown away")))
}

/// A command that runs as him.
fn by(user: &User, as_root: bool, program: &str) -> Command {
    let mut command = Command::new(program);
    if as_root {
        command.uid(user.uid.raw()).gid(user.gid);
    }
    command.current_dir("/").env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

/// A process in a user namespace of its own. It ends with the value.
struct Namespace(Child);

impl Namespace {
    fn of(user: &User, as_root: bool) -> Result<Self, String> {
        let unshare = tool::find("unshare").ok_or("unshare(1) of util-linux is not there")?;
        let mut command = by(user, as_root, &unshare);
        // It ends by itself if we should be killed. It is his: he may trace it and have it do what he likes.
        command.args(["-U", "sleep", "30"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = spawn_apart(&mut command).map_err(|error| format!("unshare: {error}"))?;
        let mut namespace = Self(child);
        let link = |pid: u32, what: &str| -> Option<PathBuf> {
            std::fs::read_link(format!("/proc/{pid}/{what}")).ok()
        };
        let ours = link(std::process::id(), "ns/user");
        let pid = namespace.pid();
        let mut ended = false;
        let ready = tool::until(|| {
            ended = !matches!(namespace.0.try_wait(), Ok(None));
            let elsewhere = link(pid, "ns/user").is_some_and(|theirs| Some(theirs) != ours);
            ended || elsewhere && link(pid, "exe").is_some_and(|exe| !exe.ends_with("unshare"))
        });
        if ended || !ready {
            return Err(format!("{} cannot make a user namespace", quoted(&user.name)));
        }
        Ok(namespace)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn end(&mut self) {
        tool::end(&mut self.0);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.end();
    }
}
