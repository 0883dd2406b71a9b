//! How many events a second does a gridd acknowledge? One program, or several in turn, compared with
//! the first.
//!
//! ```text
//! cargo bench --bench events_per_second -- target/release/gridd [OTHER-GRIDD...]
//! ```
//!
//! Each round starts each program on an empty data folder, lets sessions say log events without
//! budgets for a few seconds, each with as many under way as the broker advises, and counts what was
//! acknowledged. Rounds of the programs alternate, so that a machine that is busy for a while harms
//! all alike; the median of the rounds is told. Asserts nothing: figures of a shared machine move.

#![expect(clippy::print_stdout, reason = "a bench tells its figures")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use grid_broker::client::{APPLIANCE_METADATA, connect};
use grid_broker::clock::monotonic_now;
use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::event_service_client::EventServiceClient;
use grid_broker::contract::proto::session_request::Message;
use grid_broker::contract::proto::session_response::Message as Heard;
use grid_broker::contract::proto::{Event, Hello, Log, SessionRequest};
use grid_broker::tasks;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How often each program is tried.
const ROUNDS: usize = 9;

/// How long one try lasts.
const LASTS: Duration = Duration::from_secs(3);

/// Appliances that speak at the same time.
const SESSIONS: u64 = 8;

/// Events of one session that may wait for their answer.
const WINDOW: u64 = 1_024;

const CONFIG: &str = "tracing = \"warn\"\n[class.default]\nbudget = \"unlimited\"\n";

fn main() -> Result<(), Failure> {
    let programs: Vec<_> = std::env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    let [first, ..] = &programs[..] else {
        println!("usage: cargo bench --bench events_per_second -- GRIDD [OTHER-GRIDD...]");
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut rates = vec![Vec::new(); programs.len()];
    for round in 1..=ROUNDS {
        for (program, rates) in programs.iter().zip(&mut rates) {
            let rate = runtime.block_on(events_per_second(program))?;
            println!("round {round}  {rate:>9.0} events/s  {program}");
            rates.push(rate);
        }
    }
    let medians: Vec<_> = rates.into_iter().map(median).collect();
    for (program, median) in programs.iter().zip(&medians) {
        let ratio = median / medians[0];
        println!("median   {median:>9.0} events/s  {program}, {ratio:.3} of {first}");
    }
    Ok(())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Ends its process when it goes.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn events_per_second(program: &str) -> Result<f64, Failure> {
    let folder = tempfile::tempdir()?;
    let ready = folder.path().join("ready.json");
    std::fs::write(folder.path().join("gridd.toml"), CONFIG)?;
    let mut command = Command::new(std::path::absolute(program)?);
    command
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.args(["--config", "gridd.toml", "--data", "data", "--ready-file", "ready.json"]);
    command.args(["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    let _running = Running(command.spawn()?);
    let address = address(&ready).await?;
    let until = monotonic_now() + LASTS;
    let speaking: Vec<_> = (1..=SESSIONS)
        .map(|speaker| tasks::spawn("speaker", speak(address.clone(), speaker, until)))
        .collect();
    let mut acknowledged = 0;
    for speaker in speaking {
        acknowledged += speaker.await??;
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(acknowledged as f64 / LASTS.as_secs_f64())
}

async fn address(ready: &Path) -> Result<String, Failure> {
    for _ in 0..500 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if let Ok(text) = std::fs::read_to_string(ready) {
            let place: serde_json::Value = serde_json::from_str(&text)?;
            return Ok(place["grpc"].as_str().unwrap_or_default().to_owned());
        }
    }
    Err("gridd does not get ready within 10 s".into())
}

/// Says events until then; gives how many were acknowledged.
async fn speak(address: String, speaker: u64, until: tokio::time::Instant) -> Result<u64, Failure> {
    let mut client = EventServiceClient::new(connect(&address).await?);
    let (say, said) = mpsc::channel(usize::try_from(WINDOW)?);
    let boot_id = uuid::Uuid::from_u128(u128::from(speaker)).to_string();
    let hello = Hello {
        protocol_revision: 1,
        tool_version: "bench".to_owned(),
        boot_id,
        uptime_ms: 1,
        spool_id: speaker,
        next_sequence: 1,
        ..Hello::default()
    };
    say.send(SessionRequest { message: Some(Message::Hello(hello)) }).await?;
    let mut request = tonic::Request::new(ReceiverStream::new(said));
    let name = format!("bench:main.app{speaker}").parse()?;
    request.metadata_mut().insert(APPLIANCE_METADATA, name);
    let mut answers = client.session(request).await?.into_inner();
    let (mut sequence, mut acknowledged) = (0, 0);
    while monotonic_now() < until {
        while sequence - acknowledged < WINDOW {
            sequence += 1;
            let kind = Some(Kind::Log(Log {}));
            let text = format!("SSL certificate {sequence} loaded OK");
            let event = Event { kind, sequence, text, ..Event::default() };
            say.send(SessionRequest { message: Some(Message::Event(event)) }).await?;
        }
        match answers.message().await?.and_then(|answer| answer.message) {
            Some(Heard::Ack(ack)) => acknowledged = ack.through,
            Some(Heard::Welcome(_) | Heard::Notice(_)) => {}
            Some(other) => return Err(format!("an ack was expected, not {other:?}").into()),
            None => return Err("the broker ended the session".into()),
        }
    }
    Ok(acknowledged)
}
