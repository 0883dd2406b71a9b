//! Tests that tails join, leave and join again without a gap or a double.

use std::collections::BTreeMap;
use std::path::Path;

use prost::Message as _;
use tokio::runtime::Handle;
use tokio_stream::StreamExt;

use super::membership::TailLimits;
use super::*;
use crate::broker::{Started, start};
use crate::contract::proto::tail_records_response::Message;
use crate::contract::proto::{RecordFilter, RecordKind};
use crate::grid::log::applied_settings::AppliedSettings;
use crate::grid::log::command::AdminCommand;
use crate::grid::model::settings::{GridSettings, Overrides};
use crate::grid::values::id::ApplianceName;
use crate::journal::JournalSettings;
use crate::test_timeout::timeout;

/// A broker, and the stop of its services.
struct Broker {
    started: Started,
    services: Services,
    _stop: tokio::sync::watch::Sender<bool>,
}

impl Broker {
    async fn start(dir: &Path, limits: TailLimits) -> Self {
        let journal = JournalSettings {
            low_water: 0,
            commit_file_bytes: 64 << 10,
            ..JournalSettings::new(dir)
        };
        let runtime = Handle::current();
        let starting = move || {
            start(&journal, GridSettings::new([]), AppliedSettings::default(), runtime)
                .expect("starts")
        };
        let started = tasks::spawn_blocking("start", starting).await.expect("no panic");
        let (stop, stopping) = tokio::sync::watch::channel(false);
        let mut services = Services::new(&started, None, stopping);
        services.tails = Arc::new(SharedTails::with_limits(started.broker.clone(), limits));
        Self { started, services, _stop: stop }
    }

    fn durable(&self) -> u64 {
        self.services.reader.durable()
    }

    /// Makes records until `last` is one; each is durable at once.
    async fn write_through(&self, last: u64) {
        let broker = &self.started.broker;
        while self.durable() < last {
            let name = ApplianceName::new(&format!("db{}", self.durable())).expect("a name");
            let uuid = uuid::Uuid::from_u128(u128::from(self.durable()));
            let command =
                AdminCommand::Add { name, uuid, class: None, overrides: Overrides::default() };
            broker.command("me", command).await.expect("it runs").expect("is taken");
        }
    }

    fn tail(&self, filter: RecordFilter, start: TailStart) -> Client {
        let filter = RecordMatcher::new(Some(filter)).expect("a filter");
        Client { stream: open(self.services.clone(), filter, start), received: Vec::new() }
    }
}

/// A client, with what it has received.
struct Client {
    stream: EncodedMessages,
    received: Vec<TailRecordsResponse>,
}

impl Client {
    /// Reads one batch.
    async fn read(&mut self) {
        let batch = tokio::time::timeout(timeout(), self.stream.next()).await.expect("in time");
        self.take(batch.expect("goes on"));
    }

    fn take(&mut self, batch: Result<Bytes, Status>) {
        let mut bytes = batch.expect("goes on");
        while !bytes.is_empty() {
            let prefix = bytes.split_to(5);
            let length = u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize;
            let message = TailRecordsResponse::decode(bytes.split_to(length)).expect("a message");
            self.received.push(message);
        }
    }

    async fn read_through(&mut self, last: u64) {
        while self.numbers().last().is_none_or(|number| *number < last) {
            self.read().await;
        }
    }

    fn numbers(&self) -> Vec<u64> {
        let number = |it: &TailRecordsResponse| match &it.message {
            Some(Message::Record(record)) => Some(record.number),
            Some(Message::Missing(_)) | None => None,
        };
        self.received.iter().filter_map(number).collect()
    }

    fn times_behind(&self) -> usize {
        self.received.iter().filter(|it| it.behind > 0).count()
    }
}

/// Any batch is a message, and few wait.
const NARROW: TailLimits = TailLimits { queued_batches: 1, batch_bytes: 1 };

/// All kinds, so that no number is left out.
fn everything() -> RecordFilter {
    RecordFilter { kinds: (1..=14).collect(), ..RecordFilter::default() }
}

/// Until the follower has the tail, or the tail's queue is full.
async fn until_settled(broker: &Broker, client: &Client) {
    let end = broker.durable();
    let settled = async {
        loop {
            let is_full =
                client.stream.as_ref().len() == broker.services.tails.limits.queued_batches;
            if is_full || broker.services.tails.joins_from(u64::MAX - 1) == end {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(timeout(), settled).await.expect("the follower goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_reading_anywhere_gets_each_record_once() {
    const RECORDS: u64 = 16;
    let mut times_behind = 0;
    let dir = tempfile::tempdir().expect("a folder");
    let broker = Broker::start(dir.path(), NARROW).await;
    for stops_after in 0..RECORDS {
        let first = broker.durable() + 1;
        let mut client = broker.tail(everything(), TailStart::History(0));
        let mut other = broker.tail(everything(), TailStart::History(0));
        // Their cursors: what is written from now on is new to them.
        client.read().await;
        other.read().await;
        for number in first..first + RECORDS {
            broker.write_through(number).await;
            if number < first + stops_after {
                client.read_through(number).await;
            } else {
                until_settled(&broker, &client).await;
            }
            other.read_through(number).await;
        }
        client.read_through(first + RECORDS - 1).await;
        let last = broker.durable();
        broker.write_through(last + 3).await;
        client.read_through(last + 3).await;
        assert_eq!(client.numbers(), (first..=last + 3).collect::<Vec<_>>(), "{stops_after}");
        times_behind += client.times_behind();
        assert_eq!(other.numbers(), (first..=last).collect::<Vec<_>>(), "{stops_after}");
    }
    assert!(times_behind > 0, "a slow client is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_from_any_record_joins_the_live_ones() {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = Broker::start(dir.path(), NARROW).await;
    broker.write_through(40).await;
    let mut clients = Vec::new();
    for behind in 0..40 {
        let mut client = broker.tail(everything(), TailStart::After(behind));
        broker.write_through(broker.durable() + 1).await;
        client.read().await;
        clients.push((behind, client));
    }
    let last = broker.durable() + 5;
    broker.write_through(last).await;
    for (behind, client) in &mut clients {
        client.read_through(last).await;
        assert_eq!(client.numbers(), (*behind + 1..=last).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_from_a_time_starts_with_the_first_record_since_then() {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = Broker::start(dir.path(), NARROW).await;
    broker.write_through(9).await;
    let page = broker.services.reader.forward(
        7,
        &HeaderFilter::default(),
        PageLimit { records: 1, bytes: 1 << 20 },
    );
    let time = page.expect("is read").records[0].header.at_us;
    for (micros, first) in
        [(time, None), (i64::MIN / 2, Some(1)), (time + 86_400_000_000, Some(10))]
    {
        let start = TailStart::At(Timestamp::from_micros(micros));
        let mut client = broker.tail(everything(), start);
        client.read().await;
        broker.write_through(broker.durable() + 1).await;
        client.read_through(broker.durable()).await;
        let numbers = client.numbers();
        let begin =
            first.map_or(numbers[0], |first: u64| if first == 1 { 1 } else { broker.durable() });
        assert!(first.is_some() || (1..=7).contains(&begin), "{numbers:?}");
        assert_eq!(numbers, (begin..=broker.durable()).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_filters_share_a_group_and_the_last_tail_ends_the_thread() {
    let dir = tempfile::tempdir().expect("a folder");
    let limits = TailLimits { queued_batches: 8, batch_bytes: 32 << 10 };
    let broker = Broker::start(dir.path(), limits).await;
    let kinds = |kinds: &[RecordKind]| RecordFilter {
        kinds: kinds.iter().map(|kind| i32::from(*kind)).collect(),
        ..RecordFilter::default()
    };
    let (log, command) = (RecordKind::Log, RecordKind::Administrator);
    let filters = [kinds(&[log, command]), kinds(&[command, log]), kinds(&[log]), everything()];
    let matchers = filters.clone().map(|it| RecordMatcher::new(Some(it)).expect("a filter"));
    assert_eq!(matchers[0].key(), matchers[1].key());
    assert_ne!(matchers[0].key(), matchers[2].key());
    let start = broker.durable();
    let mut clients = filters.map(|filter| broker.tail(filter, TailStart::History(0)));
    for client in &mut clients {
        client.read().await;
    }
    broker.write_through(start + 6).await;
    for at in [0, 1, 3] {
        clients[at].read_through(start + 6).await;
        assert_eq!(clients[at].numbers(), (start + 1..=start + 6).collect::<Vec<_>>(), "{at}");
    }
    assert_eq!(clients[2].numbers(), [0; 0]);
    drop(clients);
    until_follower_ended(&broker).await;
}

async fn until_follower_ended(broker: &Broker) {
    let ended = async {
        while broker.services.tails.joins_from(u64::MAX - 1) != u64::MAX - 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(timeout(), ended).await.expect("the thread ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_leaves_before_it_is_admitted_is_no_member() {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = Broker::start(dir.path(), NARROW).await;
    let (services, end) = (&broker.services, broker.durable());
    let matcher = RecordMatcher::new(Some(everything())).expect("a filter");
    let filter = TailFilter::new(matcher, services.broker.name_index());
    let (queue, _unread) = tokio::sync::mpsc::channel(1);
    // Its end is known only from what the tail dropped: the queue stays open.
    let join = || services.tails.join(services, filter.clone(), end, queue.clone());
    let staying = join().expect("a thread");
    while services.tails.joins_from(u64::MAX - 1) != end {
        tokio::task::yield_now().await;
    }
    for _ in 0..50 {
        drop(join().expect("a thread"));
    }
    drop(staying);
    until_follower_ended(&broker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_at_random_get_each_record_once() {
    let seed = std::env::var("GRID_SEED").ok().and_then(|it| it.parse().ok()).unwrap_or(7_u64);
    let mut state = seed;
    let mut random = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let dir = tempfile::tempdir().expect("a folder");
    let limits = TailLimits { queued_batches: 2, batch_bytes: 400 };
    let broker = Broker::start(dir.path(), limits).await;
    let mut clients = BTreeMap::new();
    let (mut opened, mut ended, mut times_behind) = (0_u64, 0, 0);
    for _ in 0..400 {
        match random(8) {
            0 | 1 if clients.len() < 8 => {
                let behind = random(broker.durable() + 1);
                clients
                    .insert(opened, (behind, broker.tail(everything(), TailStart::After(behind))));
                opened += 1;
            }
            2 | 3 => {
                if let Some((_, client)) = clients.get_mut(&random(opened.max(1))) {
                    let last = broker.durable();
                    client.read_through_or_empty(last).await;
                }
            }
            4 => {
                if let Some((behind, mut client)) = clients.remove(&random(opened.max(1))) {
                    client.finish(&broker, behind).await;
                    (ended, times_behind) = (ended + 1, times_behind + client.times_behind());
                }
            }
            _ => broker.write_through(broker.durable() + 1 + random(6)).await,
        }
    }
    while let Some((_, (behind, mut client))) = clients.pop_first() {
        client.finish(&broker, behind).await;
        (ended, times_behind) = (ended + 1, times_behind + client.times_behind());
    }
    assert!(ended > 5 && times_behind > 0, "{ended} tails, {times_behind} times behind");
}

impl Client {
    /// Reads what there is, to some record.
    async fn read_through_or_empty(&mut self, last: u64) {
        while self.numbers().last().is_none_or(|number| *number < last) {
            let next = tokio::time::timeout(std::time::Duration::ZERO, self.stream.next()).await;
            match next {
                Ok(Some(batch)) => self.take(batch),
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Reads to the end of the log, and compares.
    async fn finish(&mut self, broker: &Broker, behind: u64) {
        broker.write_through(broker.durable() + 1).await;
        let last = broker.durable();
        self.read_through(last).await;
        assert_eq!(self.numbers(), (behind + 1..=last).collect::<Vec<_>>());
    }
}
