//! Tests the commands of administrators and orchestrators.

use super::super::decide::CommandRejection;
use super::driver::*;
use crate::grid::log::effect::AlertKind;
use crate::grid::log::record::{AdminCommand, Outcome, OverrideReset};
use crate::grid::model::lifecycle::EventRejection;
use crate::grid::model::settings::{ClassSettings, DEFAULT_CLASS, GridSettings, Overrides};
use crate::grid::values::id::ApplianceIndex;

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
    let mut story = Timeline::new();
    let session = story.hello(1);
    story.close_session(1, session);
    story.at(301);
    assert!(story.is_open(AlertKind::StartFailed) && story.is_open(AlertKind::NoContact));
    story.stop();
    assert_eq!((story.state(), story.since(), story.deadline()), ("idle", 301, None));
    assert_eq!(story.grid().state().alerts().count(), 0);
}

#[test]
fn a_second_stop_does_not_stop_anew() {
    let mut story = Timeline::new();
    story.hello(1);
    story.at(10).stop();
    story.at(20).stop();
    assert_eq!(story.since(), 10);
}

#[test]
fn a_boot_ordered_twice_begins_twice() {
    let mut story = Timeline::new();
    story.start_boot();
    story.at(20).start_boot();
    assert_eq!((story.state(), story.since(), story.deadline()), ("starting", 20, Some(320)));
    assert_eq!(story.db1().past_boots, []);
}

#[test]
fn orders_about_the_unknown_are_refused_and_leave_no_record() {
    let mut story = Timeline::new();
    let unknown = name(ApplianceIndex(9));
    let records = story.records.len();
    let name = || unknown.clone();
    for order in [
        AdminCommand::Remove { name: name() },
        AdminCommand::StartBoot { name: name() },
        AdminCommand::Stop { name: name() },
        AdminCommand::CrashDump { name: name() },
    ] {
        assert_eq!(story.command(order), Err(CommandRejection::NotFound { name: name() }));
    }
    assert_eq!(story.records.len(), records);
}

#[test]
fn a_name_is_added_once_and_only_to_a_known_class() {
    let mut story = Timeline::new();
    let add = |row, class: Option<&str>| AdminCommand::Add {
        name: name(ApplianceIndex(row)),
        uuid: uuid::Uuid::nil(),
        class: class.map(Into::into),
        overrides: Overrides::default(),
    };
    let exists = CommandRejection::AlreadyExists { name: name(DB1) };
    assert_eq!(story.command(add(1, None)), Err(exists));
    let unknown =
        CommandRejection::UnknownClass { class: "big".into(), known: DEFAULT_CLASS.into() };
    assert_eq!(story.command(add(2, Some("big"))), Err(unknown));
    assert_eq!(story.command(add(2, Some(DEFAULT_CLASS))), Ok(ApplianceIndex(2)));
}

#[test]
fn a_limit_set_while_starting_moves_the_deadline() {
    let mut story = Timeline::new();
    story.hello(1);
    story.at(10).command(boot_timeout(60)).unwrap();
    assert_eq!((story.state(), story.since(), story.deadline()), ("starting", 0, Some(60)));
    story.at(61);
    assert_eq!(story.failure(), "boot_timeout");
}

#[test]
fn a_limit_that_has_passed_when_set_fails_the_start() {
    let mut story = Timeline::new();
    story.hello(1);
    story.at(100).command(boot_timeout(60)).unwrap();
    story.at(101);
    assert_eq!(story.failure(), "boot_timeout");
}

#[test]
fn a_limit_set_keeps_the_credit_for_the_brokers_absence() {
    let mut story = Timeline::new();
    story.hello(1);
    story.at(100).restart_after(seconds(1_000));
    assert_eq!(story.deadline(), Some(1_300));
    let silence = Overrides { report_deadline: Some(seconds(9)), ..Overrides::default() };
    story.command(set(silence)).unwrap();
    assert_eq!(story.deadline(), Some(1_300), "it is not about the boot deadline");
    story.command(boot_timeout(200)).unwrap();
    assert_eq!(story.deadline(), Some(1_200));
    let reset = OverrideReset { boot_timeout: true, ..OverrideReset::default() };
    let overrides = Overrides::default();
    story.command(AdminCommand::Set { name: name(DB1), class: None, overrides, reset }).unwrap();
    assert_eq!(story.deadline(), Some(1_300), "as its class");
    assert_eq!(story.db1().overrides.report_deadline, Some(seconds(9)));
}

#[test]
fn a_class_set_while_starting_moves_the_deadline_and_may_take_it_away() {
    let slow = ClassSettings { boot_timeout: Some(seconds(900)), ..ClassSettings::default() };
    let endless = ClassSettings { boot_timeout: None, ..ClassSettings::default() };
    let classes = [("slow".to_owned(), slow), ("endless".to_owned(), endless)];
    let mut story = Timeline::empty(GridSettings::new(classes));
    story.add(DB1);
    story.hello(1);
    for (class, deadline) in [("slow", Some(900)), ("endless", None), (DEFAULT_CLASS, Some(300))] {
        let (class, overrides) = (Some(class.into()), Overrides::default());
        let reset = OverrideReset::default();
        story.command(AdminCommand::Set { name: name(DB1), class, overrides, reset }).unwrap();
        assert_eq!(story.deadline(), deadline);
    }
}

#[test]
fn who_becomes_unmanaged_in_a_start_or_after_its_failure_runs() {
    let states: [(&str, Action); 3] = [
        ("starting", |_| {}),
        ("maintenance", |story| {
            story.store(maintenance(1, 5, "a"));
        }),
        ("failed", |story| {
            story.store(start_failed(1, "x"));
        }),
    ];
    for (state, get_there) in states {
        let mut story = Timeline::new();
        story.hello(1);
        get_there(&mut story);
        assert_eq!(story.state(), state);
        story.at(10).command(managed(false)).unwrap();
        assert_eq!((story.state(), story.since()), ("running", 10), "from {state}");
        assert!(!story.is_open(AlertKind::StartFailed));
        story.at(1_000);
        assert_eq!(story.state(), "running", "from {state}");
    }
}

#[test]
fn who_becomes_managed_while_running_stays_so() {
    let mut story = Timeline::with(ClassSettings { managed: false, ..ClassSettings::default() });
    story.hello(1);
    story.command(managed(true)).unwrap();
    assert_eq!((story.state(), story.deadline()), ("running", None));
}

#[test]
fn the_idle_stay_idle_when_set() {
    let mut story = Timeline::new();
    story.command(managed(false)).unwrap();
    assert_eq!(story.state(), "idle");
}

#[test]
fn removal_takes_away_all_that_was_open() {
    let mut story = Timeline::new();
    story.hello(1);
    story.at(301);
    story.command(AdminCommand::Remove { name: name(DB1) }).unwrap();
    assert_eq!(story.grid().state().alerts().count(), 0);
    assert_eq!((story.grid().state().find(&name(DB1)), story.grid().poll_timeout()), (None, None));
}

#[test]
fn a_name_added_again_is_another_appliance_though_a_session_of_the_first_is_open() {
    let mut story = Timeline::new();
    let session = story.hello(1);
    story.command(AdminCommand::Remove { name: name(DB1) }).unwrap();
    let (uuid, overrides) = (uuid::Uuid::from_u128(77), Overrides::default());
    let add = AdminCommand::Add { name: name(DB1), uuid, class: None, overrides };
    let second = ApplianceIndex(2);
    assert_eq!(story.command(add), Ok(second), "rows are never given twice");
    let refused = Outcome::Rejected(EventRejection::Removed);
    assert_eq!(story.receive(started_ok(1).via(session)).0, refused);
    story.close_session(1, session);
    let fresh = story.grid().state().appliance(second).expect("added");
    assert_eq!((fresh.lifecycle.as_str(), fresh.boot, fresh.uuid), ("idle", None, uuid));
    story.hello_of(second, 1, None);
    assert_eq!(story.receive(started_ok(1).by(second)).0, Outcome::Stored);
    assert_eq!(story.grid().state().name(DB1), Some(&name(DB1)), "for old records");
}

#[test]
fn an_appliance_of_a_class_that_is_gone_counts_as_default_and_can_be_set() {
    let slow = ClassSettings { boot_timeout: Some(seconds(900)), ..ClassSettings::default() };
    let mut story = Timeline::empty(GridSettings::new([("slow".to_owned(), slow)]));
    story.add(DB1);
    let class = |class: &str| AdminCommand::Set {
        name: name(DB1),
        class: Some(class.into()),
        overrides: Overrides::default(),
        reset: OverrideReset::default(),
    };
    story.command(class("slow")).unwrap();
    story.restart_with(seconds(1), GridSettings::default());
    story.hello(1);
    assert_eq!(story.deadline(), Some(301));
    story.command(boot_timeout(60)).unwrap();
    assert_eq!((story.deadline(), &*story.db1().class), (Some(61), "slow"));
    assert!(story.command(class("slow")).is_err(), "nobody is given it any more");
}

#[test]
fn more_silence_counts_at_once_in_maintenance_and_less_with_the_next_report() {
    let mut story = Timeline::new();
    story.hello(1);
    story.at(10).store(maintenance(1, 34, "checking"));
    let silence = |limit| AdminCommand::Set {
        name: name(DB1),
        class: None,
        overrides: Overrides { report_deadline: Some(limit), ..Overrides::default() },
        reset: OverrideReset::default(),
    };
    story.at(20).command(silence(seconds(300))).expect("is allowed");
    assert_eq!(story.deadline(), Some(310));
    story.at(30).command(silence(seconds(5))).expect("is allowed");
    assert_eq!(story.deadline(), Some(310), "what was promised was promised");
    story.at(40).store(maintenance(1, 35, "checking"));
    assert_eq!(story.deadline(), Some(45));
}
