//! A stop keeps what was taken, says goodbye, and has its bound, whatever clients do.

use std::time::Duration;

use grid_broker::clock::monotonic_now;
use grid_broker::contract::proto::Log;
use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::session_response::Message;
use grid_broker::tasks;
use tokio::net::TcpStream;

use crate::support::{Gridd, Session, event, say, scaled, soon};

/// The bound that is promised.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Sessions that never pause.
const BUSY: u64 = 4;

/// Events that each would like to say: more than it can.
const EVENTS: u64 = 200_000;

/// Events that may be unacknowledged at once, by the contract.
const WINDOW: u64 = 1_024;

fn name(speaker: u64) -> String {
    format!("busy{speaker}")
}

/// Speaks without a pause to the end of the stream; gives what was acknowledged, and whether the
/// broker said GoAway.
async fn speak(mut session: Session) -> (u64, bool) {
    let (mut said, mut acked) = (0, 0);
    loop {
        while said < EVENTS && said - acked < WINDOW {
            said += 1;
            let _ = session.try_say(&event(Kind::Log(Log {}), said, "busy")).await;
        }
        match session.next().await {
            Ok(Some(Message::Ack(ack))) => acked = ack.through,
            Ok(Some(Message::GoAway(_))) => return (acked, true),
            Ok(None) | Err(_) => return (acked, false),
            Ok(Some(other)) => panic!("an ack was expected, not {other:?}"),
        }
    }
}

/// Measures time on purpose, on a machine that may be busy: the bound is stretched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_broker_stops_in_time_and_every_ack_it_gave_was_durable() {
    let mut gridd = Gridd::with_config("[class.default]\nbudget = \"unlimited\"\n").await;
    let mut busy = Vec::new();
    for speaker in 0..BUSY {
        let session = Session::open(&gridd, &name(speaker), 1, 1 + speaker).await;
        busy.push(tasks::spawn("speaker", speak(session)));
    }
    // One that says much and never reads, and one that says nothing at all.
    let deaf = Session::open(&gridd, "deaf", 1, 1).await;
    for sequence in 1..=WINDOW {
        let _ = deaf.try_say(&event(Kind::Log(Log {}), sequence, "deaf")).await;
    }
    let silent = TcpStream::connect(&gridd.grpc).await.expect("connects");
    tokio::time::sleep(Duration::from_secs(1)).await;

    let began = monotonic_now();
    assert_eq!(gridd.terminate().await, Some(0), "in good order");
    let lasted = began.elapsed();
    assert!(lasted < scaled(STOP_WITHIN), "{lasted:?}");
    say(&format!("a stop with {BUSY} busy sessions and a deaf one took {lasted:?}"));
    let mut acked = Vec::new();
    for session in busy {
        acked.push(soon("the end of a session", session).await.expect("no panic"));
    }
    assert!(acked.iter().all(|(acked, went_away)| *acked > 0 && *went_away), "{acked:?}");
    drop((deaf, silent));

    gridd.start_again().await;
    for (speaker, (acked, _)) in (0..BUSY).zip(acked) {
        let kept = gridd.records(&["--kind", "log", "--appliance", &name(speaker)]).await;
        let mut sequences: Vec<_> =
            kept.iter().map(|it| it["event"]["sequence"].as_u64().expect("a number")).collect();
        sequences.sort_unstable();
        let expected = 1..=sequences.len() as u64;
        assert!(sequences.iter().copied().eq(expected), "each once, without a gap");
        assert!(sequences.len() as u64 >= acked, "{} kept, {acked} acked", sequences.len());
    }
}
