//! State is the fold of the records, from wherever the fold begins and whatever the settings say.
//!
//! Random lives of a few appliances are decided by the core, appended to a journal of small files,
//! and saved as checkpoints on the way; `GRID_FOLDS` lives.

use std::num::NonZeroU64;
use std::path::Path;
use std::time::Duration;

use prost::Message;
use uuid::Uuid;

use super::answers_compared::whole;
use super::workload::open;
use crate::support::{Random, count, say, scratch, seed, wait_for};
use grid_broker::codec;
use grid_broker::contract::decode;
use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::{
    Alert, Counter, Event, Log, Maintenance, StartFailed, StartedOk,
};
use grid_broker::grid::Grid;
use grid_broker::grid::decide::Decision;
use grid_broker::grid::log::command::{AdminCommand, DumpOrder, OverrideReset};
use grid_broker::grid::log::input::{
    BrokerPause, BrokerStarted, Input, LastRun, ReceivedEvent, SessionHello,
};
use grid_broker::grid::log::time_shift::TimeShift;
use grid_broker::grid::model::settings::{ClassSettings, GridSettings, OnStuck, Overrides};
use grid_broker::grid::occurrence::Occurrence;
use grid_broker::grid::state::State;
use grid_broker::grid::values::id::{ApplianceIndex, ApplianceName, BootId, SessionId, SpoolId};
use grid_broker::grid::values::time::{Offset, Timestamp};
use grid_broker::journal::{CheckpointStart, EncodedRecord, OpenJournal, RecordHeader};

const NAMES: u64 = 6;
const INPUTS: usize = 6_000;
/// States kept aside to begin a fold with.
const SAVED_EVERY: u64 = 700;

/// A grid that lives, and what it leaves.
struct Life {
    grid: Grid,
    now: Timestamp,
    random: Random,
    records: Vec<EncodedRecord>,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let grid = Grid::new(State::default(), rules(&mut random), now);
        let mut life = Self { grid, now, random, records: Vec::new() };
        life.starts(1, None);
        life
    }

    fn starts(&mut self, term: u64, away: Option<Duration>) {
        let recovery = vec!["records 7 to 9 are missing".into()];
        let version = "0.1.0".into();
        let missing = away.map(|_| 7..=9).into_iter().collect();
        let (clock_back, last_run) = (None, LastRun::Stopped);
        let shift = away.map(|away| TimeShift::pause(Offset::ahead_by(away)));
        let rebuilt_from = None;
        let started = BrokerStarted {
            term,
            version,
            downtime: away,
            shift,
            clock_back,
            last_run,
            recovery,
            missing_records: missing,
            rebuilt_from,
        };
        self.take(Input::BrokerStarted(started));
    }

    fn take(&mut self, occurrence: impl Into<Occurrence>) {
        let decision = self.grid.handle(occurrence, self.now);
        self.keep(&[decision]);
    }

    fn keep(&mut self, decisions: &[Decision]) {
        let mut records: Vec<_> = decisions.iter().flat_map(Decision::records).cloned().collect();
        // What is only counted is tallied at once, so that the state is always the fold.
        records.extend(std::iter::from_fn(|| self.grid.next_tally(self.now)));
        for record in records {
            let bytes = codec::encode_record(&record).into();
            let mark = RecordHeader { at_us: record.at.as_micros(), ..RecordHeader::default() };
            self.records.push(EncodedRecord { number: record.number, header: mark, bytes });
        }
    }

    /// One input of any kind, some time later.
    fn live(&mut self) {
        let seconds = if self.random.once_in(30) { 2_000 } else { 20 };
        self.now = self.now.after(Duration::from_millis(self.random.below(seconds * 1_000)));
        for appliance in self.grid.due(self.now) {
            let decisions = self.grid.handle_timeout(appliance, self.now);
            self.keep(&decisions);
        }
        match self.random.below(100) {
            0..=14 => self.order(),
            15..=24 => {
                if let Some((appliance, boot)) = self.someone() {
                    let spool = self.spool();
                    let session = SessionId(self.random.below(50));
                    let (uptime, acked_through, is_transient) = (None, 0, false);
                    let hello = SessionHello {
                        appliance,
                        boot,
                        uptime,
                        spool,
                        acked_through,
                        is_transient,
                        session,
                    };
                    self.take(Occurrence::SessionOpened(hello));
                }
            }
            25..=30 => {
                if let Some((appliance, boot)) = self.someone() {
                    let session = SessionId(self.random.below(50));
                    self.take(Occurrence::SessionClosed { appliance, boot, session });
                }
            }
            31 => {
                let lasted = Duration::from_secs(1 + self.random.below(600));
                self.take(Input::BrokerPaused { lasted, cause: BrokerPause::ProcessPaused });
            }
            32 => self.restarts(),
            _ => self.says(),
        }
    }

    /// The broker stops, is away, and starts under other settings from the state it had.
    fn restarts(&mut self) {
        self.take(Input::BrokerStopped);
        let away = Duration::from_secs(self.random.below(4_000));
        self.now = self.now.after(away);
        let state = self.grid.state().clone();
        self.grid = Grid::new(state, rules(&mut self.random), self.now);
        self.starts(2, Some(away));
    }

    fn someone(&mut self) -> Option<(ApplianceIndex, BootId)> {
        let name = name(self.random.below(NAMES));
        if self.grid.state().find(&name).is_none() && self.random.once_in(3) {
            let uuid = Uuid::from_u128(u128::from(self.random.next()));
            self.take(Input::Registered { name: name.clone(), uuid });
        }
        let boot = BootId(Uuid::from_u128(1 + u128::from(self.random.below(4))));
        self.grid.state().find(&name).map(|number| (number, boot))
    }

    fn spool(&mut self) -> Option<SpoolId> {
        NonZeroU64::new(self.random.below(3)).map(SpoolId)
    }

    fn says(&mut self) {
        let Some((appliance, boot)) = self.someone() else { return };
        let progress = u32::try_from(1 + self.random.below(100)).expect("it is small");
        let kind = match self.random.below(6) {
            0 => Kind::StartedOk(StartedOk {}),
            1 => Kind::StartFailed(StartFailed {}),
            2 | 3 => Kind::Maintenance(Maintenance { progress: Some(progress) }),
            4 => {
                let counter = Counter { name: "c".to_owned(), value: f64::from(progress) };
                Kind::Alert(Alert { counter: Some(counter) })
            }
            _ => Kind::Log(Log {}),
        };
        let event = Event { kind: Some(kind), text: "text".to_owned(), ..Event::default() };
        let checked = decode::event(&event.encode_to_vec().into()).expect("an event");
        let spool = self.spool();
        let sequence = spool.and_then(|_| NonZeroU64::new(1 + self.random.below(400)));
        let session = self.random.once_in(2).then_some(SessionId(1));
        let event = checked.event;
        let boot = Some(boot);
        let received = ReceivedEvent { appliance, boot, spool, sequence, session, event };
        self.take(Input::Event(received.into()));
    }

    fn order(&mut self) {
        let name = name(self.random.below(NAMES));
        let class = self.random.once_in(2).then(|| "other".into());
        let overrides = Overrides {
            boot_timeout: self.random.once_in(2).then(|| Duration::from_secs(30)),
            ..Overrides::default()
        };
        let uuid = Uuid::from_u128(u128::from(self.random.next()));
        let order = match self.random.below(8) {
            0 => AdminCommand::Add { name, uuid, class, overrides },
            1 | 2 => AdminCommand::Set { name, class, overrides, reset: OverrideReset::default() },
            3 => AdminCommand::Remove { name },
            4 | 5 => AdminCommand::StartBoot { name },
            6 => AdminCommand::Stop { name },
            _ => {
                let request = Uuid::from_u128(u128::from(self.random.next()));
                AdminCommand::CrashDump {
                    name,
                    order: DumpOrder { request, ..DumpOrder::default() },
                }
            }
        };
        self.take(Input::Command { by: "tester".into(), command: order });
    }
}

fn name(number: u64) -> ApplianceName {
    ApplianceName::new(&format!("vm-{number}")).expect("a name")
}

/// Rules like nobody else's.
fn rules(random: &mut Random) -> GridSettings {
    let mut seconds = |bound: u64| Duration::from_secs(1 + random.below(bound));
    let mut class = ClassSettings {
        boot_timeout: Some(seconds(600)),
        report_deadline: seconds(120),
        report_interval_max: seconds(120),
        stuck_after: seconds(900),
        lost_contact: seconds(240),
        dump_timeout: seconds(900),
        ..ClassSettings::default()
    };
    class.managed = !random.once_in(5);
    class.ignore_reboots = random.once_in(3);
    class.on_stuck = if random.once_in(2) { OnStuck::Fail } else { OnStuck::Warn };
    let other = ClassSettings { managed: !class.managed, ..class.clone() };
    GridSettings::new([("default".to_owned(), class), ("other".to_owned(), other)])
}

/// Lives, and leaves a journal in `dir`; gives states on the way, and the last.
fn lived(dir: &Path, seed: u64) -> Vec<State> {
    let OpenJournal { mut journal, reader, .. } = open(dir).expect("it opens");
    let mut life = Life::new(seed);
    let mut saved = Vec::new();
    let mut checkpointed = 0;
    for _ in 0..INPUTS {
        life.live();
        if life.records.len() > 40 {
            journal.append(&life.records).expect("the journal takes it");
            life.records.clear();
            let state = life.grid.state();
            if state.last() >= checkpointed + SAVED_EVERY {
                let begun = journal.checkpoint(state.last(), codec::encode_state(state));
                if begun == CheckpointStart::Started {
                    saved.push(state.clone());
                    checkpointed = state.last();
                }
            }
            wait_for("the archive comes near", || {
                (reader.archived_through() + 500 >= reader.durable()).then_some(())
            });
        }
    }
    journal.append(&life.records).expect("the journal takes it");
    journal.close().expect("it closes");
    saved.push(life.grid.state().clone());
    saved
}

fn folded(dir: &Path) -> (OpenJournal, Option<State>) {
    let opened = open(dir).expect("it opens");
    let saved = opened.checkpoint.as_ref();
    let saved = saved.map(|(_, bytes)| codec::decode_state(bytes).expect("a state"));
    (opened, saved)
}

#[test]
fn state_is_the_fold_from_every_checkpoint_with_spans_gone_and_other_settings() {
    let mut random = Random::new(seed("folds"));
    let (mut records, mut checkpoints, mut gone) = (0, 0, 0);
    let lives = count("GRID_FOLDS", 3);
    for _ in 0..lives {
        let dir = scratch();
        let saved = lived(dir.path(), random.next());
        let last = saved.last().expect("the last").clone();
        let (opened, newest) = folded(dir.path());
        assert!(whole(&opened, State::default()) == last, "from nothing");
        for state in &saved {
            let again = codec::decode_state(&codec::encode_state(state)).expect("a state");
            assert!(again == *state, "a state reads back equal");
            assert!(whole(&opened, again) == last, "from the checkpoint of {}", state.last());
        }
        let newest = newest.expect("a checkpoint was written");
        assert!(whole(&opened, newest) == last, "from the checkpoint as found");
        opened.journal.close().expect("it closes");
        (records, checkpoints) = (records + last.last(), checkpoints + saved.len() - 1);
        gone += remove_sealed_spans(dir.path());
        let (opened, newest) = folded(dir.path());
        let newest = newest.expect("the checkpoint is still there");
        assert!(whole(&opened, newest) == last, "with older spans gone");
    }
    assert!(gone > 0, "no span was sealed before a checkpoint");
    say(&format!(
        "folds: {lives} lives, {records} records, {checkpoints} checkpoints, {gone} spans gone"
    ));
}

/// Removes the sealed spans; the commit log still has all behind the older checkpoint.
fn remove_sealed_spans(dir: &Path) -> usize {
    let mut gone = 0;
    for entry in std::fs::read_dir(dir.join("archive")).expect("the archive") {
        let seal = entry.expect("an entry").path();
        if seal.extension().is_some_and(|it| it == "sealed") {
            std::fs::remove_file(&seal).expect("a seal");
            std::fs::remove_dir_all(seal.with_extension("")).expect("a span");
            gone += 1;
        }
    }
    gone
}
