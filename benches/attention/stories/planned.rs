//! Stories g and h: a start that hangs for three days, and planned work under a silence with one appliance
//! left over.

use grid_broker::grid::values::event::Severity;

use super::Builder;
use crate::timeline::{
    Act, DAY, HOUR, MINUTE, Match, PlannedWork, Problem, REPORT_DEADLINE, SECOND, Strand,
};

/// From Friday evening to Monday evening.
pub(super) fn hung(builder: &mut Builder) {
    let mut random = builder.random("g");
    let machine = builder.machine("dw:etl.load1", "batch");
    let begin = 4 * DAY + 19 * HOUR + random.between(0, 60) * MINUTE;
    builder.step(begin, machine, Act::Boot);
    let mut last = begin;
    for progress in 1..=6_u32 {
        last = begin + u64::from(progress) * 20 * SECOND;
        let text = format!("loading partition {progress} of 40");
        builder.step(last, machine, Act::Maintenance { progress, text });
    }
    let detected = last + REPORT_DEADLINE;
    let end = detected + 3 * DAY;
    builder.report(detected, machine, "hung", Severity::Error, "hung");
    builder.step(end, machine, Act::StartedOk);
    builder.report_end(end, machine, "hung", Severity::Error);
    builder.problem(Problem {
        label: "g".to_owned(),
        severity: Severity::Error,
        detected_at: detected,
        escalates: None,
        ends_at: Some(end),
        is_probe: false,
        strands: vec![Strand {
            machine,
            matching: Match::Findings(&["hung", "start_failed", "boot_timeout", "stuck"]),
            open: vec![(detected, Some(end))],
        }],
    });
}

/// Ten appliances are worked on in a night, each with two failed starts and a lost contact; one is not
/// repaired when the silence ends at 06:00.
pub(super) fn silenced(builder: &mut Builder) {
    let mut random = builder.random("h");
    let (from, until) = (7 * DAY + 22 * HOUR, 8 * DAY + 6 * HOUR);
    let mut machines = Vec::new();
    for number in 1..=10_u64 {
        let machine = builder.machine(&format!("erp:pay.app{number}"), "app");
        machines.push(machine);
        let begin = from + 20 * MINUTE + random.between(0, 180) * MINUTE;
        builder.loses_contact(begin, machine);
        let mut at = begin + 10 * MINUTE;
        for _ in 0..2 {
            builder.step(at, machine, Act::Boot);
            builder.start_failed(at + 40 * SECOND, machine, "schema is being migrated");
            at += random.between(8, 20) * MINUTE;
        }
        if number == 4 {
            left_over(builder, machine, until);
            continue;
        }
        builder.step(at, machine, Act::Boot);
        builder.step(at + 50 * SECOND, machine, Act::StartedOk);
        builder.report_end(at + 50 * SECOND, machine, "start_failed", Severity::Error);
    }
    builder.planned(PlannedWork { prefix: "erp:pay.", from, until, machines });
}

fn left_over(builder: &mut Builder, machine: usize, until: u64) {
    let mut random = builder.random("h-left");
    let end = until + random.between(100, 200) * MINUTE;
    builder.step(end - 30 * SECOND, machine, Act::Boot);
    builder.step(end, machine, Act::StartedOk);
    builder.report_end(end, machine, "start_failed", Severity::Error);
    builder.problem(Problem {
        label: "h-left".to_owned(),
        severity: Severity::Error,
        // Nobody is to be told before.
        detected_at: until,
        escalates: None,
        ends_at: Some(end),
        is_probe: false,
        strands: vec![Strand {
            machine,
            matching: Match::Findings(&["start_failed", "boot_timeout"]),
            open: vec![(until, Some(end))],
        }],
    });
}
