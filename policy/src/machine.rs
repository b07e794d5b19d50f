//! The files of a machine as the helpers read them: of this one with the same judgement of who may have written them
//! (`common::os::trusted`), of an image as they are, since whose its files are says nothing of the machine it is for.

use common::Error;
use common::os::account::{InFiles, Names, Question, Services, in_files};
use common::os::host_policy::HostPolicy;
use common::os::trusted::{Etc, EtcFile, SMALL, leads_nowhere};
use common::policy::id::Id;
use common::policy::nsswitch::Nsswitch;
use common::policy::passwd::Account;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::failure::Failure;
use crate::root::Root;

/// Where the files are.
#[derive(Debug)]
pub struct Machine<'a> {
    root: &'a Root,
    /// Of the machine that we run on.
    etc: Option<Etc>,
}

/// A file of `/etc`.
#[derive(Debug)]
pub enum Source {
    /// Of the machine that we run on.
    Live(EtcFile),
    /// Of an image, and whether everybody may read it.
    Image(Vec<u8>, bool),
}

/// What a helper would get when it opens a file.
pub type Opened = Result<Option<Source>, Error>;

impl<'a> Machine<'a> {
    /// That of this root.
    ///
    /// # Errors
    /// It has no `/etc` that can be opened.
    pub fn of(root: &'a Root) -> Result<Self, Failure> {
        let etc = if root.is_live() { Some(Etc::open().map_err(said)?) } else { None };
        Ok(Self { root, etc })
    }

    /// Is it the one that we run on?
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.root.is_live()
    }

    /// A policy file, by its name in `/etc`. What a helper would have against it is in the answer.
    ///
    /// # Errors
    /// We cannot say, as we may read less than a helper.
    pub fn policy(&self, name: &'static str) -> Result<Opened, Failure> {
        match &self.etc {
            Some(etc) => within_our_reach(etc.policy(name)),
            None => {
                let (found, path) = (self.in_image(name)?, format!("/etc/{name}"));
                let has_link = || self.root.open_at(&path, OFlag::O_PATH | OFlag::O_NOFOLLOW).is_ok();
                Ok(if found.is_none() && has_link() { Err(leads_nowhere(&path)) } else { Ok(found) })
            }
        }
    }

    /// The account database, by its name in `/etc`: whoever may have written it.
    ///
    /// # Errors
    /// As [`Machine::policy`].
    pub fn database(&self, name: &'static str) -> Result<Opened, Failure> {
        match &self.etc {
            Some(etc) => within_our_reach(etc.database(name)),
            None => self.in_image(name).map(Ok),
        }
    }

    fn in_image(&self, name: &str) -> Result<Option<Source>, Failure> {
        let file = self.root.read(&format!("/etc/{name}"))?;
        Ok(file.map(|file| Source::Image(file.bytes, file.status.st_mode & Mode::S_IROTH.bits() != 0)))
    }

    /// `nsswitch.conf`.
    ///
    /// # Errors
    /// As [`Machine::policy`].
    pub fn nsswitch(&self) -> Result<Result<Nsswitch, Error>, Failure> {
        let read = |file: Option<Source>| {
            let text = file.map(|mut file| file.contents("/etc/nsswitch.conf")).transpose()?;
            Ok(Nsswitch::parse(&text.unwrap_or_default()))
        };
        Ok(self.policy("nsswitch.conf")?.and_then(read))
    }

    /// `nsgate.ini`.
    ///
    /// # Errors
    /// As [`Machine::policy`].
    pub fn host_policy(&self) -> Result<Result<HostPolicy, Error>, Failure> {
        Ok(self.policy("nsgate.ini")?.and_then(|file| match file {
            Some(Source::Live(file)) => HostPolicy::read(Some(file)),
            Some(mut image) => {
                let readable_by_all = image.readable_by_all();
                HostPolicy::of(&image.contents("/etc/nsgate.ini")?, readable_by_all)
            }
            None => HostPolicy::read(None),
        }))
    }

    /// Whose lines count for somebody with this uid, and his login groups.
    ///
    /// # Errors
    /// As [`Machine::policy`].
    pub fn account(&self, uid: Id, nsswitch: &Nsswitch) -> Result<Result<Option<Account>, Error>, Failure> {
        if let Some(etc) = &self.etc {
            let question = Question { uid, etc, nsswitch, args: &[] };
            return Ok(in_files(&question).and_then(|found| match found {
                InFiles::Decides(account) => Ok(account),
                InFiles::AskElsewhere { .. } => Services.account(&question),
            }));
        }
        let mut account = Account::default();
        if let Some(mut passwd) = self.in_image("passwd")? {
            passwd.blocks("/etc/passwd", |_, block| account.collect(uid, block)).map_err(said)?;
        }
        Ok(Ok((!account.names.is_empty()).then_some(account)))
    }
}

impl Source {
    /// As [`EtcFile::readable_by_all`].
    #[must_use]
    pub const fn readable_by_all(&self) -> bool {
        match self {
            Self::Live(file) => file.readable_by_all(),
            Self::Image(_, readable) => *readable,
        }
    }

    /// As [`EtcFile::blocks`].
    ///
    /// # Errors
    /// As there.
    pub fn blocks(&mut self, path: &str, mut see: impl FnMut(u32, &[u8])) -> Result<(), Error> {
        match self {
            Self::Live(file) => file.blocks(path, see),
            Self::Image(text, _) => {
                see(1, text);
                Ok(())
            }
        }
    }

    /// As [`EtcFile::beginnings`].
    ///
    /// # Errors
    /// As there.
    pub fn beginnings(&mut self, path: &str, mut see: impl FnMut(&[u8])) -> Result<(), Error> {
        match self {
            Self::Live(file) => file.beginnings(path, see),
            Self::Image(text, _) => {
                see(text);
                Ok(())
            }
        }
    }

    /// As [`EtcFile::contents`].
    ///
    /// # Errors
    /// As there.
    pub fn contents(&mut self, path: &str) -> Result<Vec<u8>, Error> {
        match self {
            Self::Live(file) => file.contents(path),
            Self::Image(text, _) if text.len() > SMALL => {
                Err(Error::when(format!("cannot read {path}"))(Errno::EFBIG))
            }
            Self::Image(text, _) => Ok(text.clone()),
        }
    }
}

/// A set-id helper may read what its caller may not: then this is for root to ask.
fn within_our_reach(opened: Result<Option<EtcFile>, Error>) -> Result<Opened, Failure> {
    match opened {
        Err(error @ Error::System { errno: Errno::EACCES, .. }) => {
            Err(Failure::new(format!("{error}; the helpers may read it, you may not: ask as root")))
        }
        opened => Ok(opened.map(|file| file.map(Source::Live))),
    }
}

/// For `map_err`: an error in the helpers' words.
pub fn said(error: Error) -> Failure {
    Failure::new(error.to_string())
}
