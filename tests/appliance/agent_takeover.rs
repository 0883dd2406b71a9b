//! An agent takes the spool over from a drainer, is the only one, and gives all back when it ends.

use super::host::{Ground, Host, UNLIMITED};
use crate::support::{Gridd, eventually, oracle};

#[tokio::test]
async fn an_agent_takes_over_from_a_drainer_and_is_alone() {
    let mut gridd = Gridd::with_config(UNLIMITED).await;
    gridd.kill().await;
    let ground = Ground::new();
    let host = Host::new(&ground, "db1", 1, &gridd.grpc);
    host.says(&["id=log", "msg=event 0", "--timeout=200ms"], 5).await;
    eventually("the drainer's word", async || {
        host.spool().drainer_note().filter(|word| word.starts_with("drainer "))
    })
    .await;
    let agent = host.agent().await;
    eventually("the drainer's end", async || host.drainers().is_empty().then_some(())).await;
    let line = host.says(&["agent"], 3).await;
    assert!(line.starts_with("vme: agent ") && line.contains(" already serves "), "{line}");
    agent.complains("no session").await;
    host.says(&["id=log", "msg=event 1"], 5).await;
    // Killed, it leaves its word and its socket behind, which are in nobody's way.
    super::host::kill(agent);
    host.says(&["id=log", "msg=event 2", "--timeout=200ms"], 5).await;
    let agent = host.agent().await;
    drop(agent.interrupt().await);
    gridd.start_again().await;
    host.says(&["id=log", "msg=event 3"], 0).await;
    host.rests().await;
    let texts = oracle::texts(&oracle::records(&gridd.grpc).await, "db1");
    assert_eq!(texts, ["event 0", "event 1", "event 2", "event 3"]);
}
