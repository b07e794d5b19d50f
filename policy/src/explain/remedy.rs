//! The exact command that would allow what is refused, where there is one.

use common::Error;
use common::policy::id::Range;
use common::policy::idmap::{Kind, Triple};
use common::policy::refusal::FIRST_FREE;
use common::policy::text::{Quoted, is_tame};

use super::map::Answer;
use super::rules::Says;
use crate::accounts::User;
use crate::root::Root;
use crate::write::grant::first_not_free;

/// Something that would help.
#[derive(Debug, Default)]
pub(super) struct Remedy {
    /// In words, what the command does or has to be known about it.
    pub(super) advice: Option<String>,
    /// For a shell.
    pub(super) command: Option<String>,
}

impl Remedy {
    pub(super) fn advice(advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), command: None }
    }

    pub(super) fn command(command: impl Into<String>) -> Self {
        Self { advice: None, command: Some(command.into()) }
    }

    /// What helps an image is done to the image.
    pub(super) fn on(mut self, root: &Root) -> Self {
        let ours = self.command.as_deref().and_then(|command| command.strip_prefix("nsgate "));
        if let Some(rest) = ours {
            self.command = Some(format!("{} {rest}", root.nsgate()));
        }
        self
    }
}

/// So many runs of ids are worth a command each.
const MOST: usize = 8;

/// Of a map.
pub(super) fn of_map(root: &Root, kind: Kind, user: &User, answer: &Answer) -> Vec<Remedy> {
    match &answer.refused {
        Some(Error::NotGranted { .. }) => of_missing(root, kind, user, answer),
        Some(Error::Forbidden { .. }) => of_rules(answer),
        Some(error) => of_error(error),
        None => Vec::new(),
    }
}

fn of_missing(root: &Root, kind: Kind, user: &User, answer: &Answer) -> Vec<Remedy> {
    let word = kind.word();
    let Some(sources) = &answer.sources else {
        return vec![Remedy::advice("mend the line subid: of /etc/nsswitch.conf")];
    };
    if !sources.files {
        let names = sources.plugins.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let advice = format!(
            "whoever keeps {names} grants it; or name files in the line subid: of /etc/nsswitch.conf"
        );
        return vec![Remedy::advice(advice)];
    }
    let mut remedies = Vec::new();
    let is_own = |range: Range| answer.own.is_some_and(|own| range.first() == own && range.count() == 1);
    let Some(grants) = &answer.grants else { return Vec::new() };
    let hosts = answer.triples.iter().map(Triple::host).filter(|host| !is_own(*host));
    let missing: Vec<Range> = hosts.flat_map(|host| grants.missing(host)).collect();
    let missing = common::policy::id::merged(missing);
    if let Some(own) = answer.own.filter(|own| missing.iter().any(|range| range.contains(*own))) {
        remedies.push(Remedy::advice(format!(
            "the user's own {word} {own} needs no grant in a triple of its own, with count 1"
        )));
    }
    let (low, high): (Vec<Range>, Vec<Range>) =
        missing.into_iter().partition(|range| range.first().raw() < FIRST_FREE);
    if let Some(low) = low.iter().find(|range| answer.own.is_none_or(|own| range.first() != own)) {
        remedies.push(Remedy::advice(format!(
            "{word} {low}: ids below {FIRST_FREE} are for accounts of the host; ask for others"
        )));
    }
    if let Some(other) = &answer.holder_of_missing {
        let line =
            other.line.map(|line| format!(" by /etc/{}:{line}", kind.policy_file())).unwrap_or_default();
        remedies.push(others(format!("{word} {} is another owner's{line}", other.id), user));
        return remedies;
    }
    let some = high.get(..MOST).unwrap_or(&high);
    match first_not_free(root, user, some) {
        Ok(None) => {}
        Ok(Some((range, by))) => {
            remedies.push(others(format!("{word} {range}: {by}"), user));
            return remedies;
        }
        Err(failure) => {
            remedies.push(Remedy::advice(format!("whether these are free is not known: {failure}")));
            return remedies;
        }
    }
    for range in some {
        let (first, count) = (range.first(), range.count());
        let command = format!("nsgate grant ids {} --start {first} --count {count}", word_for(user));
        remedies.push(Remedy::command(command));
    }
    if high.len() > MOST {
        remedies.push(Remedy::advice("and so on, for the rest of what is missing"));
    }
    remedies
}

/// These are not to be had.
fn others(why: String, user: &User) -> Remedy {
    Remedy {
        advice: Some(format!("{why}; for ids that are nobody's, and a map of those:")),
        command: Some(format!("nsgate grant ids {}", word_for(user))),
    }
}

/// Of what is wrong with the files.
pub(super) fn of_error(error: &Error) -> Vec<Remedy> {
    match error {
        Error::Forbidden { rule, .. } => of_lines(std::slice::from_ref(&rule.place)),
        Error::Settings { place, .. } => of_lines(std::slice::from_ref(place)),
        Error::Untrusted { path, owner, why } => {
            let path = Quoted(path.as_bytes()).to_string();
            if *owner != 0 && why.contains("chown") {
                vec![Remedy::command(format!("chown root {path}"))]
            } else if why.contains("chmod") {
                vec![Remedy::command(format!("chmod go-w {path}"))]
            } else {
                Vec::new()
            }
        }
        _ => Vec::new(),
    }
}

/// Every one that is in the way: the helpers tell of the first.
fn of_rules(answer: &Answer) -> Vec<Remedy> {
    let in_the_way = answer.rules.iter().filter(|rule| matches!(rule.says, Says::No(_)));
    of_lines(
        &in_the_way.map(|rule| format!("/etc/nsgate.ini:{} {}", rule.line, rule.key)).collect::<Vec<_>>(),
    )
}

fn of_lines(places: &[String]) -> Vec<Remedy> {
    let places = places.iter().map(|place| Quoted(place.as_bytes()).to_string()).collect::<Vec<_>>();
    vec![Remedy {
        advice: Some(format!("change or remove {}", places.join(", "))),
        command: Some("nsgate edit nsgate.ini".to_owned()),
    }]
}

/// How to call a user on a command line: by a name that no shell takes for something else, or by number.
pub(super) fn word_for(user: &User) -> String {
    match std::str::from_utf8(&user.name) {
        Ok(name) if is_tame(&user.name) => name.to_owned(),
        _ => user.uid.to_string(),
    }
}
