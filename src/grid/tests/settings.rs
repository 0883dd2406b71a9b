//! Tests what new settings change, and what the old ones have decided.

use super::super::occurrence::Occurrence;
use super::driver::*;
use crate::grid::log::applied_settings::AppliedSettings;
use crate::grid::log::effect::Effect;
use crate::grid::model::finding::FindingKind;
use crate::grid::model::settings::ClassSettings;

fn apply_rules(timeline: &mut Timeline, rules: ClassSettings) {
    let (rules, applied) = (Box::new(one_class(rules)), AppliedSettings::default());
    let known = |timeline: &Timeline| -> Vec<Effect> {
        let effects = timeline.grid().state().to_effects().into_iter();
        // Time advances as well.
        effects.filter(|effect| !matches!(effect, Effect::LivedTime { .. })).collect()
    };
    let before = known(timeline);
    timeline.handle(Occurrence::Settings { rules, applied });
    assert_eq!(known(timeline), before, "the record alone changes nothing");
}

fn with_boot_timeout(limit: u64) -> ClassSettings {
    ClassSettings { boot_timeout: Some(seconds(limit)), ..ClassSettings::default() }
}

fn with_lost_contact(limit: u64) -> ClassSettings {
    ClassSettings { lost_contact: seconds(limit), ..ClassSettings::default() }
}

#[test]
fn a_deadline_that_runs_stays_and_the_next_start_has_the_new_one() {
    let mut timeline = Timeline::with(with_boot_timeout(300));
    timeline.hello(1);
    timeline.at(100);
    apply_rules(&mut timeline, with_boot_timeout(600));
    timeline.at(301);
    assert_eq!((timeline.state(), timeline.since()), ("failed", 300));
    timeline.hello(2);
    timeline.at(900);
    assert_eq!(timeline.state(), "starting");
    timeline.at(902);
    assert_eq!((timeline.state(), timeline.since()), ("failed", 901));
}

#[test]
fn silence_is_measured_by_the_new_limit() {
    for (limit, not_yet, then) in [(300, 399, 401), (121, 220, 222)] {
        let mut timeline = Timeline::with(with_lost_contact(120));
        let session = timeline.hello(1);
        timeline.store(started_ok(1).via(session));
        timeline.at(100).close_session(1, session);
        timeline.at(110);
        apply_rules(&mut timeline, with_lost_contact(limit));
        timeline.at(not_yet);
        assert!(!timeline.is_open(FindingKind::NoContact), "{limit}");
        timeline.at(then);
        assert!(timeline.is_open(FindingKind::NoContact), "{limit}");
    }
}

#[test]
fn a_shorter_limit_leaves_at_least_a_minute() {
    let mut timeline = Timeline::with(with_lost_contact(3_600));
    let session = timeline.hello(1);
    timeline.store(started_ok(1).via(session));
    timeline.at(100).close_session(1, session);
    timeline.at(1_000);
    apply_rules(&mut timeline, with_lost_contact(120));
    timeline.at(1_059);
    assert!(!timeline.is_open(FindingKind::NoContact));
    timeline.at(1_061);
    assert!(timeline.is_open(FindingKind::NoContact));
}

#[test]
fn an_appliance_in_a_session_has_no_contact_deadline() {
    let mut timeline = Timeline::new();
    let session = timeline.hello(1);
    timeline.store(started_ok(1).via(session));
    apply_rules(&mut timeline, with_lost_contact(1));
    timeline.at(10_000);
    assert!(!timeline.is_open(FindingKind::NoContact));
}
