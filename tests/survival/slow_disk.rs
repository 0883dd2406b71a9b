//! A disk that answers late: the watchdog is not told that all is well, and a stop keeps its bound.

use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use grid_broker::clock::monotonic_now;
use grid_broker::tasks;
use rustix::process::Signal;

use super::broker::Broker;
use super::client::{Client, Orders};
use super::oracle;
use crate::support::{scaled, seed, timeout};

/// The bound that is promised, which holds on an idle machine.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// The watchdog's time; it hears twice as often that all is well.
const WATCHDOG: Duration = Duration::from_secs(1);

/// How long a call hangs whose end nobody waits for.
const FOR_EVER: &str = "wait3600000";

/// Waits until the shim made a call hang or fail.
async fn has_failed(broker: &Broker) {
    eventually("a call hangs", || broker.has_failed()).await;
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = monotonic_now() + timeout();
    while !holds() {
        assert!(monotonic_now() < until, "{what}: not within {} s", timeout().as_secs());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Lets one client talk until it gives up on the broker.
fn talks(broker: &Broker, mut client: Client) -> tokio::task::JoinHandle<Client> {
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
    let mut broker = Broker::new();
    let path = broker.root().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_nonblocking(true).expect("a socket");
    let watchdog = WATCHDOG.as_micros().to_string();
    let client = Client::new("vm-0", seed("a stuck loop"), broker.root());
    broker.environment = vec![
        ("NOTIFY_SOCKET", path.to_str().expect("UTF-8").to_owned()),
        ("WATCHDOG_USEC", watchdog),
    ];
    // Of the commits it is the third that hangs, for fifteen seconds.
    broker.spawn(Some("fdatasync:/commits/:3:1:wait15000"), None);
    assert_eq!(broker.ready(), Ok(()), "{}", broker.said());
    let talking = talks(&broker, client);
    has_failed(&broker).await;
    eventually("it is told", || broker.said().contains("the broker loop does not respond")).await;
    let received = || {
        let mut word = [0; 4_096];
        let mut words = String::new();
        while let Ok(bytes) = socket.recv(&mut word) {
            words.push_str(&String::from_utf8_lossy(&word[..bytes]));
        }
        words
    };
    assert!(received().contains("READY=1"));
    tokio::time::sleep(WATCHDOG * 2).await;
    assert_eq!(received(), "", "while it is stuck");
    eventually("it turns again", || received().contains("WATCHDOG=1")).await;
    broker.kill();
    let client = talking.await.expect("no panic");
    broker.environment = Vec::new();
    broker.start();
    oracle::compare(&[client], &oracle::records(&broker.grpc).await, false);
}

/// Measures time on purpose, on a machine that may be busy: the bound is stretched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_on_a_slow_disk_keeps_its_bound_and_loses_nothing_acknowledged() {
    for wait in ["wait700", FOR_EVER] {
        let mut broker = Broker::new();
        let client = Client::new("vm-0", seed("a slow disk"), broker.root());
        broker.spawn(Some(&format!("fdatasync:/commits/:20:1000000:{wait}")), None);
        assert_eq!(broker.ready(), Ok(()), "{}", broker.said());
        let talking = talks(&broker, client);
        has_failed(&broker).await;
        let began = monotonic_now();
        let status = broker.terminate();
        let lasted = began.elapsed();
        assert!(lasted < scaled(STOP_WITHIN), "{wait}: {lasted:?}");
        if wait != FOR_EVER {
            assert!(status.success(), "{status}: {}", broker.said());
        } else {
            assert_eq!(status.code(), Some(1), "{}", broker.said());
            let word = "gridd: did not stop within 9.3 s: ended at once; everything acknowledged is \
                        durable all the same\n";
            assert!(broker.said().ends_with(word), "{}", broker.said());
        }
        let client = talking.await.expect("no panic");
        broker.start();
        oracle::compare(&[client], &oracle::records(&broker.grpc).await, false);
        broker.kill();
    }
}

/// Measures time on purpose, on a machine that may be busy: the bound is stretched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_on_a_full_disk_keeps_its_bound_and_says_what_it_could_not_keep() {
    let mut broker = Broker::new();
    let client = Client::new("vm-0", seed("a full disk"), broker.root());
    broker.spawn(Some("pwrite:/commits/:20:1000000:28"), None);
    assert_eq!(broker.ready(), Ok(()), "{}", broker.said());
    let talking = talks(&broker, client);
    let full = "the disk is full: accepted requests wait for room";
    eventually("the disk is full", || broker.said().contains(full)).await;
    let began = monotonic_now();
    let status = broker.terminate();
    assert!(began.elapsed() < scaled(STOP_WITHIN), "{:?}", began.elapsed());
    assert_eq!(status.code(), Some(1), "{}", broker.said());
    assert!(broker.said().contains("No space left on device"), "{}", broker.said());
    let client = talking.await.expect("no panic");
    broker.start();
    oracle::compare(&[client], &oracle::records(&broker.grpc).await, false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_a_stop_that_takes_long_at_once() {
    let mut broker = Broker::new();
    let client = Client::new("vm-0", seed("a second signal"), broker.root());
    broker.spawn(Some(&format!("fdatasync:/commits/:20:1:{FOR_EVER}")), None);
    assert_eq!(broker.ready(), Ok(()), "{}", broker.said());
    let talking = talks(&broker, client);
    has_failed(&broker).await;
    broker.signal(Signal::TERM);
    eventually("it stops", || broker.said().contains("stopping")).await;
    assert_eq!(broker.has_ended(), None, "it waits for the sync");
    // Whoever did not hear the second one would say, after 9.3 s, that it did not stop in time.
    let status = broker.terminate();
    assert_eq!(status.code(), Some(1));
    let word = "gridd: was asked to stop a second time: ended at once; everything acknowledged is \
                durable all the same\n";
    assert!(broker.said().ends_with(word), "{}", broker.said());
    let client = talking.await.expect("no panic");
    broker.start();
    oracle::compare(&[client], &oracle::records(&broker.grpc).await, false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_still_starts_ends_at_once_when_told_to() {
    let mut broker = Broker::new();
    broker.start();
    assert!(broker.terminate().success());
    // The record of the start hangs.
    broker.spawn(Some(&format!("fdatasync:/commits/:1:1:{FOR_EVER}")), None);
    has_failed(&broker).await;
    let status = broker.terminate();
    assert!(status.success(), "{status}: {}", broker.said());
    let word = "stopping before the start was complete; no events were accepted";
    assert!(broker.said().contains(word), "{}", broker.said());
    broker.start();
}
