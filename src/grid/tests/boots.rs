//! Tests when a boot begins, and which events belong to another boot.

use super::driver::*;
use crate::grid::model::finding::FindingKind;
use crate::grid::model::settings::{ClassSettings, RateLimits};
use crate::grid::state::appliance::PAST_BOOTS_MAX;
use crate::grid::values::outcome::{EventRejection, Outcome};
use crate::grid::values::record_flags::RecordFlags;

#[test]
fn the_hello_alone_begins_the_boot_and_sets_the_deadline() {
    let mut timeline = Timeline::new();
    timeline.at(10).hello(1);
    assert_eq!(
        (timeline.state(), timeline.deadline(), timeline.since()),
        ("starting", Some(310), 10)
    );
    timeline.at(309);
    assert_eq!(timeline.state(), "starting");
    timeline.at(311);
    assert_eq!(timeline.failure(), "boot_timeout");
    assert_eq!(timeline.text(FindingKind::StartFailed), "db1 did not start within 300 s");
}

#[test]
fn a_live_report_with_a_new_boot_id_begins_the_boot() {
    let mut timeline = Timeline::new();
    timeline.store(log(1));
    assert_eq!((timeline.state(), timeline.deadline()), ("starting", Some(300)));
    timeline.store(started_ok(1));
    assert_eq!((timeline.state(), timeline.deadline()), ("running", None));
}

#[test]
fn the_uptime_starts_the_boot_clock_at_power_on() {
    let mut timeline = Timeline::new();
    timeline.at(100).hello_of(DB1, 1, Some(seconds(90)));
    assert_eq!(timeline.deadline(), Some(310));
}

#[test]
fn a_new_boot_id_begins_a_boot_from_any_state() {
    let begun: [(&str, Action); 6] = [
        ("starting", |_| {}),
        ("maintenance", |timeline| {
            timeline.store(maintenance(1, 5, "a"));
        }),
        ("running", |timeline| {
            timeline.store(started_ok(1));
        }),
        ("failed", |timeline| {
            timeline.store(start_failed(1, "x"));
        }),
        ("idle", Timeline::stop),
        ("dumping", |timeline| {
            timeline.store(started_ok(1));
            timeline.crash_dump();
        }),
    ];
    for (state, get_there) in begun {
        let mut timeline = Timeline::new();
        timeline.hello(1);
        get_there(&mut timeline);
        assert_eq!(timeline.state(), state);
        timeline.at(20).hello(2);
        assert_eq!((timeline.state(), timeline.since()), ("starting", 20), "from {state}");
        assert_eq!(timeline.deadline(), Some(320), "from {state}");
        assert_eq!(timeline.db1().past_boots, [boot(1)]);
    }
}

#[test]
fn an_orchestrator_begins_a_boot_and_sets_the_deadline() {
    let mut timeline = Timeline::new();
    timeline.at(5).start_boot();
    assert_eq!((timeline.state(), timeline.deadline()), ("starting", Some(305)));
    assert_eq!(timeline.db1().boot_id(), None);
    timeline.at(306);
    assert_eq!(timeline.failure(), "boot_timeout");
}

#[test]
fn an_announced_boot_is_adopted_by_the_first_new_id() {
    let mut timeline = Timeline::new();
    timeline.start_boot();
    timeline.at(40).hello(1);
    assert_eq!(
        (timeline.state(), timeline.deadline(), timeline.since()),
        ("starting", Some(300), 0)
    );
    assert_eq!(timeline.db1().boot_id(), Some(boot(1)));
    timeline.at(50).hello(2);
    assert_eq!(timeline.deadline(), Some(350), "the second new id is another boot");
}

#[test]
fn an_announced_boot_is_not_adopted_by_the_boot_before_it() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.store(started_ok(1));
    timeline.start_boot();
    assert_eq!(timeline.receive(started_ok(1)).0, Outcome::OlderBoot);
    assert_eq!((timeline.state(), timeline.db1().boot_id()), ("starting", None));
}

#[test]
fn an_announced_boot_that_timed_out_is_still_adopted_and_may_be_late() {
    let mut timeline = Timeline::new();
    timeline.start_boot();
    timeline.at(400).hello(1);
    assert_eq!((timeline.failure(), timeline.db1().boot_id()), ("boot_timeout", Some(boot(1))));
    assert!(timeline.store(started_ok(1)).contains(RecordFlags::LATE));
}

#[test]
fn a_pending_boot_that_was_stopped_is_over() {
    let mut timeline = Timeline::new();
    timeline.start_boot();
    timeline.stop();
    timeline.at(30).hello(1);
    assert_eq!(
        (timeline.state(), timeline.deadline(), timeline.since()),
        ("starting", Some(330), 30)
    );
}

#[test]
fn an_appliance_first_seen_with_an_uptime_beyond_its_timeout_counts_as_running() {
    let mut timeline = Timeline::new();
    timeline.hello_of(DB1, 1, Some(seconds(301)));
    assert_eq!((timeline.state(), timeline.deadline()), ("running", None));
    assert!(timeline.last().flags.contains(RecordFlags::NOT_WITNESSED));
}

#[test]
fn a_start_assumed_to_be_over_continues_by_the_appliances_own_event() {
    let mut timeline = Timeline::new();
    timeline.hello_of(DB1, 1, Some(seconds(301)));
    timeline.at(10).store(maintenance(1, 30, "repair"));
    assert_eq!(
        (timeline.state(), timeline.since(), timeline.deadline()),
        ("maintenance", 10, Some(70))
    );
    timeline.at(20).store(started_ok(1));
    assert_eq!(timeline.state(), "running");
    let (outcome, _) = timeline.receive(maintenance(1, 40, "again"));
    assert_eq!(outcome, Outcome::Rejected(EventRejection::AlreadyRunning), "its own word stands");

    let mut timeline = Timeline::new();
    timeline.store(start_failed(1, "no disk").with_uptime(seconds(301)));
    assert_eq!((timeline.state(), timeline.failure()), ("failed", "reported"));
}

#[test]
fn an_appliance_first_seen_within_its_timeout_is_starting() {
    let mut timeline = Timeline::new();
    timeline.at(300).hello_of(DB1, 1, Some(seconds(300)));
    assert_eq!(timeline.state(), "starting");
    assert_eq!(timeline.deadline(), Some(360), "with the grace of who was not seen");
}

#[test]
fn only_an_appliance_never_seen_before_is_taken_as_running_by_its_uptime() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.store(started_ok(1));
    timeline.at(1_000).hello_of(DB1, 2, Some(seconds(500)));
    assert_eq!((timeline.state(), timeline.deadline()), ("starting", Some(1_060)));
}

#[test]
fn an_uptime_beyond_all_measure_is_no_panic() {
    for number in 1..=2 {
        let mut timeline = Timeline::new();
        if number == 2 {
            timeline.hello_of(DB1, 1, None);
        }
        timeline.hello_of(DB1, number, Some(seconds(u64::MAX)));
        timeline.receive(log(number).with_uptime(std::time::Duration::MAX));
        timeline.at(1_000);
    }
}

#[test]
fn spooled_events_of_another_boot_are_history() {
    let mut timeline = Timeline::new();
    timeline.hello(2);
    let spooled = |it: EventBuilder| it.spooled(at(0));
    for event in [started_ok(1), start_failed(1, "x"), maintenance(1, 3, "y"), log(1)] {
        let (outcome, flags) = timeline.receive(spooled(event));
        assert_eq!((outcome, flags), (Outcome::OlderBoot, RecordFlags::REPLAYED));
        assert_eq!(timeline.changes(), []);
    }
    assert_eq!((timeline.state(), timeline.db1().boot_id()), ("starting", Some(boot(2))));
}

#[test]
fn a_spooled_event_begins_no_boot() {
    let mut timeline = Timeline::new();
    assert_eq!(timeline.receive(started_ok(1).spooled(at(0))).0, Outcome::OlderBoot);
    assert_eq!((timeline.state(), timeline.db1().boot), ("idle", None));
}

#[test]
fn a_spooled_event_of_the_present_boot_counts() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    assert!(timeline.store(started_ok(1).spooled(at(0))).contains(RecordFlags::REPLAYED));
    assert_eq!(timeline.state(), "running");
}

#[test]
fn a_live_event_of_an_older_boot_is_history() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.hello(2);
    assert_eq!(timeline.receive(start_failed(1, "x")).0, Outcome::OlderBoot);
    assert_eq!((timeline.state(), timeline.db1().boot_id()), ("starting", Some(boot(2))));
}

#[test]
fn an_uptime_orders_boots_that_the_broker_never_saw() {
    let mut timeline = Timeline::new();
    timeline.at(100).hello_of(DB1, 2, Some(seconds(10)));
    assert_eq!(timeline.receive(started_ok(1).with_uptime(seconds(50))).0, Outcome::OlderBoot);
    assert_eq!((timeline.state(), timeline.db1().boot_id()), ("starting", Some(boot(2))));
}

#[test]
fn only_sixteen_past_boots_are_remembered() {
    let budgets = RateLimits::UNLIMITED;
    let mut timeline =
        Timeline::with(ClassSettings { rate_limits: budgets, ..ClassSettings::default() });
    for number in 1..=20 {
        timeline.hello(number);
    }
    let remembered: Vec<_> = (4..=19).rev().map(boot).collect();
    assert_eq!(timeline.db1().past_boots, remembered);
    assert_eq!(remembered.len(), PAST_BOOTS_MAX);
    assert_eq!(timeline.receive(log(4)).0, Outcome::OlderBoot);
    assert_eq!(timeline.receive(log(3)).0, Outcome::Stored, "what is forgotten is new");
}

#[test]
fn lifecycle_events_of_the_stopped_boot_are_refused() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.stop();
    for event in [started_ok(1), start_failed(1, "x"), maintenance(1, 3, "y")] {
        assert_eq!(timeline.receive(event).0, Outcome::Rejected(EventRejection::Stopped));
    }
    timeline.hello(1);
    assert_eq!(timeline.state(), "idle", "its hello does not begin it again");
}

fn unmanaged() -> ClassSettings {
    ClassSettings { managed: false, ..ClassSettings::default() }
}

#[test]
fn unmanaged_appliances_run_once_their_boot_begins() {
    let mut timeline = Timeline::with(unmanaged());
    timeline.at(10).hello(1);
    assert_eq!((timeline.state(), timeline.deadline(), timeline.since()), ("running", None, 10));
    timeline.at(20).hello(2);
    assert_eq!((timeline.state(), timeline.since()), ("running", 20), "another boot runs anew");
    timeline.at(30).start_boot();
    assert_eq!((timeline.state(), timeline.since()), ("running", 30));
}

#[test]
fn lifecycle_events_of_the_unmanaged_only_leave_a_record() {
    let mut timeline = Timeline::with(unmanaged());
    timeline.hello(1);
    for event in [started_ok(1), start_failed(1, "x"), maintenance(1, 3, "y")] {
        assert!(timeline.store(event).contains(RecordFlags::UNMANAGED));
        assert_eq!((timeline.changes().len(), timeline.state()), (0, "running"));
    }
}

fn ignoring() -> Timeline {
    let mut timeline =
        Timeline::with(ClassSettings { ignore_reboots: true, ..ClassSettings::default() });
    timeline.hello(1);
    timeline
}

#[test]
fn ignored_reboots_after_a_good_start_only_leave_a_record() {
    let mut timeline = ignoring();
    timeline.at(5).store(started_ok(1));
    timeline.at(50).hello(2);
    assert_eq!((timeline.state(), timeline.since()), ("running", 5));
    assert!(timeline.last().flags.contains(RecordFlags::REBOOT_IGNORED));
    assert_eq!(timeline.receive(log(1)).0, Outcome::OlderBoot, "the new boot is the present one");
    timeline.store(started_ok(2));
}

#[test]
fn reboots_before_a_good_start_are_not_ignored() {
    let mut timeline = ignoring();
    timeline.at(50).hello(2);
    assert_eq!((timeline.state(), timeline.deadline()), ("starting", Some(350)));
    timeline.store(start_failed(2, "x"));
    timeline.at(60).hello(3);
    assert_eq!((timeline.state(), timeline.deadline()), ("starting", Some(360)));
}

#[test]
fn a_reboot_out_of_dumping_is_not_ignored() {
    let mut timeline = ignoring();
    timeline.store(started_ok(1));
    timeline.crash_dump();
    timeline.at(50).hello(2);
    assert_eq!(timeline.state(), "starting");
}

#[test]
fn a_boot_that_an_orchestrator_begins_is_not_ignored() {
    let mut timeline = ignoring();
    timeline.store(started_ok(1));
    timeline.start_boot();
    assert_eq!(timeline.state(), "starting");
}

#[test]
fn a_start_without_a_timeout_waits_for_ever() {
    let mut timeline =
        Timeline::with(ClassSettings { boot_timeout: None, ..ClassSettings::default() });
    timeline.hello(1);
    assert_eq!(timeline.grid().poll_timeout(), None);
    timeline.at(10_000_000);
    assert_eq!(timeline.state(), "starting");
}
