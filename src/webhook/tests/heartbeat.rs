//! Tests of the heartbeat: when it is sent, and what is counted.

use std::sync::atomic::{AtomicBool, Ordering};

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::*;
use crate::config::webhook::HeartbeatConfig;
use crate::metrics::Metrics;
use crate::webhook::start_heartbeat;

/// How many heartbeats had that outcome.
fn count(metrics: &Metrics, outcome: &str) -> u64 {
    let (mut registry, mut text) = (Registry::default(), String::new());
    metrics.register(&mut registry);
    encode(&mut text, &registry).expect("encodes");
    let line = format!("heartbeats_total{{outcome=\"{outcome}\"}} ");
    let value = text.lines().find_map(|it| it.strip_prefix(&line)).expect("a series");
    value.parse().expect("a number")
}

async fn until(mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(timeout(), waiting).await.expect("in time");
}

#[tokio::test]
async fn it_beats_while_the_broker_is_well_and_only_then() {
    let scripts =
        vec![answers("200 OK", "", ""), answers("500 No", "", ""), answers("200 OK", "", "")];
    let server = TestServer::start(scripts).await;
    let interval = Duration::from_millis(10);
    let config = HeartbeatConfig { interval, target: server.target() };
    let (settings, config) = watch::channel(Some(Arc::new(config)));
    let (stop, stopping) = watch::channel(false);
    let (metrics, is_well) = (Metrics::default(), Arc::new(AtomicBool::new(true)));
    let seen = Arc::clone(&is_well);
    let ended = start_heartbeat(config, metrics.clone(), stopping, move || {
        let reason = (!seen.load(Ordering::Relaxed)).then_some("disk low");
        async move { reason }
    });
    until(|| count(&metrics, "sent") >= 2 && count(&metrics, "failed") == 1).await;
    assert_eq!(count(&metrics, "held_back"), 0);
    is_well.store(false, Ordering::Relaxed);
    until(|| count(&metrics, "held_back") >= 1).await;
    let (beats, held_back) = (server.requests().len(), count(&metrics, "held_back"));
    until(|| count(&metrics, "held_back") >= held_back + 2).await;
    assert_eq!(server.requests().len(), beats, "none while it is not well");
    is_well.store(true, Ordering::Relaxed);
    until(|| server.requests().len() > beats).await;
    settings.send_replace(None);
    stop.send_replace(true);
    tokio::time::timeout(timeout(), ended).await.expect("in time").expect("ends");
    assert!(server.requests().iter().all(|it| it.starts_with("GET /hook ")));
}
