//! Notifies a session that its appliance is suppressed, at a limited rate.
//!
//! Guarantees at most one notice in an interval. Does not know the rate limits.

use std::time::Duration;

use crate::contract::proto::Notice;
use crate::grid::values::time::Timestamp;

/// How often an appliance is notified that it is suppressed.
const NOTICE_INTERVAL: Duration = Duration::from_secs(60);

/// When the appliance was last notified that it is suppressed.
#[derive(Default)]
pub(super) struct SuppressionNotice {
    sent_at: Option<Timestamp>,
}

impl SuppressionNotice {
    /// Whether the next notice is due.
    pub(super) fn is_due(&mut self, now: Timestamp) -> bool {
        let is_news = self.sent_at.is_none_or(|sent| {
            // Broker time may have been moved back.
            now >= sent.after(NOTICE_INTERVAL) || now < sent
        });
        if is_news {
            self.sent_at = Some(now);
        }
        is_news
    }
}

pub(super) fn suppression_message(until: prost_types::Timestamp) -> Notice {
    Notice {
        reason: "SUPPRESSED".to_owned(),
        explanation: "more comes than is allowed: what is over budget is counted, not stored, \
                      until there was none of it for a minute"
            .to_owned(),
        until: Some(until),
    }
}
