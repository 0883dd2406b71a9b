//! Decides on silences: whether one may be added or ended, what it mutes, and when it reminds of its end.
//!
//! Guarantees that a refused command changes nothing and says why, and that what a silence muted is decided
//! on again when it ends. Applies nothing.

use std::time::Duration;

use super::{AlertChanges, NoticeWait};
use crate::grid::log::silence_input::SilenceInput;
use crate::grid::model::alert::Alert;
use crate::grid::model::mail_message::Notice;
use crate::grid::model::matcher::AlertFacts;
use crate::grid::model::notification::NotificationReason;
use crate::grid::model::silence::{SILENCES_MAX, Silence, SilenceProblem};
use crate::grid::state::State;
use crate::grid::values::event::Severity;
use crate::grid::values::id::SilenceId;
use crate::grid::values::time::{Timestamp, describe_duration};

/// The topic and the kind of what reminds of a silence's end.
pub(in crate::grid) const SILENCE: &str = "silence";

/// Why a command about a silence is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SilenceRejection {
    /// It is no silence.
    #[error("the silence is refused: {0}")]
    Invalid(#[from] SilenceProblem),
    /// There are too many.
    #[error(
        "there are {SILENCES_MAX} silences that have not ended; `gridctl silence end` ends one"
    )]
    TooMany,
    /// There is none of that number.
    #[error("there is no silence {}; `gridctl silence list` shows them", .id.0)]
    NotFound {
        /// The requested number.
        id: SilenceId,
    },
    /// It has ended.
    #[error("silence {} has ended already", .id.0)]
    Ended {
        /// The requested number.
        id: SilenceId,
    },
}

/// Checks an input about a silence; the number of the silence.
pub(in crate::grid) fn check(
    state: &State,
    input: &SilenceInput,
    now: Timestamp,
) -> Result<SilenceId, SilenceRejection> {
    let silences = state.alerts().silences();
    match input {
        SilenceInput::Due { id } => Ok(*id),
        SilenceInput::Add { silence, .. } => {
            silence.check(now)?;
            if silences.filter(|it| it.ends_at > now).count() >= SILENCES_MAX {
                return Err(SilenceRejection::TooMany);
            }
            Ok(SilenceId(state.alerts().last_silence().0 + 1))
        }
        SilenceInput::End { id, .. } => {
            let id = *id;
            let known = state.alerts().silence(id).ok_or(SilenceRejection::NotFound { id })?;
            if known.ends_at <= now { Err(SilenceRejection::Ended { id }) } else { Ok(id) }
        }
    }
}

impl AlertChanges<'_> {
    /// What routes and silences match.
    pub(super) fn match_facts<'a>(&'a self, alert: &'a Alert) -> AlertFacts<'a> {
        let name = alert.appliance.and_then(|number| self.state.name(number));
        let appliance = alert.appliance.and_then(|number| self.state.appliance(number));
        AlertFacts {
            appliance: name.map(|name| name.as_str()),
            class: appliance.map_or("", |it| &*it.class),
            kind: alert.kind,
            key: &alert.key,
            severity: alert.severity,
        }
    }

    /// The silence that mutes it: of several, the one that ends last.
    pub(super) fn silence_of(&self, alert: &Alert) -> Option<&Silence> {
        let facts = self.match_facts(alert);
        let own = self.silences.values();
        let known = self.state.alerts().silences();
        let known = known.filter(|it| !self.silences.contains_key(&it.id));
        let muting = own.chain(known).filter(|it| it.mutes(&facts, self.now));
        muting.max_by_key(|it| (it.ends_at, it.id))
    }

    /// Counts a notification that a silence held back.
    pub(super) fn count_muted(&mut self, id: SilenceId) {
        let known = self.silences.get(&id).or_else(|| self.state.alerts().silence(id)).cloned();
        self.silences.extend(known.map(|it| (id, it.with_muted())));
    }

    /// Takes an input about a silence, which was checked.
    pub(super) fn take_silence(&mut self, input: &SilenceInput) {
        match input {
            SilenceInput::Due { id } => self.silence_due(*id),
            SilenceInput::Add { by, silence } => {
                let id = SilenceId(self.state.alerts().last_silence().0 + 1);
                let new = Silence {
                    id,
                    owner: by.clone(),
                    created_at: self.now,
                    muted: 0,
                    reminded_at: None,
                    ..(**silence).clone()
                };
                self.silences.insert(id, new);
                self.decide_again(|own, alert| {
                    own.silence_of(alert).is_some_and(|silence| silence.id == id)
                });
            }
            SilenceInput::End { id, .. } => {
                let Some(known) = self.state.alerts().silence(*id).cloned() else { return };
                self.silences.insert(*id, known.ended(self.now));
                let muted = Some((NotificationReason::Silenced, Some(*id)));
                self.decide_again(|_, alert| alert.decision == muted);
            }
        }
    }

    fn decide_again(&mut self, is_concerned: impl Fn(&Self, &Alert) -> bool) {
        let concerned: Vec<_> = self
            .state
            .alerts()
            .iter()
            .filter(|alert| is_concerned(self, alert))
            .map(|alert| (alert.id, alert.clone()))
            .collect();
        self.changed.extend(concerned);
    }

    fn silence_due(&mut self, id: SilenceId) {
        let Some(silence) = self.state.alerts().silence(id).cloned() else { return };
        if silence.forgotten_at() <= self.now {
            self.forgotten_silences.push(id);
            return;
        }
        let muted = Some((NotificationReason::Silenced, Some(id)));
        let open = self.state.alerts().open().filter(|alert| alert.decision == muted).count();
        if open > 0 {
            self.remind(&silence, open);
        }
        self.silences.insert(id, Silence { reminded_at: Some(self.now), ..silence });
    }

    fn remind(&mut self, silence: &Silence, open: usize) {
        let left = Duration::from_secs(silence.ends_at.since(self.now).as_secs());
        let alerts = if open == 1 { "1 alert is" } else { &format!("{open} alerts are") };
        let text = format!(
            "silence {} of {} ends in {}, and {alerts} still open behind it: {} ({})",
            silence.id.0,
            silence.owner,
            describe_duration(left),
            silence.matchers,
            silence.reason,
        );
        let facts = AlertFacts {
            appliance: None,
            class: "",
            kind: SILENCE,
            key: SILENCE,
            severity: Severity::Warn,
        };
        let targets = self.settings.routing().targets(&facts, self.now);
        let notice = Notice {
            subject: "".into(),
            topic: SILENCE.into(),
            severity: Severity::Warn,
            at: self.now,
            text: text.into(),
            record: self.record,
            is_resolved: false,
            occurrences: 0,
            alert: None,
            class: "".into(),
            since: None,
            count: 0,
            acknowledged: false,
        };
        self.push_notice(notice, targets, NoticeWait::Short);
    }

    /// A silence that is to end with the alerts that it mutes ends with the last of them.
    pub(super) fn end_silences(&mut self) {
        let ended: Vec<_> = self.changed.values().filter(|alert| !alert.is_open()).collect();
        let known = self.state.alerts().silences();
        let over = known.filter(|silence| {
            let mutes = |alert: &Alert| silence.mutes(&self.match_facts(alert), self.now);
            let is_open = |alert: &&Alert| {
                self.changed.get(&alert.id).unwrap_or(alert).is_open() && mutes(alert)
            };
            silence.ends_with_alert
                && ended.iter().any(|alert| mutes(alert))
                && self.state.alerts().open().filter(is_open).count() == 0
        });
        let over: Vec<_> = over.cloned().collect();
        for silence in over {
            self.silences.insert(silence.id, silence.ended(self.now));
        }
    }
}
