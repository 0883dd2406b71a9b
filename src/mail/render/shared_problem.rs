//! Groups the notices of a mail that are one problem of many appliances.
//!
//! Guarantees that all notices count, including those stored as one line. Writes no text itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::grid::model::mail_message::{MailMessage, Notice};
use crate::grid::values::event::Severity;
use crate::mail::render::hints::topic_of;
use crate::show::count::format_count;
use crate::show::escape::escape;

/// From this number of appliances on, one problem is reported as one item.
const SHARED_APPLIANCES_MIN: usize = 4;

/// What the notices of one problem have in common: alert kind, severity, whether it is resolved.
type ProblemKey<'a> = (&'a str, Severity, bool);

/// The shared problems in the notices of a mail.
pub(super) struct SharedProblems<'a> {
    problems: BTreeMap<ProblemKey<'a>, SharedProblem<'a>>,
}

/// Many appliances with one problem.
#[derive(Default)]
pub(super) struct SharedProblem<'a> {
    /// Their names.
    pub(super) names: BTreeSet<&'a str>,
    /// The number of its notices.
    pub(super) notices: u64,
    alert_kind: &'a str,
}

impl<'a> SharedProblems<'a> {
    pub(super) fn from_message(message: &'a MailMessage) -> Self {
        let mut crowds: BTreeMap<ProblemKey<'a>, SharedProblem<'a>> = BTreeMap::new();
        let notices = message.notices.iter().map(|it| (problem_key(it), &*it.subject));
        let briefs = message.briefs.iter();
        let briefs = briefs.map(|it| ((&*it.topic, it.severity, it.is_resolved), &*it.subject));
        for (cause, about) in notices.chain(briefs).filter(|it| !it.1.is_empty()) {
            let crowd = crowds.entry(cause).or_default();
            crowd.names.insert(about);
            crowd.notices += 1;
            crowd.alert_kind = cause.0;
        }
        crowds.retain(|_, crowd| crowd.names.len() >= SHARED_APPLIANCES_MIN);
        Self { problems: crowds }
    }

    /// The shared problem of a notice, if there is one.
    pub(super) fn problem_of(&self, notice: &Notice) -> Option<&SharedProblem<'a>> {
        let mut crowds = self.problems.iter();
        crowds.find(|(it, _)| **it == problem_key(notice)).map(|(_, crowd)| crowd)
    }

    /// Whether a line is part of a shared problem.
    pub(super) fn contains(&self, kind: &str, severity: Severity, is_resolved: bool) -> bool {
        self.problems.keys().any(|it| *it == (kind, severity, is_resolved))
    }
}

impl SharedProblem<'_> {
    /// `120 appliances`, or `120 of shop:main` if all are of one application.
    pub(super) fn scope(&self) -> String {
        match self.prefixes().as_slice() {
            [(prefix, all)] if !prefix.is_empty() => format!("{all} of {prefix}"),
            _ => format_count(self.names.len() as u64, "appliance"),
        }
    }

    /// Its title.
    pub(super) fn plural_title(&self) -> &'static str {
        topic_of(self.alert_kind).plural
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

fn problem_key(notice: &Notice) -> ProblemKey<'_> {
    (&*notice.topic, notice.severity, notice.is_resolved)
}

/// The notices, the most severe first; resolved ones after open ones; of two alike, the earlier one.
pub(super) fn sorted_by_severity(notices: &[Notice]) -> Vec<&Notice> {
    let mut sorted: Vec<_> = notices.iter().collect();
    sorted.sort_by_key(|it| (it.is_resolved, std::cmp::Reverse(it.severity), it.occurrences > 0));
    sorted
}
