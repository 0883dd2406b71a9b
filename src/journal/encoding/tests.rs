//! What is written reads back equal; what is unknown is refused in plain words.

use std::num::NonZeroU64;
use std::time::Duration;

use prost::Message;
use uuid::Uuid;

use super::kept_tests::admission;
use super::*;
use crate::grid::effect::{Alert, Boot, Effect, Matter, Memory};
use crate::grid::event::{
    Counter, Event, EventKind, LostEvents, LostReason, PlainKind, Progress, Severity, Text,
};
use crate::grid::in_force::{SettingIs, SettingsInForce};
use crate::grid::lifecycle::{Failed, Failure, LastWord, Lifecycle, Maintenance, Refusal};
use crate::grid::name::{ApplianceName, ApplianceNumber, BootId, SpoolId};
use crate::grid::record::{
    BrokerStarted, Heard, Hello, Input, LastRun, Order, Reset, SessionId, Stall,
};
use crate::grid::settings::Overrides;
use crate::grid::shift::Shift;
use crate::grid::storage::{Storage, TrimReason, Trimmed};
use crate::grid::time::Offset;
use crate::grid::timer::Timer;
use crate::grid::wall_clock::WallClock;
use crate::grid::window::Window;
use crate::grid::word::Word;

pub(super) const ROW: ApplianceNumber = ApplianceNumber(7);

pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::EPOCH.after(Duration::from_secs(seconds))
}

fn name() -> ApplianceName {
    ApplianceName::new("shop:main.db1").expect("a name")
}

pub(super) fn boot() -> BootId {
    BootId(Uuid::from_u128(0x5eed))
}

pub(super) fn spool() -> Option<SpoolId> {
    NonZeroU64::new(u64::MAX).map(SpoolId)
}

pub(super) fn record(input: Input, effects: Vec<Effect>) -> Record {
    let marks = Marks::from_bits(0b1011);
    Record { number: 12, at: at(99), input, outcome: Outcome::Kept, marks, effects }
}

pub(super) fn reads_back(record: &Record) {
    let read = decode_record(&encode_record(record)).expect("is understood");
    assert_eq!(&read, record);
}

fn trimmed(reason: TrimReason) -> Input {
    Input::Storage(Storage::Trimmed(Trimmed { first: 1, last: 20_000, bytes: 256 << 20, reason }))
}

fn heard(kind: EventKind) -> Heard {
    Heard {
        appliance: ROW,
        boot: Some(boot()),
        spool: spool(),
        sequence: NonZeroU64::new(3),
        session: Some(SessionId(0)),
        event: Event {
            kind,
            text: Text::with_mark("Gr\u{f6}\u{df}e\u{1b}[31m", true),
            severity: Severity::Fatal,
            event_time: Some(Timestamp::MIN),
            uptime: Some(Duration::from_micros(1)),
            spooled_at: Some(Timestamp::MAX),
            repeated: true,
            lost_before: lost(),
            alert_key: Some("raid:md0".into()),
        },
    }
}

fn lost() -> Vec<LostEvents> {
    let reasons = LostReason::ALL.into_iter().map(Some).chain([None]);
    let kinds = PlainKind::ALL.into_iter().map(Some);
    let times = [at(1), at(2), at(3), at(4)].into_iter().map(Some).chain([None]);
    let (mut count, mut lost) = (16, Vec::new());
    for ((kind, reason), first_at) in kinds.zip(reasons).zip(times) {
        count += 1;
        lost.push(LostEvents { kind, count, first_at, last_at: None, reason });
    }
    lost.push(LostEvents { kind: None, count, first_at: None, last_at: Some(at(2)), reason: None });
    lost
}

#[test]
fn every_kind_of_event_reads_back() {
    for kind in [
        EventKind::StartedOk,
        EventKind::StartFailed,
        EventKind::Maintenance { progress: None, next_report_within: None },
        EventKind::Maintenance {
            progress: Progress::new(34),
            next_report_within: Some(Duration::from_millis(1_500)),
        },
        EventKind::Log,
        EventKind::Alert { counter: None },
        EventKind::Alert { counter: Counter::new("n", -0.5) },
    ] {
        reads_back(&record(Input::Event(heard(kind)), Vec::new()));
    }
    let bare =
        Heard { boot: None, spool: None, sequence: None, session: None, ..heard(EventKind::Log) };
    reads_back(&record(Input::Event(bare), Vec::new()));
}

#[test]
fn every_outcome_reads_back() {
    for outcome in [
        Outcome::Kept,
        Outcome::History,
        Outcome::Stale,
        Outcome::Suppressed,
        Outcome::Repeated,
        Outcome::NotKept,
        Outcome::Refused(Refusal::Stopped),
        Outcome::Refused(Refusal::AlreadyRunning),
        Outcome::Refused(Refusal::FailedForGood),
        Outcome::Refused(Refusal::Dumping),
        Outcome::Refused(Refusal::Removed),
    ] {
        let input = Input::Event(heard(EventKind::StartedOk));
        reads_back(&Record { outcome, ..record(input, Vec::new()) });
    }
}

#[test]
fn settings_read_back() {
    let setting = |value: Option<&str>| SettingIs {
        key: "retention.age".into(),
        value: value.map(Into::into),
        origin: "gridd.toml:3".into(),
        before: (value.is_none()).then(|| "90d".into()),
    };
    let whole = SettingsInForce {
        at_start: true,
        settings: vec![setting(Some("30d")), setting(None)],
        waiting: vec![setting(Some(""))],
        warnings: vec!["infinite".into()],
        left_out: 7,
    };
    for settings in [whole, SettingsInForce::default()] {
        reads_back(&record(Input::Settings(settings), Vec::new()));
    }
}

#[test]
fn every_other_input_reads_back() {
    let own = Overrides {
        managed: Some(false),
        boot_timeout: Some(Duration::from_secs(90)),
        maintenance_silence: Some(Duration::from_secs(5)),
    };
    let orders = [
        Order::Add { name: name(), uuid: Uuid::max(), class: None, overrides: own.clone() },
        Order::Set {
            name: name(),
            class: Some("database".into()),
            overrides: Overrides::default(),
            reset: Reset { managed: true, boot_timeout: false, maintenance_silence: true },
        },
        Order::Remove { name: name() },
        Order::StartBoot { name: name() },
        Order::Stop { name: name() },
        Order::CrashDump { name: name() },
        Order::Unsuppress { name: name() },
    ];
    for order in orders {
        reads_back(&record(Input::Order { by: "root".into(), order }, Vec::new()));
    }
    let hello = Hello {
        appliance: ROW,
        boot: boot(),
        uptime: Some(Duration::from_secs(40)),
        spool: spool(),
        session: SessionId(5),
        acked_through: 70,
        is_transient: true,
    };
    let shift = Shift { by: Offset::from_micros(-10_800_000_000), from: Timestamp::MIN };
    let started = BrokerStarted {
        term: 3,
        version: "0.1.0".into(),
        away: Some(Duration::from_secs(180)),
        shift: Some(shift),
        clock_back: Some(Duration::from_secs(10_800)),
        last_run: LastRun::CutShort,
        recovery: vec!["a span was set aside".into()],
        missing: vec![3..=4, 9..=u64::MAX],
        rebuilt_from: Some(65),
    };
    for input in [
        Input::Hello(hello),
        Input::SessionEnded { appliance: ROW, boot: boot() },
        Input::Appeared { name: name(), uuid: Uuid::max() },
        Input::Deadline { appliance: ROW, timer: Timer::Start },
        Input::Deadline { appliance: ROW, timer: Timer::Contact },
        Input::Deadline { appliance: ROW, timer: Timer::NameConflict },
        Input::Deadline { appliance: ROW, timer: Timer::Suppression },
        Input::Deadline { appliance: ROW, timer: Timer::Repeats },
        Input::Deadline { appliance: ROW, timer: Timer::Reminder },
        Input::Deadline { appliance: ROW, timer: Timer::Flapping },
        Input::BrokerStarted(started),
        Input::BrokerStopped,
        Input::BrokerStalled { lasted: Duration::from_millis(2_500), cause: Stall::LateTurn },
        Input::BrokerStalled { lasted: Duration::from_secs(9), cause: Stall::ClockWentAhead },
        Input::BrokerStalled { lasted: Duration::from_secs(9), cause: Stall::DiskWasLow },
        Input::ClockSetBack { by: Duration::from_secs(10_800) },
        Input::WallClock(WallClock::Differs { by: shift.by }),
        Input::WallClock(WallClock::Agrees),
        Input::WallClock(WallClock::Followed { shift, is_sure: true }),
        Input::WallClock(WallClock::Trusted),
        Input::WallClock(WallClock::Slept { lasted: Duration::from_secs(7) }),
        Input::Tally,
        Input::RunOver { appliance: ROW, key: Uuid::max() },
    ] {
        reads_back(&record(input, Vec::new()));
    }
}

#[test]
fn what_happens_to_the_journal_reads_back() {
    for input in [
        trimmed(TrimReason::Age(Duration::from_secs(7_776_000))),
        trimmed(TrimReason::Bytes(10 << 30)),
        Input::Storage(Storage::Missing { ranges: vec![1..=2, 4..=4] }),
        Input::Storage(Storage::Low { free: 1, mark: 2 }),
        Input::Storage(Storage::Enough { free: 3 }),
        Input::Storage(Storage::Short { what: "no file".into() }),
        Input::Storage(Storage::NotShort),
    ] {
        reads_back(&record(input, Vec::new()));
    }
}

#[test]
fn every_effect_reads_back() {
    let number = ROW;
    let mut effects = vec![
        Effect::Appliance {
            number,
            name: name(),
            uuid: Uuid::max(),
            class: "default".into(),
            overrides: Overrides::default(),
        },
        Effect::Removed { number },
        Effect::FailedStarts { number, at: vec![at(1), at(2), at(3)] },
        Effect::DeadlinesMoved { by: Duration::from_secs(180), not_before: Timestamp::MIN },
        Effect::Tombstone { number, name: name() },
        Effect::Memory {
            number,
            memory: Memory {
                past_boots: vec![boot(), BootId(Uuid::max())],
                windows: vec![Window {
                    boot: boot(),
                    spool: spool().expect("a spool"),
                    highest: 700,
                    seen: u128::MAX - (1 << 70),
                }],
                last_heard_at: Some(at(5)),
                last_record: 11,
                admission: admission(),
            },
        },
    ];
    effects.extend(boots().map(|boot| Effect::Boot { number, boot }));
    for matter in [
        Matter::StartFailed,
        Matter::Stuck,
        Matter::NoContact,
        Matter::TwoMachines,
        Matter::Flapping,
        Matter::RecordsMissing,
        Matter::DiskLow,
        Matter::ClockDiffers,
        Matter::MailFails,
        Matter::ResourcesShort,
    ] {
        let alert = Alert { severity: Severity::Error, since: at(6), text: "text".into() };
        effects.push(Effect::AlertRaised { number: Some(number), matter, alert });
        effects.push(Effect::AlertCleared { number: None, matter });
    }
    effects.extend(lifecycles().into_iter().map(|lifecycle| Effect::Lifecycle {
        number,
        lifecycle,
        since: at(8),
    }));
    let (by, from) = (Offset::from_micros(-7), at(9));
    effects.push(Effect::TimeShifted(Shift { by, from }));
    effects.push(Effect::Lived { lived: Duration::from_secs(7) });
    reads_back(&record(Input::BrokerStopped, effects));
}

fn boots() -> [Boot; 2] {
    let (uptime, numbered) = (Some(Duration::from_micros(1)), spool().zip(NonZeroU64::new(3)));
    let newest_word = Some(Word { uptime, numbered, time: Timestamp::MIN });
    let (id, began_at, not_before) = (Some(boot()), at(4), at(3));
    let (has_agent, is_assumed) = (true, false);
    let spoken = Boot { id, began_at, not_before, has_agent, is_assumed, newest_word };
    let announced = Boot {
        id: None,
        not_before: at(4),
        has_agent: false,
        is_assumed: true,
        newest_word: None,
        ..spoken
    };
    [spoken, announced]
}

fn lifecycles() -> Vec<Lifecycle> {
    let limit = Duration::from_secs(300);
    let failures = [
        Failure::Reported,
        Failure::BootTimeout { limit },
        Failure::Hung { promise: limit },
        Failure::NoProgress { still_for: limit },
        Failure::DumpTimeout,
    ];
    let word = LastWord { text: "checking".into(), progress: Progress::new(34), at: at(7) };
    let mut lifecycles = vec![
        Lifecycle::Idle,
        Lifecycle::Starting { deadline: None },
        Lifecycle::Starting { deadline: Some(at(300)) },
        Lifecycle::Running,
        Lifecycle::Dumping { deadline: at(900) },
        Lifecycle::Maintenance(Box::new(Maintenance {
            progress: Progress::new(30),
            best: Progress::new(40),
            text: "checking".into(),
            reported_at: at(1),
            promise: at(2),
            moved_at: at(3),
            stuck_at: None,
            boot_deadline: Some(at(4)),
        })),
    ];
    for (failure, last_word) in failures.into_iter().zip([None, Some(word)].into_iter().cycle()) {
        let reason = "Missing DNS server address".into();
        lifecycles.push(Lifecycle::Failed(Box::new(Failed { failure, reason, last_word })));
    }
    lifecycles
}

#[test]
fn an_unknown_effect_or_input_is_refused_as_newer() {
    let mut newer = to_proto::record(&record(Input::BrokerStopped, Vec::new()));
    newer.effects.push(proto::Effect { change: None });
    let refused = decode_record(&newer.encode_to_vec());
    assert_eq!(refused, Err(DecodeError::Newer { what: "an effect" }));
    newer.effects.clear();
    newer.input = None;
    let refused = decode_record(&newer.encode_to_vec()).expect_err("is not understood");
    assert_eq!(
        refused.to_string(),
        "an input is unknown: written by a newer gridd, which must be used to read it"
    );
}

#[test]
fn a_value_that_no_gridd_writes_is_refused() {
    let number = 1;
    let appliance = proto::ApplianceIs { number, name: "a b".into(), ..Default::default() };
    let change = Some(proto::effect::Change::Appliance(appliance));
    let mut written = to_proto::record(&record(Input::BrokerStopped, Vec::new()));
    written.effects.push(proto::Effect { change });
    let refused = decode_record(&written.encode_to_vec());
    assert_eq!(refused, Err(DecodeError::Impossible { what: "an appliance's name" }));
    assert!(matches!(decode_record(&[0xff; 9]), Err(DecodeError::Malformed(_))));
}
