//! Selects the notices that a record sends by mail: alerts of appliances and of the broker.
//!
//! Guarantees that each notice has an identifier of the settings, that a new or more severe alert
//! is mailed at once, that a continuing one is mailed by a schedule, and that suppressed alerts are
//! mailed as counts. Does not know recipients.

use crate::grid::decide::admission::group_key_of;
use crate::grid::explain;
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::input::{Input, ReceivedEvent};
use crate::grid::log::record::Record;
use crate::grid::model::alert_group;
use crate::grid::model::alert_group::{ALERT_GROUPS_MAX, AlertGroup};
use crate::grid::model::finding::{Finding, FindingKind};
use crate::grid::model::lifecycle::{FailureCause, Lifecycle};
use crate::grid::model::mail_message::{Notice, SUPPRESSED};
use crate::grid::model::notification_schedule::NotificationSchedule;
use crate::grid::model::settings::MailPolicy;
use crate::grid::state::State;
use crate::grid::state::appliance::Appliance;
use crate::grid::values::event::{Event, EventBody, Severity};
use crate::grid::values::id::{ApplianceIndex, RecordNumber};
use crate::grid::values::outcome::Outcome;
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::Timestamp;

/// The notices of a record under these settings. Adds to its effects what was mailed.
pub(in crate::grid) fn notifications(
    state: &State,
    mail: &MailPolicy,
    record: &mut Record,
) -> Vec<Notice> {
    let mut collector = NoticeCollector { state, mail, now: record.at, notices: Vec::new() };
    collector.alert(record);
    collector.continuing_alerts(record);
    collector.broker_alerts(record);
    collector.crash_dumps(record);
    collector.suppressed_alerts(record);
    collector.notices
}

/// The trigger and the topic of mails about crash dumps.
const CRASH_DUMP: &str = "crash_dump";

struct NoticeCollector<'a> {
    state: &'a State,
    mail: &'a MailPolicy,
    now: Timestamp,
    notices: Vec<Notice>,
}

impl NoticeCollector<'_> {
    /// The alert event of the record.
    fn alert(&mut self, record: &mut Record) {
        let at = record.at;
        if let Input::Event(received) = &record.input
            && let EventBody::Alert { counter } = &received.event.body
            && self.is_mailed(&received.event)
            && !received.event.text.is_empty()
            && matches!(record.outcome, Outcome::Stored | Outcome::OlderBoot)
            && let Some(appliance) = self.state.appliance(received.appliance)
        {
            let severity = received.event.severity;
            let text = received.event.text.as_str();
            let (_, kind) = group_key_of(&received.event, counter.as_ref(), severity);
            let key = record.effects.iter_mut().find_map(|effect| {
                let Effect::Appliance { change: ApplianceEffect::AlertGroup { group }, .. } =
                    effect
                else {
                    return None;
                };
                Some(group)
            });
            // An alert from a spool has no group: it goes to a digest.
            let again = match key {
                Some(key) => {
                    let before =
                        appliance.usage.alert_group(key.id).and_then(|it| it.notified.as_ref());
                    let graver = self.more_severe(appliance, received, severity);
                    schedule(key, before, graver, (severity, text), at)
                }
                None => Some(0),
            };
            let Some(again) = again else { return };
            let is_dump = received.event.crash_dump.is_some();
            self.notices.push(Notice {
                subject: appliance.name.as_str().into(),
                topic: if is_dump { CRASH_DUMP.into() } else { kind },
                severity,
                at: occurred_at(received, record),
                text: text.into(),
                record: record.number,
                is_resolved: false,
                occurrences: again,
                alert: None,
                class: "".into(),
                since: None,
                count: 0,
                acknowledged: false,
            });
        }
    }

    /// Whether the alert event triggers a mail.
    fn is_mailed(&self, event: &Event) -> bool {
        let triggers = &self.mail.triggers;
        triggers.contains("alert") || event.crash_dump.is_some() && triggers.contains(CRASH_DUMP)
    }

    /// The steps of a crash dump, in one thread with the dumps that are found.
    fn crash_dumps(&mut self, record: &Record) {
        if !self.mail.triggers.contains(CRASH_DUMP) {
            return;
        }
        for effect in &record.effects {
            let Effect::Appliance { number, change: ApplianceEffect::CrashDump { dump } } = effect
            else {
                continue;
            };
            let Some(name) = self.state.name(*number) else { continue };
            let known = self.state.appliance(*number).and_then(|appliance| {
                appliance.crash_dumps.iter().find(|it| it.request == dump.request)
            });
            let Some(text) = explain::crash_dump::next_step(name.as_str(), known, dump) else {
                continue;
            };
            self.notices.push(Notice {
                subject: name.as_str().into(),
                topic: CRASH_DUMP.into(),
                severity: Severity::Warn,
                at: record.at,
                text: text.into(),
                record: record.number,
                is_resolved: false,
                occurrences: 0,
                alert: None,
                class: "".into(),
                since: None,
                count: 0,
                acknowledged: false,
            });
        }
    }

    /// What was mailed of more severe alerts of that key, if they continue.
    fn more_severe(
        &self,
        appliance: &Appliance,
        received: &ReceivedEvent,
        severity: Severity,
    ) -> Option<NotificationSchedule> {
        let EventBody::Alert { counter } = &received.event.body else { return None };
        let graver = Severity::ALL.into_iter().filter(|it| *it > severity);
        let mut mailed = graver.filter_map(|severity| {
            let (id, _) = group_key_of(&received.event, counter.as_ref(), severity);
            appliance.usage.alert_group(id)?.notified.clone()
        });
        mailed.find(|mailed| !mailed.is_over(self.now))
    }

    /// The alerts that the broker opened.
    fn broker_alerts(&mut self, record: &mut Record) {
        let mut keys = Vec::new();
        for effect in &record.effects {
            let Effect::FindingRaised { number, kind, finding } = effect else { continue };
            let word = match kind {
                FindingKind::StartFailed => failure_trigger(record),
                // Mailed when it opened; a later start only updates its text.
                FindingKind::DiskLow if finding.since < record.at => continue,
                FindingKind::Stuck
                | FindingKind::NoContact
                | FindingKind::NameConflict
                | FindingKind::Flapping
                | FindingKind::RecordsMissing
                | FindingKind::DiskLow
                | FindingKind::ClockDiffers
                | FindingKind::CertificateEnding
                | FindingKind::ServerCertificate => kind.as_str(),
                // Mailed when it opened: who has the token could cause a mail each time.
                FindingKind::TokenReused if finding.since < record.at => continue,
                FindingKind::TokenReused => kind.as_str(),
                // Such a mail could not be delivered.
                FindingKind::MailFails => continue,
                // Any client could cause it, and a mail each time.
                FindingKind::ResourcesShort => continue,
            };
            if !self.mail.triggers.contains(word) {
                continue;
            }
            let mut again = Some(0);
            if let (FindingKind::StartFailed, Some(number)) = (kind, *number) {
                let key;
                (key, again) = self.start_failed(number, finding, record.number);
                keys.extend(key.map(|key| ApplianceEffect::AlertGroup { group: key }.of(number)));
            }
            let Some(again) = again else { continue };
            let name = number.and_then(|number| self.state.name(number));
            self.notices.push(Notice {
                subject: name.map_or("", |name| name.as_str()).into(),
                topic: word.into(),
                severity: finding.severity,
                at: finding.since,
                text: finding.text.clone(),
                record: record.number,
                is_resolved: false,
                occurrences: again,
                alert: None,
                class: "".into(),
                since: None,
                count: 0,
                acknowledged: false,
            });
        }
        record.effects.extend(keys);
    }

    /// The failed starts of a flapping appliance are mailed by the schedule: that it flaps was
    /// mailed as new.
    fn start_failed(
        &self,
        number: ApplianceIndex,
        alert: &Finding,
        record: RecordNumber,
    ) -> (Option<AlertGroup>, Option<u64>) {
        let Some(appliance) = self.state.appliance(number) else { return (None, Some(0)) };
        let (id, label) = alert_group::failed_starts_key();
        let known = appliance.usage.alert_group(id);
        if known.is_none() && appliance.usage.alert_groups.len() >= ALERT_GROUPS_MAX {
            return (None, Some(0));
        }
        let before = known.and_then(|key| key.notified.as_ref());
        let content_hash = alert_group::hash_content(alert.severity, &alert.text);
        let again = before
            .map(|mailed| mailed.clone().with_occurrence(content_hash, &alert.text, self.now));
        let mut key = AlertGroup {
            notified: again,
            ..AlertGroup::new(id, label, content_hash, record, self.now)
        };
        let flaps = self.state.finding(Some(number), FindingKind::Flapping).is_some();
        let before = before.filter(|_| flaps);
        let again = schedule(&mut key, before, None, (alert.severity, &alert.text), self.now);
        (Some(key), again)
    }

    /// Continuing alerts are mailed when they are due.
    fn continuing_alerts(&mut self, record: &Record) {
        if !matches!(record.input, Input::Deadline { .. }) {
            return;
        }
        let of_starts = alert_group::failed_starts_key().0;
        for effect in &record.effects {
            let Effect::Appliance { number, change: ApplianceEffect::AlertGroup { group: key } } =
                effect
            else {
                continue;
            };
            let Some(appliance) = self.state.appliance(*number) else { continue };
            let known = appliance.usage.alert_group(key.id).and_then(|it| it.notified.as_ref());
            let word = if key.id == of_starts { &key.label } else { "alert" };
            let Some(mailed) = known.filter(|_| self.mail.triggers.contains(word)) else {
                continue;
            };
            self.notices.push(Notice {
                subject: appliance.name.as_str().into(),
                topic: key.label.clone(),
                severity: mailed.severity,
                at: mailed.last_seen_at,
                text: mailed.last_text.clone(),
                record: key.record,
                is_resolved: false,
                occurrences: mailed.occurrences,
                alert: None,
                class: "".into(),
                since: None,
                count: 0,
                acknowledged: false,
            });
        }
    }

    /// Suppressed alerts are reported by the next mail on their appliance, or when they are due.
    fn suppressed_alerts(&mut self, record: &mut Record) {
        let has_suppressed_alerts = |effect: &Effect| {
            matches!(effect.of_appliance(), Some(ApplianceEffect::SuppressedAlerts { .. }))
        };
        if !self.mail.triggers.contains("alert") || record.flags.contains(RecordFlags::REPLAYED) {
            return;
        }
        let number = record.input.appliance();
        let Some(appliance) = number.and_then(|number| self.state.appliance(number)) else {
            return;
        };
        let Some(unmailed) = &appliance.usage.unmailed else { return };
        let is_counted = record.effects.iter().any(has_suppressed_alerts);
        // A suppressed event itself is only counted.
        let is_due = is_counted && matches!(record.input, Input::Deadline { .. });
        let rides_along = !is_counted && !self.notices.is_empty();
        if unmailed.count() == 0 || !is_due && !rides_along {
            return;
        }
        if rides_along {
            let unmailed = unmailed.with_shared_mail(self.now);
            record
                .effects
                .push(ApplianceEffect::SuppressedAlerts { unmailed }.of(appliance.number));
        }
        self.notices.push(Notice {
            subject: appliance.name.as_str().into(),
            topic: SUPPRESSED.into(),
            severity: unmailed.severity().unwrap_or(Severity::Warn),
            at: unmailed.last_at,
            text: unmailed.describe().into(),
            record: record.number,
            is_resolved: false,
            occurrences: 0,
            alert: None,
            class: "".into(),
            since: None,
            count: 0,
            acknowledged: false,
        });
    }
}

/// Whether a mail reports an alert of the group of `key` now, with its occurrences since the last
/// mail: new ones at once (0), continuing ones when they are due.
fn schedule(
    key: &mut AlertGroup,
    before: Option<&NotificationSchedule>,
    graver: Option<NotificationSchedule>,
    (severity, text): (Severity, &str),
    now: Timestamp,
) -> Option<u64> {
    let continued = match (before.filter(|before| !before.is_over(now)), graver) {
        (Some(_), None) => key.notified.clone(),
        // It was more severe before: not new, and no change to mail soon.
        (Some(_), Some(_)) => key
            .notified
            .clone()
            .map(|mailed| NotificationSchedule { has_sent_change: true, ..mailed }),
        (None, Some(graver)) => {
            let continued = graver.with_occurrence(key.content_hash, text, now);
            Some(NotificationSchedule { severity, has_sent_change: true, ..continued })
        }
        (None, None) => None,
    };
    let Some(continued) = continued else {
        key.notified =
            Some(NotificationSchedule::new(key.content_hash, severity, text, before, now));
        return Some(0);
    };
    let is_due = continued.due_at().is_some_and(|due| due <= now);
    let again = is_due.then_some(continued.occurrences);
    key.notified =
        Some(if is_due { continued.with_notification(key.content_hash, now) } else { continued });
    again
}

/// When it happened. A clock that is far off is ignored in favour of the time of receipt.
fn occurred_at(received: &ReceivedEvent, record: &Record) -> Timestamp {
    let is_off = record.flags.contains(RecordFlags::TIME_OFF);
    received.event.event_time.filter(|at| !is_off && *at <= record.at).unwrap_or(record.at)
}

/// How the start of the record failed.
fn failure_trigger(record: &Record) -> &'static str {
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
