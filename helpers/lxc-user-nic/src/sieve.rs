//! What the kernel shows of an interface has some sixty parts, ten of which are read here. The others are left out before
//! anything looks into them: that is code which is not run, and memory which is not used.
//!
//! Nothing is changed in what is kept. What does not look as it should is left as it is, for the parser to refuse.

use nix::libc::{
    IFLA_ADDRESS, IFLA_AF_SPEC, IFLA_GROUP, IFLA_IFALIAS, IFLA_IFNAME, IFLA_INFO_KIND, IFLA_INFO_SLAVE_DATA,
    IFLA_INFO_SLAVE_KIND, IFLA_LINK, IFLA_LINK_NETNSID, IFLA_LINKINFO, IFLA_MASTER, IFLA_MTU, RTM_NEWLINK,
};

/// The attributes that `Link::of` reads.
const OF_A_LINK: [u16; 10] = [
    IFLA_ADDRESS,
    IFLA_IFNAME,
    IFLA_MTU,
    IFLA_LINK,
    IFLA_MASTER,
    IFLA_LINKINFO,
    IFLA_IFALIAS,
    IFLA_AF_SPEC,
    IFLA_GROUP,
    IFLA_LINK_NETNSID,
];

/// Those in its `IFLA_LINKINFO`: what it is, and what it is as a port. What it is by itself, nobody asks.
const OF_ITS_KIND: [u16; 3] = [IFLA_INFO_KIND, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA];

/// netlink(7): `struct nlmsghdr`. Behind it in such a message is a `struct ifinfomsg`, of the same size.
const HEADER: usize = 16;
const BODY: usize = 32;

/// `struct nlattr`
const ATTRIBUTE: usize = 4;
/// Of its type, what is not a flag: `NLA_TYPE_MASK`.
const TYPE: u16 = 0x3fff;

/// The messages of a datagram, with what is read of them.
pub(crate) fn sifted(mut datagram: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(datagram.len());
    while let Some((message, rest)) = first(datagram) {
        let start = kept.len();
        kept.extend_from_slice(message.get(..BODY).unwrap_or(message));
        let attributes = message.get(BODY..).unwrap_or_default();
        if number(message, 4) != Some(RTM_NEWLINK) || sift(attributes, &OF_A_LINK, &mut kept).is_none() {
            kept.truncate(start);
            kept.extend_from_slice(message);
        } else {
            put_length(&mut kept, start, |length| u32::try_from(length).ok().map(u32::to_ne_bytes));
        }
        datagram = rest;
    }
    kept.extend_from_slice(datagram);
    kept
}

/// The first message, with what aligns the next one. None: there is none, or it is cut off.
fn first(datagram: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u32::from_ne_bytes(*datagram.first_chunk()?);
    let length = usize::try_from(length).ok()?;
    let aligned = length.checked_next_multiple_of(ATTRIBUTE)?.min(datagram.len());
    (HEADER <= length && length <= datagram.len()).then(|| datagram.split_at_checked(aligned)).flatten()
}

/// Keeps the attributes of these types. None: these are no attributes.
fn sift(mut attributes: &[u8], read: &[u16], kept: &mut Vec<u8>) -> Option<()> {
    while !attributes.is_empty() {
        let (length, kind) = (usize::from(number(attributes, 0)?), number(attributes, 2)? & TYPE);
        let content = attributes.get(ATTRIBUTE..length)?;
        let (attribute, rest) =
            attributes.split_at(length.checked_next_multiple_of(ATTRIBUTE)?.min(attributes.len()));
        if kind == IFLA_LINKINFO && read == OF_A_LINK {
            let start = kept.len();
            kept.extend_from_slice(attribute.get(..ATTRIBUTE)?);
            sift(content, &OF_ITS_KIND, kept)?;
            put_length(kept, start, |length| u16::try_from(length).ok().map(u16::to_ne_bytes))?;
        } else if read.contains(&kind) {
            kept.extend_from_slice(attribute);
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn attribute(kind: u16, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len() + ATTRIBUTE).unwrap();
        let mut attribute = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), content].concat();
        attribute.resize(attribute.len().next_multiple_of(4), 0);
        attribute
    }

    fn message(kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
        let attributes = attributes.concat();
        let length = u32::try_from(BODY + attributes.len()).unwrap();
        [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[7; BODY - 6], &attributes].concat()
    }

    #[test]
    fn what_is_read_is_kept_as_it_is_and_the_rest_is_left_out() {
        const NESTED: u16 = 0x8000;
        let (name, stats) = (attribute(IFLA_IFNAME, b"veth0\0"), attribute(23, &[1; 204]));
        let (kind, data) = (attribute(IFLA_INFO_KIND, b"veth\0"), attribute(2, &[2; 99]));
        let port = attribute(NESTED | IFLA_INFO_SLAVE_DATA, &attribute(2, &[3; 5]));
        let whole = attribute(NESTED | IFLA_LINKINFO, &[kind.clone(), data, port.clone()].concat());
        let less = attribute(NESTED | IFLA_LINKINFO, &[kind, port].concat());
        let families = attribute(IFLA_AF_SPEC, &[4; 30]);
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
