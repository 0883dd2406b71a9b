//! Decides on the notification of each alert that changed, and makes its notice.
//!
//! Guarantees that the facts of a decision come from the alert, the state and the settings alone, and
//! that an alert which waits is due at the time for which it waits.

pub(super) use crate::grid::model::notification::NEXT_AFTER;

use std::time::Duration;

use super::kin::KinFacts;
use super::{AlertChanges, NoticeWait};
use crate::grid::log::alert_effect::NotificationTrace;
use crate::grid::log::input::Input;
use crate::grid::log::record::Record;
use crate::grid::model::alert::{Alert, AlertSource, AlertStepKind, EndCause, Notified};
use crate::grid::model::mail_message::Notice;
use crate::grid::model::matcher::AlertFacts;
use crate::grid::model::notification::{
    self, LastNotification, NotificationFacts, NotificationReason,
};
use crate::grid::model::route::RouteTarget;
use crate::grid::values::event::Severity;
use crate::grid::values::id::AlertId;
use crate::grid::values::time::Timestamp;

/// For how long an alert is kept after its end.
const ENDED_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// What has the same text as an alert of its class and name that was told this recently has its cause, and
/// waits for the rest of it, unless it is fatal.
const SAME_CAUSE_WITHIN: Duration = Duration::from_secs(15 * 60);

/// A repeat may come this much earlier if a mail with repeats is sent anyway. An hour of four.
const REPEATED_EARLY: Duration = Duration::from_secs(3_600);

/// The most repeats that are taken along in one record.
const REPEATED_MAX: usize = 256;

impl AlertChanges<'_> {
    /// Decides on the alerts that changed, and on those that a notification of theirs takes along.
    pub(super) fn decide_all(&mut self, record: &Record) {
        let ids: Vec<_> = self.changed.keys().copied().collect();
        let mut told = Vec::new();
        for id in ids {
            if self.decide_on(id, record, false) {
                told.push(id);
            }
        }
        for id in &told {
            self.take_along(*id, record);
        }
        let repeated = (NotificationReason::Repeated, None);
        if self.changed.values().any(|alert| alert.decision == Some(repeated)) {
            self.repeat_others(record);
        }
    }

    /// Repeats that would be due soon are in the same mail.
    fn repeat_others(&mut self, record: &Record) {
        let until = self.now.after(REPEATED_EARLY);
        let waits = |alert: &&Alert| {
            let held = alert.decision.map(|(reason, _)| reason);
            let is_repeat = matches!(
                held,
                Some(
                    NotificationReason::New
                        | NotificationReason::Graver
                        | NotificationReason::Repeated
                        | NotificationReason::Reopened
                        | NotificationReason::RepeatInterval
                )
            );
            is_repeat && alert.is_open() && alert.next_at.is_some_and(|at| at <= until)
        };
        let others = self.state.alerts().open().filter(waits);
        let others = others.filter(|alert| !self.changed.contains_key(&alert.id));
        let others: Vec<_> = others.take(REPEATED_MAX).cloned().collect();
        for mut other in others {
            let id = other.id;
            self.refresh(&mut other);
            // What did not go on is looked at when its own time comes.
            if other.notified.as_ref().is_some_and(|last| goes_on(&other, last)) {
                self.changed.insert(id, other);
                self.decide_on(id, record, true);
            }
        }
    }

    /// What flaps with it is in the same mail.
    fn take_along(&mut self, id: AlertId, record: &Record) {
        let Some(alert) = self.changed.get(&id) else { return };
        let kin = self.state.alerts().kin(alert);
        let waiting =
            kin.map(|other| self.changed.get(&other.id).unwrap_or(other)).filter(|other| {
                let waits =
                    other.differs_from_notified() || other.is_open() && other.next_at.is_some();
                waits && other.notified.is_none_or(|it| it.at < self.now)
            });
        let waiting: Vec<_> = waiting.cloned().collect();
        for other in waiting {
            let id = other.id;
            self.changed.insert(id, other);
            self.decide_on(id, record, true);
        }
    }

    /// Decides on one alert, as if its time had come if it is `taken_along`. Whether others are to be taken
    /// along with it.
    fn decide_on(&mut self, id: AlertId, record: &Record, taken_along: bool) -> bool {
        let Some(mut alert) = self.changed.get(&id).cloned() else { return false };
        let targets = self.targets(&alert);
        let silence = self.silence_of(&alert).map(|it| (it.id, it.ends_at));
        let kin = self.kin(&alert);
        let mut facts = self.facts(&alert, &kin, !targets.is_empty(), silence.is_some());
        facts.is_due |= taken_along;
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
            let wait = wait_of(&alert, reason, &kin);
            self.notify(&mut alert, reason, record, (targets.clone(), wait));
        }
        alert.next_at = match silence {
            Some((_, ends_at)) => Some(ends_at),
            None => self.next_at(&alert, &self.kin(&alert), reason),
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
        kin.is_flapping && reason.notifies() && !matches!(reason, NotificationReason::Graver)
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

    fn facts(
        &self,
        alert: &Alert,
        kin: &KinFacts,
        is_configured: bool,
        is_silenced: bool,
    ) -> NotificationFacts {
        let last = alert.notified.as_ref();
        NotificationFacts {
            is_configured,
            is_open: alert.is_open(),
            severity: alert.severity,
            last: last.map(|it| LastNotification { severity: it.severity, is_end: it.is_end }),
            is_silenced,
            is_acknowledged: alert.acknowledgement.is_some(),
            is_covered: kin.is_covered,
            is_flapping: kin.is_flapping,
            goes_on: last.is_none_or(|it| goes_on(alert, it)),
            is_due: self.due_time(alert, kin).is_some_and(|at| at <= self.now),
        }
    }

    fn next_at(
        &self,
        alert: &Alert,
        kin: &KinFacts,
        reason: NotificationReason,
    ) -> Option<Timestamp> {
        match reason {
            NotificationReason::New
            | NotificationReason::Graver
            | NotificationReason::Reopened
            | NotificationReason::Repeated => self.due_time(alert, kin),
            NotificationReason::Grouped | NotificationReason::RepeatInterval => {
                self.due_time(alert, kin).map(|at| at.max(self.now))
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
        (targets, wait): (Vec<RouteTarget>, NoticeWait),
    ) {
        let gravest = alert.notified.map_or(alert.severity, |it| it.severity.max(alert.severity));
        let is_new = matches!(reason, NotificationReason::New | NotificationReason::Graver);
        let before = alert.notified.filter(|_| !is_new);
        let notice = self.notice(alert, before.as_ref(), gravest, record);
        self.push_notice(notice, targets, wait);
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
        // The whole text, if this record has it.
        let text: Box<str> = if let Input::Event(received) = &record.input
            && alert.record == record.number
            && is_event
        {
            received.event.text.as_str().into()
        } else {
            alert.text.clone()
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

/// How long its notice may wait for others.
fn wait_of(alert: &Alert, reason: NotificationReason, kin: &KinFacts) -> NoticeWait {
    let is_quiet = alert.end.is_some_and(|end| end.cause == EndCause::Quiet);
    let is_new = matches!(reason, NotificationReason::New | NotificationReason::Graver);
    let told = kin.same_text_at.filter(|_| alert.severity < Severity::Fatal);
    match told {
        _ if is_quiet => NoticeWait::Idle,
        _ if !is_new => NoticeWait::Long,
        Some(at) if reason == NotificationReason::New => {
            NoticeWait::Until(at.after(SAME_CAUSE_WITHIN))
        }
        Some(_) | None => NoticeWait::Short,
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
