//! Measures what live tails of the grid log cost the events.
//!
//! ```text
//! cargo bench --bench live_tails -- GRIDD [OTHER-GRIDD...] [--tails=0,200] [--filters=nothing,one,all]
//!     [--rounds=3] [--seconds=3] [--rate=5000] [--watchers=200]
//! ```
//!
//! Each round starts each program on an empty data folder, opens so many tails, each on a connection of
//! its own, with a filter that matches nothing, one appliance of 64, or everything, and lets 64 sessions
//! send log events, each with 256 under way, or all together at a rate. Tells what was acknowledged, gridd's
//! CPU time per event, the latency of a probe with one event under way, and how many bytes the tails
//! got. Clients and gridd share the machine: the ratios count. Asserts nothing.

#![expect(clippy::print_stdout, reason = "a bench tells its figures")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use grid_broker::client::connect;
use grid_broker::clock::monotonic_now;
use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::{Log, RecordFilter, TailRecordsRequest, WatchAppliancesRequest};
use grid_broker::tasks;
use http::uri::PathAndQuery;
use prost::Message;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status};

use support::{Hellos, Session, Setup, event};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const SESSIONS: u64 = 64;
const WINDOW: u64 = 256;
const CONFIG: &str = "tracing = \"warn\"\n[class.default]\nbudget = \"unlimited\"\n";
const TAIL: &str = "/grid.events.v1.GridLogService/TailRecords";
const WATCH: &str = "/grid.events.v1.ApplianceService/WatchAppliances";

#[derive(Clone)]
struct Load {
    filter: String,
    tails: usize,
    watchers: usize,
    seconds: Duration,
    rate: u64,
}

#[derive(Clone, Copy)]
struct Figures {
    per_second: f64,
    cpu_us: f64,
    p50_ms: f64,
    p99_ms: f64,
    tail_mb: f64,
}

fn option(name: &str, default: &str) -> String {
    let prefix = format!("--{name}=");
    let given = std::env::args().find_map(|it| it.strip_prefix(&prefix).map(str::to_owned));
    given.unwrap_or_else(|| default.to_owned())
}

fn main() -> Result<(), Failure> {
    let programs: Vec<_> = std::env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    let rounds: usize = option("rounds", "3").parse()?;
    let seconds = Duration::from_secs(option("seconds", "3").parse()?);
    let (rate, watchers) = (option("rate", "0").parse()?, option("watchers", "0").parse()?);
    let mut loads = Vec::new();
    for tails in option("tails", "0,200").split(',') {
        let tails: usize = tails.parse()?;
        let filters =
            if tails == 0 { "nothing".to_owned() } else { option("filters", "nothing,one,all") };
        for filter in filters.split(',') {
            let filter = filter.to_owned();
            loads.push(Load { filter, tails, watchers, seconds, rate });
        }
    }
    if watchers > 0 {
        loads.insert(0, Load { watchers: 0, ..loads[0].clone() });
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut found = vec![Vec::new(); programs.len() * loads.len()];
    for round in 1..=rounds {
        for (at, load) in loads.iter().enumerate() {
            for (program, name) in programs.iter().enumerate() {
                let figures = runtime.block_on(run(name, load))?;
                tell(&format!("round {round}"), name, load, figures);
                found[at * programs.len() + program].push(figures);
            }
        }
    }
    for (at, load) in loads.iter().enumerate() {
        for (program, name) in programs.iter().enumerate() {
            let of = |field: fn(&Figures) -> f64| {
                let mut all: Vec<_> =
                    found[at * programs.len() + program].iter().map(field).collect();
                all.sort_by(f64::total_cmp);
                all[all.len() / 2]
            };
            let figures = Figures {
                per_second: of(|it| it.per_second),
                cpu_us: of(|it| it.cpu_us),
                p50_ms: of(|it| it.p50_ms),
                p99_ms: of(|it| it.p99_ms),
                tail_mb: of(|it| it.tail_mb),
            };
            tell("median", name, load, figures);
        }
    }
    Ok(())
}

fn tell(which: &str, program: &str, load: &Load, figures: Figures) {
    let Load { filter, tails, watchers, .. } = load;
    let Figures { per_second, cpu_us, p50_ms, p99_ms, tail_mb } = figures;
    let program = program.rsplit('/').next().unwrap_or(program);
    println!(
        "{which}  {program:>12} {tails:>5} tails {filter:>8} {watchers:>4} watchers \
         {per_second:>9.0} events/s {cpu_us:>7.2} us/event  p50 {p50_ms:>6.2} p99 {p99_ms:>7.2} ms \
         {tail_mb:>7.1} MB/s to tails"
    );
}

/// CPU time of a process.
fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|it| it.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
async fn run(program: &str, load: &Load) -> Result<Figures, Failure> {
    let gridd = Setup::new(CONFIG).program(std::path::absolute(program)?).start().await;
    let (received, begun) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let over = Arc::new(AtomicBool::new(false));
    // Known before, so that filters by name have them.
    for speaker in 1..=SESSIONS {
        speak(gridd.grpc.clone(), speaker, monotonic_now(), 0).await?;
    }
    let mut readers = Vec::new();
    for at in 0..load.tails + load.watchers {
        let (path, request) = if at < load.tails {
            (TAIL, tail_request(&load.filter, at))
        } else {
            (WATCH, WatchAppliancesRequest { filter: None }.encode_to_vec().into())
        };
        let (received, begun) = (Arc::clone(&received), Arc::clone(&begun));
        readers
            .push(tasks::spawn("reader", read(gridd.grpc.clone(), path, request, received, begun)));
    }
    while begun.load(Ordering::Relaxed) < readers.len() as u64 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (began, cpu) = (monotonic_now(), cpu_time(gridd.pid()));
    let until = began + load.seconds;
    let probing = tasks::spawn("probe", probe(gridd.grpc.clone(), Arc::clone(&over)));
    let rate = load.rate as f64 / SESSIONS as f64;
    let speaking: Vec<_> = (1..=SESSIONS)
        .map(|speaker| {
            let address = gridd.grpc.clone();
            if load.rate == 0 {
                tasks::spawn("speaker", speak(address, speaker, until, WINDOW))
            } else {
                tasks::spawn("speaker", speak_at_rate(address, speaker, until, rate))
            }
        })
        .collect();
    let mut acknowledged = 0;
    for speaker in speaking {
        acknowledged += speaker.await??;
    }
    let (lasted, cpu) = (began.elapsed(), cpu_time(gridd.pid()).saturating_sub(cpu));
    over.store(true, Ordering::Relaxed);
    let mut latencies = probing.await??;
    latencies.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length is an index"
    )]
    let at = |share: f64| {
        latencies.get((latencies.len() as f64 * share) as usize).copied().unwrap_or(0.0)
    };
    let figures = Figures {
        per_second: acknowledged as f64 / lasted.as_secs_f64(),
        cpu_us: cpu.as_secs_f64() * 1e6 / (acknowledged as f64).max(1.0),
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        tail_mb: received.load(Ordering::Relaxed) as f64 / lasted.as_secs_f64() / 1e6,
    };
    readers.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(figures)
}

fn tail_request(filter: &str, at: usize) -> Bytes {
    let filter = match filter {
        "nothing" => RecordFilter { kinds: vec![14], ..RecordFilter::default() },
        "one" => {
            let appliances = vec![format!("bench:main.app{}", at as u64 % SESSIONS + 1)];
            RecordFilter { appliances, ..RecordFilter::default() }
        }
        _ => RecordFilter::default(),
    };
    let request = TailRecordsRequest { filter: Some(filter), ..TailRecordsRequest::default() };
    request.encode_to_vec().into()
}

/// Reads a stream without decoding it.
async fn read(
    address: String,
    path: &'static str,
    request: Bytes,
    received: Arc<AtomicU64>,
    begun: Arc<AtomicU64>,
) -> Result<(), Failure> {
    let mut grpc = tonic::client::Grpc::new(connect(&address).await?);
    grpc.ready().await?;
    let call =
        grpc.server_streaming(Request::new(request), PathAndQuery::from_static(path), Counted);
    let mut stream = call.await?.into_inner();
    begun.fetch_add(1, Ordering::Relaxed);
    while let Some(bytes) = stream.message().await? {
        received.fetch_add(bytes, Ordering::Relaxed);
    }
    Ok(())
}

/// Sends events until then; returns how many were acknowledged.
async fn speak(
    address: String,
    speaker: u64,
    until: tokio::time::Instant,
    window: u64,
) -> Result<u64, Failure> {
    let mut session = open(&address, speaker).await?;
    let (mut sequence, mut acknowledged) = (0, 0);
    while monotonic_now() < until {
        while sequence - acknowledged < window {
            sequence += 1;
            session.say(&event(Kind::Log(Log {}), sequence, &text(speaker, sequence))).await;
        }
        acknowledged = session.ack().await.through;
    }
    Ok(acknowledged)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a pace"
)]
async fn speak_at_rate(
    address: String,
    speaker: u64,
    until: tokio::time::Instant,
    rate: f64,
) -> Result<u64, Failure> {
    let mut session = open(&address, speaker).await?;
    let began = monotonic_now();
    let (mut sequence, mut acknowledged) = (0, 0);
    tokio::time::sleep(Duration::from_secs_f64(speaker as f64 / rate / SESSIONS as f64)).await;
    while monotonic_now() < until {
        let due = (began.elapsed().as_secs_f64() * rate) as u64;
        while sequence < due {
            sequence += 1;
            session.say(&event(Kind::Log(Log {}), sequence, &text(speaker, sequence))).await;
        }
        while acknowledged < sequence {
            acknowledged = session.ack().await.through;
        }
        tokio::time::sleep(Duration::from_secs_f64(1.0 / rate)).await;
    }
    Ok(acknowledged)
}

/// Measures one event after another, in milliseconds.
async fn probe(address: String, over: Arc<AtomicBool>) -> Result<Vec<f64>, Failure> {
    let mut session = open(&address, SESSIONS + 1).await?;
    let (mut latencies, mut sequence) = (Vec::new(), 0);
    while !over.load(Ordering::Relaxed) {
        sequence += 1;
        let began = monotonic_now();
        session.say(&event(Kind::Log(Log {}), sequence, "probe")).await;
        while session.ack().await.through < sequence {}
        latencies.push(began.elapsed().as_secs_f64() * 1e3);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(latencies)
}

async fn open(address: &str, speaker: u64) -> Result<Session, Failure> {
    static SPOOLS: AtomicU64 = AtomicU64::new(1);
    let spool = SPOOLS.fetch_add(1, Ordering::Relaxed);
    let (name, hello) = (format!("bench:main.app{speaker}"), Hellos::of(speaker.into(), spool));
    Ok(Session::try_open(connect(address).await?, &name, hello).await?)
}

fn text(speaker: u64, sequence: u64) -> String {
    format!(
        "{sequence:>9} of {speaker:>3}: the certificate of the database was loaded, its chain has \
         three parts, and the next one is due in some days; nothing is to be done by anybody"
    )
}

/// Sends bytes as they are, and counts those received.
struct Counted;

impl Codec for Counted {
    type Encode = Bytes;
    type Decode = u64;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Counted {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Counted {
    type Item = u64;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<u64>, Status> {
        let bytes = from.remaining();
        from.advance(bytes);
        Ok(Some(bytes as u64))
    }
}
