//! Many live sessions at one time, each on a connection of its own, and ten to a connection.
//!
//! `GRID_LIVE_SESSIONS` with a connection each, 1,000 if it is not set; twice as many where ten share one.
//! What a silent session takes in gridd's memory is printed, and bounded. Both processes need a
//! descriptor for each connection: `ulimit -Hn` is to be higher by 256.

#![expect(clippy::print_stdout, reason = "the figures are to be read")]

use grid_broker::client::connect;
use grid_broker::clock::monotonic_now;
use grid_broker::contract::proto::Log;
use grid_broker::contract::proto::event::Kind;
use grid_broker::{resources, tasks};

use crate::crowd::resident;
use crate::page::page;
use crate::support::{Gridd, Hellos, Random, Session, count, event, holds, seed};

/// Connections, and then sessions, that are worked on at the same time.
const AT_ONCE: usize = 64;

/// Sessions of a shared connection.
const SHARING: usize = 10;

/// One in so many sends an event.
const SPEAKERS: u64 = 10;

/// Descriptors besides those of the connections.
const DESCRIPTORS_BESIDES: u64 = 256;

/// What a silent session may cost, and its appliance. Measured: 60 KiB with a connection of its own and 28
/// where ten share one in a debug build, 35 and 15 in a release build.
const BYTES_PER_SESSION: u64 = 90 << 10;

/// What may come besides, however few there are.
const BYTES_BESIDES: u64 = 16 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sessions_with_a_connection_each_are_welcomed_acknowledged_and_end() {
    live(count("GRID_LIVE_SESSIONS", 1_000), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twice_as_many_share_connections() {
    live(2 * count("GRID_LIVE_SESSIONS", 1_000), SHARING).await;
}

async fn live(count: usize, sharing: usize) {
    let connections = count.div_ceil(sharing);
    let descriptors = resources::raise_descriptor_limit();
    let needed = connections as u64 + DESCRIPTORS_BESIDES;
    assert!(
        descriptors >= needed,
        "{descriptors} descriptors, {needed} needed: raise `ulimit -Hn`"
    );
    let gridd = Gridd::start().await;
    let at_rest = resident(&gridd).await;
    let began = monotonic_now();
    let mut sessions = Vec::with_capacity(count);
    let numbers: Vec<_> = (0..count).collect();
    for group in numbers.chunks(sharing * AT_ONCE) {
        let opening: Vec<_> = group
            .chunks(sharing)
            .map(|numbers| tasks::spawn("opening", open(gridd.grpc.clone(), numbers.to_vec())))
            .collect();
        for opened in opening {
            sessions.extend(opened.await.expect("no panic"));
        }
    }
    let opened_in = began.elapsed();
    let grown = resident(&gridd).await.saturating_sub(at_rest);
    let open_connections = connections_of(&gridd).await;
    assert_eq!(open_connections, connections as u64, "all are open at one time");
    let mut random = Random::new(seed("which sessions speak"));
    let speakers: Vec<_> = sessions.iter_mut().filter(|_| random.once_in(SPEAKERS)).collect();
    let spoken = speakers.len();
    for speaker in speakers {
        speaker.say(&event(Kind::Log(Log {}), 1, "still here")).await;
        assert_eq!(speaker.ack().await.through, 1);
    }
    assert!(spoken > 0, "some spoke");
    let mut ending = sessions.into_iter().map(|session| tasks::spawn("ending", session.goodbye()));
    loop {
        let some: Vec<_> = ending.by_ref().take(AT_ONCE).collect();
        if some.is_empty() {
            break;
        }
        for ended in some {
            ended.await.expect("it ends with OK");
        }
    }
    holds("the end of all connections", async || connections_of(&gridd).await == 0).await;
    println!(
        "{count} live sessions over {connections} connections: opened in {} ms, {} bytes each, {spoken} \
         spoke",
        opened_in.as_millis(),
        grown / count as u64,
    );
    let allowed = BYTES_BESIDES + count as u64 * BYTES_PER_SESSION;
    assert!(grown < allowed, "{grown} bytes more are resident, {allowed} are allowed");
}

/// Opens sessions of these numbers on one connection.
async fn open(address: String, numbers: Vec<usize>) -> Vec<Session> {
    let channel = connect(&address).await.expect("a connection");
    let mut sessions = Vec::with_capacity(numbers.len());
    for number in numbers {
        let (name, hello) = (format!("live-{number}"), Hellos::of(number as u128 + 1, 1));
        let opened = Session::try_open(channel.clone(), &name, hello).await;
        sessions.push(opened.expect("a session"));
    }
    sessions
}

/// The open connections to the gRPC port, as gridd counts them.
async fn connections_of(gridd: &Gridd) -> u64 {
    let (_, _, metrics) = page(&gridd.http, "/metrics").await;
    let line =
        metrics.lines().find(|line| line.starts_with("gridd_connections{listener=\"grpc\"}"));
    let value = line.and_then(|line| line.split(' ').nth(1)).expect("the number of connections");
    value.parse().expect("a number")
}
