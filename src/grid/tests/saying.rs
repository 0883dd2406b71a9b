//! Events in the making: what appliances say in stories.

use std::num::NonZeroU64;
use std::time::Duration;

use super::super::event::{Event, EventKind, Progress, Text};
use super::super::name::{ApplianceNumber, SpoolId};
use super::super::record::{Heard, SessionId};
use super::super::time::Timestamp;
use super::driver::{DB1, boot};

/// An event in the making.
#[derive(Clone, Debug)]
pub(super) struct Said(pub(super) Heard);

/// An event of DB1 in `boot`; 0: of no boot.
pub(super) fn said(boot_number: u128, kind: EventKind, text: &str) -> Said {
    let event = Event {
        severity: kind.default_severity(),
        kind,
        text: Text::new(text),
        event_time: None,
        uptime: None,
        spooled_at: None,
        repeated: false,
        lost_before: Vec::new(),
        alert_key: None,
    };
    let boot = (boot_number != 0).then(|| boot(boot_number));
    Said(Heard { appliance: DB1, boot, spool: None, sequence: None, session: None, event })
}

pub(super) fn started_ok(boot: u128) -> Said {
    said(boot, EventKind::StartedOk, "")
}

pub(super) fn start_failed(boot: u128, reason: &str) -> Said {
    said(boot, EventKind::StartFailed, reason)
}

pub(super) fn maintenance(boot: u128, percent: u32, text: &str) -> Said {
    let progress = Progress::new(percent);
    said(boot, EventKind::Maintenance { progress, next_report_within: None }, text)
}

pub(super) fn log(boot: u128) -> Said {
    said(boot, EventKind::Log, "a line")
}

impl Said {
    pub(super) fn by(mut self, appliance: ApplianceNumber) -> Self {
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

    pub(super) fn through(mut self, session: SessionId) -> Self {
        self.0.session = Some(session);
        self
    }

    pub(super) fn up_for(mut self, uptime: Duration) -> Self {
        self.0.event.uptime = Some(uptime);
        self
    }

    pub(super) fn repeated(mut self) -> Self {
        self.0.event.repeated = true;
        self
    }

    pub(super) fn dated(mut self, time: Timestamp) -> Self {
        self.0.event.event_time = Some(time);
        self
    }

    pub(super) fn promising(mut self, within: Duration) -> Self {
        let EventKind::Maintenance { next_report_within, .. } = &mut self.0.event.kind else {
            panic!("only a report in maintenance promises the next one");
        };
        *next_report_within = Some(within);
        self
    }
}
