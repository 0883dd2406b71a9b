//! What new settings change, and what was decided by the old ones.

use super::super::occurrence::Occurrence;
use super::driver::*;
use crate::grid::log::applied_settings::AppliedSettings;
use crate::grid::log::effect::{AlertKind, Effect};
use crate::grid::model::settings::ClassSettings;

fn apply_rules(story: &mut Timeline, rules: ClassSettings) {
    let (rules, applied) = (Box::new(one_class(rules)), AppliedSettings::default());
    let known = |story: &Timeline| -> Vec<Effect> {
        let effects = story.grid().state().to_effects().into_iter();
        // Time goes on all the same.
        effects.filter(|effect| !matches!(effect, Effect::LivedTime { .. })).collect()
    };
    let before = known(story);
    story.handle(Occurrence::Settings { rules, applied });
    assert_eq!(known(story), before, "the record alone changes nothing");
}

fn with_boot_timeout(limit: u64) -> ClassSettings {
    ClassSettings { boot_timeout: Some(seconds(limit)), ..ClassSettings::default() }
}

fn with_lost_contact(limit: u64) -> ClassSettings {
    ClassSettings { lost_contact: seconds(limit), ..ClassSettings::default() }
}

#[test]
fn a_deadline_that_runs_stays_and_the_next_start_has_the_new_one() {
    let mut story = Timeline::with(with_boot_timeout(300));
    story.hello(1);
    story.at(100);
    apply_rules(&mut story, with_boot_timeout(600));
    story.at(301);
    assert_eq!((story.state(), story.since()), ("failed", 300));
    story.hello(2);
    story.at(900);
    assert_eq!(story.state(), "starting");
    story.at(902);
    assert_eq!((story.state(), story.since()), ("failed", 901));
}

#[test]
fn who_is_silent_is_judged_by_the_new_limit() {
    for (limit, not_yet, then) in [(300, 399, 401), (121, 220, 222)] {
        let mut story = Timeline::with(with_lost_contact(120));
        let session = story.hello(1);
        story.store(started_ok(1).via(session));
        story.at(100).close_session(1, session);
        story.at(110);
        apply_rules(&mut story, with_lost_contact(limit));
        story.at(not_yet);
        assert!(!story.is_open(AlertKind::NoContact), "{limit}");
        story.at(then);
        assert!(story.is_open(AlertKind::NoContact), "{limit}");
    }
}

#[test]
fn a_shorter_limit_leaves_a_minute_before_it_is_held_against_anybody() {
    let mut story = Timeline::with(with_lost_contact(3_600));
    let session = story.hello(1);
    story.store(started_ok(1).via(session));
    story.at(100).close_session(1, session);
    story.at(1_000);
    apply_rules(&mut story, with_lost_contact(120));
    story.at(1_059);
    assert!(!story.is_open(AlertKind::NoContact));
    story.at(1_061);
    assert!(story.is_open(AlertKind::NoContact));
}

#[test]
fn who_is_in_a_session_awaits_nothing() {
    let mut story = Timeline::new();
    let session = story.hello(1);
    story.store(started_ok(1).via(session));
    apply_rules(&mut story, with_lost_contact(1));
    story.at(10_000);
    assert!(!story.is_open(AlertKind::NoContact));
}
