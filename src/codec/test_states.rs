//! Boots and states of every kind, to be encoded.

use std::num::NonZeroU64;
use std::time::Duration;

use super::tests::{at, boot, spool};
use crate::grid::model::boot::Boot;
use crate::grid::model::lifecycle::{
    Dumping, FailedStart, FailureCause, LastReport, Lifecycle, Maintenance,
};
use crate::grid::values::event::Progress;
use crate::grid::values::event_order::EventOrder;
use crate::grid::values::time::Timestamp;

pub(super) fn boots() -> [Boot; 2] {
    let (uptime, numbered) = (Some(Duration::from_micros(1)), spool().zip(NonZeroU64::new(3)));
    let newest_word = Some(EventOrder { uptime, sequence: numbered, time: Timestamp::MIN });
    let (id, began_at, not_before) = (Some(boot()), at(4), at(3));
    let (has_agent, is_assumed) = (true, false);
    let spoken = Boot {
        id,
        began_at,
        earliest_began_at: not_before,
        has_agent,
        is_assumed_running: is_assumed,
        newest_event: newest_word,
    };
    let announced = Boot {
        id: None,
        earliest_began_at: at(4),
        has_agent: false,
        is_assumed_running: true,
        newest_event: None,
        ..spoken
    };
    [spoken, announced]
}

pub(super) fn lifecycles() -> Vec<Lifecycle> {
    let limit = Duration::from_secs(300);
    let failures = [
        FailureCause::Reported,
        FailureCause::BootTimeout { limit },
        FailureCause::Hung { allowed_silence: limit },
        FailureCause::NoProgress { unchanged_for: limit },
        FailureCause::DumpTimeout,
    ];
    let word = LastReport { text: "checking".into(), progress: Progress::new(34), at: at(7) };
    let mut lifecycles = vec![
        Lifecycle::Idle,
        Lifecycle::Starting { deadline: None },
        Lifecycle::Starting { deadline: Some(at(300)) },
        Lifecycle::Running,
        Lifecycle::Dumping(Box::new(Dumping {
            deadline: at(900),
            failed: None,
            before_since: at(8),
            is_alive: true,
        })),
        Lifecycle::Dumping(Box::new(Dumping {
            deadline: at(900),
            failed: Some(FailedStart {
                failure: FailureCause::Hung { allowed_silence: limit },
                reason: "".into(),
                last_report: None,
            }),
            before_since: at(9),
            is_alive: false,
        })),
        Lifecycle::Maintenance(Box::new(Maintenance {
            progress: Progress::new(30),
            best_progress: Progress::new(40),
            text: "checking".into(),
            reported_at: at(1),
            report_deadline: at(2),
            progressed_at: at(3),
            stuck_at: None,
            boot_deadline: Some(at(4)),
        })),
    ];
    for (failure, last_word) in failures.into_iter().zip([None, Some(word)].into_iter().cycle()) {
        let reason = "Missing DNS server address".into();
        lifecycles.push(Lifecycle::Failed(Box::new(FailedStart {
            failure,
            reason,
            last_report: last_word,
        })));
    }
    lifecycles
}
