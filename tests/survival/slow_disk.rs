//! A disk that answers late: the watchdog is not told that all is well, and a stop keeps its bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use grid_broker::clock::monotonic_now;
use grid_broker::tasks;
use rustix::process::Signal;

use super::answers_compared;
use super::broker::{broker, has_failed, spawn_failing};
use super::client::{Client, Orders};
use crate::support::{Gridd, Notified, holds, oracle, scaled, seed};

/// The bound that is promised, which holds on an idle machine.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// The watchdog's time; it hears twice as often that all is well.
const WATCHDOG: Duration = Duration::from_secs(1);

/// How long a call hangs whose end nobody waits for.
const FOR_EVER: &str = "wait3600000";

/// Waits until the shim made a call hang or fail.
async fn fails(broker: &Gridd) {
    holds("a call hangs", async || has_failed(broker)).await;
}

/// Lets one client talk until it gives up on the broker.
fn talks(broker: &Gridd, mut client: Client) -> tokio::task::JoinHandle<Client> {
    let address = broker.grpc.clone();
    let orders = Orders { address, finish: Arc::new(AtomicBool::new(false)), gives_up: true };
    tasks::spawn("client", async move {
        client.run(&orders).await;
        orders.finish.store(true, Ordering::Release);
        client
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_that_is_stuck_in_a_sync_is_not_called_alive() {
    let mut broker = broker();
    let notified = Notified::new();
    let client = Client::new("vm-0", seed("a stuck loop"), broker.folder());
    // Of the commits it is the third that hangs, for fifteen seconds.
    spawn_failing(&mut broker, "fdatasync:/commits/:3:1:wait15000", notified.environment(WATCHDOG));
    assert_eq!(broker.ready().await, Ok(()), "{}", broker.stderr());
    let talking = talks(&broker, client);
    fails(&broker).await;
    holds("it is told", async || broker.stderr().contains("the broker loop does not respond"))
        .await;
    let received = || notified.waiting().concat();
    assert!(received().contains("READY=1"));
    tokio::time::sleep(WATCHDOG * 2).await;
    assert_eq!(received(), "", "while it is stuck");
    holds("it turns again", async || received().contains("WATCHDOG=1")).await;
    broker.kill().await;
    let client = talking.await.expect("no panic");
    broker.start_again().await;
    answers_compared::compare(&[client], &oracle::records_left(&broker.grpc).await, false);
}

/// Measures time on purpose, on a machine that may be busy: the bound is stretched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_on_a_slow_disk_keeps_its_bound_and_loses_nothing_acknowledged() {
    for wait in ["wait700", FOR_EVER] {
        let mut broker = broker();
        let client = Client::new("vm-0", seed("a slow disk"), broker.folder());
        spawn_failing(&mut broker, &format!("fdatasync:/commits/:20:1000000:{wait}"), Vec::new());
        assert_eq!(broker.ready().await, Ok(()), "{}", broker.stderr());
        let talking = talks(&broker, client);
        fails(&broker).await;
        let began = monotonic_now();
        let code = broker.terminate().await;
        let lasted = began.elapsed();
        assert!(lasted < scaled(STOP_WITHIN), "{wait}: {lasted:?}");
        if wait != FOR_EVER {
            assert_eq!(code, Some(0), "{}", broker.stderr());
        } else {
            assert_eq!(code, Some(1), "{}", broker.stderr());
            let word = "gridd: did not stop within 9.3 s: ended at once; everything acknowledged is \
                        durable all the same\n";
            assert!(broker.stderr().ends_with(word), "{}", broker.stderr());
        }
        let client = talking.await.expect("no panic");
        broker.start_again().await;
        answers_compared::compare(&[client], &oracle::records_left(&broker.grpc).await, false);
        broker.kill().await;
    }
}

/// Measures time on purpose, on a machine that may be busy: the bound is stretched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_on_a_full_disk_keeps_its_bound_and_says_what_it_could_not_keep() {
    let mut broker = broker();
    let client = Client::new("vm-0", seed("a full disk"), broker.folder());
    spawn_failing(&mut broker, "pwrite:/commits/:20:1000000:28", Vec::new());
    assert_eq!(broker.ready().await, Ok(()), "{}", broker.stderr());
    let talking = talks(&broker, client);
    let full = "the disk is full: accepted requests wait for room";
    holds("the disk is full", async || broker.stderr().contains(full)).await;
    let began = monotonic_now();
    let code = broker.terminate().await;
    assert!(began.elapsed() < scaled(STOP_WITHIN), "{:?}", began.elapsed());
    assert_eq!(code, Some(1), "{}", broker.stderr());
    assert!(broker.stderr().contains("No space left on device"), "{}", broker.stderr());
    let client = talking.await.expect("no panic");
    broker.start_again().await;
    answers_compared::compare(&[client], &oracle::records_left(&broker.grpc).await, false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_a_stop_that_takes_long_at_once() {
    let mut broker = broker();
    let client = Client::new("vm-0", seed("a second signal"), broker.folder());
    spawn_failing(&mut broker, &format!("fdatasync:/commits/:20:1:{FOR_EVER}"), Vec::new());
    assert_eq!(broker.ready().await, Ok(()), "{}", broker.stderr());
    let talking = talks(&broker, client);
    fails(&broker).await;
    broker.signal(Signal::TERM);
    holds("it stops", async || broker.stderr().contains("stopping")).await;
    assert_eq!(broker.has_ended(), None, "it waits for the sync");
    // Whoever did not hear the second one would say, after 9.3 s, that it did not stop in time.
    let code = broker.terminate().await;
    assert_eq!(code, Some(1));
    let word = "gridd: was asked to stop a second time: ended at once; everything acknowledged is \
                durable all the same\n";
    assert!(broker.stderr().ends_with(word), "{}", broker.stderr());
    let client = talking.await.expect("no panic");
    broker.start_again().await;
    answers_compared::compare(&[client], &oracle::records_left(&broker.grpc).await, false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_still_starts_ends_at_once_when_told_to() {
    let mut broker = broker();
    broker.start_again().await;
    assert_eq!(broker.terminate().await, Some(0));
    // The record of the start hangs.
    spawn_failing(&mut broker, &format!("fdatasync:/commits/:1:1:{FOR_EVER}"), Vec::new());
    fails(&broker).await;
    let code = broker.terminate().await;
    assert_eq!(code, Some(0), "{}", broker.stderr());
    let word = "stopping before the start was complete; no events were accepted";
    assert!(broker.stderr().contains(word), "{}", broker.stderr());
    broker.start_again().await;
}
