//! Keeps the alerts in step with what a record decides, and decides whom to notify.
//!
//! ```text
//! record -> reports, ends, commands, what is due -> changed alerts -> notification::decide -> notices
//! ```
//!
//! Guarantees that each change of an alert, and each decision about a notification with its reason, is
//! an effect of the record that caused it. Applies nothing. Knows no mail.

pub mod command;
mod due;
pub(in crate::grid) mod inputs;
mod kin;
mod notice;
pub(in crate::grid) mod report;
pub mod silence;

use std::collections::BTreeMap;

use crate::grid::log::alert_effect::{AlertEffect, NotificationTrace};
use crate::grid::log::effect::Effect;
use crate::grid::log::record::Record;
use crate::grid::model::alert::{
    Alert, AlertEnd, AlertSource, AlertStep, AlertStepKind, EndCause, REOPEN_WITHIN, group_of,
};
use crate::grid::model::mail_message::Notice;
use crate::grid::model::route::RouteTarget;
use crate::grid::model::settings::GridSettings;
use crate::grid::model::silence::Silence;
use crate::grid::state::State;
use crate::grid::values::event::Severity;
use crate::grid::values::id::{AlertId, ApplianceIndex, RecordNumber, SilenceId};
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::Timestamp;

/// The most open alerts of one appliance that come from its events. The one that was reported longest
/// ago ends for a new one.
pub const OPEN_ALERTS_MAX: usize = 64;

/// The most alerts that are kept after their end.
pub const ENDED_ALERTS_MAX: usize = 4_096;

/// Adds the changes of alerts to a record, and returns the notices that follow, most severe first.
pub(in crate::grid) fn follow(
    state: &State,
    settings: &GridSettings,
    record: &mut Record,
) -> Vec<RoutedNotice> {
    if !report::concerns_alerts(record) {
        return Vec::new();
    }
    let mut changes = AlertChanges::new(state, settings, record);
    changes.take_record(record);
    changes.finish(record)
}

/// What a report says of a problem.
pub(in crate::grid) struct AlertReport {
    pub(in crate::grid) kind: &'static str,
    pub(in crate::grid) key: Box<str>,
    pub(in crate::grid) severity: Severity,
    pub(in crate::grid) text: Box<str>,
    /// When it happened.
    pub(in crate::grid) at: Timestamp,
}

/// The alerts that a record changes.
pub(in crate::grid) struct AlertChanges<'a> {
    state: &'a State,
    settings: &'a GridSettings,
    now: Timestamp,
    record: RecordNumber,
    /// An event from a spool: history.
    is_late: bool,
    changed: BTreeMap<AlertId, Alert>,
    /// The steps of each are at the end of its history.
    forgotten: Vec<AlertId>,
    last_id: AlertId,
    silences: BTreeMap<SilenceId, Silence>,
    forgotten_silences: Vec<SilenceId>,
    traces: Vec<NotificationTrace>,
    notices: Vec<RoutedNotice>,
}

/// A notice and who gets it.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::grid) struct RoutedNotice {
    pub(in crate::grid) notice: Notice,
    pub(in crate::grid) targets: Vec<RouteTarget>,
    /// How long it may wait for others.
    pub(in crate::grid) wait: NoticeWait,
}

/// How long a notice may wait for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::grid) enum NoticeWait {
    /// The gather time.
    Short,
    /// Until then: an alert of the same cause was told a moment ago.
    Until(Timestamp),
    /// It is not new.
    Long,
    /// Nobody waits for it.
    Idle,
}

impl<'a> AlertChanges<'a> {
    fn new(state: &'a State, settings: &'a GridSettings, record: &Record) -> Self {
        Self {
            state,
            settings,
            now: record.at,
            record: record.number,
            is_late: record.flags.contains(RecordFlags::REPLAYED),
            changed: BTreeMap::new(),
            forgotten: Vec::new(),
            last_id: state.alerts().last_id(),
            silences: BTreeMap::new(),
            forgotten_silences: Vec::new(),
            traces: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// An alert as it is by now.
    fn get(&self, id: AlertId) -> Option<&Alert> {
        self.changed.get(&id).or_else(|| self.state.alerts().get(id))
    }

    /// The newest alert of that source.
    fn newest(&self, appliance: Option<ApplianceIndex>, source: AlertSource) -> Option<&Alert> {
        let new = self.changed.values().rev();
        let mut new = new.filter(|it| it.appliance == appliance && it.source == source);
        match new.next() {
            Some(alert) => Some(alert),
            None => self.state.alerts().newest(appliance, source),
        }
    }

    fn step(&self, kind: AlertStepKind, by: &str, note: &str) -> AlertStep {
        AlertStep { at: self.now, record: self.record, kind, by: by.into(), note: note.into() }
    }

    /// A problem was reported: its alert opens, opens again, or goes on. Returns its number.
    fn report(
        &mut self,
        appliance: Option<ApplianceIndex>,
        source: AlertSource,
        report: AlertReport,
    ) -> AlertId {
        let known = self.newest(appliance, source).cloned();
        let lately =
            |alert: &Alert| alert.end.is_none_or(|end| self.now < end.at.after(REOPEN_WITHIN));
        let alert = match known.filter(lately) {
            Some(alert) => self.reported_again(alert, report),
            None => self.opened(appliance, source, report),
        };
        let id = alert.id;
        self.changed.insert(id, alert);
        id
    }

    fn opened(
        &mut self,
        appliance: Option<ApplianceIndex>,
        source: AlertSource,
        report: AlertReport,
    ) -> Alert {
        self.last_id = AlertId(self.last_id.0 + 1);
        let AlertReport { kind, key, severity, text, at } = report;
        let known = appliance.and_then(|number| self.state.appliance(number));
        let group = known.map_or_else(Box::default, |it| group_of(&it.class, it.name.as_str()));
        let mut alert = Alert {
            id: self.last_id,
            appliance,
            source,
            kind,
            key,
            group,
            severity,
            text,
            record: self.record,
            opened_at: at,
            last_seen_at: at,
            count: 1,
            reopenings: 0,
            end: None,
            acknowledgement: None,
            notified: None,
            decision: None,
            next_at: None,
            closes_at: None,
            steps: Vec::new(),
        };
        alert.push_step(self.step(AlertStepKind::Opened, "", ""));
        alert
    }

    fn reported_again(&self, mut alert: Alert, report: AlertReport) -> Alert {
        let AlertReport { kind, key, severity, text, at } = report;
        alert.count = alert.count.saturating_add(1);
        // A report from a spool may be older than what is known.
        if at < alert.last_seen_at && self.is_late {
            return alert;
        }
        if severity > alert.severity && alert.is_open() {
            alert.push_step(self.step(AlertStepKind::Escalated(severity), "", ""));
        }
        if alert.end.take().is_some() {
            alert.reopenings = alert.reopenings.saturating_add(1);
            alert.opened_at = at;
            alert.push_step(self.step(AlertStepKind::Reopened, "", ""));
        }
        (alert.kind, alert.key, alert.severity, alert.text) = (kind, key, severity, text);
        (alert.record, alert.last_seen_at) = (self.record, at.max(alert.last_seen_at));
        alert
    }

    /// A problem is over: its alert ends, if it is open.
    fn end(&mut self, appliance: Option<ApplianceIndex>, source: AlertSource, cause: EndCause) {
        let known = self.newest(appliance, source).filter(|alert| alert.is_open());
        if let Some(alert) = known.cloned() {
            self.end_alert(alert, cause, "", "");
        }
    }

    fn end_alert(&mut self, mut alert: Alert, cause: EndCause, by: &str, note: &str) {
        alert.end = Some(AlertEnd { at: self.now, cause });
        alert.push_step(self.step(AlertStepKind::Ended(cause), by, note));
        self.changed.insert(alert.id, alert);
    }

    /// Decides on the notifications, and adds all effects to the record.
    fn finish(mut self, record: &mut Record) -> Vec<RoutedNotice> {
        self.displace();
        self.end_silences();
        self.decide_all(record);
        self.forget_oldest();
        let Self { changed, forgotten, silences, forgotten_silences, traces, mut notices, .. } =
            self;
        record.effects.extend(
            changed
                .into_values()
                .map(|alert| Effect::Alert(AlertEffect::Changed { alert: Box::new(alert) })),
        );
        let gone = forgotten.into_iter().map(|id| AlertEffect::Forgotten { id });
        record.effects.extend(gone.map(Effect::Alert));
        let silences = silences.into_values().map(Box::new);
        let silences = silences.map(|silence| AlertEffect::Silence { silence });
        record.effects.extend(silences.map(Effect::Alert));
        let gone = forgotten_silences.into_iter().map(|id| AlertEffect::SilenceForgotten { id });
        record.effects.extend(gone.map(Effect::Alert));
        record.effects.extend(traces.into_iter().map(AlertEffect::Decided).map(Effect::Alert));
        notices.sort_by_key(|it| std::cmp::Reverse((it.notice.urgency(), it.notice.severity)));
        notices
    }

    fn push_notice(&mut self, notice: Notice, targets: Vec<RouteTarget>, wait: NoticeWait) {
        self.notices.push(RoutedNotice { notice, targets, wait });
    }

    /// Ends the alert of events that was reported longest ago, if an appliance has too many.
    fn displace(&mut self) {
        let is_of_event = |alert: &Alert| matches!(alert.source, AlertSource::Event(_));
        let new = self
            .changed
            .values()
            .find(|it| is_of_event(it) && it.is_open() && self.state.alerts().get(it.id).is_none());
        let Some((id, appliance)) = new.map(|it| (it.id, it.appliance)) else { return };
        let its = self.state.alerts().of(appliance);
        let open: Vec<_> = its.filter(|it| is_of_event(it) && it.is_open()).collect();
        if open.len() < OPEN_ALERTS_MAX {
            return;
        }
        let oldest = open.into_iter().filter(|it| it.id != id).min_by_key(|it| it.last_seen_at);
        if let Some(oldest) = oldest.cloned() {
            self.end_alert(oldest, EndCause::Displaced, "", "");
        }
    }

    fn forget_oldest(&mut self) {
        let ending = self.changed.values().filter(|alert| !alert.is_open()).count();
        if self.state.alerts().ended_count() + ending <= ENDED_ALERTS_MAX {
            return;
        }
        let oldest = self.state.alerts().first_ended();
        self.forgotten.extend(oldest.filter(|id| !self.changed.contains_key(id)));
    }
}
