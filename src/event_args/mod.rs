//! Parses the arguments of an event, as in `id=log msg="disk is slow"`.
//!
//! The grammar of `vme`, as in the vendor's manuals from 2.4 to 3.8. Guarantees that the same
//! arguments always give the same event, that all errors of a call are found at once, and that a
//! text never costs an event: text that is not UTF-8 or too long is corrected and reported as a
//! [`Correction`]. Does not know the appliance, the boot or the time; nor the broker's rules.

mod error;
mod start_events;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ffi::OsStr;
use std::time::Duration;

use crate::contract::proto::event::Kind;
use crate::contract::proto::{
    Alert, Counter, Event, Log, Maintenance, Severity, StartFailed, StartedOk,
};
use crate::grid::model::alert_group::is_valid_group_key;
use crate::grid::values::event::EventKind;
use crate::grid::values::id::has_name_characters;
use crate::units;

pub use crate::event_args::error::{ArgError, ArgErrors};

/// The events, as `id=` spells them.
pub const EVENTS: [&str; EventKind::ALL.len()] = {
    let mut labels = [""; EventKind::ALL.len()];
    let mut at = 0;
    while at < labels.len() {
        labels[at] = EventKind::ALL[at].as_str();
        at += 1;
    }
    labels
};

/// The severities, as `severity=` spells them, mildest first.
pub const SEVERITIES: [&str; 5] = ["debug", "info", "warn", "error", "fatal"];

/// The parameters, and the two aliases of `msg` last.
pub const PARAMETERS: [&str; 11] = [
    "id",
    "msg",
    "severity",
    "key",
    "resolved",
    "progress",
    "cnt_name",
    "cnt_value",
    "next_report_within",
    "text",
    "log_text",
];

/// Longest text that is sent: an event may take 65,536 bytes on the wire. The broker truncates
/// texts beyond 4,096 and marks them.
pub const SENT_TEXT_BYTES_MAX: usize = 60_000;

/// The shortest and the longest time until the next report.
const REPORT_DEADLINE_RANGE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(60);

/// The parsed event, and the corrections of its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct EventCommand {
    /// The event: kind, text, severity and report deadline. Boot, sequence and times are not set.
    pub event: Event,
    /// The event's name as `id=` spells it.
    pub name: &'static str,
    /// The corrections, to be reported to the caller.
    pub corrections: Vec<Correction>,
}

impl EventCommand {
    /// Whether it is about the start; such an event belongs to a boot.
    pub fn is_lifecycle(&self) -> bool {
        matches!(self.name, "started_ok" | "start_failed" | "maintenance")
    }
}

/// A change of a text so that the event can be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Correction {
    /// Bytes that are not UTF-8.
    #[error("{parameter} is not UTF-8; each invalid part is replaced by U+FFFD")]
    NotUtf8 {
        /// The parameter.
        parameter: String,
    },
    /// More text than a message may contain.
    #[error("{parameter} of {bytes} bytes is truncated to {kept} bytes")]
    Truncated {
        /// The parameter.
        parameter: String,
        /// Its length.
        bytes: usize,
        /// Its length after that.
        kept: usize,
    },
}

/// Parses the arguments of one event, in any order.
///
/// # Errors
///
/// All errors, if there is at least one.
pub fn parse<A: AsRef<OsStr>>(
    arguments: impl IntoIterator<Item = A>,
) -> Result<EventCommand, ArgErrors> {
    let mut parser = ArgParser::default();
    for argument in arguments {
        parser.push(argument.as_ref());
    }
    parser.finish()
}

/// The value of a parameter, with the name it was given under.
#[derive(Debug)]
struct ArgValue {
    name: String,
    value: String,
}

/// The arguments so far; one slot per parameter.
#[derive(Debug, Default)]
struct ArgParser {
    id: Option<ArgValue>,
    text: Option<ArgValue>,
    severity: Option<ArgValue>,
    key: Option<ArgValue>,
    resolved: Option<ArgValue>,
    progress: Option<ArgValue>,
    counter_name: Option<ArgValue>,
    counter_value: Option<ArgValue>,
    next_report_within: Option<ArgValue>,
    errors: Vec<ArgError>,
    corrections: Vec<Correction>,
}

impl ArgParser {
    fn push(&mut self, argument: &OsStr) {
        let whole = argument.to_string_lossy();
        let Some((name, value)) = whole.split_once('=') else {
            self.errors.push(ArgError::NotAPair { word: whole.into_owned() });
            return;
        };
        let slot = match name {
            "id" => &mut self.id,
            "msg" | "text" | "log_text" => &mut self.text,
            "severity" => &mut self.severity,
            "key" => &mut self.key,
            "resolved" => &mut self.resolved,
            "progress" => &mut self.progress,
            "cnt_name" => &mut self.counter_name,
            "cnt_value" => &mut self.counter_value,
            "next_report_within" => &mut self.next_report_within,
            _ => {
                self.errors.push(ArgError::UnknownParameter { name: name.to_owned() });
                return;
            }
        };
        if slot.is_some() {
            let (name, value) = (name.to_owned(), value.to_owned());
            self.errors.push(ArgError::Duplicate { name, value });
            return;
        }
        *slot = Some(ArgValue { name: name.to_owned(), value: value.to_owned() });
        if matches!(whole, Cow::Owned(_)) {
            self.corrections.push(Correction::NotUtf8 { parameter: name.to_owned() });
        }
    }

    fn finish(mut self) -> Result<EventCommand, ArgErrors> {
        let name = self.event_name();
        let severity = self.severity();
        let text = self.text();
        // Parameters of other events are parsed, too, to find their errors.
        let progress = self.progress(name);
        let next_report_within_ms = self.report_within_ms(name);
        let counter = self.counter(name);
        let alert_key = self.alert_key(name);
        let alert_resolved = self.alert_resolved(name);
        // Half a counter has an error of its own.
        let tried_counter = self.counter_name.is_some() || self.counter_value.is_some();
        match name {
            Some(event @ "log") if text.is_empty() => {
                self.errors.push(ArgError::MissingText { event });
            }
            Some(event @ "alert")
                if text.is_empty()
                    && !tried_counter
                    && (!alert_resolved || alert_key.is_empty()) =>
            {
                self.errors.push(ArgError::MissingText { event });
            }
            _ => {}
        }
        let kind = match name {
            Some("started_ok") => Some(Kind::StartedOk(StartedOk {})),
            Some("start_failed") => Some(Kind::StartFailed(StartFailed {})),
            Some("maintenance") => Some(Kind::Maintenance(Maintenance { progress })),
            Some("log") => Some(Kind::Log(Log {})),
            Some("alert") => Some(Kind::Alert(Alert { counter })),
            _ => None,
        };
        let (Some(name), Some(_), true) = (name, &kind, self.errors.is_empty()) else {
            return Err(ArgErrors(self.errors));
        };
        let severity = severity.into();
        let event = Event {
            kind,
            text,
            severity,
            next_report_within_ms,
            alert_key,
            alert_resolved,
            ..Event::default()
        };
        Ok(EventCommand { event, name, corrections: self.corrections })
    }

    fn event_name(&mut self) -> Option<&'static str> {
        let Some(id) = &self.id else {
            self.errors.push(ArgError::MissingEvent);
            return None;
        };
        let known = EVENTS.into_iter().find(|event| *event == id.value);
        if known.is_none() {
            self.errors.push(ArgError::UnknownEvent { value: id.value.clone() });
        }
        known
    }

    fn severity(&mut self) -> Severity {
        let Some(given) = &self.severity else { return Severity::Unspecified };
        match given.value.as_str() {
            "debug" => Severity::Debug,
            "info" => Severity::Info,
            "warn" => Severity::Warn,
            "error" => Severity::Error,
            "fatal" => Severity::Fatal,
            _ => {
                self.errors.push(ArgError::UnknownSeverity { value: given.value.clone() });
                Severity::Unspecified
            }
        }
    }

    fn text(&mut self) -> String {
        let Some(given) = self.text.take() else { return String::new() };
        let mut text = given.value;
        let bytes = text.len();
        if bytes > SENT_TEXT_BYTES_MAX {
            text.truncate(text.floor_char_boundary(SENT_TEXT_BYTES_MAX));
            let kept = text.len();
            self.corrections.push(Correction::Truncated { parameter: given.name, bytes, kept });
        }
        text
    }

    /// `None` if it is not given or invalid.
    fn progress(&mut self, event: Option<&'static str>) -> Option<u32> {
        let given = self.progress.take()?;
        let progress =
            parse_whole_number(&given.value).filter(|progress| (1..=100).contains(progress));
        if progress.is_none() {
            self.errors.push(ArgError::Progress { value: given.value.clone() });
        }
        self.require_event("maintenance", event, "progress", given.value);
        progress
    }

    /// In milliseconds; 0 if it is not given or invalid.
    fn report_within_ms(&mut self, event: Option<&'static str>) -> u32 {
        let Some(given) = self.next_report_within.take() else { return 0 };
        let promise = units::parse_duration(&given.value)
            .filter(|promise| REPORT_DEADLINE_RANGE.contains(promise));
        if promise.is_none() {
            self.errors.push(ArgError::NextReportWithin { value: given.value.clone() });
        }
        self.require_event("maintenance", event, "next_report_within", given.value);
        promise.and_then(|promise| u32::try_from(promise.as_millis()).ok()).unwrap_or(0)
    }

    /// Empty if it is not given.
    fn alert_key(&mut self, event: Option<&'static str>) -> String {
        let Some(given) = self.key.take() else { return String::new() };
        if !is_valid_group_key(&given.value) {
            self.errors.push(ArgError::AlertKey { value: given.value.clone() });
        }
        self.require_event("alert", event, "key", given.value.clone());
        given.value
    }

    /// `false` if it is not given or invalid.
    fn alert_resolved(&mut self, event: Option<&'static str>) -> bool {
        let Some(given) = self.resolved.take() else { return false };
        if !matches!(given.value.as_str(), "yes" | "no") {
            self.errors.push(ArgError::Resolved { value: given.value.clone() });
        }
        self.require_event("alert", event, "resolved", given.value.clone());
        given.value == "yes"
    }

    fn counter(&mut self, event: Option<&'static str>) -> Option<Counter> {
        if let Some(name) = &self.counter_name
            && !has_name_characters(&name.value)
        {
            self.errors.push(ArgError::CounterName { value: name.value.clone() });
        }
        let number = self
            .counter_value
            .as_ref()
            .map(|given| (given.value.clone(), parse_finite(&given.value)));
        if let Some((value, None)) = &number {
            self.errors.push(ArgError::CounterValue { value: value.clone() });
        }
        let name = self.counter_name.as_ref().map(|given| given.value.clone());
        if let Some(value) = &name {
            self.require_event("alert", event, "cnt_name", value.clone());
        }
        if let Some((value, _)) = &number {
            self.require_event("alert", event, "cnt_value", value.clone());
        }
        match (name, number) {
            (Some(name), Some((_, value))) => value.map(|value| Counter { name, value }),
            (Some(value), None) => {
                let (given, missing) = ("cnt_name", "cnt_value");
                self.errors.push(ArgError::IncompleteCounter { given, value, missing });
                None
            }
            (None, Some((value, _))) => {
                let (given, missing) = ("cnt_value", "cnt_name");
                self.errors.push(ArgError::IncompleteCounter { given, value, missing });
                None
            }
            (None, None) => None,
        }
    }

    /// Checks that the parameter belongs to this event. Not possible if the event is unknown.
    fn require_event(
        &mut self,
        only: &'static str,
        event: Option<&'static str>,
        name: &'static str,
        value: String,
    ) {
        if let Some(event) = event
            && event != only
        {
            self.errors.push(ArgError::NotAllowed { name, value, only, event });
        }
    }
}

/// Digits only: the manuals' whole percent excludes `+30`, `30%` and `3e1`.
fn parse_whole_number(value: &str) -> Option<u32> {
    value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok()).flatten()
}

fn parse_finite(value: &str) -> Option<f64> {
    value.parse().ok().filter(|number: &f64| number.is_finite())
}
