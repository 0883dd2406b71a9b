//! Defines a timeline: what appliances do and say in 14 days, and the problems that are behind it.
//!
//! Guarantees that steps are in the order of time, and that every problem is known by construction: when
//! it can be detected at the earliest, when it is over, and which notices tell of it. Knows no notifier.

use grid_broker::grid::values::event::Severity;

/// Milliseconds since the beginning of the timeline, a Monday at 00:00 UTC.
pub(crate) type Millis = u64;

pub(crate) const SECOND: Millis = 1_000;
pub(crate) const MINUTE: Millis = 60 * SECOND;
pub(crate) const HOUR: Millis = 60 * MINUTE;
pub(crate) const DAY: Millis = 24 * HOUR;

/// The length of a timeline.
pub(crate) const LENGTH: Millis = 14 * DAY;

/// The mail server is dead from here.
pub(crate) const DEAD_FROM: Millis = 8 * DAY + 12 * HOUR;

/// The mail server answers again.
pub(crate) const DEAD_UNTIL: Millis = 10 * DAY + 12 * HOUR;

/// After how long without a session contact is lost: the default of a class.
pub(crate) const CONTACT_LOST_AFTER: Millis = 120 * SECOND;

/// The longest silence in maintenance: the default of a class.
pub(crate) const REPORT_DEADLINE: Millis = 60 * SECOND;

/// The longest start: the default of a class.
pub(crate) const BOOT_TIMEOUT: Millis = 300 * SECOND;

/// When unchanged progress is stuck: the default of a class.
pub(crate) const STUCK_AFTER: Millis = 15 * MINUTE;

/// An appliance of the grid.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) class: &'static str,
}

/// What an alert event says.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) severity: Severity,
    pub(crate) text: String,
    /// The group key, if the appliance gives one.
    pub(crate) key: Option<String>,
}

/// What happens at one time.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// A boot begins, in a new session.
    Boot,
    /// The session ends.
    Disconnect,
    StartedOk,
    StartFailed(String),
    Maintenance {
        progress: u32,
        text: String,
    },
    Alert(Said),
    /// The problem of that alert is over.
    Over(Said),
}

/// A step of one appliance, by its index.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) at: Millis,
    pub(crate) machine: usize,
    pub(crate) act: Act,
}

/// Which notices about an appliance belong to a problem.
#[derive(Clone, Debug)]
pub(crate) enum Match {
    /// Findings of the broker with these topics.
    Findings(&'static [&'static str]),
    /// Alerts whose text or key contains this.
    Marker(String),
    /// The same, if they are fatal.
    Fatal(String),
    /// All.
    Everything,
}

/// One appliance of a problem.
#[derive(Clone, Debug)]
pub(crate) struct Strand {
    pub(crate) machine: usize,
    pub(crate) matching: Match,
    /// From when to when it holds; the last may have no end.
    pub(crate) open: Vec<(Millis, Option<Millis>)>,
}

/// A problem.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    /// The story and the number, such as `f14`.
    pub(crate) label: String,
    /// The severity that it begins with.
    pub(crate) severity: Severity,
    /// When a notifier can know of it at the earliest.
    pub(crate) detected_at: Millis,
    /// When it becomes that grave.
    pub(crate) escalates: Option<(Millis, Severity)>,
    /// When it is over; `None`: nobody says so.
    pub(crate) ends_at: Option<Millis>,
    pub(crate) is_probe: bool,
    pub(crate) strands: Vec<Strand>,
}

impl Problem {
    /// The letter of its story, or its whole label.
    pub(crate) fn is_of(&self, story: &str) -> bool {
        self.label == story || story.len() == 1 && self.label.starts_with(story)
    }

    /// Whether it begins while the mail server is dead.
    pub(crate) fn is_in_outage(&self) -> bool {
        (DEAD_FROM..DEAD_UNTIL).contains(&self.detected_at)
    }
}

/// One report that a notifier without any thought would mail.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) at: Millis,
    pub(crate) machine: usize,
    pub(crate) topic: String,
    pub(crate) severity: Severity,
    pub(crate) text: String,
    /// It says that the problem is over.
    pub(crate) is_end: bool,
}

/// A silence of an administrator: appliances of that prefix, for planned work.
#[derive(Clone, Debug)]
pub(crate) struct PlannedWork {
    #[allow(dead_code, reason = "until the core has silences")]
    pub(crate) prefix: &'static str,
    pub(crate) from: Millis,
    pub(crate) until: Millis,
    /// The appliances.
    pub(crate) machines: Vec<usize>,
}

/// A timeline.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    pub(crate) machines: Vec<Machine>,
    pub(crate) steps: Vec<Step>,
    pub(crate) reports: Vec<Report>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) planned: Vec<PlannedWork>,
}

impl Timeline {
    /// The alert events, ends not counted.
    pub(crate) fn alert_count(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step.act, Act::Alert(_))).count()
    }
}

/// A time as people read it: the day, and the time of day.
pub(crate) fn clock(at: Millis) -> String {
    let (day, second) = (at / DAY, at % DAY / SECOND);
    format!("d{day:02} {:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
}
