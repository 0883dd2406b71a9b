//! What a list of records leaves out, so that no hole in the numbers is a riddle.
//!
//! Guarantees that what is said is true: holes are only counted where nothing but the list's own
//! custom leaves records out. Reads nothing itself.

use grid_broker::contract::proto::RecordFilter;
use grid_broker::show::size::format_count;

use super::LogItem;

/// Counts while a list is shown.
#[derive(Debug)]
pub(super) struct OmittedRecords {
    /// Every record is wanted that the broker lists by itself: a hole is a tally.
    is_plain: bool,
    /// There may be more before the first that is shown.
    has_limit: bool,
    lowest: u64,
    highest: u64,
    /// Numbers that are shown or told.
    reported: u64,
}

impl OmittedRecords {
    /// Nothing yet, of a list by that filter.
    pub(super) fn new(filter: &RecordFilter, is_whole: bool) -> Self {
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
        Self { is_plain, has_limit: !is_whole, lowest: u64::MAX, highest: 0, reported: 0 }
    }

    /// Takes note of entries that are shown.
    pub(super) fn count(&mut self, entries: &[LogItem]) {
        for entry in entries {
            let (first, last) = match entry {
                LogItem::Record(record) => (record.number, record.number),
                LogItem::Missing(missing) => (missing.first, missing.last),
            };
            self.lowest = self.lowest.min(first);
            self.highest = self.highest.max(last);
            self.reported += (last + 1).saturating_sub(first);
        }
    }

    /// What is to be said at the end; `is_cut`: the broker has another page.
    pub(super) fn notes(&self, is_cut: bool) -> Vec<String> {
        let mut notes = Vec::new();
        let hidden = (self.highest + 1).saturating_sub(self.lowest).saturating_sub(self.reported);
        if self.is_plain && self.reported > 0 && hidden > 0 {
            let records = format_count(hidden, "record");
            notes.push(format!(
                "{records} in between only count events (kind tally) and are left out; --all \
                 shows every record"
            ));
        }
        if self.has_limit && is_cut && self.reported > 0 {
            let older = if self.is_plain { "older records are" } else { "older records may be" };
            notes.push(format!("{older} left out; a larger --limit or --all shows more"));
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use grid_broker::contract::proto::{Missing, Record};

    use super::*;

    fn notes(filter: &RecordFilter, is_whole: bool, numbers: &[u64], is_cut: bool) -> String {
        let mut left_out = OmittedRecords::new(filter, is_whole);
        let record = |number: &u64| {
            LogItem::Record(Box::new(Record { number: *number, ..Record::default() }))
        };
        left_out.count(&numbers.iter().map(record).collect::<Vec<_>>());
        left_out.count(&[LogItem::Missing(Missing { first: 4, last: 5, trimmed: false })]);
        left_out.notes(is_cut).join("; ")
    }

    #[test]
    fn holes_and_ends_are_told_where_they_are_sure() {
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
