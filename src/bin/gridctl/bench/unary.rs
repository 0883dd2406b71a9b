//! Sends events by calls of `Report`, one call an event, of many appliances in turn.
//!
//! Guarantees that no more calls than planned are in progress. Also registers appliances before a load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Request, Status};

use grid_broker::client::{APPLIANCE_METADATA, BrokerChannel};
use grid_broker::clock::{monotonic_now, wall_now};
use grid_broker::contract::proto::event_service_client::EventServiceClient;
use grid_broker::contract::proto::{Event, Outcome, ReportRequest};
use grid_broker::tasks;
use prost::Message as _;

use super::payload::{EventStamp, EventWriter};
use super::plan::LoadPlan;
use super::session::LoadCounts;

/// Calls in progress while appliances are registered, on each connection.
const REGISTERING: usize = 64;

/// Sends one event each of appliances `first` to `last`, so that the broker knows them.
pub(crate) async fn register(
    channels: &[BrokerChannel],
    plan: &Arc<LoadPlan>,
    (first, last): (u64, u64),
) -> Result<(), Status> {
    let next = Arc::new(AtomicU64::new(first));
    let mut callers = Vec::new();
    for channel in channels.iter().flat_map(|channel| std::iter::repeat_n(channel, REGISTERING)) {
        let (channel, plan, next) = (channel.clone(), Arc::clone(plan), Arc::clone(&next));
        callers.push(tasks::spawn("register appliances", async move {
            let mut client = EventServiceClient::new(channel);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number > last {
                    return Ok::<(), Status>(());
                }
                report(
                    &mut client,
                    &plan,
                    &mut EventWriter::new(number, plan.text_bytes),
                    (number, 1),
                )
                .await?;
            }
        }));
    }
    for caller in callers {
        joined(caller.await)??;
    }
    Ok(())
}

/// Calls until `stop` is true: caller `caller` of all, for appliances in turn.
pub(crate) async fn call_until_stopped(
    channel: BrokerChannel,
    plan: Arc<LoadPlan>,
    (caller, appliances): (u64, Arc<(AtomicU64, u64)>),
    mut stop: watch::Receiver<bool>,
) -> LoadCounts {
    let mut client = EventServiceClient::new(channel);
    let mut writer = EventWriter::new(caller, plan.text_bytes);
    let mut counts = LoadCounts { exceptions: BTreeMap::new(), ..LoadCounts::default() };
    let began = monotonic_now();
    while !*stop.borrow() {
        let due = began + plan.due_at(caller, counts.sent);
        if plan.interval.is_some() && wait_until(due, &mut stop).await.is_err() {
            break;
        }
        if plan.claim(1) == 0 {
            break;
        }
        let sent_at = if plan.interval.is_some() { due } else { monotonic_now() };
        counts.sent += 1;
        let (turn, of) = &*appliances;
        let number = 1 + turn.fetch_add(1, Ordering::Relaxed) % of;
        match report(&mut client, &plan, &mut writer, (number, counts.sent)).await {
            Ok(outcome) => {
                let now = monotonic_now();
                counts.latencies.record(now.duration_since(sent_at), 1);
                counts.acknowledged += 1;
                counts.last_ack = Some(now);
                if outcome != Outcome::Kept {
                    *counts.exceptions.entry(outcome.into()).or_default() += 1;
                }
            }
            Err(status) => {
                counts.failure = Some(status);
                counts.failures = 1;
                break;
            }
        }
    }
    counts
}

/// The load was stopped.
struct Stopped;

async fn wait_until(at: Instant, stop: &mut watch::Receiver<bool>) -> Result<(), Stopped> {
    tokio::select! {
        () = tokio::time::sleep_until(at) => Ok(()),
        _ = stop.changed() => Err(Stopped),
    }
}

async fn report(
    client: &mut EventServiceClient<BrokerChannel>,
    plan: &LoadPlan,
    writer: &mut EventWriter,
    (appliance, sequence): (u64, u64),
) -> Result<Outcome, Status> {
    let time = Duration::from_micros(u64::try_from(wall_now().as_micros()).unwrap_or(0));
    let encoded = writer.event(plan.mix.kind(sequence), EventStamp { sequence, time });
    let decoded = Event::decode(encoded).map_err(|error| Status::internal(error.to_string()))?;
    // Numbers of a caller are of no spool of the appliance.
    let event = Some(Event { sequence: 0, ..decoded });
    let mut request = Request::new(ReportRequest { event, spool_id: 0 });
    let name = plan.name(appliance).parse();
    let name = name.map_err(|_| Status::internal("the name is no metadata"))?;
    request.metadata_mut().insert(APPLIANCE_METADATA, name);
    client.report(request).await.map(|reply| reply.into_inner().outcome())
}

/// The result of a task.
///
/// # Errors
///
/// If it panicked.
pub(super) fn joined<T>(ended: Result<T, tokio::task::JoinError>) -> Result<T, Status> {
    ended.map_err(|error| Status::internal(format!("a task of the load test ended: {error}")))
}
