//! `/etc/login.defs`: where useradd and its kin take new ids. Read as they do.

use common::policy::login_defs::value;

use crate::failure::Failure;
use crate::root::Root;

/// The file of a machine; nothing, if there is none. What the system comes with, as openSUSE's, counts where the host has none.
///
/// # Errors
/// It cannot be read.
pub(crate) fn read(root: &Root) -> Result<Vec<u8>, Failure> {
    let text = match root.read("/etc/login.defs")? {
        Some(text) => Some(text),
        None => root.read("/usr/etc/login.defs")?,
    };
    Ok(text.map(|text| text.bytes).unwrap_or_default())
}

/// A number in it: the last line counts; 0x is hexadecimal, a zero in front octal.
///
/// # Errors
/// What stands there is no number.
pub(crate) fn number<'a>(text: &'a [u8], name: &str) -> Option<Result<u32, &'a [u8]>> {
    let value = value(text, name)?;
    let text = std::str::from_utf8(value).unwrap_or_default();
    let (digits, base) = match (text.strip_prefix("0x").or(text.strip_prefix("0X")), text.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (text, 10),
    };
    // A sign is no digit.
    let number = u32::from_str_radix(digits, base).ok().filter(|_| !digits.starts_with('+'));
    Some(number.ok_or(value))
}

/// The same, or what shadow takes if there is none.
pub(crate) fn number_or(text: &[u8], name: &str, otherwise: u32) -> u32 {
    number(text, name).and_then(Result::ok).unwrap_or(otherwise)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_read_as_shadow_does() {
        let text = b"SUB_UID_MIN 5\n# SUB_UID_MIN 6\n\tSUB_UID_MIN\t 0x10 \nB 010\nC \"7\"\nD x\nE -1\n";
        assert_eq!(number(text, "SUB_UID_MIN"), Some(Ok(16)));
        assert_eq!(
            (number(text, "B"), number(text, "C"), number(text, "F")),
            (Some(Ok(8)), Some(Ok(7)), None)
        );
        for (line, read) in [
            ("A \"7\" # as at home", Ok(7)),
            ("A\t\"\" \t0X10\r", Ok(16)),
            ("A 7 # as at home", Err(&b"7 # as at home"[..])),
            ("A 0x+5", Err(b"0x+5")),
            ("A 0+5", Err(b"0+5")),
            ("A +5", Err(b"+5")),
            ("A \"", Err(b"")),
        ] {
            assert_eq!(number(line.as_bytes(), "A"), Some(read), "{line}");
        }
        assert_eq!((number(text, "D"), number_or(text, "E", 4)), (Some(Err(&b"x"[..])), 4));
    }
}
