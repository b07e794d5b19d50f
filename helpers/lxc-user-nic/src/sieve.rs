//! What the kernel shows of an interface has dozens of parts, ten of which are read here. The others are left out before
//! anything looks into them: that is code which is not run, and memory which is not used.
//!
//! Of a list of many interfaces even less is read: not what people call them. That may be any bytes, and an interface whose name
//! the parser refuses would be missing in the list.
//!
//! Nothing is changed in what is kept. What does not look as it should is left as it is, for the parser to refuse.

use nix::libc::{
    IFLA_ADDRESS, IFLA_AF_SPEC, IFLA_GROUP, IFLA_IFALIAS, IFLA_IFNAME, IFLA_INFO_KIND, IFLA_INFO_SLAVE_DATA,
    IFLA_INFO_SLAVE_KIND, IFLA_LINK, IFLA_LINK_NETNSID, IFLA_LINKINFO, IFLA_MASTER, IFLA_MTU, RTM_NEWLINK,
};

/// netlink(7): `NLM_F_MULTI`, part of a list.
const IN_A_LIST: u16 = 2;

/// An attribute that is read, by its type.
enum Part {
    /// All that is in it.
    Whole(u16),
    /// Only these of the attributes in it.
    Of(u16, &'static [Part]),
}
use Part::{Of, Whole};

/// What `Link::of` reads.
const OF_A_LINK: &[Part] = &[
    Whole(IFLA_ADDRESS),
    Whole(IFLA_IFNAME),
    Whole(IFLA_MTU),
    Whole(IFLA_LINK),
    Whole(IFLA_MASTER),
    Of(
        IFLA_LINKINFO,
        &[Whole(IFLA_INFO_KIND), Whole(IFLA_INFO_SLAVE_KIND), Of(IFLA_INFO_SLAVE_DATA, OF_A_PORT)],
    ),
    Whole(IFLA_IFALIAS),
    Of(IFLA_AF_SPEC, &[Whole(INET), Of(INET6, &[Whole(INET6_CONF), Whole(INET6_ADDR_GEN_MODE)])]),
    Whole(IFLA_GROUP),
    Whole(IFLA_LINK_NETNSID),
];

/// What of that counts in a list.
const OF_A_LISTED_LINK: &[Part] =
    &[Whole(IFLA_ADDRESS), Whole(IFLA_MASTER), Of(IFLA_LINKINFO, &[Whole(IFLA_INFO_KIND)])];

/// The guards (`guards.rs`), by their numbers in `linux/if_link.h`: `IFLA_BRPORT_GUARD`, `_PROTECT`, `_LEARNING`,
/// `_MULTICAST_ROUTER`, `_ISOLATED`, `_LOCKED`, `_MCAST_MAX_GROUPS`. One that is missing here is never confirmed.
const OF_A_PORT: &[Part] = &[Whole(5), Whole(6), Whole(8), Whole(25), Whole(33), Whole(39), Whole(42)];

/// Address families, `AF_INET` and `AF_INET6`, and `IFLA_INET6_CONF`, `IFLA_INET6_ADDR_GEN_MODE` in one of them.
const INET: u16 = 2;
const INET6: u16 = 10;
const INET6_CONF: u16 = 2;
const INET6_ADDR_GEN_MODE: u16 = 8;

/// netlink(7): `struct nlmsghdr`. Behind it in such a message is a `struct ifinfomsg`, of the same size.
const HEADER: usize = 16;
const BODY: usize = 32;

/// `struct nlattr`
const ATTRIBUTE: usize = 4;
/// Of its type, what is not a flag: `NLA_TYPE_MASK`.
const TYPE: u16 = 0x3fff;

/// Puts the messages of a datagram, with what is read of them, in place of what was kept before.
pub(crate) fn sift(mut datagram: &[u8], kept: &mut Vec<u8>) {
    kept.clear();
    while let Some((message, rest)) = first(datagram) {
        let sifted = if number(message, 4) == Some(RTM_NEWLINK) { sift_link(message, kept) } else { None };
        if sifted.is_none() {
            kept.extend_from_slice(message);
        }
        datagram = rest;
    }
    kept.extend_from_slice(datagram);
}

/// The first message, with what aligns the next one. None: there is none, or it is cut off.
fn first(datagram: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u32::from_ne_bytes(*datagram.first_chunk()?);
    let length = usize::try_from(length).ok()?;
    let aligned = length.checked_next_multiple_of(ATTRIBUTE)?.min(datagram.len());
    (HEADER <= length && length <= datagram.len()).then(|| datagram.split_at_checked(aligned)).flatten()
}

/// None, and nothing kept: it is not as it should be.
fn sift_link(message: &[u8], kept: &mut Vec<u8>) -> Option<()> {
    let (start, (head, attributes)) = (kept.len(), message.split_at_checked(BODY)?);
    let parts = if number(message, 6)? & IN_A_LIST == 0 { OF_A_LINK } else { OF_A_LISTED_LINK };
    kept.extend_from_slice(head);
    let sifted = sift_attributes(attributes, parts, kept)
        .and_then(|()| put_length(kept, start, |length| u32::try_from(length).ok().map(u32::to_ne_bytes)));
    if sifted.is_none() {
        kept.truncate(start);
    }
    sifted
}

/// Keeps these. None: these are no attributes.
fn sift_attributes(mut attributes: &[u8], parts: &[Part], kept: &mut Vec<u8>) -> Option<()> {
    while !attributes.is_empty() {
        let (length, kind) = (usize::from(number(attributes, 0)?), number(attributes, 2)? & TYPE);
        let content = attributes.get(ATTRIBUTE..length)?;
        let aligned = length.checked_next_multiple_of(ATTRIBUTE)?.min(attributes.len());
        let (attribute, rest) = attributes.split_at_checked(aligned)?;
        let is_it = |part: &&Part| matches!(part, Whole(wanted) | Of(wanted, _) if *wanted == kind);
        match parts.iter().find(is_it) {
            Some(Whole(_)) => kept.extend_from_slice(attribute),
            Some(Of(_, parts)) => {
                let start = kept.len();
                kept.extend_from_slice(attribute.get(..ATTRIBUTE)?);
                sift_attributes(content, parts, kept)?;
                put_length(kept, start, |length| u16::try_from(length).ok().map(u16::to_ne_bytes))?;
            }
            None => {}
        }
        attributes = rest;
    }
    Some(())
}

/// Says at its beginning how long the part from `start` on is now.
fn put_length<const BYTES: usize>(
    kept: &mut [u8],
    start: usize,
    bytes: impl FnOnce(usize) -> Option<[u8; BYTES]>,
) -> Option<()> {
    let length = bytes(kept.len().checked_sub(start)?)?;
    kept.get_mut(start..)?.first_chunk_mut().map(|place| *place = length)
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|number| u16::from_ne_bytes(*number))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sifted(datagram: &[u8]) -> Vec<u8> {
        let mut kept = vec![1];
        sift(datagram, &mut kept);
        kept
    }

    fn attribute(kind: u16, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len() + ATTRIBUTE).unwrap();
        let mut attribute = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), content].concat();
        attribute.resize(attribute.len().next_multiple_of(4), 0);
        attribute
    }

    fn message(kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
        let attributes = attributes.concat();
        let length = u32::try_from(BODY + attributes.len()).unwrap();
        [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[8; BODY - 6], &attributes].concat()
    }

    #[test]
    fn in_a_list_nothing_is_kept_that_may_be_any_bytes() {
        let info = attribute(IFLA_LINKINFO, &attribute(IFLA_INFO_KIND, b"veth\0"));
        let (mac, master) = (attribute(IFLA_ADDRESS, &[2; 6]), attribute(IFLA_MASTER, &[7, 0, 0, 0]));
        let odd = [attribute(IFLA_IFNAME, b"\xe9\0"), attribute(IFLA_IFALIAS, b"\xe9\0")];
        let listed = |attributes: &[Vec<u8>]| {
            let mut message = message(RTM_NEWLINK, attributes);
            message[6] |= 2;
            message
        };
        let kept = [mac, master, info];
        assert_eq!(sifted(&listed(&[&odd[..], &kept].concat())), listed(&kept));
        let alone = message(RTM_NEWLINK, &odd);
        assert_eq!(sifted(&alone), alone);
    }

    #[test]
    fn what_is_read_is_kept_as_it_is_and_the_rest_is_left_out() {
        const NESTED: u16 = 0x8000;
        let (name, stats) = (attribute(IFLA_IFNAME, b"veth0\0"), attribute(23, &[1; 204]));
        let (kind, data) = (attribute(IFLA_INFO_KIND, b"veth\0"), attribute(2, &[2; 99]));
        let port = attribute(NESTED | IFLA_INFO_SLAVE_DATA, &attribute(5, &[1]));
        let whole = attribute(NESTED | IFLA_LINKINFO, &[kind.clone(), data, port.clone()].concat());
        let less = attribute(NESTED | IFLA_LINKINFO, &[kind, port].concat());
        let families = attribute(IFLA_AF_SPEC, &attribute(INET, &[4; 30]));
        let link = |info: &Vec<u8>, more: &[Vec<u8>]| {
            message(RTM_NEWLINK, &[&[name.clone(), info.clone(), families.clone()], more].concat())
        };
        let other = message(2, std::slice::from_ref(&stats));
        let datagram = [link(&whole, std::slice::from_ref(&stats)), other.clone(), link(&less, &[])].concat();
        assert_eq!(sifted(&datagram), [link(&less, &[]), other, link(&less, &[])].concat());
    }

    #[test]
    fn what_is_cut_off_is_left_to_the_parser() {
        let whole = message(RTM_NEWLINK, &[attribute(IFLA_IFNAME, b"veth0\0"), attribute(23, &[1; 20])]);
        for length in 0..whole.len() {
            assert_eq!(sifted(&whole[..length]), whole[..length]);
        }
        let short = message(RTM_NEWLINK, &[vec![3, 0, 3, 0]]);
        assert_eq!(sifted(&short), short);
        let long = message(RTM_NEWLINK, &[vec![9, 0, 3, 0, 1, 1, 1, 1]]);
        assert_eq!(sifted(&long), long);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd_and_nothing_is_added(bytes: Vec<u8>, kind in prop::sample::select(vec![16_u16, 2])) {
            prop_assert!(sifted(&bytes).len() <= bytes.len());
            let message = message(kind, &[bytes]);
            let once = sifted(&message);
            prop_assert!(once.len() <= message.len());
            prop_assert_eq!(sifted(&once), once);
        }
    }
}
