//! The one setting of `/etc/login.defs` that newuidmap(1) and newgidmap(1) heed: `GRANT_AUX_GROUP_SUBIDS`.

use super::text::lines;

/// May a caller whose current group is not his login group (`newgrp`, `sg`) use the helpers? Only if the file says
/// `GRANT_AUX_GROUP_SUBIDS yes`. The last line of that name counts.
#[must_use]
pub fn grants_aux_group_subids(file: &[u8]) -> bool {
    let settings = lines(file).filter_map(|line| {
        let line = line.trim_ascii();
        let (name, value) = line.split_at(line.iter().position(u8::is_ascii_whitespace)?);
        (name == b"GRANT_AUX_GROUP_SUBIDS").then_some(value)
    });
    settings.last().is_some_and(|value| {
        let quote_or_blank = |byte: &u8| *byte == b'"' || byte.is_ascii_whitespace();
        let start = value.iter().position(|byte| !quote_or_blank(byte)).unwrap_or(value.len());
        let bare = value.get(start..).unwrap_or_default();
        let end =
            bare.iter().rposition(|byte| !quote_or_blank(byte)).map_or(0, |last| last.saturating_add(1));
        bare.get(..end).is_some_and(|word| word.eq_ignore_ascii_case(b"yes"))
    })
}

#[cfg(test)]
mod tests {
    use super::grants_aux_group_subids as granted;

    #[test]
    fn only_yes_is_yes() {
        assert!(granted(b"UMASK 022\nGRANT_AUX_GROUP_SUBIDS yes\n"));
        assert!(granted(b"  GRANT_AUX_GROUP_SUBIDS\t\"YES\" "));
        for no in [
            "",
            "GRANT_AUX_GROUP_SUBIDS true",
            "GRANT_AUX_GROUP_SUBIDS",
            "#GRANT_AUX_GROUP_SUBIDS yes",
            "GRANT_AUX_GROUP_SUBIDS yes no",
            "GRANT_AUX_GROUP_SUBIDSyes",
            "GRANT_AUX_GROUP_SUBIDS yes\nGRANT_AUX_GROUP_SUBIDS no",
        ] {
            assert!(!granted(no.as_bytes()), "{no:?}");
        }
    }
}
