//! Writes the golden journal, once per format: a small grid with a bit of everything.

use std::fs;
use std::path::Path;

use tokio::runtime::{Handle, Runtime};
use uuid::Uuid;

use crate::support::oracle::fold;
use crate::{read_all, text, v1, v2_stream};
use grid_broker::broker::{self, Backlog, BrokerHandle, IncomingEvent, Started, UnresolvedHello};
use grid_broker::grid::log::applied_settings::AppliedSettings;
use grid_broker::grid::log::command::AdminCommand;
use grid_broker::grid::model::settings::{
    ClassSettings, DEFAULT_CLASS, GridSettings as Rules, MailPolicy, Overrides, RateLimits,
};
use grid_broker::grid::values::event::{
    BoundedText, Counter, DropReason, DroppedEvents, Event, EventBody, Progress, Severity,
};
use grid_broker::grid::values::id::{ApplianceName, BootId, SessionId};
use grid_broker::grid::values::time::Timestamp;
use grid_broker::journal::Journal;
use grid_broker::journal::stream::Attachment;
use grid_broker::{codec, journal};

fn name(word: &str) -> ApplianceName {
    ApplianceName::new(word).unwrap()
}

fn boot(number: u128) -> Option<BootId> {
    Some(BootId(Uuid::from_u128(number)))
}

fn event(kind: EventBody, text: &str) -> Event {
    Event {
        body: kind,
        text: BoundedText::new(text),
        severity: Severity::Warn,
        event_time: None,
        uptime: None,
        spooled_at: None,
        is_repeated: false,
        dropped_before: Vec::new(),
        group_key: None,
        is_resolved: false,
        crash_dump: None,
    }
}

/// A class of appliances that are held back when they talk too much.
const HELD: &str = "held";

fn rules() -> Rules {
    let budgets = RateLimits::UNLIMITED;
    let unlimited = ClassSettings { rate_limits: budgets, ..ClassSettings::default() };
    let held = ClassSettings::default();
    let mail = MailPolicy {
        recipients: vec!["anna@example.org".into()],
        triggers: ["alert"].into(),
        ..MailPolicy::default()
    };
    Rules::new([(DEFAULT_CLASS.to_owned(), unlimited), (HELD.to_owned(), held)])
        .with_mail(Some(mail))
}

async fn say(broker: &BrokerHandle, who: &str, boot: Option<BootId>, kind: EventBody, text: &str) {
    let event = IncomingEvent { boot, sequence: None, event: event(kind, text) };
    broker.submit_event(name(who), None, event, 100).await.unwrap();
}

/// What a spool brings, by a session that comes and goes.
async fn drain(broker: &BrokerHandle) {
    let moment = Timestamp::from_micros(1_795_183_330_000_000);
    let (first_at, last_at, reason) = (Some(moment), None, Some(DropReason::SpoolFull));
    let spooled = |text: &str| {
        let mut event = event(EventBody::Alert { counter: None }, text);
        (event.event_time, event.spooled_at) = (Some(moment), Some(moment));
        event.uptime = Some(std::time::Duration::from_millis(1_500));
        event.dropped_before =
            vec![DroppedEvents { kind: None, count: 17, first_at, last_at, reason }];
        IncomingEvent { boot: boot(8), sequence: None, event }
    };
    let greeting = UnresolvedHello {
        boot: BootId(Uuid::from_u128(8)),
        uptime: Some(std::time::Duration::from_secs(5)),
        spool: None,
        acked_through: 0,
        is_transient: true,
        session: SessionId(1),
    };
    broker.open_session(name("drained"), greeting, Backlog::default()).await.unwrap();
    let failed = EventBody::StartFailed;
    let start = Event { body: failed, ..spooled("no disk").event };
    let start = IncomingEvent { event: start, ..spooled("") };
    let stale = Event { body: EventBody::StartedOk, uptime: None, ..spooled("").event };
    let earlier = Some(Timestamp::from_micros(moment.as_micros() - 1));
    let stale = Event { event_time: earlier, ..stale };
    let stale = IncomingEvent { event: stale, ..spooled("") };
    for event in [spooled("disk 1 is slow"), start, stale, spooled("disk 2 is slow")] {
        broker.submit_event(name("drained"), None, event, 100).await.unwrap();
    }
}

/// Starts a broker and stops it; its complaint, if it does not start.
pub(crate) fn start(settings: &journal::JournalSettings) -> Result<(), String> {
    let runtime = Runtime::new().unwrap();
    let handle: Handle = runtime.handle().clone();
    let started = broker::start(settings, Rules::default(), AppliedSettings::default(), handle);
    let Started { broker, ended, .. } = started.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        broker.stop().await.unwrap();
        ended.await.unwrap().unwrap();
    });
    Ok(())
}

async fn live(broker: &BrokerHandle) {
    let progress = |percent| EventBody::Maintenance {
        progress: Progress::new(percent),
        next_report_within: None,
    };
    say(broker, "shop:main.db1", boot(1), EventBody::StartedOk, "up").await;
    say(broker, "shop:main.db2", boot(2), progress(10), "checking the file system").await;
    say(broker, "shop:main.db2", boot(2), progress(55), "replaying").await;
    say(broker, "shop:main.web", boot(3), EventBody::StartFailed, "no address").await;
    say(broker, "shop:main.web", boot(4), EventBody::StartedOk, "").await;
    say(broker, "shop:main.cache", boot(6), EventBody::StartFailed, "out of memory").await;
    say(broker, "old", boot(5), EventBody::StartFailed, "disk gone").await;
    let counter = Counter::new("errors", 7.5);
    say(broker, "shop:main.db1", boot(1), EventBody::Alert { counter }, "").await;
    for number in 0_u64..300 {
        let text = format!("line {:x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        say(broker, "shop:main.db1", boot(1), EventBody::Log, &text).await;
    }
    let add = |word: &str, class: Option<&str>| AdminCommand::Add {
        name: name(word),
        uuid: Uuid::from_u128(99),
        class: class.map(Into::into),
        overrides: Overrides::default(),
    };
    broker.command("anna", add("noisy", Some(HELD))).await.unwrap().unwrap();
    for number in 0..28 {
        say(broker, "noisy", boot(7), EventBody::Log, &format!("noise {number}")).await;
    }
    for text in ["fan 1 stands", "fan 1 stands", "fan 2 stands", "fan 2 stands"] {
        say(broker, "noisy", boot(7), EventBody::Alert { counter: None }, text).await;
    }
    drain(broker).await;
    for order in [
        add("planned", None),
        AdminCommand::StartBoot { name: name("planned") },
        AdminCommand::Stop { name: name("shop:main.web") },
        AdminCommand::Remove { name: name("old") },
    ] {
        broker.command("anna", order).await.unwrap().unwrap();
    }
}

#[test]
fn the_golden_journal_is_written_if_asked_for() {
    if std::env::var_os("GRID_WRITE_GOLDEN").is_none() {
        return;
    }
    let folder = v1();
    assert!(!folder.exists(), "{} is never written again", folder.display());
    let work = tempfile::tempdir().unwrap();
    let data = work.path().join("data");
    let settings = journal::JournalSettings {
        commit_file_bytes: 16 << 10,
        segment_bytes: 6 << 10,
        ..journal::JournalSettings::new(&data)
    };
    let runtime = Runtime::new().unwrap();
    let started =
        broker::start(&settings, rules(), AppliedSettings::default(), runtime.handle().clone())
            .unwrap();
    let Started { broker, ended, .. } = started;
    runtime.block_on(async {
        live(&broker).await;
        broker.stop().await.unwrap();
        ended.await.unwrap().unwrap();
    });
    start(&settings).unwrap();

    let opened = Journal::open(&settings).unwrap();
    let records = read_all(&opened);
    let mut state = Default::default();
    fold(&mut state, &records);
    let identity = opened.journal.identity();
    let term = opened.journal.term();
    let (stream, _) =
        opened.reader.back_up(identity, term, &[], Vec::new(), |_, _| Ok(())).unwrap();
    opened.journal.close().unwrap();
    assert_eq!(codec::decode_state(&codec::encode_state(&state)).unwrap(), state);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("records.txt"), text::records(&records)).unwrap();
    fs::write(folder.join("state.txt"), text::state(&state)).unwrap();
    fs::write(folder.join("journal.stream"), stream).unwrap();
    trim(&data, &folder.join("data"));
    println!("written: {}", folder.display());
}

/// The attachments of the stream of format 2.
pub(crate) const ATTACHMENTS: [(&str, &str); 2] =
    [("ca/ca.key", "not a private key\n"), ("ca/ca.pem", "not a certificate\n")];

#[test]
fn the_golden_stream_with_attachments_is_written_if_asked_for() {
    if std::env::var_os("GRID_WRITE_GOLDEN").is_none() {
        return;
    }
    let path = v2_stream();
    assert!(!path.exists(), "{} is never written again", path.display());
    let work = tempfile::tempdir().unwrap();
    let data = work.path().join("data");
    journal::rescue::restore(&v1().join("journal.stream"), &data, |_| {}).unwrap();
    let opened = Journal::open(&journal::JournalSettings::new(&data)).unwrap();
    let (identity, term) = (opened.journal.identity(), opened.journal.term());
    let attachments = ATTACHMENTS
        .map(|(name, content)| Attachment::new(name, content.to_owned().into_bytes()).unwrap());
    let done = opened.reader.back_up(identity, term, &attachments, Vec::new(), |_, _| Ok(()));
    opened.journal.close().unwrap();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, done.unwrap().0).unwrap();
    println!("written: {}", path.display());
}

fn trim(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, target) = entry.map(|it| (it.path(), to.join(it.file_name()))).unwrap();
        if path.is_dir() {
            trim(&path, &target);
        } else if !["lock", "alive", "ballast"].iter().any(|name| path.ends_with(name)) {
            let bytes = fs::read(&path).unwrap();
            let has_room = path.ends_with("db") || path.extension().is_some_and(|it| it == "log");
            let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
            let end = if has_room { written } else { bytes.len() };
            fs::write(target, &bytes[..end]).unwrap();
        }
    }
}
