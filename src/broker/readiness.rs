//! Tells whether the broker accepts events, and if not, why.
//!
//! Guarantees an answer within two seconds, for readiness pages and heartbeats alike. Since the loop
//! answers only when its last commit is durable, a commit that hangs is noticed. Changes nothing.

use std::time::Duration;

use super::BrokerHandle;

/// How long the loop may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

impl BrokerHandle {
    /// Why the broker accepts nothing at the moment; `None`: it does.
    pub async fn unready_reason(&self) -> Option<&'static str> {
        if self.is_starved() {
            return Some(
                "starved: the system has no descriptors or memory for the journal; requests wait and \
                 are retried",
            );
        }
        if self.disk_is_low() {
            return Some(
                "disk low: nothing new is accepted until there is room; reading continues",
            );
        }
        match tokio::time::timeout(ANSWER_WITHIN, self.query(|_, _| ())).await {
            Ok(Ok(())) => None,
            Ok(Err(_)) => Some("stopping"),
            Err(_) => {
                Some("stuck: the broker loop does not respond within 2 s; see gridd's tracing")
            }
        }
    }
}
