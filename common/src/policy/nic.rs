//! Interfaces: what may be their name, what the helper calls the host end, and what it may be attached to.

use std::fmt;

use super::id::Id;
use super::text::Quoted;

/// The name of an interface or a bridge: 1 to 15 bytes, as the kernel takes it (`dev_valid_name` in `net/core/dev.c`), and
/// nothing that means more than itself to the kernel (`%`), to a command line (`-` in front), to a path or to the
/// four-field answer (`:`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct InterfaceName(String);

/// `IFNAMSIZ` without the closing NUL.
const LONGEST: usize = 15;

/// The kernel would take such a name for a pattern.
const PATTERN: &str = "has % in it; leave the name out to get the next free ethN";

impl InterfaceName {
    /// Reads a name that somebody chose.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(name: &[u8]) -> Result<Self, &'static str> {
        let Ok(text) = std::str::from_utf8(name) else { return Err("is not text") };
        let out_of_place = |c: char| matches!(c, '/' | ':' | '%') || c.is_whitespace() || c.is_control();
        match text {
            "" => Err("is empty"),
            _ if text.len() > LONGEST => Err("is longer than 15 bytes"),
            "." | ".." | "all" | "default" => Err("is a word that the kernel keeps for itself"),
            _ if text.starts_with('-') => Err("begins with a dash"),
            _ if text.contains('%') => Err(PATTERN),
            // The kernel takes the byte 0xa0 for a blank, which it is in Latin-1.
            _ if text.contains(out_of_place) || text.bytes().any(|byte| byte == 0xa0) => {
                Err("has a character in it that no interface name has")
            }
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// The name of the host end for an interface of this user: `vethUID_XXXX` up to uid 65536, as everybody knows it;
    /// beyond, where ten digits would leave no room, the uid in six digits of base 62. So every user has names of his
    /// own, and nobody can take another's. `random` is spread over the last four places.
    #[must_use]
    pub fn of_host_end(uid: Id, random: u64) -> Self {
        let uid = uid.raw();
        let owner = if uid <= 65536 { uid.to_string() } else { base62(uid.into(), 6) };
        Self(format!("veth{owner}_{}", base62(random, 4)))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Quoted(self.0.as_bytes()).fmt(f)
    }
}

/// The last `digits` digits of a number in base 62, with zeros in front.
fn base62(number: u64, digits: usize) -> String {
    const DIGITS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let quotients = std::iter::successors(Some(number), |rest| Some(rest / 62));
    let digit = |rest: u64| usize::try_from(rest % 62).ok().and_then(|place| DIGITS.get(place)).copied();
    let reversed: Vec<u8> = quotients.take(digits).filter_map(digit).collect();
    reversed.into_iter().rev().map(char::from).collect()
}

/// To what the host end is to be attached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Attachment {
    /// To nothing: lxc-usernet's word `none`.
    Nothing,
    /// To the bridge of this name, which may be the kernel's or Open vSwitch's.
    Bridge(InterfaceName),
}

impl Attachment {
    /// Reads the word for it, as on the command line.
    ///
    /// # Errors
    /// It is neither `none` nor a possible name: what is wrong with it.
    pub fn parse(word: &[u8]) -> Result<Self, &'static str> {
        if word == b"none" {
            return Ok(Self::Nothing);
        }
        let of_a_bridge = |why| match why {
            PATTERN => {
                "has % in it; %u in lxc-usernet stands for the caller's uid: ask for the name with the uid in it"
            }
            why => why,
        };
        InterfaceName::parse(word).map(Self::Bridge).map_err(of_a_bridge)
    }

    /// The word for it, as in lxc-usernet.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Nothing => "none",
            Self::Bridge(name) => name.as_str(),
        }
    }
}

/// A MAC address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// One for a host end. It begins with `fe:`, so it is higher than any real card's and a bridge, which takes the
    /// lowest of its ports', does not take this one.
    #[must_use]
    pub const fn of_host_end(random: u64) -> Self {
        let [a, b, c, d, e, ..] = random.to_le_bytes();
        Self([0xfe, a, b, c, d, e])
    }

    /// One for a container end, drawn by lot. Locally administered, and of one interface.
    #[must_use]
    pub const fn of_container_end(random: u64) -> Self {
        Self::local(random)
    }

    /// The one that a container end always gets: by its user, his container's name and its own.
    ///
    /// The uid is in it as a number, so two users never have the same one, whatever they call their containers. Of the rest a
    /// user has 25 bits, and 13 if his uid is 1048576 or more: there two of his own may meet.
    #[must_use]
    pub fn stable(uid: Id, container: &[u8], name: &InterfaceName) -> Self {
        let bytes = container.iter().chain(b"/").chain(name.as_str().as_bytes());
        // FNV-1a: it has to be the same tomorrow; nobody gains by choosing what goes in.
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let (uid, hash) = (u64::from(uid.raw()), hash ^ (hash >> 32));
        Self::local(if uid < 1 << 20 {
            uid << 25 | hash & 0x1ff_ffff
        } else {
            1 << 45 | uid << 13 | hash & 0x1fff
        })
    }

    /// Of 46 bits.
    const fn local(bits: u64) -> Self {
        let [a, b, c, d, e, top, ..] = bits.to_le_bytes();
        Self([(top & 0x3f) << 2 | 0b10, e, d, c, b, a])
    }

    /// Reads what [`fmt::Display`] writes, and nothing else: six pairs of digits, none of them a capital letter.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut octets = [0; 6];
        let mut pairs = text.split(':');
        for octet in &mut octets {
            let pair = pairs.next()?;
            let hexadecimal =
                pair.len() == 2 && pair.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
            *octet = u8::from_str_radix(pair, 16).ok().filter(|_| hexadecimal)?;
        }
        pairs.next().is_none().then_some(Self(octets))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn names_that_the_kernel_or_a_reader_would_take_for_something_else_are_none() {
        for name in [
            "",
            ".",
            "..",
            "all",
            "default",
            "a/b",
            "a:b",
            "a b",
            "a\tb",
            "a\nb",
            "eth%d",
            "%",
            "-a",
            "\u{a0}",
            "\u{e0}",
            "a\u{7f}",
            "a\u{85}b",
            "1234567890123456",
        ] {
            assert!(InterfaceName::parse(name.as_bytes()).is_err(), "{name:?}");
        }
        assert!(InterfaceName::parse(b"a\xffb").is_err());
        for name in ["a", "eth0", "123456789012345", "br-lan", "all2", "lxcbr0.100", "\u{fc}"] {
            assert_eq!(InterfaceName::parse(name.as_bytes()).unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_pattern_is_told_what_to_do_instead_and_a_name_is_shown_fit_for_a_message() {
        let why = InterfaceName::parse(b"eth%d").unwrap_err();
        assert!(why.contains("leave the name out"), "{why}");
        assert_eq!(InterfaceName::parse("\u{fc}\"".as_bytes()).unwrap().to_string(), "\\xc3\\xbc\\\"");
    }

    #[test]
    fn none_is_no_bridge_and_any_other_word_is_the_name_of_one() {
        assert_eq!(Attachment::parse(b"none"), Ok(Attachment::Nothing));
        let bridge = Attachment::Bridge(InterfaceName::parse(b"br0").unwrap());
        assert_eq!(Attachment::parse(b"br0"), Ok(bridge.clone()));
        assert_eq!((Attachment::Nothing.word(), bridge.word()), ("none", "br0"));
        for word in [&b""[..], b"br/0", b"br%d"] {
            assert!(Attachment::parse(word).is_err());
        }
        let why = Attachment::parse(b"nsbr-%u").unwrap_err();
        assert!(why.contains("the caller's uid") && !why.contains("ethN"), "{why}");
    }

    /// H14, H15: always a name, and never another user's.
    #[test]
    fn host_names_say_whose_they_are_whatever_the_uid() {
        let uids = [0, 1, 9999, 10000, 52001, 65535, 65536, 65537, 1 << 31, u32::MAX - 1];
        let mut stems = HashSet::new();
        for uid in uids {
            let name = InterfaceName::of_host_end(Id::new(uid).unwrap(), u64::MAX).0;
            assert!(InterfaceName::parse(name.as_bytes()).is_ok(), "{name}");
            let stem = name.rsplit_once('_').unwrap().0.to_owned();
            assert!(stems.insert((stem, name.len())), "{name}");
        }
        assert!(InterfaceName::of_host_end(Id::new(52001).unwrap(), 0).0.starts_with("veth52001_"));
        assert_eq!(InterfaceName::of_host_end(Id::new(65537).unwrap(), 63).0, "veth000h33_0011");
    }

    proptest! {
        #[test]
        fn two_users_never_share_a_host_name(a in 0..u32::MAX, b in 0..u32::MAX, x: u64, y: u64) {
            let name = |uid, random| InterfaceName::of_host_end(Id::new(uid).unwrap(), random).0;
            prop_assume!(a != b);
            prop_assert_ne!(name(a, x), name(b, y));
            prop_assert!(InterfaceName::parse(name(a, x).as_bytes()).is_ok());
        }

        #[test]
        fn two_users_never_share_a_stable_mac(
            a in 0..u32::MAX, b in 0..u32::MAX, container in "[a-z]{0,8}", other in "[a-z]{0,8}", near in 0_u32..3,
        ) {
            let name = InterfaceName::parse(b"eth0").unwrap();
            let mac = |uid: u32, container: &str| {
                Mac::stable(Id::new(uid).unwrap(), container.as_bytes(), &name)
            };
            for b in [b, a.wrapping_add(near).min(u32::MAX - 1), a >> 12, a >> 20] {
                prop_assert!(a == b || mac(a, &container) != mac(b, &other));
            }
            prop_assert_eq!(mac(a, &container), mac(a, &container));
            for mac in [mac(a, &container), Mac::of_container_end(u64::from(a) << 20)] {
                prop_assert_eq!(mac.0[0] & 0b11, 0b10);
            }
        }

        #[test]
        fn a_mac_reads_as_it_is_written(random: u64) {
            let mac = Mac::of_host_end(random);
            prop_assert_eq!(Mac::parse(&mac.to_string()), Some(mac));
            prop_assert_eq!(mac.0[0], 0xfe);
        }
    }

    #[test]
    fn a_stable_mac_stays_and_differs_by_container_and_name() {
        let mac = |uid, container: &str, name: &str| {
            let name = InterfaceName::parse(name.as_bytes()).unwrap();
            Mac::stable(Id::new(uid).unwrap(), container.as_bytes(), &name).to_string()
        };
        let of_web = mac(52001, "web", "eth0");
        assert_eq!(of_web, "06:96:42:35:51:34");
        // At either side of where a uid takes more of the address than a container's name does.
        for (uid, expected) in [
            (0, "02:00:00:35:51:34"),
            ((1 << 20) - 1, "7e:ff:fe:35:51:34"),
            (1 << 20, "82:02:00:00:11:34"),
            (u32::MAX - 1, "fe:ff:ff:ff:d1:34"),
        ] {
            assert_eq!(mac(uid, "web", "eth0"), expected, "{uid}");
        }
        let others = [mac(52001, "web", "eth1"), mac(52001, "we", "beth0"), mac(52001, "db", "eth0")];
        assert!(!others.contains(&of_web), "{others:?}");
    }

    #[test]
    fn a_mac_is_six_pairs_and_nothing_else() {
        for text in [
            "",
            "fe",
            "fe:00:00:00:00",
            "fe:00:00:00:00:00:00",
            "fe:0:0:0:0:0",
            "fe:+1:00:00:00:00",
            "FE:00:00:00:00:00",
        ] {
            assert_eq!(Mac::parse(text), None, "{text}");
        }
    }
}
