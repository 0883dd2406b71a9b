//! Flags of every list of things that have names: sort, turn round, go on.

use std::cmp::Ordering;

use clap::ValueEnum;

use grid_broker::contract::proto::{Appliance, Mail, OpenAlert};

/// Flags of a list that is sorted by a `K`.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct ListFlags<K: ValueEnum + Clone + Send + Sync + 'static> {
    /// Sort by this [default: as the broker has them]
    #[arg(long, value_name = "BY", value_enum, alias = "sort-by", ignore_case = true)]
    pub(crate) sort: Option<K>,
    /// The other way round
    #[arg(long, short = 'r')]
    pub(crate) reverse: bool,
    /// Go on with what changes, until Ctrl-C
    #[arg(long, short = 'w', conflicts_with_all = ["sort", "reverse"])]
    pub(crate) watch: bool,
}

impl<K: ValueEnum + Clone + Send + Sync + 'static> Default for ListFlags<K> {
    fn default() -> Self {
        Self { sort: None, reverse: false, watch: false }
    }
}

impl<K: ValueEnum + Clone + Send + Sync + 'static> ListFlags<K> {
    /// Sorts as wanted; what is equal stays in the broker's order.
    pub(crate) fn sorted<T>(&self, things: &mut [T])
    where
        K: Sorts<T>,
    {
        if let Some(by) = &self.sort {
            things.sort_by(|a, b| by.compare(a, b));
        }
        if self.reverse {
            things.reverse();
        }
    }
}

/// By what things of a kind can be sorted.
pub(crate) trait Sorts<T> {
    /// Which comes first?
    fn compare(&self, a: &T, b: &T) -> Ordering;
}

/// By what appliances are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ApplianceSort {
    /// By name.
    #[value(alias = "appliance")]
    Name,
    /// By state.
    State,
    /// The longest in its state first.
    Since,
    /// By class, then name.
    Class,
}

impl Sorts<Appliance> for ApplianceSort {
    fn compare(&self, a: &Appliance, b: &Appliance) -> Ordering {
        let name = a.name.cmp(&b.name);
        match self {
            Self::Name => name,
            Self::State => a.state.cmp(&b.state).then(name),
            Self::Since => by_time(&a.state_since, &b.state_since).then(name),
            Self::Class => a.class.cmp(&b.class).then(name),
        }
    }
}

/// By what open alerts are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AlertSort {
    /// The gravest first.
    Severity,
    /// By the appliance's name; the broker's own first.
    #[value(alias = "name")]
    Appliance,
    /// The longest open first.
    Since,
    /// By kind.
    #[value(alias = "matter")]
    Kind,
}

impl Sorts<OpenAlert> for AlertSort {
    fn compare(&self, a: &OpenAlert, b: &OpenAlert) -> Ordering {
        match self {
            Self::Severity => b.severity.cmp(&a.severity),
            Self::Appliance => a.appliance.cmp(&b.appliance),
            Self::Since => by_time(&a.since, &b.since),
            Self::Kind => a.matter.cmp(&b.matter),
        }
    }
}

/// By what mails are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MailSort {
    /// By number.
    Number,
    /// By recipient.
    Recipient,
    /// What is due first comes first; what is not due at all, last.
    Due,
    /// The most often tried first.
    Attempts,
}

impl Sorts<Mail> for MailSort {
    fn compare(&self, a: &Mail, b: &Mail) -> Ordering {
        let number = a.number.cmp(&b.number);
        match self {
            Self::Number => number,
            Self::Recipient => a.recipient.cmp(&b.recipient).then(number),
            Self::Due => by_time(&a.due, &b.due).then(number),
            Self::Attempts => b.attempts.cmp(&a.attempts).then(number),
        }
    }
}

/// The earlier first; what has no time last.
fn by_time(a: &Option<prost_types::Timestamp>, b: &Option<prost_types::Timestamp>) -> Ordering {
    let key = |time: &Option<prost_types::Timestamp>| {
        time.as_ref().map_or((1, 0, 0), |time| (0, time.seconds, time.nanos))
    };
    key(a).cmp(&key(b))
}
