//! Describes the broker's reply to an event in one line, and gives its exit code.
//!
//! Guarantees exactly one line without control characters, whatever the broker sends. Does not know
//! why the broker decided so: it repeats the broker's own explanation.

use grid_broker::contract::proto::{AckException, Outcome, ReportResponse};
use grid_broker::exit_code::ExitCode;
use grid_broker::show::escape;

/// The outcome of an event.
#[derive(Debug, PartialEq)]
pub(crate) struct OutcomeText {
    /// For people, after the event and the appliance: `is record 17`.
    pub(crate) text: String,
    /// For scripts.
    pub(crate) exit_code: ExitCode,
}

impl OutcomeText {
    /// It was stored; a session does not give the number of the record.
    pub(crate) fn stored() -> Self {
        Self::from_response(&ReportResponse {
            outcome: Outcome::Kept.into(),
            ..ReportResponse::default()
        })
    }

    /// The reply of a session to an event with another outcome than stored.
    pub(crate) fn from_exception(exception: &AckException) -> Self {
        let violations = exception.violations.iter();
        let errors: Vec<_> =
            violations.map(|it| format!("{}: {}", it.field, it.description)).collect();
        let explanation =
            if errors.is_empty() { exception.explanation.clone() } else { errors.join("; ") };
        Self::from_response(&ReportResponse {
            outcome: exception.outcome,
            record_number: 0,
            reason: exception.reason.clone(),
            explanation,
            suppressed_until: exception.suppressed_until,
            flags: Vec::new(),
        })
    }

    pub(crate) fn from_response(response: &ReportResponse) -> Self {
        let record = match response.record_number {
            0 => String::new(),
            number => format!(" (record {number})"),
        };
        let is_stored = match response.record_number {
            0 => "is stored".to_owned(),
            number => format!("is record {number}"),
        };
        let because = explanation(response);
        let (text, exit_code) = match Outcome::try_from(response.outcome) {
            Ok(Outcome::Kept) => (is_stored, ExitCode::Done),
            Ok(Outcome::Repeated) => (format!("is counted{record}{because}"), ExitCode::Done),
            Ok(Outcome::Folded) => (format!("is counted{because}"), ExitCode::Done),
            Ok(Outcome::Duplicate) => (format!("is already known{record}"), ExitCode::Done),
            Ok(Outcome::History) => (format!("{is_stored}, history only{because}"), ExitCode::Done),
            Ok(Outcome::NotKept) => (format!("is not stored{because}"), ExitCode::Done),
            Ok(Outcome::Suppressed) => (
                format!("suppressed{}{because}{record}", suppression_end(response)),
                ExitCode::Suppressed,
            ),
            Ok(Outcome::Refused) => (format!("refused{because}{record}"), ExitCode::Refused),
            Ok(Outcome::Unsupported) => {
                (format!("is not supported by this broker{because}"), ExitCode::Refused)
            }
            Ok(Outcome::Invalid) => (format!("is invalid{because}"), ExitCode::Usage),
            Ok(Outcome::Unspecified) | Err(_) => (
                format!(
                    "has outcome {}, which this vme does not know{because}{record}",
                    response.outcome
                ),
                ExitCode::Failed,
            ),
        };
        Self { text: text + &describe_flags(&response.flags), exit_code }
    }
}

fn explanation(response: &ReportResponse) -> String {
    match (response.explanation.as_str(), response.reason.as_str()) {
        ("", "") => String::new(),
        ("", reason) => format!(": {}", escape::escape(reason)),
        (explanation, _) => format!(": {}", escape::escape(explanation)),
    }
}

fn suppression_end(response: &ReportResponse) -> String {
    response
        .suppressed_until
        .as_ref()
        .and_then(|until| jiff::Timestamp::from_second(until.seconds).ok())
        .map_or_else(String::new, |until| format!(" until {until}"))
}

fn describe_flags(flags: &[String]) -> String {
    if flags.is_empty() {
        return String::new();
    }
    let labels: Vec<String> = flags
        .iter()
        .map(|flag| match flag.as_str() {
            "text_cut" => "text truncated to 4096 bytes".to_owned(),
            "time_off" => "this clock differs much from the broker's".to_owned(),
            "promise_cut" => "report deadline reduced to what its class allows".to_owned(),
            "not_witnessed" => "start not witnessed".to_owned(),
            "late" => "started late".to_owned(),
            // The contract's flags are words: `progress_fell`.
            other => escape::escape(other).replace('_', " "),
        })
        .collect();
    format!(" ({})", labels.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(outcome: Outcome, response: ReportResponse) -> (String, ExitCode) {
        let answer =
            OutcomeText::from_response(&ReportResponse { outcome: outcome.into(), ..response });
        (answer.text, answer.exit_code)
    }

    fn response(record_number: u64, explanation: &str) -> ReportResponse {
        let explanation = explanation.to_owned();
        ReportResponse { record_number, explanation, ..ReportResponse::default() }
    }

    #[test]
    fn every_outcome_has_its_text_and_exit_code() {
        let suppressed_until = Some(prost_types::Timestamp { seconds: 1_760_000_000, nanos: 5 });
        let suppressed = ReportResponse { suppressed_until, ..response(20, "too many log events") };
        for (outcome, response, text, exit_code) in [
            (Outcome::Kept, response(17, ""), "is record 17", ExitCode::Done),
            (Outcome::Repeated, response(17, ""), "is counted (record 17)", ExitCode::Done),
            (Outcome::Duplicate, response(17, ""), "is already known (record 17)", ExitCode::Done),
            (Outcome::Duplicate, response(0, ""), "is already known", ExitCode::Done),
            (
                Outcome::History,
                response(18, "an older boot"),
                "is record 18, history only: an older boot",
                ExitCode::Done,
            ),
            (
                Outcome::NotKept,
                response(0, "below severity info"),
                "is not stored: below severity info",
                ExitCode::Done,
            ),
            (
                Outcome::Suppressed,
                suppressed,
                "suppressed until 2025-10-09T08:53:20Z: too many log events (record 20)",
                ExitCode::Suppressed,
            ),
            (
                Outcome::Refused,
                response(19, "already running"),
                "refused: already running (record 19)",
                ExitCode::Refused,
            ),
            (
                Outcome::Unsupported,
                response(0, ""),
                "is not supported by this broker",
                ExitCode::Refused,
            ),
            (Outcome::Invalid, response(0, "text"), "is invalid: text", ExitCode::Usage),
            (
                Outcome::Unspecified,
                response(3, ""),
                "has outcome 0, which this vme does not know (record 3)",
                ExitCode::Failed,
            ),
        ] {
            assert_eq!(text_of(outcome, response), (text.to_owned(), exit_code), "{outcome:?}");
        }
    }

    #[test]
    fn flags_are_shown_as_text() {
        let flags = ["text_cut", "progress_fell"].map(ToOwned::to_owned).into();
        let response = ReportResponse { record_number: 18, flags, ..ReportResponse::default() };
        let (text, _) = text_of(Outcome::Kept, response);
        assert_eq!(text, "is record 18 (text truncated to 4096 bytes, progress fell)");
    }

    #[test]
    fn control_characters_from_the_broker_are_escaped() {
        let (text, _) = text_of(Outcome::Refused, response(0, "no\x1b[2J\nvme: kept"));
        assert_eq!(text, r"refused: no\x1b[2J\nvme: kept");
    }
}
