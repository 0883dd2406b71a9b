//! `gridctl status --check`: checks the broker as a plugin of Nagios or Icinga.
//!
//! Guarantees one line with performance data and one of the four exit codes of plugins, whatever
//! fails. Derives the status from the open alerts, without those that are acknowledged or silenced; the
//! broker sets their severity.

use std::io::Write;

use grid_broker::contract::proto::{
    AlertFilter, AlertState, ApplianceState, GetStatusResponse, OpenAlert, Severity,
};
use grid_broker::exit_code::ExitCode;
use grid_broker::show::count::format_count;
use grid_broker::show::escape::escape;
use grid_broker::show::labels;

use crate::alert;
use crate::connection::Connection;
use crate::error::CliError;
use crate::status;

/// The status and exit code of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum NagiosStatus {
    /// No open alerts.
    Ok = 0,
    /// Open warnings or failed mails.
    Warning = 1,
    /// Open errors, or the broker is unreachable.
    Critical = 2,
    /// The state could not be determined.
    Unknown = 3,
}

impl NagiosStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// Queries the broker and prints the line.
///
/// # Errors
///
/// If the line cannot be written.
pub(crate) async fn run(
    broker: Result<Connection, CliError>,
    address: &str,
    out: &mut dyn Write,
) -> Result<NagiosStatus, CliError> {
    let fetched = async {
        let broker = broker?;
        let status = status::get_status(&broker).await?;
        let alerts = alert::list_all(&broker, &AlertFilter::default()).await?;
        Ok::<_, CliError>((status, alerts))
    };
    let (verdict, line) = match fetched.await {
        Ok((status, alerts)) => evaluate(&status, &alerts),
        Err(failure) => failure_line(&failure.diagnose(address).await),
    };
    writeln!(out, "GRID {} - {line}", verdict.as_str())?;
    out.flush()?;
    Ok(verdict)
}

/// The status and line of a failure: an unreachable broker is critical, other failures are unknown.
fn failure_line(failure: &CliError) -> (NagiosStatus, String) {
    let verdict = match failure.exit_code() == ExitCode::Unavailable {
        true => NagiosStatus::Critical,
        false => NagiosStatus::Unknown,
    };
    (verdict, one_line(&failure.to_string()))
}

/// The plugin's line for a usage error.
pub(crate) fn usage_error_line(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    format!("GRID UNKNOWN - {}", one_line(first.strip_prefix("error: ").unwrap_or(first)))
}

fn evaluate(status: &GetStatusResponse, alerts: &[OpenAlert]) -> (NagiosStatus, String) {
    let is_open = |it: &&OpenAlert| {
        // A broker of an earlier release does not tell states: all its alerts are open.
        matches!(it.state(), AlertState::Open | AlertState::Unspecified)
    };
    let (open, muted): (Vec<&OpenAlert>, Vec<_>) = alerts.iter().partition(is_open);
    let at_least = |than: Severity| open.iter().filter(|it| it.severity >= than.into()).count();
    let (errors, warnings) = (at_least(Severity::Error), at_least(Severity::Warn));
    let verdict = match (errors, warnings, status.mails_failed) {
        (0, 0, 0) => NagiosStatus::Ok,
        (0, _, _) => NagiosStatus::Warning,
        _ => NagiosStatus::Critical,
    };
    let count_of = |state: ApplianceState| {
        let found = status.appliances.iter().find(|it| it.state == i32::from(state));
        found.map_or(0, |it| it.count)
    };
    let all: u64 = status.appliances.iter().map(|it| it.count).sum();
    let mut parts = vec![match open.len() {
        0 => "no open alerts".to_owned(),
        open => format!("{} open", format_count(open as u64, "alert")),
    }];
    if let Some(worst) = open.iter().max_by_key(|it| it.severity) {
        let severity = labels::severity(worst.severity).unwrap_or_default();
        parts.push(format!("{severity}: {} {}", worst.appliance, worst.text).replace(":  ", ": "));
    }
    let count_in = |state: AlertState| muted.iter().filter(|it| it.state() == state).count();
    for state in [AlertState::Acknowledged, AlertState::Silenced] {
        let count = count_in(state);
        if count > 0 {
            let state = labels::alert_state(state.into()).unwrap_or_default();
            parts.push(format!("{count} {state}"));
        }
    }
    if status.mails_failed > 0 {
        parts.push(format!("{} failed", format_count(status.mails_failed, "mail")));
    }
    parts.push(format!(
        "{} of {} running",
        count_of(ApplianceState::Running),
        format_count(all, "appliance")
    ));
    if count_of(ApplianceState::Dumping) > 0 {
        parts.push(format!("{} dumping", count_of(ApplianceState::Dumping)));
    }
    let data = [
        ("appliances", all),
        ("running", count_of(ApplianceState::Running)),
        ("failed", count_of(ApplianceState::Failed)),
        ("alerts", open.len() as u64),
        ("alerts_error", errors as u64),
        ("alerts_muted", muted.len() as u64),
        ("mails_queued", status.mails_queued),
        ("mails_failed", status.mails_failed),
        ("sessions", status.sessions.into()),
    ];
    let data: Vec<String> = data.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let journal =
        format!("journal={}B disk_free={}B", status.journal_bytes, status.disk_free_bytes);
    (verdict, format!("{} | {} {journal}", one_line(&parts.join(", ")), data.join(" ")))
}

/// The text on one line, without `|`, which separates text from data in a plugin's output.
fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    escape(&line).replace('|', "/")
}

#[cfg(test)]
mod tests {
    use grid_broker::contract::proto::StateCount;

    use super::*;

    fn alert_of(severity: Severity, text: &str) -> OpenAlert {
        let appliance = "db1".to_owned();
        OpenAlert {
            appliance,
            severity: severity.into(),
            text: text.to_owned(),
            ..OpenAlert::default()
        }
    }

    #[test]
    fn the_most_severe_open_alert_decides_and_is_named() {
        let count = |state: ApplianceState, count| StateCount { state: state.into(), count };
        let appliances = vec![count(ApplianceState::Running, 3), count(ApplianceState::Failed, 1)];
        let status = GetStatusResponse { appliances, disk_free_bytes: 5, ..Default::default() };
        let (verdict, line) = evaluate(&status, &[]);
        assert_eq!(verdict, NagiosStatus::Ok);
        assert_eq!(
            line,
            "no open alerts, 3 of 4 appliances running | appliances=4 running=3 failed=1 alerts=0 \
             alerts_error=0 alerts_muted=0 mails_queued=0 mails_failed=0 sessions=0 journal=0B \
             disk_free=5B"
        );
        let dumping = vec![count(ApplianceState::Dumping, 2)];
        let (verdict, line) =
            evaluate(&GetStatusResponse { appliances: dumping, ..Default::default() }, &[]);
        assert_eq!(verdict, NagiosStatus::Ok);
        assert!(line.starts_with("no open alerts, 0 of 2 appliances running, 2 dumping | "));
        let warn = alert_of(Severity::Warn, "slow");
        assert_eq!(evaluate(&status, std::slice::from_ref(&warn)).0, NagiosStatus::Warning);
        let (verdict, line) = evaluate(&status, &[warn, alert_of(Severity::Fatal, "a | b\nc")]);
        assert_eq!(verdict, NagiosStatus::Critical);
        assert!(line.starts_with("2 alerts open, fatal: db1 a / b c, 3 of 4"), "{line}");
        assert_eq!(line.matches('|').count(), 1);
        let acknowledged = OpenAlert {
            state: AlertState::Acknowledged.into(),
            ..alert_of(Severity::Fatal, "known")
        };
        let (verdict, line) = evaluate(&status, &[acknowledged]);
        assert_eq!(verdict, NagiosStatus::Ok, "somebody takes care of it");
        assert!(line.starts_with("no open alerts, 1 acknowledged, 3 of 4"), "{line}");
        assert!(line.contains(" alerts=0 alerts_error=0 alerts_muted=1 "), "{line}");
        let status = GetStatusResponse { mails_failed: 1, ..Default::default() };
        assert_eq!(evaluate(&status, &[]).0, NagiosStatus::Warning);
    }

    #[test]
    fn wrong_usage_is_unknown_in_one_line() {
        assert_eq!(
            usage_error_line("error: no such flag\n\nUsage: x"),
            "GRID UNKNOWN - no such flag"
        );
    }
}
