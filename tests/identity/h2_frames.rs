//! Hostile clients of HTTP/2 against the real broker, over TCP and over TLS without a certificate.
//!
//! Each test states what ends the attack, how many frames that takes at most, and how much memory it
//! costs. After each, an administrator still works on a new connection. How long it takes is
//! bounded by the timeout of all tests only: a busy machine is no failure.

use grid_broker::contract::proto;

use crate::broker::Broker;
use crate::frames::{
    ACK, COMPRESSION_ERROR, CONTINUATION, Connection, DATA, END_STREAM, ENHANCE_YOUR_CALM, End,
    Frame, HEADERS, PAYLOAD_BYTES, PING, PROTOCOL_ERROR, REFUSED_STREAM, RST_STREAM, WINDOW_UPDATE,
    frame, header_frames, last_message, literal,
};

/// A call that everybody may make, and that stays in progress.
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// A call that needs a credential.
const STATUS: &str = "/grid.events.v1.BrokerService/GetStatus";

/// How much more memory a broker may have at any time of one attack, in KiB.
const GROWTH_KIB_MAX: u64 = 8 << 10;

/// `:status: 200`, `:status: 431` as h2 writes them.
const STATUS_200: &[u8] = &[0x88];
const STATUS_431: &[u8] = &[0x48, 0x83, 0x69, 0x90, 0xff];

/// The memory of a broker, which is compared with its peak later.
pub(crate) struct Memory {
    process: String,
    before_kib: u64,
}

impl Memory {
    /// Looks at it, and forgets earlier peaks.
    pub(crate) fn of(broker: &Broker) -> Self {
        let process = format!("/proc/{}", broker.gridd.pid());
        std::fs::write(format!("{process}/clear_refs"), "5").expect("its peak is reset");
        let before_kib = status_kib(&process, "VmRSS:");
        Self { process, before_kib }
    }

    /// How much more there was at any time since then, in KiB.
    pub(crate) fn growth_kib(&self) -> u64 {
        status_kib(&self.process, "VmHWM:").saturating_sub(self.before_kib)
    }
}

fn status_kib(process: &str, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("{process}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// An administrator gets an answer on a new connection.
pub(crate) async fn still_serves(broker: &Broker) {
    let who = broker.as_admin().await.who_am_i(proto::WhoAmIRequest {}).await;
    assert_eq!(who.expect("an answer").into_inner().name, "admin");
}

/// Attacks a broker without TLS and one with TLS, and checks both afterwards.
async fn attacked(attack: impl AsyncFn(&Broker)) {
    for broker in [Broker::plain().await, Broker::with_tls("").await] {
        still_serves(&broker).await;
        let (memory, lines) = (Memory::of(&broker), broker.gridd.stderr());
        attack(&broker).await;
        let grown = memory.growth_kib();
        let tls = broker.is_tls();
        assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more, with TLS: {tls}");
        still_serves(&broker).await;
        assert_eq!(broker.gridd.stderr(), lines, "nobody writes its tracing");
    }
}

/// The streams of requests number 0 to `count`.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|at| 2 * at + 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_made_by_hand_is_answered() {
    attacked(async |broker| {
        let mut connection = Connection::begin(broker, &[]).await;
        let call = header_frames(1, 0, &connection.call(STATUS, &[]));
        connection.round_trip(&[call, last_message(1, b"")].concat()).await;
        let is_answered = |frames: &[Frame]| {
            frames.iter().any(|it| it.kind == HEADERS && it.payload.starts_with(STATUS_200))
        };
        connection.until("an answer", is_answered).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rapid_reset_ends_with_the_first_400_resets() {
    attacked(async |broker| {
        let mut connection = Connection::begin(broker, &[]).await;
        let call = connection.call(STATUS, &[]);
        let cancelled = |stream| {
            let reset = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
            [header_frames(stream, END_STREAM, &call), reset].concat()
        };
        let attack: Vec<u8> = streams(400).flat_map(cancelled).collect();
        let end = connection.end_after(&attack).await;
        assert_eq!(end, End::go_away(ENHANCE_YOUR_CALM, "too_many_resets"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn made_you_reset_ends_with_the_first_400_errors() {
    attacked(async |broker| {
        let mut connection = Connection::begin(broker, &[]).await;
        let call = connection.call(STATUS, &[]);
        let overflown = |stream| {
            let window = frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes());
            [header_frames(stream, 0, &call), window].concat()
        };
        let attack: Vec<u8> = streams(400).flat_map(overflown).collect();
        let end = connection.end_after(&attack).await;
        assert_eq!(end, End::go_away(ENHANCE_YOUR_CALM, "too_many_internal_resets"));
        let resets = connection.frames.iter().filter(|it| it.kind == RST_STREAM).count();
        assert!(resets <= 256, "{resets}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_update_of_nothing_ends_the_connection_at_once() {
    attacked(async |broker| {
        let mut connection = Connection::begin(broker, &[]).await;
        let call = header_frames(1, 0, &connection.call(STATUS, &[]));
        let window = frame(WINDOW_UPDATE, 0, 1, &[0; 4]);
        let end = connection.end_after(&[call, window].concat()).await;
        assert_eq!(end, End::go_away(PROTOCOL_ERROR, ""));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_without_end_ends_the_connection_at_its_tenth_frame() {
    attacked(async |broker| {
        let mut connection = Connection::begin(broker, &[]).await;
        let begun = frame(HEADERS, 0, 1, &connection.call(STATUS, &[]));
        let continued = frame(CONTINUATION, 0, 1, b"").repeat(9);
        let end = connection.end_after(&[begun, continued].concat()).await;
        assert_eq!(end, End::go_away(ENHANCE_YOUR_CALM, "too_many_continuations"));
    })
    .await;
}

/// Headers of a call with so many bytes more.
fn large_headers(connection: &Connection, bytes: usize) -> Vec<u8> {
    let value = "x".repeat(1_000);
    let more = vec![("x-large", value.as_str()); bytes / 1_000];
    connection.call(STATUS, &more)
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_20_kb_are_refused_and_their_connection_stays() {
    attacked(async |broker| {
        let mut connection = Connection::begin(broker, &[]).await;
        let call = header_frames(1, 0, &large_headers(&connection, 20_000));
        connection.round_trip(&call).await;
        let answer = connection.frames.iter().find(|it| it.kind == HEADERS).expect("an answer");
        assert!(answer.payload.starts_with(STATUS_431), "{answer:?}");
        // The next call is answered.
        let call = header_frames(3, END_STREAM, &connection.call(STATUS, &[]));
        connection.round_trip(&call).await;
        let is_answered =
            |frames: &[Frame]| frames.iter().any(|it| it.kind == HEADERS && it.stream == 3);
        connection.until("the next answer", is_answered).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_70_kb_end_the_connection() {
    attacked(async |broker| {
        let mut connection = Connection::begin(broker, &[]).await;
        let call = header_frames(1, 0, &large_headers(&connection, 70_000));
        let end = connection.end_after(&call).await;
        // A header that two frames share is not put together any more.
        assert_eq!(end, End::go_away(COMPRESSION_ERROR, ""));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_unpack_to_47_mb_end_the_connection() {
    attacked(async |broker| {
        let mut connection = Connection::begin(broker, &[]).await;
        let mut block = connection.call(STATUS, &[]);
        // The first entry of the dynamic table, then references to it.
        block.extend(literal(0x40, "x", &"x".repeat(3_900)));
        block.resize(PAYLOAD_BYTES, 0x80 | 62);
        let end = connection.end_after(&header_frames(1, 0, &block)).await;
        assert_eq!(end, End::go_away(ENHANCE_YOUR_CALM, "header_list_way_too_large"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_data_ends_the_connection_at_its_101st_frame() {
    attacked(async |broker| {
        let mut connection = Connection::begin(broker, &[]).await;
        let call = header_frames(1, 0, &connection.call(WATCH, &[]));
        connection.round_trip(&[call, frame(DATA, 0, 1, b"").repeat(100)].concat()).await;
        let end = connection.end_after(&frame(DATA, 0, 1, b"")).await;
        assert_eq!(end, End::go_away(ENHANCE_YOUR_CALM, "too_many_data_frames"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_those_allowed_are_refused_one_by_one() {
    attacked(async |broker| {
        let allowed = if broker.is_tls() { 16 } else { 200 };
        let mut connection = Connection::begin(broker, &[]).await;
        let call = connection.call(WATCH, &[]);
        let watch = |stream| [header_frames(stream, 0, &call), last_message(stream, b"")].concat();
        let calls: Vec<u8> = streams(allowed + 100).flat_map(watch).collect();
        connection.round_trip(&calls).await;
        let refused = |frames: &[Frame]| {
            frames.iter().filter(|it| it.reset_code() == Some(REFUSED_STREAM)).count()
        };
        connection.until("100 are refused", |frames| refused(frames) >= 100).await;
        assert_eq!(refused(&connection.frames), 100);
        // Whoever goes on is cut off, at the 257th. What a closed connection has not read would take
        // its last words back, so no more is sent.
        let more = streams(allowed + 257).skip(allowed as usize + 100).flat_map(watch);
        let end = connection.end_after(&more.collect::<Vec<u8>>()).await;
        assert_eq!(end, End::go_away(ENHANCE_YOUR_CALM, "too_many_internal_resets"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_pings_is_answered_and_written_nowhere() {
    attacked(async |broker| {
        let mut connection = Connection::begin(broker, &[]).await;
        let before = connection.frames.len();
        let flood = frame(PING, 0, 0, b"a flood!").repeat(20_000);
        connection.round_trip(&flood).await;
        let answers = &connection.frames[before..];
        let is_answer = |it: &&Frame| it.kind == PING && it.flags == ACK;
        assert_eq!(answers.iter().filter(is_answer).count(), 20_001);
        // Answers that nobody asked for.
        connection.round_trip(&frame(PING, ACK, 0, b"unasked!").repeat(20_000)).await;
    })
    .await;
}
