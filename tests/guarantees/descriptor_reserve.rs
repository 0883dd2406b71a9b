//! Whatever strangers do with their connections, the journal has its files: an appliance that was there
//! before goes on over many changes of files and sealed spans, and the page for probes answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use grid_broker::client::connect;
use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::grid_log_service_client::GridLogServiceClient;
use grid_broker::contract::proto::{Log, TailRecordsRequest};
use grid_broker::tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::page::page;
use crate::support::{Gridd, Session, Setup, event, eventually};

/// Small files, so that they change often.
const SMALL: &str = "\
[journal]
commit_file = \"64KiB\"
span = \"256KiB\"
checkpoint_records = 1000
[class.default]
budget = \"unlimited\"
";

/// Connections of each kind that are held open at one time.
const EACH: usize = 100;

/// Whoever is cut off comes again after so long.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

const EVENTS: u64 = 4_000;
const AT_ONCE: u64 = 200;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One of those that hold a connection, and come again when they are cut off.
async fn hold(address: String, says: &'static [u8], ends: Arc<AtomicBool>) {
    while !ends.load(Ordering::Relaxed) {
        if let Ok(mut stream) = TcpStream::connect(&address).await {
            let _ = stream.write_all(says).await;
            let mut rest = [0; 256];
            while matches!(stream.read(&mut rest).await, Ok(1..)) {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// A text of 960 bytes that hardly packs, so that spans fill.
fn unpackable(number: u64) -> String {
    let seed = |at: u64| (number * 30 + at).to_le_bytes();
    let part = |at: u64| uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &seed(at));
    (0..30).map(|at| part(at).simple().to_string()).collect()
}

/// Whether the page for probes answers.
async fn is_alive(gridd: &Gridd) -> bool {
    let Ok(mut stream) = TcpStream::connect(&gridd.http).await else { return false };
    let request =
        format!("GET /livez HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", gridd.http);
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer.starts_with("HTTP/1.1 200 ")
}

async fn goes_on(descriptors: u32) {
    let mut gridd = Setup::new(SMALL).descriptors(descriptors).start().await;
    let mut session = Session::open(&gridd, "shop:db1", 1, 1).await;
    let ends = Arc::new(AtomicBool::new(false));
    let settings = &[PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat()[..];
    let settings: &'static [u8] = Box::leak(settings.into());
    let mut strangers = Vec::new();
    for (address, says) in [
        (&gridd.grpc, &b""[..]),
        (&gridd.grpc, &PREFACE[..20]),
        (&gridd.grpc, settings),
        (&gridd.http, b"GET / HTTP/1.1\r\nHost: lo"),
        (&gridd.http, b""),
    ] {
        for _ in 0..EACH {
            let held = hold(address.clone(), says, Arc::clone(&ends));
            strangers.push(tasks::spawn("stranger", held));
        }
    }
    for begin in (1..=EVENTS).step_by(usize::try_from(AT_ONCE).expect("few")) {
        for sequence in begin..begin + AT_ONCE {
            session.say(&event(Kind::Log(Log {}), sequence, &unpackable(sequence))).await;
        }
        session.acked(begin + AT_ONCE - 1).await;
        eventually("the page for probes", async || is_alive(&gridd).await.then_some(())).await;
    }
    ends.store(true, Ordering::Relaxed);
    strangers.iter().for_each(tokio::task::JoinHandle::abort);
    drop(strangers);
    session.goodbye().await;
    let kept = eventually("all of its events", async || {
        // Until the last of the strangers is gone a newcomer may be refused.
        let listed =
            gridd.gridctl(&["log", "list", "--all", "--kind", "log", "--output", "json"]).await;
        serde_json::from_str::<Vec<serde_json::Value>>(&listed.stdout).ok()
    })
    .await;
    assert_eq!(kept.len() as u64, EVENTS);
    let (_, _, metrics) = page(&gridd.http, "/metrics").await;
    let value = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|it| it.trim().parse::<f64>().ok()).expect(name)
    };
    assert!(value("gridd_journal_threads_failed ") < 0.5, "{metrics}");
    assert!(value("gridd_journal_sealed_spans ") > 1.5, "{metrics}");
    assert!(value("process_max_fds ") < f64::from(descriptors) + 0.5, "{metrics}");
    let told = gridd.stderr();
    assert!(!told.contains("Too many open files"), "{told}");
    assert!(told.lines().count() < 100, "{told}");
    assert_eq!(gridd.terminate().await, Some(0), "{}", gridd.stderr());
}

#[tokio::test]
async fn with_64_descriptors_the_journal_has_its_files_whatever_strangers_hold() {
    goes_on(64).await;
}

#[tokio::test]
async fn with_256_descriptors_the_journal_has_its_files_whatever_strangers_hold() {
    goes_on(256).await;
}

#[tokio::test]
async fn sessions_of_others_can_not_take_the_last_place_nor_the_journals_files() {
    let gridd = Setup::new(SMALL).descriptors(64).start().await;
    let mut session = Session::open(&gridd, "shop:db1", 1, 1).await;
    let ends = Arc::new(AtomicBool::new(false));
    let grpc = gridd.grpc.clone();
    // Each with a connection and a call under way of its own, as many as come.
    let mut others = Vec::new();
    for _ in 0..EACH {
        let (grpc, ends) = (grpc.clone(), Arc::clone(&ends));
        others.push(tasks::spawn("other", async move {
            // Whoever is refused, or went before its call, comes again.
            while !ends.load(Ordering::Relaxed) {
                tokio::time::sleep(AGAIN_AFTER).await;
                let Ok(channel) = connect(&grpc).await else { continue };
                let mut client = GridLogServiceClient::new(channel);
                let tail = client.tail_records(TailRecordsRequest::default()).await;
                let Ok(tail) = tail.map(tonic::Response::into_inner) else { continue };
                let mut tail = tail;
                while tail.message().await.is_ok_and(|it| it.is_some()) {}
            }
        }));
    }
    for sequence in 1..=1_000 {
        session.say(&event(Kind::Log(Log {}), sequence, &unpackable(sequence))).await;
        if sequence % AT_ONCE == 0 {
            session.acked(sequence).await;
            eventually("the page for probes", async || is_alive(&gridd).await.then_some(())).await;
        }
    }
    eventually("the others are refused", async || {
        let (_, _, metrics) = page(&gridd.http, "/metrics").await;
        let none = "gridd_connections_refused_total{listener=\"grpc\",reason=\"address_full\"} 0";
        (!metrics.contains(none)).then_some(())
    })
    .await;
    ends.store(true, Ordering::Relaxed);
    others.iter().for_each(tokio::task::JoinHandle::abort);
    assert!(!gridd.stderr().contains("Too many open files"), "{}", gridd.stderr());
    session.goodbye().await;
}
