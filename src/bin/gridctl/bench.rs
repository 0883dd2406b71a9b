//! `gridctl bench`: loads a broker with events, measures it, and checks what it stored.
//!
//! Guarantees that a broker is loaded only if its settings allow it, and that a run in which another number
//! of events is stored than was acknowledged as stored ends with an error. Does not know how fast a broker
//! should be.

mod figures;
mod latency;
#[cfg(test)]
mod latency_tests;
mod load;
mod load_body;
mod payload;
mod plan;
mod session;
#[cfg(test)]
mod tests;
mod unary;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use grid_broker::client::{BrokerChannel, ClientError};
use grid_broker::clock::monotonic_now;
use grid_broker::contract::proto::{
    ExportRecordsRequest, GetStatusResponse, Outcome, Record, RecordFilter, RecordKind,
};
use grid_broker::exit_code::ExitCode;
use grid_broker::show::escape::escape;

use self::figures::{BenchFigures, StoredCheck};
use self::load::{FinishedLoad, Senders};
use self::payload::LoadKind;
use self::plan::LoadPlan;
use self::unary::register;
use crate::access::BrokerAccess;
use crate::args::BenchArgs;
use crate::connection::Connection;
use crate::error::CliError;
use crate::output::OutputOptions;
use crate::status::get_status;

pub(crate) use self::plan::LoadMix;

/// What the names of appliances of load tests begin with.
const NAME_PREFIX: &str = "bench:main.a";

/// Connections by default, unless there are fewer sessions.
const CONNECTIONS: u64 = 64;

/// Calls and sessions on one connection; the broker lets more wait.
const STREAMS_PER_CONNECTION: u64 = 200;

/// The archive rests when it has not grown for so long: the last records may wait in the commit log for more.
const ARCHIVE_REST: Duration = Duration::from_millis(500);

/// How often it is asked whether it has.
const STATUS_INTERVAL: Duration = Duration::from_millis(50);

/// The trust of a broker whose callers need no credential.
const TRUSTS_EVERYBODY: &str = "everyone on loopback";

/// Why a load test is refused or failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The broker is not marked for load tests.
    #[error(
        "gridd at {} is not marked for load tests, so nothing was sent: a load test fills its grid log with \
         events of invented appliances, for good. Start another gridd with a data folder of its own and \
         `benchmark = true` in its settings (or GRIDD_BENCHMARK=true), and name it with --broker",
        escape(address)
    )]
    NotMarked {
        /// Its address.
        address: String,
    },
    /// The broker demands credentials of appliances.
    #[error(
        "gridd at {} trusts {}, so nothing was sent: appliances of a load test have no credentials. Let its \
         listeners be on loopback, with `authentication = \"off\"`",
        escape(address),
        escape(trust)
    )]
    NeedsCredentials {
        /// Its address.
        address: String,
        /// What it trusts.
        trust: String,
    },
    /// There are more streams than connections allow.
    #[error(
        "{streams} sessions or calls do not fit into {connections} connections, {STREAMS_PER_CONNECTION} to \
         each: use --connections {}",
        streams.div_ceil(STREAMS_PER_CONNECTION)
    )]
    TooFewConnections {
        /// Sessions or calls.
        streams: u64,
        /// Connections.
        connections: u64,
    },
    /// Another number of events is stored than was acknowledged as stored.
    #[error(
        "{stored} events are stored, but {acknowledged} were acknowledged as stored: if nothing else sent \
         events to gridd at the same time, this is a bug; keep its data folder and report it"
    )]
    StoredDiffers {
        /// Stored.
        stored: u64,
        /// Acknowledged as stored.
        acknowledged: u64,
    },
    /// Senders ended early.
    #[error("{failures} of the senders ended early; the first: {reason}")]
    SendersFailed {
        /// How many.
        failures: u64,
        /// The reason of the first.
        reason: ClientError,
    },
}

impl BenchError {
    /// The matching exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::NotMarked { .. } | Self::NeedsCredentials { .. } => ExitCode::Refused,
            Self::TooFewConnections { .. } => ExitCode::Usage,
            Self::StoredDiffers { .. } | Self::SendersFailed { .. } => ExitCode::Failed,
        }
    }
}

/// Runs a load test.
pub(crate) async fn run(
    access: &BrokerAccess,
    args: &BenchArgs,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let broker = Connection::connect(access).await?;
    let at_start = get_status(&broker).await?;
    refuse_unmarked(&broker.address, &at_start)?;
    let channels = connect(access, args).await?;
    let plan = Arc::new(plan_of(args));
    let appliances = args.appliances.unwrap_or(args.sessions);
    let opening_began = monotonic_now();
    let senders = if args.unary {
        register(&channels, &plan_without_limit(args), (1, appliances)).await?;
        Senders::Calls(channels, args.sessions * args.outstanding, appliances)
    } else {
        let sessions = load::open_sessions(&channels, args.sessions, &plan).await?;
        Senders::Sessions(sessions)
    };
    let opening = opening_began.elapsed();
    let opened = get_status(&broker).await?;
    if !args.unary && appliances > args.sessions {
        let channels = connect(access, args).await?;
        register(&channels, &plan_without_limit(args), (args.sessions + 1, appliances)).await?;
    }
    let before = archived(&broker).await?;
    look.note(&format!("sending events to {}", broker.address));
    let interrupted = async {
        // Without a handler of the signal, the load runs for its time.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let mut load = load::run(senders, &plan, args.duration, interrupted).await?;
    let after = get_status(&broker).await?;
    let archived = archived(&broker).await?;
    load.close().await;
    let stored =
        count_stored(&broker, args, (&before, &archived), load.counts.has_counted()).await?;
    let opened = (!args.unary).then_some((opening, &at_start, &opened));
    let FinishedLoad { counts, elapsed, .. } = load;
    let figures = BenchFigures::new(&counts, elapsed, (&before, &after, &archived), stored)
        .opened(opened, args);
    figures.show(look, out)?;
    if let Some(reason) = counts.failure {
        let reason = ClientError::from_status(&broker.address, reason);
        return Err(BenchError::SendersFailed { failures: counts.failures, reason }.into());
    }
    let StoredCheck { stored, read_back, .. } = figures.stored;
    let acknowledged = figures.acknowledged_stored;
    for stored in [Some(stored), read_back].into_iter().flatten() {
        if stored != acknowledged {
            return Err(BenchError::StoredDiffers { stored, acknowledged }.into());
        }
    }
    Ok(())
}

fn refuse_unmarked(address: &str, status: &GetStatusResponse) -> Result<(), BenchError> {
    let address = address.to_owned();
    if !status.benchmark {
        return Err(BenchError::NotMarked { address });
    }
    if status.trust != TRUSTS_EVERYBODY {
        return Err(BenchError::NeedsCredentials { address, trust: status.trust.clone() });
    }
    Ok(())
}

fn plan_of(args: &BenchArgs) -> LoadPlan {
    let senders = if args.unary { args.sessions * args.outstanding } else { args.sessions };
    let interval = args.rate.map(|rate| {
        let nanos = u128::from(senders) * 1_000_000_000 / u128::from(rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX).max(1))
    });
    LoadPlan {
        mix: args.mix.clone(),
        text_bytes: usize::try_from(args.text_bytes).unwrap_or(usize::MAX),
        outstanding: args.outstanding,
        interval,
        senders,
        left: args.events.map(AtomicU64::new),
        prefix: NAME_PREFIX.to_owned(),
    }
}

/// Appliances that are registered before the load are no part of it.
fn plan_without_limit(args: &BenchArgs) -> Arc<LoadPlan> {
    let mix = LoadMix::default();
    Arc::new(LoadPlan { left: None, interval: None, mix, ..plan_of(args) })
}

async fn connect(access: &BrokerAccess, args: &BenchArgs) -> Result<Vec<BrokerChannel>, CliError> {
    let streams = if args.unary { args.sessions * args.outstanding } else { args.sessions };
    let fitting = streams.div_ceil(STREAMS_PER_CONNECTION);
    let connections = args.connections.unwrap_or(fitting.max(args.sessions.min(CONNECTIONS)));
    if connections < fitting {
        return Err(BenchError::TooFewConnections { streams, connections }.into());
    }
    let options = access.options()?;
    let mut channels = Vec::new();
    for _ in 0..connections {
        channels.push(options.connect().await?);
    }
    Ok(channels)
}

/// The status once all records are in the archive, or the archive does not grow any more.
async fn archived(broker: &Connection) -> Result<GetStatusResponse, CliError> {
    let mut before = get_status(broker).await?;
    let mut changed = monotonic_now();
    loop {
        if before.archived_through >= before.last_record || changed.elapsed() >= ARCHIVE_REST {
            return Ok(before);
        }
        tokio::time::sleep(STATUS_INTERVAL).await;
        let status = get_status(broker).await?;
        if status.archived_through != before.archived_through {
            changed = monotonic_now();
        }
        before = status;
    }
}

/// Counts the records of the load's kinds between two states of the broker: all new numbers, without those
/// of other kinds. Record numbers have no gaps. With `has_counted`, records are read, and those of events that
/// were acknowledged as stored are counted.
async fn count_stored(
    broker: &Connection,
    args: &BenchArgs,
    (before, after): (&GetStatusResponse, &GetStatusResponse),
    has_counted: bool,
) -> Result<StoredCheck, CliError> {
    let new = after.last_record.saturating_sub(before.last_record);
    if new == 0 {
        return Ok(StoredCheck::default());
    }
    let (first, last) = (before.last_record + 1, after.last_record);
    let (own, others): (Vec<_>, Vec<_>) = (1..i32::from(u8::MAX))
        .filter_map(|number| RecordKind::try_from(number).ok())
        .partition(|kind| is_of_load(&args.mix, *kind));
    let others = RecordFilter { kinds: numbers(&others), ..RecordFilter::default() };
    let others = count(broker, others, (first, last), |_| true).await?;
    let appliances = vec![format!("{NAME_PREFIX}*")];
    let own = RecordFilter { kinds: numbers(&own), appliances, ..RecordFilter::default() };
    // Among events that are only counted, the first of a suppression has a record, too.
    let counted = if has_counted || args.read_back {
        Some(count(broker, own, (first, last), |record| has_record(record.outcome())).await?)
    } else {
        None
    };
    let by_numbers = new.saturating_sub(others);
    let stored = counted.filter(|_| has_counted).unwrap_or(by_numbers);
    Ok(StoredCheck { records: new, stored, read_back: counted.filter(|_| args.read_back) })
}

fn numbers(kinds: &[RecordKind]) -> Vec<i32> {
    kinds.iter().map(|kind| i32::from(*kind)).collect()
}

fn is_of_load(mix: &LoadMix, kind: RecordKind) -> bool {
    match kind {
        RecordKind::Log => mix.has(LoadKind::Log),
        RecordKind::Alert => mix.has(LoadKind::Alert),
        RecordKind::Maintenance => mix.has(LoadKind::Maintenance),
        RecordKind::Unspecified
        | RecordKind::StartedOk
        | RecordKind::StartFailed
        | RecordKind::Session
        | RecordKind::Deadline
        | RecordKind::Administrator
        | RecordKind::Broker
        | RecordKind::Suppression
        | RecordKind::Tally
        | RecordKind::Mail
        | RecordKind::Security
        | RecordKind::CrashDump => false,
    }
}

async fn count(
    broker: &Connection,
    filter: RecordFilter,
    (first, last): (u64, u64),
    is_counted: impl Fn(&Record) -> bool,
) -> Result<u64, CliError> {
    let cursor = String::new();
    let request = ExportRecordsRequest { filter: Some(filter), first, last, cursor };
    let request = broker.streaming(request);
    let mut batches = broker.grid_log().export_records(request).await?.into_inner();
    let mut found = 0;
    while let Some(batch) = batches.message().await? {
        found += batch.records.iter().filter(|record| is_counted(record)).count() as u64;
    }
    Ok(found)
}

/// The outcomes of events that have a record of their own.
fn has_record(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Kept | Outcome::Refused | Outcome::History => true,
        Outcome::Unspecified
        | Outcome::Repeated
        | Outcome::Suppressed
        | Outcome::Invalid
        | Outcome::Duplicate
        | Outcome::NotKept
        | Outcome::Unsupported
        | Outcome::Folded => false,
    }
}
