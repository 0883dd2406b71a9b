//! Tests when a boot begins, and which events belong to another boot.

use super::driver::*;
use crate::grid::log::effect::AlertKind;
use crate::grid::log::record::Outcome;
use crate::grid::model::lifecycle::EventRejection;
use crate::grid::model::settings::{ClassSettings, RateLimits};
use crate::grid::state::appliance::PAST_BOOTS_MAX;
use crate::grid::values::record_flags::RecordFlags;

#[test]
fn the_hello_alone_begins_the_boot_and_arms_the_deadline() {
    let mut story = Timeline::new();
    story.at(10).hello(1);
    assert_eq!((story.state(), story.deadline(), story.since()), ("starting", Some(310), 10));
    story.at(309);
    assert_eq!(story.state(), "starting");
    story.at(311);
    assert_eq!(story.failure(), "boot_timeout");
    assert_eq!(story.text(AlertKind::StartFailed), "db1 did not start within 300 s");
}

#[test]
fn a_live_report_with_a_new_boot_id_begins_the_boot() {
    let mut story = Timeline::new();
    story.store(log(1));
    assert_eq!((story.state(), story.deadline()), ("starting", Some(300)));
    story.store(started_ok(1));
    assert_eq!((story.state(), story.deadline()), ("running", None));
}

#[test]
fn the_uptime_starts_the_boot_clock_at_power_on() {
    let mut story = Timeline::new();
    story.at(100).hello_of(DB1, 1, Some(seconds(90)));
    assert_eq!(story.deadline(), Some(310));
}

#[test]
fn a_new_boot_id_begins_a_boot_from_any_state() {
    let begun: [(&str, Action); 6] = [
        ("starting", |_| {}),
        ("maintenance", |story| {
            story.store(maintenance(1, 5, "a"));
        }),
        ("running", |story| {
            story.store(started_ok(1));
        }),
        ("failed", |story| {
            story.store(start_failed(1, "x"));
        }),
        ("idle", Timeline::stop),
        ("dumping", |story| {
            story.store(started_ok(1));
            story.crash_dump();
        }),
    ];
    for (state, get_there) in begun {
        let mut story = Timeline::new();
        story.hello(1);
        get_there(&mut story);
        assert_eq!(story.state(), state);
        story.at(20).hello(2);
        assert_eq!((story.state(), story.since()), ("starting", 20), "from {state}");
        assert_eq!(story.deadline(), Some(320), "from {state}");
        assert_eq!(story.db1().past_boots, [boot(1)]);
    }
}

#[test]
fn an_orchestrators_word_begins_a_boot_and_arms_the_deadline() {
    let mut story = Timeline::new();
    story.at(5).start_boot();
    assert_eq!((story.state(), story.deadline()), ("starting", Some(305)));
    assert_eq!(story.db1().boot_id(), None);
    story.at(306);
    assert_eq!(story.failure(), "boot_timeout");
}

#[test]
fn an_orchestrators_pending_boot_is_taken_over_by_the_first_new_id() {
    let mut story = Timeline::new();
    story.start_boot();
    story.at(40).hello(1);
    assert_eq!((story.state(), story.deadline(), story.since()), ("starting", Some(300), 0));
    assert_eq!(story.db1().boot_id(), Some(boot(1)));
    story.at(50).hello(2);
    assert_eq!(story.deadline(), Some(350), "the second new id is another boot");
}

#[test]
fn a_pending_boot_is_not_taken_over_by_the_boot_before_it() {
    let mut story = Timeline::new();
    story.hello(1);
    story.store(started_ok(1));
    story.start_boot();
    assert_eq!(story.receive(started_ok(1)).0, Outcome::OlderBoot);
    assert_eq!((story.state(), story.db1().boot_id()), ("starting", None));
}

#[test]
fn a_pending_boot_that_timed_out_is_still_taken_over_and_may_come_late() {
    let mut story = Timeline::new();
    story.start_boot();
    story.at(400).hello(1);
    assert_eq!((story.failure(), story.db1().boot_id()), ("boot_timeout", Some(boot(1))));
    assert!(story.store(started_ok(1)).contains(RecordFlags::LATE));
}

#[test]
fn a_pending_boot_that_was_stopped_is_over() {
    let mut story = Timeline::new();
    story.start_boot();
    story.stop();
    story.at(30).hello(1);
    assert_eq!((story.state(), story.deadline(), story.since()), ("starting", Some(330), 30));
}

#[test]
fn an_appliance_first_seen_with_an_uptime_beyond_its_timeout_counts_as_running() {
    let mut story = Timeline::new();
    story.hello_of(DB1, 1, Some(seconds(301)));
    assert_eq!((story.state(), story.deadline()), ("running", None));
    assert!(story.last().flags.contains(RecordFlags::NOT_WITNESSED));
}

#[test]
fn a_start_that_was_only_assumed_to_be_over_goes_on_by_the_appliances_own_word() {
    let mut story = Timeline::new();
    story.hello_of(DB1, 1, Some(seconds(301)));
    story.at(10).store(maintenance(1, 30, "repair"));
    assert_eq!((story.state(), story.since(), story.deadline()), ("maintenance", 10, Some(70)));
    story.at(20).store(started_ok(1));
    assert_eq!(story.state(), "running");
    let (outcome, _) = story.receive(maintenance(1, 40, "again"));
    assert_eq!(outcome, Outcome::Rejected(EventRejection::AlreadyRunning), "its own word stands");

    let mut story = Timeline::new();
    story.store(start_failed(1, "no disk").with_uptime(seconds(301)));
    assert_eq!((story.state(), story.failure()), ("failed", "reported"));
}

#[test]
fn an_appliance_first_seen_within_its_timeout_is_starting() {
    let mut story = Timeline::new();
    story.at(300).hello_of(DB1, 1, Some(seconds(300)));
    assert_eq!(story.state(), "starting");
    assert_eq!(story.deadline(), Some(360), "with the grace of who was not seen");
}

#[test]
fn only_an_appliance_never_seen_before_is_taken_as_running_by_its_uptime() {
    let mut story = Timeline::new();
    story.hello(1);
    story.store(started_ok(1));
    story.at(1_000).hello_of(DB1, 2, Some(seconds(500)));
    assert_eq!((story.state(), story.deadline()), ("starting", Some(1_060)));
}

#[test]
fn an_uptime_beyond_all_measure_is_no_panic() {
    for number in 1..=2 {
        let mut story = Timeline::new();
        if number == 2 {
            story.hello_of(DB1, 1, None);
        }
        story.hello_of(DB1, number, Some(seconds(u64::MAX)));
        story.receive(log(number).with_uptime(std::time::Duration::MAX));
        story.at(1_000);
    }
}

#[test]
fn spooled_events_of_another_boot_are_history() {
    let mut story = Timeline::new();
    story.hello(2);
    let spooled = |it: EventBuilder| it.spooled(at(0));
    for event in [started_ok(1), start_failed(1, "x"), maintenance(1, 3, "y"), log(1)] {
        let (outcome, marks) = story.receive(spooled(event));
        assert_eq!((outcome, marks), (Outcome::OlderBoot, RecordFlags::REPLAYED));
        assert_eq!(story.changes(), []);
    }
    assert_eq!((story.state(), story.db1().boot_id()), ("starting", Some(boot(2))));
}

#[test]
fn a_spooled_event_begins_no_boot() {
    let mut story = Timeline::new();
    assert_eq!(story.receive(started_ok(1).spooled(at(0))).0, Outcome::OlderBoot);
    assert_eq!((story.state(), story.db1().boot), ("idle", None));
}

#[test]
fn a_spooled_event_of_the_present_boot_counts() {
    let mut story = Timeline::new();
    story.hello(1);
    assert!(story.store(started_ok(1).spooled(at(0))).contains(RecordFlags::REPLAYED));
    assert_eq!(story.state(), "running");
}

#[test]
fn a_live_event_of_an_older_boot_is_history() {
    let mut story = Timeline::new();
    story.hello(1);
    story.hello(2);
    assert_eq!(story.receive(start_failed(1, "x")).0, Outcome::OlderBoot);
    assert_eq!((story.state(), story.db1().boot_id()), ("starting", Some(boot(2))));
}

#[test]
fn an_uptime_orders_boots_that_the_broker_never_saw() {
    let mut story = Timeline::new();
    story.at(100).hello_of(DB1, 2, Some(seconds(10)));
    assert_eq!(story.receive(started_ok(1).with_uptime(seconds(50))).0, Outcome::OlderBoot);
    assert_eq!((story.state(), story.db1().boot_id()), ("starting", Some(boot(2))));
}

#[test]
fn only_sixteen_past_boots_are_remembered() {
    let budgets = RateLimits::UNLIMITED;
    let mut story =
        Timeline::with(ClassSettings { rate_limits: budgets, ..ClassSettings::default() });
    for number in 1..=20 {
        story.hello(number);
    }
    let remembered: Vec<_> = (4..=19).rev().map(boot).collect();
    assert_eq!(story.db1().past_boots, remembered);
    assert_eq!(remembered.len(), PAST_BOOTS_MAX);
    assert_eq!(story.receive(log(4)).0, Outcome::OlderBoot);
    assert_eq!(story.receive(log(3)).0, Outcome::Stored, "what is forgotten is new");
}

#[test]
fn lifecycle_events_of_the_stopped_boot_are_refused() {
    let mut story = Timeline::new();
    story.hello(1);
    story.stop();
    for event in [started_ok(1), start_failed(1, "x"), maintenance(1, 3, "y")] {
        assert_eq!(story.receive(event).0, Outcome::Rejected(EventRejection::Stopped));
    }
    story.hello(1);
    assert_eq!(story.state(), "idle", "its hello does not begin it again");
}

fn unmanaged() -> ClassSettings {
    ClassSettings { managed: false, ..ClassSettings::default() }
}

#[test]
fn unmanaged_appliances_run_once_their_boot_begins() {
    let mut story = Timeline::with(unmanaged());
    story.at(10).hello(1);
    assert_eq!((story.state(), story.deadline(), story.since()), ("running", None, 10));
    story.at(20).hello(2);
    assert_eq!((story.state(), story.since()), ("running", 20), "another boot runs anew");
    story.at(30).start_boot();
    assert_eq!((story.state(), story.since()), ("running", 30));
}

#[test]
fn lifecycle_events_of_the_unmanaged_only_leave_a_record() {
    let mut story = Timeline::with(unmanaged());
    story.hello(1);
    for event in [started_ok(1), start_failed(1, "x"), maintenance(1, 3, "y")] {
        assert!(story.store(event).contains(RecordFlags::UNMANAGED));
        assert_eq!((story.changes().len(), story.state()), (0, "running"));
    }
}

fn ignoring() -> Timeline {
    let mut story =
        Timeline::with(ClassSettings { ignore_reboots: true, ..ClassSettings::default() });
    story.hello(1);
    story
}

#[test]
fn ignored_reboots_after_a_good_start_only_leave_a_record() {
    let mut story = ignoring();
    story.at(5).store(started_ok(1));
    story.at(50).hello(2);
    assert_eq!((story.state(), story.since()), ("running", 5));
    assert!(story.last().flags.contains(RecordFlags::REBOOT_IGNORED));
    assert_eq!(story.receive(log(1)).0, Outcome::OlderBoot, "the new boot is the present one");
    story.store(started_ok(2));
}

#[test]
fn reboots_before_a_good_start_are_not_ignored() {
    let mut story = ignoring();
    story.at(50).hello(2);
    assert_eq!((story.state(), story.deadline()), ("starting", Some(350)));
    story.store(start_failed(2, "x"));
    story.at(60).hello(3);
    assert_eq!((story.state(), story.deadline()), ("starting", Some(360)));
}

#[test]
fn a_reboot_out_of_dumping_is_not_ignored() {
    let mut story = ignoring();
    story.store(started_ok(1));
    story.crash_dump();
    story.at(50).hello(2);
    assert_eq!(story.state(), "starting");
}

#[test]
fn a_boot_that_an_orchestrator_begins_is_not_ignored() {
    let mut story = ignoring();
    story.store(started_ok(1));
    story.start_boot();
    assert_eq!(story.state(), "starting");
}

#[test]
fn a_start_without_a_timeout_waits_for_ever() {
    let mut story =
        Timeline::with(ClassSettings { boot_timeout: None, ..ClassSettings::default() });
    story.hello(1);
    assert_eq!(story.grid().poll_timeout(), None);
    story.at(10_000_000);
    assert_eq!(story.state(), "starting");
}
