//! Selects the notices that a record sends by mail: alerts of appliances and of the broker.
//!
//! Guarantees that each notice has an identifier of the settings, that a new or more severe alert
//! is mailed at once, that a continuing one is mailed by a schedule, and that suppressed alerts are
//! mailed as counts. Does not know recipients.

use crate::grid::decide::alerts::{NoticeWait, RoutedNotice};
use crate::grid::explain;
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::input::Input;
use crate::grid::log::record::Record;
use crate::grid::model::mail_message::{Notice, SUPPRESSED};
use crate::grid::model::matcher::AlertFacts;
use crate::grid::model::settings::{GridSettings, MailPolicy};
use crate::grid::state::State;
use crate::grid::values::event::Severity;
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::Timestamp;

/// The notices of a record under these settings. Adds to its effects what was mailed.
pub(in crate::grid) fn notifications(
    state: &State,
    mail: &MailPolicy,
    record: &mut Record,
    settings: &GridSettings,
    of_alerts: Vec<RoutedNotice>,
) -> Vec<RoutedNotice> {
    let mut collector =
        NoticeCollector { state, mail, settings, now: record.at, notices: of_alerts };
    collector.crash_dumps(record);
    collector.suppressed_alerts(record);
    collector.notices
}

/// The trigger and the topic of mails about crash dumps.
const CRASH_DUMP: &str = "crash_dump";

struct NoticeCollector<'a> {
    state: &'a State,
    mail: &'a MailPolicy,
    settings: &'a GridSettings,
    now: Timestamp,
    notices: Vec<RoutedNotice>,
}

impl NoticeCollector<'_> {
    /// Adds a notice that is of no alert.
    fn push(&mut self, notice: Notice, kind: &str) {
        let facts = AlertFacts {
            appliance: Some(&notice.subject),
            class: &notice.class,
            kind,
            key: &notice.topic,
            severity: notice.severity,
        };
        let targets = self.settings.routing().targets(&facts, self.now);
        // What is mild waits for others.
        let is_mild = kind == "suppression" && notice.severity < Severity::Error;
        let wait = if is_mild { NoticeWait::Long } else { NoticeWait::Short };
        self.notices.push(RoutedNotice { notice, targets, wait });
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
            let notice = Notice {
                subject: name.as_str().into(),
                topic: CRASH_DUMP.into(),
                severity: Severity::Warn,
                at: record.at,
                text: text.into(),
                record: record.number,
                is_resolved: false,
                occurrences: 0,
                alert: None,
                class: Box::default(),
                since: None,
                count: 0,
                acknowledged: false,
            };
            self.push(notice, CRASH_DUMP);
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
        let notice = Notice {
            subject: appliance.name.as_str().into(),
            topic: SUPPRESSED.into(),
            severity: unmailed.severity().unwrap_or(Severity::Warn),
            at: unmailed.last_at,
            text: unmailed.describe().into(),
            record: record.number,
            is_resolved: false,
            occurrences: 0,
            alert: None,
            class: appliance.class.to_string().into(),
            since: None,
            count: 0,
            acknowledged: false,
        };
        self.push(notice, "suppression");
    }
}
