//! The one setting of `/etc/login.defs` that newuidmap(1) and newgidmap(1) heed: `GRANT_AUX_GROUP_SUBIDS`.

use super::text::lines;

/// May a caller whose current group is not his login group (`newgrp`, `sg`) use the helpers? Only if the file says
/// `GRANT_AUX_GROUP_SUBIDS yes`. The last line of that name counts.
#[must_use]
pub fn grants_aux_group_subids(file: &[u8]) -> bool {
    let settings = lines(file).filter_map(|line| {
        let line = behind(line.trim_ascii_end(), b" \t");
        let (name, value) = line.split_at(line.iter().position(|byte| b" \t".contains(byte))?);
        (name == b"GRANT_AUX_GROUP_SUBIDS").then_some(value)
    });
    settings.last().is_some_and(|value| {
        // What is behind the second quote, such as a remark, is no part of it.
        let word = behind(value, b" \t\"").split(|byte| *byte == b'"').next();
        word.is_some_and(|word| word.eq_ignore_ascii_case(b"yes"))
    })
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
