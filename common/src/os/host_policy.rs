//! `/etc/nsgate.ini`, as it is on this host.

use super::trusted::{AsRead, Etc, EtcFile};
use crate::Error;
use crate::error::Rule;
use crate::policy::host::Forbidden;
use crate::policy::idmap::Kind;
use crate::policy::refusal;
use crate::policy::settings::Settings;
use crate::policy::text::Quoted;

/// Under `/etc`.
pub const NAME: &str = "nsgate.ini";
const PATH: &str = "/etc/nsgate.ini";

/// What it says.
#[derive(Debug, Default)]
pub struct HostPolicy {
    /// All of it.
    pub settings: Settings,
    may_be_repeated: bool,
    /// None: it is not from a file of this host's.
    file: Option<AsRead>,
}

impl HostPolicy {
    /// Reads it. Absent, it asks for nothing.
    ///
    /// # Errors
    /// It cannot be read, or is not as it should be.
    pub fn read(file: Option<EtcFile>) -> Result<Self, Error> {
        let Some(mut file) = file else {
            return Ok(Self { file: Some(AsRead::Nothing(NAME)), ..Self::default() });
        };
        let may_be_repeated = file.readable_by_all();
        let text = file.contents(PATH)?;
        let settings = settings_of(&text, may_be_repeated)?;
        Ok(Self { settings, may_be_repeated, file: Some(AsRead::File(file)) })
    }

    /// What a text says, wherever it is from. May a message repeat it?
    ///
    /// # Errors
    /// It is not as it should be.
    pub fn of(text: &[u8], may_be_repeated: bool) -> Result<Self, Error> {
        Ok(Self { settings: settings_of(text, may_be_repeated)?, may_be_repeated, ..Self::default() })
    }

    /// Is the file still what it was when it was read? One that was not there must not be there now.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn is_as_it_was(&self, etc: &Etc) -> Result<bool, Error> {
        self.file.as_ref().map_or(Ok(true), |file| file.is_as_it_was(etc))
    }

    /// A rule forbids a map, or a part of it.
    #[must_use]
    pub fn forbids_map(&self, kind: Kind, forbidden: &Forbidden) -> Error {
        let (what, why) = refusal::forbidden(kind, forbidden);
        Error::Forbidden { what, rule: self.rule((forbidden.key, forbidden.line), why) }
    }

    /// A rule, its key and its line, is in the way of an interface on this bridge.
    #[must_use]
    pub fn forbids_veth(&self, bridge: &str, rule: (&'static str, u32), why: String) -> Error {
        Error::Forbidden {
            what: format!("a veth on {} is", Quoted(bridge.as_bytes())),
            rule: self.rule(rule, why),
        }
    }

    /// A rule, and what it says to a request, as far as the caller may know.
    fn rule(&self, (key, line): (&'static str, u32), why: String) -> Rule {
        if self.may_be_repeated {
            Rule { why, place: format!("{PATH}:{line} {key}") }
        } else {
            Rule { why: "a rule of the host's forbids it".to_owned(), place: PATH.to_owned() }
        }
    }
}

fn settings_of(text: &[u8], may_be_repeated: bool) -> Result<Settings, Error> {
    Settings::parse(text).map_err(|malformed| {
        if may_be_repeated {
            Error::Settings { place: format!("{PATH}:{}", malformed.line), why: malformed.why }
        } else {
            Error::Settings { place: PATH.to_owned(), why: "is not as it should be".to_owned() }
        }
    })
}
