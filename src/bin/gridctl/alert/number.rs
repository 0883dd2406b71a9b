//! Parses the numbers of alerts, and helps whoever types the name of an appliance instead.
//!
//! Guarantees that a name is never taken for a number: what changes an alert names it by number.

use grid_broker::contract::proto::AlertFilter;
use grid_broker::exit_code::ExitCode;
use grid_broker::show::escape::escape;
use grid_broker::show::labels;

use super::list_all;
use crate::connection::Connection;
use crate::error::CliError;
use crate::names;

/// Most alerts that an error names.
const NAMED: usize = 10;

/// A text is not the number of an alert.
#[derive(Debug, thiserror::Error)]
#[error("{} is not the number of an alert; {}", escape(typed), escape(advice))]
pub(crate) struct AlertNumberError {
    /// The text.
    pub(super) typed: String,
    /// What to type instead.
    pub(super) advice: String,
}

impl AlertNumberError {
    /// The exit code: wrong usage.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

/// The numbers of `12` or `12,14`; `None`: it is something else.
pub(super) fn parse_all(typed: &str) -> Option<Vec<u64>> {
    typed.split(',').map(|part| part.parse().ok()).collect()
}

/// The numbers, each once.
///
/// # Errors
///
/// If one is no number; the error names the alerts of the appliance, if it is one.
pub(super) async fn resolve(broker: &Connection, typed: &[String]) -> Result<Vec<u64>, CliError> {
    let mut ids = Vec::new();
    for text in typed {
        let Ok(id) = text.parse() else { return Err(explain(broker, text, typed).await) };
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

async fn explain(broker: &Connection, text: &str, typed: &[String]) -> CliError {
    let lists = "`gridctl alert list` shows the numbers";
    let advice = match alerts_of(broker, text, typed).await {
        Ok(Some(advice)) => advice,
        Ok(None) => lists.to_owned(),
        Err(failure) if failure.exit_code() == ExitCode::NotFound => lists.to_owned(),
        Err(failure) => return failure,
    };
    AlertNumberError { typed: text.to_owned(), advice }.into()
}

/// The alerts of an appliance of that name, in words; `None`: it cannot be a name.
async fn alerts_of(
    broker: &Connection,
    text: &str,
    typed: &[String],
) -> Result<Option<String>, CliError> {
    if names::is_pattern(text) || typed.len() > 1 && text.is_empty() {
        return Ok(None);
    }
    let name = names::resolve(broker, text).await?;
    let filter = AlertFilter { appliances: vec![name.clone()], ..AlertFilter::default() };
    let alerts = list_all(broker, &filter).await?;
    if alerts.is_empty() {
        return Ok(Some(format!("{name} has no open alerts")));
    }
    let named = alerts.iter().take(NAMED).map(|alert| {
        let kind = labels::alert_kind(alert.kind).unwrap_or_default();
        if alert.key == kind || alert.key.is_empty() {
            return format!("{} ({kind})", alert.id);
        }
        format!("{} ({kind} {})", alert.id, alert.key)
    });
    let mut named = named.collect::<Vec<_>>().join(", ");
    if alerts.len() > NAMED {
        named.push_str(&format!(" and {} more", alerts.len() - NAMED));
    }
    Ok(Some(format!("the open alerts of {name} are {named}")))
}
