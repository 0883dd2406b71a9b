//! Compares what calls of vme were told with what the broker has.

use std::collections::BTreeMap;
use std::fmt;

use grid_broker::contract::proto::Record;

use super::worker::Call;
use crate::support::oracle::{Expected, by_event};

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
    let found = by_event(records, name, |event| event.text.as_str());
    let mut tally = Tally { calls: calls.len(), ..Tally::default() };
    let mut last = (0, "");
    for call in calls {
        let code = call.code.map_or("killed".to_owned(), |code| format!("exit {code}"));
        *tally.by_code.entry(code).or_default() += 1;
        let its = found.get(call.text.as_str()).map_or(&[][..], Vec::as_slice);
        match expected(call, has_budgets).map(|it| it.mismatch(its)) {
            Some(None) => {}
            Some(Some(wrong)) => tally.wrong.push(format!("{call:?}: {wrong}")),
            None => tally.wrong.push(format!("{call:?}: nothing of the kind is to be told")),
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

/// What records there must be, by what the call was told; `None`: no call is to be told that.
fn expected(call: &Call, has_budgets: bool) -> Option<Expected> {
    let Some(code) = call.code else { return Some(Expected::AT_MOST_ONE) };
    let unless_counted = match may_be_counted(call, has_budgets) {
        true => Expected::AT_MOST_ONE,
        false => Expected::ONE,
    };
    let line = call.line.as_str();
    let has = |part: &str| line.contains(part);
    match code {
        0 if has("is stored") || has("is record") => Some(Expected::ONE),
        0 if has("is not stored") || has("is counted") => Some(Expected::NONE),
        // By an earlier try of the same call.
        0 if has("is already known") => Some(unless_counted),
        3 if has("refused") => Some(Expected::ONE),
        4 if has_budgets => Some(Expected::AT_MOST_ONE),
        5 if has("spooled, and sent when") => Some(unless_counted),
        6 if has("the broker may have stored") && !has("not spooled") => {
            Some(Expected::AT_MOST_ONE)
        }
        _ => None,
    }
}
