//! Stories c and e: a slow disk that is reported 120 times, and an appliance that reports 6,000 alerts of
//! twelve kinds. Behind both are the fatal probes.

use grid_broker::grid::values::event::Severity;

use super::{Builder, alert_problem};
use crate::timeline::{DAY, HOUR, MINUTE, Match, Millis, Problem, SECOND, Said, Strand};

/// How many alerts the slow disk causes.
const SLOW_DISK_ALERTS: u64 = 120;

/// How many the noisy appliance sends: at first one in 6 min, then faster.
const NOISE_ALERTS: u64 = 6_000;
const NOISE_SLOW_ALERTS: u64 = 240;

/// The kinds of noise: text, and whether it is an error. `{}` is a number that changes.
const KINDS: [(&str, bool); 12] = [
    ("sensor bus timeout after {} ms", true),
    ("packet loss on uplink {} %", false),
    ("queue of the collector is {} long", false),
    ("modem resets, signal {} dB", true),
    ("clock drift of {} ms against the gateway", false),
    ("retry of upload {}", false),
    ("cannot write sample {} to flash", true),
    ("voltage of rail five is {} mV", false),
    ("frame {} with wrong checksum", true),
    ("watchdog fed late by {} ms", false),
    ("cellular fallback in use for {} s", false),
    ("decoder dropped {} frames", true),
];

fn said(severity: Severity, text: &str, number: u64) -> Said {
    Said { severity, text: text.replace("{}", &number.to_string()), key: None }
}

pub(super) fn slow_disk(builder: &mut Builder, has_probes: bool) {
    let mut random = builder.random("c");
    let machine = builder.machine("arch:eu.san1", "storage");
    let begin = 5 * DAY + random.between(9 * 60, 15 * 60) * MINUTE;
    let text = "disk sdq is slow: await {} ms";
    let mut at = begin;
    for _ in 0..SLOW_DISK_ALERTS {
        builder.alert(at, machine, said(Severity::Error, text, random.between(200, 4_000)));
        at += random.between(40, 110) * SECOND;
    }
    let end = at + MINUTE;
    builder.over(end, machine, said(Severity::Error, text, 210));
    builder.problem(alert_problem("c", machine, Severity::Error, (begin, Some(end))));
    if has_probes {
        let at = begin + 75 * MINUTE + random.between(0, 600) * SECOND;
        graver_probe(builder, "probe-graver-c", (machine, "disk sdq is slow"), text, (at, end));
    }
}

pub(super) fn twelve_kinds(builder: &mut Builder, has_probes: bool) {
    let mut random = builder.random("e");
    let machine = builder.machine("iot:gw.edge1", "edge");
    let begin = 11 * DAY + random.between(0, 5 * 60) * MINUTE;
    let mut at = begin;
    let mut order = 0;
    for number in 0..NOISE_ALERTS {
        let (text, is_error) = KINDS[order % KINDS.len()];
        let severity = if is_error { Severity::Error } else { Severity::Warn };
        builder.alert(at, machine, said(severity, text, random.between(2, 900)));
        let is_first_round = number < KINDS.len() as u64;
        order = if is_first_round { order + 1 } else { random.index(KINDS.len()) };
        at += if is_first_round {
            2 * SECOND
        } else if number < NOISE_SLOW_ALERTS {
            6 * MINUTE
        } else {
            random.between(8, 22) * SECOND
        };
    }
    let end = at + MINUTE;
    for (number, (text, is_error)) in (0..).zip(KINDS) {
        let severity = if is_error { Severity::Error } else { Severity::Warn };
        builder.over(end + number * 500, machine, said(severity, text, 1));
    }
    let open = (begin, Some(end + 6 * SECOND));
    builder.problem(alert_problem("e", machine, Severity::Error, open));
    if has_probes {
        noise_probes(builder, machine, begin + DAY, end);
    }
}

/// Fatal alerts behind the noise, in its fast part.
fn noise_probes(builder: &mut Builder, machine: usize, fast: Millis, end: Millis) {
    let mut random = builder.random("probes");
    let errors = KINDS.iter().filter(|(_, is_error)| *is_error);
    for (number, (text, _)) in (1..).zip(errors) {
        let at = fast + number * 100 * MINUTE + random.between(0, 1_800) * SECOND;
        let marker = text.split(" {}").next().unwrap_or(text);
        let label = format!("probe-graver-e{number}");
        graver_probe(builder, &label, (machine, marker), text, (at, end));
    }
    for (number, volume) in (1..).zip(["home", "mails", "wiki", "builds"]) {
        let at = fast + number * 150 * MINUTE + random.between(0, 1_800) * SECOND;
        let marker = format!("volume {volume} lost its last replica");
        let new = Said { severity: Severity::Fatal, text: marker.clone(), key: None };
        let over = at + 2 * HOUR;
        builder.alert(at, machine, new.clone());
        builder.over(over, machine, new);
        let label = format!("probe-new-{number}");
        let open = (at, Some(over));
        let problem = alert_problem(&label, machine, Severity::Fatal, open);
        let strands = vec![Strand { machine, matching: Match::Marker(marker), open: vec![open] }];
        builder.problem(Problem { is_probe: true, strands, ..problem });
    }
}

/// An alert that was an error for a while is reported once as fatal, 2 s behind an ordinary report.
pub(super) fn graver_probe(
    builder: &mut Builder,
    label: &str,
    (machine, marker): (usize, &str),
    text: &str,
    (at, end): (Millis, Millis),
) {
    builder.alert(at, machine, said(Severity::Error, text, 990));
    let fatal = at + 2 * SECOND;
    builder.alert(fatal, machine, said(Severity::Fatal, text, 9_990));
    let problem = alert_problem(label, machine, Severity::Fatal, (fatal, Some(end)));
    let strand = Strand {
        machine,
        matching: Match::Fatal(marker.to_owned()),
        open: vec![(fatal, Some(end))],
    };
    builder.problem(Problem { is_probe: true, strands: vec![strand], ..problem });
}
