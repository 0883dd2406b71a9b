//! systemd hears when the broker serves, that its loop turns, and that it stops: nothing else.

use std::time::Duration;

use grid_broker::clock::monotonic_now;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Notified, Setup, eventually};

/// A watchdog of a length that a test can wait for; half of it is the time between two pets.
const WATCHDOG: Duration = Duration::from_secs(1);

/// One that is in time on a busy machine too: half of it is to spare.
const LONG_WATCHDOG: Duration = Duration::from_secs(8);

#[tokio::test]
async fn ready_is_said_once_it_serves_and_stopping_before_it_ends() {
    let notified = Notified::new();
    let mut gridd = Setup::new("").environment(notified.environment(WATCHDOG)).start().await;
    let ready = notified.heard("READY=1").await;
    let (grpc, http) = (&gridd.grpc, &gridd.http);
    assert_eq!(ready, format!("READY=1\nSTATUS=serves on {grpc} and http://{http}, start 1\n"));
    gridd.vme("db1", 1, &["id=log", "msg=it serves"]).await.done();
    assert_eq!(gridd.terminate().await, Some(0));
    let last = notified.waiting();
    assert!(last.contains(&"STOPPING=1\nSTATUS=stopping\n".to_owned()), "{last:?}");
    assert!(!gridd.path("ready.json").exists(), "a broker that has stopped is not ready");
    assert!(!gridd.path("ready.json.tmp").exists());
}

#[tokio::test]
async fn a_reload_is_said_to_begin_and_to_be_done_whatever_came_of_it() {
    let notified = Notified::new();
    let gridd = Setup::new("").environment(notified.environment(WATCHDOG)).start().await;
    let ready = notified.heard("READY=1").await;
    for settings in ["[retention]\nage = \"30d\"\n", "[retention]\nage = \"0d\"\n"] {
        std::fs::write(gridd.path("gridd.toml"), settings).expect("the configuration");
        gridd.signal(Signal::HUP);
        let reloading = notified.heard("RELOADING=1").await;
        assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
        assert_eq!(notified.heard("READY=1").await, ready);
    }
}

/// Measures time on purpose: a pet may come half a watchdog late.
#[tokio::test]
async fn the_watchdog_is_petted_in_time_and_never_by_a_broker_that_stands_still() {
    let notified = Notified::new();
    let gridd = Setup::new("").environment(notified.environment(LONG_WATCHDOG)).start().await;
    notified.heard("WATCHDOG=1").await;
    let mut last = monotonic_now();
    for _ in 0..2 {
        notified.heard("WATCHDOG=1").await;
        assert!(last.elapsed() < LONG_WATCHDOG, "in time: {:?}", last.elapsed());
        last = monotonic_now();
    }
    gridd.signal(Signal::STOP);
    gridd.stands_still().await;
    notified.waiting();
    tokio::time::sleep(LONG_WATCHDOG).await;
    assert_eq!(notified.waiting(), Vec::<String>::new(), "who stands still says nothing");
    gridd.signal(Signal::CONT);
    notified.heard("WATCHDOG=1").await;
}

#[tokio::test]
async fn a_broker_whose_disk_has_no_room_is_alive_and_says_that_it_is_not_ready() {
    let notified = Notified::new();
    let config = "disk_low_water = \"8000TiB\"\n";
    let gridd = Setup::new(config).environment(notified.environment(WATCHDOG)).start().await;
    let reason = "disk low: nothing new is accepted until there is room; reading continues\n";
    eventually("not ready", async || {
        let (status, _, body) = crate::page::page(&gridd.http, "/readyz").await;
        (status == 503).then(|| assert_eq!(body, reason))
    })
    .await;
    notified.waiting();
    notified.heard("WATCHDOG=1").await;
    let (status, _, body) = crate::page::page(&gridd.http, "/livez").await;
    assert_eq!((status, body.as_str()), (200, "alive\n"));
}

#[tokio::test]
async fn nobody_is_told_anything_without_a_socket_and_a_deaf_one_holds_nobody_up() {
    let environment = vec![
        ("NOTIFY_SOCKET", "/nowhere/socket".into()),
        ("WATCHDOG_USEC", "200000".into()),
        ("GRIDD_TRACING_FORMAT", "json".into()),
    ];
    let mut gridd = Setup::new("").environment(environment).start().await;
    gridd.vme("db1", 1, &["id=log", "msg=it serves"]).await.done();
    assert_eq!(gridd.terminate().await, Some(0));
    let said = gridd.stderr();
    let line = said.lines().next().expect("it is told");
    let line: Value = serde_json::from_str(line).expect("one JSON object a line");
    assert_eq!(line["message"], "the service manager at NOTIFY_SOCKET does not listen");
    assert_eq!(line["error"], "No such file or directory (os error 2)");
    for line in said.lines() {
        let line: Value = serde_json::from_str(line).expect("one JSON object a line");
        assert!(["time", "level", "target", "message"].iter().all(|key| line[key].is_string()));
    }
}
