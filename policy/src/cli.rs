//! The command line. The shell completions are made from it, and nsgate(8), which is written by hand, is checked against it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use common::policy::id::{NotDecimal, decimal};
use common::policy::idmap::Kind;

use crate::output::Color;

/// Check, explain, show and edit who may be whom, and whose network interface goes where
#[derive(Debug, Parser)]
#[command(name = "nsgate", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// Work on the machine whose root directory is DIR, such as an image, instead of this one
    #[arg(long, value_name = "DIR", global = true)]
    pub root: Option<PathBuf>,
    /// Answer with one JSON document; its schema: /usr/share/doc/nsgate/json.md
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colour
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto")]
    pub color: Color,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Look for mistakes in the policy files. Status 0: none, 1: warnings, 2: errors
    Check(Check),
    /// Say what the helpers would answer, and why, without doing it. Status 0: yes, 1: no
    Explain(Explain),
    /// Draw who owns which ids, or list interfaces
    Show(Show),
    /// Look for what keeps containers from starting on this machine, or makes them unsafe
    Doctor(Doctor),
    /// Give a user host ids, or a user or group interfaces
    Grant(Grant),
    /// Take them back
    Revoke(Revoke),
    /// Edit a policy file safely: locked, checked, and installed whole
    Edit(Edit),
    /// Remove what interfaces and bridges that are gone have left behind
    Gc(Gc),
}

/// `nsgate check`
#[derive(Debug, Args)]
pub struct Check {
    /// Warnings are errors: status 2 for them too
    #[arg(long)]
    pub strict: bool,
    /// Explain a rule, by its id, instead
    #[arg(long, value_name = "ID", conflicts_with_all = ["strict", "files"])]
    pub help_rule: Option<String>,
    /// Files to look at, told apart by their names (subuid, subgid, lxc-usernet, nsgate.ini); without any, all four of the machine
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// `nsgate explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// Of what.
    #[command(subcommand)]
    pub what: ExplainWhat,
}

/// What can be explained.
#[derive(Debug, Subcommand)]
pub enum ExplainWhat {
    /// A map of newuidmap or newgidmap
    Map {
        /// Who would call: a name or a uid
        user: OsString,
        /// u for newuidmap, g for newgidmap
        kind: MapKind,
        /// As for newuidmap: ID LOWERID COUNT, once or more
        #[arg(value_name = "ID LOWERID COUNT", required = true, num_args = 1.., allow_negative_numbers = true)]
        triples: Vec<OsString>,
    },
    /// An interface of lxc-user-nic
    Nic {
        /// Who would call: a name or a uid
        user: OsString,
        /// The bridge, or none
        bridge: OsString,
    },
    /// Who may use a host id, and which running container does
    Id {
        /// The host id
        #[arg(value_parser = number)]
        id: u32,
    },
}

/// Which ids.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum MapKind {
    /// User ids
    U,
    /// Group ids
    G,
}

impl From<MapKind> for Kind {
    fn from(kind: MapKind) -> Self {
        match kind {
            MapKind::U => Self::Uid,
            MapKind::G => Self::Gid,
        }
    }
}

/// `nsgate show`
#[derive(Debug, Args)]
pub struct Show {
    /// A user, by name or uid, to show alone; or the word nics, for interfaces
    #[arg(value_name = "USER|nics")]
    pub what: Option<OsString>,
    /// Write the picture to FILE, as SVG, as well
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// `nsgate doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// Mend what can be mended safely, after asking
    #[arg(long)]
    pub fix: bool,
    /// Do not ask
    #[arg(long, requires = "fix")]
    pub yes: bool,
}

/// `nsgate grant`
#[derive(Debug, Args)]
pub struct Grant {
    /// What.
    #[command(subcommand)]
    pub what: GrantWhat,
}

/// What can be granted.
#[derive(Debug, Subcommand)]
pub enum GrantWhat {
    /// Host ids, of users and of groups: the same in /etc/subuid and /etc/subgid
    ///
    /// Without --start, the lowest that are free in both: within SUB_UID_MIN to SUB_UID_MAX (SUB_GID_MIN to SUB_GID_MAX) of
    /// /etc/login.defs, nobody's account, group or line, not mapped just now, not protected in /etc/nsgate.ini, and not reserved by
    /// custom (systemd, FreeIPA). Those that systemd takes for its containers (524288 to 1879048191) only if no others are left and
    /// it has none here. Status 3: there is no room, or somebody has them.
    Ids {
        /// To whom: a name or a uid
        user: OsString,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 65536, value_parser = one_or_more)]
        count: u32,
        /// The first one; without it, the first free run of ids
        #[arg(long, value_name = "ID", value_parser = number)]
        start: Option<u32>,
        /// Also ids that somebody has already
        #[arg(long, requires = "start")]
        force: bool,
        /// Print the lines, change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Interfaces on a bridge
    Nic {
        /// To whom: a user's name, or @ and a group's
        owner: OsString,
        /// The bridge, none, or a name with %u in it for a bridge of each user's own
        bridge: OsString,
        /// How many at once
        #[arg(value_parser = interfaces)]
        count: u32,
        /// Print the line, change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// `nsgate revoke`
#[derive(Debug, Args)]
pub struct Revoke {
    /// What.
    #[command(subcommand)]
    pub what: RevokeWhat,
}

/// What can be taken back.
#[derive(Debug, Subcommand)]
pub enum RevokeWhat {
    /// Host ids: all, or those from --start on
    Ids {
        /// From whom: a name or a uid
        user: OsString,
        /// The first one
        #[arg(long, value_name = "ID", value_parser = number)]
        start: Option<u32>,
        /// How many from there on
        #[arg(long, value_name = "N", requires = "start", value_parser = one_or_more)]
        count: Option<u32>,
        /// Print what would change, change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Interfaces on a bridge
    Nic {
        /// From whom: a user's name, or @ and a group's
        owner: OsString,
        /// The bridge, none, or a name with %u in it
        bridge: OsString,
        /// Print what would change, change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// `nsgate edit`
#[derive(Debug, Args)]
pub struct Edit {
    /// Which file
    pub file: PolicyFile,
}

/// The files that nsgate edits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum PolicyFile {
    /// /etc/subuid
    Subuid,
    /// /etc/subgid
    Subgid,
    /// /etc/lxc/lxc-usernet
    LxcUsernet,
    /// /etc/nsgate.ini
    #[value(name = "nsgate.ini")]
    NsgateIni,
}

impl PolicyFile {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Subuid, Self::Subgid, Self::LxcUsernet, Self::NsgateIni];

    /// Where it is.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Subuid => "/etc/subuid",
            Self::Subgid => "/etc/subgid",
            Self::LxcUsernet => "/etc/lxc/lxc-usernet",
            Self::NsgateIni => "/etc/nsgate.ini",
        }
    }
}

/// `nsgate gc`
#[derive(Debug, Args)]
pub struct Gc {
    /// Say what would be removed, remove nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// As everywhere in the suite: what other programs would read as octal, or not at all, is no number.
fn number(word: &str) -> Result<u32, &'static str> {
    decimal(word.as_bytes()).map_err(|not_decimal| match not_decimal {
        NotDecimal::Malformed => "not a decimal number without sign and zeros in front",
        NotDecimal::OutOfRange => "not within 0 to 4294967295",
    })
}

fn one_or_more(word: &str) -> Result<u32, &'static str> {
    number(word).and_then(|count| if count > 0 { Ok(count) } else { Err("not within 1 to 4294967295") })
}

fn interfaces(word: &str) -> Result<u32, &'static str> {
    let is_one = |count: &u32| (1..=2_147_483_647).contains(count);
    number(word).ok().filter(is_one).ok_or("not a decimal number within 1 to 2147483647")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn a_number_is_what_it_is_in_the_files() {
        for odd in ["010", "+5", "-5", "0x10", " 5", "5 ", "", "00", "4294967296", "\u{0665}"] {
            for line in [
                &["grant", "ids", "alice", "--count", odd][..],
                &["grant", "ids", "alice", "--start", odd],
                &["grant", "nic", "alice", "br0", odd],
                &["revoke", "ids", "alice", "--start", odd],
                &["revoke", "ids", "alice", "--start", "5", "--count", odd],
                &["explain", "id", odd],
            ] {
                assert!(Cli::try_parse_from(["nsgate"].iter().chain(line)).is_err(), "{line:?}");
            }
        }
        for (line, is_one) in [
            (&["grant", "ids", "alice", "--count", "0"][..], false),
            (&["grant", "nic", "alice", "br0", "0"], false),
            (&["grant", "nic", "alice", "br0", "2147483648"], false),
            (&["revoke", "ids", "alice", "--start", "5", "--count", "0"], false),
            (&["grant", "nic", "alice", "br0", "2147483647"], true),
            (&["grant", "ids", "alice", "--start", "0", "--count", "4294967295"], true),
            (&["explain", "id", "0"], true),
        ] {
            assert_eq!(Cli::try_parse_from(["nsgate"].iter().chain(line)).is_ok(), is_one, "{line:?}");
        }
    }

    #[test]
    fn the_command_line_is_well_defined() {
        Cli::command().debug_assert();
    }
}
