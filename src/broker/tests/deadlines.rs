//! Tests deadlines and tallies against what sessions submit.

use super::*;

/// A boot timeout of one second, and the default rate limits.
fn quick() -> settings::Settings {
    let rules = settings::ClassSettings {
        boot_timeout: Some(Duration::from_secs(1)),
        ..settings::ClassSettings::default()
    };
    settings::Settings::new([(settings::DEFAULT_CLASS.to_owned(), rules)])
}

#[test]
fn a_deadline_waits_for_what_its_session_has_received_before_it() {
    let dir = tempfile::tempdir().expect("a folder");
    run(async {
        let started = started_with(small(dir.path()), quick()).await;
        let broker = &started.broker;
        let backlog = Backlog::default();
        // The start event is received at once, and submitted long after the deadline.
        let id = SessionId(1);
        let boot = BootId(uuid::Uuid::from_u128(1));
        let greeting = Greeting {
            boot,
            uptime: None,
            spool: None,
            acked_through: 0,
            is_transient: true,
            session: id,
        };
        backlog.add();
        let welcomed = broker.hello(db1(), greeting, backlog.clone()).await.expect("is accepted");
        let key = SessionKey { id, appliance: welcomed.appliance, boot, spool: None };
        let deadline = broker.now().after(Duration::from_secs(2));
        until("long after the deadline", async || broker.now() > deadline).await;
        let event = Event { kind: EventKind::StartedOk, ..a_log("up").event };
        let started_ok = HeardEvent { boot: None, sequence: None, event };
        let answers = brought(broker, key, vec![started_ok]).await.expect("an answer");
        assert_eq!((answers[0].outcome, answers[0].marks), (Outcome::Kept, Marks::NONE));
        assert!(texts(&started).iter().all(|it| !it.contains("did not start")));
        broker.stop().await.expect("stops");
        started.ended.await.expect("no panic").expect("stops cleanly");
    });
}

#[test]
fn what_is_held_for_a_tally_says_so_and_comes_in_the_order_of_the_session() {
    let dir = tempfile::tempdir().expect("a folder");
    run(async {
        let started = started_with(small(dir.path()), quick()).await;
        let broker = &started.broker;
        let (key, _) = greets(broker, 0).await;
        let flood = (0..2_000).map(|at| a_log(&at.to_string())).collect();
        let held = broker.bring(key, flood, 10).await.expect("there is room").await;
        let Brought::Held(answers) = held.expect("a reply") else { panic!("it is not deferred") };
        let event = Event { kind: EventKind::StartedOk, ..a_log("up").event };
        let started_ok = HeardEvent { boot: None, sequence: None, event };
        // It does not wait for the next tally, and flushes the deferred events before it.
        let answer = broker.bring(key, vec![started_ok], 10).await.expect("there is room").await;
        assert!(matches!(answer, Ok(Brought::Answered(_))), "{answer:?}");
        let before = answers.await.expect("answered with the same commit");
        assert_eq!(before.len(), 2_000);
        assert_eq!(before[1_999].outcome, Outcome::Suppressed);
        broker.stop().await.expect("stops");
        started.ended.await.expect("no panic").expect("stops cleanly");
    });
}
