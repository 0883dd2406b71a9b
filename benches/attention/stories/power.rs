//! Stories b and b-fsck: the power of 120 appliances fails; when it is back, nine starts fail, and three
//! of them need somebody.

use grid_broker::grid::values::event::Severity;

use super::Builder;
use crate::timeline::{Act, DAY, HOUR, MINUTE, Match, Millis, Problem, SECOND, Strand};

/// The groups that lose their power: prefix, part, class and number.
const GROUPS: [(&str, &str, &str, u64); 4] = [
    ("shop:main", "web", "web", 50),
    ("shop:main", "cache", "cache", 30),
    ("mail:in", "mx", "mail", 25),
    ("batch:eu", "worker", "batch", 15),
];

/// These start at the second try.
const SECOND_TRY: [usize; 6] = [7, 19, 33, 58, 84, 110];

/// These need a check of their disk, by hand.
const BY_HAND: [usize; 3] = [12, 61, 97];

const UNCLEAN: &str = "/dev/vda1: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY";

pub(super) fn cut(builder: &mut Builder) {
    let mut random = builder.random("b");
    let cut = 4 * DAY + random.between(9 * 60, 14 * 60) * MINUTE;
    let back = cut + random.between(20, 30) * MINUTE;
    let mut strands = Vec::new();
    let mut unclean = Vec::new();
    let (mut first, mut last, mut fsck_first, mut fsck_last) = (Millis::MAX, 0, Millis::MAX, 0);
    let names = GROUPS.into_iter().flat_map(|(prefix, part, class, count)| {
        (1..=count).map(move |number| (format!("{prefix}.{part}{number}"), class))
    });
    for (index, (name, class)) in names.enumerate() {
        let machine = builder.machine(&name, class);
        let detected = builder.loses_contact(cut + random.between(0, 2_000), machine);
        first = first.min(detected);
        let boot = back + random.between(0, 60) * SECOND;
        builder.step(boot, machine, Act::Boot);
        builder.report_end(boot, machine, "no_contact", Severity::Warn);
        last = last.max(boot);
        strands.push(Strand {
            machine,
            matching: Match::Findings(&["no_contact"]),
            open: vec![(detected, Some(boot))],
        });
        let tried = boot + random.between(20, 90) * SECOND;
        let is_by_hand = BY_HAND.contains(&index);
        if !is_by_hand && !SECOND_TRY.contains(&index) {
            builder.step(tried, machine, Act::StartedOk);
            continue;
        }
        let text = if is_by_hand { UNCLEAN } else { "database not reachable yet" };
        builder.start_failed(tried, machine, text);
        let after = if is_by_hand {
            2 * HOUR + random.between(0, 90) * MINUTE
        } else {
            random.between(3, 6) * MINUTE
        };
        builder.step(tried + after - 30 * SECOND, machine, Act::Boot);
        let started = tried + after;
        builder.step(started, machine, Act::StartedOk);
        builder.report_end(started, machine, "start_failed", Severity::Error);
        let strand = Strand {
            machine,
            matching: Match::Findings(&["start_failed"]),
            open: vec![(tried, Some(started))],
        };
        if is_by_hand {
            (fsck_first, fsck_last) = (fsck_first.min(tried), fsck_last.max(started));
            unclean.push(strand);
        } else {
            last = last.max(started);
            strands.push(strand);
        }
    }
    builder.problem(Problem {
        label: "b".to_owned(),
        severity: Severity::Warn,
        detected_at: first,
        escalates: None,
        ends_at: Some(last),
        is_probe: false,
        strands,
    });
    builder.problem(Problem {
        label: "b-fsck".to_owned(),
        severity: Severity::Error,
        detected_at: fsck_first,
        escalates: None,
        ends_at: Some(fsck_last),
        is_probe: false,
        strands: unclean,
    });
}
