//! Finds matchers that no alert fulfils, and those whose alerts others all take before.
//!
//! Guarantees that what it reports is so. Does not find all: two patterns are compared by their
//! beginnings, so `*a` and `*b` count as if a text could fulfil both. Knows no routes.

use super::pattern::ValuePattern;
use super::{Matcher, MatcherField, Matchers};
use crate::grid::model::alert::ALERT_KINDS;
use crate::grid::values::event::Severity;

/// The fields whose values are texts without a list of all.
const TEXT_FIELDS: [MatcherField; 3] =
    [MatcherField::Appliance, MatcherField::Class, MatcherField::Key];

impl Matchers {
    /// A field whose conditions no alert fulfils together.
    pub fn contradiction(&self) -> Option<MatcherField> {
        if self.severities().next().is_none() {
            return Some(MatcherField::Severity);
        }
        if self.kinds().next().is_none() {
            return Some(MatcherField::Kind);
        }
        TEXT_FIELDS.into_iter().find(|field| is_contradictory(&self.of_field(*field)))
    }

    /// Which of `earlier`, by index, take every alert that matches; `None`: some alerts are left, as
    /// far as it can tell.
    pub fn taken_by(&self, earlier: &[&Self]) -> Option<Vec<usize>> {
        let implied_texts = |by: &Self| {
            TEXT_FIELDS.into_iter().all(|field| {
                let own = self.of_field(field);
                by.of_field(field).into_iter().all(|it| is_implied(&own, it))
            })
        };
        let earlier: Vec<_> =
            earlier.iter().enumerate().filter(|(_, by)| implied_texts(by)).collect();
        let mut takers = Vec::new();
        for kind in self.kinds() {
            for severity in self.severities() {
                let takes = |by: &Self| {
                    by.kinds().any(|it| it == kind) && by.severities().any(|it| it == severity)
                };
                let (taker, _) = earlier.iter().find(|(_, by)| takes(by))?;
                takers.push(*taker);
            }
        }
        takers.sort_unstable();
        takers.dedup();
        (!takers.is_empty()).then_some(takers)
    }

    /// The names that are compared as a whole, without special characters: those of classes, for
    /// example.
    pub fn literals(&self, field: MatcherField) -> Vec<String> {
        let patterns = self.iter().filter(|it| it.field() == field).flat_map(Matcher::patterns);
        patterns.filter_map(ValuePattern::literal).filter(|it| !it.is_empty()).collect()
    }

    fn of_field(&self, field: MatcherField) -> Vec<&Matcher> {
        self.iter().filter(|it| it.field() == field).collect()
    }

    fn severities(&self) -> impl Iterator<Item = Severity> {
        let own = self.of_field(MatcherField::Severity);
        let fulfils = move |it: &Severity| own.iter().all(|matcher| matcher.matches_severity(*it));
        Severity::ALL.into_iter().filter(fulfils)
    }

    fn kinds(&self) -> impl Iterator<Item = &'static str> {
        let own = self.of_field(MatcherField::Kind);
        let fulfils = move |it: &&'static str| own.iter().all(|matcher| matcher.matches_text(it));
        ALERT_KINDS.into_iter().filter(fulfils)
    }
}

/// Whether no text fulfils all of these.
fn is_contradictory(all: &[&Matcher]) -> bool {
    if let Some(texts) = possible_texts(all) {
        return texts.is_empty();
    }
    all.iter().filter(|it| !it.operator.is_negative()).any(|one| {
        all.iter().any(|other| match other.operator.is_negative() {
            true => are_within(one.patterns(), other.patterns()),
            false => are_apart(one.patterns(), other.patterns()),
        })
    })
}

/// Whether every text that fulfils all of `own` fulfils `other`.
fn is_implied(own: &[&Matcher], other: &Matcher) -> bool {
    if own.contains(&other) {
        return true;
    }
    if let Some(texts) = possible_texts(own) {
        return texts.iter().all(|text| other.matches_text(text));
    }
    own.iter().any(|one| match (one.operator.is_negative(), other.operator.is_negative()) {
        (false, false) => are_within(one.patterns(), other.patterns()),
        (false, true) => are_apart(one.patterns(), other.patterns()),
        (true, true) => are_within(other.patterns(), one.patterns()),
        (true, false) => false,
    })
}

/// The texts that fulfil all of these, where one of these lists all candidates.
fn possible_texts(all: &[&Matcher]) -> Option<Vec<String>> {
    let candidates = all.iter().filter(|it| !it.operator.is_negative()).find_map(|matcher| {
        matcher.patterns().iter().map(ValuePattern::literal).collect::<Option<Vec<_>>>()
    });
    let fulfils = |text: &String| all.iter().all(|matcher| matcher.matches_text(text));
    candidates.map(|texts| texts.into_iter().filter(fulfils).collect())
}

/// Whether every text that matches one of `inner` matches one of `outer`.
fn are_within(inner: &[ValuePattern], outer: &[ValuePattern]) -> bool {
    inner.iter().all(|one| outer.iter().any(|other| is_within(one, other)))
}

fn is_within(inner: &ValuePattern, outer: &ValuePattern) -> bool {
    match inner.literal() {
        Some(text) if text.is_empty() => outer.as_str().is_empty(),
        Some(text) => outer.matches(&text),
        None => inner == outer || outer.is_prefix() && inner.prefix().starts_with(&outer.prefix()),
    }
}

/// Whether no text matches both one of `some` and one of `others`.
fn are_apart(some: &[ValuePattern], others: &[ValuePattern]) -> bool {
    let differ = |one: &ValuePattern, other: &ValuePattern| {
        let (one, other) = (one.prefix(), other.prefix());
        !one.starts_with(&other) && !other.starts_with(&one)
    };
    some.iter().all(|one| others.iter().all(|other| differ(one, other)))
}
