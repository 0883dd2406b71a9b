//! A broker or an agent that is killed in the midst of 5,000 spooled events loses and doubles none.

use grid_broker::clock::monotonic_now;
use grid_broker::spool::State;
use grid_broker::wire::proto::event::Kind;
use grid_broker::wire::proto::{Event, Log};

use super::host::{Ground, Host, UNLIMITED, kill};
use super::oracle;
use super::support::say;
use crate::harness::{Gridd, eventually};

const EVENTS: usize = 5_000;

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
        spool.append((0..250).map(log).collect(), State::Waiting).expect("appends");
    }
    let began = monotonic_now();
    let mut agent = host.agent().await;
    let mut left = Vec::new();
    for below in [4_700, 3_800, 2_900, 2_000, 1_100, 300] {
        gridd.start_again().await;
        let wait = format!("fewer than {below} events in the spool");
        let waiting = eventually(&wait, async || {
            Some(spool.waiting().expect("it can be read").len()).filter(|it| *it < below)
        });
        left.push(waiting.await);
        gridd.kill().await;
        if left.len() % 3 == 0 {
            kill(agent);
            agent = host.agent().await;
        }
    }
    let midst = left.iter().filter(|left| **left > 0).count();
    assert!(midst >= 3, "killed in the midst: {left:?}");
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
