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

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use grid_broker::client::connect;
use grid_broker::clock::monotonic_now;
use grid_broker::contract::proto::Log;
use grid_broker::contract::proto::event::Kind;
use grid_broker::tasks;

use support::{Hellos, Session, Setup, event};

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

async fn events_per_second(program: &str) -> Result<f64, Failure> {
    let gridd = Setup::new(CONFIG).program(std::path::absolute(program)?).start().await;
    let until = monotonic_now() + LASTS;
    let speaking: Vec<_> = (1..=SESSIONS)
        .map(|speaker| tasks::spawn("speaker", speak(gridd.grpc.clone(), speaker, until)))
        .collect();
    let mut acknowledged = 0;
    for speaker in speaking {
        acknowledged += speaker.await??;
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(acknowledged as f64 / LASTS.as_secs_f64())
}

/// Sends events until then; gives how many were acknowledged.
async fn speak(address: String, speaker: u64, until: tokio::time::Instant) -> Result<u64, Failure> {
    let (name, hello) = (format!("bench:main.app{speaker}"), Hellos::of(speaker.into(), speaker));
    let mut session = Session::try_open(connect(&address).await?, &name, hello).await?;
    let (mut sequence, mut acknowledged) = (0, 0);
    while monotonic_now() < until {
        while sequence - acknowledged < WINDOW {
            sequence += 1;
            let text = format!("SSL certificate {sequence} loaded OK");
            session.say(&event(Kind::Log(Log {}), sequence, &text)).await;
        }
        acknowledged = session.ack().await.through;
    }
    Ok(acknowledged)
}
