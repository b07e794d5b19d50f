//! Probes, what they find, and the time they have.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::fix::Fix;
use crate::output::plural;
use crate::root::Root;

/// How bad something is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum State {
    /// As it should be.
    Ok,
    /// Could not be found out.
    Unknown,
    /// Should be looked at.
    Warning,
    /// Keeps something from working, or is unsafe.
    Problem,
}

impl State {
    /// What a person reads.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }

    /// The exit status of a machine on which this is the worst.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Unknown | Self::Warning => 1,
            Self::Problem => 2,
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How bad it is.
    pub state: State,
    /// What is so. Printable.
    pub what: String,
    /// Why that matters, or why it is so.
    pub cause: Option<String>,
    /// What mends it.
    pub command: Option<String>,
    /// What `--fix` would do.
    pub fix: Option<Fix>,
}

impl Finding {
    /// All is well.
    pub fn ok(what: impl Into<String>) -> Self {
        Self { state: State::Ok, what: what.into(), cause: None, command: None, fix: None }
    }

    /// Nobody knows, and why.
    pub fn unknown(what: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { state: State::Unknown, cause: Some(cause.into()), ..Self::ok(what) }
    }

    /// Something is not well.
    pub fn bad(
        state: State,
        what: impl Into<String>,
        cause: impl Into<String>,
        command: impl Into<String>,
    ) -> Self {
        Self { state, cause: Some(cause.into()), command: Some(command.into()), ..Self::ok(what) }
    }

    /// With what `--fix` would do.
    #[must_use]
    pub fn with_fix(self, fix: Option<Fix>) -> Self {
        Self { fix, ..self }
    }
}

/// What can be asked.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// What it is called.
    pub name: &'static str,
    /// Asks it.
    pub run: fn(&Root) -> Vec<Finding>,
}

/// What all of them have found.
#[derive(Debug)]
pub struct Report(Vec<(&'static str, Vec<Finding>)>);

impl Report {
    /// With what was found after that.
    #[must_use]
    pub fn and(mut self, later: Self) -> Self {
        self.0.extend(later.0);
        self
    }

    /// Everything, in the order of the probes.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &Finding)> {
        self.0.iter().flat_map(|(probe, findings)| findings.iter().map(|finding| (*probe, finding)))
    }

    /// The same without the probes.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.all().map(|(_, finding)| finding)
    }

    /// The worst of it.
    #[must_use]
    pub fn worst(&self) -> State {
        self.findings().map(|finding| finding.state).max().unwrap_or(State::Ok)
    }

    /// In a line.
    #[must_use]
    pub fn summary(&self) -> String {
        let number = |state| self.findings().filter(|finding| finding.state == state).count();
        let (problems, warnings) = (number(State::Problem), number(State::Warning));
        match (problems, warnings, number(State::Unknown)) {
            (0, 0, 0) => "all well".to_owned(),
            (problems, warnings, unknown) => {
                format!(
                    "{problems} problem{}, {warnings} warning{}, {unknown} not known",
                    plural(problems),
                    plural(warnings)
                )
            }
        }
    }
}

/// Asks all of them at once. Who has not answered in time is left to himself, and ends with the process.
///
/// # Errors
/// There is no room for a descriptor.
pub fn all_within(patience: Duration, probes: Vec<Probe>, root: &Root) -> std::io::Result<Report> {
    let (tell, hear) = mpsc::channel();
    let mut answers: Vec<(&'static str, Option<Vec<Finding>>)> = Vec::new();
    for (place, Probe { name, run }) in probes.into_iter().enumerate() {
        let (tell, root) = (tell.clone(), root.try_clone()?);
        // If nobody listens any more, it is too late.
        let work = move || drop(tell.send((place, run(&root))));
        let started = std::thread::Builder::new().name(name.to_owned()).spawn(work);
        let refused = |error| vec![Finding::unknown("not looked at", format!("no thread for it: {error}"))];
        answers.push((name, started.err().map(refused)));
    }
    drop(tell);
    let start = Instant::now();
    while let Ok((place, findings)) = hear.recv_timeout(patience.saturating_sub(start.elapsed())) {
        if let Some((_, answer)) = answers.get_mut(place) {
            *answer = Some(findings);
        }
    }
    let hangs = || {
        let cause =
            "what it has to look at hangs, or takes too long: a file system, a name service, a helper";
        vec![Finding::unknown(format!("no answer in {} seconds", patience.as_secs()), cause)]
    };
    let answers = answers.into_iter().map(|(name, found)| (name, found.unwrap_or_else(hangs)));
    Ok(Report(answers.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_hangs_or_panics_is_given_up_and_the_others_count() {
        fn hangs(_: &Root) -> Vec<Finding> {
            std::thread::sleep(Duration::from_secs(1000));
            vec![]
        }
        fn panics(_: &Root) -> Vec<Finding> {
            panic!("it is odd here")
        }
        fn well(_: &Root) -> Vec<Finding> {
            vec![Finding::ok("fine")]
        }
        let probe = |name, run| Probe { name, run };
        let probes = vec![probe("a", hangs), probe("b", panics), probe("c", well)];
        let report = all_within(Duration::from_millis(300), probes, &Root::open(None).unwrap()).unwrap();
        let states: Vec<_> = report.all().map(|(name, finding)| (name, finding.state)).collect();
        assert_eq!(states, [("a", State::Unknown), ("b", State::Unknown), ("c", State::Ok)]);
        assert_eq!(
            (report.worst().code(), report.summary().as_str()),
            (1, "0 problems, 0 warnings, 2 not known")
        );
    }
}
