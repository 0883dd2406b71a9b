//! Story f: 25 problems of single appliances, of all severities; and story d, a fatal alert of 90 s. Five of
//! the 25, and d, begin and end while the mail server is dead.

use grid_broker::grid::values::event::Severity;

use super::noise::graver_probe;
use super::{Builder, alert_problem};
use crate::random::Random;
use crate::timeline::{
    Act, BOOT_TIMEOUT, DEAD_FROM, DEAD_UNTIL, HOUR, LENGTH, MINUTE, Match, Millis, Problem, SECOND,
    STUCK_AFTER, Said, Strand,
};

/// An alert of one appliance.
struct Single {
    machine: &'static str,
    severity: Severity,
    /// `{}` is a number that changes.
    text: &'static str,
    key: Option<&'static str>,
    /// For how many minutes, at least and at most; `None`: nobody says that it is over.
    lasts: Option<(u64, u64)>,
    /// Every so many minutes it is reported again; 0: it is reported once.
    every: u64,
    /// It becomes that grave after a third of its time.
    becomes: Option<Severity>,
}

const fn single(machine: &'static str, severity: Severity, text: &'static str) -> Single {
    Single { machine, severity, text, key: None, lasts: None, every: 0, becomes: None }
}

impl Single {
    const fn lasts(self, least: u64, most: u64) -> Self {
        Self { lasts: Some((least, most)), ..self }
    }

    const fn every(self, minutes: u64) -> Self {
        Self { every: minutes, ..self }
    }

    const fn key(self, key: &'static str) -> Self {
        Self { key: Some(key), ..self }
    }

    const fn becomes(self, severity: Severity) -> Self {
        Self { becomes: Some(severity), ..self }
    }

    /// What tells its notices from others.
    fn marker(&self) -> &'static str {
        self.text.split(['{', ':', ',']).next().unwrap_or(self.text).trim_end()
    }

    fn said(&self, severity: Severity, random: &mut Random) -> Said {
        let text = self.text.replace("{}", &random.between(2, 98).to_string());
        Said { severity, text, key: self.key.map(str::to_owned) }
    }
}

use Severity::{Debug, Error, Fatal, Info, Warn};

/// Outside the outage: sixteen alerts. With four starts and contacts they are twenty.
const OUTSIDE: [Single; 16] = [
    single("nas:eu.disk3", Error, "SMART: {} reallocated sectors on sdh, prefailure")
        .lasts(11 * 60, 12 * 60)
        .every(60),
    single("crm:eu.files", Warn, "file system full: /var at {} %").lasts(280, 300).every(10),
    single("dns:core.ns2", Error, "forwarder does not answer: {} s")
        .key("dns-forwarder")
        .lasts(150, 180)
        .every(2),
    single("ups:room.main", Fatal, "UPS on battery, {} min left").key("ups").lasts(8, 14),
    single("mail:out.relay1", Fatal, "file system read-only after an I/O error").lasts(45, 90),
    single("crm:eu.app2", Info, "package updates are available: {}"),
    single("wiki:int.web", Debug, "cache warmed up later than usual: {} s"),
    single("build:lab.vm9", Error, "out of memory: killed process {} (java)"),
    single("hr:eu.db1", Fatal, "could not write to the write-ahead log, PANIC").lasts(30, 60),
    single("vpn:edge.gw1", Warn, "certificate ends in {} days")
        .lasts(20 * 60, 22 * 60)
        .every(5 * 60),
    single("hr:eu.db2", Error, "replication is behind by {} s")
        .key("replication")
        .lasts(90, 150)
        .every(15)
        .becomes(Fatal),
    single("rack:room.env4", Warn, "temperature of the inlet is {} C")
        .lasts(100, 160)
        .every(20)
        .becomes(Error),
    single("crm:eu.backup", Warn, "last backup is incomplete, {} files missing"),
    single("rack:room.psu2", Warn, "fan {} failed").key("fan").lasts(10 * 60, 16 * 60),
    single("git:int.host", Error, "RAID array degraded, rebuild at {} %").lasts(200, 220).every(30),
    single("ssh:edge.jump", Warn, "many failed logins from one network, {} so far"),
];

/// In the outage; the first is story d.
const IN_OUTAGE: [Single; 6] = [
    single("erp:hq.db7", Fatal, "write-ahead log not written: no space left"),
    single("nas:eu.disk8", Fatal, "array failed, {} disks are missing").lasts(300, 500),
    single("crm:eu.db3", Error, "replica stopped, {} MB behind").lasts(60, 300).every(30),
    single("pos:de.till12", Error, "card terminal does not answer").key("terminal").lasts(20, 60),
    single("web:blog.front", Warn, "swap in use: {} %").lasts(100, 300).every(20),
    single("cfg:int.puppet", Info, "configuration drifted on {} hosts").lasts(500, 900),
];

fn whole_label(number: usize) -> String {
    format!("f{number}")
}

/// A begin outside the outage, so that it ends outside, too.
fn begin_outside(random: &mut Random, lasts: Millis) -> Millis {
    let windows = [(2 * HOUR, DEAD_FROM - 3 * HOUR), (DEAD_UNTIL + 2 * HOUR, LENGTH - 4 * HOUR)];
    loop {
        let at = random.between(2 * HOUR / SECOND, (LENGTH - 4 * HOUR) / SECOND) * SECOND;
        if windows.iter().any(|(from, until)| at >= *from && at + lasts <= *until) {
            return at;
        }
    }
}

pub(super) fn outside(builder: &mut Builder, has_probes: bool) {
    for (number, it) in (1..).zip(&OUTSIDE) {
        let label = whole_label(number);
        let mut random = builder.random(&label);
        let lasts = it.lasts.map(|(least, most)| random.between(least * 60, most * 60) * SECOND);
        // What nobody ends is over by itself before the timeline is.
        let begin = begin_outside(&mut random, lasts.unwrap_or(26 * HOUR));
        let machine = tell(builder, &label, it, (begin, lasts.map(|it| begin + it)), &mut random);
        if it.key == Some("dns-forwarder") && has_probes {
            dns_probe(builder, machine, it, begin);
        }
    }
    starts(builder);
}

/// The seventh of the probes that become fatal: an alert every 2 min, with a key.
fn dns_probe(builder: &mut Builder, machine: usize, it: &Single, begin: Millis) {
    let ends = builder.timeline.problems.last().and_then(|problem| problem.ends_at);
    let at = begin + 62 * MINUTE + 30 * SECOND;
    let end = ends.unwrap_or(at + HOUR);
    let before = builder.timeline.steps.len();
    graver_probe(builder, "probe-graver-dns", (machine, it.marker()), it.text, (at, end));
    for step in &mut builder.timeline.steps[before..] {
        if let Act::Alert(said) = &mut step.act {
            said.key = it.key.map(str::to_owned);
        }
    }
}

/// The alert with its repeats, its worse part and its end. Returns its appliance.
fn tell(
    builder: &mut Builder,
    label: &str,
    it: &Single,
    (begin, end): (Millis, Option<Millis>),
    random: &mut Random,
) -> usize {
    let machine = builder.machine(it.machine, "default");
    let worse_at = end.filter(|_| it.becomes.is_some()).map(|end| begin + (end - begin) / 3);
    let severity_at = |at: Millis| match (worse_at, it.becomes) {
        (Some(worse_at), Some(severity)) if at >= worse_at => severity,
        _ => it.severity,
    };
    let mut at = begin;
    let mut times = vec![begin];
    while it.every > 0 && end.is_some_and(|end| at + it.every * MINUTE < end) {
        at += it.every * MINUTE;
        times.push(at + random.between(0, 5) * SECOND);
    }
    times.extend(worse_at);
    times.sort_unstable();
    for at in times.into_iter().filter(|at| end.is_none_or(|end| *at < end)) {
        builder.alert(at, machine, it.said(severity_at(at), random));
    }
    if let Some(end) = end {
        builder.over(end, machine, it.said(severity_at(end), random));
    }
    let problem = alert_problem(label, machine, it.severity, (begin, end));
    let escalates = worse_at.zip(it.becomes);
    builder.problem(Problem { escalates, ..problem });
    machine
}

pub(super) fn in_outage(builder: &mut Builder) {
    for (number, it) in (20..).zip(&IN_OUTAGE) {
        let label = if number == 20 { "d".to_owned() } else { whole_label(number) };
        let mut random = builder.random(&label);
        let lasts =
            it.lasts.map_or(90 * SECOND, |(least, most)| random.between(least, most) * MINUTE);
        let latest = (DEAD_UNTIL - DEAD_FROM - lasts) / SECOND - 3_600;
        let begin = DEAD_FROM + random.between(1_800, latest) * SECOND;
        tell(builder, &label, it, (begin, Some(begin + lasts)), &mut random);
    }
}

/// A failed start, a start that takes too long, one that is stuck, and a lost contact.
fn starts(builder: &mut Builder) {
    let labels = ["f17", "f18", "f19", "f20"];
    let names = ["shop:b2b.app1", "lims:lab.db", "scan:int.ocr", "cam:gate.rec3"];
    let mut begins = Vec::new();
    for (label, name) in labels.into_iter().zip(names) {
        let mut random = builder.random(label);
        let lasts = random.between(15, 60) * MINUTE;
        let begin = begin_outside(&mut random, lasts + HOUR);
        let machine = builder.machine(name, "default");
        begins.push((machine, begin, lasts));
    }
    let [failed, slow, stuck, silent] = begins[..] else { return };
    let (machine, begin, lasts) = failed;
    builder.step(begin, machine, Act::Boot);
    let detected = begin + 35 * SECOND;
    builder.start_failed(detected, machine, "licence server not reachable");
    condition(builder, labels[0], "start_failed", Error, (machine, detected, lasts), true);

    let (machine, begin, lasts) = slow;
    builder.step(begin, machine, Act::Boot);
    let detected = begin + BOOT_TIMEOUT;
    builder.report(detected, machine, "boot_timeout", Error, "did not start in time");
    condition(builder, labels[1], "boot_timeout", Error, (machine, detected, lasts), false);

    let (machine, begin, lasts) = stuck;
    builder.step(begin, machine, Act::Boot);
    let end = begin + STUCK_AFTER + lasts;
    let first = begin + 20 * SECOND;
    let mut at = first;
    while at < end {
        let text = "reindexing volume".to_owned();
        builder.step(at, machine, Act::Maintenance { progress: 41, text });
        at += 30 * SECOND;
    }
    let detected = first + STUCK_AFTER;
    builder.report(detected, machine, "stuck", Warn, "no progress");
    condition(builder, labels[2], "stuck", Warn, (machine, detected, end - detected), false);

    let (machine, begin, lasts) = silent;
    let detected = builder.loses_contact(begin, machine);
    let end = detected + lasts;
    builder.step(end, machine, Act::Boot);
    builder.step(end + 30 * SECOND, machine, Act::StartedOk);
    builder.report_end(end, machine, "no_contact", Warn);
    finding(builder, labels[3], Warn, machine, (detected, end));
}

/// A condition of a start, which ends with `started_ok`, perhaps of a new boot.
fn condition(
    builder: &mut Builder,
    label: &str,
    topic: &str,
    severity: Severity,
    (machine, detected, lasts): (usize, Millis, Millis),
    is_new_boot: bool,
) {
    let end = detected + lasts;
    if is_new_boot {
        builder.step(end - 20 * SECOND, machine, Act::Boot);
    }
    builder.step(end, machine, Act::StartedOk);
    builder.report_end(end, machine, topic, severity);
    finding(builder, label, severity, machine, (detected, end));
}

fn finding(
    builder: &mut Builder,
    label: &str,
    severity: Severity,
    machine: usize,
    (detected, end): (Millis, Millis),
) {
    const TOPICS: &[&str] = &["start_failed", "boot_timeout", "hung", "stuck", "no_contact"];
    builder.problem(Problem {
        label: label.to_owned(),
        severity,
        detected_at: detected,
        escalates: None,
        ends_at: Some(end),
        is_probe: false,
        strands: vec![Strand {
            machine,
            matching: Match::Findings(TOPICS),
            open: vec![(detected, Some(end))],
        }],
    });
}
