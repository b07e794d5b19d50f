//! The exact command that would allow what is refused, where there is one.

use common::Error;
use common::policy::id::Range;
use common::policy::idmap::{Kind, Triple};
use common::policy::refusal::FIRST_FREE;
use common::policy::text::Quoted;

use super::is_settings_too_large;
use super::map::Answer;
use super::rules::{Rule, Says};
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
pub(super) fn of_map(root: &Root, kind: Kind, user: Named<'_>, answer: &Answer) -> Vec<Remedy> {
    match &answer.refused {
        Some(Error::NotGranted { .. }) => of_missing(root, kind, user, answer),
        Some(Error::Forbidden { .. }) => of_rules(answer),
        Some(error) => of_error(error),
        None => Vec::new(),
    }
}

fn of_missing(root: &Root, kind: Kind, (user, called): Named<'_>, answer: &Answer) -> Vec<Remedy> {
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
    let low = low.iter().find(|range| answer.own.is_none_or(|own| range.first() != own));
    if let Some(low) = low {
        remedies.push(Remedy::advice(format!(
            "{word} {low}: ids below {FIRST_FREE} are for accounts of the host; ask for others"
        )));
    }
    if let Some(other) = &answer.holder_of_missing {
        let line =
            other.line.map(|line| format!(" by /etc/{}:{line}", kind.policy_file())).unwrap_or_default();
        remedies.push(others(format!("{word} {} is another owner's{line}", other.id), called));
        remedies.extend(besides(answer, |rule| !is_about_ids(rule)));
        return remedies;
    }
    let some = high.get(..MOST).unwrap_or(&high);
    match first_not_free(root, user, some) {
        Ok(None) => {}
        Ok(Some((range, by))) => {
            remedies.push(others(format!("{word} {range}: {by}"), called));
            remedies.extend(besides(answer, |rule| !is_about_ids(rule)));
            return remedies;
        }
        Err(failure) => {
            remedies.push(Remedy::advice(format!("whether these are free is not known: {failure}")));
            return remedies;
        }
    }
    for range in some {
        let (first, count) = (range.first(), range.count());
        let command = format!("nsgate grant ids {called} --start {first} --count {count}");
        remedies.push(Remedy::command(command));
    }
    if high.len() > MOST {
        remedies.push(Remedy::advice("and so on, for the rest of what is missing"));
    }
    remedies.extend(besides(answer, |rule| low.is_none() || !is_about_ids(rule)));
    remedies
}

/// These are not to be had.
fn others(why: String, called: &str) -> Remedy {
    Remedy {
        advice: Some(format!("{why}; for ids that are nobody's, and a map of those:")),
        command: Some(format!("nsgate grant ids {called}")),
    }
}

/// Of what is wrong with the files.
pub(super) fn of_error(error: &Error) -> Vec<Remedy> {
    match error {
        Error::Forbidden { rule, .. } => of_lines(std::slice::from_ref(&rule.place)),
        Error::Settings { place, .. } => of_lines(std::slice::from_ref(place)),
        Error::Untrusted { path, owner, why } => {
            let path = Quoted(path.as_bytes()).to_string();
            // What is to be mended has another name then, and by this one somebody else's file might be changed.
            if why.contains("on the way") {
                let advice = "which one it is, and what mends it, says:".to_owned();
                vec![Remedy { advice: Some(advice), command: Some("nsgate check".to_owned()) }]
            } else if *owner != 0 && why.contains("chown") {
                vec![Remedy::command(format!("chown root {path}"))]
            } else if why.contains("chmod") {
                vec![Remedy::command(format!("chmod go-w {path}"))]
            } else {
                Vec::new()
            }
        }
        error if is_settings_too_large(error) => {
            vec![edit_rules("make /etc/nsgate.ini shorter: one of more than 1 MiB is not read".to_owned())]
        }
        _ => Vec::new(),
    }
}

/// Every one that is in the way: the helpers tell of the first.
fn of_rules(answer: &Answer) -> Vec<Remedy> {
    let places = in_the_way(answer, |_| true);
    if in_the_way(answer, |rule| matches!(rule.key, "overlap" | "protect-accounts")).is_empty() {
        return of_lines(&places);
    }
    let advice = "who should have other ids, and the command that gives him some, says:";
    vec![
        Remedy { advice: Some(advice.to_owned()), command: Some("nsgate check".to_owned()) },
        edit_rules(format!("or change or remove {}", places.join(", "))),
    ]
}

/// Rules that are in the way of what is not granted either.
fn besides(answer: &Answer, which: impl Fn(&Rule) -> bool) -> Option<Remedy> {
    let places = in_the_way(answer, which);
    (!places.is_empty()).then(|| edit_rules(format!("and change or remove {}", places.join(", "))))
}

/// The places of those of these rules that are in the way.
fn in_the_way(answer: &Answer, which: impl Fn(&Rule) -> bool) -> Vec<String> {
    let rules = answer.rules.iter().filter(|rule| matches!(rule.says, Says::No(_)) && which(rule));
    rules.map(|rule| format!("/etc/nsgate.ini:{} {}", rule.line, rule.key)).collect()
}

/// Would it say something else of other ids?
fn is_about_ids(rule: &Rule) -> bool {
    matches!(rule.key, "protect" | "overlap" | "protect-accounts" | "exclusive")
}

fn of_lines(places: &[String]) -> Vec<Remedy> {
    let places = places.iter().map(|place| Quoted(place.as_bytes()).to_string()).collect::<Vec<_>>();
    vec![edit_rules(format!("change or remove {}", places.join(", ")))]
}

fn edit_rules(advice: String) -> Remedy {
    Remedy { advice: Some(advice), command: Some("nsgate edit nsgate.ini".to_owned()) }
}

/// A user, and how he is called on a command line.
pub(super) type Named<'a> = (&'a User, &'a str);
