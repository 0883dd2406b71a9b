//! Parses arguments with a fixed set of values.
//!
//! Guarantees that case and `-` or `_` make no difference, and that the names of other tools
//! (`warning`, `err`, `crit`) are accepted. Help and completion show the contract's values only.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use grid_broker::contract::proto::{
    AlertKind, AlertState, ApplianceState, MailState, RecordKind, Role, Severity,
};
use grid_broker::show::labels;

/// Names of severities in syslog, journalctl and Python.
const SEVERITY_ALIASES: &[(&str, &str)] = &[
    ("trace", "debug"),
    ("information", "info"),
    ("informational", "info"),
    ("notice", "info"),
    ("warning", "warn"),
    ("err", "error"),
    ("crit", "fatal"),
    ("critical", "fatal"),
    ("alert", "fatal"),
    ("emerg", "fatal"),
    ("emergency", "fatal"),
    ("panic", "fatal"),
];

const ALERT_STATE_ALIASES: &[(&str, &str)] =
    &[("acked", "acknowledged"), ("muted", "silenced"), ("closed", "resolved")];

const MAIL_STATE_ALIASES: &[(&str, &str)] = &[("pending", "waiting"), ("sending", "under_way")];

/// Severities.
pub(super) fn severities() -> impl TypedValueParser<Value = Severity> {
    value_parser_of(labels::severities(), SEVERITY_ALIASES, labels::parse_severity)
}

/// Kinds of record.
pub(super) fn kinds() -> impl TypedValueParser<Value = RecordKind> {
    value_parser_of(
        labels::record_kinds(),
        &[("admission", "suppression")],
        labels::parse_record_kind,
    )
}

/// States of appliances.
pub(super) fn states() -> impl TypedValueParser<Value = ApplianceState> {
    value_parser_of(labels::states(), &[], labels::parse_state)
}

/// Kinds of alert.
pub(super) fn alert_kinds() -> impl TypedValueParser<Value = AlertKind> {
    value_parser_of(labels::alert_kinds(), &[], labels::parse_alert_kind)
}

/// States of alerts.
pub(super) fn alert_states() -> impl TypedValueParser<Value = AlertState> {
    value_parser_of(labels::alert_states(), ALERT_STATE_ALIASES, labels::parse_alert_state)
}

/// States of mails.
pub(super) fn mail_states() -> impl TypedValueParser<Value = MailState> {
    // Mails that have left the queue are in no list.
    let queued = labels::mail_states().into_iter().take(3).collect();
    value_parser_of(queued, MAIL_STATE_ALIASES, labels::parse_mail_state)
}

/// Roles of administrators.
pub(super) fn roles() -> impl TypedValueParser<Value = Role> {
    value_parser_of(labels::roles(), &[("administrator", "admin")], labels::parse_role)
}

/// One of `values`, or an alias of one. The argument must also ignore case.
fn value_parser_of<T: Clone + Send + Sync + 'static>(
    values: Vec<String>,
    aliases: &'static [(&'static str, &'static str)],
    parse: fn(&str) -> Option<T>,
) -> impl TypedValueParser<Value = T> {
    let possible = values.into_iter().map(|value| {
        let own = aliases.iter().filter(|(_, of)| *of == value).map(|(alias, _)| *alias);
        let mut own: Vec<String> = own.map(ToOwned::to_owned).collect();
        if value.contains('_') {
            own.push(value.replace('_', "-"));
        }
        PossibleValue::new(value).aliases(own)
    });
    PossibleValuesParser::new(possible.collect::<Vec<_>>()).try_map(move |typed| {
        let typed = typed.to_lowercase().replace('-', "_");
        let alias = aliases.iter().find(|(alias, _)| *alias == typed);
        parse(alias.map_or(typed.as_str(), |(_, of)| *of)).ok_or("is not one of these")
    })
}

/// Parses a whole number.
///
/// # Errors
///
/// States what is expected.
pub(super) fn parse_number(text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(number) => Ok(number),
        Err(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err("the number is too large".to_owned())
        }
        Err(_) => Err("expected a whole number, such as 12".to_owned()),
    }
}
