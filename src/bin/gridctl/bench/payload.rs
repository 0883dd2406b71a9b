//! Writes the events of a load test: encoded messages, each with another text, straight into a buffer.
//!
//! Guarantees that no two texts of a run are equal, that texts are as different from each other as lines of
//! real logs are, and that an event takes the fields that an agent sends: text, sequence, time and uptime.
//! Allocates nothing. Does not know who sends the bytes: the load generators of other servers use them, too.

use std::time::Duration;

/// Parts of texts; which follow each other depends on the event's number.
const PHRASES: [&str; 32] = [
    "connection from 10.0.4.17 accepted ",
    "query took longer than expected ",
    "cache miss for key session ",
    "worker restarted after timeout ",
    "disk /dev/sdb1 usage at threshold ",
    "user alice logged in via ssh ",
    "GET /api/v2/items returned 200 ",
    "POST /api/v2/orders returned 201 ",
    "replication lag is below limit ",
    "certificate for web-3 renewed ",
    "retrying upstream db-primary ",
    "checkpoint complete, wrote buffers ",
    "slow disk write on volume 7 ",
    "queue depth back to normal ",
    "temperature of sensor cpu0 ",
    "link eth1 is up at 10 Gbit/s ",
    "package openssl was updated ",
    "backup of database shop finished ",
    "job nightly-report started ",
    "health check of pool A passed ",
    "memory of container 4f1c grew ",
    "rejected invalid token of client ",
    "rotated log file access.log ",
    "lease of 192.168.7.31 extended ",
    "index rebuild of table events ",
    "thread pool has spare workers ",
    "time of peer ntp2 differs ",
    "mounted volume data as read-write ",
    "policy default-deny was applied ",
    "heartbeat of node 12 received ",
    "session store compacted in place ",
    "quota of tenant 83 recalculated ",
];

/// The name of the counter of alerts: its value changes with each, so that none is a repeat.
const COUNTER_NAME: &[u8] = b"bench.load";

/// A kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoadKind {
    /// A line of the grid log.
    Log,
    /// An alert with a counter.
    Alert,
    /// A progress report.
    Maintenance,
}

/// What differs from event to event of a sender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventStamp {
    /// The event's sequence, from 1.
    pub(crate) sequence: u64,
    /// The time since 1970.
    pub(crate) time: Duration,
}

/// Writes the events of one sender.
#[derive(Clone, Debug)]
pub(crate) struct EventWriter {
    sender: u64,
    text_bytes: usize,
    text: Vec<u8>,
    event: Vec<u8>,
}

impl EventWriter {
    /// A sender with that number, whose texts have that length.
    pub(crate) fn new(sender: u64, text_bytes: usize) -> Self {
        Self { sender, text_bytes, text: Vec::new(), event: Vec::new() }
    }

    /// The encoded event; valid until the next one.
    pub(crate) fn event(&mut self, kind: LoadKind, stamp: EventStamp) -> &[u8] {
        self.fill_text(stamp.sequence);
        self.event.clear();
        let event = &mut self.event;
        match kind {
            LoadKind::Log => event.extend_from_slice(&[0x22, 0]),
            LoadKind::Alert => write_counter(event, stamp.sequence),
            // Progress does not fall within 800 reports.
            LoadKind::Maintenance => {
                let percent = u8::try_from(stamp.sequence / 8 % 100 + 1).unwrap_or(1);
                event.extend_from_slice(&[0x1a, 2, 0x08, percent]);
            }
        }
        event.extend_from_slice(&[0x82, 0x01]);
        write_varint(event, self.text.len() as u64);
        event.extend_from_slice(&self.text);
        event.extend_from_slice(&[0x98, 0x01]);
        write_varint(event, stamp.sequence);
        write_time(event, stamp.time);
        event
    }

    /// Appends the event as a message of a session, with the prefix of gRPC.
    pub(crate) fn write_message(
        &mut self,
        into: &mut Vec<u8>,
        (kind, stamp): (LoadKind, EventStamp),
    ) {
        self.event(kind, stamp);
        let event = &self.event;
        let length = 1 + varint_length(event.len() as u64) + event.len();
        into.push(0);
        into.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        into.push(0x12);
        write_varint(into, event.len() as u64);
        into.extend_from_slice(event);
    }

    /// Fills the text: who and which, then phrases and numbers up to its length.
    fn fill_text(&mut self, sequence: u64) {
        self.text.clear();
        let text = &mut self.text;
        text.extend_from_slice(itoa::Buffer::new().format(self.sender).as_bytes());
        text.push(b'/');
        text.extend_from_slice(itoa::Buffer::new().format(sequence).as_bytes());
        text.push(b' ');
        let mut mixed = mix(self.sender << 40 ^ sequence);
        while text.len() < self.text_bytes {
            let at = usize::try_from(mixed & 31).unwrap_or(0);
            text.extend_from_slice(PHRASES[at].as_bytes());
            text.extend_from_slice(itoa::Buffer::new().format(mixed >> 5 & 0x3ff).as_bytes());
            text.push(b' ');
            mixed = mix(mixed);
        }
        // The number is never cut off: texts stay different.
        let number_bytes = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
        text.truncate(self.text_bytes.max(number_bytes));
    }
}

/// The mixing step of SplitMix64.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// The body of an alert with a counter.
fn write_counter(into: &mut Vec<u8>, value: u64) {
    let name_bytes = u8::try_from(COUNTER_NAME.len()).unwrap_or(u8::MAX);
    let counter_bytes = 2 + name_bytes + 9;
    into.extend_from_slice(&[0x2a, counter_bytes + 2, 0x0a, counter_bytes, 0x0a, name_bytes]);
    into.extend_from_slice(COUNTER_NAME);
    into.push(0x11);
    #[expect(clippy::cast_precision_loss, reason = "a counter of a load test")]
    into.extend_from_slice(&(value as f64).to_le_bytes());
}

/// The fields `event_time` and `uptime_ms`.
fn write_time(into: &mut Vec<u8>, time: Duration) {
    let (seconds, nanos) = (time.as_secs(), u64::from(time.subsec_micros()) * 1_000);
    let length = 2 + varint_length(seconds) + varint_length(nanos);
    into.extend_from_slice(&[0xa2, 0x01, u8::try_from(length).unwrap_or(0), 0x08]);
    write_varint(into, seconds);
    into.push(0x10);
    write_varint(into, nanos);
    into.extend_from_slice(&[0xa8, 0x01]);
    write_varint(into, 1 + u64::from(time.subsec_millis()));
}

fn write_varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    into.push(u8::try_from(value).unwrap_or(0));
}

fn varint_length(value: u64) -> usize {
    // Seven bits a byte, and one byte for 0.
    usize::try_from((64 - (value | 1).leading_zeros()).div_ceil(7)).unwrap_or(10)
}
