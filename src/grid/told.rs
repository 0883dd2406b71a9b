//! What does a record give cause to tell by mail? Alerts of appliances, and what the broker finds.
//!
//! Guarantees that each notice has a word by which the settings name it, that what is new or graver is
//! told at once, that what goes on is told by a schedule, and that alerts which were suppressed are
//! told as counts. Knows no recipients.

use super::alert_key::{self, AlertKey, KEYS_MAX};
use super::appliance::Appliance;
use super::door::key_of;
use super::effect::{Alert, Effect, Matter};
use super::event::{EventKind, Severity};
use super::lifecycle::{Failure, Lifecycle};
use super::mail::{Notice, SUPPRESSED};
use super::marks::Marks;
use super::name::{ApplianceNumber, RecordNumber};
use super::record::{Heard, Input, Outcome, Record};
use super::repeating::Repeating;
use super::settings::Mail;
use super::state::State;
use super::time::Timestamp;

/// What a record gives cause to tell under these settings. Adds to its effects what was told.
pub(in crate::grid) fn notices(state: &State, mail: &Mail, record: &mut Record) -> Vec<Notice> {
    let mut telling = Telling { state, mail, now: record.at, notices: Vec::new() };
    telling.alert(record);
    telling.what_goes_on(record);
    telling.findings(record);
    telling.suppressed(record);
    telling.notices
}

struct Telling<'a> {
    state: &'a State,
    mail: &'a Mail,
    now: Timestamp,
    notices: Vec<Notice>,
}

impl Telling<'_> {
    /// The alert that the record is about.
    fn alert(&mut self, record: &mut Record) {
        let at = record.at;
        if let Input::Event(heard) = &record.input
            && let EventKind::Alert { counter } = &heard.event.kind
            && self.mail.on.contains("alert")
            && !heard.event.text.is_empty()
            && matches!(record.outcome, Outcome::Kept | Outcome::History)
            && let Some(appliance) = self.state.appliance(heard.appliance)
        {
            let severity = heard.event.severity;
            let text = heard.event.text.as_str();
            let (_, matter) = key_of(&heard.event, counter.as_ref(), severity);
            let key = record.effects.iter_mut().find_map(|effect| {
                if let Effect::AlertKey { key, .. } = effect { Some(key) } else { None }
            });
            // What a spool brings has no key: it is summed up.
            let again = match key {
                Some(key) => {
                    let before = appliance.admission.key(key.id).and_then(|it| it.mailed.as_ref());
                    let graver = self.graver(appliance, heard, severity);
                    schedule(key, before, graver, (severity, text), at)
                }
                None => Some(0),
            };
            let Some(again) = again else { return };
            self.notices.push(Notice {
                about: appliance.name.as_str().into(),
                matter,
                severity,
                at: happened_at(heard, record),
                text: text.into(),
                record: record.number,
                is_resolved: false,
                again,
            });
        }
    }

    /// What was mailed of graver alerts with that key, if they go on.
    fn graver(
        &self,
        appliance: &Appliance,
        heard: &Heard,
        severity: Severity,
    ) -> Option<Repeating> {
        let EventKind::Alert { counter } = &heard.event.kind else { return None };
        let graver = Severity::ALL.into_iter().filter(|it| *it > severity);
        let mut mailed = graver.filter_map(|severity| {
            let (id, _) = key_of(&heard.event, counter.as_ref(), severity);
            appliance.admission.key(id)?.mailed.clone()
        });
        mailed.find(|mailed| !mailed.is_over(self.now))
    }

    /// What the broker found.
    fn findings(&mut self, record: &mut Record) {
        let mut keys = Vec::new();
        for effect in &record.effects {
            let Effect::AlertRaised { number, matter, alert } = effect else { continue };
            let word = match matter {
                Matter::StartFailed => failure_word(record),
                // Told when it opened; a later start renews its words.
                Matter::DiskLow if alert.since < record.at => continue,
                Matter::Stuck
                | Matter::NoContact
                | Matter::TwoMachines
                | Matter::Flapping
                | Matter::RecordsMissing
                | Matter::DiskLow
                | Matter::ClockDiffers => matter.word(),
                // Nobody would get it.
                Matter::MailFails => continue,
                // Whoever can connect could cause it, a mail each time.
                Matter::ResourcesShort => continue,
            };
            if !self.mail.on.contains(word) {
                continue;
            }
            let again = match (matter, number) {
                (Matter::StartFailed, Some(number)) => {
                    let (key, again) = self.start_failed(*number, alert, record.number);
                    let number = *number;
                    keys.extend(key.map(|key| Effect::AlertKey { number, key }));
                    again
                }
                (_, _) => Some(0),
            };
            let Some(again) = again else { continue };
            let name = number.and_then(|number| self.state.name(number));
            self.notices.push(Notice {
                about: name.map_or("", |name| name.as_str()).into(),
                matter: word.into(),
                severity: alert.severity,
                at: alert.since,
                text: alert.text.clone(),
                record: record.number,
                is_resolved: false,
                again,
            });
        }
        record.effects.extend(keys);
    }

    /// Start after start of an appliance that flaps is told by the schedule: that it flaps was news.
    fn start_failed(
        &self,
        number: ApplianceNumber,
        alert: &Alert,
        record: RecordNumber,
    ) -> (Option<AlertKey>, Option<u64>) {
        let Some(appliance) = self.state.appliance(number) else { return (None, Some(0)) };
        let (id, label) = alert_key::of_failed_starts();
        let known = appliance.admission.key(id);
        if known.is_none() && appliance.admission.keys.len() >= KEYS_MAX {
            return (None, Some(0));
        }
        let before = known.and_then(|key| key.mailed.as_ref());
        let said = alert_key::said(alert.severity, &alert.text);
        let again = before.map(|mailed| mailed.clone().said_again(said, &alert.text, self.now));
        let mut key =
            AlertKey { mailed: again, ..AlertKey::new(id, label, said, record, self.now) };
        let flaps = self.state.alert(Some(number), Matter::Flapping).is_some();
        let before = before.filter(|_| flaps);
        let again = schedule(&mut key, before, None, (alert.severity, &alert.text), self.now);
        (Some(key), again)
    }

    /// What goes on is told when its time has come.
    fn what_goes_on(&mut self, record: &Record) {
        if !matches!(record.input, Input::Deadline { .. }) {
            return;
        }
        let of_starts = alert_key::of_failed_starts().0;
        for effect in &record.effects {
            let Effect::AlertKey { number, key } = effect else { continue };
            let Some(appliance) = self.state.appliance(*number) else { continue };
            let known = appliance.admission.key(key.id).and_then(|it| it.mailed.as_ref());
            let word = if key.id == of_starts { &key.label } else { "alert" };
            let Some(mailed) = known.filter(|_| self.mail.on.contains(word)) else { continue };
            self.notices.push(Notice {
                about: appliance.name.as_str().into(),
                matter: key.label.clone(),
                severity: mailed.severity,
                at: mailed.said_at,
                text: mailed.text.clone(),
                record: key.record,
                is_resolved: false,
                again: mailed.since,
            });
        }
    }

    /// What was suppressed is told by the next mail on its appliance, or when its time has come.
    fn suppressed(&mut self, record: &mut Record) {
        let is_told = |effect: &Effect| matches!(effect, Effect::Unmailed { .. });
        if !self.mail.on.contains("alert") || record.marks.has(Marks::REPLAYED) {
            return;
        }
        let number = record.input.appliance();
        let Some(appliance) = number.and_then(|number| self.state.appliance(number)) else {
            return;
        };
        let Some(unmailed) = &appliance.admission.unmailed else { return };
        let is_counted = record.effects.iter().any(is_told);
        // An event that is suppressed itself only counts.
        let is_due = is_counted && matches!(record.input, Input::Deadline { .. });
        let rides_along = !is_counted && !self.notices.is_empty();
        if unmailed.count() == 0 || !is_due && !rides_along {
            return;
        }
        if rides_along {
            let unmailed = unmailed.mailed_along(self.now);
            record.effects.push(Effect::Unmailed { number: appliance.number, unmailed });
        }
        self.notices.push(Notice {
            about: appliance.name.as_str().into(),
            matter: SUPPRESSED.into(),
            severity: unmailed.severity().unwrap_or(Severity::Warn),
            at: unmailed.last_at,
            text: unmailed.explain().into(),
            record: record.number,
            is_resolved: false,
            again: 0,
        });
    }
}

/// Whether a mail tells of an alert under `key` that is said now, and how often it was said since the
/// last one: news at once (0), what goes on when its time has come.
fn schedule(
    key: &mut AlertKey,
    before: Option<&Repeating>,
    graver: Option<Repeating>,
    (severity, text): (Severity, &str),
    now: Timestamp,
) -> Option<u64> {
    let goes_on = match (before.filter(|before| !before.is_over(now)), graver) {
        (Some(_), None) => key.mailed.clone(),
        // It was graver and is milder now: no news, and no change that is told soon.
        (Some(_), Some(_)) => {
            key.mailed.clone().map(|mailed| Repeating { has_told_change: true, ..mailed })
        }
        (None, Some(graver)) => {
            let goes_on = graver.said_again(key.said, text, now);
            Some(Repeating { severity, has_told_change: true, ..goes_on })
        }
        (None, None) => None,
    };
    let Some(goes_on) = goes_on else {
        key.mailed = Some(Repeating::new(key.said, severity, text, before, now));
        return Some(0);
    };
    let is_due = goes_on.due().is_some_and(|due| due <= now);
    let again = is_due.then_some(goes_on.since);
    key.mailed = Some(if is_due { goes_on.mailed(key.said, now) } else { goes_on });
    again
}

/// When it happened. A clock that is far off tells nothing: then it is the time of receipt.
fn happened_at(heard: &Heard, record: &Record) -> Timestamp {
    let is_off = record.marks.has(Marks::TIME_OFF);
    heard.event.event_time.filter(|at| !is_off && *at <= record.at).unwrap_or(record.at)
}

/// How the start failed that a record tells of.
fn failure_word(record: &Record) -> &'static str {
    let failed = record.effects.iter().rev().find_map(|effect| {
        if let Effect::Lifecycle { lifecycle: Lifecycle::Failed(failed), .. } = effect {
            Some(failed.failure)
        } else {
            None
        }
    });
    match failed {
        Some(Failure::BootTimeout { .. }) => "boot_timeout",
        Some(Failure::Hung { .. } | Failure::NoProgress { .. }) => "hung",
        Some(Failure::Reported | Failure::DumpTimeout) | None => "start_failed",
    }
}
