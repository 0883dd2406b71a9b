//! What can be wrong with the words of an event, and how is it said?
//!
//! Guarantees that each mistake names the parameter, the value as given (made harmless) and what
//! is allowed, and suggests the known word nearest to an unknown one. Does not know how the words
//! are parsed.

use std::fmt;

use crate::show::escape;
use crate::show::nearest::nearest;

use super::{EVENTS, PARAMETERS, SEVERITIES};

/// One thing wrong with the words of an event.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Mistake {
    /// A word that is not `name=value`.
    #[error(
        "`{}` is not name=value{}; quote a text that has spaces: msg=\"two words\"",
        escape::excerpt(.word), event_hint(.word)
    )]
    NotAPair {
        /// The word.
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
    /// A parameter, or one and its alias, given again.
    #[error("{name} is given again as `{}`; once is allowed", escape::excerpt(.value))]
    Again {
        /// The parameter, as spelt the second time.
        name: String,
        /// The value it has there.
        value: String,
    },
    /// No `id=`.
    #[error("id is missing; it is one of {}, for instance id=started_ok", list(&EVENTS))]
    NoEvent,
    /// An event that does not exist.
    #[error(
        "id=`{}` is no event{}; it is one of {}",
        escape::excerpt(.value), suggestion(.value, &EVENTS), list(&EVENTS)
    )]
    UnknownEvent {
        /// As given.
        value: String,
    },
    /// A severity that does not exist.
    #[error(
        "severity=`{}` is no severity{}; it is one of {}",
        escape::excerpt(.value), suggestion(.value, &SEVERITIES), list(&SEVERITIES)
    )]
    UnknownSeverity {
        /// As given.
        value: String,
    },
    /// An alert's key out of the alphabet.
    #[error("key=`{}` is not 1 to 120 letters, digits, `.`, `_`, `-` or `:`", escape::excerpt(.value))]
    AlertKey {
        /// As given.
        value: String,
    },
    /// Progress out of its range.
    #[error("progress=`{}` is not a whole number from 1 to 100", escape::excerpt(.value))]
    Progress {
        /// As given.
        value: String,
    },
    /// A counter's name out of the alphabet.
    #[error(
        "cnt_name=`{}` is not 1 to 128 letters, digits, `.`, `_`, `-` or `:`",
        escape::excerpt(.value)
    )]
    CounterName {
        /// As given.
        value: String,
    },
    /// A counter's value that is no number.
    #[error("cnt_value=`{}` is not a finite number such as 46 or -0.5", escape::excerpt(.value))]
    CounterValue {
        /// As given.
        value: String,
    },
    /// One half of a counter.
    #[error("{given}=`{}` is half of a counter; {missing} belongs to it", escape::excerpt(.value))]
    HalfCounter {
        /// The parameter given.
        given: &'static str,
        /// Its value.
        value: String,
        /// The one that is missing.
        missing: &'static str,
    },
    /// A promise out of its range.
    #[error("next_report_within=`{}` is not a time from 1s to 60s", escape::excerpt(.value))]
    NextReportWithin {
        /// As given.
        value: String,
    },
    /// A parameter that this event does not have.
    #[error("{name}=`{}` is allowed with id={only} only, not with id={event}", escape::excerpt(.value))]
    NotOfThisEvent {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// The event that has it.
        only: &'static str,
        /// The event that was asked for.
        event: &'static str,
    },
    /// An event that says nothing.
    #[error("msg is missing; id={event} needs a text{}", if *.event == "alert" { " or a counter" } else { "" })]
    NoText {
        /// The event.
        event: &'static str,
    },
}

/// Everything wrong with the words of one event, in the order found. Never empty.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

fn list(known: &[&str]) -> String {
    known.join(", ")
}

fn suggestion(given: &str, known: &[&str]) -> String {
    nearest(given, known).map_or_else(String::new, |nearest| format!(", did you mean `{nearest}`"))
}

/// `vme started_ok` is the likeliest wrong call of all.
fn event_hint(word: &str) -> String {
    nearest(word, &EVENTS).map_or_else(String::new, |event| format!(", did you mean `id={event}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised() {
        for (given, meant) in [
            ("startd_ok", "started_ok"),
            ("started-ok", "started_ok"),
            ("STARTED_OK", "started_ok"),
            ("started", "started_ok"),
            ("failed", "start_failed"),
            ("maintainance", "maintenance"),
            ("alerts", "alert"),
        ] {
            assert_eq!(nearest(given, &EVENTS), Some(meant), "{given}");
        }
        assert_eq!(nearest("warning", &SEVERITIES), Some("warn"));
        assert_eq!(nearest("err", &SEVERITIES), Some("error"));
        assert_eq!(nearest("messsage", &PARAMETERS), None);
        assert_eq!(nearest("reboot", &EVENTS), None);
        assert_eq!(nearest("", &EVENTS), None);
    }
}
