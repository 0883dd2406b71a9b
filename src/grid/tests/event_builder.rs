//! Builds the events of tests.

use std::num::NonZeroU64;
use std::time::Duration;

use super::driver::{DB1, boot};
use crate::grid::log::input::ReceivedEvent;
use crate::grid::values::crash_dump::FoundDump;
use crate::grid::values::event::{BoundedText, Event, EventBody, Progress};
use crate::grid::values::id::{ApplianceIndex, SessionId, SpoolId};
use crate::grid::values::time::Timestamp;

/// An event under construction.
#[derive(Clone, Debug)]
pub(super) struct EventBuilder(pub(super) ReceivedEvent);

/// An event of DB1 in `boot`; 0: of no boot.
pub(super) fn new_event(boot_number: u128, kind: EventBody, text: &str) -> EventBuilder {
    let event = Event {
        severity: kind.default_severity(),
        body: kind,
        text: BoundedText::new(text),
        event_time: None,
        uptime: None,
        spooled_at: None,
        is_repeated: false,
        dropped_before: Vec::new(),
        group_key: None,
        is_resolved: false,
        crash_dump: None,
    };
    let boot = (boot_number != 0).then(|| boot(boot_number));
    EventBuilder(ReceivedEvent {
        appliance: DB1,
        boot,
        spool: None,
        sequence: None,
        session: None,
        event,
    })
}

pub(super) fn started_ok(boot: u128) -> EventBuilder {
    new_event(boot, EventBody::StartedOk, "")
}

pub(super) fn start_failed(boot: u128, reason: &str) -> EventBuilder {
    new_event(boot, EventBody::StartFailed, reason)
}

pub(super) fn maintenance(boot: u128, percent: u32, text: &str) -> EventBuilder {
    let progress = Progress::new(percent);
    new_event(boot, EventBody::Maintenance { progress, next_report_within: None }, text)
}

pub(super) fn log(boot: u128) -> EventBuilder {
    new_event(boot, EventBody::Log, "a line")
}

/// A crash dump that was found at that path.
pub(super) fn found_dump(path: &str) -> FoundDump {
    FoundDump {
        path: path.into(),
        bytes: 22_300_000,
        is_incomplete: false,
        last_words: "Kernel panic - not syncing: NMI: Not continuing".into(),
        took: Some(Duration::from_secs(3)),
        written_at: None,
    }
}

/// The event of a crash dump that was found.
pub(super) fn dump_found(boot: u128, path: &str) -> EventBuilder {
    let mut said =
        new_event(boot, EventBody::Alert { counter: None }, &format!("crash dump {path}"));
    said.0.event.group_key = Some("crash-dump".into());
    said.0.event.crash_dump = Some(Box::new(found_dump(path)));
    said
}

impl EventBuilder {
    pub(super) fn by(mut self, appliance: ApplianceIndex) -> Self {
        self.0.appliance = appliance;
        self
    }

    pub(super) fn numbered(mut self, spool: u64, sequence: u64) -> Self {
        self.0.spool = NonZeroU64::new(spool).map(SpoolId);
        self.0.sequence = NonZeroU64::new(sequence);
        self
    }

    pub(super) fn spooled(mut self, since: Timestamp) -> Self {
        self.0.event.spooled_at = Some(since);
        self
    }

    pub(super) fn via(mut self, session: SessionId) -> Self {
        self.0.session = Some(session);
        self
    }

    pub(super) fn with_uptime(mut self, uptime: Duration) -> Self {
        self.0.event.uptime = Some(uptime);
        self
    }

    pub(super) fn marked_as_repeat(mut self) -> Self {
        self.0.event.is_repeated = true;
        self
    }

    pub(super) fn with_event_time(mut self, time: Timestamp) -> Self {
        self.0.event.event_time = Some(time);
        self
    }

    pub(super) fn with_next_report_within(mut self, within: Duration) -> Self {
        let EventBody::Maintenance { next_report_within, .. } = &mut self.0.event.body else {
            panic!("only a report in maintenance promises the next one");
        };
        *next_report_within = Some(within);
        self
    }
}
