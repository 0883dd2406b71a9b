//! Flags of lists: sort, reverse, watch.

use std::cmp::Ordering;

use clap::ValueEnum;

use grid_broker::contract::proto::{Appliance, Mail, OpenAlert};

/// Flags of a list that is sorted by `K`.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct ListFlags<K: ValueEnum + Clone + Send + Sync + 'static> {
    /// Sort by this [default: the broker's order]
    #[arg(long, value_name = "BY", value_enum, alias = "sort-by", ignore_case = true)]
    pub(crate) sort: Option<K>,
    /// Reverse the order
    #[arg(long, short = 'r')]
    pub(crate) reverse: bool,
    /// Keep running and print changes, until Ctrl-C
    #[arg(long, short = 'w', conflicts_with_all = ["sort", "reverse"])]
    pub(crate) watch: bool,
}

impl<K: ValueEnum + Clone + Send + Sync + 'static> Default for ListFlags<K> {
    fn default() -> Self {
        Self { sort: None, reverse: false, watch: false }
    }
}

impl<K: ValueEnum + Clone + Send + Sync + 'static> ListFlags<K> {
    /// Sorts as requested; equal items stay in the broker's order.
    pub(crate) fn apply_order<T>(&self, items: &mut [T])
    where
        K: SortKey<T>,
    {
        if let Some(by) = &self.sort {
            items.sort_by(|a, b| by.compare(a, b));
        }
        if self.reverse {
            items.reverse();
        }
    }
}

/// A sort key of items `T`.
pub(crate) trait SortKey<T> {
    /// Compares two items.
    fn compare(&self, a: &T, b: &T) -> Ordering;
}

/// Sort keys of appliances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ApplianceSort {
    /// By name.
    #[value(alias = "appliance")]
    Name,
    /// By state.
    State,
    /// Longest in its state first.
    Since,
    /// By class, then name.
    Class,
}

impl SortKey<Appliance> for ApplianceSort {
    fn compare(&self, a: &Appliance, b: &Appliance) -> Ordering {
        let name = a.name.cmp(&b.name);
        match self {
            Self::Name => name,
            Self::State => a.state.cmp(&b.state).then(name),
            Self::Since => compare_times(&a.state_since, &b.state_since).then(name),
            Self::Class => a.class.cmp(&b.class).then(name),
        }
    }
}

/// Sort keys of open alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AlertSort {
    /// Highest severity first.
    Severity,
    /// By the name of the appliance; those of the broker first.
    #[value(alias = "name")]
    Appliance,
    /// By number.
    #[value(alias = "number")]
    Id,
    /// Longest open first.
    Since,
    /// Reported most often first.
    Count,
    /// By kind.
    #[value(alias = "matter")]
    Kind,
}

impl SortKey<OpenAlert> for AlertSort {
    fn compare(&self, a: &OpenAlert, b: &OpenAlert) -> Ordering {
        match self {
            Self::Severity => b.severity.cmp(&a.severity),
            Self::Appliance => a.appliance.cmp(&b.appliance),
            Self::Id => a.id.cmp(&b.id),
            Self::Since => compare_times(&a.since, &b.since),
            Self::Count => b.count.cmp(&a.count),
            Self::Kind => a.kind.cmp(&b.kind),
        }
    }
}

/// Sort keys of mails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MailSort {
    /// By number.
    Number,
    /// By recipient.
    Recipient,
    /// By due time; mails without one last.
    Due,
    /// Most attempts first.
    Attempts,
}

impl SortKey<Mail> for MailSort {
    fn compare(&self, a: &Mail, b: &Mail) -> Ordering {
        let number = a.number.cmp(&b.number);
        match self {
            Self::Number => number,
            Self::Recipient => a.recipient.cmp(&b.recipient).then(number),
            Self::Due => compare_times(&a.due, &b.due).then(number),
            Self::Attempts => b.attempts.cmp(&a.attempts).then(number),
        }
    }
}

/// Orders by time; items without a time last.
fn compare_times(
    a: &Option<prost_types::Timestamp>,
    b: &Option<prost_types::Timestamp>,
) -> Ordering {
    let key = |time: &Option<prost_types::Timestamp>| {
        time.as_ref().map_or((1, 0, 0), |time| (0, time.seconds, time.nanos))
    };
    key(a).cmp(&key(b))
}
