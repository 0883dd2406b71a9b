//! A crowd of sessions, a tenth of which floods: the others are heard, and memory is bounded.
//!
//! `GRID_CROWD` sessions, 1,000 if it is not set. How long the others waited for the ack of their
//! `started_ok` is printed, not judged: RELIABILITY.md has the figures.

#![expect(clippy::print_stdout, reason = "the figures are to be read")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use grid_broker::client::connect;
use grid_broker::clock::monotonic_now;
use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::{Log, StartedOk};
use grid_broker::tasks;
use tokio::sync::Semaphore;

use crate::page::page;
use crate::support::{Gridd, Hellos, Session, count, event, soon};

/// Sessions of one connection.
const PER_CONNECTION: usize = 100;

/// Every tenth session floods.
const FLOODS: usize = 10;

/// Events that a flooder has unanswered, as the Welcome advises.
const WINDOW: u64 = 1_024;

/// What a session may cost, with all that belongs to it in the broker. Measured: about 50 KiB.
const BYTES_PER_SESSION: u64 = 200 << 10;

/// The broker's memory without a session, and what its journal takes under load.
const BYTES_AT_REST: u64 = 300 << 20;

/// Says lines as fast as the window allows; gives how many were answered.
async fn flood(mut session: Session, stops: Arc<AtomicBool>) -> u64 {
    let (mut said, mut answered) = (0, 0);
    while !stops.load(Ordering::Acquire) {
        while said < answered + WINDOW {
            said += 1;
            let text = "so much to say, so little time";
            session.say(&event(Kind::Log(Log {}), said, text)).await;
        }
        answered = session.ack().await.through;
    }
    answered
}

/// What the process of the broker holds in memory, in bytes.
pub(crate) async fn resident(gridd: &Gridd) -> u64 {
    let (_, _, page) = page(&gridd.http, "/metrics").await;
    let line = page.lines().find(|line| line.starts_with("process_resident_memory_bytes "));
    let value = line.and_then(|line| line.split(' ').nth(1)).expect("its memory");
    value.split('.').next().and_then(|whole| whole.parse().ok()).expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quiet_are_heard_while_a_tenth_floods_and_memory_is_bounded() {
    let crowd = count("GRID_CROWD", 1_000);
    let gridd = Gridd::start().await;
    let at_rest = resident(&gridd).await;
    let mut members = Vec::new();
    for connection in 0..crowd.div_ceil(PER_CONNECTION) {
        let channel = connect(&gridd.grpc).await.expect("a connection");
        let first = connection * PER_CONNECTION;
        let opening = (first..crowd.min(first + PER_CONNECTION)).map(|number| {
            let channel = channel.clone();
            tasks::spawn("member", async move {
                let hello = Hellos::of(number as u128 + 1, 1);
                Session::try_open(channel, &format!("crowd-{number}"), hello).await
            })
        });
        for opened in opening.collect::<Vec<_>>() {
            members.push(opened.await.expect("no panic").expect("a session"));
        }
    }
    let silent = resident(&gridd).await;
    let stops = Arc::new(AtomicBool::new(false));
    let (mut floods, mut quiet) = (Vec::new(), Vec::new());
    for (number, member) in members.into_iter().enumerate() {
        if number % FLOODS == 0 {
            floods.push(tasks::spawn("flood", flood(member, Arc::clone(&stops))));
        } else {
            quiet.push(member);
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let waited = started(quiet).await;
    let flooded = resident(&gridd).await;
    stops.store(true, Ordering::Release);
    let mut answered = 0;
    for flood in floods {
        answered += soon("the end of a flood", flood).await.expect("no panic");
    }
    let at = |percent: usize| waited[(waited.len() - 1) * percent / 100].as_millis();
    println!(
        "crowd of {crowd}: started_ok answered after {} ms (median), {} ms (99th percentile), \
         {} ms (last); {answered} of the flood answered; resident {} MiB at rest, {} MiB with the \
         silent crowd, {} MiB in the flood",
        at(50),
        at(99),
        at(100),
        at_rest >> 20,
        silent >> 20,
        flooded >> 20,
    );
    let allowed = BYTES_AT_REST + crowd as u64 * BYTES_PER_SESSION;
    assert!(flooded < allowed, "{flooded} bytes are resident, {allowed} are allowed");
    assert!(answered > 0, "the flood is answered too");
}

/// Lets all of these say `started_ok` within a second or so; gives how long each waited, ascending.
async fn started(quiet: Vec<Session>) -> Vec<Duration> {
    let (count, done) = (quiet.len(), Arc::new(AtomicU64::new(0)));
    let at_once = Arc::new(Semaphore::new(64));
    let asking = quiet.into_iter().map(|mut member| {
        let (done, at_once) = (Arc::clone(&done), Arc::clone(&at_once));
        tasks::spawn("started_ok", async move {
            let _turn = at_once.acquire_owned().await.expect("it stays open");
            let began = monotonic_now();
            member.say(&event(Kind::StartedOk(StartedOk {}), 1, "")).await;
            assert_eq!(member.ack().await.through, 1);
            done.fetch_add(1, Ordering::Relaxed);
            (began.elapsed(), member)
        })
    });
    let asking: Vec<_> = asking.collect();
    // The sessions stay open until all have said it.
    let (mut waited, mut members) = (Vec::new(), Vec::new());
    for asked in asking {
        let (elapsed, member) = asked.await.expect("no panic");
        waited.push(elapsed);
        members.push(member);
    }
    assert_eq!(done.load(Ordering::Relaxed), count as u64);
    waited.sort_unstable();
    waited
}
