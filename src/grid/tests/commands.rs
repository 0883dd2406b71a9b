//! Tests the commands of administrators and orchestrators.

use super::super::decide::CommandRejection;
use super::driver::*;
use crate::grid::log::command::{AdminCommand, DumpOrder, OverrideReset};
use crate::grid::model::finding::FindingKind;
use crate::grid::model::settings::{ClassSettings, DEFAULT_CLASS, GridSettings, Overrides};
use crate::grid::values::id::ApplianceIndex;
use crate::grid::values::outcome::{EventRejection, Outcome};

fn set(overrides: Overrides) -> AdminCommand {
    AdminCommand::Set { name: name(DB1), class: None, overrides, reset: OverrideReset::default() }
}

fn boot_timeout(limit: u64) -> AdminCommand {
    set(Overrides { boot_timeout: Some(seconds(limit)), ..Overrides::default() })
}

fn managed(managed: bool) -> AdminCommand {
    set(Overrides { managed: Some(managed), ..Overrides::default() })
}

#[test]
fn a_stop_makes_any_state_idle_and_closes_what_was_open() {
    let mut timeline = Timeline::new();
    let session = timeline.hello(1);
    timeline.close_session(1, session);
    timeline.at(301);
    assert!(timeline.is_open(FindingKind::StartFailed) && timeline.is_open(FindingKind::NoContact));
    timeline.stop();
    assert_eq!((timeline.state(), timeline.since(), timeline.deadline()), ("idle", 301, None));
    assert_eq!(timeline.grid().state().findings().count(), 0);
}

#[test]
fn a_second_stop_does_not_stop_anew() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.at(10).stop();
    timeline.at(20).stop();
    assert_eq!(timeline.since(), 10);
}

#[test]
fn a_boot_announced_twice_begins_twice() {
    let mut timeline = Timeline::new();
    timeline.start_boot();
    timeline.at(20).start_boot();
    assert_eq!(
        (timeline.state(), timeline.since(), timeline.deadline()),
        ("starting", 20, Some(320))
    );
    assert_eq!(timeline.db1().past_boots, []);
}

#[test]
fn commands_on_unknown_appliances_are_rejected_without_a_record() {
    let mut timeline = Timeline::new();
    let unknown = name(ApplianceIndex(9));
    let records = timeline.records.len();
    let name = || unknown.clone();
    for order in [
        AdminCommand::Remove { name: name() },
        AdminCommand::StartBoot { name: name() },
        AdminCommand::Stop { name: name() },
        AdminCommand::CrashDump { name: name(), order: DumpOrder::default() },
    ] {
        assert_eq!(timeline.command(order), Err(CommandRejection::NotFound { name: name() }));
    }
    assert_eq!(timeline.records.len(), records);
}

#[test]
fn a_name_is_added_once_and_only_to_a_known_class() {
    let mut timeline = Timeline::new();
    let add = |row, class: Option<&str>| AdminCommand::Add {
        name: name(ApplianceIndex(row)),
        uuid: uuid::Uuid::nil(),
        class: class.map(Into::into),
        overrides: Overrides::default(),
    };
    let exists = CommandRejection::AlreadyExists { name: name(DB1) };
    assert_eq!(timeline.command(add(1, None)), Err(exists));
    let unknown =
        CommandRejection::UnknownClass { class: "big".into(), known: DEFAULT_CLASS.into() };
    assert_eq!(timeline.command(add(2, Some("big"))), Err(unknown));
    assert_eq!(timeline.command(add(2, Some(DEFAULT_CLASS))), Ok(ApplianceIndex(2)));
}

#[test]
fn a_limit_set_while_starting_moves_the_deadline() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.at(10).command(boot_timeout(60)).unwrap();
    assert_eq!(
        (timeline.state(), timeline.since(), timeline.deadline()),
        ("starting", 0, Some(60))
    );
    timeline.at(61);
    assert_eq!(timeline.failure(), "boot_timeout");
}

#[test]
fn a_limit_that_has_passed_when_set_fails_the_start() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.at(100).command(boot_timeout(60)).unwrap();
    timeline.at(101);
    assert_eq!(timeline.failure(), "boot_timeout");
}

#[test]
fn a_limit_set_keeps_the_extension_by_a_downtime() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.at(100).restart_after(seconds(1_000));
    assert_eq!(timeline.deadline(), Some(1_300));
    let silence = Overrides { report_deadline: Some(seconds(9)), ..Overrides::default() };
    timeline.command(set(silence)).unwrap();
    assert_eq!(timeline.deadline(), Some(1_300), "it is not about the boot deadline");
    timeline.command(boot_timeout(200)).unwrap();
    assert_eq!(timeline.deadline(), Some(1_200));
    let reset = OverrideReset { boot_timeout: true, ..OverrideReset::default() };
    let overrides = Overrides::default();
    timeline.command(AdminCommand::Set { name: name(DB1), class: None, overrides, reset }).unwrap();
    assert_eq!(timeline.deadline(), Some(1_300), "as its class");
    assert_eq!(timeline.db1().overrides.report_deadline, Some(seconds(9)));
}

#[test]
fn a_class_set_while_starting_moves_the_deadline_and_may_take_it_away() {
    let slow = ClassSettings { boot_timeout: Some(seconds(900)), ..ClassSettings::default() };
    let endless = ClassSettings { boot_timeout: None, ..ClassSettings::default() };
    let classes = [("slow".to_owned(), slow), ("endless".to_owned(), endless)];
    let mut timeline = Timeline::empty(GridSettings::new(classes));
    timeline.add(DB1);
    timeline.hello(1);
    for (class, deadline) in [("slow", Some(900)), ("endless", None), (DEFAULT_CLASS, Some(300))] {
        let (class, overrides) = (Some(class.into()), Overrides::default());
        let reset = OverrideReset::default();
        timeline.command(AdminCommand::Set { name: name(DB1), class, overrides, reset }).unwrap();
        assert_eq!(timeline.deadline(), deadline);
    }
}

#[test]
fn who_becomes_unmanaged_in_a_start_or_after_its_failure_runs() {
    let states: [(&str, Action); 3] = [
        ("starting", |_| {}),
        ("maintenance", |timeline| {
            timeline.store(maintenance(1, 5, "a"));
        }),
        ("failed", |timeline| {
            timeline.store(start_failed(1, "x"));
        }),
    ];
    for (state, get_there) in states {
        let mut timeline = Timeline::new();
        timeline.hello(1);
        get_there(&mut timeline);
        assert_eq!(timeline.state(), state);
        timeline.at(10).command(managed(false)).unwrap();
        assert_eq!((timeline.state(), timeline.since()), ("running", 10), "from {state}");
        assert!(!timeline.is_open(FindingKind::StartFailed));
        timeline.at(1_000);
        assert_eq!(timeline.state(), "running", "from {state}");
    }
}

#[test]
fn who_becomes_managed_while_running_stays_so() {
    let mut timeline = Timeline::with(ClassSettings { managed: false, ..ClassSettings::default() });
    timeline.hello(1);
    timeline.command(managed(true)).unwrap();
    assert_eq!((timeline.state(), timeline.deadline()), ("running", None));
}

#[test]
fn the_idle_stay_idle_when_set() {
    let mut timeline = Timeline::new();
    timeline.command(managed(false)).unwrap();
    assert_eq!(timeline.state(), "idle");
}

#[test]
fn removal_takes_away_all_that_was_open() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.at(301);
    timeline.command(AdminCommand::Remove { name: name(DB1) }).unwrap();
    assert_eq!(timeline.grid().state().findings().count(), 0);
    assert_eq!(
        (timeline.grid().state().find(&name(DB1)), timeline.grid().poll_timeout()),
        (None, None)
    );
}

#[test]
fn a_name_added_again_is_another_appliance_though_a_session_of_the_first_is_open() {
    let mut timeline = Timeline::new();
    let session = timeline.hello(1);
    timeline.command(AdminCommand::Remove { name: name(DB1) }).unwrap();
    let (uuid, overrides) = (uuid::Uuid::from_u128(77), Overrides::default());
    let add = AdminCommand::Add { name: name(DB1), uuid, class: None, overrides };
    let second = ApplianceIndex(2);
    assert_eq!(timeline.command(add), Ok(second), "rows are never given twice");
    let refused = Outcome::Rejected(EventRejection::Removed);
    assert_eq!(timeline.receive(started_ok(1).via(session)).0, refused);
    timeline.close_session(1, session);
    let fresh = timeline.grid().state().appliance(second).expect("added");
    assert_eq!((fresh.lifecycle.as_str(), fresh.boot, fresh.uuid), ("idle", None, uuid));
    timeline.hello_of(second, 1, None);
    assert_eq!(timeline.receive(started_ok(1).by(second)).0, Outcome::Stored);
    assert_eq!(timeline.grid().state().name(DB1), Some(&name(DB1)), "for old records");
}

#[test]
fn an_appliance_of_a_class_that_is_gone_counts_as_default_and_can_be_set() {
    let slow = ClassSettings { boot_timeout: Some(seconds(900)), ..ClassSettings::default() };
    let mut timeline = Timeline::empty(GridSettings::new([("slow".to_owned(), slow)]));
    timeline.add(DB1);
    let class = |class: &str| AdminCommand::Set {
        name: name(DB1),
        class: Some(class.into()),
        overrides: Overrides::default(),
        reset: OverrideReset::default(),
    };
    timeline.command(class("slow")).unwrap();
    timeline.restart_with(seconds(1), GridSettings::default());
    timeline.hello(1);
    assert_eq!(timeline.deadline(), Some(301));
    timeline.command(boot_timeout(60)).unwrap();
    assert_eq!((timeline.deadline(), &*timeline.db1().class), (Some(61), "slow"));
    assert!(timeline.command(class("slow")).is_err(), "nobody is given it any more");
}

#[test]
fn more_silence_counts_at_once_in_maintenance_and_less_with_the_next_report() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.at(10).store(maintenance(1, 34, "checking"));
    let silence = |limit| AdminCommand::Set {
        name: name(DB1),
        class: None,
        overrides: Overrides { report_deadline: Some(limit), ..Overrides::default() },
        reset: OverrideReset::default(),
    };
    timeline.at(20).command(silence(seconds(300))).expect("is allowed");
    assert_eq!(timeline.deadline(), Some(310));
    timeline.at(30).command(silence(seconds(5))).expect("is allowed");
    assert_eq!(timeline.deadline(), Some(310), "what was promised was promised");
    timeline.at(40).store(maintenance(1, 35, "checking"));
    assert_eq!(timeline.deadline(), Some(45));
}
