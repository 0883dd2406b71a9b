//! Renders a message without sending it: for previews and for measurements.
//!
//! Guarantees the bytes that the mail sender would send at this attempt. Sends nothing, reads no clock.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use uuid::Uuid;

use super::{MailOrigin, fit_to_size};
use crate::config::smtp::MessageStyle;
use crate::grid::model::mail_message::MailMessage;

/// A rendered message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailPreview {
    /// The subject.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The HTML.
    pub html: String,
}

/// Renders a message of the journal `journal` for the grid `grid`, with times in UTC.
pub fn preview(message: &MailMessage, journal: Uuid, grid: &str) -> MailPreview {
    let style = MessageStyle {
        grid: grid.to_owned(),
        zone: TimeZone::UTC,
        zones: BTreeMap::new(),
        public_url: String::new(),
        templates: None,
    };
    let origin = MailOrigin { journal, ack_key: None };
    let (view, text, html) = fit_to_size(message, &origin, &style);
    MailPreview { subject: view.subject, text, html }
}
