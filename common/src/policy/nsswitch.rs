//! `/etc/nsswitch.conf`, as far as it matters here: where accounts come from, and where subordinate ids come from.

use super::subid_source::Sources;
use super::text::lines;

/// What the file says of three databases.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Nsswitch {
    passwd: Vec<Vec<u8>>,
    group: Vec<Vec<u8>>,
    subid: Vec<Vec<u8>>,
    is_private: bool,
}

/// What an absent file says.
impl Default for Nsswitch {
    fn default() -> Self {
        Self::parse(b"")
    }
}

impl Nsswitch {
    /// Reads the file's bytes; an absent file is an empty one. A database without a line is `files`.
    ///
    /// Accounts are read as the C library reads them: blanks do not matter, the last line counts. Subordinate ids as
    /// shadow does: `subid:` at the very start, the first line that says anything counts.
    #[must_use]
    pub fn parse(file: &[u8]) -> Self {
        let last = |database: &[u8]| {
            let sources = lines(file).filter_map(|line| {
                let mut parts = line.splitn(2, |byte| *byte == b':');
                let is_it = parts.next()?.trim_ascii() == database;
                is_it.then_some(words(parts.next()?))
            });
            sources.last()
        };
        let subids = lines(file).filter_map(|line| {
            let (name, rest) = line.split_at_checked(b"subid:".len())?;
            name.eq_ignore_ascii_case(b"subid:").then(|| words(rest))
        });
        let files = || vec![b"files".to_vec()];
        Self {
            passwd: last(b"passwd").unwrap_or_else(files),
            group: last(b"group").unwrap_or_else(files),
            subid: subids.into_iter().find(|sources| !sources.is_empty()).unwrap_or_else(files),
            is_private: false,
        }
    }

    /// The same, of a file that not everybody may read.
    #[must_use]
    pub fn in_private(self) -> Self {
        Self { is_private: true, ..self }
    }

    /// May a message repeat what it says?
    #[must_use]
    pub const fn may_be_repeated(&self) -> bool {
        !self.is_private
    }

    /// Does `/etc/passwd` come first, so that a caller found there needs no other source?
    #[must_use]
    pub fn accounts_are_in_files(&self) -> bool {
        self.passwd.first().is_some_and(|first| first == b"files")
    }

    /// Is there a source of accounts besides `/etc/passwd`?
    #[must_use]
    pub fn accounts_are_elsewhere_too(&self) -> bool {
        self.passwd.iter().any(|source| source != b"files")
    }

    /// Is `/etc/passwd` among the sources of accounts?
    #[must_use]
    pub fn accounts_are_in_files_too(&self) -> bool {
        let reads_passwd: [&[u8]; 3] = [b"files", b"compat", b"db"];
        self.passwd.iter().any(|source| reads_passwd.contains(&source.as_slice()))
    }

    /// Is there a source of groups besides `/etc/group`?
    #[must_use]
    pub fn groups_are_elsewhere_too(&self) -> bool {
        self.group.iter().any(|source| source != b"files")
    }

    /// Where subordinate ids come from.
    ///
    /// # Errors
    /// The first word of the line that is no name of a source.
    pub fn subid_sources(&self) -> Result<Sources, &[u8]> {
        Sources::named(self.subid.iter().map(Vec::as_slice))
    }

    /// May somebody besides the files grant subordinate ids?
    #[must_use]
    pub fn names_plugins(&self) -> bool {
        self.subid_sources().is_ok_and(|sources| !sources.plugins.is_empty())
    }
}

/// The words up to a comment.
fn words(text: &[u8]) -> Vec<Vec<u8>> {
    text.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .take_while(|word| !word.starts_with(b"#"))
        .map(<[u8]>::to_vec)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subid(file: &str) -> Vec<Vec<u8>> {
        Nsswitch::parse(file.as_bytes()).subid
    }

    #[test]
    fn no_line_means_files() {
        let nsswitch = Nsswitch::parse(b"hosts: dns\n# subid: sss\n subid: sss\nsubids: x\nsubid : y\n");
        assert_eq!(nsswitch.subid_sources(), Ok(Sources { files: true, plugins: vec![] }));
        assert!(nsswitch.accounts_are_in_files() && !nsswitch.accounts_are_elsewhere_too());
    }

    #[test]
    fn the_first_usable_line_counts_whatever_its_case_and_without_newline() {
        assert_eq!(subid("subid:\nSubID:\tsss  files # note\nsubid: files"), [&b"sss"[..], b"files"]);
        assert_eq!(subid("subid:sss"), [b"sss"]);
        assert_eq!(subid("subid: zok#c [NOTFOUND=return]\r\n"), [&b"zok#c"[..], b"[NOTFOUND=return]"]);
    }

    #[test]
    fn a_comment_alone_is_an_empty_line() {
        assert_eq!(subid("subid: # sss\n"), [b"files"]);
    }

    #[test]
    fn accounts_elsewhere_are_seen() {
        let nsswitch = Nsswitch::parse(b"passwd: files systemd\n");
        assert!(nsswitch.accounts_are_in_files() && nsswitch.accounts_are_elsewhere_too());
        for elsewhere_first in
            ["passwd: sss files", " passwd: sss", "passwd : sss", "passwd: files\npasswd: sss", "passwd:"]
        {
            assert!(
                !Nsswitch::parse(elsewhere_first.as_bytes()).accounts_are_in_files(),
                "{elsewhere_first:?}"
            );
        }
        assert!(Nsswitch::parse(b"passwd: sss files").accounts_are_in_files_too());
        assert!(!Nsswitch::parse(b"passwd: sss").accounts_are_in_files_too());
        for reads_passwd in [&b"passwd: compat"[..], b"passwd: sss db"] {
            assert!(Nsswitch::parse(reads_passwd).accounts_are_in_files_too());
        }
    }

    #[test]
    fn groups_have_a_line_of_their_own() {
        let elsewhere = |file: &[u8]| Nsswitch::parse(file).groups_are_elsewhere_too();
        assert!(elsewhere(b"group: files sss") && elsewhere(b"group: systemd"));
        assert!(!elsewhere(b"group: files") && !elsewhere(b"passwd: sss") && !elsewhere(b""));
    }
}
