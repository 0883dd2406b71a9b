//! An appliance that talks too much is held back: told so, counted, shown, and let go.

use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::{Alert, Event, Log, Outcome, Severity, StartedOk};
use serde_json::Value;

use crate::support::{Gridd, Session, ack_exceptions, event};

const NAME: &str = "shop:main.db1";

/// How many lines a flood has.
const FLOOD: u64 = 300;

/// How many of them the default budget keeps at once.
const BURST: u64 = 25;

fn line(sequence: u64) -> Event {
    event(Kind::Log(Log {}), sequence, &format!("line {sequence}"))
}

fn alert(sequence: u64, text: &str) -> Event {
    event(Kind::Alert(Alert { counter: None }), sequence, text)
}

async fn shown(gridd: &Gridd) -> Value {
    let json = gridd.gridctl(&["appliance", "show", NAME, "--output", "jsonl"]).await.done();
    serde_json::from_str(&json).expect("an appliance")
}

/// How many events of that kind had that outcome.
fn count(appliance: &Value, kind: &str, outcome: &str) -> u64 {
    let counts = appliance["counts"].as_array().expect("counts");
    let found = counts.iter().find(|it| it["kind"] == kind && it["outcome"] == outcome);
    found.map_or(0, |it| it["count"].as_u64().expect("a number"))
}

async fn flooded(gridd: &Gridd) -> Session {
    let mut session = Session::open(gridd, NAME, 1, 7).await;
    for sequence in 1..=FLOOD {
        session.say(&line(sequence)).await;
    }
    let exceptions = ack_exceptions(&session.acked(FLOOD).await);
    let suppressed: Vec<u64> = exceptions.iter().map(|it| it.position).collect();
    // While it lasted there may have been room for another one.
    assert!(suppressed.len() as u64 >= FLOOD - BURST - 2, "{}", suppressed.len());
    for exception in &exceptions {
        assert_eq!(exception.outcome(), Outcome::Suppressed);
        assert_eq!(exception.reason, "OVER_BUDGET");
        assert!(exception.suppressed_until.is_some());
    }
    session
}

#[tokio::test]
async fn a_flood_is_held_back_shown_and_lifted_while_the_start_is_heard() {
    let gridd = Gridd::start().await;
    let mut session = flooded(&gridd).await;
    session.say(&event(Kind::StartedOk(StartedOk {}), FLOOD + 1, "")).await;
    assert_eq!(ack_exceptions(&session.acked(FLOOD + 1).await), []);

    let [notice] = session.notices.as_slice() else { panic!("{:?}", session.notices) };
    assert_eq!(notice.reason, "SUPPRESSED");
    assert!(notice.until.is_some());

    let appliance = shown(&gridd).await;
    assert_eq!(appliance["state"], "running");
    let suppressed = count(&appliance, "log", "suppressed");
    assert_eq!(suppressed + count(&appliance, "log", "kept"), FLOOD);
    let suppression = &appliance["suppression"];
    assert_eq!(suppression["budget"], "log");
    // The one that began it has a record.
    assert_eq!(suppression["not_stored"][0]["count"].as_u64(), Some(suppressed - 1));
    assert_eq!(suppression["sample"], format!("line {FLOOD}"));
    let listed = gridd.gridctl(&["appliance", "list", "--suppressed"]).await.done();
    assert!(listed.contains(NAME), "{listed}");
    let records = gridd.records(&["--kind", "log"]).await;
    assert_eq!(records.len() as u64, FLOOD - suppressed + 1);
    let first = records.iter().find(|it| it["outcome"] == "suppressed").expect("one is shown");
    assert_eq!(first["explanation"], "log events exceed the rate limit `log`");

    let lifted = gridd.gridctl(&["appliance", "unsuppress", NAME]).await.done();
    assert!(!lifted.contains("suppressed:"), "{lifted}");
    let again = gridd.gridctl(&["appliance", "unsuppress", NAME]).await;
    assert!(again.stderr.contains("shop:main.db1 is not suppressed"), "{again:?}");
    let listed = gridd.gridctl(&["appliance", "list", "--suppressed"]).await;
    assert!(listed.stderr.contains("no appliances match"), "{listed:?}");
    for sequence in FLOOD + 2..FLOOD + 2 + BURST {
        session.say(&line(sequence)).await;
    }
    assert_eq!(ack_exceptions(&session.acked(FLOOD + 1 + BURST).await), [], "budgets are full");
    let told = gridd.records(&["--kind", "administrator"]).await;
    let text = told.last().expect("the order")["text"].as_str().expect("a text").to_owned();
    assert!(text.starts_with("suppression lifted, rate limits reset; "), "{text}");
    let not_stored = format!("{} log events not stored", suppressed - 1);
    assert!(text.contains(&not_stored), "{text}");
}

#[tokio::test]
async fn what_is_counted_is_counted_after_a_kill_too() {
    let mut gridd = Gridd::start().await;
    let mut session = flooded(&gridd).await;
    session.say(&alert(FLOOD + 1, "fan 1 stands")).await;
    for sequence in FLOOD + 2..=FLOOD + 11 {
        session.say(&alert(sequence, "fan 1 stands")).await;
    }
    let debug = Event { severity: Severity::Debug.into(), ..line(FLOOD + 12) };
    session.say(&debug).await;
    let exceptions = ack_exceptions(&session.acked(FLOOD + 12).await);
    let (last, repeated) = exceptions.split_last().expect("eleven");
    assert!(repeated.iter().all(|it| it.outcome() == Outcome::Repeated), "{repeated:?}");
    assert_eq!((repeated.len(), last.outcome()), (10, Outcome::NotKept));
    let before = shown(&gridd).await;
    gridd.kill().await;
    gridd.start_again().await;
    let after = shown(&gridd).await;
    assert_eq!(before["counts"], after["counts"]);
    // When it ends, and from when that is reckoned, moves by as long as the broker was down.
    let unmoved = |shown: &Value| {
        let mut suppression = shown["suppression"].clone();
        let fields = suppression.as_object_mut().expect("it is suppressed");
        assert!(fields.remove("since").is_some() && fields.remove("until").is_some());
        suppression
    };
    assert_eq!(unmoved(&before), unmoved(&after));
    assert_eq!(count(&after, "alert", "kept") + count(&after, "alert", "repeated"), 11);
    assert_eq!(count(&after, "log", "not_kept"), 1);
    let total: u64 =
        ["kept", "suppressed", "not_kept"].map(|it| count(&after, "log", it)).iter().sum();
    assert_eq!(total, FLOOD + 1);
    // What was absorbed is known, and not counted twice.
    let mut session = Session::open(&gridd, NAME, 1, 7).await;
    session.say(&debug).await;
    let exceptions = ack_exceptions(&session.acked(1).await);
    assert_eq!(exceptions[0].outcome(), Outcome::Duplicate);
}
