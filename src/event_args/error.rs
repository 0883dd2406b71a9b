//! The errors in the arguments of an event, and their texts.
//!
//! Guarantees that each error names the parameter, the value as given (escaped) and the allowed
//! values, and suggests the known word nearest to an unknown one. Does not know how the arguments
//! are parsed.

use std::fmt;

use crate::show::escape;
use crate::show::suggest::suggest;

use super::{EVENTS, PARAMETERS, SEVERITIES};

/// One error in the arguments of an event.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ArgError {
    /// An argument that is not `name=value`.
    #[error(
        "`{}` is not name=value{}; quote a text that has spaces: msg=\"two words\"",
        escape::excerpt(.word), event_hint(.word)
    )]
    NotAPair {
        /// The argument.
        word: String,
    },
    /// A parameter that does not exist.
    #[error(
        "parameter `{}` is unknown{}; there are {}",
        escape::excerpt(.name), suggestion(.name, &PARAMETERS), list(&PARAMETERS)
    )]
    UnknownParameter {
        /// Its name as given.
        name: String,
    },
    /// A parameter that is given twice, also by an alias.
    #[error("{name} is given again as `{}`; it is allowed once", escape::excerpt(.value))]
    Duplicate {
        /// The parameter, as spelled the second time.
        name: String,
        /// Its second value.
        value: String,
    },
    /// No `id=`.
    #[error("id is missing; it is one of {}, for instance id=started_ok", list(&EVENTS))]
    MissingEvent,
    /// An event that does not exist.
    #[error(
        "id=`{}` is not an event{}; it is one of {}",
        escape::excerpt(.value), suggestion(.value, &EVENTS), list(&EVENTS)
    )]
    UnknownEvent {
        /// As given.
        value: String,
    },
    /// A severity that does not exist.
    #[error(
        "severity=`{}` is not a severity{}; it is one of {}",
        escape::excerpt(.value), suggestion(.value, &SEVERITIES), list(&SEVERITIES)
    )]
    UnknownSeverity {
        /// As given.
        value: String,
    },
    /// A key of an alert with characters that are not allowed.
    #[error("key=`{}` is not 1 to 120 letters, digits, `.`, `_`, `-` or `:`", escape::excerpt(.value))]
    AlertKey {
        /// As given.
        value: String,
    },
    /// Neither `yes` nor `no`.
    #[error("resolved=`{}` is neither `yes` (the problem is over) nor `no`", escape::excerpt(.value))]
    Resolved {
        /// As given.
        value: String,
    },
    /// Progress out of range.
    #[error("progress=`{}` is not a whole number from 1 to 100", escape::excerpt(.value))]
    Progress {
        /// As given.
        value: String,
    },
    /// A name of a counter with characters that are not allowed.
    #[error(
        "cnt_name=`{}` is not 1 to 128 letters, digits, `.`, `_`, `-` or `:`",
        escape::excerpt(.value)
    )]
    CounterName {
        /// As given.
        value: String,
    },
    /// A value of a counter that is not a number.
    #[error("cnt_value=`{}` is not a finite number such as 46 or -0.5", escape::excerpt(.value))]
    CounterValue {
        /// As given.
        value: String,
    },
    /// A counter without its name or its value.
    #[error("{given}=`{}` is half of a counter; {missing} is missing", escape::excerpt(.value))]
    IncompleteCounter {
        /// The parameter given.
        given: &'static str,
        /// Its value.
        value: String,
        /// The missing parameter.
        missing: &'static str,
    },
    /// A report deadline out of range.
    #[error("next_report_within=`{}` is not a time from 1s to 60s", escape::excerpt(.value))]
    NextReportWithin {
        /// As given.
        value: String,
    },
    /// A parameter that is not allowed with this event.
    #[error("{name}=`{}` is allowed with id={only} only, not with id={event}", escape::excerpt(.value))]
    NotAllowed {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// The event that allows it.
        only: &'static str,
        /// The event that was given.
        event: &'static str,
    },
    /// An event without a text.
    #[error("msg is missing; id={event} needs a text{}", if *.event == "alert" { " or a counter" } else { "" })]
    MissingText {
        /// The event.
        event: &'static str,
    },
}

/// All errors in the arguments of one event, in the order found. Never empty.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub struct ArgErrors(pub Vec<ArgError>);

impl fmt::Display for ArgErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

fn list(known: &[&str]) -> String {
    known.join(", ")
}

fn suggestion(given: &str, known: &[&str]) -> String {
    suggest(given, known).map_or_else(String::new, |nearest| format!(", did you mean `{nearest}`"))
}

/// `vme started_ok` is the most likely wrong call.
fn event_hint(word: &str) -> String {
    suggest(word, &EVENTS).map_or_else(String::new, |event| format!(", did you mean `id={event}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_get_suggestions() {
        for (given, meant) in [
            ("startd_ok", "started_ok"),
            ("started-ok", "started_ok"),
            ("STARTED_OK", "started_ok"),
            ("started", "started_ok"),
            ("failed", "start_failed"),
            ("maintainance", "maintenance"),
            ("alerts", "alert"),
        ] {
            assert_eq!(suggest(given, &EVENTS), Some(meant), "{given}");
        }
        assert_eq!(suggest("warning", &SEVERITIES), Some("warn"));
        assert_eq!(suggest("err", &SEVERITIES), Some("error"));
        assert_eq!(suggest("messsage", &PARAMETERS), None);
        assert_eq!(suggest("reboot", &EVENTS), None);
        assert_eq!(suggest("", &EVENTS), None);
    }
}
