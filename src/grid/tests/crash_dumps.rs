//! Tests the story of a crash dump: locks, drivers, new boots, found dumps, and what the broker decides
//! by itself.

use std::num::NonZeroU32;

use super::super::decide::CommandRejection;
use super::driver::*;
use crate::grid::explain;
use crate::grid::log::command::{AdminCommand, DumpOrder};
use crate::grid::log::crash_dump::DumpResult;
use crate::grid::model::crash_dump::{CRASH_DUMPS_MAX, DumpEnd, DumpTrigger, FOUND_DUMPS_MAX};
use crate::grid::model::finding::FindingKind;
use crate::grid::model::settings::{ClassSettings, MailPolicy, RateLimit, RateLimits};
use crate::grid::values::event::Severity;
use crate::grid::values::outcome::Outcome;
use crate::grid::values::record_flags::RecordFlags;

fn running() -> Timeline {
    running_with(ClassSettings::default())
}

fn running_with(rules: ClassSettings) -> Timeline {
    let mut timeline = Timeline::with(rules);
    timeline.store(started_ok(1));
    timeline
}

/// Running, and dumped at second 100 by a driver that is done at second 101.
fn triggered() -> Timeline {
    let mut timeline = running();
    timeline.at(100).crash_dump();
    timeline.at(101).driver_reports(DumpResult::Done).expect("a record");
    timeline
}

fn lock(is_by_admin: bool) -> AdminCommand {
    AdminCommand::Lock { name: name(DB1), reason: "a disk is changed".into(), is_by_admin }
}

fn by_admin(number: u128) -> AdminCommand {
    let request = uuid::Uuid::from_u128(number);
    let order = DumpOrder { request, passes_lock: true, ..DumpOrder::default() };
    AdminCommand::CrashDump { name: name(DB1), order }
}

#[test]
fn a_lock_stops_all_but_admins() {
    let mut timeline = running();
    assert_eq!(timeline.command(lock(false)), Ok(DB1));
    let by = "admin".into();
    let locked = CommandRejection::Locked { name: name(DB1), by };
    assert_eq!(timeline.command(crash_dump(7)), Err(locked));
    assert_eq!(timeline.command(by_admin(8)), Ok(DB1));
    assert_eq!(timeline.state(), "dumping");
}

#[test]
fn the_lock_of_an_admin_is_unlocked_by_admins_only() {
    let mut timeline = running();
    let unlock = |is_by_admin| AdminCommand::Unlock { name: name(DB1), is_by_admin };
    assert_eq!(timeline.command(lock(true)), Ok(DB1));
    let refused = CommandRejection::LockedByAdmin { name: name(DB1), by: "admin".into() };
    assert_eq!(timeline.command(unlock(false)), Err(refused.clone()));
    assert_eq!(timeline.command(lock(false)), Err(refused));
    assert_eq!(timeline.command(unlock(true)), Ok(DB1));
    assert_eq!(timeline.command(unlock(false)), Ok(DB1), "what is not locked may be unlocked");
    timeline.crash_dump();
}

#[test]
fn the_order_of_the_checks_is_that_of_nova() {
    let mut timeline = Timeline::new();
    timeline.command(lock(false)).expect("locked");
    let locked = CommandRejection::Locked { name: name(DB1), by: "admin".into() };
    assert_eq!(timeline.command(crash_dump(1)), Err(locked), "before: it never booted");
    let never = CommandRejection::NeverBooted { name: name(DB1) };
    assert_eq!(timeline.command(by_admin(1)), Err(never));
}

#[test]
fn a_trigger_that_failed_leaves_a_running_appliance_as_it_was() {
    let mut timeline = running();
    let since = timeline.since();
    timeline.at(100).crash_dump();
    let record = timeline.at(101).driver_reports(DumpResult::Failed).expect("a record");
    assert_eq!((timeline.state(), timeline.since()), ("running", since));
    assert_eq!(record.severity(), Severity::Warn);
    let text = explain::describe_record(&record).render(|at| at.as_micros().to_string());
    assert_eq!(text, "crash dump not triggered by qemu: detail");
    let dump = timeline.newest_dump();
    assert_eq!(dump.trigger, DumpTrigger::Failed { at: at(101) });
    assert_eq!(dump.end, Some((DumpEnd::NotTriggered, at(101))));
    timeline.at(102).crash_dump();
}

#[test]
fn a_trigger_that_failed_leaves_a_failed_start_failed_once() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.at(20).store(start_failed(1, "no disk"));
    for second in [30, 40, 50] {
        timeline.at(second).crash_dump();
        timeline.driver_reports(DumpResult::Failed);
        assert_eq!((timeline.state(), timeline.since()), ("failed", 20));
    }
    assert_eq!(timeline.grid().state().appliance(DB1).expect("it").failed_starts.len(), 1);
    assert!(!timeline.is_open(FindingKind::Flapping));
    assert!(timeline.is_open(FindingKind::StartFailed));
}

#[test]
fn a_driver_reports_once() {
    let mut timeline = triggered();
    for result in [DumpResult::Done, DumpResult::Failed, DumpResult::Unknown] {
        assert_eq!(timeline.driver_reports(result), None);
    }
    assert_eq!(timeline.state(), "dumping");
}

#[test]
fn a_failure_that_is_told_after_the_new_boot_changes_no_state() {
    let mut timeline = running();
    timeline.at(100).crash_dump();
    timeline.at(130).hello(2);
    timeline.driver_reports(DumpResult::Failed).expect("a record");
    assert_eq!(timeline.state(), "starting");
    let end = DumpEnd::NewBoot { boot: Some(boot(2)) };
    assert_eq!(timeline.newest_dump().end, Some((end, at(130))));
}

#[test]
fn the_new_boot_ends_it_with_the_silence_before() {
    let mut timeline = triggered();
    timeline.at(105).store(log(1));
    timeline.at(140).hello(2);
    let dump = timeline.newest_dump();
    assert_eq!(dump.end, Some((DumpEnd::NewBoot { boot: Some(boot(2)) }, at(140))));
    assert_eq!(dump.last_event_at, Some(at(105)));
    let text = explain::describe_record(timeline.last()).render(|at| at.as_micros().to_string());
    let story = "booted again after the crash dump, 39 s after the trigger, silent for 35 s";
    assert!(text.contains(story), "{text}");
    timeline.at(150).store(started_ok(2));
    assert_eq!(timeline.state(), "running");
    assert_eq!(
        explain::crash_dump::describe(timeline.newest_dump()),
        "triggered by qemu; booted again, 39 s after the trigger, silent for 35 s; no dump was found"
    );
}

#[test]
fn a_boot_after_the_dump_deadline_ends_it_too() {
    let mut timeline = triggered();
    timeline.at(1_001);
    assert_eq!(timeline.newest_dump().end.map(|it| it.0), Some(DumpEnd::NoBoot));
    timeline.at(1_200).hello(2);
    let end = DumpEnd::NewBoot { boot: Some(boot(2)) };
    assert_eq!(timeline.newest_dump().end, Some((end, at(1_200))));
}

#[test]
fn events_of_the_same_boot_long_after_the_trigger_show_that_it_had_no_effect() {
    let mut timeline = triggered();
    timeline.at(110).store(log(1));
    timeline.at(111).store(log(1));
    assert_eq!(timeline.state(), "dumping");
    timeline.at(1_001);
    assert_eq!((timeline.state(), timeline.since()), ("running", 0));
    assert!(timeline.last().flags.contains(RecordFlags::DUMP_NO_EFFECT));
    assert_eq!(timeline.last().severity(), Severity::Warn);
    assert_eq!(timeline.newest_dump().end.map(|it| it.0), Some(DumpEnd::NoEffect));
    assert!(!timeline.is_open(FindingKind::StartFailed));
    timeline.crash_dump();
}

#[test]
fn events_under_way_at_the_trigger_show_nothing() {
    let mut timeline = triggered();
    timeline.at(110).store(log(1));
    timeline.at(1_001);
    assert_eq!(timeline.failure(), "dump_timeout");
}

#[test]
fn an_open_session_shows_that_it_had_no_effect() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.store(started_ok(1));
    timeline.at(100).crash_dump();
    timeline.at(101).driver_reports(DumpResult::Done);
    timeline.at(1_001);
    assert_eq!(timeline.newest_dump().end.map(|it| it.0), Some(DumpEnd::NoEffect));

    // Pings find a dead session within a minute: until then an open one shows nothing.
    let rules = ClassSettings { dump_timeout: seconds(30), ..ClassSettings::default() };
    let mut timeline = Timeline::with(rules);
    timeline.hello(1);
    timeline.store(started_ok(1));
    timeline.at(100).crash_dump();
    timeline.driver_reports(DumpResult::Done);
    timeline.at(141);
    assert_eq!(timeline.failure(), "dump_timeout");
}

#[test]
fn reboots_that_the_broker_ordered_are_outside_the_rate_limits() {
    let once = NonZeroU32::MIN;
    let one = Some(RateLimit { burst: once, interval: seconds(86_400) });
    let rate_limits = RateLimits {
        lifecycle: one,
        boots: one,
        log: one,
        alert_group: one,
        alert: one,
        counter: one,
        replay: one,
    };
    let mut timeline = running_with(ClassSettings { rate_limits, ..ClassSettings::default() });
    let alert =
        |text| new_event(1, crate::grid::values::event::EventBody::Alert { counter: None }, text);
    timeline.receive(alert("disk is full"));
    assert_eq!(timeline.receive(alert("fan is slow")).0, Outcome::Suppressed);
    for number in 2..6 {
        timeline.at(u64::try_from(number).expect("it is small") * 100).crash_dump();
        timeline.driver_reports(DumpResult::Done);
        timeline.hello(number);
        timeline.store(started_ok(number));
        let path = format!("/var/crash/{number}/dump.{number}");
        timeline.store(dump_found(number, &path));
        assert_eq!(timeline.state(), "running");
        assert_eq!(timeline.newest_dump().found.len(), 1);
    }
    // A reboot of its own is limited as before.
    timeline.at(600).hello(7);
    assert_eq!(timeline.receive(started_ok(7)).0, Outcome::Suppressed);
}

#[test]
fn a_boot_without_a_session_is_outside_the_rate_limits_too() {
    let none = Some(RateLimit { burst: NonZeroU32::MIN, interval: seconds(86_400) });
    let rate_limits = RateLimits { boots: none, lifecycle: none, ..RateLimits::default() };
    let mut timeline = running_with(ClassSettings { rate_limits, ..ClassSettings::default() });
    timeline.at(100).crash_dump();
    timeline.driver_reports(DumpResult::Done);
    timeline.at(130).store(started_ok(2));
    assert_eq!(timeline.state(), "running");
}

#[test]
fn no_more_found_dumps_than_a_few_are_outside_the_rate_limits() {
    let mut timeline = triggered();
    timeline.hello(2);
    timeline.store(started_ok(2));
    let outcomes: Vec<_> = (0..100)
        .map(|number| timeline.receive(dump_found(2, &format!("/var/crash/{number}"))).0)
        .collect();
    assert_eq!(timeline.newest_dump().found.len(), FOUND_DUMPS_MAX);
    assert!(outcomes.contains(&Outcome::Suppressed), "the others are limited as alerts");
    // The same dump twice is one.
    let mut timeline = triggered();
    timeline.hello(2);
    let outcomes: Vec<_> =
        (0..100).map(|_| timeline.receive(dump_found(2, "/var/crash/1")).0).collect();
    assert_eq!(timeline.newest_dump().found.len(), 1);
    let stored = outcomes.iter().filter(|it| **it == Outcome::Stored).count();
    assert_eq!(stored, 2, "one of the story, one as an alert; the others are repeats");
}

#[test]
fn a_found_dump_belongs_to_the_boot_after_the_crash_dump() {
    let mut timeline = triggered();
    timeline.at(120).store(dump_found(1, "/var/crash/0"));
    assert!(timeline.newest_dump().found.is_empty(), "there was no boot after it");
    timeline.at(130).hello(2);
    timeline.at(140).hello(3);
    timeline.at(150).store(dump_found(3, "/var/crash/1"));
    assert!(timeline.newest_dump().found.is_empty(), "of another boot");
}

#[test]
fn an_interrupted_broker_does_not_know_what_the_driver_did() {
    let mut timeline = running();
    timeline.at(100).crash_dump();
    timeline.restart_after(seconds(5));
    let trigger = timeline.newest_dump().trigger;
    assert_eq!(trigger, DumpTrigger::Unknown { at: at(105) });
    assert_eq!(timeline.state(), "dumping");
    timeline.at(130).hello(2);
    assert_eq!(timeline.state(), "starting");
    assert!(matches!(timeline.newest_dump().end, Some((DumpEnd::NewBoot { .. }, _))));
}

#[test]
fn the_last_crash_dumps_are_kept() {
    let mut timeline = running();
    for number in 0..CRASH_DUMPS_MAX + 5 {
        timeline.at(100 + u64::try_from(number).expect("it is small")).crash_dump();
        timeline.driver_reports(DumpResult::Failed);
    }
    let dumps = &timeline.grid().state().appliance(DB1).expect("it").crash_dumps;
    assert_eq!(dumps.len(), CRASH_DUMPS_MAX);
    assert!(dumps.is_sorted_by_key(|dump| std::cmp::Reverse(dump.requested_at)));
}

#[test]
fn a_clock_that_is_set_moves_the_story() {
    let mut timeline = triggered();
    timeline.at(140).hello(2);
    timeline.set_clock(-3_600);
    let dump = timeline.newest_dump();
    assert!(dump.requested_at < dump.end.expect("it ended").1);
}

#[test]
fn the_story_is_mailed_in_one_thread() {
    let mail = MailPolicy {
        recipients: vec!["ann@example.org".into()],
        triggers: ["crash_dump"].into(),
        group_wait: seconds(30),
    };
    let mut timeline = Timeline::empty(one_class(ClassSettings::default()).with_mail(Some(mail)));
    timeline.add(DB1);
    timeline.store(started_ok(1));
    timeline.at(100).crash_dump();
    timeline.driver_reports(DumpResult::Done);
    timeline.at(140).hello(2);
    timeline.store(started_ok(2));
    timeline.at(150).store(dump_found(2, "/var/crash/1/dump.1"));
    let messages = timeline.grid().state().outbox().messages.values();
    let notices: Vec<_> = messages.flat_map(|it| &it.notices).collect();
    assert!(notices.iter().all(|it| (&*it.subject, &*it.topic) == ("db1", "crash_dump")));
    let texts: Vec<_> = notices.iter().map(|it| &*it.text).collect();
    assert_eq!(
        texts,
        [
            "crash dump of db1 requested by ann, driver qemu",
            "db1 booted again, 40 s after the trigger, silent for 140 s",
            "crash dump /var/crash/1/dump.1"
        ]
    );
}

#[test]
fn an_announced_boot_ends_the_story_for_itself_alone() {
    let mut timeline = triggered();
    timeline.at(120).start_boot();
    timeline.at(130).hello(2);
    assert_eq!(
        timeline.newest_dump().end,
        Some((DumpEnd::NewBoot { boot: Some(boot(2)) }, at(120)))
    );
    timeline.store(started_ok(2));
    timeline.at(140).hello(3);
    timeline.store(dump_found(3, "/var/crash/1"));
    assert!(timeline.newest_dump().found.is_empty(), "of another boot");
}

#[test]
fn the_dump_deadline_is_not_before_the_drivers() {
    let rules = ClassSettings { dump_timeout: seconds(1), ..ClassSettings::default() };
    let mut timeline = running_with(rules);
    timeline.at(100).crash_dump();
    assert_eq!(timeline.deadline(), Some(140));
}

#[test]
fn another_appliance_of_that_name_is_not_dumped() {
    let mut timeline = running();
    let (request, appliance) = (uuid::Uuid::from_u128(5), Some(uuid::Uuid::from_u128(99)));
    let order = DumpOrder { request, appliance, ..DumpOrder::default() };
    let other = AdminCommand::CrashDump { name: name(DB1), order };
    assert_eq!(timeline.command(other), Err(CommandRejection::NotFound { name: name(DB1) }));
}
