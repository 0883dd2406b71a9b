//! Groups the entries of a mail that are one problem of many appliances.
//!
//! Guarantees that all entries count, including those stored as one line, by prefix, class and reason.

use std::collections::{BTreeMap, BTreeSet};

use crate::grid::values::event::Severity;
use crate::mail::render::entry::Entry;
use crate::mail::render::hints::topic_of;
use crate::show::escape::escape;

/// From this number of appliances on, one problem is reported as one item.
const SHARED_APPLIANCES_MIN: usize = 4;

/// What the entries of one problem have in common: kind or group key, severity, whether it is resolved.
type ProblemKey<'a> = (&'a str, Severity, bool);

/// The shared problems of a mail.
pub(super) struct SharedProblems<'a> {
    problems: BTreeMap<ProblemKey<'a>, SharedProblem<'a>>,
}

/// Many appliances with one problem.
#[derive(Default)]
pub(super) struct SharedProblem<'a> {
    /// Its entries, in the order of the mail.
    pub(super) entries: Vec<Entry<'a>>,
    /// The names of its appliances.
    pub(super) names: BTreeSet<&'a str>,
}

impl<'a> SharedProblems<'a> {
    pub(super) fn new(entries: &[Entry<'a>]) -> Self {
        let mut problems: BTreeMap<ProblemKey<'a>, SharedProblem<'a>> = BTreeMap::new();
        // A count of what was held back stands for kinds of its own.
        for entry in entries.iter().filter(|it| !it.about.is_empty() && !it.is_suppression()) {
            let problem = problems.entry(problem_key(entry)).or_default();
            problem.names.insert(entry.about);
            problem.entries.push(*entry);
        }
        problems.retain(|_, problem| problem.names.len() >= SHARED_APPLIANCES_MIN);
        Self { problems }
    }

    /// The shared problem of an entry, if there is one.
    pub(super) fn problem_of(&self, entry: &Entry<'a>) -> Option<&SharedProblem<'a>> {
        self.problems.get(&problem_key(entry))
    }
}

impl SharedProblem<'_> {
    /// `120 no_contact of shop:main.web* (class web)`; without the place if there are several.
    pub(super) fn title(&self) -> String {
        let count = self.names.len();
        let what = self.entries.first().map_or("alert", Entry::kind);
        match self.places().as_slice() {
            [(place, _)] => format!("{count} {what} of {place}"),
            _ => format!("{count} {what}"),
        }
    }

    /// `120 of shop:main.web*`, or `120 appliances (shop:main.web42 ...)`.
    pub(super) fn scope(&self) -> String {
        let prefixes: BTreeSet<_> = self.names.iter().map(|name| name_prefix(name)).collect();
        let count = self.names.len();
        match prefixes.first() {
            Some(prefix) if prefixes.len() == 1 => format!("{count} of {}", escape(prefix)),
            _ => {
                let first = self.entries.first().map_or("", |it| it.about);
                format!("{count} appliances ({} ...)", escape(first))
            }
        }
    }

    /// The title of its kind in the plural.
    pub(super) fn plural_title(&self) -> &'static str {
        topic_of(self.entries.first().map_or("", |it| it.topic)).plural
    }

    /// The number of appliances by prefix and class, the largest first.
    pub(super) fn places(&self) -> Vec<(String, u64)> {
        let mut seen = BTreeSet::new();
        let mut counts: BTreeMap<(String, &str), u64> = BTreeMap::new();
        for entry in self.entries.iter().filter(|it| seen.insert(it.about)) {
            *counts.entry((name_prefix(entry.about), entry.class)).or_default() += 1;
        }
        let named = counts.into_iter().map(|((prefix, class), count)| {
            let class = match class {
                "" => String::new(),
                class => format!(" (class {})", escape(class)),
            };
            (format!("{}{class}", escape(&prefix)), count)
        });
        largest_first(named.collect())
    }

    /// The number of entries by reason: their text without the name, numbers as `#`. Entries that are
    /// one line have no text and are not counted.
    pub(super) fn reasons(&self) -> Vec<(String, u64)> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for entry in self.entries.iter().filter(|it| it.notice.is_some()) {
            *counts.entry(without_numbers(&without_name(entry))).or_default() += 1;
        }
        largest_first(counts.into_iter().collect())
    }
}

fn largest_first(mut counts: Vec<(String, u64)>) -> Vec<(String, u64)> {
    counts.sort_by_key(|it| std::cmp::Reverse(it.1));
    counts
}

fn problem_key<'a>(entry: &Entry<'a>) -> ProblemKey<'a> {
    (entry.topic, entry.severity, entry.is_resolved)
}

/// What names of one kind have in common: the part before the last number of the last component, else
/// all before the last `.`, with `*`; else the name itself.
pub(super) fn name_prefix(name: &str) -> String {
    let last = name.rfind('.').map_or(0, |dot| dot + 1);
    let is_digit = |c: char| c.is_ascii_digit();
    let number_start = name[last..].rfind(is_digit).map(|end| {
        let before = &name[..last + end];
        before.trim_end_matches(is_digit).len()
    });
    match number_start {
        Some(start) if start > 0 => format!("{}*", &name[..start]),
        Some(_) | None if last > 0 => format!("{}*", &name[..last]),
        Some(_) | None => name.to_owned(),
    }
}

/// The text without the name, where the name stands beside it.
pub(super) fn without_name(entry: &Entry<'_>) -> String {
    let (text, name) = (entry.text(), entry.about);
    if name.is_empty() {
        return text.to_owned();
    }
    if let Some(rest) = text.strip_prefix(&format!("{name} ")) {
        return rest.to_owned();
    }
    // `start of db1 failed`, `no contact with db1 for`, `two machines report as db1`
    let phrases = ["of", "with", "as"].map(|preposition| format!(" {preposition} {name}"));
    let found = phrases.iter().find(|phrase| text.contains(phrase.as_str()));
    found.map_or_else(|| text.to_owned(), |phrase| text.replacen(phrase, "", 1))
}

fn without_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_ascii_digit() {
            true if out.ends_with('#') => {}
            true => out.push('#'),
            false => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_last_number_of_the_last_component() {
        for (name, prefix) in [
            ("shop:main.web12", "shop:main.web*"),
            ("shop:main.web", "shop:main.*"),
            ("v2:main.db", "v2:main.*"),
            ("v2:main.db7-a", "v2:main.db*"),
            ("db7", "db*"),
            ("mail", "mail"),
            ("7", "7"),
            ("a.7", "a.*"),
            ("", ""),
        ] {
            assert_eq!(name_prefix(name), prefix, "{name}");
        }
    }

    #[test]
    fn numbers_do_not_make_reasons_different() {
        assert_eq!(without_numbers("code 12 of 7, größer"), "code # of #, größer");
    }
}
