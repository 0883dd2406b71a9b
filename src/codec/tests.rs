//! What is written reads back equal; what is unknown is rejected with a clear message.

use std::num::NonZeroU64;
use std::time::Duration;

use uuid::Uuid;

use super::test_states::{boots, lifecycles};
use super::*;
use crate::codec::usage_tests::usage;
use crate::grid::log::applied_settings::{AppliedSetting, AppliedSettings};
use crate::grid::log::command::{AdminCommand, OverrideReset};
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::input::{
    BrokerPause, BrokerStarted, Input, LastRun, ReceivedEvent, SessionHello,
};
use crate::grid::log::journal_incident::{JournalIncident, TrimReason, Trimmed};
use crate::grid::log::time_shift::TimeShift;
use crate::grid::log::timer::Timer;
use crate::grid::log::wall_clock_change::WallClockChange;
use crate::grid::model::boot::ApplianceHistory;
use crate::grid::model::finding::{Finding, FindingKind};
use crate::grid::model::sequence_window::SequenceWindow;
use crate::grid::model::settings::Overrides;
use crate::grid::values::event::{
    BoundedText, Counter, DropReason, DroppedEvents, Event, EventBody, EventKind, Progress,
    Severity,
};
use crate::grid::values::id::{ApplianceIndex, ApplianceName, BootId, SessionId, SpoolId};
use crate::grid::values::outcome::EventRejection;
use crate::grid::values::time::Offset;

pub(super) const INDEX: ApplianceIndex = ApplianceIndex(7);

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
    let flags = RecordFlags::from_bits(0b1011);
    Record { number: 12, at: at(99), input, outcome: Outcome::Stored, flags, effects }
}

pub(super) fn reads_back(record: &Record) {
    let bytes = encode_record(record);
    let read = decode_record(&bytes).expect("is understood");
    assert_eq!(&read, record);
    let message = proto::Record::decode(&*bytes).expect("a message");
    assert_eq!(message.encode_to_vec(), bytes, "as the generated types write it");
}

fn trimmed(reason: TrimReason) -> Input {
    Input::Journal(JournalIncident::Trimmed(Trimmed {
        first: 1,
        last: 20_000,
        bytes: 256 << 20,
        reason,
    }))
}

fn received_event(kind: EventBody) -> ReceivedEvent {
    ReceivedEvent {
        appliance: INDEX,
        boot: Some(boot()),
        spool: spool(),
        sequence: NonZeroU64::new(3),
        session: Some(SessionId(0)),
        event: Event {
            body: kind,
            text: BoundedText::with_truncated("Gr\u{f6}\u{df}e\u{1b}[31m", true),
            severity: Severity::Fatal,
            event_time: Some(Timestamp::MIN),
            uptime: Some(Duration::from_micros(1)),
            spooled_at: Some(Timestamp::MAX),
            is_repeated: true,
            dropped_before: dropped_events(),
            group_key: Some("raid:md0".into()),
            is_resolved: true,
            crash_dump: Some(Box::new(super::crash_dump_tests::found())),
        },
    }
}

fn dropped_events() -> Vec<DroppedEvents> {
    let reasons = DropReason::ALL.into_iter().map(Some).chain([None]);
    let kinds = EventKind::ALL.into_iter().map(Some);
    let times = [at(1), at(2), at(3), at(4)].into_iter().map(Some).chain([None]);
    let (mut count, mut lost) = (16, Vec::new());
    for ((kind, reason), first_at) in kinds.zip(reasons).zip(times) {
        count += 1;
        lost.push(DroppedEvents { kind, count, first_at, last_at: None, reason });
    }
    lost.push(DroppedEvents {
        kind: None,
        count,
        first_at: None,
        last_at: Some(at(2)),
        reason: None,
    });
    lost
}

#[test]
fn every_kind_of_event_reads_back() {
    for kind in [
        EventBody::StartedOk,
        EventBody::StartFailed,
        EventBody::Maintenance { progress: None, next_report_within: None },
        EventBody::Maintenance {
            progress: Progress::new(34),
            next_report_within: Some(Duration::from_millis(1_500)),
        },
        EventBody::Log,
        EventBody::Alert { counter: None },
        EventBody::Alert { counter: Counter::new("n", -0.5) },
    ] {
        reads_back(&record(Input::Event(received_event(kind).into()), Vec::new()));
    }
    let bare = ReceivedEvent {
        boot: None,
        spool: None,
        sequence: None,
        session: None,
        ..received_event(EventBody::Log)
    };
    reads_back(&record(Input::Event(bare.into()), Vec::new()));
}

#[test]
fn every_outcome_reads_back() {
    for outcome in [
        Outcome::Stored,
        Outcome::OlderBoot,
        Outcome::StaleEvent,
        Outcome::Suppressed,
        Outcome::Repeated,
        Outcome::BelowThreshold,
        Outcome::Rejected(EventRejection::Stopped),
        Outcome::Rejected(EventRejection::AlreadyRunning),
        Outcome::Rejected(EventRejection::FailedPermanently),
        Outcome::Rejected(EventRejection::Dumping),
        Outcome::Rejected(EventRejection::Removed),
    ] {
        let input = Input::Event(received_event(EventBody::StartedOk).into());
        reads_back(&Record { outcome, ..record(input, Vec::new()) });
    }
}

#[test]
fn settings_read_back() {
    let setting = |value: Option<&str>| AppliedSetting {
        key: "retention.age".into(),
        value: value.map(Into::into),
        origin: "gridd.toml:3".into(),
        previous: (value.is_none()).then(|| "90d".into()),
    };
    let whole = AppliedSettings {
        is_startup: true,
        settings: vec![setting(Some("30d")), setting(None)],
        pending_restart: vec![setting(Some(""))],
        warnings: vec!["infinite".into()],
        omitted: 7,
    };
    for settings in [whole, AppliedSettings::default()] {
        reads_back(&record(Input::Settings(settings), Vec::new()));
    }
}

#[test]
fn the_timer_of_a_timeout_reads_back() {
    for timer in Timer::ALL {
        reads_back(&record(Input::Deadline { appliance: INDEX, timer }, Vec::new()));
    }
}

#[test]
fn every_other_input_reads_back() {
    let own = Overrides {
        managed: Some(false),
        boot_timeout: Some(Duration::from_secs(90)),
        report_deadline: Some(Duration::from_secs(5)),
    };
    let commands = [
        AdminCommand::Add { name: name(), uuid: Uuid::max(), class: None, overrides: own.clone() },
        AdminCommand::Set {
            name: name(),
            class: Some("database".into()),
            overrides: Overrides::default(),
            reset: OverrideReset { managed: true, boot_timeout: false, maintenance_silence: true },
        },
        AdminCommand::Remove { name: name() },
        AdminCommand::StartBoot { name: name() },
        AdminCommand::Stop { name: name() },
        AdminCommand::Unsuppress { name: name() },
    ];
    for order in commands {
        reads_back(&record(Input::Command { by: "root".into(), command: order }, Vec::new()));
    }
    let hello = SessionHello {
        appliance: INDEX,
        boot: boot(),
        uptime: Some(Duration::from_secs(40)),
        spool: spool(),
        session: SessionId(5),
        acked_through: 70,
        is_transient: true,
    };
    let shift = TimeShift { by: Offset::from_micros(-10_800_000_000), from: Timestamp::MIN };
    let started = BrokerStarted {
        term: 3,
        version: "0.1.0".into(),
        downtime: Some(Duration::from_secs(180)),
        shift: Some(shift),
        clock_back: Some(Duration::from_secs(10_800)),
        last_run: LastRun::Interrupted,
        recovery: vec!["a span was set aside".into()],
        missing_records: vec![3..=4, 9..=u64::MAX],
        rebuilt_from: Some(65),
    };
    for input in [
        Input::Hello(hello),
        Input::SessionEnded { appliance: INDEX, boot: boot() },
        Input::Registered { name: name(), uuid: Uuid::max() },
        Input::BrokerStarted(started),
        Input::BrokerStopped,
        Input::BrokerPaused {
            lasted: Duration::from_millis(2_500),
            cause: BrokerPause::ProcessPaused,
        },
        Input::BrokerPaused {
            lasted: Duration::from_secs(9),
            cause: BrokerPause::ClockJumpedAhead,
        },
        Input::BrokerPaused { lasted: Duration::from_secs(9), cause: BrokerPause::DiskLow },
        Input::ClockSetBack { by: Duration::from_secs(10_800) },
        Input::WallClock(WallClockChange::Differs { by: shift.by }),
        Input::WallClock(WallClockChange::Agrees),
        Input::WallClock(WallClockChange::Followed { shift, is_confirmed: true }),
        Input::WallClock(WallClockChange::Trusted),
        Input::WallClock(WallClockChange::Slept { lasted: Duration::from_secs(7) }),
        Input::Tally,
        Input::RepeatsEnded { appliance: INDEX, group: Uuid::max() },
    ] {
        reads_back(&record(input, Vec::new()));
    }
}

#[test]
fn what_happens_to_the_journal_reads_back() {
    for input in [
        trimmed(TrimReason::Age(Duration::from_secs(7_776_000))),
        trimmed(TrimReason::Bytes(10 << 30)),
        Input::Journal(JournalIncident::Missing { ranges: vec![1..=2, 4..=4] }),
        Input::Journal(JournalIncident::DiskLow { free: 1, threshold: 2 }),
        Input::Journal(JournalIncident::DiskRecovered { free: 3 }),
        Input::Journal(JournalIncident::ResourcesShort { message: "no file".into() }),
        Input::Journal(JournalIncident::ResourcesRecovered),
    ] {
        reads_back(&record(input, Vec::new()));
    }
}

#[test]
fn every_effect_reads_back() {
    let number = INDEX;
    let mut effects = vec![
        ApplianceEffect::Registered {
            name: name(),
            uuid: Uuid::max(),
            class: "default".into(),
            overrides: Overrides::default(),
        }
        .of(number),
        ApplianceEffect::Removed.of(number),
        ApplianceEffect::FailedStarts { at: vec![at(1), at(2), at(3)] }.of(number),
        Effect::DeadlinesMoved { by: Duration::from_secs(180), not_before: Timestamp::MIN },
        ApplianceEffect::Tombstone { name: name() }.of(number),
        ApplianceEffect::History {
            history: ApplianceHistory {
                past_boots: vec![boot(), BootId(Uuid::max())],
                windows: vec![SequenceWindow {
                    boot: boot(),
                    spool: spool().expect("a spool"),
                    highest: 700,
                    seen: (u128::MAX - (1 << 70)).into(),
                }],
                last_event_at: Some(at(5)),
                last_record: 11,
                usage: usage(),
            },
        }
        .of(number),
    ];
    effects.extend(boots().map(|boot| ApplianceEffect::Boot { boot }.of(number)));
    for kind in [
        FindingKind::StartFailed,
        FindingKind::Stuck,
        FindingKind::NoContact,
        FindingKind::NameConflict,
        FindingKind::Flapping,
        FindingKind::RecordsMissing,
        FindingKind::DiskLow,
        FindingKind::ClockDiffers,
        FindingKind::MailFails,
        FindingKind::ResourcesShort,
        FindingKind::CertificateEnding,
        FindingKind::TokenReused,
        FindingKind::ServerCertificate,
    ] {
        let finding = Finding { severity: Severity::Error, since: at(6), text: "text".into() };
        effects.push(Effect::FindingRaised { number: Some(number), kind, finding });
        effects.push(Effect::FindingCleared { number: None, kind });
    }
    effects.extend(
        lifecycles()
            .into_iter()
            .map(|lifecycle| ApplianceEffect::Lifecycle { lifecycle, since: at(8) }.of(number)),
    );
    let (by, from) = (Offset::from_micros(-7), at(9));
    effects.push(Effect::TimeShifted(TimeShift { by, from }));
    effects.push(Effect::LivedTime { lived: Duration::from_secs(7) });
    reads_back(&record(Input::BrokerStopped, effects));
}
