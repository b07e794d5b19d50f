//! Targets for the host's own policy.

use common::policy::host::{Fact, Facts, allow};
use common::policy::idmap::{Triple, decide};
use common::policy::settings::{Malformed, Settings};
use common::policy::subid::{Grant, Grants};

use super::{id, range};

/// `/etc/nsgate.ini`: any bytes are settings or have a wrong line; what is right in whole is right in every beginning of it;
/// and no settings make a map that would not be made without.
pub fn settings(data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    let settings = match Settings::parse(data) {
        Ok(settings) => settings,
        Err(Malformed { line, why }) => {
            let line = usize::try_from(line).unwrap();
            assert!((1..=lines.len()).contains(&line));
            assert!(!why.is_empty() && why.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{why:?}");
            // It is that line, and none before it.
            assert!(Settings::parse(&lines[..line - 1].join(&b'\n')).is_ok());
            assert!(Settings::parse(&lines[..line].join(&b'\n')).is_err());
            return;
        }
    };
    // Nothing has two meanings: blank lines and remarks change nothing but the numbers of the lines.
    let spread: Vec<u8> = lines.iter().flat_map(|line| [b"\n; remark\n", *line, b"\n"].concat()).collect();
    assert!(Settings::parse(&spread).is_ok());
    // Of each key the second is one too many.
    let twice = [data, b"\n", data].concat();
    let empty = Settings::parse(b"").unwrap();
    let has_keys =
        lines.iter().any(|line| line.contains(&b'=') && !line.trim_ascii_start().starts_with(b";"));
    assert!(Settings::parse(&twice).is_ok() || has_keys);
    assert!(["", "br0", "none"].iter().all(|name| empty.bridge(name) == Default::default()));

    let grants = Grants::new(vec![Grant { range: range(100, 50), line: 1 }]);
    let triple = |words: [&str; 3]| Triple::parse(words.map(str::as_bytes)).unwrap();
    let triples = vec![triple(["0", "100", "10"]), triple(["10", "1000", "1"])];
    let granted = decide(id(1000), triples, &grants).unwrap();
    let all_well = Facts {
        other_owner: Fact::Nothing,
        account: Fact::Nothing,
        live: Fact::Nothing,
        no_limit: Fact::Nothing,
        no_ulimit: Fact::Nothing,
        unknown: None,
    };
    let usual = allow(id(1000), granted.clone(), &empty.idmap, &Facts::default()).unwrap();
    if let Ok(allowed) = allow(id(1000), granted, &settings.idmap, &all_well) {
        let whole = [range(0, u64::from(u32::MAX))];
        assert_eq!(allowed.for_parent(&whole), usual.for_parent(&whole));
        assert!(allowed.denies_setgroups() || !usual.denies_setgroups());
    }
}
