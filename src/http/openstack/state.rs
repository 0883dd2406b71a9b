//! Says the state of an appliance in Nova's words.
//!
//! ```text
//! appliance             | status  | vm_state | task_state | power_state
//! never booted          | BUILD   | building | scheduling | 0 (none)
//! idle                  | SHUTOFF | stopped  | -          | 4 (shut down)
//! starting, maintenance | BUILD   | building | spawning   | 1 (running)
//! running               | ACTIVE  | active   | -          | 1 (running)
//! failed                | ERROR   | error    | -          | 1 (running)
//! dumping               | REBOOT  | active   | rebooting  | 1 (running)
//! ```
//!
//! A test compares this table with [`of`]. Decides nothing.

use crate::grid::model::lifecycle::Lifecycle;
use crate::grid::state::appliance::Appliance;

/// A state in Nova's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServerState {
    /// What users see.
    pub(super) status: &'static str,
    /// The stable state.
    pub(super) vm_state: &'static str,
    /// What is in progress.
    pub(super) task_state: Option<&'static str>,
    /// The state of the power, as Nova numbers it.
    pub(super) power_state: u8,
}

/// The state of an appliance.
pub(super) fn of(appliance: &Appliance) -> ServerState {
    in_words(&appliance.lifecycle, has_booted(appliance))
}

/// Whether an appliance ever booted. Before that no host has it, Nova would say.
pub(super) fn has_booted(appliance: &Appliance) -> bool {
    appliance.boot.is_some() || !appliance.past_boots.is_empty()
}

fn in_words(lifecycle: &Lifecycle, has_booted: bool) -> ServerState {
    let (status, vm_state, task_state, power_state) = match lifecycle {
        Lifecycle::Idle if !has_booted => ("BUILD", "building", Some("scheduling"), 0),
        Lifecycle::Idle => ("SHUTOFF", "stopped", None, 4),
        Lifecycle::Starting { .. } | Lifecycle::Maintenance(_) => {
            ("BUILD", "building", Some("spawning"), 1)
        }
        Lifecycle::Running => ("ACTIVE", "active", None, 1),
        Lifecycle::Failed(_) => ("ERROR", "error", None, 1),
        Lifecycle::Dumping(_) => ("REBOOT", "active", Some("rebooting"), 1),
    };
    ServerState { status, vm_state, task_state, power_state }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::model::lifecycle::{Dumping, FailedStart, FailureCause, Maintenance};
    use crate::grid::values::time::Timestamp;

    fn lifecycle(name: &str) -> Lifecycle {
        let at = Timestamp::EPOCH;
        match name {
            "never booted" | "idle" => Lifecycle::Idle,
            "starting" => Lifecycle::Starting { deadline: None },
            "maintenance" => Lifecycle::Maintenance(Box::new(Maintenance {
                progress: None,
                best_progress: None,
                text: "".into(),
                reported_at: at,
                report_deadline: at,
                progressed_at: at,
                stuck_at: None,
                boot_deadline: None,
            })),
            "running" => Lifecycle::Running,
            "failed" => Lifecycle::Failed(Box::new(FailedStart {
                failure: FailureCause::Reported,
                reason: "".into(),
                last_report: None,
            })),
            "dumping" => Lifecycle::Dumping(Box::new(Dumping {
                deadline: at,
                failed: None,
                before_since: at,
                is_alive: false,
            })),
            other => panic!("no state {other}"),
        }
    }

    #[test]
    fn each_state_has_the_words_of_the_table() {
        let rows = include_str!("state.rs").lines().filter_map(|it| it.strip_prefix("//! "));
        let rows: Vec<Vec<_>> = rows
            .filter(|row| row.contains(" | "))
            .skip(1)
            .map(|row| row.split('|').map(str::trim).collect())
            .collect();
        assert_eq!(rows.len(), 6, "the table is found");
        for row in rows {
            let [names, status, vm_state, task_state, power] = row[..] else { panic!("{row:?}") };
            for name in names.split(", ") {
                let found = in_words(&lifecycle(name), name != "never booted");
                assert_eq!((found.status, found.vm_state), (status, vm_state), "{name}");
                assert_eq!(found.task_state.unwrap_or("-"), task_state, "{name}");
                assert!(power.starts_with(&found.power_state.to_string()), "{name}");
            }
        }
    }
}
