//! Sends the mails of the outbox to the operator's SMTP server and reports the result of each.
//!
//! ```text
//! MailJob --render--> OutgoingMessage --smtp_session--> DeliveryReport: sent, deferred or refused
//! ```
//!
//! Guarantees that each job is reported once, within bounded time whatever the server does, and that
//! no report contains a password. Does not decide what is mailed, when a mail is retried or when it
//! fails permanently: the core does.

mod rejection;
mod render;
mod reply;
mod sender;
mod smtp_session;
mod test_mail;
mod tls_failure;
mod transport;

pub use crate::config::smtp::SmtpConfig;
pub use crate::mail::render::MailOrigin;
pub use crate::mail::render::preview::{MailPreview, preview};
pub use crate::mail::sender::{DeliveryReport, start};
pub use test_mail::{TestMailResult, send_test_mail};
