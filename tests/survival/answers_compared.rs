//! Compares what was answered to the clients, by their files, with what the broker has: over gRPC
//! while it runs, and in its journal when it has stopped.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use grid_broker::codec;
use grid_broker::contract::proto::{Appliance, Outcome, Record};
use grid_broker::grid::state::State;
use grid_broker::grid::values::id::ApplianceName;
use grid_broker::journal::{HeaderFilter, Journal, JournalSettings, OpenJournal, PageLimit};

use super::client::Client;
use crate::support::oracle::{Expected, by_event, fold, trimmed};

/// How many of what there were.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) records: u64,
    pub(crate) outcomes: BTreeMap<&'static str, u64>,
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} sent, {} records, {:?}", self.sent, self.records, self.outcomes)
    }
}

/// Fails unless every answered event is in the grid log exactly once, as it was answered, and
/// every event sent is either answered or, if `all_answered` is not asked for, in doubt. What
/// retention took are each client's oldest events, and no more than it took records.
pub(crate) fn compare(clients: &[Client], records: &[Record], all_answered: bool) -> Tally {
    assert!(!clients.is_empty(), "nobody sent anything");
    let trimmed = trimmed(records);
    let mut gone = 0;
    let mut tally = Tally { records: records.len() as u64, ..Tally::default() };
    for client in clients {
        let mut found = by_event(records, &client.name, |event| event.sequence);
        for (sequence, its) in &found {
            assert_eq!(its.len(), 1, "{} {sequence} is there twice", client.name);
            let begin = format!("{} {sequence} ", client.name);
            let is_its = its[0].event.as_ref().is_some_and(|it| it.text.starts_with(&begin));
            assert!(is_its, "another text: {its:?}");
        }
        let witness = client.witness();
        let oldest = found.keys().next().copied().unwrap_or(u64::MAX);
        for (sequence, outcome) in &witness.answers {
            *tally.outcomes.entry(outcome.as_str_name()).or_default() += 1;
            let found = found.remove(sequence).unwrap_or_default();
            if found.is_empty() && trimmed > 0 && *sequence < oldest {
                gone += u64::from(*outcome != Outcome::Invalid);
                continue;
            }
            let wrong = Expected::of(*outcome).mismatch(&found);
            let outcome = outcome.as_str_name();
            assert_eq!(wrong, None, "{} {sequence}, answered {outcome}", client.name);
        }
        let answered = witness.answers.len() as u64;
        assert!(!all_answered || answered == witness.sent, "{} lacks answers", client.name);
        for sequence in found.keys() {
            assert!(*sequence <= witness.sent, "{} never sent {sequence}", client.name);
        }
        tally.sent += witness.sent;
    }
    assert!(gone <= trimmed, "{gone} events are gone, {trimmed} records were trimmed");
    tally
}

/// Fails unless the broker's counts of each client's events are those the client made: as many in
/// all, and of each outcome no fewer. What came again as a duplicate was counted the first time.
pub(crate) fn compare_counts(clients: &[Client], shown: &[Appliance]) {
    assert!(!clients.is_empty(), "nobody sent anything");
    for client in clients {
        let appliance = shown.iter().find(|it| it.name == client.name).expect("it is there");
        let mut counted: BTreeMap<Outcome, u64> = BTreeMap::new();
        for it in &appliance.counts {
            *counted.entry(it.outcome()).or_default() += it.count;
        }
        let mut answered: BTreeMap<Outcome, u64> = BTreeMap::new();
        for outcome in client.witness().answers.into_values() {
            *answered.entry(outcome).or_default() += 1;
        }
        answered.remove(&Outcome::Invalid);
        let (sent, known) = (answered.values().sum::<u64>(), counted.values().sum::<u64>());
        assert_eq!(sent, known, "{}: answered {answered:?}, counted {counted:?}", client.name);
        answered.remove(&Outcome::Duplicate);
        for (outcome, count) in &answered {
            let known = counted.get(outcome).copied().unwrap_or(0);
            assert!(known >= *count, "{}: {answered:?}, counted {counted:?}", client.name);
        }
    }
}

/// Opens the journal of a stopped broker; fails unless the state from the newest checkpoint is the
/// fold of all records, and is what the broker showed.
pub(crate) fn compare_state(data: &Path, shown: &[Appliance]) {
    let opened = Journal::open(&JournalSettings::new(data)).expect("the journal opens");
    let saved = opened.checkpoint.as_ref().map(|(_, bytes)| {
        let saved = codec::decode_state(bytes).expect("the checkpoint is a state");
        whole(&opened, saved)
    });
    let whole = match (opened.reader.first(), saved) {
        // The oldest records are gone: what they said is in the checkpoint alone.
        (2.., saved) => saved.expect("a trim leaves a checkpoint"),
        (_, saved) => {
            let whole = whole(&opened, State::default());
            let is_fold = saved.is_none_or(|saved| saved == whole);
            assert!(is_fold, "the checkpoint is not the fold of the records");
            whole
        }
    };
    assert!(!shown.is_empty(), "the broker showed no appliance");
    for appliance in shown {
        let name = ApplianceName::new(&appliance.name).expect("a name");
        let number = whole.find(&name).expect("it is in the fold");
        let folded = whole.appliance(number).expect("it is there");
        assert_eq!(folded.uuid.to_string(), appliance.uuid);
        let boot = folded.boot_id().map(|it| it.0.to_string()).unwrap_or_default();
        assert_eq!(boot, appliance.boot_id);
        assert_eq!(folded.last_record, appliance.last_record);
        let state = grid_broker::contract::encode::state(&folded.lifecycle);
        assert_eq!(state, appliance.state(), "{}", appliance.name);
    }
    assert_eq!(whole.appliances().count(), shown.len());
    opened.journal.close().expect("it closes");
}

/// The state after all records, of which those behind `state` are applied to it.
pub(crate) fn whole(opened: &OpenJournal, mut state: State) -> State {
    let all = PageLimit { records: usize::MAX, bytes: u64::MAX };
    let page = opened.reader.forward(state.last() + 1, &HeaderFilter::default(), all);
    fold(&mut state, &page.expect("the records can be read").records);
    state
}
