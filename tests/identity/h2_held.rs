//! Clients of HTTP/2 that hold something and do nothing: connections, and responses that they do not
//! read. Over TCP, and over TLS without a certificate.

use std::time::Duration;

use crate::broker::Broker;
use crate::frames::{
    Connection, DATA, END_STREAM, End, Frame, NO_ERROR, PREFACE, WINDOW_UPDATE, frame,
    header_frames, message_bytes,
};
use crate::h2_frames::{Memory, still_serves};
use crate::support::{eventually, scaled, soon};

/// A call whose responses are large.
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// A silent client is cut off after that, and some time.
const UNANSWERED_PING: Duration = Duration::from_secs(50);

/// How many responses are asked for in each call.
const REQUESTS: usize = 50;

/// How much of its responses a call may hold, in KiB.
const HELD_KIB_MAX: u64 = 192;

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
        // Without an answer to a PING after 40 s.
        let expected = if broker.is_tls() { End::Closed } else { End::go_away(NO_ERROR, "") };
        for mut connection in connections {
            assert_eq!(soon("the end of a silent peer", connection.end()).await, expected);
        }
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

/// Requests of large responses, as many as a connection may have.
struct Requests {
    streams: u32,
    frames: Vec<Vec<u8>>,
    /// All their responses, in KiB.
    responses_kib: u64,
}

impl Requests {
    /// For that broker, with the size of a response, which is asked for first.
    async fn of(broker: &Broker) -> Self {
        let mut reader = Connection::begin(broker, &[]).await;
        let token = format!("Bearer {}", broker.admin.expose());
        let call = reader.call(REFLECTION, &[("authorization", &token)]);
        let with = |stream, requests: usize| {
            let requests = reflection_request().repeat(requests);
            let last = frame(DATA, END_STREAM, stream, &requests);
            [header_frames(stream, 0, &call), last].concat()
        };
        reader.round_trip(&with(1, 1)).await;
        let is_last = |it: &Frame| it.stream == 1 && it.is_end();
        reader.until("a response", |frames| frames.iter().any(is_last)).await;
        let streams = if broker.is_tls() { 16 } else { 200 };
        let frames = (0..streams).map(|at| with(2 * at + 1, REQUESTS)).collect();
        let size = (response_bytes(&reader) * REQUESTS) as u64;
        Self { streams, frames, responses_kib: (size * u64::from(streams)) >> 10 }
    }

    /// The broker holds little of the responses, now and later.
    async fn are_bounded(&self, broker: &Broker, memory: &Memory) {
        // What is not bounded would go on growing.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (grown, all) = (memory.growth_kib(), self.responses_kib);
        let allowed = u64::from(self.streams) * HELD_KIB_MAX + (4 << 10);
        assert!(allowed < all, "the attack is too small: {all} KiB");
        assert!(grown < allowed, "{grown} of {all} KiB, with TLS: {}", broker.is_tls());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_opens_no_window_holds_little_of_its_responses() {
    held(async |broker| {
        let requests = Requests::of(broker).await;
        let memory = Memory::of(broker);
        // SETTINGS_INITIAL_WINDOW_SIZE: one byte, so that each response is begun.
        let mut slow = Connection::begin(broker, &[(4, 1)]).await;
        for frames in &requests.frames {
            slow.round_trip(frames).await;
        }
        eventually("each response is begun", async || {
            slow.round_trip(b"").await;
            (response_bytes(&slow) == requests.frames.len()).then_some(())
        })
        .await;
        requests.are_bounded(broker, &memory).await;
        slow.round_trip(b"").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_holds_little_and_is_cut_off_when_it_reads() {
    held(async |broker| {
        let requests = Requests::of(broker).await;
        let memory = Memory::of(broker);
        // The largest windows, and nothing of what they let through is taken from the socket.
        let mut slow = Connection::begin(broker, &[(4, 0x7fff_ffff)]).await;
        let window = frame(WINDOW_UPDATE, 0, 0, &0x7000_0000_u32.to_be_bytes());
        assert!(slow.send_unread(&window).await, "it stays open");
        for frames in &requests.frames {
            assert!(slow.send_unread(frames).await, "it stays open");
        }
        requests.are_bounded(broker, &memory).await;
        // The PING deadline ends its calls. The last words of the broker wait for it to read.
        tokio::time::sleep(UNANSWERED_PING).await;
        assert_eq!(soon("the end", slow.end()).await, End::go_away(NO_ERROR, ""));
        let read = response_bytes(&slow) as u64 >> 10;
        assert!(read < requests.responses_kib, "{read} KiB, with TLS: {}", broker.is_tls());
    })
    .await;
}
