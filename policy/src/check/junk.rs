//! Why a line is none, said as precisely as can be.

use common::policy::id::{self, NotDecimal};
use common::policy::subid::LONGEST_LINE;
use common::policy::text::Quoted;
use common::policy::usernet::VETH;

use super::rule::{
    EMPTY_RANGE, ENCODING, ID_OVERFLOW, LEADING_BLANK, LONG_LINE, NIC_TYPE, NO_INTERFACES, NUMBER_BASE, Rule,
    SYNTAX,
};

/// What is wrong with a line, and what would mend it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The rule that it breaks.
    pub rule: &'static Rule,
    /// In what way.
    pub message: String,
    /// What mends it, if an editor is not needed.
    pub script: Option<&'static str>,
}

impl Fault {
    fn new(rule: &'static Rule, message: impl Into<String>) -> Self {
        Self { rule, message: message.into(), script: None }
    }
}

/// Has nothing in it, or is a remark.
#[must_use]
pub fn says_nothing(line: &[u8]) -> bool {
    line.starts_with(b"#") || line.iter().all(|byte| matches!(byte, b' ' | b'\t'))
}

/// Bytes that should be in no line, whether it grants or not.
#[must_use]
pub fn odd_bytes(line: &[u8], number: u32) -> Option<Fault> {
    let fault = |message: &str, script| Some(Fault { rule: ENCODING, message: message.to_owned(), script });
    let is_first = number == 1;
    if is_first && (line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff")) {
        return fault("the file is in UTF-16, of which no line counts; save it as UTF-8", None);
    }
    if line.starts_with(b"\xef\xbb\xbf") {
        return fault(
            "begins with a byte order mark (BOM), which becomes a part of the name",
            is_first.then_some(r"1s/^\xef\xbb\xbf//"),
        );
    }
    if line.contains(&0) {
        return fault("has a NUL byte in it", Some(r"s/\x00//g"));
    }
    if line.ends_with(b"\r") {
        return fault(
            "ends with a carriage return (a file from Windows, CRLF), so it does not count",
            Some(r"s/\r$//"),
        );
    }
    if line.contains(&b'\r') {
        return fault(
            "has a carriage return in it: the lines of a file end with a newline (LF)",
            Some(r"s/\r/\n/g"),
        );
    }
    None
}

/// Why a line of subuid or subgid that grants nothing does not.
#[must_use]
pub fn in_subid(line: &[u8], number: u32) -> Fault {
    if let Some(fault) = odd_bytes(line, number) {
        return fault;
    }
    if line.len() > LONGEST_LINE {
        return Fault::new(
            LONG_LINE,
            format!("has {} bytes; more than {LONGEST_LINE} are passed over", line.len()),
        );
    }
    let mut fields = line.split(|byte| *byte == b':');
    let fields_number = fields.clone().count();
    let (Some(owner), Some(first), Some(count), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Fault::new(
            SYNTAX,
            format!(
                "\"{}\" has {fields_number} {} where owner:first:count has 3",
                Quoted(line),
                if fields_number == 1 { "field" } else { "fields" }
            ),
        );
    };
    match owner.first() {
        None => return Fault::new(SYNTAX, "has no owner before the first colon"),
        Some(b'+' | b'-') => {
            let owner = Quoted(owner);
            return Fault::new(SYNTAX, format!("the owner \"{owner}\" begins as only names of NIS do"));
        }
        Some(_) => {}
    }
    let numbers = number_of("first id", first).and_then(|first| Ok((first, number_of("count", count)?)));
    match numbers {
        Err(fault) => fault,
        Ok((_, 0)) => Fault::new(EMPTY_RANGE, "has a count of 0: it grants nothing"),
        Ok((u32::MAX, _)) => Fault::new(ID_OVERFLOW, "begins at 4294967295, which is (uid_t)-1 and no id"),
        Ok((first, count)) => {
            let last = u64::from(first).saturating_add(count.into()).saturating_sub(1);
            let message = format!("goes from {first} to {last}, and the last id there is is 4294967294");
            Fault::new(if last >= u32::MAX.into() { ID_OVERFLOW } else { SYNTAX }, message)
        }
    }
}

/// Why a line of lxc-usernet that allows nothing does not.
#[must_use]
pub fn in_usernet(line: &[u8], number: u32) -> Fault {
    if let Some(fault) = odd_bytes(line, number) {
        return fault;
    }
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Fault::new(LEADING_BLANK, "begins with a blank, so it is a remark and allows nothing");
    }
    let mut fields = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|field| !field.is_empty());
    let fields_number = fields.clone().count();
    let veth_is_later = fields.clone().skip(2).any(|field| field == VETH.as_bytes());
    let blank_in_name = "; a name with a blank in it cannot be written in this file, use a group";
    let (Some(_owner), Some(kind), Some(_bridge), Some(count)) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Fault::new(
            SYNTAX,
            format!(
                "\"{}\" has {fields_number} {} where OWNER veth BRIDGE COUNT has 4",
                Quoted(line),
                if fields_number == 1 { "field" } else { "fields" }
            ),
        );
    };
    if kind != VETH.as_bytes() {
        let hint = if veth_is_later { blank_in_name } else { "" };
        return Fault::new(
            NIC_TYPE,
            format!("the type is \"{}\", and veth is the only one{hint}", Quoted(kind)),
        );
    }
    match number_of("number of interfaces", count) {
        Err(Fault { rule, message, .. }) if rule == ID_OVERFLOW => Fault::new(NO_INTERFACES, message),
        Err(fault) => fault,
        Ok(0) => Fault::new(NO_INTERFACES, "allows 0 interfaces, which is what everybody has without a line"),
        Ok(count) if i32::try_from(count).is_err() => {
            Fault::new(NO_INTERFACES, format!("the number of interfaces, {count}, is above 2147483647"))
        }
        Ok(_) => Fault::new(SYNTAX, format!("\"{}\" is not OWNER veth BRIDGE COUNT", Quoted(line))),
    }
}

/// The number that a field is, or why it is none.
fn number_of(what: &str, field: &[u8]) -> Result<u32, Fault> {
    let not_decimal = match id::decimal(field) {
        Ok(number) => return Ok(number),
        Err(not_decimal) => not_decimal,
    };
    let shown = format!("the {what} \"{}\"", Quoted(field));
    let fault = |rule, why: &str| Err(Fault::new(rule, format!("{shown} {why}")));
    let all_digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if not_decimal == NotDecimal::OutOfRange {
        let below = field.starts_with(b"-");
        return fault(ID_OVERFLOW, if below { "is below 0" } else { "is above 4294967295" });
    }
    match field {
        [] => Err(Fault::new(SYNTAX, format!("the {what} is missing"))),
        [b'0', b'x' | b'X', digits @ ..] if digits.iter().all(u8::is_ascii_hexdigit) => {
            fault(NUMBER_BASE, "is hexadecimal to some programs and no number to others")
        }
        [b'0', digits @ ..] if all_digits(digits) => {
            fault(NUMBER_BASE, "begins with 0: octal to some programs and decimal to others")
        }
        [b'+', digits @ ..] if all_digits(digits) => fault(SYNTAX, "has a sign"),
        _ if field.contains(&b'#') => {
            fault(SYNTAX, "has a remark behind it; a remark needs a line of its own")
        }
        _ if all_digits(field.trim_ascii()) => {
            let behind = field.first().is_some_and(u8::is_ascii_digit);
            fault(SYNTAX, if behind { "has a blank behind it" } else { "has a blank in front" })
        }
        _ => fault(SYNTAX, "is no decimal number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::policy::{subid, usernet};
    use proptest::prelude::*;

    fn says(line: &[u8], rule: &'static Rule, part: &str) {
        assert!(subid::entry(line).is_none());
        let fault = in_subid(line, 1);
        assert_eq!(fault.rule.id, rule.id, "{fault:?}");
        assert!(fault.message.contains(part), "{fault:?}");
    }

    #[test]
    fn what_is_wrong_with_a_subid_line_is_said_precisely() {
        says(b"alice", SYNTAX, "has 1 field where");
        says(b"alice:1", SYNTAX, "has 2 fields where");
        says(b"alice:1:1:", SYNTAX, "has 4 fields where");
        says(b":1:1", SYNTAX, "no owner");
        says(b"alice::1", SYNTAX, "the first id is missing");
        says(b"alice:1:", SYNTAX, "the count is missing");
        says(b"+alice:1:1", SYNTAX, "NIS");
        says(b"alice:1:1 ", SYNTAX, "\"1 \" has a blank behind it");
        says(b"alice: 1:1", SYNTAX, "first id \" 1\" has a blank in front");
        says(b"alice:1:1 # note", SYNTAX, "remark");
        says(b"alice:+1:1", SYNTAX, "sign");
        says(b"alice:1:65k", SYNTAX, "no decimal number");
        says(b"alice:010:1", NUMBER_BASE, "octal");
        says(b"alice:1:0x10", NUMBER_BASE, "hexadecimal");
        says(b"alice:1:0", EMPTY_RANGE, "0");
        says(b"alice:1:-1", ID_OVERFLOW, "below 0");
        says(b"alice:4294967296:1", ID_OVERFLOW, "above 4294967295");
        says(b"alice:4294967295:1", ID_OVERFLOW, "(uid_t)-1");
        says(b"alice:4294967294:2", ID_OVERFLOW, "to 4294967295");
        says(b"alice:5:4294967295", ID_OVERFLOW, "to 4294967299");
        says(b"alice:1:1\r", ENCODING, "CRLF");
        says(b"\xef\xbb\xbfalice:1:", ENCODING, "BOM");
        says(b"\xff\xfea\0l\0", ENCODING, "UTF-16");
        says(b"\0", ENCODING, "NUL");
        says(&[b"alice:1:".as_slice(), &[b'1'; 1100]].concat(), LONG_LINE, "1108 bytes");
    }

    #[test]
    fn what_is_wrong_with_a_usernet_line_is_said_precisely() {
        let says = |line: &[u8], rule: &'static Rule, part: &str| {
            assert!(usernet::entry(line).is_none());
            let fault = in_usernet(line, 2);
            assert_eq!(fault.rule.id, rule.id, "{fault:?}");
            assert!(fault.message.contains(part), "{fault:?}");
        };
        says(b"alice veth br0", SYNTAX, "has 3 fields where");
        says(b" alice veth br0 5", LEADING_BLANK, "is a remark");
        says(b"alice phys br0 5", NIC_TYPE, "\"phys\"");
        // M18: the format cannot express it, and the message says so.
        says(b"domain users veth br0 5", NIC_TYPE, "name with a blank in it cannot be written");
        says(b"alice veth br0 010", NUMBER_BASE, "octal");
        says(b"alice veth br0 0", NO_INTERFACES, "0 interfaces");
        says(b"alice veth br0 -3", NO_INTERFACES, "below 0");
        says(b"alice veth br0 2147483648", NO_INTERFACES, "above 2147483647");
        says(b"alice veth br0 5#", SYNTAX, "remark");
        says(b"alice veth br0 5\r", ENCODING, "CRLF");
    }

    proptest! {
        #[test]
        fn something_can_be_said_of_any_line(line in "[a:#+\\- 0-9x\r\t\0]{0,20}", number in 0..3_u32) {
            prop_assert!(!in_subid(line.as_bytes(), number).message.is_empty());
            prop_assert!(!in_usernet(line.as_bytes(), number).message.is_empty());
        }
    }
}
