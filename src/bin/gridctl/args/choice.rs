//! Words of which one is to be typed, as people type them.
//!
//! Guarantees that upper and lower case, `-` and `_` are alike, and that the habits of other tools
//! (`warning`, `err`, `crit`) are understood. Help and completion show the contract's words only.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use grid_broker::contract::proto::{
    AlertMatter, ApplianceState, MailStanding, RecordKind, Severity,
};
use grid_broker::show::labels;

/// What else people call a severity: as syslog, journalctl and Python do.
const SEVERITIES: &[(&str, &str)] = &[
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

const MAIL_STATES: &[(&str, &str)] = &[("pending", "waiting"), ("sending", "under_way")];

/// Severities.
pub(super) fn severities() -> impl TypedValueParser<Value = Severity> {
    one_of(labels::severities(), SEVERITIES, labels::parse_severity)
}

/// Kinds of record.
pub(super) fn kinds() -> impl TypedValueParser<Value = RecordKind> {
    one_of(labels::record_kinds(), &[], labels::parse_record_kind)
}

/// States of appliances.
pub(super) fn states() -> impl TypedValueParser<Value = ApplianceState> {
    one_of(labels::states(), &[], labels::parse_state)
}

/// What can be open.
pub(super) fn alert_kinds() -> impl TypedValueParser<Value = AlertMatter> {
    one_of(labels::alert_kinds(), &[], labels::parse_alert_kind)
}

/// How mails stand.
pub(super) fn mail_states() -> impl TypedValueParser<Value = MailStanding> {
    // What is owed no more is in no list.
    let owed = labels::mail_states().into_iter().take(3).collect();
    one_of(owed, MAIL_STATES, labels::parse_mail_state)
}

/// One of `words`, or what means one of them. The argument must ignore case, too.
fn one_of<T: Clone + Send + Sync + 'static>(
    words: Vec<String>,
    meaning: &'static [(&'static str, &'static str)],
    of: fn(&str) -> Option<T>,
) -> impl TypedValueParser<Value = T> {
    let possible = words.into_iter().map(|word| {
        let same = meaning.iter().filter(|(_, means)| *means == word).map(|(same, _)| *same);
        let mut aliases: Vec<String> = same.map(ToOwned::to_owned).collect();
        if word.contains('_') {
            aliases.push(word.replace('_', "-"));
        }
        PossibleValue::new(word).aliases(aliases)
    });
    PossibleValuesParser::new(possible.collect::<Vec<_>>()).try_map(move |typed| {
        let typed = typed.to_lowercase().replace('-', "_");
        let means = meaning.iter().find(|(same, _)| *same == typed);
        of(means.map_or(typed.as_str(), |(_, means)| *means)).ok_or("is none of these")
    })
}

/// A whole number.
///
/// # Errors
///
/// Says what was typed in its place.
pub(super) fn number(text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(number) => Ok(number),
        Err(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err("so large a number is never given".to_owned())
        }
        Err(_) => Err("a whole number is needed, such as 12".to_owned()),
    }
}
