//! Heartbeats of a real broker, which end with it.

use rustix::process::Signal;

use crate::receiver::Receiver;
use crate::support::{Setup, holds};

#[tokio::test]
async fn heartbeats_come_while_the_broker_is_well_and_end_with_it() {
    let mut receiver = Receiver::down();
    let config = format!("[heartbeat]\nurl = \"{}\"\ninterval = \"1s\"\n", receiver.url("/ping"));
    let mut gridd = Setup::new(&config).start().await;
    holds("the failure is told", async || {
        gridd.stderr().contains("the heartbeat was not accepted: ")
    })
    .await;
    receiver.up();
    holds("heartbeats", async || receiver.requests().len() >= 2).await;
    assert!(receiver.requests().iter().all(|it| it.starts_with("GET /ping HTTP/1.1\r\n")));
    holds("it is told that they come", async || {
        gridd.stderr().contains("heartbeats are sent again")
    })
    .await;
    // A broker that is stopped by its system is alive, and not well.
    gridd.signal(Signal::STOP);
    let before = receiver.requests().len();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert!(receiver.requests().len() <= before + 1, "one may be on its way");
    gridd.signal(Signal::CONT);
    holds("heartbeats again", async || receiver.requests().len() > before + 1).await;
    gridd.kill().await;
}
