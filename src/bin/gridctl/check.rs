//! `gridctl status --check`: the broker for Nagios, Icinga and whatever else reads a plugin.
//!
//! Guarantees one line with performance data and one of the plugins' four exit codes, whatever goes
//! wrong. Judges by what is open: the broker says how grave it is.

use std::io::Write;

use grid_broker::contract::proto::{
    AlertFilter, ApplianceState, GetStatusResponse, OpenAlert, Severity,
};
use grid_broker::exit_code::ExitCode;
use grid_broker::show::escape::escape;
use grid_broker::show::labels;
use grid_broker::show::size::format_count;

use crate::alert;
use crate::connection::Connection;
use crate::error::CliError;
use crate::status;

/// How a plugin ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum CheckVerdict {
    /// Nothing is open.
    Ok = 0,
    /// Something should be looked at.
    Warning = 1,
    /// Something is broken.
    Critical = 2,
    /// It can't be told.
    Unknown = 3,
}

impl CheckVerdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// Asks, and prints the line.
///
/// # Errors
///
/// If the line can't be written.
pub(crate) async fn run(
    broker: Result<Connection, CliError>,
    address: &str,
    out: &mut dyn Write,
) -> Result<CheckVerdict, CliError> {
    let asked = async {
        let broker = broker?;
        let status = status::asked(&broker).await?;
        let alerts = alert::all(&broker, &AlertFilter::default()).await?;
        Ok::<_, CliError>((status, alerts))
    };
    let (verdict, line) = match asked.await {
        Ok((status, alerts)) => verdict_of(&status, &alerts),
        Err(failure) => failed(&failure.with_details(address).await),
    };
    writeln!(out, "GRID {} - {line}", verdict.as_str())?;
    out.flush()?;
    Ok(verdict)
}

/// A broker that does not answer is down; of anything else it can't be told how it is.
fn failed(failure: &CliError) -> (CheckVerdict, String) {
    let verdict = match failure.exit_code() == ExitCode::Unavailable {
        true => CheckVerdict::Critical,
        false => CheckVerdict::Unknown,
    };
    (verdict, one_line(&failure.to_string()))
}

/// What the plugin says of a line of usage that is none.
pub(crate) fn misused(words: &str) -> String {
    let first = words.lines().next().unwrap_or_default();
    format!("GRID UNKNOWN - {}", one_line(first.strip_prefix("error: ").unwrap_or(first)))
}

fn verdict_of(status: &GetStatusResponse, alerts: &[OpenAlert]) -> (CheckVerdict, String) {
    let graver = |than: Severity| alerts.iter().filter(|it| it.severity >= than.into()).count();
    let (errors, warnings) = (graver(Severity::Error), graver(Severity::Warn));
    let verdict = match (errors, warnings, status.mails_failed) {
        (0, 0, 0) => CheckVerdict::Ok,
        (0, _, _) => CheckVerdict::Warning,
        _ => CheckVerdict::Critical,
    };
    let of = |state: ApplianceState| {
        let found = status.appliances.iter().find(|it| it.state == i32::from(state));
        found.map_or(0, |it| it.count)
    };
    let all: u64 = status.appliances.iter().map(|it| it.count).sum();
    let mut said = vec![match alerts.len() {
        0 => "nothing is open".to_owned(),
        open => format!("{} open", format_count(open as u64, "alert")),
    }];
    if let Some(worst) = alerts.iter().max_by_key(|it| it.severity) {
        let severity = labels::severity(worst.severity).unwrap_or_default();
        said.push(format!("{severity}: {} {}", worst.appliance, worst.text).replace(":  ", ": "));
    }
    if status.mails_failed > 0 {
        said.push(format!("{} given up", format_count(status.mails_failed, "mail")));
    }
    said.push(format!(
        "{} of {} running",
        of(ApplianceState::Running),
        format_count(all, "appliance")
    ));
    let data = [
        ("appliances", all),
        ("running", of(ApplianceState::Running)),
        ("failed", of(ApplianceState::Failed)),
        ("alerts", alerts.len() as u64),
        ("alerts_error", errors as u64),
        ("mails_owed", status.mails_owed),
        ("mails_failed", status.mails_failed),
        ("sessions", status.sessions.into()),
    ];
    let data: Vec<String> = data.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let journal =
        format!("journal={}B disk_free={}B", status.journal_bytes, status.disk_free_bytes);
    (verdict, format!("{} | {} {journal}", one_line(&said.join(", ")), data.join(" ")))
}

/// On one line, without what parts text and data for a plugin.
fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    escape(&line).replace('|', "/")
}

#[cfg(test)]
mod tests {
    use grid_broker::contract::proto::StateCount;

    use super::*;

    fn alert(severity: Severity, text: &str) -> OpenAlert {
        let appliance = "db1".to_owned();
        OpenAlert {
            appliance,
            severity: severity.into(),
            text: text.to_owned(),
            ..OpenAlert::default()
        }
    }

    #[test]
    fn the_gravest_that_is_open_decides_and_is_named() {
        let count = |state: ApplianceState, count| StateCount { state: state.into(), count };
        let appliances = vec![count(ApplianceState::Running, 3), count(ApplianceState::Failed, 1)];
        let status = GetStatusResponse { appliances, disk_free_bytes: 5, ..Default::default() };
        let (verdict, line) = verdict_of(&status, &[]);
        assert_eq!(verdict, CheckVerdict::Ok);
        assert_eq!(
            line,
            "nothing is open, 3 of 4 appliances running | appliances=4 running=3 failed=1 alerts=0 \
             alerts_error=0 mails_owed=0 mails_failed=0 sessions=0 journal=0B disk_free=5B"
        );
        let warn = alert(Severity::Warn, "slow");
        assert_eq!(verdict_of(&status, std::slice::from_ref(&warn)).0, CheckVerdict::Warning);
        let (verdict, line) = verdict_of(&status, &[warn, alert(Severity::Fatal, "a | b\nc")]);
        assert_eq!(verdict, CheckVerdict::Critical);
        assert!(line.starts_with("2 alerts open, fatal: db1 a / b c, 3 of 4"), "{line}");
        assert_eq!(line.matches('|').count(), 1);
        let status = GetStatusResponse { mails_failed: 1, ..Default::default() };
        assert_eq!(verdict_of(&status, &[]).0, CheckVerdict::Warning);
    }

    #[test]
    fn wrong_usage_is_unknown_in_one_line() {
        assert_eq!(misused("error: no such flag\n\nUsage: x"), "GRID UNKNOWN - no such flag");
    }
}
