//! `/etc/login.defs`: where useradd and its kin take new ids. Read as they do.

use common::policy::text::lines;

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
    let values = lines(text).filter_map(|line| {
        let line = line.trim_ascii();
        let (key, value) = line.split_at(line.iter().position(u8::is_ascii_whitespace)?);
        (key == name.as_bytes()).then(|| value.trim_ascii())
    });
    let value = values.last()?;
    let text = std::str::from_utf8(value).unwrap_or_default().trim_matches('"');
    let number = match (text.strip_prefix("0x"), text.strip_prefix('0')) {
        (Some(digits), _) => u32::from_str_radix(digits, 16),
        (None, Some(digits)) if !digits.is_empty() => u32::from_str_radix(digits, 8),
        _ => text.parse(),
    };
    Some(number.map_err(|_| value))
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
        assert_eq!((number(text, "D"), number_or(text, "E", 4)), (Some(Err(&b"x"[..])), 4));
    }
}
