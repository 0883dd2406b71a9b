//! Two notifiers to compare with: one mail an alert, and an oracle that knows the problems.
//!
//! Guarantees that both see the same dead mail server: what they owe goes out when it is back.

use grid_broker::grid::values::event::Severity;

use crate::mails::{ArrivedMail, Mention};
use crate::timeline::{
    DEAD_FROM, DEAD_UNTIL, LENGTH, Match, Millis, Problem, Report, SECOND, Strand, Timeline,
};

/// The gather time of the oracle.
const GATHER: Millis = 30 * SECOND;

/// When a mail of that time arrives.
fn arrival(at: Millis) -> Millis {
    if (DEAD_FROM..DEAD_UNTIL).contains(&at) { DEAD_UNTIL + SECOND } else { at }
}

fn mail(at: Millis, mentions: Vec<Mention>) -> ArrivedMail {
    let top = mentions.iter().max_by_key(|it| (!it.is_resolved, it.severity));
    let subject =
        top.map_or_else(String::new, |it| format!("{}: {}", it.severity.as_str(), it.name));
    let bytes = 1_000 + 40 * mentions.len();
    let (queued_at, is_gravest_first) = (at, true);
    ArrivedMail { at: arrival(at), queued_at, subject, bytes, is_gravest_first, mentions }
}

/// One mail an alert, a second after it; no ends.
pub(crate) fn one_mail_an_alert(timeline: &Timeline) -> Vec<ArrivedMail> {
    let alerts = timeline.reports.iter().filter(|report| !report.is_end);
    let mut mails: Vec<_> =
        alerts.map(|report| mail(report.at + SECOND, vec![mention_of(timeline, report)])).collect();
    mails.sort_by_key(|mail| mail.at);
    mails
}

fn mention_of(timeline: &Timeline, report: &Report) -> Mention {
    Mention {
        name: timeline.machines[report.machine].name.clone(),
        topic: report.topic.clone(),
        text: report.text.clone(),
        severity: report.severity,
        is_resolved: report.is_end,
        reason: "reported".to_owned(),
    }
}

fn told(timeline: &Timeline, strand: &Strand, severity: Severity, is_resolved: bool) -> Mention {
    let topic = match &strand.matching {
        Match::Findings(topics) => (*topics.first().unwrap_or(&"")).to_owned(),
        Match::Marker(marker) | Match::Fatal(marker) => marker.clone(),
        Match::Everything => "everything".to_owned(),
    };
    Mention {
        name: timeline.machines[strand.machine].name.clone(),
        text: topic.clone(),
        topic,
        severity,
        is_resolved,
        reason: "known".to_owned(),
    }
}

/// What is so at `at`; or the end of all.
fn whole(timeline: &Timeline, problem: &Problem, at: Millis, is_resolved: bool) -> Vec<Mention> {
    let severity = problem.escalates.filter(|_| is_resolved).map_or(problem.severity, |it| it.1);
    // `flapping` goes without saying.
    let is_told = |it: &&Strand| {
        !matches!(it.matching, Match::Findings(&["flapping"]))
            && (is_resolved || it.is_open_within(at - GATHER, at))
    };
    let strands = problem.strands.iter().filter(is_told);
    strands.map(|strand| told(timeline, strand, severity, is_resolved)).collect()
}

/// Each problem once when it can be known, once if it becomes graver, and once when it is over; what was
/// owed when the server comes back, in one mail.
pub(crate) fn oracle(timeline: &Timeline) -> Vec<ArrivedMail> {
    let mut mails = Vec::new();
    let mut owed = Vec::new();
    for problem in &timeline.problems {
        if problem.is_in_outage() {
            owed.extend(whole(timeline, problem, DEAD_UNTIL, problem.ends_at.is_some()));
            continue;
        }
        let first = problem.detected_at + GATHER;
        mails.push(mail(first, whole(timeline, problem, first, false)));
        if let Some((at, severity)) = problem.escalates {
            let strands = problem.strands.iter();
            let graver = strands.map(|it| told(timeline, it, severity, false)).collect();
            mails.push(mail(at + GATHER, graver));
        }
        if let Some(end) = problem.ends_at {
            mails.push(mail(end + GATHER, whole(timeline, problem, end, true)));
        }
    }
    if !owed.is_empty() {
        mails.push(mail(DEAD_UNTIL - SECOND, owed));
    }
    mails.retain(|mail| mail.at < LENGTH);
    mails.sort_by_key(|mail| mail.at);
    mails
}
