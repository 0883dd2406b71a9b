//! A network that takes packets and gives nothing back: the agent notices, what is said meanwhile is
//! spooled, and all of it arrives once.
//!
//! The agent lives in a network namespace of its own, and reaches gridd on loopback by a relay of
//! this process. The cut is made at the relay's end: the agent's own link stays up, nothing is reset.

use std::net::SocketAddr;
use std::time::Duration;

use grid_broker::clock::monotonic_now;
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::host::{Ground, Host, UNLIMITED};
use super::relay::Relay;
use crate::support::{Follower, Gridd, Namespace, Run, oracle, run, say, scaled};

/// The keep-alive's question after 20 s, its answer within 20 s more.
const NOTICED_WITHIN: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_network_that_is_cut_all_arrives_once() {
    let gridd = Gridd::with_config(UNLIMITED).await;
    let ground = Ground::new();
    let namespace = Namespace::new();
    let address: SocketAddr = format!("{}:0", namespace.address).parse().expect("an address");
    let listener = TcpListener::bind(address).await.expect("our end of the link");
    let relay = Relay::start(listener, gridd.grpc.clone());
    let host = Host::new(&ground, "db1", 1, &relay.address.to_string());
    let agent = Follower::start(namespace.within(&host.vme(&["agent"])));
    agent.complains("session with the broker").await;
    let mut said: Vec<String> = Vec::new();
    let mut says = async |code: i32, more: &str| {
        let text = format!("event {}", said.len());
        let words = ["id=log", &format!("msg={text}"), more];
        let run: Run = run(namespace.within(&host.vme(&words))).await;
        assert_eq!(run.code, Some(code), "{run:?}");
        said.push(text);
        run.stderr
    };
    says(0, "--timeout=2m").await;

    // A short cut, which TCP survives.
    namespace.cut();
    let line = says(5, "--timeout=1s").await;
    assert!(line.contains("no reply in time"), "{line}");
    sleep(Duration::from_secs(3)).await;
    namespace.mend();
    says(0, "--timeout=2m").await;
    host.rests().await;

    // A long one.
    namespace.cut();
    let began = monotonic_now();
    while !says(5, "--timeout=1s").await.contains("when the broker can be reached: no broker") {
        assert!(began.elapsed() < scaled(NOTICED_WITHIN), "the agent does not notice");
        sleep(Duration::from_millis(300)).await;
    }
    let noticed = began.elapsed();
    for _ in 0..3 {
        // Nobody waits for a broker that is known to be away.
        says(5, "--timeout=10s").await;
    }
    namespace.mend();
    let mended = monotonic_now();
    host.rests().await;
    let (noticed, after) = (noticed.as_secs_f32(), mended.elapsed().as_secs_f32());
    says(0, "--timeout=2m").await;
    let texts = oracle::texts(&oracle::records(&gridd.grpc).await, "db1");
    assert_eq!(texts, said, "each once, in order");
    say(&format!("cut: noticed after {noticed:.1} s, all there {after:.1} s after it ended"));
    drop(agent.interrupt().await);
}
