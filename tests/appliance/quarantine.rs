//! An event over which the broker ended two sessions is set aside, told of and kept for people; a
//! network that breaks is no reason to.

use std::sync::{Arc, Mutex};

use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::{Event, EventKind, Log, LostReason};
use grid_broker::spool::EntryState;
use tokio::net::TcpListener;
use tonic::Code;

use super::fake_broker::{Ends, Fake, Heard};
use super::host::{Ground, Host};
use super::relay::Relay;
use crate::support::{eventually, say};

const EVENTS: usize = 60;
const POISON: &str = "poison";

/// An agent with a full spool, the 40th event of which ends sessions so many times; gives what the
/// broker heard in the end, and whether an event lies aside.
async fn judged(ends: Ends, times: usize) -> (Heard, bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let to_relay = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let relay = Relay::start(to_relay, listener.local_addr().expect("an address").to_string());
    let received = Arc::new(Mutex::new(Heard::default()));
    let cut = Some(relay.scissors());
    Fake { poison: POISON, ends, times, cut, heard: Arc::clone(&received) }.serve(listener);
    let ground = Ground::new();
    let host = Host::new(&ground, "db1", 1, &relay.address.to_string());
    let log = |number| {
        let text = if number == 40 { POISON.to_owned() } else { format!("event {number}") };
        Event { kind: Some(Kind::Log(Log {})), text, ..Event::default() }
    };
    host.spool().append((0..EVENTS).map(log).collect(), EntryState::Waiting).expect("appends");
    let agent = host.agent().await;
    host.rests().await;
    // What was said about it is answered, too.
    eventually("all that was sent", async || {
        (received.lock().expect("the lock").kept.len() >= EVENTS).then_some(())
    })
    .await;
    drop(agent);
    let received = std::mem::take(&mut *received.lock().expect("the lock"));
    (received, host.state.join("aside").exists())
}

fn texts(received: &Heard) -> Vec<&str> {
    received.kept.values().map(|event| event.text.as_str()).collect()
}

#[tokio::test]
async fn an_event_that_ended_two_sessions_is_set_aside_and_told() {
    let (received, lies_aside) = judged(Ends::By(Code::Internal), usize::MAX).await;
    let texts = texts(&received);
    let others = (0..EVENTS).filter(|number| *number != 40).map(|number| format!("event {number}"));
    assert!(others.eq(texts[..EVENTS - 1].iter().copied()), "all others, in order: {texts:?}");
    let told = received.kept.values().last().unwrap();
    let lost = &told.lost_before[0];
    assert!(told.text.contains("was quarantined") && lies_aside, "{told:?}");
    let what = (lost.kind(), lost.count, lost.reason());
    assert_eq!(what, (EventKind::Log, 1, LostReason::SetAside));
    // Of those before it that were unanswered it could not be known that they are innocent.
    assert!(received.ended <= 3, "it ended {} sessions", received.ended);
    say(&format!("set aside after {} sessions of {}", received.ended, received.sessions));
}

#[tokio::test]
async fn an_event_is_never_set_aside_over_connections_that_break() {
    let (received, lies_aside) = judged(Ends::Breaking, 4).await;
    assert_eq!((texts(&received).len(), received.ended, lies_aside), (EVENTS, 4, false));
}

#[tokio::test]
async fn nor_over_a_broker_that_is_not_available() {
    let (received, lies_aside) = judged(Ends::By(Code::Unavailable), 4).await;
    assert_eq!((texts(&received).len(), received.ended, lies_aside), (EVENTS, 4, false));
}
