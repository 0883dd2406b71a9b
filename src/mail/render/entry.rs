//! One list of all that a mail reports: its notices, and those that are stored as one line.
//!
//! Guarantees that the order is the same everywhere in a mail: open before resolved, gravest first, what
//! somebody has acknowledged and what only continues after what is new. Writes no text of its own.

use std::cmp::Reverse;

use crate::grid::model::mail_message::{MailMessage, Notice, SUMMARY, SUPPRESSED};
use crate::grid::values::event::Severity;
use crate::grid::values::id::AlertId;
use crate::grid::values::time::Timestamp;
use crate::mail::render::hints::{UNKNOWN_TITLE, topic_of};

/// What one notice or one line reports.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    /// The appliance's name; empty: the broker.
    pub(super) about: &'a str,
    /// The kind of a finding, or the group key of an alert event.
    pub(super) topic: &'a str,
    pub(super) severity: Severity,
    pub(super) is_resolved: bool,
    /// The appliance's class; empty: none is known.
    pub(super) class: &'a str,
    pub(super) alert: Option<AlertId>,
    /// The whole notice; `None`: it is stored as one line.
    pub(super) notice: Option<&'a Notice>,
}

impl<'a> Entry<'a> {
    fn of_notice(notice: &'a Notice) -> Self {
        Self {
            about: &notice.subject,
            topic: &notice.topic,
            severity: notice.severity,
            is_resolved: notice.is_resolved,
            class: &notice.class,
            alert: notice.alert,
            notice: Some(notice),
        }
    }

    /// The kind as a word that counts may name: `start_failed`; `alert` for alert events.
    pub(super) fn kind(&self) -> &'a str {
        match topic_of(self.topic).title {
            UNKNOWN_TITLE => "alert",
            _ => self.topic,
        }
    }

    /// The text of the notice, or what is known of it.
    pub(super) fn text(&self) -> &'a str {
        match (self.notice, topic_of(self.topic).title) {
            (Some(notice), _) if !notice.text.is_empty() => &notice.text,
            (_, UNKNOWN_TITLE) if !self.topic.is_empty() => self.topic,
            (_, title) => title,
        }
    }

    /// Since when it is open, or was, as far as it is known.
    pub(super) fn since(&self) -> Option<Timestamp> {
        let notice = self.notice?;
        notice.since.or((!self.is_resolved).then_some(notice.at))
    }

    /// When it was resolved, if it is.
    pub(super) fn resolved_at(&self) -> Option<Timestamp> {
        self.notice.filter(|it| it.is_resolved).map(|it| it.at)
    }

    /// Whether it counts alerts that were held back.
    pub(super) fn is_suppression(&self) -> bool {
        self.topic == SUPPRESSED
    }

    fn is_acknowledged(&self) -> bool {
        self.notice.is_some_and(|it| it.acknowledged)
    }

    fn is_repeat(&self) -> bool {
        self.notice.is_some_and(|it| it.occurrences > 0)
    }
}

/// All entries of a mail, in the order of their importance; of two alike, the earlier one first.
pub(super) fn entries(message: &MailMessage) -> Vec<Entry<'_>> {
    let notices = message.notices.iter().filter(|it| &*it.topic != SUMMARY).map(Entry::of_notice);
    let lines = message.briefs.iter().map(|line| Entry {
        about: &line.subject,
        topic: &line.topic,
        severity: line.severity,
        is_resolved: line.is_resolved,
        class: &line.class,
        alert: line.alert,
        notice: None,
    });
    let mut all: Vec<_> = notices.chain(lines).collect();
    all.sort_by_key(|it| {
        (it.is_resolved, Reverse(it.severity), it.is_acknowledged(), it.is_repeat())
    });
    all
}
