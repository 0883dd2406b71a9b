//! What was acknowledged is a record, exactly once, whatever becomes of the broker.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::session_response::Message;
use grid_broker::contract::proto::{Log, Maintenance, Outcome, StartedOk};
use grid_broker::tasks;
use serde_json::Value;
use tokio::sync::Notify;

use crate::support::{
    Gridd, START_RECORDS, Session, ack_exceptions, clean, event, gridd_alone, run, soon,
};

/// Appliances that speak at the same time.
const SPEAKERS: u64 = 4;

/// How often the broker is killed.
const ROUNDS: u64 = 5;

/// Events that each would like to say.
const EVENTS: u64 = 20_000;

/// Events that may be unacknowledged at once, by the contract.
const WINDOW: u64 = 1_024;

fn name(speaker: u64) -> String {
    format!("kept:main.app{speaker}")
}

fn log(sequence: u64) -> grid_broker::contract::proto::Event {
    event(Kind::Log(Log {}), sequence, &format!("event {sequence}"))
}

/// Says events until the session breaks; gives the number of those acknowledged, and whether the
/// broker said GoAway. Each ack is told to `heard`.
async fn speak(mut session: Session, received: Arc<Notify>) -> (u64, bool) {
    let (mut said, mut acked) = (0, 0);
    loop {
        while said < EVENTS && said - acked < WINDOW {
            said += 1;
            // A stream that is closed has perhaps something to read yet.
            let _ = session.try_say(&log(said)).await;
        }
        match session.next().await {
            Ok(Some(Message::Ack(ack))) => {
                assert_eq!(ack.exceptions, [], "all are new");
                acked = ack.through;
                received.notify_one();
            }
            Ok(Some(Message::GoAway(_))) => return (acked, true),
            Ok(None) | Err(_) => return (acked, false),
            Ok(Some(other)) => panic!("an ack was expected, not {other:?}"),
        }
        if acked == EVENTS {
            return (acked, false);
        }
    }
}

/// How often each sequence is in the grid log, by appliance.
fn counted(records: &[Value]) -> BTreeMap<(String, u64), u64> {
    let mut counted = BTreeMap::new();
    for record in records.iter().filter(|record| record["kind"] == "log") {
        let name = record["appliance"].as_str().expect("a name").to_owned();
        let sequence = record["event"]["sequence"].as_u64().expect("a sequence");
        *counted.entry((name, sequence)).or_default() += 1;
    }
    counted
}

fn assert_dense(records: &[Value]) {
    let numbers = records.iter().map(|record| record["number"].as_u64().expect("a number"));
    assert!(numbers.eq(1..=records.len() as u64), "numbers are dense from 1 on");
}

/// Lets new speakers speak, kills the broker in the middle and starts it again; gives who spoke
/// and through which sequence each was acknowledged.
async fn killed_in_the_middle(gridd: &mut Gridd, round: u64) -> Vec<(u64, u64)> {
    let speakers: Vec<u64> = (round * SPEAKERS..(round + 1) * SPEAKERS).collect();
    let mut sessions = Vec::new();
    let received = Arc::new(Notify::new());
    for speaker in &speakers {
        let session = Session::open(gridd, &name(*speaker), 1, 1 + speaker).await;
        sessions.push(tasks::spawn("speaker", speak(session, received.clone())));
    }
    // In the middle: some are acknowledged, and surely not all are said.
    for _ in 0..=round {
        soon("an ack", received.notified()).await;
    }
    gridd.kill().await;
    let mut acked = Vec::new();
    for (speaker, session) in speakers.into_iter().zip(sessions) {
        let (through, _) = soon("the end of a session", session).await.expect("no panic");
        acked.push((speaker, through));
    }
    assert!(acked.iter().any(|(_, it)| (1..EVENTS).contains(it)), "killed between: {acked:?}");
    gridd.start_again().await;
    acked
}

#[tokio::test]
async fn a_killed_broker_has_every_acknowledged_event_exactly_once() {
    let mut gridd = Gridd::without_rate_limits().await;
    let mut acked = Vec::new();
    // One kill alone would find a broker that acknowledges too early now and then only.
    for round in 0..ROUNDS {
        acked.extend(killed_in_the_middle(&mut gridd, round).await);
    }
    let records = gridd.records(&[]).await;
    assert_dense(&records);
    let kept = counted(&records);
    assert!(!kept.is_empty() && kept.values().all(|count| *count == 1), "each once");
    for (speaker, acked) in acked {
        let is_kept = |sequence: &u64| kept.contains_key(&(name(speaker), *sequence));
        let lost: Vec<_> = (1..=acked).filter(|it| !is_kept(it)).collect();
        assert!(lost.is_empty(), "of {acked} acknowledged to {speaker}, lost are {lost:?}");
    }

    // All are said again, as by a client that lost its acks.
    let mut said_before = 0;
    for speaker in 0..SPEAKERS {
        let mut session = Session::open(&gridd, &name(speaker), 1, 1 + speaker).await;
        assert_eq!(session.welcome.term, 1 + ROUNDS);
        let is_known = kept.contains_key(&(name(speaker), 1));
        assert_eq!(session.welcome.sequence_reset, !is_known, "who was heard is known");
        let again = 900;
        for sequence in 1..=again {
            session.say(&log(sequence)).await;
        }
        let exceptions = ack_exceptions(&session.acked(again).await);
        let duplicates: Vec<u64> = exceptions.iter().map(|it| it.position).collect();
        let known: Vec<u64> =
            (1..=again).filter(|at| kept.contains_key(&(name(speaker), *at))).collect();
        assert_eq!(duplicates, known);
        said_before += known.len();
        assert!(exceptions.iter().all(|it| it.outcome == i32::from(Outcome::Duplicate)));
        session.goodbye().await;
    }
    assert!(said_before > 0, "no event was sent again");
    let records = gridd.records(&[]).await;
    assert_dense(&records);
    let kept = counted(&records);
    assert!(kept.values().all(|count| *count == 1), "still each once");
    for speaker in 0..SPEAKERS {
        assert!((1..=900).all(|sequence| kept.contains_key(&(name(speaker), sequence))));
    }
}

#[tokio::test]
async fn the_state_after_a_kill_is_the_state_before_it() {
    let mut gridd = Gridd::with_config("[class.calm]\nboot_timeout = \"12h\"\n").await;
    gridd.gridctl(&["appliance", "add", "a.slow", "--class", "calm"]).await.done();
    gridd.gridctl(&["appliance", "boot", "a.slow"]).await.done();
    let mut session = Session::open(&gridd, "a.moving", 5, 1).await;
    let kind = Kind::Maintenance(Maintenance { progress: Some(7) });
    session.say(&event(kind, 1, "moving")).await;
    session.acked(1).await;
    let mut session = Session::open(&gridd, "a.running", 6, 1).await;
    session.say(&event(Kind::StartedOk(StartedOk {}), 1, "")).await;
    session.acked(1).await;
    gridd.vme("a.failed", 7, &["id=start_failed", "msg=no disk"]).await.done();
    gridd.gridctl(&["appliance", "stop", "a.failed"]).await.done();
    gridd.vme("b.failed", 7, &["id=start_failed", "msg=no disk"]).await.done();
    let words =
        ["appliance", "set", "b.failed", "--boot-timeout", "7m", "--maintenance-silence", "9s"];
    gridd.gridctl(&words).await.done();

    let before = standings(&gridd).await;
    assert_eq!(before.len(), 5);
    gridd.kill().await;
    gridd.start_again().await;
    assert_eq!(standings(&gridd).await, before, "after kill -9");
    assert_eq!(gridd.terminate().await, Some(0));
    gridd.start_again().await;
    assert_eq!(standings(&gridd).await, before, "after SIGTERM, from the checkpoint");
}

/// All appliances, without what belongs to the moment: sessions, sentences with a countdown, and
/// deadlines, which move by the broker's absence.
async fn standings(gridd: &Gridd) -> Vec<Value> {
    let listed = gridd.gridctl(&["appliance", "list", "--output", "json"]).await.done();
    let mut listed: Vec<Value> = serde_json::from_str(&listed).expect("an array");
    for appliance in &mut listed {
        let keys = appliance.as_object_mut().expect("an object");
        let has_deadline = keys["deadline"].is_string();
        for moment in ["sessions", "explanation", "deadline"] {
            keys.remove(moment).expect("the key");
        }
        keys.insert("has_deadline".to_owned(), has_deadline.into());
    }
    listed
}

#[tokio::test]
async fn sigterm_sends_go_away_and_loses_nothing() {
    let mut gridd = Gridd::without_rate_limits().await;
    let mut idle = Session::open(&gridd, "idle", 1, 1).await;
    let session = Session::open(&gridd, &name(0), 1, 1).await;
    let received = Arc::new(Notify::new());
    let speaker = tasks::spawn("speaker", speak(session, received.clone()));
    soon("an ack", received.notified()).await;
    assert_eq!(gridd.terminate().await, Some(0));
    match idle.next().await {
        Ok(Some(Message::GoAway(go_away))) => {
            assert_eq!(go_away.retry_after_ms, 1_000);
            assert_eq!(go_away.explanation, "the broker is stopping");
        }
        other => panic!("GoAway was expected, not {other:?}"),
    }
    let (acked, went_away) = soon("the end of the session", speaker).await.expect("no panic");
    assert!(went_away || acked == EVENTS, "a busy session hears GoAway too: {acked}");
    gridd.start_again().await;
    let records = gridd.records(&[]).await;
    assert_dense(&records);
    let kept = counted(&records);
    assert!(acked > 0 && kept.values().all(|count| *count == 1));
    assert!((1..=acked).all(|sequence| kept.contains_key(&(name(0), sequence))));
    let texts: Vec<_> = records.iter().filter(|it| it["kind"] == "broker").collect();
    assert_eq!(texts[START_RECORDS]["text"], "gridd stopped cleanly");
}

#[tokio::test]
async fn a_second_gridd_on_the_same_data_is_refused_and_harms_nothing() {
    let gridd = Gridd::without_rate_limits().await;
    let data = gridd.path("data").display().to_string();
    let words = ["--data", &data, "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let refused = gridd_alone(&gridd.path("."), &words).await;
    assert_eq!(refused.code, Some(1));
    assert_eq!(refused.stdout, "");
    assert_eq!(
        refused.stderr,
        format!(
            "gridd: another gridd uses the data folder {data}: stop it, or give this one a \
             folder of its own\n"
        )
    );
    gridd.vme("db1", 1, &["id=log", "msg=still there"]).await.done();
}

#[tokio::test]
async fn vme_waits_for_a_broker_that_comes_back_and_makes_one_record() {
    let mut gridd = Gridd::without_rate_limits().await;
    gridd.kill().await;
    // The first try finds nobody: a start takes longer.
    let (said, ()) = tokio::join!(run(patient_vme(&gridd.grpc)), gridd.start_again());
    let said = said.done();
    assert_eq!(said, "vme: log of db1 is record 6\n");
    assert_eq!(counted(&gridd.records(&[]).await).len(), 1);
}

fn patient_vme(broker: &str) -> Command {
    let mut command = clean(env!("CARGO_BIN_EXE_vme"));
    command.env("VME_BOOT_ID", uuid::Uuid::from_u128(1).to_string());
    command.args(["--broker", broker, "--appliance", "db1", "id=log", "msg=patient"]);
    command
}
