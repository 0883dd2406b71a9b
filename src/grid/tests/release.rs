//! Nobody is told what is not recorded: replies and questions wait for the tallies they stand on.

use super::super::decide::Release;
use super::super::driver::Driver;
use super::driver::*;
use crate::grid::log::input::Input;
use crate::grid::values::event::EventBody;
use crate::grid::values::id::{ApplianceIndex, SessionId};

/// More appliances than one tally counts.
const APPLIANCES: u32 = 70;

fn alert() -> EventBuilder {
    new_event(1, EventBody::Alert { counter: None }, "disk is full")
}

/// A driver in which every appliance has repeated an alert that no record contains yet. Replies are the
/// numbers of those who wait.
fn with_pending_counts() -> Driver<u32> {
    let mut timeline = Timeline::empty(one_class(Default::default()));
    (1..=APPLIANCES).for_each(|row| timeline.add(ApplianceIndex(row)));
    let mut driver = Driver::new(timeline.grid().clone());
    for row in 1..=APPLIANCES {
        for sequence in 1..=2 {
            let said = alert().by(ApplianceIndex(row)).numbered(5, sequence);
            let decision = driver.handle(Input::Event(said.0.into()), at(1));
            driver.reply(decision.release, row);
            let is_counted = decision.release == Release::WithTally;
            assert_eq!(is_counted, sequence == 2, "the second is a repeat of the first");
        }
    }
    driver
}

#[test]
fn a_question_waits_until_all_that_is_counted_is_recorded() {
    const QUESTION: u32 = 0;
    let mut driver = with_pending_counts();
    assert_eq!(driver.released().len(), APPLIANCES as usize, "the first of each has its record");
    driver.query(QUESTION);
    assert!(driver.flush_due().is_some_and(|due| due <= at(1)), "it asks for the tallies");
    // The commit has room for one tally, which counts 64 appliances.
    let mut tallies = Vec::new();
    driver.flush_if_due(at(1), |tally| {
        tallies.push(tally);
        false
    });
    assert_eq!(tallies.len(), 1);
    assert!(driver.grid().has_pending());
    assert!(driver.released().is_empty(), "nobody is told what the second tally will count");
    assert!(driver.flush_due().is_some_and(|due| due <= at(1)), "the next commit has it");
    driver.flush_if_due(at(1), |tally| {
        tallies.push(tally);
        true
    });
    assert_eq!(tallies.len(), 2);
    let released = driver.released();
    assert_eq!(released.len(), APPLIANCES as usize + 1);
    assert_eq!(released.last(), Some(&QUESTION));
    assert_eq!(driver.flush_due(), None);
}

#[test]
fn a_question_leaves_with_its_commit_where_nothing_is_pending() {
    let timeline = Timeline::new();
    let mut driver = Driver::new(timeline.grid().clone());
    driver.query(1);
    driver.flush_if_due(at(1), |_| unreachable!("nothing is to be recorded"));
    assert_eq!(driver.released(), [1]);
}

#[test]
fn a_question_sees_nothing_that_its_own_commit_counts_after_it() {
    const QUESTION: u32 = 0;
    let mut driver = with_pending_counts();
    driver.flush(at(1), |_| true);
    drop(driver.released());
    assert!(!driver.grid().has_pending());
    driver.query(QUESTION);
    for row in 1..=APPLIANCES {
        let event = alert().by(ApplianceIndex(row)).numbered(5, 3);
        let decision = driver.handle(Input::Event(event.0.into()), at(2));
        assert_eq!(decision.release, Release::WithTally);
    }
    // The commit has room for one tally of the two.
    driver.flush_if_due(at(2), |_| false);
    assert!(driver.grid().has_pending());
    assert!(driver.released().is_empty(), "the second tally is part of what it would see");
    driver.flush_if_due(at(2), |_| true);
    assert_eq!(driver.released(), [QUESTION]);
}

#[test]
fn an_event_of_a_start_takes_the_tally_along_for_its_own_session() {
    let mut driver = with_pending_counts();
    drop(driver.released());
    driver.flush(at(1), |_| true);
    let said = alert().by(DB1).numbered(5, 3);
    let decision = driver.handle(Input::Event(said.0.into()), at(1));
    driver.reply_to_session(SessionId(1), false, decision.release, 1);
    driver.reply_to_session(SessionId(2), true, Release::WithCommit, 2);
    assert!(driver.flush_due().is_some_and(|due| due > at(1)), "another session's start waits");
    driver.reply_to_session(SessionId(1), true, Release::WithCommit, 3);
    assert!(driver.flush_due().is_some_and(|due| due <= at(1)));
}
