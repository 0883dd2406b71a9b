//! Shifts all stored times with broker time.
//!
//! Broker time follows the wall clock when that was set, and stands still while no broker is
//! running. Then all pending times (deadlines, mails, rate limits, runs of repeats) are shifted by
//! as much, so that nothing fires or waits because of it. Past times are shifted only if the wrong
//! clock gave them. Guarantees that no time of the state is forgotten: every value is destructured
//! completely. Decides nothing.

use crate::grid::log::alert_effect::AlertEffect;
use crate::grid::log::effect::MailEffect;
use crate::grid::log::identity::IdentityEffect;
use crate::grid::model::alert::{Acknowledgement, Alert, AlertEnd, AlertStep, Notified};
use crate::grid::model::alert_group::AlertGroup;
use crate::grid::model::boot::{ApplianceHistory, Boot};
use crate::grid::model::crash_dump::CrashDump;
use crate::grid::model::identity::{Administrator, Token};
use crate::grid::model::lifecycle::{Lifecycle, Maintenance};
use crate::grid::model::mail_message::{BacklogDigest, MailMessage, Notice};
use crate::grid::model::unmailed_alerts::UnmailedAlerts;
use crate::grid::model::usage::{RareUsage, RateLimitKind, SuppressedEvents, Suppression, Usage};
use crate::grid::values::time::{Offset, Timestamp};

/// A shift of broker time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeShift {
    /// By how much.
    pub by: Offset,
    /// Past times from then on came from the same clock, and are shifted too; earlier ones stay.
    pub from: Timestamp,
}

impl TimeShift {
    /// Broker time stood still for a while: past times stay.
    pub fn pause(by: Offset) -> Self {
        Self { by, from: Timestamp::MAX }
    }

    fn is_pause(self) -> bool {
        self.from == Timestamp::MAX
    }

    /// A future time, or one from which a future time is computed. "Never" in either direction
    /// stays.
    pub(super) fn shift_pending(self, at: Timestamp) -> Timestamp {
        let is_moment = at != Timestamp::EPOCH && at < Timestamp::MAX && at > Timestamp::MIN;
        if is_moment { at.shifted_by(self.by) } else { at }
    }

    /// A past time.
    pub(super) fn shift_past(self, at: Timestamp) -> Timestamp {
        if at >= self.from { self.shift_pending(at) } else { at }
    }

    /// The history of an appliance.
    pub(super) fn shift_history(self, history: ApplianceHistory) -> ApplianceHistory {
        let ApplianceHistory { past_boots, windows, last_event_at, last_record, usage } = history;
        let last_event_at = last_event_at.map(|at| self.shift_past(at));
        let usage = self.shift_usage(usage);
        ApplianceHistory { past_boots, windows, last_event_at, last_record, usage }
    }

    pub(super) fn shift_crash_dump(self, dump: CrashDump) -> CrashDump {
        CrashDump {
            requested_at: self.shift_past(dump.requested_at),
            trigger: dump.trigger.map_time(|at| self.shift_past(at)),
            last_event_at: dump.last_event_at.map(|at| self.shift_past(at)),
            end: dump.end.map(|(end, at)| (end, self.shift_past(at))),
            ..dump
        }
    }

    pub(super) fn shift_boot(self, boot: Boot) -> Boot {
        let Boot { id, began_at, earliest_began_at, has_agent, is_assumed_running, newest_event } =
            boot;
        let moved = self.shift_past(began_at);
        // A pause of the machine looks like a set clock: then the boot is older.
        let not_before = earliest_began_at.min(moved);
        // Event times come from the appliance's own clock.
        Boot {
            id,
            began_at: moved,
            earliest_began_at: not_before,
            has_agent,
            is_assumed_running,
            newest_event,
        }
    }

    pub(super) fn shift_lifecycle(self, lifecycle: Lifecycle) -> Lifecycle {
        match lifecycle.map_deadlines(|at| self.shift_pending(at)) {
            Lifecycle::Maintenance(mut known) => {
                let Maintenance {
                    reported_at,
                    progressed_at,
                    progress: _,
                    best_progress: _,
                    text: _,
                    report_deadline: _,
                    stuck_at: _,
                    boot_deadline: _,
                } = &mut *known;
                *reported_at = self.shift_past(*reported_at);
                *progressed_at = self.shift_past(*progressed_at);
                Lifecycle::Maintenance(known)
            }
            Lifecycle::Failed(mut failed) => {
                if let Some(word) = &mut failed.last_report {
                    word.at = self.shift_past(word.at);
                }
                Lifecycle::Failed(failed)
            }
            Lifecycle::Dumping(mut dumping) => {
                dumping.before_since = self.shift_past(dumping.before_since);
                if let Some(word) =
                    dumping.failed.as_mut().and_then(|failed| failed.last_report.as_mut())
                {
                    word.at = self.shift_past(word.at);
                }
                Lifecycle::Dumping(dumping)
            }
            same @ (Lifecycle::Idle | Lifecycle::Starting { .. } | Lifecycle::Running) => same,
        }
    }

    fn shift_usage(self, usage: Usage) -> Usage {
        let (mut rate_limits, counts, rare) = usage.into_parts();
        let RareUsage { alert_groups, suppression, progress_stored_at, unmailed } = rare;
        for budget in RateLimitKind::ALL {
            rate_limits.set(budget, self.shift_pending(rate_limits.refilled_at(budget)));
        }
        let rare = RareUsage {
            alert_groups: alert_groups.into_iter().map(|key| self.shift_alert_group(key)).collect(),
            suppression: suppression.map(|it| Box::new(self.shift_suppression(*it))),
            // After a pause no report follows right after another.
            progress_stored_at: if self.is_pause() {
                progress_stored_at
            } else {
                self.shift_pending(progress_stored_at)
            },
            unmailed: unmailed.map(|it| Box::new(self.shift_unmailed(*it))),
        };
        Usage::new(rate_limits, counts, rare)
    }

    pub(super) fn shift_alert_group(self, key: AlertGroup) -> AlertGroup {
        let AlertGroup {
            id,
            label,
            refilled_at,
            content_hash,
            record,
            run_began_at,
            last_seen_at,
            repeats,
            first_repeat_at,
            alert,
        } = key;
        AlertGroup {
            id,
            label,
            refilled_at: self.shift_pending(refilled_at),
            content_hash,
            record,
            run_began_at: self.shift_pending(run_began_at),
            last_seen_at: self.shift_pending(last_seen_at),
            repeats,
            first_repeat_at: self.shift_pending(first_repeat_at),
            alert,
        }
    }

    pub(super) fn shift_unmailed(self, it: UnmailedAlerts) -> UnmailedAlerts {
        UnmailedAlerts {
            first_at: self.shift_pending(it.first_at),
            last_at: self.shift_pending(it.last_at),
            mailed_at: it.mailed_at.map(|at| self.shift_pending(at)),
            ..it
        }
    }

    pub(super) fn shift_suppression(self, suppression: Suppression) -> Suppression {
        let Suppression { since, limit, last_exceeded_at, summaries, events } = suppression;
        let held =
            events.map(|SuppressedEvents { counts, first_at, last_at, last_kind, sample }| {
                let (first_at, last_at) = (self.shift_past(first_at), self.shift_past(last_at));
                SuppressedEvents { counts, first_at, last_at, last_kind, sample }
            });
        let (since, over_at) = (self.shift_pending(since), self.shift_pending(last_exceeded_at));
        Suppression { since, limit, last_exceeded_at: over_at, summaries, events: held }
    }

    /// Times of certificates stay: they are written in certificates that others have.
    pub(super) fn shift_identity(self, change: IdentityEffect) -> IdentityEffect {
        match change {
            IdentityEffect::Token { token } => {
                let Token {
                    id,
                    secret,
                    purpose,
                    created_at,
                    created_by,
                    expires_at,
                    last_used_at,
                    uses,
                } = token;
                let token = Token {
                    id,
                    secret,
                    purpose,
                    created_at: self.shift_past(created_at),
                    created_by,
                    expires_at: expires_at.map(|at| self.shift_expiry(at)),
                    last_used_at: last_used_at.map(|at| self.shift_past(at)),
                    uses,
                };
                IdentityEffect::Token { token }
            }
            IdentityEffect::Administrator { name, administrator } => {
                let Administrator { role, created_at } = administrator;
                let administrator = Administrator { role, created_at: self.shift_past(created_at) };
                IdentityEffect::Administrator { name, administrator }
            }
            // Otherwise a clock that was behind would let in what it revoked once it is right.
            IdentityEffect::ApplianceRevoked { name, at } => {
                IdentityEffect::ApplianceRevoked { name, at: self.shift_past(at) }
            }
            same @ (IdentityEffect::TokenRemoved { .. }
            | IdentityEffect::Key { .. }
            | IdentityEffect::KeyRemoved { .. }
            | IdentityEffect::KeyRevoked { .. }
            | IdentityEffect::AdministratorRemoved { .. }) => same,
        }
    }

    /// The end of a token: it does not move while no broker is running.
    fn shift_expiry(self, at: Timestamp) -> Timestamp {
        if self.is_pause() { at } else { self.shift_pending(at) }
    }

    pub(super) fn shift_alert_effect(self, change: AlertEffect) -> AlertEffect {
        match change {
            AlertEffect::Changed { alert } => {
                AlertEffect::Changed { alert: Box::new(self.shift_alert(*alert)) }
            }
            // Its times are those that an administrator gave, by the wall clock.
            AlertEffect::Silence { .. }
            | AlertEffect::SilenceForgotten { .. }
            | AlertEffect::Forgotten { .. }
            | AlertEffect::Decided(_)
            | AlertEffect::LastNumbers { .. } => change,
        }
    }

    fn shift_alert(self, alert: Alert) -> Alert {
        let pending = |at: Option<Timestamp>| at.map(|at| self.shift_pending(at));
        Alert {
            opened_at: self.shift_past(alert.opened_at),
            // Ages are measured from these: a clock must not change them.
            last_seen_at: self.shift_pending(alert.last_seen_at),
            end: alert.end.map(|end| AlertEnd { at: self.shift_pending(end.at), ..end }),
            acknowledgement: alert.acknowledgement.map(|it| Acknowledgement {
                at: self.shift_past(it.at),
                // An administrator gave that time by the wall clock.
                ..it
            }),
            notified: alert.notified.map(|it| Notified { at: self.shift_pending(it.at), ..it }),
            next_at: pending(alert.next_at),
            closes_at: pending(alert.closes_at),
            steps: alert
                .steps
                .into_iter()
                .map(|step| AlertStep { at: self.shift_past(step.at), ..step })
                .collect(),
            ..alert
        }
    }

    pub(super) fn shift_mail(self, change: MailEffect) -> MailEffect {
        match change {
            MailEffect::Header { message } => {
                MailEffect::Header { message: Box::new(self.shift_message(*message)) }
            }
            MailEffect::Notice { number, at, notice } => {
                let since = notice.since.map(|since| self.shift_past(since));
                let notice = Notice { at: self.shift_past(notice.at), since, ..notice };
                MailEffect::Notice { number, at, notice }
            }
            MailEffect::RecipientLimit { recipient, urgency, refilled_at } => {
                MailEffect::RecipientLimit {
                    recipient,
                    urgency,
                    refilled_at: self.shift_pending(refilled_at),
                }
            }
            MailEffect::DigestCount { .. }
            | MailEffect::Brief { .. }
            | MailEffect::Finished { .. }
            | MailEffect::Removed { .. }
            | MailEffect::LastNumber { .. } => change,
        }
    }

    fn shift_message(self, message: MailMessage) -> MailMessage {
        let MailMessage {
            number,
            recipient,
            queued_at,
            notices,
            omitted,
            attempts,
            state,
            due_at,
            last_reply,
            digest,
            downtime,
            is_unreachable,
            briefs,
            retried_at,
        } = message;
        let moved = self.shift_past(queued_at);
        // No broker could try it meanwhile, though it was queued before.
        let downtime =
            if moved == queued_at { downtime.saturating_add(self.by.ahead()) } else { downtime };
        let late = digest.map(|late| {
            let BacklogDigest { first_at, last_at, severity_counts, appliances } = *late;
            let (first_at, last_at) = (self.shift_past(first_at), self.shift_past(last_at));
            Box::new(BacklogDigest { first_at, last_at, severity_counts, appliances })
        });
        MailMessage {
            number,
            recipient,
            queued_at: moved,
            notices,
            omitted,
            attempts,
            state,
            due_at: self.shift_pending(due_at),
            last_reply,
            digest: late,
            downtime,
            is_unreachable,
            briefs,
            retried_at: retried_at.map(|at| self.shift_past(at)),
        }
    }
}
