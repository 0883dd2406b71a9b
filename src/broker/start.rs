//! Starts the broker: opens the journal, replays it into the state, and runs the loop.
//!
//! Guarantees that the loop starts with the state that was last durable, that the start itself is a
//! record (on a full disk as soon as there is room for it), that deadlines are extended by the
//! downtime, and that no number is assigned twice even when records are missing. Opens no listener.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};
use uuid::Uuid;

use super::backlog::PendingDeadlines;
use super::queue::{CHANGES_BUFFERED, QUEUED_KIB_MAX, QUEUED_REQUESTS_MAX, QueuedRequest};
use super::{BrokerHandle, EventLoop, NameIndex, PendingCommit};
use crate::broker::clock_adjustment::WallClockFollower;
use crate::broker::disk_guard::{DiskGuard, StartRecords};
use crate::broker::mail_dispatch::{MailJob, channel};
use crate::broker::shared_status::SharedStatus;
use crate::broker::start_time::{AliveNote, ClockReadings, NotedClocks, StartTime};
use crate::clock::{Clock, machine_uptime, monotonic_now, wall_now};
use crate::grid::Grid;
use crate::grid::driver::Driver;
use crate::grid::log::applied_settings::AppliedSettings;
use crate::grid::log::input::{BrokerStarted, Input, LastRun};
use crate::grid::log::journal_incident::JournalIncident;
use crate::grid::model::settings::GridSettings;
use crate::grid::state::State;
use crate::grid::values::id::{ApplianceIndex, RecordNumber};
use crate::grid::values::time::Timestamp;
use crate::identity::credentials::Credentials;
use crate::journal::{
    HeaderFilter, Identity, Journal, JournalError, JournalReader, OpenJournal, PageLimit, Recovered,
};
use crate::metrics::Metrics;
use crate::system_error::Explained;
use crate::tasks;
use crate::{codec, journal};

/// Records read at once during replay.
const REPLAY_PAGE: PageLimit = PageLimit { records: 8_192, bytes: 8 << 20 };

/// How often the file `alive` is written.
const ALIVE_NOTE_INTERVAL: Duration = Duration::from_secs(5);

/// Why the broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerStartError {
    /// The journal does not open.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A record cannot be decoded.
    #[error("record {number} of the journal in {} cannot be used: {source}", dir.display())]
    Record {
        /// Its number.
        number: RecordNumber,
        /// The data folder.
        dir: PathBuf,
        /// The cause.
        source: codec::DecodeError,
    },
    /// The checkpoint cannot be decoded.
    #[error("the checkpoint in {} cannot be used: {source}", dir.display())]
    Checkpoint {
        /// The data folder.
        dir: PathBuf,
        /// The cause.
        source: codec::DecodeError,
    },
    /// The system provides no thread.
    #[error("cannot start the broker's thread: {}", Explained(.0))]
    Thread(#[source] std::io::Error),
}

/// A running broker.
#[derive(Debug)]
pub struct Started {
    /// The handle.
    pub broker: BrokerHandle,
    /// Reads the grid log.
    pub reader: JournalReader,
    /// Ids of journal and broker.
    pub identity: Identity,
    /// The start count.
    pub term: u64,
    /// When it started.
    pub at: Timestamp,
    /// Metrics of the loop, shared with all that have a clone.
    pub metrics: Metrics,
    /// Jobs for the mail sender.
    pub mail_jobs: mpsc::Receiver<MailJob>,
    /// The credentials, as the loop makes them durable.
    pub credentials: Credentials,
    /// Changes when the broker has decided that a crash dump is due.
    pub due_dumps: watch::Receiver<u64>,
    /// How the loop ended; a closed channel means that it panicked.
    pub ended: oneshot::Receiver<Result<(), JournalError>>,
}

/// Opens the journal, replays it and starts the loop.
///
/// Blocks until the records of the start and of the settings in `in_force` are durable; on a full disk
/// the loop waits for room for them, and answers queries meanwhile.
///
/// # Errors
///
/// [`BrokerStartError`] tells what prevents the start.
pub fn start(
    journal: &journal::JournalSettings,
    settings: GridSettings,
    in_force: AppliedSettings,
    runtime: Handle,
) -> Result<Started, BrokerStartError> {
    let checkpoint_records = journal.checkpoint_records;
    let disk_mark = journal.low_water;
    let opened = Journal::open(journal)?;
    let alive = journal.dir.join("alive");
    let (state, trimmed) = replay(&opened, &journal.dir)?;
    let OpenJournal { journal, reader, recovered, .. } = opened;
    // The previous run may have ended between the record of a trim and the trim itself.
    journal.trim(trimmed);
    let (start, clock, wall) = start_clock(&alive, &state);
    let note = AliveNoteSource {
        clock: clock.clone(),
        trusted_us: wall.trusted_us(),
        machine_boot: machine_boot_id(),
    };
    let now = start.now;
    let last_run = how_last_run_ended(&reader, &state)?;
    let names = index_names(&state);
    let (queue, items) = mpsc::channel(QUEUED_REQUESTS_MAX);
    let status = Arc::new(SharedStatus::default());
    status.is_stopping.store(true, Ordering::Release);
    let (changes, _) = broadcast::channel(CHANGES_BUFFERED);
    let (identity, term) = (journal.identity(), journal.term());
    let checkpointed = state.last();
    let room = Arc::new(Semaphore::new(QUEUED_KIB_MAX as usize));
    let metrics = Metrics::default();
    let (sender, mails) = channel();
    let credentials = Credentials::new(state.identities().clone());
    let (due_dumps, dumps_due) = watch::channel(0);
    let mut owner = EventLoop {
        driver: Driver::new(Grid::new(state, settings, now)),
        journal,
        clock: clock.clone(),
        wall_clock: wall,
        name_index: names.clone(),
        changes: changes.clone(),
        commit: PendingCommit::default(),
        checkpoint_records,
        checkpoint_number: checkpointed,
        checkpointed_at: monotonic_now(),
        last_turn: now,
        disk_guard: DiskGuard::new(disk_mark, Arc::clone(&status)),
        mail_sender: sender,
        pending_deadlines: PendingDeadlines::default(),
        byte_permits: Arc::clone(&room),
        metrics: metrics.clone(),
        credentials: credentials.clone(),
        due_dumps,
    };
    // The replay may have found a damaged segment.
    let lost = owner.journal.take_newly_lost();
    let started = broker_started(term, &start, last_run, recovered, lost);
    let records =
        StartRecords([Input::BrokerStarted(started), Input::Settings(in_force.bounded())]);
    let waiting = owner.try_record_start(records)?;
    // From here on the loop waits for room on a full disk.
    status.is_stopping.store(false, Ordering::Release);

    let ended = spawn_loop(owner, waiting, items, runtime, (alive, note))?;
    let broker =
        BrokerHandle { queue, byte_permits: room, clock, name_index: names, changes, status };
    Ok(Started {
        mail_jobs: mails,
        broker,
        reader,
        identity,
        term,
        at: now,
        metrics,
        credentials,
        due_dumps: dumps_due,
        ended,
    })
}

/// Determines broker time and starts the clock.
fn start_clock(alive: &Path, state: &State) -> (StartTime, Clock, WallClockFollower) {
    let (note, machine_boot) = (read_alive_note(alive), machine_boot_id());
    let start = ClockReadings {
        last_record: (state.last() > 0).then(|| (state.last_at(), state.lived_time())),
        note: note.as_ref(),
        wall_now: wall_now(),
        uptime: machine_uptime(),
        machine_boot: &machine_boot,
    }
    .start_time();
    let clock = Clock::start(start.now, start.lived);
    // After a step back all earlier times count as of the clock as it is followed now.
    let is_back = start.shift.is_some_and(|shift| shift.from == Timestamp::MIN);
    let era = if is_back { Timestamp::MIN } else { start.now };
    (start, clock, WallClockFollower::new(start.trusted_now, era))
}

/// The input that records what this start found.
fn broker_started(
    term: u64,
    start: &StartTime,
    last_run: LastRun,
    recovered: Recovered,
    lost: Vec<RangeInclusive<RecordNumber>>,
) -> BrokerStarted {
    let recovery = describe_recovery(&recovered);
    let mut missing_records = recovered.missing;
    missing_records.extend(lost);
    missing_records.sort_by_key(|range| *range.start());
    log_recovery(&recovery, &missing_records);
    BrokerStarted {
        term,
        version: env!("CARGO_PKG_VERSION").into(),
        downtime: start.downtime,
        shift: start.shift,
        clock_back: start.clock_set_back_by,
        last_run,
        recovery,
        missing_records,
        rebuilt_from: recovered.rebuilt_segments.iter().min().copied(),
    }
}

/// Starts the loop in its own thread, and the task that keeps the note beside the journal.
fn spawn_loop(
    owner: EventLoop,
    waiting: Option<StartRecords>,
    items: mpsc::Receiver<QueuedRequest>,
    runtime: Handle,
    (alive, note): (PathBuf, AliveNoteSource),
) -> Result<oneshot::Receiver<Result<(), JournalError>>, BrokerStartError> {
    let (tell_end, ended) = oneshot::channel();
    let loop_runtime = runtime.clone();
    tasks::spawn_thread("broker", move || {
        drop(tell_end.send(owner.run_after_start(waiting, items, &loop_runtime)));
    })
    .map_err(BrokerStartError::Thread)?;
    let _in_runtime = runtime.enter();
    drop(tasks::spawn("alive", keep_alive_note(alive, note)));
    Ok(ended)
}

/// The names of all appliances.
fn index_names(state: &State) -> NameIndex {
    let names = NameIndex::default();
    for number in (1..state.next_number().0).map(ApplianceIndex) {
        if let Some(name) = state.name(number) {
            names.set(number, name);
        }
    }
    names
}

/// Replays the journal; returns the state, and the last number trimmed since the checkpoint.
fn replay(opened: &OpenJournal, dir: &Path) -> Result<(State, RecordNumber), BrokerStartError> {
    let mut state = match &opened.checkpoint {
        None => State::default(),
        Some((_, bytes)) => codec::decode_state(bytes)
            .map_err(|source| BrokerStartError::Checkpoint { dir: dir.to_owned(), source })?,
    };
    let mut trimmed = 0;
    let mut from = Some(state.last() + 1);
    while let Some(number) = from {
        let page = opened.reader.forward(number, &HeaderFilter::default(), REPLAY_PAGE)?;
        for encoded in &page.records {
            let record = codec::decode_record(&encoded.bytes).map_err(|source| {
                BrokerStartError::Record { number: encoded.number, dir: dir.to_owned(), source }
            })?;
            state.replay(&record);
            if let Input::Journal(JournalIncident::Trimmed(it)) = &record.input {
                trimmed = it.last;
            }
        }
        from = page.next;
    }
    state.skip_to(opened.last_number);
    Ok((state, trimmed))
}

fn log_recovery(recovery: &[Box<str>], missing: &[RangeInclusive<RecordNumber>]) {
    for sentence in recovery {
        tracing::warn!("{sentence}");
    }
    for range in missing {
        tracing::error!(
            first_record = range.start(),
            last_record = range.end(),
            "records are missing"
        );
    }
}

/// The findings of recovery, a sentence each.
fn describe_recovery(recovered: &Recovered) -> Vec<Box<str>> {
    let mut sentences = Vec::new();
    for cut in &recovered.truncated_tails {
        sentences.push(format!(
            "{} bytes of an unfinished commit were truncated at byte {} of {}",
            cut.bytes,
            cut.offset,
            cut.path.display()
        ));
    }
    for segment in &recovered.damaged_segments {
        sentences.push(format!("an unreadable segment was set aside as {}", segment.display()));
    }
    for failed in &recovered.failed_checkpoints {
        sentences.push(format!("a checkpoint did not load: {failed:?}"));
    }
    sentences.into_iter().map(Into::into).collect()
}

/// Whether the previous run's last record is that it stopped.
fn how_last_run_ended(reader: &JournalReader, state: &State) -> Result<LastRun, BrokerStartError> {
    if state.last() == 0 {
        return Ok(LastRun::Unknown);
    }
    let one = PageLimit { records: 1, ..REPLAY_PAGE };
    let page = reader.forward(state.last(), &HeaderFilter::default(), one)?;
    // A missing or unreadable record is reported elsewhere.
    let last = page.records.first().and_then(|it| codec::decode_record(&it.bytes).ok());
    Ok(match last.map(|record| record.input) {
        Some(Input::BrokerStopped) => LastRun::Stopped,
        Some(_) => LastRun::Interrupted,
        None => LastRun::Unknown,
    })
}

/// When the broker last ran: by the content of the note, else by the file's modification time.
fn read_alive_note(alive: &Path) -> Option<AliveNote> {
    let text = std::fs::read_to_string(alive).ok()?;
    AliveNote::parse(&text).or_else(|| {
        let changed = std::fs::metadata(alive).ok()?.modified().ok()?;
        let since_epoch = changed.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(AliveNote { at: Timestamp::EPOCH.after(since_epoch), clocks: None })
    })
}

/// The boot id of the machine; a random one where the system has none.
fn machine_boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let id = id.trim();
    if id.is_empty() { Uuid::new_v4().to_string() } else { id.to_owned() }
}

/// The sources of the note beside the journal.
struct AliveNoteSource {
    clock: Clock,
    trusted_us: Arc<AtomicI64>,
    machine_boot: String,
}

impl AliveNoteSource {
    fn read(&self) -> AliveNote {
        let trusted = Timestamp::from_micros(self.trusted_us.load(Ordering::Relaxed));
        let known = NotedClocks {
            lived: self.clock.lived(),
            trusted_now: trusted.after(self.clock.elapsed()),
            uptime: machine_uptime(),
            machine_boot: self.machine_boot.clone(),
        };
        AliveNote { at: self.clock.now(), clocks: Some(known) }
    }
}

/// Keeps the time at which the broker last ran. Not synced: after a power cut it may be older, and the
/// downtime is overestimated by seconds, in the appliances' favour.
async fn keep_alive_note(alive: PathBuf, note: AliveNoteSource) {
    let mut ticks = tokio::time::interval(ALIVE_NOTE_INTERVAL);
    loop {
        ticks.tick().await;
        let (path, now) = (alive.clone(), note.read().to_text());
        let touched = tasks::spawn_blocking("alive", move || {
            // Written to another file and renamed, so that a full disk does not leave an empty file.
            let temp_path = path.with_extension("tmp");
            std::fs::write(&temp_path, now)?;
            std::fs::rename(&temp_path, &path)
        });
        if let Ok(Err(error)) = touched.await {
            tracing::warn!(path = %alive.display(), %error, "cannot write the file");
        }
    }
}
