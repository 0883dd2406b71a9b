//! A broker or an agent that is killed in the midst of 9,000 spooled events loses and doubles none.

use grid_broker::clock::monotonic_now;
use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::{Event, Log};
use grid_broker::spool::{EntryState, Spool};

use super::host::{Ground, Host, UNLIMITED, kill};
use crate::support::{Gridd, oracle, say, timeout};

const EVENTS: usize = 9_000;

/// Waits until fewer wait, and looks as often as it can: what was in the spool is soon sent.
async fn fewer(spool: &Spool, below: usize) -> usize {
    let until = monotonic_now() + timeout();
    loop {
        let left = spool.waiting().expect("it can be read").len();
        if left < below {
            return left;
        }
        assert!(monotonic_now() < until, "{left} events wait, not fewer than {below}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_broker_killed_in_the_midst_of_a_full_spool_has_each_event_once() {
    let mut gridd = Gridd::with_config(UNLIMITED).await;
    gridd.kill().await;
    let ground = Ground::new();
    let host = Host::new(&ground, "db1", 1, &gridd.grpc);
    let spool = host.spool();
    for batch in 0..EVENTS / 250 {
        let log = |number: usize| {
            let text = format!("event {} {}", batch * 250 + number, "x".repeat(number % 200));
            let boot_id = host.boot.expect("a boot").to_string();
            Event { kind: Some(Kind::Log(Log {})), text, boot_id, ..Event::default() }
        };
        spool.append((0..250).map(log).collect(), EntryState::Waiting).expect("appends");
    }
    let began = monotonic_now();
    let mut agent = host.agent().await;
    let mut left = Vec::new();
    for below in [8_500, 7_000, 5_500, 4_000, 2_500, 1_000] {
        gridd.start_again().await;
        left.push(fewer(&spool, below).await);
        gridd.kill().await;
        if left.len() % 3 == 0 {
            kill(agent);
            agent = host.agent().await;
        }
    }
    let midst = left.iter().filter(|left| **left > 0).count();
    assert!(midst >= 2, "killed in the midst: {left:?}");
    gridd.start_again().await;
    host.rests().await;
    let texts = oracle::texts(&oracle::records(&gridd.grpc).await, "db1");
    let numbers: Vec<usize> =
        texts.iter().map(|it| it.split(' ').nth(1).expect("a number").parse().unwrap()).collect();
    assert_eq!(numbers, (0..EVENTS).collect::<Vec<_>>(), "each once, in order");
    drop(agent);
    say(&format!(
        "mid-stream: {EVENTS} events, gridd killed with {left:?} left; {} s",
        began.elapsed().as_secs()
    ));
}
