//! Makes of a message the alerts that it is about, each once, with labels and annotations.
//!
//! Guarantees that all labels and annotations are text without hidden characters, that labels are
//! never empty, and that the gravest alerts come first. Knows neither JSON nor HTTP.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::grid::model::alert::kind_named;
use crate::grid::model::mail_message::{BriefNotice, MailMessage, Notice, SUPPRESSED};
use crate::grid::values::event::Severity;
use crate::grid::values::time::Timestamp;
use crate::show::escape::escape;

/// Longest text in an annotation, in bytes, of a notification that is not shortened.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// The same of one that was too large for its receiver.
const SHORT_TEXT_BYTES_MAX: usize = 200;

/// The name of alerts that appliances raise by events; their key tells them apart.
const EVENT: &str = "event";

/// The annotation with the text.
const SUMMARY: &str = "summary";

/// What tells alerts apart: the appliance, empty for the broker, and the key.
pub(super) type AlertIdentity = (Box<str>, Box<str>);

/// An alert as a receiver sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AlertEntry {
    /// What tells it apart.
    pub(super) identity: AlertIdentity,
    /// Its severity.
    pub(super) severity: Severity,
    /// By which receivers group and route.
    pub(super) labels: BTreeMap<&'static str, String>,
    /// What people read.
    pub(super) annotations: BTreeMap<&'static str, String>,
    /// When it began.
    pub(super) starts_at: Timestamp,
    /// When it ended; `None`: it is open.
    pub(super) ends_at: Option<Timestamp>,
    /// When this was the state of it.
    pub(super) at: Timestamp,
}

impl AlertEntry {
    /// Its fingerprint: the same as long as it is the same alert, whatever its severity.
    pub(super) fn fingerprint(&self) -> String {
        let (appliance, key) = &self.identity;
        // FNV-1a, as Alertmanager's own are: http://www.isthe.com/chongo/tech/comp/fnv/
        let bytes = appliance.bytes().chain([0xff]).chain(key.bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    }

    /// The same alert with short texts.
    pub(super) fn shortened(mut self) -> Self {
        for text in self.annotations.values_mut() {
            cut(text, SHORT_TEXT_BYTES_MAX);
        }
        self
    }
}

/// The alerts of a message, each once and as it was last: open ones first, the gravest of them first.
pub(super) fn entries(message: &MailMessage, grid: &str) -> Vec<AlertEntry> {
    let briefs = message.briefs.iter().map(|brief| brief_entry(brief, message.queued_at, grid));
    let notices = message.notices.iter().map(|notice| notice_entry(notice, grid));
    let mut by_identity: BTreeMap<AlertIdentity, AlertEntry> = BTreeMap::new();
    // A notice says more than a brief one about the same, and stands behind it.
    for entry in briefs.chain(notices) {
        let earlier = by_identity.get(&entry.identity);
        if earlier.is_some_and(|it| it.at > entry.at && it.annotations.contains_key(SUMMARY)) {
            continue;
        }
        let starts_at = earlier.map_or(entry.starts_at, |it| it.starts_at.min(entry.starts_at));
        by_identity.insert(entry.identity.clone(), AlertEntry { starts_at, ..entry });
    }
    let mut all: Vec<_> = by_identity.into_values().collect();
    all.sort_by_key(|it| (it.ends_at.is_some(), Reverse(it.severity), it.starts_at));
    all
}

/// The number of notices of a message of which nothing but their count is kept.
pub(super) fn uncounted(message: &MailMessage) -> u64 {
    message.omitted.saturating_sub(u64::try_from(message.briefs.len()).unwrap_or(u64::MAX))
}

fn notice_entry(notice: &Notice, grid: &str) -> AlertEntry {
    let Notice { subject, topic, severity, at, text, record, is_resolved, .. } = notice;
    let count = notice.count.max(notice.occurrences).max(1);
    let mut annotations = BTreeMap::from([
        (SUMMARY, shown(text, TEXT_BYTES_MAX)),
        ("record", record.to_string()),
        ("count", count.to_string()),
        ("acknowledged", notice.acknowledged.to_string()),
    ]);
    if let Some(alert) = notice.alert {
        annotations.insert("alert", alert.0.to_string());
    }
    AlertEntry {
        identity: (subject.clone(), topic.clone()),
        severity: *severity,
        labels: labels(subject, topic, &notice.class, *severity, grid),
        annotations,
        starts_at: notice.since.unwrap_or(*at),
        ends_at: is_resolved.then_some(*at),
        at: *at,
    }
}

fn brief_entry(brief: &BriefNotice, queued_at: Timestamp, grid: &str) -> AlertEntry {
    let BriefNotice { subject, topic, severity, is_resolved, alert, class } = brief;
    let alert = alert.map(|alert| ("alert", alert.0.to_string()));
    AlertEntry {
        identity: (subject.clone(), topic.clone()),
        severity: *severity,
        labels: labels(subject, topic, class, *severity, grid),
        annotations: alert.into_iter().collect(),
        starts_at: queued_at,
        ends_at: is_resolved.then_some(queued_at),
        at: queued_at,
    }
}

fn labels(
    appliance: &str,
    key: &str,
    class: &str,
    severity: Severity,
    grid: &str,
) -> BTreeMap<&'static str, String> {
    let name = kind_named(key).unwrap_or(if key == SUPPRESSED { key } else { EVENT });
    let all = [
        ("alertname", shown(name, TEXT_BYTES_MAX)),
        ("appliance", shown(appliance, TEXT_BYTES_MAX)),
        ("class", shown(class, TEXT_BYTES_MAX)),
        ("grid", shown(grid, TEXT_BYTES_MAX)),
        ("key", shown(key, TEXT_BYTES_MAX)),
        ("severity", severity.as_str().to_owned()),
    ];
    all.into_iter().filter(|it| !it.1.is_empty()).collect()
}

fn shown(text: &str, most: usize) -> String {
    let mut shown = escape(text).into_owned();
    cut(&mut shown, most);
    shown
}

fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push_str("...");
    }
}
