//! Loads a server that speaks a pipelined protocol over TCP, as `gridctl bench` loads gridd.
//!
//! Guarantees the same texts, the same number of outstanding events, the same pace and the same way of
//! measuring. One task a connection, which writes all that may be sent, and reads what there is. Does not
//! know the protocol.

use std::collections::VecDeque;
use std::time::Duration;

use grid_broker::clock::{monotonic_now, wall_now};
use grid_broker::tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::Failure;
use crate::latency::LatencyHistogram;
use crate::payload::{EventStamp, EventWriter, LoadKind};

/// Room for replies that arrive at once.
const READ_BYTES: usize = 256 << 10;

/// How long the last replies may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);

/// A protocol.
pub(crate) trait Protocol: Send + 'static {
    /// Appends the request that stores this event.
    fn write_request(&mut self, into: &mut Vec<u8>, event: &[u8]);

    /// How many events are acknowledged in `replies`, and how many bytes of it are complete replies.
    ///
    /// # Errors
    ///
    /// If a reply is an error.
    fn read_replies(&mut self, replies: &[u8]) -> Result<(u64, usize), Failure>;
}

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) struct PeerLoad {
    /// The server's port on loopback.
    pub(crate) port: u16,
    /// Connections.
    pub(crate) connections: u64,
    /// Events of one connection that may wait for their reply.
    pub(crate) outstanding: u64,
    /// The time between two events of one connection; `None`: as fast as possible.
    pub(crate) interval: Option<Duration>,
    /// How long.
    pub(crate) lasts: Duration,
    /// The length of texts.
    pub(crate) text_bytes: usize,
}

/// What a connection counted.
#[derive(Default)]
struct Counts {
    acknowledged: u64,
    latencies: LatencyHistogram,
    last: Option<Instant>,
}

impl PeerLoad {
    /// The same at that many events a second of all connections.
    pub(crate) fn at_rate(self, rate: Option<u64>) -> Self {
        let nanos = |rate| self.connections * 1_000_000_000 / rate;
        let interval = rate.map(|rate| Duration::from_nanos(nanos(rate).max(1)));
        Self { interval, ..self }
    }

    /// Runs it over these connections, each with its protocol; gives the figures as JSON.
    pub(crate) async fn run<P: Protocol>(
        &self,
        connections: Vec<(TcpStream, P)>,
    ) -> Result<serde_json::Value, Failure> {
        let began = monotonic_now();
        let running: Vec<_> = (1..)
            .zip(connections)
            .map(|(number, (stream, protocol))| {
                let connection = Connection {
                    load: self.clone(),
                    stream,
                    protocol,
                    number,
                    sent: 0,
                    counts: Counts::default(),
                    outstanding: VecDeque::new(),
                };
                tasks::spawn("peer load", connection.run(began))
            })
            .collect();
        let mut all = Counts::default();
        for connection in running {
            let counts = connection.await??;
            all.acknowledged += counts.acknowledged;
            all.latencies.merge(&counts.latencies);
            all.last = all.last.max(counts.last);
        }
        let elapsed = all.last.unwrap_or_else(monotonic_now).duration_since(began).as_secs_f64();
        let micros = |part| all.latencies.percentile(part).map(|it| it.as_secs_f64() * 1e6);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let rate = all.acknowledged as f64 / elapsed;
        Ok(serde_json::json!({
            "events_per_second": rate,
            "elapsed_s": elapsed,
            "acknowledged": all.acknowledged,
            "ack_p50_us": micros(0.5),
            "ack_p90_us": micros(0.9),
            "ack_p99_us": micros(0.99),
            "ack_p999_us": micros(0.999),
            "ack_max_us": all.latencies.max().as_secs_f64() * 1e6,
        }))
    }

    /// A connection to the server.
    pub(crate) async fn connect(&self) -> Result<TcpStream, Failure> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// One connection under load.
struct Connection<P> {
    load: PeerLoad,
    stream: TcpStream,
    protocol: P,
    number: u64,
    sent: u64,
    counts: Counts,
    /// How many events were sent when.
    outstanding: VecDeque<(u64, Instant)>,
}

impl<P: Protocol> Connection<P> {
    async fn run(mut self, began: Instant) -> Result<Counts, Failure> {
        let until = began + self.load.lasts;
        let mut writer = EventWriter::new(self.number, self.load.text_bytes);
        let mut requests = Vec::new();
        let (mut buffer, mut filled) = (vec![0; READ_BYTES], 0);
        loop {
            let now = monotonic_now();
            if now < until {
                self.write_requests(&mut requests, &mut writer, began, now);
                self.stream.write_all(&requests).await?;
            } else if self.outstanding.is_empty() {
                return Ok(self.counts);
            }
            let wake = match self.load.interval {
                Some(interval) if now < until => {
                    began + self.due_at(interval, self.sent).max(Duration::from_micros(1))
                }
                Some(_) | None => until.max(now) + DRAIN_TIMEOUT,
            };
            let is_waiting = !self.outstanding.is_empty();
            tokio::select! {
                read = self.stream.read(&mut buffer[filled..]), if is_waiting => {
                    let read = read?;
                    if read == 0 {
                        return Err("the server closed the connection".into());
                    }
                    filled += read;
                    let (count, consumed) = self.protocol.read_replies(&buffer[..filled])?;
                    buffer.copy_within(consumed..filled, 0);
                    filled -= consumed;
                    self.acknowledge(count);
                }
                () = tokio::time::sleep_until(wake) => {
                    if now >= until + DRAIN_TIMEOUT {
                        return Err("events were not acknowledged within a minute".into());
                    }
                }
            }
        }
    }

    fn due_at(&self, interval: Duration, index: u64) -> Duration {
        let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        let offset = nanos * (self.number % self.load.connections) / self.load.connections;
        Duration::from_nanos(nanos * index + offset)
    }

    fn write_requests(
        &mut self,
        requests: &mut Vec<u8>,
        writer: &mut EventWriter,
        began: Instant,
        now: Instant,
    ) {
        requests.clear();
        let time = Duration::from_micros(u64::try_from(wall_now().as_micros()).unwrap_or(0));
        let mut room = self.load.outstanding - (self.sent - self.counts.acknowledged);
        let was_full = room == 0;
        let before = self.sent;
        while room > 0 {
            if let Some(interval) = self.load.interval {
                let due = began + self.due_at(interval, self.sent);
                if due > now {
                    break;
                }
                // Late by more than a tick of the timer: it waited for room, and that counts.
                let is_late = now.duration_since(due) > 2 * interval.max(Duration::from_millis(2));
                self.outstanding.push_back((1, if is_late { due } else { now }));
            }
            self.sent += 1;
            room -= 1;
            let stamp = EventStamp { sequence: self.sent, time };
            self.protocol.write_request(requests, writer.event(LoadKind::Log, stamp));
        }
        if self.load.interval.is_none() && !was_full && self.sent > before {
            self.outstanding.push_back((self.sent - before, now));
        }
    }

    fn acknowledge(&mut self, mut count: u64) {
        let now = monotonic_now();
        self.counts.acknowledged += count;
        if count > 0 {
            self.counts.last = Some(now);
        }
        while let Some((sent, at)) = self.outstanding.front_mut().filter(|_| count > 0) {
            let answered = count.min(*sent);
            self.counts.latencies.record(now.duration_since(*at), answered);
            *sent -= answered;
            count -= answered;
            if *sent == 0 {
                self.outstanding.pop_front();
            }
        }
    }
}
