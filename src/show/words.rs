//! The short words of kinds, severities, states and outcomes: `started_ok`, `warn`, `kept`.
//!
//! Guarantees that a word is the contract's own name in lower case without its prefix, so words
//! and contract cannot drift apart. Does not know which of them make sense where.

use crate::wire::proto::event::Kind;
use crate::wire::proto::{AlertMatter, ApplianceState, EventKind, LostReason, MailStanding};
use crate::wire::proto::{Outcome, RecordKind, Severity};

/// The word of a [`RecordKind`]; `None` if it is not said.
pub fn record_kind(number: i32) -> Option<String> {
    word("RECORD_KIND_", RecordKind::try_from(number).map(|kind| kind.as_str_name()), number)
}

/// The word of an [`EventKind`]; `None` if it is not said.
pub fn event_kind(number: i32) -> Option<String> {
    word("EVENT_KIND_", EventKind::try_from(number).map(|kind| kind.as_str_name()), number)
}

/// The word of a [`Severity`]; `None` if it is not said.
pub fn severity(number: i32) -> Option<String> {
    word("SEVERITY_", Severity::try_from(number).map(|level| level.as_str_name()), number)
}

/// The word of an [`ApplianceState`]; `None` if it is not said.
pub fn state(number: i32) -> Option<String> {
    word("APPLIANCE_STATE_", ApplianceState::try_from(number).map(|it| it.as_str_name()), number)
}

/// The word of an [`Outcome`]; `None` if it is not said.
pub fn outcome(number: i32) -> Option<String> {
    word("OUTCOME_", Outcome::try_from(number).map(|outcome| outcome.as_str_name()), number)
}

/// The word of an [`AlertMatter`]; `None` if it is not said.
pub fn matter(number: i32) -> Option<String> {
    word("ALERT_MATTER_", AlertMatter::try_from(number).map(|it| it.as_str_name()), number)
}

/// The word of a [`MailStanding`]; `None` if it is not said.
pub fn standing(number: i32) -> Option<String> {
    word("MAIL_STANDING_", MailStanding::try_from(number).map(|it| it.as_str_name()), number)
}

/// The word of a [`LostReason`]; `None` if it is not said.
pub fn lost_reason(number: i32) -> Option<String> {
    word("LOST_REASON_", LostReason::try_from(number).map(|it| it.as_str_name()), number)
}

/// The word of an event's kind.
pub fn kind(kind: &Kind) -> &'static str {
    match kind {
        Kind::StartedOk(_) => "started_ok",
        Kind::StartFailed(_) => "start_failed",
        Kind::Maintenance(_) => "maintenance",
        Kind::Log(_) => "log",
        Kind::Alert(_) => "alert",
    }
}

/// The [`RecordKind`] of a word.
pub fn record_kind_of(word: &str) -> Option<RecordKind> {
    said(RecordKind::from_str_name(&name("RECORD_KIND_", word))?)
}

/// The [`Severity`] of a word.
pub fn severity_of(word: &str) -> Option<Severity> {
    said(Severity::from_str_name(&name("SEVERITY_", word))?)
}

/// The [`ApplianceState`] of a word.
pub fn state_of(word: &str) -> Option<ApplianceState> {
    said(ApplianceState::from_str_name(&name("APPLIANCE_STATE_", word))?)
}

/// The [`AlertMatter`] of a word.
pub fn matter_of(word: &str) -> Option<AlertMatter> {
    said(AlertMatter::from_str_name(&name("ALERT_MATTER_", word))?)
}

/// The [`MailStanding`] of a word.
pub fn standing_of(word: &str) -> Option<MailStanding> {
    said(MailStanding::from_str_name(&name("MAIL_STANDING_", word))?)
}

/// The words of all kinds of record, in the contract's order.
pub fn record_kinds() -> Vec<String> {
    known(record_kind)
}

/// The words of all severities, mildest first.
pub fn severities() -> Vec<String> {
    known(severity)
}

/// The words of all states, in the contract's order.
pub fn states() -> Vec<String> {
    known(state)
}

/// The words of all matters, in the contract's order.
pub fn matters() -> Vec<String> {
    known(matter)
}

/// The words of how mails stand, in the contract's order.
pub fn standings() -> Vec<String> {
    known(standing)
}

fn word<E>(prefix: &str, name: Result<&str, E>, number: i32) -> Option<String> {
    if number == 0 {
        return None;
    }
    Some(match name {
        Ok(name) => name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase(),
        Err(_) => format!("unknown_{number}"),
    })
}

fn name(prefix: &str, word: &str) -> String {
    format!("{prefix}{}", word.to_ascii_uppercase())
}

fn said<E: Default + PartialEq>(value: E) -> Option<E> {
    (value != E::default()).then_some(value)
}

fn known(word: fn(i32) -> Option<String>) -> Vec<String> {
    (1..).map_while(word).take_while(|word| !word.starts_with("unknown_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_contracts_names_without_prefix() {
        assert_eq!(severities(), ["debug", "info", "warn", "error", "fatal"]);
        assert_eq!(states(), ["idle", "starting", "maintenance", "running", "failed", "dumping"]);
        assert_eq!(standings(), ["waiting", "under_way", "failed", "sent", "joined", "removed"]);
        assert_eq!(matters()[..2], ["start_failed", "stuck"]);
        assert_eq!(record_kinds()[..2], ["started_ok", "start_failed"]);
        assert_eq!(outcome(Outcome::NotKept as i32).as_deref(), Some("not_kept"));
        assert_eq!(severity(0), None);
    }

    #[test]
    fn a_number_of_a_newer_broker_is_still_told() {
        assert_eq!(record_kind(99).as_deref(), Some("unknown_99"));
    }

    #[test]
    fn words_lead_back_and_unspecified_is_none() {
        assert_eq!(record_kind_of("deadline"), Some(RecordKind::Deadline));
        assert_eq!(state_of("failed"), Some(ApplianceState::Failed));
        assert_eq!(severity_of("warn"), Some(Severity::Warn));
        assert_eq!(severity_of("unspecified"), None);
        assert_eq!(severity_of("loud"), None);
    }
}
