//! Parses the arguments of an event, as in `id=log msg="disk is slow"`.
//!
//! The grammar of `vme`, as in the vendor's manuals from 2.4 to 3.8. Guarantees that the same
//! arguments always give the same event, that all errors of a call are found at once, and that a
//! text never costs an event: text that is not UTF-8 or too long is corrected and reported as a
//! [`Correction`]. Does not know the appliance, the boot or the time; nor the broker's rules.

mod mistake;
mod start;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ffi::OsStr;
use std::time::Duration;

use crate::grid::alert_key::is_alert_key;
use crate::grid::name::has_alphabet_of_names;
use crate::wire::proto::event::Kind;
use crate::wire::proto::{Alert, Counter, Event, Log, Maintenance, Severity};
use crate::wire::proto::{StartFailed, StartedOk};

pub use mistake::{Mistake, Mistakes};

/// The events, as `id=` spells them.
pub const EVENTS: [&str; 5] = ["started_ok", "start_failed", "maintenance", "log", "alert"];

/// The severities, as `severity=` spells them, mildest first.
pub const SEVERITIES: [&str; 5] = ["debug", "info", "warn", "error", "fatal"];

/// The parameters, and the two aliases of `msg` last.
pub const PARAMETERS: [&str; 10] = [
    "id",
    "msg",
    "severity",
    "key",
    "progress",
    "cnt_name",
    "cnt_value",
    "next_report_within",
    "text",
    "log_text",
];

/// Longest text that is sent: an event may take 65,536 bytes on the wire. The broker truncates
/// texts beyond 4,096 and marks them.
pub const LONGEST_TEXT: usize = 60_000;

/// The shortest and the longest time until the next report.
const PROMISE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(60);

/// The parsed event, and the corrections of its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Spoken {
    /// The event: kind, text, severity and report deadline. Boot, sequence and times are not set.
    pub event: Event,
    /// The event's name as `id=` spells it.
    pub name: &'static str,
    /// The corrections, to be reported to the caller.
    pub mendings: Vec<Mending>,
}

impl Spoken {
    /// Whether it is about the start; such an event belongs to a boot.
    pub fn is_about_the_start(&self) -> bool {
        matches!(self.name, "started_ok" | "start_failed" | "maintenance")
    }
}

/// A change of a text so that the event can be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mending {
    /// Bytes that are not UTF-8.
    #[error("{parameter} is not UTF-8; each invalid part is replaced by U+FFFD")]
    NotUtf8 {
        /// The parameter.
        parameter: String,
    },
    /// More text than a message may contain.
    #[error("{parameter} of {bytes} bytes is truncated to {kept} bytes")]
    Cut {
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
pub fn parse<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Result<Spoken, Mistakes> {
    let mut parser = Reading::default();
    for argument in arguments {
        parser.take(argument.as_ref());
    }
    parser.finish()
}

/// The value of a parameter, with the name it was given under.
#[derive(Debug)]
struct Given {
    name: String,
    value: String,
}

/// The arguments so far; one slot per parameter.
#[derive(Debug, Default)]
struct Reading {
    id: Option<Given>,
    text: Option<Given>,
    severity: Option<Given>,
    key: Option<Given>,
    progress: Option<Given>,
    counter_name: Option<Given>,
    counter_value: Option<Given>,
    next_report_within: Option<Given>,
    mistakes: Vec<Mistake>,
    mendings: Vec<Mending>,
}

impl Reading {
    fn take(&mut self, argument: &OsStr) {
        let whole = argument.to_string_lossy();
        let Some((name, value)) = whole.split_once('=') else {
            self.mistakes.push(Mistake::NotAPair { word: whole.into_owned() });
            return;
        };
        let slot = match name {
            "id" => &mut self.id,
            "msg" | "text" | "log_text" => &mut self.text,
            "severity" => &mut self.severity,
            "key" => &mut self.key,
            "progress" => &mut self.progress,
            "cnt_name" => &mut self.counter_name,
            "cnt_value" => &mut self.counter_value,
            "next_report_within" => &mut self.next_report_within,
            _ => {
                self.mistakes.push(Mistake::UnknownParameter { name: name.to_owned() });
                return;
            }
        };
        if slot.is_some() {
            let (name, value) = (name.to_owned(), value.to_owned());
            self.mistakes.push(Mistake::Again { name, value });
            return;
        }
        *slot = Some(Given { name: name.to_owned(), value: value.to_owned() });
        if matches!(whole, Cow::Owned(_)) {
            self.mendings.push(Mending::NotUtf8 { parameter: name.to_owned() });
        }
    }

    fn finish(mut self) -> Result<Spoken, Mistakes> {
        let name = self.event_name();
        let severity = self.severity();
        let text = self.text();
        // Parameters of other events are parsed, too, to find their errors.
        let progress = self.progress(name);
        let next_report_within_ms = self.promise(name);
        let counter = self.counter(name);
        let alert_key = self.alert_key(name);
        // Half a counter has an error of its own.
        let tried_counter = self.counter_name.is_some() || self.counter_value.is_some();
        match name {
            Some(event @ "log") if text.is_empty() => {
                self.mistakes.push(Mistake::NoText { event });
            }
            Some(event @ "alert") if text.is_empty() && !tried_counter => {
                self.mistakes.push(Mistake::NoText { event });
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
        let (Some(name), Some(_), true) = (name, &kind, self.mistakes.is_empty()) else {
            return Err(Mistakes(self.mistakes));
        };
        let severity = severity.into();
        let event =
            Event { kind, text, severity, next_report_within_ms, alert_key, ..Event::default() };
        Ok(Spoken { event, name, mendings: self.mendings })
    }

    fn event_name(&mut self) -> Option<&'static str> {
        let Some(id) = &self.id else {
            self.mistakes.push(Mistake::NoEvent);
            return None;
        };
        let known = EVENTS.into_iter().find(|event| *event == id.value);
        if known.is_none() {
            self.mistakes.push(Mistake::UnknownEvent { value: id.value.clone() });
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
                self.mistakes.push(Mistake::UnknownSeverity { value: given.value.clone() });
                Severity::Unspecified
            }
        }
    }

    fn text(&mut self) -> String {
        let Some(given) = self.text.take() else { return String::new() };
        let mut text = given.value;
        let bytes = text.len();
        if bytes > LONGEST_TEXT {
            text.truncate(text.floor_char_boundary(LONGEST_TEXT));
            let kept = text.len();
            self.mendings.push(Mending::Cut { parameter: given.name, bytes, kept });
        }
        text
    }

    /// `None` if it is not given or invalid.
    fn progress(&mut self, event: Option<&'static str>) -> Option<u32> {
        let given = self.progress.take()?;
        let progress = whole_number(&given.value).filter(|progress| (1..=100).contains(progress));
        if progress.is_none() {
            self.mistakes.push(Mistake::Progress { value: given.value.clone() });
        }
        self.only_with("maintenance", event, "progress", given.value);
        progress
    }

    /// In milliseconds; 0 if it is not given or invalid.
    fn promise(&mut self, event: Option<&'static str>) -> u32 {
        let Some(given) = self.next_report_within.take() else { return 0 };
        let promise = time(&given.value).filter(|promise| PROMISE.contains(promise));
        if promise.is_none() {
            self.mistakes.push(Mistake::NextReportWithin { value: given.value.clone() });
        }
        self.only_with("maintenance", event, "next_report_within", given.value);
        promise.and_then(|promise| u32::try_from(promise.as_millis()).ok()).unwrap_or(0)
    }

    /// Empty if it is not given.
    fn alert_key(&mut self, event: Option<&'static str>) -> String {
        let Some(given) = self.key.take() else { return String::new() };
        if !is_alert_key(&given.value) {
            self.mistakes.push(Mistake::AlertKey { value: given.value.clone() });
        }
        self.only_with("alert", event, "key", given.value.clone());
        given.value
    }

    fn counter(&mut self, event: Option<&'static str>) -> Option<Counter> {
        if let Some(name) = &self.counter_name
            && !has_alphabet_of_names(&name.value)
        {
            self.mistakes.push(Mistake::CounterName { value: name.value.clone() });
        }
        let number =
            self.counter_value.as_ref().map(|given| (given.value.clone(), finite(&given.value)));
        if let Some((value, None)) = &number {
            self.mistakes.push(Mistake::CounterValue { value: value.clone() });
        }
        let name = self.counter_name.as_ref().map(|given| given.value.clone());
        if let Some(value) = &name {
            self.only_with("alert", event, "cnt_name", value.clone());
        }
        if let Some((value, _)) = &number {
            self.only_with("alert", event, "cnt_value", value.clone());
        }
        match (name, number) {
            (Some(name), Some((_, value))) => value.map(|value| Counter { name, value }),
            (Some(value), None) => {
                let (given, missing) = ("cnt_name", "cnt_value");
                self.mistakes.push(Mistake::HalfCounter { given, value, missing });
                None
            }
            (None, Some((value, _))) => {
                let (given, missing) = ("cnt_value", "cnt_name");
                self.mistakes.push(Mistake::HalfCounter { given, value, missing });
                None
            }
            (None, None) => None,
        }
    }

    /// Checks that the parameter belongs to this event. Not possible if the event is unknown.
    fn only_with(
        &mut self,
        only: &'static str,
        event: Option<&'static str>,
        name: &'static str,
        value: String,
    ) {
        if let Some(event) = event
            && event != only
        {
            self.mistakes.push(Mistake::NotOfThisEvent { name, value, only, event });
        }
    }
}

/// Digits only: the manuals' whole percent excludes `+30`, `30%` and `3e1`.
fn whole_number(value: &str) -> Option<u32> {
    value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok()).flatten()
}

fn finite(value: &str) -> Option<f64> {
    value.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A duration with units, as in `10s`, `500ms` or `1m30s`. Not negative.
pub fn time(value: &str) -> Option<Duration> {
    value.parse::<jiff::SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok())
}
