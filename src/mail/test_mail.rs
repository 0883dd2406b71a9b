//! `gridctl mail test`: one mail at once by the real path, and all that was said on the way.
//!
//! Guarantees that what is told was said, line by line, without the password, and that a connection
//! of its own is used, so that every step is seen. Leaves no record: whoever asks may.

use uuid::Uuid;

use super::conversation::{open, shortened};
use super::render::{self, render};
use crate::config::post::Post;
use crate::grid::mail::Delivery;
use crate::grid::time::Timestamp;

/// What came of a test, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialogue {
    /// What was said: `> ` by us, `< ` by the server, `* ` is a remark of ours.
    pub lines: Vec<String>,
    /// What came of it.
    pub delivery: Delivery,
}

/// Sends a test mail to `address` at once, as the broker of journal `journal` at `now`.
pub async fn dialogue(post: &Post, journal: Uuid, address: &str, now: Timestamp) -> Dialogue {
    let message = render::test_message(address, now);
    let letter = match render(&message, journal, &post.from, &post.look) {
        Ok(letter) => letter,
        Err(why) => {
            let delivery = Delivery::Refused(shortened(&why.to_string()));
            return Dialogue { lines: Vec::new(), delivery };
        }
    };
    let opened = open(post).await;
    let brought = match opened.connection {
        Ok(mut connection) => {
            let brought = connection.bring(post, &letter).await;
            connection.quit().await;
            brought
        }
        Err(failure) => Err(failure),
    };
    let delivery = match brought {
        Ok(reply) => Delivery::Sent(shortened(&reply)),
        Err(failure) => failure.delivery(&post.place()),
    };
    let lines = opened.wire.map(|wire| wire.told()).unwrap_or_default();
    Dialogue { lines, delivery }
}
