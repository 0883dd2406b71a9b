//! Explains gaps in the numbers of listed records.
//!
//! Guarantees that its notes are true: gaps are counted only where no filter leaves records out.
//! Reads no records itself.

use grid_broker::contract::proto::RecordFilter;
use grid_broker::show::count::format_count;

use super::LogEntry;

/// Counts the entries of a list while it is shown.
#[derive(Debug)]
pub(super) struct OmittedRecords {
    /// No filter is set, so a gap consists of tallies.
    is_unfiltered: bool,
    /// There may be older records than the first one shown.
    has_limit: bool,
    lowest: u64,
    highest: u64,
    /// Numbers of records that are shown or noted as missing.
    shown_count: u64,
}

impl OmittedRecords {
    /// Starts to count a list with this filter.
    pub(super) fn new(filter: &RecordFilter, is_complete: bool) -> Self {
        let RecordFilter {
            appliances,
            kinds,
            severity_at_least,
            since: _,
            until: _,
            text,
            boot_id,
        } = filter;
        let is_plain = appliances.is_empty()
            && kinds.is_empty()
            && *severity_at_least == 0
            && text.is_empty()
            && boot_id.is_empty();
        Self {
            is_unfiltered: is_plain,
            has_limit: !is_complete,
            lowest: u64::MAX,
            highest: 0,
            shown_count: 0,
        }
    }

    /// Counts entries that are shown.
    pub(super) fn observe(&mut self, entries: &[LogEntry]) {
        for entry in entries {
            let (first, last) = match entry {
                LogEntry::Record(record) => (record.number, record.number),
                LogEntry::Missing(missing) => (missing.first, missing.last),
            };
            self.lowest = self.lowest.min(first);
            self.highest = self.highest.max(last);
            self.shown_count += (last + 1).saturating_sub(first);
        }
    }

    /// The notes at the end of the list; `is_cut`: the broker has another page.
    pub(super) fn notes(&self, is_cut: bool) -> Vec<String> {
        let mut notes = Vec::new();
        let hidden =
            (self.highest + 1).saturating_sub(self.lowest).saturating_sub(self.shown_count);
        if self.is_unfiltered && self.shown_count > 0 && hidden > 0 {
            let records = format_count(hidden, "record");
            notes.push(format!(
                "{records} in between only count events (kind tally) and are left out; --all \
                 shows every record"
            ));
        }
        if self.has_limit && is_cut && self.shown_count > 0 {
            let older =
                if self.is_unfiltered { "older records are" } else { "older records may be" };
            notes.push(format!("{older} left out; a larger --limit or --all shows more"));
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use grid_broker::contract::proto::{Missing, Record};

    use super::*;

    fn notes(filter: &RecordFilter, is_complete: bool, numbers: &[u64], is_cut: bool) -> String {
        let mut left_out = OmittedRecords::new(filter, is_complete);
        let record = |number: &u64| {
            LogEntry::Record(Box::new(Record { number: *number, ..Record::default() }))
        };
        left_out.observe(&numbers.iter().map(record).collect::<Vec<_>>());
        left_out.observe(&[LogEntry::Missing(Missing { first: 4, last: 5, trimmed: false })]);
        left_out.notes(is_cut).join("; ")
    }

    #[test]
    fn gaps_and_ends_are_noted_only_where_certain() {
        let all = RecordFilter::default();
        let some = RecordFilter { text: "disk".to_owned(), ..RecordFilter::default() };
        assert_eq!(notes(&all, false, &[3, 6, 7], false), "");
        assert!(notes(&all, false, &[3, 6, 8], false).starts_with("1 record in between only"));
        assert!(notes(&all, false, &[2, 6, 9], false).starts_with("3 records in between"));
        assert_eq!(notes(&some, false, &[3, 9], false), "");
        assert!(notes(&all, false, &[3, 6], true).starts_with("older records are left out; a l"));
        assert!(notes(&some, false, &[3, 6], true).starts_with("older records may be left out"));
        assert_eq!(notes(&some, true, &[3, 6], false), "");
    }
}
