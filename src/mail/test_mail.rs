//! Sends the test mail of `gridctl mail test` at once, and returns the transcript of the session.
//!
//! Guarantees that the transcript is complete, line by line, without the password, and that the
//! session has its own connection, so that every step is visible. Writes no record: the caller may.

use uuid::Uuid;

use super::render::{self, MailOrigin, render};
use crate::config::smtp::SmtpConfig;
use crate::grid::model::mail_message::Delivery;
use crate::grid::values::time::Timestamp;
use crate::mail::smtp_session::{connect, truncated_reply};

/// The result of a test mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestMailResult {
    /// The transcript: `> ` is sent, `< ` is received, `* ` is a remark.
    pub transcript: Vec<String>,
    /// The delivery result.
    pub delivery: Delivery,
}

/// Sends a test mail to `address` at once, as the broker of journal `journal` at `now`.
pub async fn send_test_mail(
    post: &SmtpConfig,
    journal: Uuid,
    address: &str,
    now: Timestamp,
) -> TestMailResult {
    let message = render::test_message(address, now);
    // It reports no alert, so it has no link.
    let origin = MailOrigin { journal, ack_key: None };
    let outgoing = match render(&message, &origin, &post.from, &post.style) {
        Ok(outgoing) => outgoing,
        Err(why) => {
            let delivery = Delivery::Refused(truncated_reply(&why.to_string()));
            return TestMailResult { transcript: Vec::new(), delivery };
        }
    };
    let progress = connect(post).await;
    let result = match progress.connection {
        Ok(mut connection) => {
            let result = connection.deliver(post, &outgoing).await;
            connection.quit().await;
            result
        }
        Err(failure) => Err(failure),
    };
    let delivery = match result {
        Ok(reply) => Delivery::Sent(truncated_reply(&reply)),
        Err(failure) => failure.delivery(&post.endpoint()),
    };
    let lines = progress.stream.map(|wire| wire.transcript()).unwrap_or_default();
    TestMailResult { transcript: lines, delivery }
}
