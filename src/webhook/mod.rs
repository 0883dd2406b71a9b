//! Sends notifications of the outbox to URLs, and a heartbeat to another one.
//!
//! ```text
//! MailJob --entries--> alerts --json--> body --client--> HttpAnswer --classification--> Delivery
//! ```
//!
//! Guarantees that each job is reported once, within bounded time whatever the server does, and that
//! no report contains a secret or the path of a URL. Does not decide what is notified, when it is
//! retried or when it fails permanently: the core does.

mod classification;
mod client;
mod entries;
mod heartbeat;
mod json;
mod pushed;
mod sender;

use tokio::sync::watch;

pub use heartbeat::{HeartbeatWatch, start_heartbeat};
pub use sender::{WebhookSenderConfig, WebhookSenderParts, start};

/// Waits for the stop; a closed channel is one, too.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
}

#[cfg(test)]
mod tests;
