//! Sends the test mail of `gridctl mail test` at once, and returns the transcript of the session.
//!
//! Guarantees that the transcript is complete, line by line, without the password, and that the
//! session has its own connection, so that every step is visible. Writes no record: the caller may.

use uuid::Uuid;

use super::conversation::{open, shortened};
use super::render::{self, render};
use crate::config::post::Post;
use crate::grid::mail::Delivery;
use crate::grid::time::Timestamp;

/// The result of a test mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialogue {
    /// The transcript: `> ` is sent, `< ` is received, `* ` is a remark.
    pub lines: Vec<String>,
    /// The delivery result.
    pub delivery: Delivery,
}

/// Sends a test mail to `address` at once, as the broker of journal `journal` at `now`.
pub async fn dialogue(post: &Post, journal: Uuid, address: &str, now: Timestamp) -> Dialogue {
    let message = render::test_message(address, now);
    let outgoing = match render(&message, journal, &post.from, &post.look) {
        Ok(outgoing) => outgoing,
        Err(why) => {
            let delivery = Delivery::Refused(shortened(&why.to_string()));
            return Dialogue { lines: Vec::new(), delivery };
        }
    };
    let progress = open(post).await;
    let result = match progress.connection {
        Ok(mut connection) => {
            let result = connection.bring(post, &outgoing).await;
            connection.quit().await;
            result
        }
        Err(failure) => Err(failure),
    };
    let delivery = match result {
        Ok(reply) => Delivery::Sent(shortened(&reply)),
        Err(failure) => failure.delivery(&post.place()),
    };
    let lines = progress.wire.map(|wire| wire.told()).unwrap_or_default();
    Dialogue { lines, delivery }
}
