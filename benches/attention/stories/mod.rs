//! Generates timelines: 200 appliances, 14 days, 33 problems, and the fatal probes.
//!
//! Guarantees that each story has its appliances and its random numbers to itself, so that a notice
//! belongs to one problem and a change of one story leaves the others as they are.

mod flapping;
mod noise;
mod planned;
mod power;
mod singles;

use grid_broker::grid::values::event::Severity;

use crate::random::Random;
use crate::timeline::{
    Act, CONTACT_LOST_AFTER, DAY, LENGTH, Machine, Match, Millis, PlannedWork, Problem, Report,
    SECOND, Said, Step, Strand, Timeline,
};

/// The number of appliances.
pub(crate) const APPLIANCES: usize = 200;

/// A timeline while it grows.
pub(crate) struct Builder {
    seed: u64,
    timeline: Timeline,
}

/// The timeline of a seed; with the fatal probes or without them.
pub(crate) fn generate(seed: u64, has_probes: bool) -> Timeline {
    let timeline = Timeline {
        machines: Vec::new(),
        steps: Vec::new(),
        reports: Vec::new(),
        problems: Vec::new(),
        planned: Vec::new(),
    };
    let mut builder = Builder { seed, timeline };
    flapping::group_of_eight(&mut builder);
    power::cut(&mut builder);
    noise::slow_disk(&mut builder, has_probes);
    noise::twelve_kinds(&mut builder, has_probes);
    singles::outside(&mut builder, has_probes);
    singles::in_outage(&mut builder);
    planned::hung(&mut builder);
    planned::silenced(&mut builder);
    builder.finish()
}

impl Builder {
    fn random(&self, story: &str) -> Random {
        Random::of(self.seed, story)
    }

    /// A new appliance, which runs since the first minute.
    fn machine(&mut self, name: &str, class: &'static str) -> usize {
        let machine = self.timeline.machines.len();
        self.timeline.machines.push(Machine { name: name.to_owned(), class });
        let at = machine as Millis * 100;
        self.step(at, machine, Act::Boot);
        self.step(at + 20 * SECOND, machine, Act::StartedOk);
        machine
    }

    fn step(&mut self, at: Millis, machine: usize, act: Act) {
        self.timeline.steps.push(Step { at, machine, act });
    }

    fn report(&mut self, at: Millis, machine: usize, topic: &str, severity: Severity, text: &str) {
        let (topic, text) = (topic.to_owned(), text.to_owned());
        self.timeline.reports.push(Report { at, machine, topic, severity, text, is_end: false });
    }

    /// The end of what was reported; a notifier that knows ends may tell it.
    fn report_end(&mut self, at: Millis, machine: usize, topic: &str, severity: Severity) {
        let (topic, text) = (topic.to_owned(), String::new());
        self.timeline.reports.push(Report { at, machine, topic, severity, text, is_end: true });
    }

    fn alert(&mut self, at: Millis, machine: usize, said: Said) {
        let topic = said.key.clone().unwrap_or_else(|| said.text.clone());
        self.report(at, machine, &topic, said.severity, &said.text);
        self.step(at, machine, Act::Alert(said));
    }

    /// The problem of an alert is over: the appliance says so.
    fn over(&mut self, at: Millis, machine: usize, said: Said) {
        let topic = said.key.clone().unwrap_or_else(|| said.text.clone());
        self.report_end(at, machine, &topic, said.severity);
        self.step(at, machine, Act::Over(said));
    }

    fn start_failed(&mut self, at: Millis, machine: usize, text: &str) {
        self.report(at, machine, "start_failed", Severity::Error, text);
        self.step(at, machine, Act::StartFailed(text.to_owned()));
    }

    /// The session ends, and contact is lost: returns when that can be known.
    fn loses_contact(&mut self, at: Millis, machine: usize) -> Millis {
        let detected = at + CONTACT_LOST_AFTER;
        self.step(at, machine, Act::Disconnect);
        self.report(detected, machine, "no_contact", Severity::Warn, "no contact");
        detected
    }

    fn problem(&mut self, problem: Problem) {
        self.timeline.problems.push(problem);
    }

    fn planned(&mut self, planned: PlannedWork) {
        self.timeline.planned.push(planned);
    }

    /// Fills up with appliances that have no problem, and sorts.
    fn finish(mut self) -> Timeline {
        for number in 1..=APPLIANCES.saturating_sub(self.timeline.machines.len()) {
            let machine = self.machine(&format!("quiet:lab.vm{number}"), "default");
            // A restart as it should be.
            let at = DAY + number as Millis * 4_001 * SECOND;
            self.step(at, machine, Act::Boot);
            self.step(at + 45 * SECOND, machine, Act::StartedOk);
        }
        let mut timeline = self.timeline;
        timeline.steps.sort_by_key(|step| step.at);
        timeline.reports.sort_by_key(|report| report.at);
        timeline.steps.retain(|step| step.at < LENGTH);
        timeline.reports.retain(|report| report.at < LENGTH);
        timeline
    }
}

/// A problem of one appliance that has no other.
fn alert_problem(
    label: &str,
    machine: usize,
    severity: Severity,
    open: (Millis, Option<Millis>),
) -> Problem {
    Problem {
        label: label.to_owned(),
        severity,
        detected_at: open.0,
        escalates: None,
        ends_at: open.1,
        is_probe: false,
        strands: vec![Strand { machine, matching: Match::Everything, open: vec![open] }],
    }
}
