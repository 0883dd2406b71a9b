//! Compares what calls of vme were told with what the broker has.

use std::collections::BTreeMap;
use std::fmt;

use grid_broker::client::connect;
use grid_broker::contract::proto::grid_log_service_client::GridLogServiceClient;
use grid_broker::contract::proto::{
    ListRecordsRequest, LostReason, Record, RecordFilter, RecordKind,
};

use super::worker::Call;

/// All records of the broker at `address`, none of which is missing.
pub(crate) async fn records(address: &str) -> Vec<Record> {
    let mut log = GridLogServiceClient::new(connect(address).await.expect("it answers"));
    let (mut records, mut page_token) = (Vec::new(), String::new());
    loop {
        let kinds = (1..=RecordKind::Tally as i32).collect();
        let filter = Some(RecordFilter { kinds, ..Default::default() });
        let request =
            ListRecordsRequest { filter, page_size: 1_000, page_token, ..Default::default() };
        let page = log.list_records(request).await.expect("a page").into_inner();
        assert!(page.missing.is_empty(), "{:?} are missing", page.missing);
        records.extend(page.records);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return records;
        }
    }
}

/// The records of events of that appliance, by their texts.
pub(crate) fn by_text<'a>(records: &'a [Record], name: &str) -> BTreeMap<&'a str, Vec<&'a Record>> {
    let mut found: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in records.iter().filter(|it| it.appliance == name) {
        if let Some(event) = &record.event {
            found.entry(event.text.as_str()).or_default().push(record);
        }
    }
    found
}

/// The texts of that appliance's events, in the order of their records.
pub(crate) fn texts(records: &[Record], name: &str) -> Vec<String> {
    let own = records.iter().filter(|it| it.appliance == name);
    own.filter_map(|it| it.event.as_ref()).map(|event| event.text.clone()).collect()
}

/// How many events records of that appliance tell of as lost for that reason.
pub(crate) fn lost(records: &[Record], name: &str, reason: LostReason) -> u64 {
    let events =
        records.iter().filter(|it| it.appliance == name).filter_map(|it| it.event.as_ref());
    let lost = events.flat_map(|event| &event.lost_before);
    lost.filter(|it| it.reason() == reason).map(|it| it.count).sum()
}

/// How many of what there were.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) calls: usize,
    pub(crate) by_code: BTreeMap<String, usize>,
    /// Killed calls whose event has a record.
    pub(crate) killed_with_record: usize,
    /// Records of events with which appliances began to be held back.
    pub(crate) suppressed: usize,
    /// What is wrong: nothing, if all is well.
    pub(crate) wrong: Vec<String>,
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (killed, codes) = (self.killed_with_record, &self.by_code);
        write!(out, "{} calls {codes:?}, {killed} of the killed have records", self.calls)
    }
}

/// Compares one caller's calls, in order, with the records. `has_budgets`: not all of what comes is
/// kept.
pub(crate) fn compare(name: &str, calls: &[Call], records: &[Record], has_budgets: bool) -> Tally {
    let found = by_text(records, name);
    let mut tally = Tally { calls: calls.len(), ..Tally::default() };
    let mut last = (0, "");
    for call in calls {
        let code = call.code.map_or("killed".to_owned(), |code| format!("exit {code}"));
        *tally.by_code.entry(code).or_default() += 1;
        let its = found.get(call.text.as_str()).map_or(&[][..], Vec::as_slice);
        let (least, most) = bounds(call, has_budgets);
        let many = its.len();
        if !(least..=most).contains(&many) {
            let numbers: Vec<_> = its.iter().map(|it| (it.number, it.event.as_ref())).collect();
            tally
                .wrong
                .push(format!("{call:?} has {many} records, not {least} to {most}: {numbers:?}"));
        }
        let Some(record) = its.first() else { continue };
        if call.code.is_none() {
            tally.killed_with_record += 1;
        }
        // What is counted without a record leaves no trace until it is told: after a kill it is sent
        // again behind what came after it, and may be kept then.
        if call.code.is_none() || may_be_counted(call, has_budgets) {
            continue;
        }
        if record.number < last.0 {
            tally.wrong.push(format!("{call:?} is record {}, before {last:?}", record.number));
        }
        last = (record.number, &call.text);
    }
    tally
}

/// Not every log is kept, and reports that come fast are counted.
fn may_be_counted(call: &Call, has_budgets: bool) -> bool {
    call.is_debug || call.is_report || has_budgets
}

/// How many records there may be, by what the call was told.
fn bounds(call: &Call, has_budgets: bool) -> (usize, usize) {
    let Some(code) = call.code else { return (0, 1) };
    let may_be_counted = may_be_counted(call, has_budgets);
    let line = call.line.as_str();
    let has = |part: &str| line.contains(part);
    match code {
        0 if has("is stored") || has("is record") => (1, 1),
        0 if has("is not stored") || has("is counted") => (0, 0),
        // By an earlier try of the same call.
        0 if has("is already known") => (usize::from(!may_be_counted), 1),
        3 if has("refused") => (1, 1),
        4 if has_budgets => (0, 1),
        5 if has("spooled, and sent when") => (usize::from(!may_be_counted), 1),
        6 if has("the broker may have stored") && !has("not spooled") => (0, 1),
        // Nothing else is to be told.
        _ => (usize::MAX, 0),
    }
}
