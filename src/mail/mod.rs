//! The outbox's courier: brings mails to the operator's SMTP server, and says what came of each.
//!
//! ```text
//! Deliver --render--> letter --conversation--> Answer: sent, deferred or refused
//! ```
//!
//! Guarantees that every mail is answered once, within bounded time whatever the server does, and
//! that no password is in any answer. Decides nothing: what is mailed, when it is tried again and
//! when it is given up is the core's.

mod conversation;
mod courier;
mod handshake;
mod refusal;
mod render;
mod reply;
mod test_mail;
mod wire;

pub use crate::config::post::Post;
pub use courier::{Answer, start};
pub use test_mail::{Dialogue, dialogue};
