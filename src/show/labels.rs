//! Labels of the contract's enums: kinds, severities, states and outcomes such as `started_ok`.
//!
//! Guarantees that a label is the contract's own name in lower case without its prefix, so that
//! labels and contract cannot diverge. Does not know which of them are valid where.

use crate::contract::proto::{
    AlertKind, AlertState, ApplianceState, CrashDumpEnd, CrashDumpTrigger, CredentialKind,
    EventKind, LostReason, MailState, Outcome, PrincipalKind, RecordKind, Role, Severity,
};

/// The label of a [`RecordKind`]; `None` if it is unspecified.
pub fn record_kind(number: i32) -> Option<String> {
    label("RECORD_KIND_", RecordKind::try_from(number).map(|kind| kind.as_str_name()), number)
}

/// The label of an [`EventKind`]; `None` if it is unspecified.
pub fn event_kind(number: i32) -> Option<String> {
    label("EVENT_KIND_", EventKind::try_from(number).map(|kind| kind.as_str_name()), number)
}

/// The label of a [`Severity`]; `None` if it is unspecified.
pub fn severity(number: i32) -> Option<String> {
    label("SEVERITY_", Severity::try_from(number).map(|level| level.as_str_name()), number)
}

/// The label of an [`ApplianceState`]; `None` if it is unspecified.
pub fn state(number: i32) -> Option<String> {
    label("APPLIANCE_STATE_", ApplianceState::try_from(number).map(|it| it.as_str_name()), number)
}

/// The label of an [`Outcome`]; `None` if it is unspecified.
pub fn outcome(number: i32) -> Option<String> {
    label("OUTCOME_", Outcome::try_from(number).map(|outcome| outcome.as_str_name()), number)
}

/// The label of an [`AlertKind`]; `None` if it is unspecified.
pub fn alert_kind(number: i32) -> Option<String> {
    label("ALERT_KIND_", AlertKind::try_from(number).map(|it| it.as_str_name()), number)
}

/// The label of a [`MailState`]; `None` if it is unspecified.
pub fn mail_state(number: i32) -> Option<String> {
    label("MAIL_STATE_", MailState::try_from(number).map(|it| it.as_str_name()), number)
}

/// The label of a [`LostReason`]; `None` if it is unspecified.
pub fn lost_reason(number: i32) -> Option<String> {
    label("LOST_REASON_", LostReason::try_from(number).map(|it| it.as_str_name()), number)
}

/// The label of a [`Role`]; `None` if it is unspecified.
pub fn role(number: i32) -> Option<String> {
    label("ROLE_", Role::try_from(number).map(|it| it.as_str_name()), number)
}

/// The label of a [`PrincipalKind`]; `None` if it is unspecified.
pub fn principal_kind(number: i32) -> Option<String> {
    label("PRINCIPAL_KIND_", PrincipalKind::try_from(number).map(|it| it.as_str_name()), number)
}

/// The label of a [`CredentialKind`]; `None` if it is unspecified.
pub fn credential_kind(number: i32) -> Option<String> {
    label("CREDENTIAL_KIND_", CredentialKind::try_from(number).map(|it| it.as_str_name()), number)
}

/// The label of an [`AlertState`]; `None` if it is unspecified.
pub fn alert_state(number: i32) -> Option<String> {
    label("ALERT_STATE_", AlertState::try_from(number).map(|it| it.as_str_name()), number)
}

/// The label of a [`CrashDumpTrigger`]; `None` if it is unspecified.
pub fn crash_dump_trigger(number: i32) -> Option<String> {
    label(
        "CRASH_DUMP_TRIGGER_",
        CrashDumpTrigger::try_from(number).map(|it| it.as_str_name()),
        number,
    )
}

/// The label of a [`CrashDumpEnd`]; `None` if it has not ended.
pub fn crash_dump_end(number: i32) -> Option<String> {
    label("CRASH_DUMP_END_", CrashDumpEnd::try_from(number).map(|it| it.as_str_name()), number)
}

/// The [`RecordKind`] of a label.
pub fn parse_record_kind(label: &str) -> Option<RecordKind> {
    specified(RecordKind::from_str_name(&contract_name("RECORD_KIND_", label))?)
}

/// The [`Severity`] of a label.
pub fn parse_severity(label: &str) -> Option<Severity> {
    specified(Severity::from_str_name(&contract_name("SEVERITY_", label))?)
}

/// The [`ApplianceState`] of a label.
pub fn parse_state(label: &str) -> Option<ApplianceState> {
    specified(ApplianceState::from_str_name(&contract_name("APPLIANCE_STATE_", label))?)
}

/// The [`AlertKind`] of a label.
pub fn parse_alert_kind(label: &str) -> Option<AlertKind> {
    specified(AlertKind::from_str_name(&contract_name("ALERT_KIND_", label))?)
}

/// The [`AlertState`] of a label.
pub fn parse_alert_state(label: &str) -> Option<AlertState> {
    specified(AlertState::from_str_name(&contract_name("ALERT_STATE_", label))?)
}

/// The [`MailState`] of a label.
pub fn parse_mail_state(label: &str) -> Option<MailState> {
    specified(MailState::from_str_name(&contract_name("MAIL_STATE_", label))?)
}

/// The [`Role`] of a label.
pub fn parse_role(label: &str) -> Option<Role> {
    specified(Role::from_str_name(&contract_name("ROLE_", label))?)
}

/// The labels of all kinds of record, in the contract's order.
pub fn record_kinds() -> Vec<String> {
    all_labels(record_kind)
}

/// The labels of all severities, mildest first.
pub fn severities() -> Vec<String> {
    all_labels(severity)
}

/// The labels of all states, in the contract's order.
pub fn states() -> Vec<String> {
    all_labels(state)
}

/// The labels of all alert kinds, in the contract's order.
pub fn alert_kinds() -> Vec<String> {
    all_labels(alert_kind)
}

/// The labels of all alert states, in the contract's order.
pub fn alert_states() -> Vec<String> {
    all_labels(alert_state)
}

/// The labels of all mail states, in the contract's order.
pub fn mail_states() -> Vec<String> {
    all_labels(mail_state)
}

/// The labels of all roles, from the least powerful on.
pub fn roles() -> Vec<String> {
    all_labels(role)
}

fn label<E>(prefix: &str, name: Result<&str, E>, number: i32) -> Option<String> {
    if number == 0 {
        return None;
    }
    Some(match name {
        Ok(name) => name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase(),
        Err(_) => format!("unknown_{number}"),
    })
}

fn contract_name(prefix: &str, label: &str) -> String {
    format!("{prefix}{}", label.to_ascii_uppercase())
}

fn specified<E: Default + PartialEq>(value: E) -> Option<E> {
    (value != E::default()).then_some(value)
}

/// Enums of the contract have no larger numbers, and gaps where a value was removed.
const NUMBER_MAX: i32 = 64;

fn all_labels(label: fn(i32) -> Option<String>) -> Vec<String> {
    let labels = (1..=NUMBER_MAX).filter_map(label);
    labels.filter(|label| !label.starts_with("unknown_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_the_contracts_names_without_prefix() {
        assert_eq!(severities(), ["debug", "info", "warn", "error", "fatal"]);
        assert_eq!(states(), ["idle", "starting", "maintenance", "running", "failed", "dumping"]);
        assert_eq!(roles(), ["viewer", "operator", "admin"]);
        assert_eq!(principal_kind(2).as_deref(), Some("administrator"));
        assert_eq!(credential_kind(3).as_deref(), Some("certificate"));
        assert_eq!(mail_states(), ["waiting", "under_way", "failed", "sent", "joined", "removed"]);
        assert_eq!(alert_kinds()[..2], ["start_failed", "stuck"]);
        assert_eq!(alert_states(), ["open", "acknowledged", "silenced", "resolved"]);
        assert!(alert_kinds().contains(&"clock_differs".to_owned()), "behind a gap in the numbers");
        assert_eq!(record_kinds()[..2], ["started_ok", "start_failed"]);
        assert!(record_kinds().contains(&"crash_dump".to_owned()));
        assert_eq!(crash_dump_trigger(3).as_deref(), Some("done"));
        assert_eq!(crash_dump_end(1).as_deref(), Some("new_boot"));
        assert_eq!(crash_dump_end(0), None);
        assert_eq!(outcome(Outcome::NotKept as i32).as_deref(), Some("not_kept"));
        assert_eq!(severity(0), None);
    }

    #[test]
    fn a_number_of_a_newer_broker_still_has_a_label() {
        assert_eq!(record_kind(99).as_deref(), Some("unknown_99"));
    }

    #[test]
    fn labels_parse_back_and_unspecified_is_none() {
        assert_eq!(parse_record_kind("deadline"), Some(RecordKind::Deadline));
        assert_eq!(parse_state("failed"), Some(ApplianceState::Failed));
        assert_eq!(parse_severity("warn"), Some(Severity::Warn));
        assert_eq!(parse_role("operator"), Some(Role::Operator));
        assert_eq!(parse_severity("unspecified"), None);
        assert_eq!(parse_severity("loud"), None);
    }
}
