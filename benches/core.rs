//! What do the parts of an event's path cost by themselves? Deciding an event in the core, encoding its record,
//! packing a block and reading it, matching the masks of blocks, and moving a deadline.
//!
//! ```text
//! cargo bench --bench core
//! cargo bench --bench core -- deadline
//! ```
//!
//! Criterion tells the time of each, and compares it with the last run on this machine. An event's decision is
//! measured among few and among many appliances: the difference is what the size of the state costs.

use std::hint::black_box;
use std::num::NonZeroU64;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use grid_broker::codec::encode_record;
use grid_broker::grid::Grid;
use grid_broker::grid::log::input::{Input, ReceivedEvent};
use grid_broker::grid::log::record::Record;
use grid_broker::grid::model::settings::{ClassSettings, GridSettings, RateLimits};
use grid_broker::grid::model::timers::Timers;
use grid_broker::grid::state::State;
use grid_broker::grid::values::event::{BoundedText, Event, EventBody, Severity};
use grid_broker::grid::values::id::{ApplianceIndex, ApplianceName, BootId, SessionId, SpoolId};
use grid_broker::grid::values::time::Timestamp;
use grid_broker::journal::HeaderFilter;
use grid_broker::journal::frame::{self, Block, BlockContent, BlockInfo, Compression};
use grid_broker::journal::record::{BlockSummary, EncodedRecord, RecordHeader, records_in_block};
use tokio_util::time::DelayQueue;
use uuid::Uuid;

/// Records of a block of the archive.
const BLOCK_RECORDS: u64 = 256;

/// Armed timers.
const TIMERS: u32 = 1_000_000;

/// When it all happens, in microseconds since 1970.
const NOW_US: i64 = 1_795_183_330_000_000;

fn now() -> Timestamp {
    Timestamp::from_micros(NOW_US)
}

/// The text of an event: 150 bytes, different for each number.
fn text(number: u64) -> String {
    let mut text =
        format!("request {number} of user {} took {} ms", number * 31 % 997, number % 89);
    while text.len() < 150 {
        text.push_str(" checkpoint complete, wrote buffers");
        text.push_str(&(number * 7 % 4_093).to_string());
    }
    text.truncate(150);
    text
}

/// A grid without rate limits that knows so many appliances.
fn grid_of(appliances: u32) -> Grid {
    let rules = ClassSettings { rate_limits: RateLimits::UNLIMITED, ..ClassSettings::default() };
    let settings = GridSettings::new([("default".to_owned(), rules)]);
    let mut grid = Grid::new(State::default(), settings, now());
    for number in 1..=appliances {
        let name = ApplianceName::new(&format!("bench:main.a{number}")).expect("a name");
        let uuid = Uuid::from_u128(number.into());
        grid.handle(Input::Registered { name, uuid }, now());
    }
    grid
}

fn log_event(appliance: u32, sequence: u64) -> Input {
    Input::Event(Box::new(ReceivedEvent {
        appliance: ApplianceIndex(appliance),
        boot: Some(BootId(Uuid::from_u128(appliance.into()))),
        spool: NonZeroU64::new(appliance.into()).map(SpoolId),
        sequence: NonZeroU64::new(sequence),
        session: Some(SessionId(appliance.into())),
        event: Event {
            body: EventBody::Log,
            text: BoundedText::new(&text(sequence)),
            severity: Severity::Info,
            event_time: Some(now()),
            uptime: Some(Duration::from_secs(60)),
            spooled_at: None,
            is_repeated: false,
            dropped_before: Vec::new(),
            group_key: None,
            is_resolved: false,
            crash_dump: None,
        },
    }))
}

fn decide_an_event(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide an event");
    group.throughput(Throughput::Elements(1));
    for appliances in [64, 250_000] {
        let mut grid = grid_of(appliances);
        let mut sequence = 0_u64;
        group.bench_function(format!("of another of {appliances} appliances"), |bencher| {
            bencher.iter_batched(
                || {
                    sequence += 1;
                    let turn = sequence.wrapping_mul(48_271) % u64::from(appliances);
                    log_event(u32::try_from(turn).unwrap_or(0) + 1, sequence)
                },
                |input| grid.handle(input, now()),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// The records of log events.
fn records() -> Vec<Record> {
    let mut grid = grid_of(64);
    let inputs = (1..=BLOCK_RECORDS).map(|number| log_event((number % 64) as u32 + 1, number));
    inputs.filter_map(|input| grid.handle(input, now()).record).collect()
}

fn encode_a_record(criterion: &mut Criterion) {
    let records = records();
    assert_eq!(records.len() as u64, BLOCK_RECORDS, "every event has a record");
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    let mut at = 0;
    group.bench_function("a record", |bencher| {
        bencher.iter(|| {
            at = (at + 1) % records.len();
            encode_record(black_box(&records[at]))
        });
    });
    group.finish();
}

fn encoded_records() -> Vec<EncodedRecord> {
    let numbered = (1..).zip(records());
    let encoded = numbered.map(|(number, record)| EncodedRecord {
        number,
        header: RecordHeader {
            at_us: NOW_US,
            severity: 2,
            kind: 4,
            appliance: u32::try_from(number % 64).unwrap_or(0) + 1,
        },
        bytes: encode_record(&record).into(),
    });
    encoded.collect()
}

fn pack_a_block(criterion: &mut Criterion) {
    let records = encoded_records();
    let mut payload = Vec::new();
    records.iter().for_each(|record| record.encode_into(&mut payload));
    let summary = BlockSummary::from_records(&records).encode();
    let info = BlockInfo {
        content: BlockContent::Records,
        journal: Uuid::from_u128(1),
        term: 1,
        first: 1,
        count: u32::try_from(records.len()).unwrap_or(0),
    };
    let mut group = criterion.benchmark_group("a block of 256 records");
    group.throughput(Throughput::Elements(BLOCK_RECORDS));
    let mut block = Vec::new();
    group.bench_function("pack", |bencher| {
        bencher.iter(|| {
            block.clear();
            frame::encode(&mut block, &info, Compression::Zstd, &summary, black_box(&payload))
        });
    });
    let bytes = bytes::Bytes::from(block);
    group.bench_function("read", |bencher| {
        bencher.iter(|| records_in_block(&Block::parse(black_box(&bytes)).expect("a block")));
    });
    group.bench_function("summarise", |bencher| {
        bencher.iter(|| BlockSummary::from_records(black_box(&records)).encode());
    });
    group.finish();
}

fn match_masks(criterion: &mut Criterion) {
    let summary = BlockSummary::from_records(&encoded_records());
    let others = HeaderFilter { kind_mask: 1 << 5, ..HeaderFilter::default() };
    let newer = HeaderFilter { since_us: NOW_US + 1, ..HeaderFilter::default() };
    let all = HeaderFilter::default();
    let mut group = criterion.benchmark_group("match the masks of a block");
    for (name, filter) in [("all", &all), ("another kind", &others), ("newer only", &newer)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(filter).may_match(black_box(&summary)));
        });
    }
    group.finish();
}

/// Row 13 of the comparison: moving a deadline among a million armed ones.
fn move_a_deadline(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("move a deadline among a million");
    group.throughput(Throughput::Elements(1));
    let mut timers = Timers::new(now());
    let due_at = |number: u32, later_ms: u64| {
        now().after(Duration::from_millis(60_000 + u64::from(number % 60_000) + later_ms))
    };
    for number in 0..TIMERS {
        timers.set(ApplianceIndex(number), Some(due_at(number, 0)));
    }
    let mut turn = 0_u32;
    group.bench_function("timers of the core", |bencher| {
        bencher.iter(|| {
            turn = turn.wrapping_add(1);
            let number = turn.wrapping_mul(48_271) % TIMERS;
            timers.set(ApplianceIndex(number), Some(due_at(number, u64::from(turn) / 1_000)));
        });
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    let _inside = runtime.enter();
    let mut queue = DelayQueue::with_capacity(TIMERS as usize);
    let later =
        |number: u32, ms: u64| Duration::from_millis(60_000 + u64::from(number % 60_000) + ms);
    let keys: Vec<_> = (0..TIMERS).map(|number| queue.insert(number, later(number, 0))).collect();
    group.bench_function("DelayQueue of tokio_util", |bencher| {
        bencher.iter(|| {
            turn = turn.wrapping_add(1);
            let number = turn.wrapping_mul(48_271) % TIMERS;
            queue.reset(&keys[number as usize], later(number, u64::from(turn) / 1_000));
        });
    });
    group.finish();
}

fn quick() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! {
    name = parts;
    config = quick();
    targets = decide_an_event, encode_a_record, pack_a_block, match_masks, move_a_deadline
}
criterion_main!(parts);
