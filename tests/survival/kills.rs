//! `kill -9` at any moment, also during a start, loses nothing that was acknowledged.
//!
//! Clients talk to a real gridd that is killed again and again, send again what was not answered,
//! and log to files of their own. `GRID_KILLS` kills.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use grid_broker::contract::proto::{Outcome, Record};
use grid_broker::tasks;

use super::answers_compared;
use super::broker::{UNLIMITED, broker, broker_with};
use super::client::{Client, Orders};
use crate::support::{Gridd, Launch, Random, count, oracle, say, seed};

const CLIENTS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_at_any_moment_loses_nothing_acknowledged() {
    let records = killed_again_and_again(broker(), count("GRID_KILLS", 20)).await;
    assert_eq!(records.first().map(|oldest| oldest.number), Some(1), "nothing was to be trimmed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_while_records_are_trimmed_takes_only_the_oldest() {
    let broker = broker_with(&format!("{UNLIMITED}[retention]\nbytes = \"1MiB\"\n"));
    let records = killed_again_and_again(broker, count("GRID_KILLS", 20)).await;
    assert!(records[0].number > 1, "nothing was trimmed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_under_budgets_loses_no_count() {
    let records = killed_again_and_again(broker_with(""), count("GRID_KILLS", 20)).await;
    let is_suppressed = |it: &Record| it.outcome() == Outcome::Suppressed;
    assert!(records.iter().any(is_suppressed), "nothing was held back");
}

/// Kills that broker and judges what is left; gives its records.
async fn killed_again_and_again(mut broker: Gridd, kills: usize) -> Vec<Record> {
    let mut random = Random::new(seed("kills"));
    broker.start_again().await;
    let finish = Arc::new(AtomicBool::new(false));
    let orders =
        Orders { address: broker.grpc.clone(), finish: Arc::clone(&finish), gives_up: false };
    let talking: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let mut client = Client::new(&format!("vm-{number}"), random.next(), broker.folder());
            let orders = orders.clone();
            tasks::spawn("client", async move {
                client.run(&orders).await;
                client
            })
        })
        .collect();
    let mut done = 0;
    let mut during_start = 0;
    while done < kills {
        tokio::time::sleep(Duration::from_millis(random.below(1_500))).await;
        assert_eq!(broker.has_ended(), None, "it ended by itself: {}", broker.stderr());
        broker.kill().await;
        done += 1;
        while done < kills && random.once_in(2) {
            broker.spawn(Launch::default());
            tokio::time::sleep(Duration::from_millis(random.below(80))).await;
            assert_eq!(broker.has_ended(), None, "it ended by itself: {}", broker.stderr());
            broker.kill().await;
            (done, during_start) = (done + 1, during_start + 1);
        }
        broker.start_again().await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    finish.store(true, Ordering::Release);
    let mut clients = Vec::new();
    for client in talking {
        clients.push(client.await.expect("the client ends"));
    }
    let records = oracle::records_left(&broker.grpc).await;
    let tally = answers_compared::compare(&clients, &records, true);
    let count = |outcome: &str| tally.outcomes.get(outcome).copied().unwrap_or(0);
    assert!(count("OUTCOME_KEPT") + count("OUTCOME_SUPPRESSED") > 100, "{tally:?}");
    let (address, data) = (broker.grpc.clone(), broker.data());
    let shown = loop {
        // Sessions that end leave records of their own; a state is compared when it is at rest.
        let before = oracle::records_left(&address).await.len();
        let shown = oracle::appliances(&address).await;
        if oracle::records_left(&address).await.len() == before {
            break shown;
        }
    };
    answers_compared::compare_counts(&clients, &shown);
    assert_eq!(broker.terminate().await, Some(0), "{}", broker.stderr());
    answers_compared::compare_state(&data, &shown);
    say(&format!("kills: {kills}, {during_start} of them during a start; {tally}"));
    records
}
