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
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};
use uuid::Uuid;

use super::backlog::Deadlines;
use super::beginning::{Alive, Beginning, Found, Known};
use super::lost_time::Wall;
use super::mailing::{Deliver, to_courier};
use super::queue::{CHANGES_WAITING, ITEMS_WAITING, Item, KIB_WAITING};
use super::signs::Signs;
use super::upkeep::{StartRecords, Upkeep};
use super::{Broker, Commit, Loop, Names};
use crate::clock::{Clock, monotonic_now, up, wall_now};
use crate::grid::Grid;
use crate::grid::driver::Driver;
use crate::grid::in_force::SettingsInForce;
use crate::grid::name::{ApplianceNumber, RecordNumber};
use crate::grid::record::{BrokerStarted, Input, LastRun};
use crate::grid::settings::Settings;
use crate::grid::state::State;
use crate::grid::storage::Storage;
use crate::grid::time::Timestamp;
use crate::journal::{
    self, Budget, Identity, Journal, JournalError, Opened, Reader, Recovered, Wanted, encoding,
};
use crate::metrics::Metrics;
use crate::system_error::Explained;
use crate::tasks;

/// Records read at once during replay.
const FOLD_PAGE: Budget = Budget { records: 8_192, bytes: 8 << 20 };

/// How often the file `alive` is written.
const ALIVE_EVERY: Duration = Duration::from_secs(5);

/// Why the broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal does not open.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A record cannot be decoded.
    #[error("record {number} of the journal in {} can't be used: {source}", dir.display())]
    Record {
        /// Its number.
        number: RecordNumber,
        /// The data folder.
        dir: PathBuf,
        /// The cause.
        source: encoding::DecodeError,
    },
    /// The checkpoint cannot be decoded.
    #[error("the checkpoint in {} can't be used: {source}", dir.display())]
    Checkpoint {
        /// The data folder.
        dir: PathBuf,
        /// The cause.
        source: encoding::DecodeError,
    },
    /// The system provides no thread.
    #[error("can't start the broker's thread: {}", Explained(.0))]
    Thread(#[source] std::io::Error),
}

/// A running broker.
#[derive(Debug)]
pub struct Started {
    /// The handle.
    pub broker: Broker,
    /// Reads the grid log.
    pub reader: Reader,
    /// Ids of journal and broker.
    pub identity: Identity,
    /// The start count.
    pub term: u64,
    /// When it started.
    pub at: Timestamp,
    /// Metrics of the loop, shared with all that have a clone.
    pub metrics: Metrics,
    /// Jobs for the mail sender.
    pub mails: mpsc::Receiver<Deliver>,
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
/// [`StartError`] tells what prevents the start.
pub fn start(
    journal: &journal::Settings,
    settings: Settings,
    in_force: SettingsInForce,
    runtime: Handle,
) -> Result<Started, StartError> {
    let checkpoint_records = journal.checkpoint_records;
    let disk_mark = journal.low_water;
    let opened = Journal::open(journal)?;
    let alive = journal.dir.join("alive");
    let (state, trimmed) = fold(&opened, &journal.dir)?;
    let Opened { journal, reader, recovered, .. } = opened;
    // The previous run may have ended between the record of a trim and the trim itself.
    journal.trim(trimmed);
    let (start, clock, wall) = begin(&alive, &state);
    let note =
        Note { clock: clock.clone(), trusted_us: wall.trusted_us(), machine_boot: machine_boot() };
    let Beginning { now, away, shift, clock_back, .. } = start;
    let last_run = last_run(&reader, &state)?;
    let names = names_of(&state);
    let (queue, items) = mpsc::channel(ITEMS_WAITING);
    let signs = Arc::new(Signs::default());
    signs.stops.store(true, Ordering::Release);
    let (changes, _) = broadcast::channel(CHANGES_WAITING);
    let (identity, term) = (journal.identity(), journal.term());
    let checkpointed = state.last();
    let room = Arc::new(Semaphore::new(KIB_WAITING as usize));
    let metrics = Metrics::default();
    let (courier, mails) = to_courier();
    let mut owner = Loop {
        driver: Driver::new(Grid::new(state, settings, now)),
        journal,
        clock: clock.clone(),
        wall,
        names: names.clone(),
        changes: changes.clone(),
        commit: Commit::default(),
        checkpoint_records,
        checkpointed,
        checkpointed_at: monotonic_now(),
        last_turn: now,
        upkeep: Upkeep::new(disk_mark, Arc::clone(&signs)),
        courier,
        deadlines: Deadlines::default(),
        room: Arc::clone(&room),
        metrics: metrics.clone(),
    };
    let version = env!("CARGO_PKG_VERSION").into();
    let recovery = sentences(&recovered);
    let mut missing = recovered.missing;
    // The replay may have found a damaged segment.
    missing.extend(owner.journal.take_lost());
    missing.sort_by_key(|range| *range.start());
    tell(&recovery, &missing);
    let rebuilt_from = recovered.rebuilt.iter().min().copied();
    let started = BrokerStarted {
        term,
        version,
        away,
        shift,
        clock_back,
        last_run,
        recovery,
        missing,
        rebuilt_from,
    };
    let records =
        StartRecords([Input::BrokerStarted(started), Input::Settings(in_force.bounded())]);
    let waiting = owner.begin_if_there_is_room(records)?;
    // From here on the loop waits for room on a full disk.
    signs.stops.store(false, Ordering::Release);

    let ended = run(owner, waiting, items, runtime, (alive, note))?;
    let broker = Broker { queue, room, clock, names, changes, signs };
    Ok(Started { mails, broker, reader, identity, term, at: now, metrics, ended })
}

/// Determines broker time and starts the clock.
fn begin(alive: &Path, state: &State) -> (Beginning, Clock, Wall) {
    let (note, machine_boot) = (read_note(alive), machine_boot());
    let start = Found {
        last: (state.last() > 0).then(|| (state.last_at(), state.lived())),
        alive: note.as_ref(),
        wall: wall_now(),
        up: up(),
        machine_boot: &machine_boot,
    }
    .beginning();
    let clock = Clock::start(start.now, start.lived);
    // After a step back all earlier times count as of the clock as it is followed now.
    let is_back = start.shift.is_some_and(|shift| shift.from == Timestamp::MIN);
    let era = if is_back { Timestamp::MIN } else { start.now };
    (start, clock, Wall::new(start.trusted, era))
}

/// Starts the loop in its own thread, and the task that keeps the note beside the journal.
fn run(
    owner: Loop,
    waiting: Option<StartRecords>,
    items: mpsc::Receiver<Item>,
    runtime: Handle,
    (alive, note): (PathBuf, Note),
) -> Result<oneshot::Receiver<Result<(), JournalError>>, StartError> {
    let (tell_end, ended) = oneshot::channel();
    let loop_runtime = runtime.clone();
    tasks::spawn_thread("broker", move || {
        drop(tell_end.send(owner.run_from_start(waiting, items, &loop_runtime)));
    })
    .map_err(StartError::Thread)?;
    let _in_runtime = runtime.enter();
    drop(tasks::spawn("alive", touch_alive(alive, note)));
    Ok(ended)
}

/// The names of all appliances.
fn names_of(state: &State) -> Names {
    let names = Names::default();
    for number in (1..state.next_row().0).map(ApplianceNumber) {
        if let Some(name) = state.name(number) {
            names.set(number, name);
        }
    }
    names
}

/// Replays the journal; returns the state, and the last number trimmed since the checkpoint.
fn fold(opened: &Opened, dir: &Path) -> Result<(State, RecordNumber), StartError> {
    let mut state = match &opened.checkpoint {
        None => State::default(),
        Some((_, bytes)) => encoding::decode_state(bytes)
            .map_err(|source| StartError::Checkpoint { dir: dir.to_owned(), source })?,
    };
    let mut trimmed = 0;
    let mut from = Some(state.last() + 1);
    while let Some(number) = from {
        let page = opened.reader.forward(number, &Wanted::default(), FOLD_PAGE)?;
        for encoded in &page.records {
            let record = encoding::decode_record(&encoded.bytes).map_err(|source| {
                StartError::Record { number: encoded.number, dir: dir.to_owned(), source }
            })?;
            state.apply(&record);
            if let Input::Storage(Storage::Trimmed(it)) = &record.input {
                trimmed = it.last;
            }
        }
        from = page.next;
    }
    state.resume_behind(opened.last_number);
    Ok((state, trimmed))
}

fn tell(recovery: &[Box<str>], missing: &[RangeInclusive<RecordNumber>]) {
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
fn sentences(recovered: &Recovered) -> Vec<Box<str>> {
    let mut sentences = Vec::new();
    for cut in &recovered.cuts {
        sentences.push(format!(
            "{} bytes of an unfinished commit were cut off at byte {} of {}",
            cut.bytes,
            cut.offset,
            cut.path.display()
        ));
    }
    for span in &recovered.spans_set_aside {
        sentences.push(format!("an unreadable span was set aside as {}", span.display()));
    }
    for failed in &recovered.failed_checkpoints {
        sentences.push(format!("a checkpoint did not load: {failed:?}"));
    }
    sentences.into_iter().map(Into::into).collect()
}

/// Whether the previous run's last record is that it stopped.
fn last_run(reader: &Reader, state: &State) -> Result<LastRun, StartError> {
    if state.last() == 0 {
        return Ok(LastRun::Unknown);
    }
    let one = Budget { records: 1, ..FOLD_PAGE };
    let page = reader.forward(state.last(), &Wanted::default(), one)?;
    // A missing or unreadable record is reported elsewhere.
    let last = page.records.first().and_then(|it| encoding::decode_record(&it.bytes).ok());
    Ok(match last.map(|record| record.input) {
        Some(Input::BrokerStopped) => LastRun::Stopped,
        Some(_) => LastRun::CutShort,
        None => LastRun::Unknown,
    })
}

/// When the broker last ran: by the content of the note, else by the file's modification time.
fn read_note(alive: &Path) -> Option<Alive> {
    let text = std::fs::read_to_string(alive).ok()?;
    Alive::read(&text).or_else(|| {
        let changed = std::fs::metadata(alive).ok()?.modified().ok()?;
        let since_epoch = changed.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(Alive { at: Timestamp::EPOCH.after(since_epoch), known: None })
    })
}

/// The boot id of the machine; a random one where the system has none.
fn machine_boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let id = id.trim();
    if id.is_empty() { Uuid::new_v4().to_string() } else { id.to_owned() }
}

/// The sources of the note beside the journal.
struct Note {
    clock: Clock,
    trusted_us: Arc<AtomicI64>,
    machine_boot: String,
}

impl Note {
    fn now(&self) -> Alive {
        let trusted = Timestamp::from_micros(self.trusted_us.load(Ordering::Relaxed));
        let known = Known {
            lived: self.clock.lived(),
            trusted: trusted.after(self.clock.elapsed()),
            up: up(),
            machine_boot: self.machine_boot.clone(),
        };
        Alive { at: self.clock.now(), known: Some(known) }
    }
}

/// Keeps the time at which the broker last ran. Not synced: after a power cut it may be older, and the
/// downtime is overestimated by seconds, in the appliances' favour.
async fn touch_alive(alive: PathBuf, note: Note) {
    let mut ticks = tokio::time::interval(ALIVE_EVERY);
    loop {
        ticks.tick().await;
        let (path, now) = (alive.clone(), note.now().written());
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
