//! The oracle: what a broker has, and what it must have of an event by what its sender was told.
//!
//! Guarantees that all records are read, and that a record which is missing fails the test. Does not
//! know who the senders are and how they were told: each crate has its own witnesses.

use std::collections::BTreeMap;

use grid_broker::client::connect;
use grid_broker::codec;
use grid_broker::contract::proto::appliance_service_client::ApplianceServiceClient;
use grid_broker::contract::proto::grid_log_service_client::GridLogServiceClient;
use grid_broker::contract::proto::{
    Appliance, Event, ListAppliancesRequest, ListRecordsRequest, LostReason, Outcome, Record,
    RecordFilter, RecordKind,
};
use grid_broker::grid::state::State;
use grid_broker::journal::EncodedRecord;

/// All records of the broker at `address`, none of which is missing.
pub(crate) async fn records(address: &str) -> Vec<Record> {
    let records = records_left(address).await;
    assert_eq!(trimmed(&records), 0, "the oldest records were trimmed");
    records
}

/// All records that retention left of the broker at `address`; no other one is missing.
pub(crate) async fn records_left(address: &str) -> Vec<Record> {
    // What is trimmed while it is read leaves a gap behind the pages before: it is read again. A gap
    // that stays is a fault.
    for _ in 0..READS_MAX {
        let records = pages(address).await;
        if (trimmed(&records) + 1..).zip(&records).all(|(number, record)| record.number == number) {
            return records;
        }
    }
    panic!("the numbers have a gap, in each of {READS_MAX} reads");
}

/// How often the records are read while retention may be trimming them.
const READS_MAX: usize = 20;

/// The records of all pages; those that are missing are reported as trimmed.
async fn pages(address: &str) -> Vec<Record> {
    let mut log = GridLogServiceClient::new(connect(address).await.expect("it answers"));
    let (mut records, mut page_token) = (Vec::<Record>::new(), String::new());
    loop {
        // Tallies too, which are only given to whoever asks for them.
        let kinds = (1..=RecordKind::CrashDump as i32).collect();
        let filter = Some(RecordFilter { kinds, ..Default::default() });
        let request =
            ListRecordsRequest { filter, page_size: 1_000, page_token, ..Default::default() };
        let page = log.list_records(request).await.expect("a page").into_inner();
        let is_trimmed = page.missing.iter().all(|range| range.trimmed);
        assert!(is_trimmed, "{:?} are missing", page.missing);
        records.extend(page.records);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return records;
        }
    }
}

/// How many of the oldest records are not among these.
pub(crate) fn trimmed(records: &[Record]) -> u64 {
    records.first().expect("a broker that starts has records").number - 1
}

/// All appliances of the broker at `address`.
pub(crate) async fn appliances(address: &str) -> Vec<Appliance> {
    let mut service = ApplianceServiceClient::new(connect(address).await.expect("it answers"));
    let request = ListAppliancesRequest { page_size: 1_000, ..Default::default() };
    service.list_appliances(request).await.expect("appliances").into_inner().appliances
}

/// The records of events of that appliance, by what tells its events apart.
pub(crate) fn by_event<'a, K: Ord>(
    records: &'a [Record],
    name: &str,
    key: impl Fn(&'a Event) -> K,
) -> BTreeMap<K, Vec<&'a Record>> {
    let mut found: BTreeMap<K, Vec<&Record>> = BTreeMap::new();
    for record in records.iter().filter(|it| it.appliance == name) {
        if let Some(event) = &record.event {
            found.entry(key(event)).or_default().push(record);
        }
    }
    found
}

/// The events of that appliance, in the order of their records.
pub(crate) fn events<'a>(records: &'a [Record], name: &str) -> impl Iterator<Item = &'a Event> {
    records.iter().filter(move |it| it.appliance == name).filter_map(|it| it.event.as_ref())
}

/// The texts of that appliance's events, in the order of their records.
pub(crate) fn texts(records: &[Record], name: &str) -> Vec<String> {
    events(records, name).map(|event| event.text.clone()).collect()
}

/// How many events records of that appliance report as lost for that reason.
pub(crate) fn lost(records: &[Record], name: &str, reason: LostReason) -> u64 {
    let lost = events(records, name).flat_map(|event| &event.lost_before);
    lost.filter(|it| it.reason() == reason).map(|it| it.count).sum()
}

/// The records that there must be of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    least: usize,
    most: usize,
    outcome: Option<Outcome>,
}

impl Expected {
    /// There is no record.
    pub(crate) const NONE: Self = Self { least: 0, most: 0, outcome: None };
    /// There is one record.
    pub(crate) const ONE: Self = Self { least: 1, most: 1, outcome: None };
    /// There is one record, or none.
    pub(crate) const AT_MOST_ONE: Self = Self { least: 0, most: 1, outcome: None };

    /// By the outcome in the acknowledgement.
    pub(crate) fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Kept | Outcome::Refused | Outcome::History => {
                Self { outcome: Some(outcome), ..Self::ONE }
            }
            Outcome::Invalid | Outcome::Repeated | Outcome::Folded | Outcome::NotKept => Self::NONE,
            // The first of many has a record.
            Outcome::Suppressed => Self { outcome: Some(outcome), ..Self::AT_MOST_ONE },
            // What it was the first time is in the grid log, or in the counts.
            Outcome::Duplicate => Self::AT_MOST_ONE,
            Outcome::Unsupported | Outcome::Unspecified => panic!("{outcome:?} was not expected"),
        }
    }

    /// What is wrong with the records that were found of it, if anything is.
    pub(crate) fn mismatch(self, found: &[&Record]) -> Option<String> {
        let Self { least, most, outcome } = self;
        let is_other = |it: &&&Record| outcome.is_some_and(|outcome| it.outcome() != outcome);
        if !(least..=most).contains(&found.len()) {
            let numbers: Vec<_> = found.iter().map(|it| (it.number, it.event.as_ref())).collect();
            return Some(format!("{} records, not {least} to {most}: {numbers:?}", found.len()));
        }
        found.iter().find(is_other).map(|it| format!("another outcome: {it:?}"))
    }
}

/// Applies those of these records that are behind `state`.
pub(crate) fn fold(state: &mut State, records: &[EncodedRecord]) {
    let after = state.last();
    for encoded in records.iter().filter(|it| it.number > after) {
        state.replay(&codec::decode_record(&encoded.bytes).expect("a record"));
    }
}
