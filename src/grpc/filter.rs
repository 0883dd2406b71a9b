//! Validates filters of records, and splits them for the journal's masks and for each record.
//!
//! Guarantees that an invalid filter is rejected with the field's name, and that the journal skips
//! what its masks can tell; the rest (text, boot) is checked by the content. Reads no records.

use std::collections::HashSet;
use std::sync::Arc;

use globset::{Glob, GlobSet, GlobSetBuilder};
use prost::Message;
use tonic::Status;

use super::content_filter::TextAndBoot;
use super::status;
use crate::broker::NameIndex;
use crate::contract::decode::violation;
use crate::contract::proto::{Record, RecordFilter, RecordKind, Severity, Violation};
use crate::grid::values::id::ApplianceIndex;
use crate::grid::values::time::Timestamp;
use crate::journal::{ContentFilter, HeaderFilter};
use crate::show::escape::excerpt;

/// Most patterns in a filter.
const PATTERNS_MAX: usize = 64;

/// Longest text to search for, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// Fewest characters of a boot id.
const BOOT_ID_CHARS_MIN: usize = 4;

/// Tallies are internal: listed only if the filter names their kind.
const TALLY_MASK: u32 = 1 << (RecordKind::Tally as u32);

/// A validated filter.
#[derive(Clone, Debug)]
pub(super) struct RecordMatcher {
    appliances: Option<GlobSet>,
    kind_mask: u32,
    severity_mask: u8,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    text: String,
    boot: String,
    key: Box<[u8]>,
}

impl RecordMatcher {
    pub(super) fn new(filter: Option<RecordFilter>) -> Result<Self, Status> {
        let filter = filter.unwrap_or_default();
        let key = canonical(filter.clone()).encode_to_vec().into();
        let mut violations = Vec::new();
        let appliances = patterns("filter.appliances", &filter.appliances, &mut violations);
        let mut kind_mask = 0;
        for (kind, at) in filter.kinds.iter().zip(0..) {
            match RecordKind::try_from(*kind) {
                Ok(RecordKind::Unspecified) | Err(_) => {
                    violations
                        .push(violation(&format!("filter.kinds[{at}]"), "is not a record kind"));
                }
                Ok(kind) => kind_mask |= 1 << (kind as u32),
            }
        }
        let severity_mask = match Severity::try_from(filter.severity_at_least) {
            Ok(severity) => u8::MAX << (severity as u8),
            Err(_) => {
                violations.push(violation("filter.severity_at_least", "is not a severity"));
                0
            }
        };
        let mut time = |field: &str, time: Option<prost_types::Timestamp>| {
            let checked = time.as_ref().and_then(crate::contract::decode_timestamp);
            if time.is_some() && checked.is_none() {
                violations.push(violation(field, "is outside the years 1 to 9999"));
            }
            checked
        };
        let since = time("filter.since", filter.since);
        let until = time("filter.until", filter.until);
        if filter.text.len() > TEXT_BYTES_MAX {
            violations.push(violation("filter.text", "at most 256 bytes are allowed"));
        }
        if !filter.boot_id.is_empty() && filter.boot_id.len() < BOOT_ID_CHARS_MIN {
            violations.push(violation("filter.boot_id", "at least 4 characters are needed"));
        }
        if !violations.is_empty() {
            return Err(status::invalid(violations));
        }
        Ok(Self {
            appliances,
            kind_mask: if kind_mask == 0 { !TALLY_MASK } else { kind_mask },
            severity_mask,
            since,
            until,
            text: filter.text.to_lowercase(),
            boot: filter.boot_id.to_lowercase(),
            key,
        })
    }

    /// Matches every record, tallies too.
    pub(super) fn any() -> Self {
        Self {
            appliances: None,
            kind_mask: u32::MAX,
            severity_mask: u8::MAX,
            since: None,
            until: None,
            text: String::new(),
            boot: String::new(),
            key: Box::default(),
        }
    }

    /// Equal for filters of requests that match the same records, as far as their form shows it.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// The filter for the journal, and how many names were checked for it.
    pub(super) fn journal_filter(&self, names: &NameIndex) -> (HeaderFilter, usize) {
        let names_seen = names.count();
        let appliances = self.appliances.as_ref().map(|globs| {
            let rows = names.matching(|name| globs.is_match(name));
            rows.into_iter().map(|number| number.0).collect::<HashSet<_>>()
        });
        let filter = HeaderFilter {
            since_us: self.since.map_or(i64::MIN, Timestamp::as_micros),
            until_us: self.until.map_or(i64::MAX, |until| until.as_micros() - 1),
            severity_mask: self.severity_mask,
            kind_mask: self.kind_mask,
            appliances,
        };
        (filter, names_seen)
    }

    /// Whether the content of records has to be read to tell which match.
    pub(super) fn has_content_condition(&self) -> bool {
        !self.text.is_empty() || !self.boot.is_empty()
    }

    /// The condition on the content of records, for the journal; `None`: any.
    pub(super) fn content_filter(&self, names: &NameIndex) -> Option<Arc<dyn ContentFilter>> {
        TextAndBoot::new(&self.text, &self.boot, names).map(|it| Arc::new(it) as _)
    }

    /// Checks the names added since `names_seen`: names are never removed. Returns whether one matches.
    pub(super) fn add_new_names(
        &self,
        filter: &mut Arc<HeaderFilter>,
        names_seen: &mut usize,
        names: &NameIndex,
    ) -> bool {
        let Some(globs) = &self.appliances else { return false };
        let mut has_new = false;
        let count = names.count();
        for number in (*names_seen..count).filter_map(|seen| u32::try_from(seen + 1).ok()) {
            // An index lost with missing records has none, and matches nothing.
            let name = names.name(ApplianceIndex(number));
            if !name.is_empty() && globs.is_match(name) {
                Arc::make_mut(filter).appliances.get_or_insert_default().insert(number);
                has_new = true;
            }
        }
        *names_seen = count;
        has_new
    }

    /// Whether the filter includes the oldest records.
    pub(super) fn includes_oldest(&self) -> bool {
        self.since.is_none()
    }

    /// Whether a record that the journal did not skip matches.
    pub(super) fn matches(&self, record: &Record) -> bool {
        let has_text = self.text.is_empty()
            || record.text.to_lowercase().contains(&self.text)
            || record.explanation.to_lowercase().contains(&self.text);
        has_text && record.boot_id.starts_with(&self.boot)
    }
}

/// The filter with its alternatives in one order and its texts in one case.
fn canonical(mut filter: RecordFilter) -> RecordFilter {
    filter.appliances.sort_unstable();
    filter.appliances.dedup();
    filter.kinds.sort_unstable();
    filter.kinds.dedup();
    filter.text = filter.text.to_lowercase();
    filter.boot_id = filter.boot_id.to_lowercase();
    filter
}

/// Compiles patterns of names; `None`: any name.
pub(super) fn patterns(
    field: &str,
    patterns: &[String],
    violations: &mut Vec<Violation>,
) -> Option<GlobSet> {
    if patterns.is_empty() {
        return None;
    }
    if patterns.len() > PATTERNS_MAX {
        violations.push(violation(field, format!("at most {PATTERNS_MAX} patterns are allowed")));
        return None;
    }
    let mut globs = GlobSetBuilder::new();
    for (pattern, at) in patterns.iter().zip(0..) {
        match Glob::new(pattern) {
            Ok(glob) if pattern.len() <= 256 => drop(globs.add(glob)),
            Ok(_) => {
                let text = format!("`{}` is over 256 bytes long", excerpt(pattern));
                violations.push(violation(&format!("{field}[{at}]"), text));
            }
            Err(error) => {
                let text = format!("`{}` is not a pattern: {}", excerpt(pattern), error.kind());
                violations.push(violation(&format!("{field}[{at}]"), text));
            }
        }
    }
    match globs.build() {
        Ok(globs) => Some(globs),
        Err(error) => {
            violations.push(violation(field, format!("cannot be compiled: {error}")));
            None
        }
    }
}
