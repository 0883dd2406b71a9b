//! Finds what a record says of alerts: reports, ends, commands, and what is due.
//!
//! Guarantees that a record which says nothing of alerts costs a look at its input and effects.

use super::{AlertChanges, AlertReport};
use crate::grid::log::alert_input::AlertInput;
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::input::{Input, ReceivedEvent};
use crate::grid::log::record::Record;
use crate::grid::model::alert::{ALERT_TEXT_BYTES_MAX, AlertSource, EndCause, excerpt, kind_named};
use crate::grid::model::alert_group::{self, AlertGroup};
use crate::grid::model::finding::FindingKind;
use crate::grid::model::lifecycle::{FailureCause, Lifecycle};
use crate::grid::model::usage::{Suppression, SuppressionPhase};
use crate::grid::values::event::{Event, EventBody, Severity};
use crate::grid::values::id::ApplianceIndex;
use crate::grid::values::outcome::Outcome;
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::Timestamp;

/// Whether a record may change alerts.
pub(super) fn concerns_alerts(record: &Record) -> bool {
    let by_input = match &record.input {
        Input::Event(received) => {
            matches!(received.event.body, EventBody::Alert { .. })
                || !received.event.dropped_before.is_empty()
        }
        Input::Alert(_) | Input::Silence(_) | Input::BrokerStarted(_) => true,
        Input::Hello(_)
        | Input::SessionEnded { .. }
        | Input::Registered { .. }
        | Input::Command { .. }
        | Input::Deadline { .. }
        | Input::BrokerStopped
        | Input::BrokerPaused { .. }
        | Input::ClockSetBack { .. }
        | Input::WallClock(_)
        | Input::Journal(_)
        | Input::RepeatsEnded { .. }
        | Input::Tally
        | Input::MailDue { .. }
        | Input::MailDelivery { .. }
        | Input::MailCommand { .. }
        | Input::Settings(_)
        | Input::Identity { .. }
        | Input::Security(_)
        | Input::CrashDump(_) => false,
    };
    by_input
        || record.effects.iter().any(|effect| match effect {
            Effect::FindingRaised { .. } | Effect::FindingCleared { .. } => true,
            Effect::Appliance { change, .. } => matches!(
                change,
                ApplianceEffect::Removed
                    | ApplianceEffect::RepeatsReported { .. }
                    | ApplianceEffect::Suppression { .. }
            ),
            Effect::Alert(_)
            | Effect::DeadlinesMoved { .. }
            | Effect::TimeShifted(_)
            | Effect::LivedTime { .. }
            | Effect::Mail(_)
            | Effect::Identity(_) => false,
        })
}

/// What identifies the alert of an event, whatever its severity, and its group key as shown.
pub(in crate::grid) fn source_of(event: &Event) -> (AlertSource, Box<str>) {
    let counter =
        if let EventBody::Alert { counter } = &event.body { counter.as_ref() } else { None };
    let text = event.text.as_str();
    let (id, key) =
        alert_group::group_key(event.group_key.as_deref(), counter, Severity::Debug, text);
    (AlertSource::Event(id), key)
}

impl AlertChanges<'_> {
    /// Takes what the record says of alerts.
    pub(super) fn take_record(&mut self, record: &mut Record) {
        let failure = failure_kind(record);
        for effect in &record.effects {
            match effect {
                Effect::FindingRaised { number, kind, finding } => {
                    let word =
                        if *kind == FindingKind::StartFailed { failure } else { kind.as_str() };
                    let kind_name = kind_named(word).unwrap_or("event");
                    let report = AlertReport {
                        kind: kind_name,
                        key: word.into(),
                        severity: finding.severity,
                        text: excerpt(&finding.text, ALERT_TEXT_BYTES_MAX),
                        at: finding.since,
                    };
                    self.found(*number, *kind, report);
                }
                Effect::FindingCleared { number, kind } => {
                    self.end(*number, AlertSource::Finding(*kind), EndCause::Condition);
                }
                Effect::Appliance { number, change } => self.take_change(*number, change),
                Effect::Alert(_)
                | Effect::DeadlinesMoved { .. }
                | Effect::TimeShifted(_)
                | Effect::LivedTime { .. }
                | Effect::Mail(_)
                | Effect::Identity(_) => {}
            }
        }
        if let Input::Event(received) = &record.input
            && matches!(record.outcome, Outcome::Stored | Outcome::OlderBoot)
        {
            let at = occurred_at(received, record.flags, record.at);
            let alert = self.take_event(received, at);
            if let (Some(alert), Some(group)) = (alert, group_of(&mut record.effects)) {
                group.alert = Some(alert);
            }
        } else if let Input::Alert(input) = &record.input {
            match input {
                AlertInput::Due { id } => self.due(*id),
                AlertInput::Command { by, id, command } => self.command(*id, by, command),
            }
        } else if let Input::Silence(input) = &record.input {
            self.take_silence(input);
        } else if let Input::BrokerStarted(_) = &record.input {
            self.open_for_findings();
        }
    }

    /// A condition that holds already is only described anew.
    fn found(&mut self, number: Option<ApplianceIndex>, kind: FindingKind, report: AlertReport) {
        let source = AlertSource::Finding(kind);
        let known = self.newest(number, source).filter(|it| it.is_open()).cloned();
        match known {
            Some(mut alert)
                if alert.opened_at == report.at && alert.severity == report.severity =>
            {
                (alert.text, alert.last_seen_at) = (report.text, self.now);
                alert.record = self.record;
                self.changed.insert(alert.id, alert);
            }
            Some(_) | None => drop(self.report(number, source, report)),
        }
    }

    fn take_change(&mut self, number: ApplianceIndex, change: &ApplianceEffect) {
        if let ApplianceEffect::RepeatsReported { group } = change {
            self.repeated(group);
        } else if let ApplianceEffect::Suppression { phase, suppression } = change {
            self.suppression(number, *phase, suppression);
        } else if *change == ApplianceEffect::Removed {
            let all = self.state.alerts().iter().filter(|it| it.appliance == Some(number));
            self.forgotten.extend(all.map(|it| it.id));
            self.changed.retain(|_, alert| alert.appliance != Some(number));
        }
    }

    fn repeated(&mut self, group: &AlertGroup) {
        let alert = group.alert.and_then(|id| self.get(id)).filter(|alert| alert.is_open());
        if let Some(mut alert) = alert.cloned() {
            alert.count = alert.count.saturating_add(group.repeats);
            alert.last_seen_at = alert.last_seen_at.max(group.last_seen_at);
            self.changed.insert(alert.id, alert);
        }
    }

    /// A suppression is an alert once it goes on: its first events are in the mail on the appliance.
    fn suppression(
        &mut self,
        number: ApplianceIndex,
        phase: SuppressionPhase,
        suppression: &Suppression,
    ) {
        match phase {
            SuppressionPhase::Summarised => {
                let Some(name) = self.state.name(number) else { return };
                let text = format!(
                    "{name} goes on sending more than its rate limit {} allows: its events are \
                     counted, not stored",
                    suppression.limit.as_str(),
                    name = name.as_str(),
                );
                let report = AlertReport {
                    kind: "suppression",
                    key: "suppression".into(),
                    severity: Severity::Warn,
                    text: text.into(),
                    at: suppression.since,
                };
                self.report(Some(number), AlertSource::Suppression, report);
            }
            SuppressionPhase::Ends => {
                self.end(Some(number), AlertSource::Suppression, EndCause::Condition);
            }
            SuppressionPhase::Begins | SuppressionPhase::Counts => {}
        }
    }

    /// The alert of an event, if it has one.
    fn take_event(
        &mut self,
        received: &ReceivedEvent,
        at: Timestamp,
    ) -> Option<crate::grid::values::id::AlertId> {
        let event = &received.event;
        let number = Some(received.appliance);
        self.state.appliance(received.appliance)?;
        self.lost_events(received);
        let EventBody::Alert { .. } = &event.body else { return None };
        let (source, key) = source_of(event);
        if event.is_resolved {
            let is_old = |seen: Timestamp| self.is_late && at < seen;
            if !self.newest(number, source).is_some_and(|alert| is_old(alert.last_seen_at)) {
                self.end(number, source, EndCause::Appliance);
            }
            return None;
        }
        if event.text.is_empty() {
            return None;
        }
        let kind = if event.crash_dump.is_some() { "crash_dump" } else { "event" };
        let text = excerpt(event.text.as_str(), ALERT_TEXT_BYTES_MAX);
        let severity = event.severity;
        Some(self.report(number, source, AlertReport { kind, key, severity, text, at }))
    }

    fn lost_events(&mut self, received: &ReceivedEvent) {
        let lost = &received.event.dropped_before;
        let count = lost.iter().fold(0_u64, |sum, it| sum.saturating_add(it.count));
        let Some(name) = self.state.name(received.appliance).filter(|_| count > 0) else { return };
        let events = if count == 1 { "event" } else { "events" };
        let text = format!("{} lost {count} {events} before it could send them", name.as_str());
        let report = AlertReport {
            kind: "events_lost",
            key: "events_lost".into(),
            severity: Severity::Warn,
            text: text.into(),
            at: self.now,
        };
        self.report(Some(received.appliance), AlertSource::EventsLost, report);
    }

    /// Of journals of earlier releases: findings that no alert stands for. They were mailed.
    fn open_for_findings(&mut self) {
        let findings: Vec<_> = self
            .state
            .findings()
            .map(|(number, kind, finding)| (number, kind, finding.clone()))
            .collect();
        for (number, kind, finding) in findings {
            let source = AlertSource::Finding(kind);
            if self.newest(number, source).is_some() {
                continue;
            }
            let report = AlertReport {
                kind: kind_named(kind.as_str()).unwrap_or("event"),
                key: kind.as_str().into(),
                severity: finding.severity,
                text: excerpt(&finding.text, ALERT_TEXT_BYTES_MAX),
                at: finding.since,
            };
            let id = self.report(number, source, report);
            self.assume_notified(id);
        }
    }
}

fn group_of(effects: &mut [Effect]) -> Option<&mut AlertGroup> {
    effects.iter_mut().find_map(|effect| {
        let Effect::Appliance { change: ApplianceEffect::AlertGroup { group }, .. } = effect else {
            return None;
        };
        Some(group)
    })
}

/// When it happened. A clock that is far off is ignored in favour of the time of receipt.
fn occurred_at(received: &ReceivedEvent, flags: RecordFlags, now: Timestamp) -> Timestamp {
    let is_off = flags.contains(RecordFlags::TIME_OFF);
    received.event.event_time.filter(|at| !is_off && *at <= now).unwrap_or(now)
}

/// How the start of the record failed.
fn failure_kind(record: &Record) -> &'static str {
    let failed = record.effects.iter().rev().find_map(|effect| {
        if let Some(ApplianceEffect::Lifecycle { lifecycle: Lifecycle::Failed(failed), .. }) =
            effect.of_appliance()
        {
            Some(failed.failure)
        } else {
            None
        }
    });
    match failed {
        Some(FailureCause::BootTimeout { .. }) => "boot_timeout",
        Some(FailureCause::Hung { .. } | FailureCause::NoProgress { .. }) => "hung",
        Some(FailureCause::Reported | FailureCause::DumpTimeout) | None => "start_failed",
    }
}
