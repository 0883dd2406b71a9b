//! Decides on the notification of each alert that changed, and makes its notice.
//!
//! Guarantees that the facts of a decision come from the alert, the state and the settings alone, and
//! that an alert which waits is due at the time for which it waits.

pub(super) use crate::grid::model::notification::NEXT_AFTER;

use std::time::Duration;

use super::AlertChanges;
use crate::grid::log::alert_effect::NotificationTrace;
use crate::grid::log::input::Input;
use crate::grid::log::record::Record;
use crate::grid::model::alert::{Alert, AlertSource, AlertStepKind, EndCause, Notified};
use crate::grid::model::finding::FindingKind;
use crate::grid::model::mail_message::Notice;
use crate::grid::model::matcher::AlertFacts;
use crate::grid::model::notification::{
    self, FLAPS_FROM, LastNotification, NotificationFacts, NotificationReason, SETTLES_AFTER,
    repeat_after,
};
use crate::grid::model::route::RouteTarget;
use crate::grid::values::event::Severity;
use crate::grid::values::id::AlertId;
use crate::grid::values::time::Timestamp;

/// For how long an alert is kept after its end.
const ENDED_KEPT: Duration = Duration::from_secs(30 * 86_400);

impl AlertChanges<'_> {
    pub(super) fn decide_on(&mut self, id: AlertId, record: &Record) {
        let Some(mut alert) = self.changed.get(&id).cloned() else { return };
        let targets = self.targets(&alert);
        let silence = self.silence_of(&alert).map(|it| (it.id, it.ends_at));
        let facts = self.facts(&alert, !targets.is_empty(), silence.is_some());
        // It goes on, but is followed no more: that is no end to tell of.
        let is_displaced = alert.end.is_some_and(|end| end.cause == EndCause::Displaced);
        let reason = match is_displaced {
            true => NotificationReason::Unchanged,
            false => notification::decide(&facts),
        };
        let silence = silence.filter(|_| reason == NotificationReason::Silenced);
        alert.decision = Some((reason, silence.map(|(id, _)| id)));
        if let Some((id, _)) = silence
            && notification::decide(&NotificationFacts { is_silenced: false, ..facts }).notifies()
        {
            self.count_muted(id);
        }
        if reason.notifies() {
            self.notify(&mut alert, reason, record, targets.clone());
        }
        alert.next_at = match silence {
            Some((_, ends_at)) => Some(ends_at),
            None => self.next_at(&alert, &facts, reason),
        };
        alert.closes_at = match alert.end {
            Some(end) => Some(end.at.after(ENDED_KEPT)),
            None => self.closes_at(&alert),
        };
        if reason != NotificationReason::Unchanged {
            alert.push_step(self.step(AlertStepKind::Decided(reason), "", ""));
            let receivers = targets.into_iter().filter(|_| reason.notifies());
            let receivers = receivers.map(|target| target.receiver).collect();
            let silence = silence.map(|(id, _)| id);
            self.traces.push(NotificationTrace { alert: id, reason, silence, receivers });
        }
        self.changed.insert(id, alert);
    }

    /// Who is notified of it.
    fn targets(&self, alert: &Alert) -> Vec<RouteTarget> {
        let Some(mail) = self.settings.mail() else { return Vec::new() };
        let is_triggered = mail.triggers.contains(alert.trigger())
            || alert.kind == "crash_dump" && mail.triggers.contains("alert");
        if !is_triggered {
            return Vec::new();
        }
        let facts = self.match_facts(alert);
        // Who was told of a grave alert is told of its end, too.
        let gravest = alert.notified.map_or(facts.severity, |it| it.severity.max(facts.severity));
        let severity = if alert.is_open() { facts.severity } else { gravest };
        self.settings.routing().targets(&AlertFacts { severity, ..facts }, self.now)
    }

    fn facts(&self, alert: &Alert, is_configured: bool, is_silenced: bool) -> NotificationFacts {
        let last = alert.notified.as_ref();
        let is_flapping = self.is_flapping(alert);
        NotificationFacts {
            is_configured,
            is_open: alert.is_open(),
            severity: alert.severity,
            last: last.map(|it| LastNotification { severity: it.severity, is_end: it.is_end }),
            is_silenced,
            is_acknowledged: alert.acknowledgement.is_some(),
            is_flapping,
            goes_on: last.is_none_or(|it| goes_on(alert, it)),
            is_due: self.due_time(alert, is_flapping).is_some_and(|at| at <= self.now),
        }
    }

    /// Whether it flaps itself, or is a failed start of an appliance that is known to flap.
    fn is_flapping(&self, alert: &Alert) -> bool {
        let flaps = AlertSource::Finding(FindingKind::Flapping);
        let is_start = alert.source == AlertSource::Finding(FindingKind::StartFailed);
        alert.reopenings >= FLAPS_FROM
            || is_start && self.newest(alert.appliance, flaps).is_some_and(Alert::is_open)
    }

    /// When the next notification may follow the last one.
    fn due_time(&self, alert: &Alert, is_flapping: bool) -> Option<Timestamp> {
        let last = alert.notified.as_ref()?;
        Some(match (&alert.end, last.is_end) {
            (None, true) if !is_flapping => last.at.after(NEXT_AFTER),
            (None, _) => last.at.after(repeat_after(last.repeats)),
            (Some(end), _) if is_flapping => end.at.after(SETTLES_AFTER),
            (Some(end), _) => end.at,
        })
    }

    fn next_at(
        &self,
        alert: &Alert,
        facts: &NotificationFacts,
        reason: NotificationReason,
    ) -> Option<Timestamp> {
        match reason {
            NotificationReason::New
            | NotificationReason::Graver
            | NotificationReason::Reopened
            | NotificationReason::Repeated => self.due_time(alert, facts.is_flapping),
            NotificationReason::Grouped | NotificationReason::RepeatInterval => {
                self.due_time(alert, facts.is_flapping).map(|at| at.max(self.now))
            }
            NotificationReason::Resolved
            | NotificationReason::NotConfigured
            | NotificationReason::Silenced
            | NotificationReason::Acknowledged
            | NotificationReason::Unchanged
            | NotificationReason::NeverNotified => None,
        }
    }

    /// When it ends if it is not reported again: what events report has no other end.
    pub(super) fn closes_at(&self, alert: &Alert) -> Option<Timestamp> {
        let rules = self.settings.alerts();
        let after = match alert.severity {
            Severity::Fatal => rules.close_fatal_after,
            Severity::Debug | Severity::Info | Severity::Warn | Severity::Error => {
                rules.close_after
            }
        };
        match alert.source {
            AlertSource::Event(_) | AlertSource::EventsLost => {
                Some(alert.last_seen_at.after(after))
            }
            AlertSource::Finding(_) | AlertSource::Counter(_) | AlertSource::Suppression => None,
        }
    }

    /// Adds its notice, and remembers what it said.
    fn notify(
        &mut self,
        alert: &mut Alert,
        reason: NotificationReason,
        record: &Record,
        targets: Vec<RouteTarget>,
    ) {
        let gravest = alert.notified.map_or(alert.severity, |it| it.severity.max(alert.severity));
        let is_new = matches!(reason, NotificationReason::New | NotificationReason::Graver);
        let before = alert.notified.filter(|_| !is_new);
        let notice = self.notice(alert, before.as_ref(), gravest, record);
        self.push_notice(notice, targets);
        alert.notified = Some(Notified {
            at: self.now,
            severity: gravest,
            is_end: !alert.is_open(),
            repeats: before.map_or(0, |it| {
                it.repeats.saturating_add(u32::from(reason != NotificationReason::Resolved))
            }),
            count: alert.count,
        });
    }

    fn notice(
        &self,
        alert: &Alert,
        before: Option<&Notified>,
        gravest: Severity,
        record: &Record,
    ) -> Notice {
        let name = alert.appliance.and_then(|number| self.state.name(number));
        let appliance = alert.appliance.and_then(|number| self.state.appliance(number));
        let since_then = |it: &Notified| alert.count.saturating_sub(it.count).max(1);
        let is_event = alert.kind == "event";
        let text = match &record.input {
            // The whole text, if this record has it.
            Input::Event(received) if alert.record == record.number && is_event => {
                received.event.text.as_str().into()
            }
            _ => alert.text.clone(),
        };
        Notice {
            subject: name.map_or("", |name| name.as_str()).into(),
            topic: if is_event { alert.key.clone() } else { alert.kind.into() },
            severity: if alert.is_open() { alert.severity } else { gravest },
            at: alert.end.map_or(alert.last_seen_at, |end| end.at),
            text: match alert.end.map(|end| end.cause) {
                Some(EndCause::Quiet) => format!("not reported any more: {text}").into(),
                Some(
                    EndCause::Appliance
                    | EndCause::Condition
                    | EndCause::Administrator
                    | EndCause::Displaced,
                )
                | None => text,
            },
            record: alert.record,
            is_resolved: !alert.is_open(),
            occurrences: before.map_or(0, since_then),
            alert: Some(alert.id),
            class: appliance.map_or("", |it| &*it.class).into(),
            since: Some(alert.opened_at),
            count: alert.count,
            acknowledged: alert.acknowledgement.is_some(),
        }
    }

    /// Somebody was notified of it by an earlier release.
    pub(super) fn assume_notified(&mut self, id: AlertId) {
        if let Some(alert) = self.changed.get_mut(&id) {
            alert.notified = Some(Notified {
                at: alert.opened_at,
                severity: alert.severity,
                is_end: false,
                repeats: 0,
                count: alert.count,
            });
        }
    }
}

/// Whether it was reported since that notification. A condition that holds goes on.
fn goes_on(alert: &Alert, last: &Notified) -> bool {
    match alert.source {
        AlertSource::Finding(_) | AlertSource::Counter(_) | AlertSource::Suppression => true,
        AlertSource::Event(_) | AlertSource::EventsLost => {
            alert.count > last.count || alert.last_seen_at > last.at
        }
    }
}
