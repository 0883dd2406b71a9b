//! Defines the event of an appliance and its five kinds, validated.
//!
//! Guarantees that an [`Event`] contains only what the contract allows. Knows neither the wire
//! format nor what is decided on it.

use std::time::Duration;

use super::crash_dump::FoundDump;
use super::time::Timestamp;
use crate::grid::values::id::has_name_characters;

/// The longest text that is stored, in bytes (ntfy's 4,096; syslog has 2,048).
pub const TEXT_BYTES_MAX: usize = 4_096;

/// The most entries of [`Event::dropped_before`].
pub const DROPPED_ENTRIES_MAX: usize = 16;

/// One event, validated.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What happened.
    pub body: EventBody,
    /// Free and hostile text, at most [`TEXT_BYTES_MAX`] bytes.
    pub text: BoundedText,
    /// Its severity.
    pub severity: Severity,
    /// When it happened, by the appliance's clock.
    pub event_time: Option<Timestamp>,
    /// How long the boot had been up.
    pub uptime: Option<Duration>,
    /// When it was put into the appliance's spool; such an event is a replay.
    pub spooled_at: Option<Timestamp>,
    /// A tool sent its last report again automatically.
    pub is_repeated: bool,
    /// What the appliance dropped before it.
    pub dropped_before: Vec<DroppedEvents>,
    /// Alerts only: the group key that the appliance gives, so that none is derived from the text.
    pub group_key: Option<Box<str>>,
    /// Alerts only: a crash dump that the appliance found.
    pub crash_dump: Option<Box<FoundDump>>,
    /// Alerts only: the problem is over.
    pub is_resolved: bool,
}

/// The content of an event: the five kinds, spelt as in CA AppLogic.
#[derive(Clone, Debug, PartialEq)]
pub enum EventBody {
    /// `started_ok`: the start is complete.
    StartedOk,
    /// `start_failed`: the start failed, the text says why.
    StartFailed,
    /// `maintenance`: the progress of a long start.
    Maintenance {
        /// How much is done.
        progress: Option<Progress>,
        /// Within which time the next report comes.
        next_report_within: Option<Duration>,
    },
    /// `log`: a line for the grid log.
    Log,
    /// `alert`: a problem for an administrator, a counter, or both.
    Alert {
        /// The counter that changed.
        counter: Option<Counter>,
    },
}

impl EventBody {
    /// Whether the event is about the start.
    pub fn is_lifecycle(&self) -> bool {
        match self {
            Self::StartedOk | Self::StartFailed | Self::Maintenance { .. } => true,
            Self::Log | Self::Alert { .. } => false,
        }
    }

    /// The kind, without the content.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::StartedOk => EventKind::StartedOk,
            Self::StartFailed => EventKind::StartFailed,
            Self::Maintenance { .. } => EventKind::Maintenance,
            Self::Log => EventKind::Log,
            Self::Alert { .. } => EventKind::Alert,
        }
    }

    /// The identifier of the kind, as users type and read it.
    pub fn as_str(&self) -> &'static str {
        self.kind().as_str()
    }

    /// The severity of an event of this kind that has none.
    pub fn default_severity(&self) -> Severity {
        match self {
            Self::StartedOk | Self::Maintenance { .. } | Self::Log => Severity::Info,
            Self::StartFailed | Self::Alert { .. } => Severity::Error,
        }
    }
}

/// Severities, lowest first (with vme's names).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// For debugging.
    Debug,
    /// For information.
    Info,
    /// Not as it should be, but everything works.
    Warn,
    /// Something failed.
    Error,
    /// Something failed permanently, or data is at risk.
    Fatal,
}

impl Severity {
    /// All severities, lowest first.
    pub const ALL: [Self; 5] = [Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Fatal];

    /// Its identifier, as users type and read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }
}

/// Progress in percent, 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Progress(u8);

impl Progress {
    /// `None` outside 1 to 100.
    pub fn new(percent: u32) -> Option<Self> {
        u8::try_from(percent).ok().filter(|percent| (1..=100).contains(percent)).map(Self)
    }

    /// In percent.
    pub fn percent(self) -> u8 {
        self.0
    }
}

/// A named value.
#[derive(Clone, Debug, PartialEq)]
pub struct Counter {
    name: Box<str>,
    value: f64,
}

impl Counter {
    /// `None` unless the name is valid and the value finite.
    pub fn new(name: &str, value: f64) -> Option<Self> {
        (has_name_characters(name) && value.is_finite()).then(|| Self { name: name.into(), value })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its value, finite.
    pub fn value(&self) -> f64 {
        self.value
    }
}

/// Text of an appliance, truncated to [`TEXT_BYTES_MAX`] bytes at a character. Hostile until
/// escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BoundedText {
    text: Box<str>,
    is_truncated: bool,
}

impl BoundedText {
    /// Truncates the text to what fits.
    pub fn new(text: &str) -> Self {
        Self::with_truncated(text, false)
    }

    /// The same for a text that may have been truncated before.
    pub fn with_truncated(text: &str, was_cut: bool) -> Self {
        let end = text.floor_char_boundary(TEXT_BYTES_MAX);
        Self { text: text[..end].into(), is_truncated: was_cut || end < text.len() }
    }

    /// The truncated text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether something was removed.
    pub fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

/// Events that an appliance dropped before it could send them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedEvents {
    /// Their kind; `None`: several kinds.
    pub kind: Option<EventKind>,
    /// How many, at least 1.
    pub count: u64,
    /// When the first of them happened.
    pub first_at: Option<Timestamp>,
    /// When the last of them happened.
    pub last_at: Option<Timestamp>,
    /// Why; `None`: not given.
    pub reason: Option<DropReason>,
}

/// Why an appliance dropped events. The numbers are those of the contract and of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DropReason {
    /// Its spool was full.
    SpoolFull = 1,
    /// Its spool was damaged.
    SpoolDamaged = 2,
    /// Each of them ended two sessions, and was quarantined.
    Quarantined = 3,
    /// Its disk was full or could not be written.
    NotSpooled = 4,
}

impl DropReason {
    /// All reasons.
    pub const ALL: [Self; 4] =
        [Self::SpoolFull, Self::SpoolDamaged, Self::Quarantined, Self::NotSpooled];

    /// The number of the reason.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The reason of a number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| u32::from(reason.number()) == number)
    }

    /// The reason, as people read it.
    pub fn label(self) -> &'static str {
        match self {
            Self::SpoolFull => "spool full",
            Self::SpoolDamaged => "spool damaged",
            Self::Quarantined => "quarantined since they ended two sessions",
            Self::NotSpooled => "could not be spooled",
        }
    }
}

/// A kind of event, without the content: the table of kinds. The numbers are those of the contract,
/// of records, of the journal and of spools: they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EventKind {
    /// The start completed.
    StartedOk = 1,
    /// The start failed.
    StartFailed = 2,
    /// A long start reports.
    Maintenance = 3,
    /// A line for the grid log.
    Log = 4,
    /// A problem for an administrator, or a counter.
    Alert = 5,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [Self; 5] =
        [Self::StartedOk, Self::StartFailed, Self::Maintenance, Self::Log, Self::Alert];

    /// The label of the kind, as users type and read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StartedOk => "started_ok",
            Self::StartFailed => "start_failed",
            Self::Maintenance => "maintenance",
            Self::Log => "log",
            Self::Alert => "alert",
        }
    }

    /// In which order a full spool drops kinds, the lowest first; `None`: never.
    pub fn eviction_rank(self) -> Option<u8> {
        match self {
            Self::Log => Some(0),
            Self::Maintenance => Some(1),
            Self::Alert => Some(2),
            Self::StartedOk | Self::StartFailed => None,
        }
    }

    /// The number of the kind.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Its position in [`Self::ALL`].
    pub fn index(self) -> usize {
        Self::ALL.into_iter().take_while(|kind| *kind != self).count()
    }

    /// The kind of a number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| u32::from(kind.number()) == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_1_to_100() {
        assert!(Progress::new(0).is_none() && Progress::new(101).is_none());
        assert_eq!(Progress::new(100).map(Progress::percent), Some(100));
        assert!(Progress::new(256 + 34).is_none());
    }

    #[test]
    fn text_is_truncated_at_a_character_and_flagged() {
        let just = "x".repeat(TEXT_BYTES_MAX);
        assert!(!BoundedText::new(&just).is_truncated());
        let long = format!("{}ü", "x".repeat(TEXT_BYTES_MAX - 1));
        let text = BoundedText::new(&long);
        assert!(text.is_truncated());
        assert_eq!(text.as_str().len(), TEXT_BYTES_MAX - 1);
    }

    #[test]
    fn a_counter_has_a_name_and_a_finite_value() {
        assert!(Counter::new("n_db_xact_per_min", 46.0).is_some());
        assert!(Counter::new("n db", 46.0).is_none());
        assert!(
            Counter::new("n", f64::NAN).is_none() && Counter::new("n", f64::INFINITY).is_none()
        );
    }
}
