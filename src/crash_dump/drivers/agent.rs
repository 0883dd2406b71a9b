//! Crashes an appliance by its own agent, which writes to sysrq.
//!
//! Guarantees that an agent without leave is never ordered. Does not know sessions.

use super::{CheckError, TriggerError, Triggered};
use crate::crash_dump::DumpTarget;
use crate::crash_dump::agents::{AgentFailure, Agents};

/// Whether an agent of the current boot may be ordered to crash.
pub(super) fn check(target: &DumpTarget, agents: &Agents) -> Result<Vec<String>, CheckError> {
    let checked = agents.check(target);
    checked.map(|()| Vec::new()).map_err(|missing| CheckError::Unsupported(missing.to_string()))
}

/// Tells the agent.
pub(super) async fn trigger(
    target: &DumpTarget,
    agents: &Agents,
) -> Result<Triggered, TriggerError> {
    match agents.crash(target).await {
        Ok(output) => Ok(Triggered { note: "its agent writes to sysrq".to_owned(), output }),
        Err(AgentFailure { why, is_unknown }) => {
            Err(TriggerError { why, output: String::new(), is_unknown })
        }
    }
}
