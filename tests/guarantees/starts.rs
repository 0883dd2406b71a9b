//! Whether a start is good, late, hung or failed is told by the real broker in real seconds; the
//! rules themselves are proved in told time, in `src/grid/tests`.

use std::time::Duration;

use grid_broker::clock::{monotonic_now, wall_now};
use grid_broker::contract::decode_timestamp;
use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::{
    Appliance, ApplianceFilter, ApplianceState, Maintenance, StartedOk, WatchAppliancesRequest,
    WatchAppliancesResponse,
};
use rustix::process::Signal;
use tonic::Streaming;

use crate::support::{Gridd, START_RECORDS, Session, event, eventually, soon};

/// Classes whose deadlines a test can wait for. What must not pass is `slow`, or has the seconds of
/// `quick` and `talker` to a busy machine.
pub(crate) const DEADLINE_CLASSES: &str = "\
[class.default]
boot_timeout = \"1s\"
maintenance_silence = \"1s\"
[class.slow]
boot_timeout = \"12h\"
maintenance_silence = \"12h\"
promise_max = \"12h\"
[class.quick]
boot_timeout = \"12h\"
maintenance_silence = \"8s\"
[class.talker]
boot_timeout = \"12h\"
lost_contact = \"1s\"
";

async fn judged() -> Gridd {
    Gridd::with_config(DEADLINE_CLASSES).await
}

fn state(appliance: &Appliance) -> ApplianceState {
    ApplianceState::try_from(appliance.state).expect("a state")
}

/// The marks of the newest record of that appliance.
async fn newest_marks(gridd: &Gridd, name: &str) -> Vec<String> {
    let records = gridd.records(&["--appliance", name]).await;
    let flags = records.last().expect("a record")["flags"].clone();
    serde_json::from_value(flags).expect("words")
}

#[tokio::test]
async fn a_start_that_is_not_done_in_time_has_failed_and_is_late_when_it_is_done_after_all() {
    let gridd = judged().await;
    gridd.gridctl(&["appliance", "add", "db1"]).await.done();
    let began = monotonic_now();
    gridd.gridctl(&["appliance", "boot", "db1"]).await.done();
    let failed = gridd.explained("db1", "failed: boot timeout, no report within 1 s").await;
    assert!(began.elapsed() >= Duration::from_millis(950), "{:?}", began.elapsed());
    assert_eq!((state(&failed), failed.failure.as_str()), (ApplianceState::Failed, "boot_timeout"));
    assert_eq!(failed.open_alerts, ["db1 did not start within 1 s"]);
    let verdict = &gridd.records(&["--kind", "deadline"]).await[0];
    assert_eq!((&verdict["appliance"], &verdict["state"]), (&"db1".into(), &"failed".into()));

    let said = gridd.vme("db1", 1, &["id=started_ok"]).await.done();
    assert!(said.ends_with(" (started late)\n"), "{said}");
    let running = gridd.explained("db1", "running since ").await;
    assert_eq!((running.failure.as_str(), running.open_alerts.len()), ("", 0));
    assert_eq!(newest_marks(&gridd, "db1").await, ["late"]);
}

#[tokio::test]
async fn a_session_alone_begins_a_boot_whose_deadline_runs() {
    let gridd = judged().await;
    let _session = Session::open(&gridd, "db1", 1, 0).await;
    let failed = gridd.explained("db1", "failed: boot timeout").await;
    assert_eq!(failed.sessions, 1, "it is there all the same");
    let records = gridd.records(&["--appliance", "db1"]).await;
    let told: Vec<_> = records[1..].iter().map(|it| (&it["kind"], &it["state"])).collect();
    let (session, starting) = (&"session".into(), &"starting".into());
    assert_eq!(told, [(session, starting), (&"deadline".into(), &"failed".into())]);
}

#[tokio::test]
async fn silence_in_maintenance_is_hung_with_the_last_word_and_a_report_clears_it() {
    let gridd = judged().await;
    let words = ["id=maintenance", "msg=checking database", "progress=34"];
    gridd.vme("db1", 1, &words).await.done();
    let hung =
        gridd.explained("db1", "failed: hung, last report \"checking database\" 34 % at ").await;
    assert_eq!((state(&hung), hung.failure.as_str()), (ApplianceState::Failed, "hung"));
    assert_eq!(
        hung.open_alerts,
        ["db1 hung in maintenance: silent for 1 s, last report \"checking database\" 34 %"]
    );
    let words = ["id=maintenance", "msg=still at it", "progress=35", "next_report_within=60s"];
    gridd.vme("db1", 1, &words).await.done();
    let back = gridd.explained("db1", "maintenance 35 % \"still at it\"").await;
    assert_eq!((back.failure.as_str(), back.open_alerts.len()), ("", 0));
    assert_eq!(newest_marks(&gridd, "db1").await, ["recovered"]);
}

#[tokio::test]
async fn a_promise_that_is_kept_keeps_the_start_alive_beyond_every_limit() {
    let gridd = judged().await;
    gridd.gridctl(&["appliance", "add", "db1", "--class", "quick"]).await.done();
    let mut session = Session::open(&gridd, "db1", 1, 0).await;
    let began = monotonic_now();
    let mut through = 0;
    // Twice as long as silence is allowed; a report every half second.
    while began.elapsed() < Duration::from_secs(17) {
        through += 1;
        let percent = u32::try_from(through).expect("a few");
        let kind = Kind::Maintenance(Maintenance { progress: Some(percent) });
        session.say(&event(kind, 0, "moving")).await;
        session.acked(through).await;
        assert_eq!(state(&gridd.appliance("db1").await), ApplianceState::Maintenance);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    session.say(&event(Kind::StartedOk(StartedOk {}), 0, "")).await;
    session.acked(through + 1).await;
    gridd.explained("db1", "running since ").await;
    assert_eq!(gridd.records(&["--kind", "deadline"]).await.len(), 0, "no verdict ever fell");
}

#[tokio::test]
async fn no_verdict_falls_right_after_a_restart_whatever_deadline_has_passed() {
    let limits = "[class.default]\nboot_timeout = \"8s\"\nmaintenance_silence = \"8s\"\n";
    let mut gridd = Gridd::with_config(limits).await;
    let mut session = Session::open(&gridd, "moving", 1, 0).await;
    let kind = Kind::Maintenance(Maintenance { progress: Some(5) });
    session.say(&event(kind, 0, "moving")).await;
    session.acked(1).await;
    let _starting = Session::open(&gridd, "starting", 1, 0).await;
    // Both deadlines pass while nobody is there to hear.
    gridd.kill().await;
    let killed = monotonic_now();
    eventually("nine seconds", async || (killed.elapsed() > Duration::from_secs(9)).then_some(()))
        .await;
    let earliest = wall_now();
    gridd.start_again().await;
    let latest = wall_now();
    let started = monotonic_now();
    while started.elapsed() < Duration::from_secs(3) {
        for name in ["moving", "starting"] {
            assert_ne!(state(&gridd.appliance(name).await), ApplianceState::Failed, "{name}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(gridd.records(&["--kind", "deadline"]).await.len(), 0);
    let grace = Duration::from_secs(60);
    for name in ["moving", "starting"] {
        let due = gridd.appliance(name).await.deadline.expect("a verdict is pending");
        let due = decode_timestamp(&due).expect("a time");
        assert!(due >= earliest.after(grace), "{name}: due at {due:?}, the grace is cut short");
        let second = Duration::from_secs(1);
        assert!(due <= latest.after(grace + second), "{name}: due at {due:?}, beyond the grace");
    }
    let records = gridd.records(&["--kind", "broker"]).await;
    let text = records[START_RECORDS]["text"].as_str().expect("a text");
    assert!(text.contains("deadlines moved by it, none fires within 60 s"), "{text}");
}

#[tokio::test]
async fn a_broker_that_stood_still_does_not_hold_it_against_anybody() {
    let gridd = Gridd::with_config("[class.default]\nboot_timeout = \"8s\"\n").await;
    let _session = Session::open(&gridd, "db1", 1, 0).await;
    gridd.signal(rustix::process::Signal::STOP);
    let stopped = monotonic_now();
    eventually("ten seconds", async || (stopped.elapsed() > Duration::from_secs(10)).then_some(()))
        .await;
    gridd.signal(rustix::process::Signal::CONT);
    let appliance = gridd.appliance("db1").await;
    assert_eq!(state(&appliance), ApplianceState::Starting, "{}", appliance.explanation);
    let records = gridd.records(&["--kind", "broker"]).await;
    let text = records[START_RECORDS]["text"].as_str().expect("a text");
    assert!(text.contains("gridd was paused for ") && text.contains("deadlines moved"), "{text}");
    gridd.explained("db1", "failed: boot timeout").await;
}

#[tokio::test]
async fn an_administrator_begins_and_stops_and_nothing_is_expected_of_the_stopped() {
    let gridd = judged().await;
    gridd.gridctl(&["appliance", "add", "db1"]).await.done();
    gridd.gridctl(&["appliance", "boot", "db1"]).await.done();
    let shown = gridd.gridctl(&["appliance", "stop", "db1"]).await.done();
    assert!(shown.contains("idle, stopped at "), "{shown}");
    // A deadline of somebody else passes; that of the stopped one would have been earlier.
    let _other = Session::open(&gridd, "other", 1, 0).await;
    gridd.explained("other", "failed: boot timeout").await;
    let stopped = gridd.appliance("db1").await;
    assert_eq!((state(&stopped), stopped.deadline), (ApplianceState::Idle, None));
    let records = gridd.records(&["--kind", "administrator"]).await;
    let acts: Vec<_> = records.iter().map(|it| (&it["text"], &it["administrator"])).collect();
    let by = &"tester".into();
    assert_eq!(
        acts,
        [
            (&"appliance added".into(), by),
            (&"boot begins".into(), by),
            (&"appliance stopped".into(), by)
        ]
    );
}

#[tokio::test]
async fn an_ordered_boot_is_taken_over_by_the_first_new_boot_id_and_refuses_the_stopped_one() {
    let gridd = Gridd::start().await;
    gridd.vme("db1", 1, &["id=started_ok"]).await.done();
    gridd.gridctl(&["appliance", "stop", "db1"]).await.done();
    let said = gridd.vme("db1", 1, &["id=started_ok"]).await;
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.stderr.contains(" refused: "), "{said:?}");
    gridd.gridctl(&["appliance", "boot", "db1"]).await.done();
    gridd.vme("db1", 2, &["id=maintenance", "msg=new"]).await.done();
    let taken = gridd.appliance("db1").await;
    assert_eq!(taken.boot_id, uuid::Uuid::from_u128(2).to_string());
    assert_eq!(state(&taken), ApplianceState::Maintenance);
    // What the old boot still has to say is history.
    let said = gridd.vme("db1", 1, &["id=log", "msg=old"]).await.done();
    assert!(said.contains("history only"), "{said}");
    assert_eq!(gridd.appliance("db1").await.state, taken.state);
}

/// The next change that is no end of the first round.
async fn change(watch: &mut Streaming<WatchAppliancesResponse>) -> (String, ApplianceState, bool) {
    loop {
        let change = soon("a change", watch.message()).await.expect("no error").expect("goes on");
        if let Some(appliance) = change.appliance {
            return (appliance.name.clone(), state(&appliance), change.removed);
        }
    }
}

#[tokio::test]
async fn a_watcher_is_told_what_is_and_then_every_change() {
    let gridd = judged().await;
    for name in ["shop:db1", "shop:web1", "else:db1"] {
        gridd.gridctl(&["appliance", "add", name, "--class", "slow"]).await.done();
    }
    let filter =
        Some(ApplianceFilter { names: vec!["shop:*".to_owned()], ..ApplianceFilter::default() });
    let mut client = gridd.appliances().await;
    let watch = client.watch_appliances(WatchAppliancesRequest { filter });
    let mut watch = soon("the watch", watch).await.expect("it begins").into_inner();
    let mut first = Vec::new();
    loop {
        let change = soon("the first round", watch.message()).await.expect("ok").expect("goes on");
        first.extend(change.appliance.map(|appliance| appliance.name));
        if change.complete {
            break;
        }
    }
    assert_eq!(first, ["shop:db1", "shop:web1"]);
    let db1 = || "shop:db1".to_owned();
    gridd.vme("else:db1", 1, &["id=started_ok"]).await.done();
    for (words, state) in [
        (&["id=maintenance", "msg=x"][..], ApplianceState::Maintenance),
        (&["id=start_failed", "msg=x"], ApplianceState::Failed),
        (&["id=started_ok"], ApplianceState::Running),
    ] {
        gridd.vme("shop:db1", 1, words).await.done();
        assert_eq!(change(&mut watch).await, (db1(), state, false));
    }
    gridd.gridctl(&["appliance", "remove", "shop:db1"]).await.done();
    let (name, _, removed) = change(&mut watch).await;
    assert_eq!((name, removed), (db1(), true));
}

#[tokio::test]
async fn lost_contact_is_told_after_its_time_not_before_and_the_state_stays() {
    let gridd = judged().await;
    gridd.gridctl(&["appliance", "add", "db1", "--class", "talker"]).await.done();
    let mut session = Session::open(&gridd, "db1", 1, 0).await;
    session.say(&event(Kind::StartedOk(StartedOk {}), 0, "")).await;
    session.acked(1).await;
    // An open session that says nothing is contact.
    let began = monotonic_now();
    eventually("two seconds", async || (began.elapsed() > Duration::from_secs(2)).then_some(()))
        .await;
    assert_eq!(gridd.appliance("db1").await.open_alerts.len(), 0, "the session is open");
    session.goodbye().await;
    let ended = monotonic_now();
    let alone = eventually("an alert", async || {
        let appliance = gridd.appliance("db1").await;
        (!appliance.open_alerts.is_empty()).then_some(appliance)
    })
    .await;
    assert!(ended.elapsed() >= Duration::from_millis(900), "{:?}", ended.elapsed());
    assert_eq!(state(&alone), ApplianceState::Running, "the state stays");
    assert!(alone.open_alerts[0].starts_with("no contact with db1 for "), "{alone:?}");
    let _back = Session::open(&gridd, "db1", 1, 0).await;
    assert_eq!(gridd.appliance("db1").await.open_alerts.len(), 0, "contact again");
}

#[tokio::test]
async fn a_paused_broker_holds_its_pause_against_nobody_and_says_so() {
    let gridd = judged().await;
    gridd.gridctl(&["appliance", "add", "db1", "--class", "quick"]).await.done();
    let promised = monotonic_now();
    gridd.vme("db1", 1, &["id=maintenance", "progress=34"]).await.done();
    gridd.signal(Signal::STOP);
    // Beyond the 8 s of silence that its class allows.
    tokio::time::sleep(Duration::from_secs(9)).await;
    gridd.signal(Signal::CONT);
    assert_eq!(state(&gridd.appliance("db1").await), ApplianceState::Maintenance);
    let told = &gridd.records(&["--kind", "broker", "--text", "gridd was paused"]).await[0];
    assert!(
        told["text"].as_str().is_some_and(|it| it.ends_with("deadlines moved by it")),
        "{told}"
    );
    gridd.explained("db1", "failed: hung").await;
    let since = promised.elapsed();
    assert!(since >= Duration::from_millis(16_500), "8 s and the pause: {since:?}");
}
