//! Tests deadlines and tallies against what sessions submit.

use super::*;

/// A boot timeout of one second, and the default rate limits.
fn one_second_starts() -> settings::GridSettings {
    let rules = settings::ClassSettings {
        boot_timeout: Some(Duration::from_secs(1)),
        ..settings::ClassSettings::default()
    };
    settings::GridSettings::new([(settings::DEFAULT_CLASS.to_owned(), rules)])
}

#[test]
fn a_deadline_waits_for_events_its_session_received_before_it() {
    let dir = tempfile::tempdir().expect("a folder");
    block_on(async {
        let started = started_with(small_journal(dir.path()), one_second_starts()).await;
        let broker = &started.broker;
        let backlog = Backlog::default();
        // The start event is received at once, and submitted long after the deadline.
        let id = SessionId(1);
        let boot = BootId(uuid::Uuid::from_u128(1));
        let greeting = UnresolvedHello {
            boot,
            uptime: None,
            spool: None,
            acked_through: 0,
            is_transient: true,
            session: id,
        };
        backlog.note_received();
        let welcomed =
            broker.open_session(db1(), greeting, backlog.clone()).await.expect("is accepted");
        let key = SessionKey { id, appliance: welcomed.appliance, boot, spool: None };
        let deadline = broker.now().after(Duration::from_secs(2));
        wait_until("long after the deadline", async || broker.now() > deadline).await;
        let event = Event { body: EventBody::StartedOk, ..log_event("up").event };
        let started_ok = IncomingEvent { boot: None, sequence: None, event };
        let answers = submit_batch(broker, key, vec![started_ok]).await.expect("an answer");
        assert_eq!(answers, [Outcome::Stored]);
        assert!(record_texts(&started).iter().all(|it| !it.contains("did not start")));
        broker.stop().await.expect("stops");
        started.ended.await.expect("no panic").expect("stops cleanly");
    });
}

#[test]
fn a_deferred_batch_says_so_and_is_answered_in_session_order() {
    let dir = tempfile::tempdir().expect("a folder");
    block_on(async {
        let started = started_with(small_journal(dir.path()), one_second_starts()).await;
        let broker = &started.broker;
        let (key, _) = open_session(broker, 0).await;
        let flood = of_session(key, (0..2_000).map(|at| log_event(&at.to_string())));
        let held = broker.submit_batch(key, flood, 10).await.expect("there is room").await;
        let BatchReply::Deferred(answers) = held.expect("a reply") else {
            panic!("it is not deferred")
        };
        let event = Event { body: EventBody::StartedOk, ..log_event("up").event };
        let started_ok = IncomingEvent { boot: None, sequence: None, event };
        // It does not wait for the next tally, and flushes the deferred events before it.
        let answer =
            broker.submit_batch(key, of_session(key, [started_ok]), 10).await.expect("room").await;
        assert!(matches!(answer, Ok(BatchReply::Complete(_))), "{answer:?}");
        let before = answers.await.expect("answered with the same commit");
        assert_eq!(
            before.last().map(|(at, it)| (*at, it.outcome)),
            Some((1_999, Outcome::Suppressed))
        );
        broker.stop().await.expect("stops");
        started.ended.await.expect("no panic").expect("stops cleanly");
    });
}
