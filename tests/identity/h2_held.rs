//! Clients of HTTP/2 that hold something and do nothing: connections, and responses that they do not
//! read. Over TCP, and over TLS without a certificate.

use std::time::Duration;

use crate::broker::Broker;
use crate::frames::{
    Connection, DATA, END_STREAM, End, Frame, PREFACE, frame, header_frames, message_bytes,
};
use crate::h2_frames::{Memory, still_serves};
use crate::support::{eventually, scaled, soon};

/// A call whose responses are large.
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// Runs `work` against a broker without TLS and one with TLS, at the same time.
async fn held(work: impl AsyncFn(&Broker)) {
    let with = async |broker: Broker| {
        still_serves(&broker).await;
        work(&broker).await;
        still_serves(&broker).await;
    };
    tokio::join!(async { with(Broker::plain().await).await }, async {
        with(Broker::with_tls("").await).await
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_preface_is_closed_at_the_deadline_of_the_first_request() {
    held(async |broker| {
        let memory = Memory::of(broker);
        let mut connections = Vec::new();
        for count in 0..PREFACE.len() {
            let mut connection = Connection::silent(broker).await;
            connection.send(&PREFACE[..count]).await;
            connections.push(connection);
        }
        let grown = memory.growth_kib();
        assert!(grown < 8 << 10, "{grown} KiB more, with TLS: {}", broker.is_tls());
        for mut connection in connections {
            let ended = tokio::time::timeout(scaled(Duration::from_secs(10)), connection.end());
            assert_eq!(ended.await.expect("within the deadline"), End::Closed);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_call_cost_little_and_end_when_their_peer_is_silent() {
    held(async |broker| {
        // Whoever comes over TLS without a certificate must call within 30 s.
        let (count, each_kib_max) = if broker.is_tls() { (300, 128) } else { (1_000, 64) };
        let memory = Memory::of(broker);
        let mut connections = Vec::new();
        for _ in 0..count {
            connections.push(Connection::begin(broker, &[]).await);
        }
        let grown = memory.growth_kib();
        assert!(grown < count * each_kib_max, "{grown} KiB, with TLS: {}", broker.is_tls());
        still_serves(broker).await;
        let (mut closed, mut told) = (0, 0);
        for mut connection in connections {
            match soon("the end of a silent peer", connection.end()).await {
                End::Closed => closed += 1,
                End::GoAway(..) => told += 1,
            }
        }
        assert_eq!((closed, told), (count, 0), "with TLS: {}", broker.is_tls());
    })
    .await;
}

/// A request of the descriptors of a service.
fn reflection_request() -> Vec<u8> {
    let name = "grid.events.v1.IdentityService";
    let mut request = vec![0x22, u8::try_from(name.len()).expect("short")];
    request.extend(name.as_bytes());
    message_bytes(&request)
}

/// The bytes of responses in DATA frames.
fn response_bytes(connection: &Connection) -> usize {
    let data = connection.frames.iter().filter(|it| it.kind == DATA);
    data.map(|it| it.payload.len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_opens_no_window_holds_little_of_its_responses() {
    const REQUESTS: usize = 50;
    held(async |broker| {
        let streams = if broker.is_tls() { 16 } else { 200 };
        let token = format!("Bearer {}", broker.admin.expose());
        // Of one response, to a client that reads.
        let mut reader = Connection::begin(broker, &[]).await;
        let call = reader.call(REFLECTION, &[("authorization", &token)]);
        let one = [header_frames(1, 0, &call), frame(DATA, END_STREAM, 1, &reflection_request())];
        reader.round_trip(&one.concat()).await;
        let size = eventually("a response", async || {
            reader.round_trip(b"").await;
            let is_last = |it: &Frame| it.stream == 1 && it.is_end();
            reader.frames.iter().any(is_last).then(|| response_bytes(&reader))
        });
        let size = size.await;
        let memory = Memory::of(broker);
        // SETTINGS_INITIAL_WINDOW_SIZE: one byte, so that each response is begun.
        let mut slow = Connection::begin(broker, &[(4, 1)]).await;
        let requests = reflection_request().repeat(REQUESTS);
        for stream in (0..streams).map(|at| 2 * at + 1) {
            let call = header_frames(stream, 0, &call);
            slow.round_trip(&[call, frame(DATA, END_STREAM, stream, &requests)].concat()).await;
        }
        eventually("each response is begun", async || {
            slow.round_trip(b"").await;
            (response_bytes(&slow) == streams as usize).then_some(())
        })
        .await;
        // What is not bounded would go on growing.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let grown = memory.growth_kib();
        let all = (size * REQUESTS * streams as usize) as u64 >> 10;
        let allowed = u64::from(streams) * 128 + (4 << 10);
        assert!(allowed < all, "the attack is too small: {size} bytes each");
        assert!(grown < allowed, "{grown} of {all} KiB, with TLS: {}", broker.is_tls());
        slow.round_trip(b"").await;
    })
    .await;
}
