//! Story a: a group of eight appliances flaps for two days. Their starts fail, and some succeed.

use grid_broker::grid::values::event::Severity;

use super::Builder;
use crate::timeline::{Act, DAY, HOUR, MINUTE, Match, Millis, Problem, SECOND, Strand};

const TEXT: &str = "cannot mount /srv: stale file handle";

/// What the broker says of it, apart from `flapping`.
const TOPICS: &[&str] = &["start_failed", "boot_timeout"];

pub(super) fn group_of_eight(builder: &mut Builder) {
    let mut random = builder.random("a");
    let begin = DAY + random.between(8 * 60, 10 * 60) * MINUTE;
    let end = begin + 2 * DAY;
    let mut strands = Vec::new();
    let mut first = Millis::MAX;
    for number in 1..=8_u64 {
        let machine = builder.machine(&format!("lab:ci.runner{number}"), "ci");
        // Half of them begin at once, the others in the next hour.
        let late = if number > 4 { random.between(10, 60) * MINUTE } else { 0 };
        let mut at = begin + late + random.between(0, 20) * SECOND;
        let mut open = Vec::new();
        let mut failed_since = None;
        while at < end - HOUR {
            builder.step(at, machine, Act::Boot);
            let told = at + random.between(20, 60) * SECOND;
            if open.is_empty() && failed_since.is_none() || random.between(1, 100) <= 65 {
                builder.start_failed(told, machine, TEXT);
                failed_since.get_or_insert(told);
                first = first.min(told);
            } else {
                builder.step(told, machine, Act::StartedOk);
                if let Some(since) = failed_since.take() {
                    builder.report_end(told, machine, "start_failed", Severity::Error);
                    open.push((since, Some(told)));
                }
            }
            at += random.between(20, 120) * MINUTE;
        }
        let over = end - random.between(0, 40) * MINUTE;
        builder.step(over - 30 * SECOND, machine, Act::Boot);
        builder.step(over, machine, Act::StartedOk);
        builder.report_end(over, machine, "start_failed", Severity::Error);
        if let Some(since) = failed_since {
            open.push((since, Some(over)));
        }
        strands.push(Strand { machine, matching: Match::Findings(TOPICS), open });
        // Three failures in a day are flapping until there are fewer.
        let flaps = vec![(begin, Some(end + DAY))];
        strands.push(Strand { machine, matching: Match::Findings(&["flapping"]), open: flaps });
    }
    builder.problem(Problem {
        label: "a".to_owned(),
        severity: Severity::Error,
        detected_at: first,
        escalates: None,
        ends_at: Some(end),
        is_probe: false,
        strands,
    });
}
