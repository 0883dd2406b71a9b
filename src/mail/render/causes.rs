//! Groups the notices of a mail that are one problem of many appliances.
//!
//! Guarantees that all notices count, including those stored as one line. Writes no text itself.

use std::collections::{BTreeMap, BTreeSet};

use super::advice::topic_of;
use crate::grid::event::Severity;
use crate::grid::mail::{Message, Notice};
use crate::show::escape::escape;
use crate::show::size::count;

/// From this number of appliances on, one problem is reported as one item.
const CROWD_MIN: usize = 4;

/// What the notices of one problem have in common: alert kind, severity, whether it is resolved.
type Cause<'a> = (&'a str, Severity, bool);

/// The shared problems in the notices of a mail.
pub(super) struct Causes<'a> {
    crowds: BTreeMap<Cause<'a>, Crowd<'a>>,
}

/// Many appliances with one problem.
#[derive(Default)]
pub(super) struct Crowd<'a> {
    /// Their names.
    pub(super) names: BTreeSet<&'a str>,
    /// The number of its notices.
    pub(super) notices: u64,
    matter: &'a str,
}

impl<'a> Causes<'a> {
    pub(super) fn of(message: &'a Message) -> Self {
        let mut crowds: BTreeMap<Cause<'a>, Crowd<'a>> = BTreeMap::new();
        let notices = message.notices.iter().map(|it| (cause(it), &*it.about));
        let briefs = message.briefs.iter();
        let briefs = briefs.map(|it| ((&*it.matter, it.severity, it.is_resolved), &*it.about));
        for (cause, about) in notices.chain(briefs).filter(|it| !it.1.is_empty()) {
            let crowd = crowds.entry(cause).or_default();
            crowd.names.insert(about);
            crowd.notices += 1;
            crowd.matter = cause.0;
        }
        crowds.retain(|_, crowd| crowd.names.len() >= CROWD_MIN);
        Self { crowds }
    }

    /// The shared problem of a notice, if there is one.
    pub(super) fn crowd_of(&self, notice: &Notice) -> Option<&Crowd<'a>> {
        let mut crowds = self.crowds.iter();
        crowds.find(|(it, _)| **it == cause(notice)).map(|(_, crowd)| crowd)
    }

    /// Whether a line is part of a shared problem.
    pub(super) fn has(&self, matter: &str, severity: Severity, is_resolved: bool) -> bool {
        self.crowds.keys().any(|it| *it == (matter, severity, is_resolved))
    }
}

impl Crowd<'_> {
    /// `120 appliances`, or `120 of shop:main` if all are of one application.
    pub(super) fn place(&self) -> String {
        match self.prefixes().as_slice() {
            [(prefix, all)] if !prefix.is_empty() => format!("{all} of {prefix}"),
            _ => count(self.names.len() as u64, "appliance"),
        }
    }

    /// Its title.
    pub(super) fn called(&self) -> &'static str {
        topic_of(self.matter).several
    }

    /// The number of appliances of each application, the largest first.
    pub(super) fn prefixes(&self) -> Vec<(String, u64)> {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for name in &self.names {
            *counts.entry(name.rsplit_once('.').map_or("", |it| it.0)).or_default() += 1;
        }
        let mut counts: Vec<_> =
            counts.into_iter().map(|(name, count)| (escape(name).into_owned(), count)).collect();
        counts.sort_by_key(|it| std::cmp::Reverse(it.1));
        counts
    }
}

fn cause(notice: &Notice) -> Cause<'_> {
    (&*notice.matter, notice.severity, notice.is_resolved)
}

/// The notices, the most severe first; resolved ones after open ones; of two alike, the earlier one.
pub(super) fn by_gravity(notices: &[Notice]) -> Vec<&Notice> {
    let mut sorted: Vec<_> = notices.iter().collect();
    sorted.sort_by_key(|it| (it.is_resolved, std::cmp::Reverse(it.severity), it.again > 0));
    sorted
}
