//! May this event come in? Severity, repeats and budgets, before its start is looked at.
//!
//! Guarantees that whatever is turned away here changes neither boot nor start, and that an event
//! either spends all the budgets it needs or none. Collects effects; applies none.

use std::time::Duration;

use uuid::Uuid;

use super::admission::{BudgetName, Suppression};
use super::alert_key::{self, AlertKey, KEYS_MAX, RUN_QUIET};
use super::appliance::Appliance;
use super::change::Relation;
use super::effect::{Effect, Phase};
use super::event::{Counter, Event, EventKind, Severity};
use super::lifecycle::Lifecycle;
use super::name::RecordNumber;
use super::record::Heard;
use super::settings::ClassSettings;
use super::time::Timestamp;

/// Reports in maintenance that come faster fold into the newest.
const REPORTS_FOLD_WITHIN: Duration = Duration::from_secs(1);

/// What the door says.
pub(in crate::grid) enum Verdict {
    /// It comes in, and costs so much.
    Enters(Vec<Effect>),
    /// It is the same alert again.
    Repeats(AlertKey),
    /// A log below the severity that is kept.
    BelowSeverity,
    /// This budget has nothing left for it.
    Over(BudgetName),
}

/// Who wants in, when, and under which rules.
pub(in crate::grid) struct Door<'a> {
    pub(in crate::grid) appliance: &'a Appliance,
    pub(in crate::grid) rules: &'a ClassSettings,
    pub(in crate::grid) now: Timestamp,
    /// The number of the record it would have.
    pub(in crate::grid) record: RecordNumber,
}

impl Door<'_> {
    /// Judges an event of a boot that stands so to the present one.
    pub(in crate::grid) fn judge(&self, heard: &Heard, relation: Relation) -> Verdict {
        let event = &heard.event;
        let is_mild =
            matches!(event.kind, EventKind::Log) && event.severity < self.rules.log_severity;
        if is_mild && event.lost_before.is_empty() {
            return Verdict::BelowSeverity;
        }
        let is_current = relation == Relation::Current;
        let boots = matches!(relation, Relation::Begins(_)).then_some(BudgetName::Boots);
        if event.spooled_at.is_some() {
            let verdict = self.enter(boots, BudgetName::Replay);
            // Words about the start still pass where a spool brings more than it may: without them
            // the start would stand otherwise than its appliance says.
            let is_over = matches!(verdict, Verdict::Over(_));
            // And so does what is fatal.
            let is_fatal =
                matches!(event.kind, EventKind::Alert { .. }) && event.severity == Severity::Fatal;
            return match is_over {
                true if event.kind.is_lifecycle() => self.enter(boots, BudgetName::Lifecycle),
                true if is_fatal => self.enter(boots, BudgetName::Fatal),
                true | false => verdict,
            };
        }
        let of_kind = match &event.kind {
            EventKind::Maintenance { .. } if self.folds(heard) && is_current => {
                return Verdict::Enters(Vec::new());
            }
            EventKind::StartedOk | EventKind::StartFailed | EventKind::Maintenance { .. } => {
                BudgetName::Lifecycle
            }
            EventKind::Log => BudgetName::Log,
            EventKind::Alert { .. } if event.text.is_empty() => BudgetName::Counter,
            EventKind::Alert { counter } => {
                return self.judge_alert(event, counter.as_ref(), boots, is_current);
            }
        };
        self.enter(boots, of_kind)
    }

    /// Whether this is a report right behind another one that was kept.
    pub(in crate::grid) fn folds(&self, heard: &Heard) -> bool {
        let admission = &self.appliance.admission;
        matches!(heard.event.kind, EventKind::Maintenance { .. })
            && heard.event.spooled_at.is_none()
            && heard.event.lost_before.is_empty()
            && matches!(self.appliance.lifecycle, Lifecycle::Maintenance(_))
            && self.now < admission.progress_at.after(REPORTS_FOLD_WITHIN)
    }

    fn enter(&self, boots: Option<BudgetName>, of_kind: BudgetName) -> Verdict {
        match self.spend(boots.into_iter().chain([of_kind])) {
            Ok(effects) => Verdict::Enters(effects),
            Err(budget) => Verdict::Over(budget),
        }
    }

    /// Spends all these budgets; the error is the first that has nothing left.
    pub(in crate::grid) fn spend(
        &self,
        budgets: impl IntoIterator<Item = BudgetName>,
    ) -> Result<Vec<Effect>, BudgetName> {
        let mut effects = Vec::new();
        for name in budgets {
            let Some(budget) = name.of(&self.rules.budgets) else { continue };
            match budget.spend(self.appliance.admission.spent.full_at(name), self.now) {
                Some(full_at) => {
                    let number = self.appliance.number;
                    effects.push(Effect::Spent { number, budget: name, full_at });
                }
                None => return Err(name),
            }
        }
        Ok(effects)
    }

    /// What follows from being over budget: the suppression as it stands then.
    pub(in crate::grid) fn hold_back(
        &self,
        heard: &Heard,
        budget: BudgetName,
    ) -> (Phase, Suppression) {
        match &self.appliance.admission.suppression {
            None => (Phase::Begins, Suppression::new(budget, self.now)),
            Some(suppression) => {
                let (kind, text) = (heard.event.kind.plain(), heard.event.text.as_str());
                let mut held = (**suppression).clone().holding(kind, text, self.now);
                // What it lost before is not stored either.
                for lost in &heard.event.lost_before {
                    held.also(lost.kind.unwrap_or(kind), lost.count);
                }
                (Phase::Counts, held)
            }
        }
    }

    fn judge_alert(
        &self,
        event: &Event,
        counter: Option<&Counter>,
        boots: Option<BudgetName>,
        is_current: bool,
    ) -> Verdict {
        let text = event.text.as_str();
        let (id, label) = key_of(event, counter, event.severity);
        let said = alert_key::said(event.severity, text);
        let known = self.appliance.admission.key(id);
        // In another boot it is news; what appliances lost before it has to be told, too.
        let may_repeat = is_current && event.lost_before.is_empty();
        let repeated = known.filter(|key| may_repeat && key.is_repeated_by(said, self.now));
        if let Some(key) = repeated {
            return Verdict::Repeats(key.clone().repeated(self.now));
        }
        let spent = known.map_or(Timestamp::EPOCH, |key| key.full_at);
        let (full_at, mut effects) = match self.pay(spent, boots) {
            Ok(paid) => paid,
            Err(over) => {
                let reserve = self.reserve(event, counter, known);
                match reserve.map(|reserve| self.spend(boots.into_iter().chain([reserve]))) {
                    Some(Ok(effects)) => (spent, effects),
                    Some(Err(_)) | None => return Verdict::Over(over),
                }
            }
        };
        let number = self.appliance.number;
        if known.is_none() {
            let gone = self.forgotten();
            effects.extend(gone.map(|id| Effect::AlertKeyForgotten { number, id }));
        }
        let (now, record) = (self.now, self.record);
        let mailed = known.and_then(|key| key.mailed.clone());
        let mailed = mailed.map(|mailed| mailed.said_again(said, text, now));
        let key = AlertKey { full_at, mailed, ..AlertKey::new(id, label, said, record, now) };
        effects.push(Effect::AlertKey { number, key });
        Verdict::Enters(effects)
    }

    /// Pays for an alert out of the budgets of all days: when its key's is full again, and the rest.
    fn pay(
        &self,
        spent: Timestamp,
        boots: Option<BudgetName>,
    ) -> Result<(Timestamp, Vec<Effect>), BudgetName> {
        let full_at = match BudgetName::AlertKey.of(&self.rules.budgets) {
            None => spent,
            Some(budget) => budget.spend(spent, self.now).ok_or(BudgetName::AlertKey)?,
        };
        Ok((full_at, self.spend(boots.into_iter().chain([BudgetName::Alert]))?))
    }

    /// The reserve out of which an alert is paid though there is too much noise: a fatal one that is
    /// news, or one that is graver than all before under its key.
    fn reserve(
        &self,
        event: &Event,
        counter: Option<&Counter>,
        known: Option<&AlertKey>,
    ) -> Option<BudgetName> {
        if event.severity == Severity::Fatal {
            let is_news = known.is_none_or(|key| key.said_at.after(RUN_QUIET) <= self.now);
            return is_news.then_some(BudgetName::Fatal);
        }
        let is_known = |severity| {
            let (id, _) = key_of(event, counter, severity);
            self.appliance.admission.key(id).is_some()
        };
        let (graver, milder): (Vec<_>, Vec<_>) =
            Severity::ALL.into_iter().partition(|severity| *severity >= event.severity);
        let is_graver = milder.into_iter().any(is_known) && !graver.into_iter().any(is_known);
        is_graver.then_some(BudgetName::Graver)
    }

    /// Which keys make room for another one: those that are idle, else the one said longest ago.
    fn forgotten(&self) -> impl Iterator<Item = Uuid> {
        let keys = &self.appliance.admission.keys;
        let idle: Vec<_> =
            keys.iter().filter(|key| key.is_idle(self.now)).map(|key| key.id).collect();
        let is_full = idle.is_empty() && keys.len() >= KEYS_MAX;
        let oldest = is_full.then(|| oldest(keys).map(|key| key.id)).flatten();
        idle.into_iter().chain(oldest)
    }
}

/// The run of repeats that this event ends: of its own key, or of the one that makes room for it.
pub(in crate::grid) fn run_over(
    appliance: &Appliance,
    heard: &Heard,
    now: Timestamp,
) -> Option<Uuid> {
    let event = &heard.event;
    let EventKind::Alert { counter } = &event.kind else { return None };
    if event.text.is_empty() || event.spooled_at.is_some() {
        return None;
    }
    let (id, _) = key_of(event, counter.as_ref(), event.severity);
    let keys = &appliance.admission.keys;
    let over = match appliance.admission.key(id) {
        Some(key) => {
            let said = alert_key::said(event.severity, event.text.as_str());
            (!key.is_repeated_by(said, now)).then_some(key)
        }
        None if keys.len() >= KEYS_MAX && !keys.iter().any(|key| key.is_idle(now)) => oldest(keys),
        None => None,
    };
    over.filter(|key| key.repeats > 0).map(|key| key.id)
}

/// The key of an alert, as if it were of that severity.
pub(in crate::grid) fn key_of(
    event: &Event,
    counter: Option<&Counter>,
    severity: Severity,
) -> (Uuid, Box<str>) {
    alert_key::key(event.alert_key.as_deref(), counter, severity, event.text.as_str())
}

fn oldest(keys: &[AlertKey]) -> Option<&AlertKey> {
    keys.iter().min_by_key(|key| key.said_at)
}
