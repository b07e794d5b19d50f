//! `/etc/login.defs`, and the one setting of it that newuidmap(1) and newgidmap(1) heed: `GRANT_AUX_GROUP_SUBIDS`.

use super::text::lines;

/// What the file has under a name, as shadow reads it. The last line of that name counts.
#[must_use]
pub fn value<'a>(file: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let settings = lines(file).filter_map(|line| {
        let line = behind(line.trim_ascii_end(), b" \t");
        let (key, value) = line.split_at(line.iter().position(|byte| b" \t".contains(byte))?);
        (key == name.as_bytes()).then_some(value)
    });
    // What is behind the second quote, such as a remark, is no part of it.
    behind(settings.last()?, b" \t\"").split(|byte| *byte == b'"').next()
}

/// May a caller whose current group is not his login group (`newgrp`, `sg`) use the helpers? Only if the file says
/// `GRANT_AUX_GROUP_SUBIDS yes`.
#[must_use]
pub fn grants_aux_group_subids(file: &[u8]) -> bool {
    value(file, "GRANT_AUX_GROUP_SUBIDS").is_some_and(|value| value.eq_ignore_ascii_case(b"yes"))
}

/// What is left of it behind these.
fn behind<'a>(text: &'a [u8], skipped: &[u8]) -> &'a [u8] {
    let start = text.iter().position(|byte| !skipped.contains(byte)).unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::grants_aux_group_subids as granted;

    #[test]
    fn only_yes_is_yes() {
        assert!(granted(b"UMASK 022\nGRANT_AUX_GROUP_SUBIDS yes\n"));
        assert!(granted(b"  GRANT_AUX_GROUP_SUBIDS\t\"YES\" "));
        assert!(granted(b"GRANT_AUX_GROUP_SUBIDS \"yes\" # as at home\r"));
        for no in [
            "",
            "GRANT_AUX_GROUP_SUBIDS true",
            "GRANT_AUX_GROUP_SUBIDS",
            "#GRANT_AUX_GROUP_SUBIDS yes",
            "GRANT_AUX_GROUP_SUBIDS yes no",
            "GRANT_AUX_GROUP_SUBIDSyes",
            "GRANT_AUX_GROUP_SUBIDS\u{c}yes",
            "GRANT_AUX_GROUP_SUBIDS \"yes \"",
            "GRANT_AUX_GROUP_SUBIDS yes # as at home",
            "GRANT_AUX_GROUP_SUBIDS yes\nGRANT_AUX_GROUP_SUBIDS no",
        ] {
            assert!(!granted(no.as_bytes()), "{no:?}");
        }
    }
}
