//! Defines the outcome of an event, and why an event is rejected.
//!
//! The labels of the contract (`kept`, `folded`, ...) differ; docs/glossary.md maps them. Decides nothing.

/// The outcome of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Stored.
    Stored,
    /// The same alert again: counted, no record of its own.
    Repeated,
    /// A progress report right after another: its progress counts, no record of its own.
    Coalesced,
    /// Over a rate limit. The first of many has a record, the others are counted.
    Suppressed,
    /// A log below the lowest severity of its class: counted, no record of its own.
    BelowThreshold,
    /// A duplicate; no record.
    Duplicate,
    /// Of an older boot: recorded, no change.
    OlderBoot,
    /// About the current start, but older than what is known of it: recorded, no change.
    StaleEvent,
    /// Rejected by the rules: recorded, no change.
    Rejected(EventRejection),
}

/// Why an event is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventRejection {
    /// The appliance was stopped; only a new boot can start it.
    Stopped,
    /// The start is over.
    AlreadyRunning,
    /// The appliance reported that this start failed, or no boot followed its crash dump.
    FailedPermanently,
    /// A crash dump is being taken.
    Dumping,
    /// The appliance was removed.
    Removed,
}

impl EventRejection {
    /// The identifier of the reason.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "STOPPED",
            Self::AlreadyRunning => "ALREADY_RUNNING",
            Self::FailedPermanently => "FAILED_FOR_GOOD",
            Self::Dumping => "DUMPING",
            Self::Removed => "REMOVED",
        }
    }

    /// The reason as a sentence.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Stopped => "this boot was stopped; a new boot must begin first",
            Self::AlreadyRunning => "the start is over, the appliance counts as running",
            Self::FailedPermanently => {
                "this start failed permanently; only started_ok or a new boot changes that"
            }
            Self::Dumping => "a crash dump is being taken",
            Self::Removed => "the appliance was removed",
        }
    }
}
