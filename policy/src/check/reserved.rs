//! Ids that somebody else counts on, without a line in any file to say so.

use common::policy::id::{Id, Range};

/// A run of ids that is somebody's by convention.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reserved {
    /// The lowest id.
    pub first: u32,
    /// The highest.
    pub last: u32,
    /// Whose they are, as a noun: "the dynamic users of systemd".
    pub whose: &'static str,
    /// What goes wrong if somebody else has them.
    pub why: &'static str,
    /// Where that is written.
    pub source: &'static str,
    /// When it matters.
    pub when: When,
    /// What it is called in a picture. None: there it is left out.
    pub label: Option<&'static str>,
}

/// When a reserved run matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// On every machine.
    Always,
    /// Where systemd-nspawn or systemd-nsresourced takes ids: `useradd` itself gives them away.
    Nspawn,
    /// Where incus or LXD runs without a line of root's in the files.
    Incus,
    /// Where subordinate ids come from FreeIPA.
    FreeIpa,
}

const SYSTEMD: &str = "https://systemd.io/UIDS-GIDS/";

/// All of them, lowest ids first. `grant` avoids every one.
pub const RESERVED: &[Reserved] = &[
    Reserved {
        first: 0,
        last: 0,
        whose: "root",
        why: "whoever maps it makes files of root's",
        source: "user_namespaces(7)",
        when: When::Always,
        label: None,
    },
    Reserved {
        first: 60001,
        last: 60513,
        whose: "the home directories of systemd-homed",
        why: "a user of systemd-homed gets the uid later",
        source: SYSTEMD,
        when: When::Always,
        label: None,
    },
    Reserved {
        first: 60514,
        last: 60577,
        whose: "host users whom systemd-nspawn maps into containers",
        why: "systemd-nspawn --bind-user gives the uid to somebody",
        source: SYSTEMD,
        when: When::Always,
        label: None,
    },
    Reserved {
        first: 61184,
        last: 65519,
        whose: "the dynamic users of systemd",
        why: "a service with DynamicUser=yes gets the uid for as long as it runs",
        source: SYSTEMD,
        when: When::Always,
        label: Some("systemd dynamic"),
    },
    Reserved {
        first: 65534,
        last: 65534,
        whose: "nobody",
        why: "the kernel shows every id that it cannot map as this one",
        source: SYSTEMD,
        when: When::Always,
        label: Some("nobody"),
    },
    Reserved {
        first: 65535,
        last: 65535,
        whose: "nobody, in 16 bits",
        why: "it is (uid_t)-1 to whatever has ids of 16 bits",
        source: SYSTEMD,
        when: When::Always,
        label: None,
    },
    Reserved {
        first: 524_288,
        last: 1_879_048_191,
        whose: "the containers of systemd",
        why: "systemd-nspawn -U and systemd-nsresourced take 65536 of them for a container where they see no account, and \
              do not look into the files of subordinate ids",
        source: SYSTEMD,
        when: When::Nspawn,
        label: Some("systemd nspawn"),
    },
    Reserved {
        first: 1_000_000,
        last: 1_000_999_999,
        whose: "the containers of incus and LXD",
        why: "they take these where there is no /etc/subuid and /etc/subgid",
        source: "https://linuxcontainers.org/incus/docs/main/userns-idmap/",
        when: When::Incus,
        label: None,
    },
    Reserved {
        first: 2_147_352_576,
        last: 2_147_418_111,
        whose: "foreign images of systemd",
        why: "files of an image that is nobody's on this machine have them on disk",
        source: SYSTEMD,
        when: When::Always,
        label: None,
    },
    Reserved {
        first: 2_147_483_648,
        last: 4_294_967_294,
        whose: "FreeIPA",
        why: "FreeIPA gives out subordinate ids from 2147483648 up, and programs that take an id for a signed number go \
              wrong there",
        source: "https://freeipa.readthedocs.io/en/latest/designs/subordinate-ids.html",
        when: When::FreeIpa,
        label: Some("FreeIPA"),
    },
];

impl Reserved {
    /// The ids.
    #[must_use]
    pub fn range(&self) -> Option<Range> {
        Range::between(Id::new(self.first)?, Id::new(self.last)?)
    }
}

/// Those that have an id of this range, lowest first.
pub fn touched(range: Range) -> impl Iterator<Item = &'static Reserved> {
    RESERVED
        .iter()
        .filter(move |known| known.range().is_some_and(|known| known.intersection(range).is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_every_range_is_one() {
        assert!(RESERVED.iter().all(|known| known.range().is_some()));
        assert!(RESERVED.is_sorted_by_key(|known| known.first));
    }

    #[test]
    fn what_touches_a_range_is_found() {
        let range =
            |first: u32, last: u32| Range::between(Id::new(first).unwrap(), Id::new(last).unwrap()).unwrap();
        let whose =
            |first, last| -> Vec<u32> { touched(range(first, last)).map(|known| known.first).collect() };
        assert!(whose(100_000, 165_535).is_empty());
        assert_eq!(whose(65_533, 65_536), [65_534, 65_535]);
        assert_eq!(whose(524_287, 524_288), [524_288]);
        assert_eq!(whose(0, 4_294_967_294).len(), RESERVED.len());
    }
}
