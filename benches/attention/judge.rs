//! Judges the mails of a timeline: the figures of the table in `attention.md`, section 5.
//!
//! Guarantees that it looks at mails and at the timeline alone, so that every notifier is judged alike.

use std::collections::{BTreeMap, BTreeSet};

use grid_broker::grid::values::event::Severity;

use crate::mails::{ArrivedMail, SUPPRESSED, SUPPRESSION};
use crate::timeline::{
    DAY, DEAD_FROM, DEAD_UNTIL, HOUR, LENGTH, Millis, Problem, SECOND, Timeline,
};

/// What a mail waits at the most before it is sent, and its delivery.
pub(crate) const GATHER_AND_SEND: Millis = 31 * SECOND;

/// A notifier's mails of a timeline.
#[derive(Clone, Copy)]
pub(crate) struct Judged<'a> {
    pub(crate) timeline: &'a Timeline,
    pub(crate) mails: &'a [ArrivedMail],
    /// How many alerts of each appliance were held back.
    pub(crate) held_back: Option<&'a BTreeMap<String, u64>>,
}

/// The figures of one timeline.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) mails: usize,
    pub(crate) problems: usize,
    pub(crate) never_mailed: Vec<String>,
    /// Of fatal and error outside the outage, net of detection, with what became graver; sorted.
    pub(crate) grave_delays: Vec<(Millis, String)>,
    /// Of all outside the outage; sorted.
    pub(crate) delays: Vec<Millis>,
    pub(crate) power_cut_delay: Option<Millis>,
    /// How long after the server's return the last mail arrived that was owed.
    pub(crate) return_delay: Option<Millis>,
    pub(crate) return_mails: usize,
    pub(crate) is_return_sorted: bool,
    pub(crate) with_end: usize,
    pub(crate) ends_not_told: Vec<String>,
    pub(crate) open_though_over: Vec<String>,
    pub(crate) planned_mails: usize,
    pub(crate) left_over_mails: usize,
    /// Mails by problem.
    pub(crate) by_problem: BTreeMap<String, usize>,
    pub(crate) power_mails: usize,
    pub(crate) worst_day: usize,
    pub(crate) largest: usize,
    pub(crate) not_gravest: Vec<String>,
    pub(crate) held_back: u64,
    pub(crate) held_back_told: u64,
}

impl Judged<'_> {
    fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.timeline.problems.iter()
    }

    /// The mails with `problem` among what they say.
    fn mails_on(&self, problem: &Problem) -> Vec<&ArrivedMail> {
        self.mails.iter().filter(|mail| problem.is_in(self.timeline, mail)).collect()
    }

    /// When it is first told that a problem is that grave.
    fn first_told(&self, problem: &Problem, from: Millis, severity: Severity) -> Option<Millis> {
        let is_told = |mail: &&ArrivedMail| {
            let mut told = problem.mentions_in(self.timeline, mail);
            mail.at >= from && told.any(|(_, it)| it.severity >= severity)
        };
        self.mails.iter().find(is_told).map(|mail| mail.at)
    }

    /// All figures.
    pub(crate) fn figures(&self) -> Figures {
        let mut figures = Figures {
            mails: self.mails.len(),
            problems: self.timeline.problems.len(),
            worst_day: self.worst_day(),
            largest: self.mails.iter().map(|mail| mail.bytes).max().unwrap_or_default(),
            ..Figures::default()
        };
        self.delays(&mut figures);
        self.outage(&mut figures);
        self.ends(&mut figures);
        self.planned(&mut figures);
        for problem in self.problems() {
            figures.by_problem.insert(problem.label.clone(), self.mails_on(problem).len());
        }
        let of_power = |mail: &&ArrivedMail| {
            let mut power = self.problems().filter(|it| it.label.starts_with('b'));
            power.any(|problem| problem.is_in(self.timeline, mail))
        };
        figures.power_mails = self.mails.iter().filter(of_power).count();
        let wrong = self.mails.iter().filter(|mail| !shows_gravest(mail));
        figures.not_gravest =
            wrong.map(|it| format!("{} {}", crate::timeline::clock(it.at), it.subject)).collect();
        self.held_back(&mut figures);
        figures
    }

    fn worst_day(&self) -> usize {
        let mut days = BTreeMap::new();
        self.mails.iter().for_each(|mail| *days.entry(mail.at / DAY).or_default() += 1);
        days.into_values().max().unwrap_or(0)
    }

    fn delays(&self, figures: &mut Figures) {
        for problem in self.problems() {
            let from = problem.detected_at.saturating_sub(SECOND);
            let Some(first) = self.first_told(problem, from, Severity::Debug) else {
                figures.never_mailed.push(problem.label.clone());
                continue;
            };
            if problem.is_in_outage() {
                continue;
            }
            let delay = first.saturating_sub(problem.detected_at);
            figures.delays.push(delay);
            if problem.label == "b" {
                figures.power_cut_delay = Some(delay);
            }
            if problem.severity >= Severity::Error {
                figures.grave_delays.push((delay, problem.label.clone()));
            }
            if let Some((at, severity)) = problem.escalates {
                let told = self.first_told(problem, at, severity).unwrap_or(LENGTH);
                let label = format!("{}, now {}", problem.label, severity.as_str());
                figures.grave_delays.push((told.saturating_sub(at), label));
            }
        }
        figures.delays.sort_unstable();
        figures.grave_delays.sort_unstable();
    }

    /// What was owed when the server came back.
    fn outage(&self, figures: &mut Figures) {
        let owed = self.mails.iter().filter(|mail| {
            mail.at >= DEAD_UNTIL
                && (DEAD_FROM - GATHER_AND_SEND..DEAD_UNTIL).contains(&mail.queued_at)
        });
        let mut gravest = Vec::new();
        for mail in owed {
            figures.return_mails += 1;
            figures.return_delay = figures.return_delay.max(Some(mail.at - DEAD_UNTIL));
            let top = mail.mentions.iter().map(|it| it.severity).max();
            gravest.extend(top);
        }
        figures.is_return_sorted = gravest.is_sorted_by(|one, next| one >= next);
    }

    /// Which ends are told, and what is told as open though it is over.
    fn ends(&self, figures: &mut Figures) {
        for problem in self.problems().filter(|problem| !problem.is_probe) {
            // The last thing that is said of each alert: whether it is over.
            let mut last = BTreeMap::new();
            for mail in self.mails {
                let mut wrong = BTreeSet::new();
                for (strand, it) in problem.mentions_in(self.timeline, mail) {
                    if [SUPPRESSED, SUPPRESSION].contains(&it.topic.as_str()) {
                        continue;
                    }
                    let alert = (&it.name, &it.topic);
                    last.insert(alert, it.is_resolved);
                    let since = mail.at.saturating_sub(GATHER_AND_SEND);
                    if it.is_resolved {
                        wrong.remove(&alert);
                    } else if !strand.is_open_within(since, mail.at) {
                        wrong.insert(alert);
                    }
                }
                let told = wrong.into_iter();
                figures.open_though_over.extend(told.map(|(name, topic)| {
                    format!(
                        "{} {name} {topic} ({})",
                        crate::timeline::clock(mail.at),
                        problem.label
                    )
                }));
            }
            let Some(_) = problem.ends_at else { continue };
            figures.with_end += 1;
            let open: Vec<_> = last
                .iter()
                .filter(|(_, over)| !**over)
                .map(|((name, topic), _)| format!("{name} {topic}"))
                .collect();
            if last.is_empty() {
                figures.ends_not_told.push(format!("{}: never mailed", problem.label));
            } else if let Some(first) = open.first() {
                let text = format!("{}: {first} and {} more", problem.label, open.len() - 1);
                figures.ends_not_told.push(text);
            }
        }
    }

    fn planned(&self, figures: &mut Figures) {
        for work in &self.timeline.planned {
            let names: Vec<_> =
                work.machines.iter().map(|it| &self.timeline.machines[*it].name).collect();
            let left: BTreeSet<_> = self
                .problems()
                .flat_map(|problem| &problem.strands)
                .map(|strand| &self.timeline.machines[strand.machine].name)
                .collect();
            let is_planned = |mail: &&ArrivedMail| {
                mail.mentions.iter().any(|it| {
                    let is_within = (work.from..work.until).contains(&mail.at);
                    names.contains(&&it.name)
                        && (is_within || mail.at >= work.from && !left.contains(&it.name))
                })
            };
            figures.planned_mails += self.mails.iter().filter(is_planned).count();
            let is_left_over = |mail: &&ArrivedMail| {
                let its = mail.mentions.iter().filter(|it| names.contains(&&it.name));
                let mut open = its.filter(|it| left.contains(&it.name) && !it.is_resolved);
                mail.at >= work.until && open.next().is_some()
            };
            let until = work.until + 12 * HOUR;
            let after = self.mails.iter().filter(|mail| mail.at < until);
            figures.left_over_mails += after.filter(is_left_over).count();
        }
    }

    /// Counts of suppressed alerts must be told.
    fn held_back(&self, figures: &mut Figures) {
        let Some(held_back) = self.held_back else { return };
        figures.held_back = held_back.values().sum();
        let counts = self.mails.iter().flat_map(|mail| &mail.mentions);
        let counts = counts.filter(|it| it.topic == SUPPRESSED && held_back.contains_key(&it.name));
        figures.held_back_told = counts.filter_map(|it| first_number(&it.text)).sum();
    }
}

/// `the rate limit suppressed 12 alerts ...`
fn first_number(text: &str) -> Option<u64> {
    let mut words = text.split(' ').map(|word| word.replace(',', ""));
    words.find_map(|word| word.parse().ok())
}

/// Whether the subject has the gravest severity, or else where it is; fatal by its name always. And whether
/// the text has it first.
fn shows_gravest(mail: &ArrivedMail) -> bool {
    let Some(gravest) = mail.gravest() else { return true };
    let is_all_over = mail.mentions.iter().all(|it| it.is_resolved);
    let top = mail.mentions.iter().filter(|it| it.severity == gravest);
    let names_it = |name: &str| {
        let prefix = name.rsplit_once('.').map_or(name, |it| it.0);
        let application = name.split([':', '.']).next().unwrap_or(name);
        [name, prefix, application].iter().any(|it| mail.subject.contains(it))
    };
    let names_one = mail.subject.contains(gravest.as_str())
        || top.into_iter().any(|it| it.name.is_empty() || names_it(&it.name));
    let says_fatal = gravest < Severity::Fatal || is_all_over || mail.subject.contains("fatal");
    names_one && says_fatal && mail.is_gravest_first
}
