//! Admits events by severity, repeats and rate limits, before boot and start are considered.
//!
//! Guarantees that a rejected event changes neither boot nor start, and that an event consumes
//! either all rate limits it needs or none. Collects effects; applies none.

use std::time::Duration;

use uuid::Uuid;

use crate::grid::decide::alerts::report::source_of;
use crate::grid::decide::crash_dump;
use crate::grid::decide::transition::BootRelation;
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::input::ReceivedEvent;
use crate::grid::model::alert::Alert;
use crate::grid::model::alert_group;
use crate::grid::model::alert_group::{ALERT_GROUPS_MAX, AlertGroup, REPEAT_WINDOW};
use crate::grid::model::lifecycle::Lifecycle;
use crate::grid::model::settings::ClassSettings;
use crate::grid::model::usage::{RateLimitKind, Suppression, SuppressionPhase};
use crate::grid::state::alerts::Alerts;
use crate::grid::state::appliance::Appliance;
use crate::grid::values::event::{Counter, Event, EventBody, Severity};
use crate::grid::values::id::RecordNumber;
use crate::grid::values::time::Timestamp;

/// Progress reports within this time are coalesced into the newest.
const COALESCE_WITHIN: Duration = Duration::from_secs(1);

/// The result of admission.
pub(in crate::grid) enum AdmissionVerdict {
    /// The event is admitted, with the effects on its rate limits.
    Admit(Vec<Effect>),
    /// The same alert again.
    Repeat(AlertGroup),
    /// A log below the class's lowest severity.
    BelowThreshold,
    /// This rate limit is exhausted.
    RateLimited(RateLimitKind),
}

/// The appliance, its rules and the time of an admission check.
pub(in crate::grid) struct Admission<'a> {
    pub(in crate::grid) appliance: &'a Appliance,
    pub(in crate::grid) alerts: &'a Alerts,
    pub(in crate::grid) rules: &'a ClassSettings,
    pub(in crate::grid) now: Timestamp,
    /// The number that the event's record would get.
    pub(in crate::grid) record: RecordNumber,
}

impl Admission<'_> {
    /// Checks an event whose boot has that relation to the current boot.
    pub(in crate::grid) fn check(
        &self,
        received: &ReceivedEvent,
        relation: BootRelation,
    ) -> AdmissionVerdict {
        if crash_dump::is_of_ordered_boot(self.appliance, received, relation) {
            return AdmissionVerdict::Admit(Vec::new());
        }
        let event = &received.event;
        let is_mild =
            matches!(event.body, EventBody::Log) && event.severity < self.rules.log_severity_min;
        if is_mild && event.dropped_before.is_empty() {
            return AdmissionVerdict::BelowThreshold;
        }
        let is_current = relation == BootRelation::Current;
        // That a known problem is over must not be lost: its beginning was within the limits.
        if is_current && self.ends_alert(event) {
            return AdmissionVerdict::Admit(Vec::new());
        }
        let boots = matches!(relation, BootRelation::Begins(_)).then_some(RateLimitKind::Boots);
        if event.spooled_at.is_some() {
            let verdict = self.admit(boots, RateLimitKind::Replay);
            // Lifecycle events pass even if the replay limit is exhausted: without them the state
            // of the start would be wrong.
            let is_over = matches!(verdict, AdmissionVerdict::RateLimited(_));
            // So do fatal alerts.
            let is_fatal =
                matches!(event.body, EventBody::Alert { .. }) && event.severity == Severity::Fatal;
            return match is_over {
                true if event.body.is_lifecycle() => self.admit(boots, RateLimitKind::Lifecycle),
                true if is_fatal => self.admit(boots, RateLimitKind::Fatal),
                true | false => verdict,
            };
        }
        let of_kind = match &event.body {
            EventBody::Maintenance { .. } if self.coalesces(received) && is_current => {
                return AdmissionVerdict::Admit(Vec::new());
            }
            EventBody::StartedOk | EventBody::StartFailed | EventBody::Maintenance { .. } => {
                RateLimitKind::Lifecycle
            }
            EventBody::Log => RateLimitKind::Log,
            EventBody::Alert { .. } if event.text.is_empty() || event.is_resolved => {
                RateLimitKind::Counter
            }
            EventBody::Alert { counter } => {
                return self.check_alert(event, counter.as_ref(), boots, is_current);
            }
        };
        self.admit(boots, of_kind)
    }

    /// Whether this is a progress report right after another one that was stored.
    pub(in crate::grid) fn coalesces(&self, received: &ReceivedEvent) -> bool {
        let usage = &self.appliance.usage;
        matches!(received.event.body, EventBody::Maintenance { .. })
            && received.event.spooled_at.is_none()
            && received.event.dropped_before.is_empty()
            && matches!(self.appliance.lifecycle, Lifecycle::Maintenance(_))
            && self.now < usage.progress_stored_at.after(COALESCE_WITHIN)
    }

    fn ends_alert(&self, event: &Event) -> bool {
        event.is_resolved
            && self
                .alerts
                .newest(Some(self.appliance.number), source_of(event).0)
                .is_some_and(Alert::is_open)
    }

    fn admit(&self, boots: Option<RateLimitKind>, of_kind: RateLimitKind) -> AdmissionVerdict {
        match self.acquire(boots.into_iter().chain([of_kind])) {
            Ok(effects) => AdmissionVerdict::Admit(effects),
            Err(budget) => AdmissionVerdict::RateLimited(budget),
        }
    }

    /// Acquires from all these rate limits; the error is the first exhausted one.
    pub(in crate::grid) fn acquire(
        &self,
        budgets: impl IntoIterator<Item = RateLimitKind>,
    ) -> Result<Vec<Effect>, RateLimitKind> {
        let mut effects = Vec::new();
        for name in budgets {
            let Some(budget) = name.limit_in(&self.rules.rate_limits) else { continue };
            match budget.try_acquire(self.appliance.usage.rate_limits.refilled_at(name), self.now) {
                Some(full_at) => {
                    let number = self.appliance.number;
                    effects.push(
                        ApplianceEffect::RateLimitState { limit: name, refilled_at: full_at }
                            .of(number),
                    );
                }
                None => return Err(name),
            }
        }
        Ok(effects)
    }

    /// The suppression that follows from an exhausted rate limit.
    pub(in crate::grid) fn suppress(
        &self,
        received: &ReceivedEvent,
        budget: RateLimitKind,
    ) -> (SuppressionPhase, Suppression) {
        match &self.appliance.usage.suppression {
            None => (SuppressionPhase::Begins, Suppression::new(budget, self.now)),
            Some(suppression) => {
                let (kind, text) = (received.event.body.kind(), received.event.text.as_str());
                let mut held = (**suppression).clone().count_one(kind, text, self.now);
                // The events it dropped before are not stored either.
                for lost in &received.event.dropped_before {
                    held.count_dropped(lost.kind.unwrap_or(kind), lost.count);
                }
                (SuppressionPhase::Counts, held)
            }
        }
    }

    fn check_alert(
        &self,
        event: &Event,
        counter: Option<&Counter>,
        boots: Option<RateLimitKind>,
        is_current: bool,
    ) -> AdmissionVerdict {
        let text = event.text.as_str();
        let (id, label) = group_key_of(event, counter, event.severity);
        let content_hash = alert_group::hash_content(event.severity, text);
        let known = self.appliance.usage.alert_group(id);
        // In another boot an alert is new, and so is one that has ended. A report of dropped events must
        // be recorded, too.
        let has_ended = |key: &AlertGroup| {
            let alert = key.alert.and_then(|id| self.alerts.get(id));
            alert.is_some_and(|alert| !alert.is_open())
        };
        let may_repeat =
            is_current && event.dropped_before.is_empty() && !known.is_some_and(has_ended);
        let repeated = known.filter(|key| may_repeat && key.is_repeat(content_hash, self.now));
        if let Some(key) = repeated {
            return AdmissionVerdict::Repeat(key.clone().with_repeat(self.now));
        }
        let spent = known.map_or(Timestamp::EPOCH, |key| key.refilled_at);
        let (full_at, mut effects) = match self.acquire_alert(spent, boots) {
            Ok(acquired) => acquired,
            Err(over) => {
                let reserve = self.reserve_for(event, counter, known);
                match reserve.map(|reserve| self.acquire(boots.into_iter().chain([reserve]))) {
                    Some(Ok(effects)) => (spent, effects),
                    Some(Err(_)) | None => return AdmissionVerdict::RateLimited(over),
                }
            }
        };
        let number = self.appliance.number;
        if known.is_none() {
            let gone = self.evicted_groups();
            effects.extend(gone.map(|id| ApplianceEffect::AlertGroupForgotten { id }.of(number)));
        }
        let (now, record) = (self.now, self.record);
        let key = AlertGroup {
            refilled_at: full_at,
            alert: known.and_then(|key| key.alert),
            ..AlertGroup::new(id, label, content_hash, record, now)
        };
        effects.push(ApplianceEffect::AlertGroup { group: key }.of(number));
        AdmissionVerdict::Admit(effects)
    }

    /// Acquires from the regular alert limits: the new refill time of the alert group, and the
    /// other effects.
    fn acquire_alert(
        &self,
        spent: Timestamp,
        boots: Option<RateLimitKind>,
    ) -> Result<(Timestamp, Vec<Effect>), RateLimitKind> {
        let full_at = match RateLimitKind::AlertGroup.limit_in(&self.rules.rate_limits) {
            None => spent,
            Some(budget) => budget.try_acquire(spent, self.now).ok_or(RateLimitKind::AlertGroup)?,
        };
        Ok((full_at, self.acquire(boots.into_iter().chain([RateLimitKind::Alert]))?))
    }

    /// The reserve for an alert over its limits: a new fatal alert, or one more severe than all
    /// earlier ones of its group.
    fn reserve_for(
        &self,
        event: &Event,
        counter: Option<&Counter>,
        known: Option<&AlertGroup>,
    ) -> Option<RateLimitKind> {
        if event.severity == Severity::Fatal {
            let is_news = known.is_none_or(|key| key.last_seen_at.after(REPEAT_WINDOW) <= self.now);
            return is_news.then_some(RateLimitKind::Fatal);
        }
        let is_known = |severity| {
            let (id, _) = group_key_of(event, counter, severity);
            self.appliance.usage.alert_group(id).is_some()
        };
        let (graver, milder): (Vec<_>, Vec<_>) =
            Severity::ALL.into_iter().partition(|severity| *severity >= event.severity);
        let is_graver = milder.into_iter().any(is_known) && !graver.into_iter().any(is_known);
        is_graver.then_some(RateLimitKind::Escalated)
    }

    /// The alert groups to remove for a new one: all idle ones, else the one seen longest ago.
    fn evicted_groups(&self) -> impl Iterator<Item = Uuid> {
        let keys = &self.appliance.usage.alert_groups;
        let idle: Vec<_> =
            keys.iter().filter(|key| key.is_idle(self.now)).map(|key| key.id).collect();
        let is_full = idle.is_empty() && keys.len() >= ALERT_GROUPS_MAX;
        let oldest = is_full.then(|| least_recent(keys).map(|key| key.id)).flatten();
        idle.into_iter().chain(oldest)
    }
}

/// The run of repeats that this event ends: of its own group, or of the group that is removed for
/// it.
pub(in crate::grid) fn finished_run(
    appliance: &Appliance,
    received: &ReceivedEvent,
    now: Timestamp,
) -> Option<Uuid> {
    let event = &received.event;
    let EventBody::Alert { counter } = &event.body else { return None };
    if event.text.is_empty() || event.spooled_at.is_some() {
        return None;
    }
    let (id, _) = group_key_of(event, counter.as_ref(), event.severity);
    let keys = &appliance.usage.alert_groups;
    let over = match appliance.usage.alert_group(id) {
        Some(key) => {
            let content_hash = alert_group::hash_content(event.severity, event.text.as_str());
            (!key.is_repeat(content_hash, now)).then_some(key)
        }
        None if keys.len() >= ALERT_GROUPS_MAX && !keys.iter().any(|key| key.is_idle(now)) => {
            least_recent(keys)
        }
        None => None,
    };
    over.filter(|key| key.repeats > 0).map(|key| key.id)
}

/// The group key that the alert would have with that severity.
pub(in crate::grid) fn group_key_of(
    event: &Event,
    counter: Option<&Counter>,
    severity: Severity,
) -> (Uuid, Box<str>) {
    alert_group::group_key(event.group_key.as_deref(), counter, severity, event.text.as_str())
}

fn least_recent(keys: &[AlertGroup]) -> Option<&AlertGroup> {
    keys.iter().min_by_key(|key| key.last_seen_at)
}
