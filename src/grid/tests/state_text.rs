//! Tests how a start reads to an administrator.

use super::super::explain;
use super::driver::*;
use crate::grid::model::settings::ClassSettings;

/// DB1 as `gridctl appliance show` puts it; moments are seconds after the beginning.
fn state_text(story: &Timeline) -> String {
    explain::describe_state(story.db1(), story.now)
        .render(|moment| format!("+{}", moment.since(at(0)).as_secs()))
}

#[test]
fn a_start_is_explained_with_the_time_it_has() {
    let mut story = Timeline::new();
    assert_eq!(state_text(&story), "idle, never booted");
    story.at(10).hello(1);
    story.at(50);
    assert_eq!(state_text(&story), "starting, 40 s of 300 s");
    story.at(311);
    assert_eq!(state_text(&story), "failed: boot timeout, nothing heard within 300 s at +310");
    story.store(started_ok(1));
    assert_eq!(state_text(&story), "running since +311");
    story.crash_dump();
    assert_eq!(state_text(&story), "dumping, given up in 15 min");
    story.at(400).stop();
    assert_eq!(state_text(&story), "idle, stopped at +400");
}

#[test]
fn maintenance_is_explained_with_progress_and_promise() {
    let mut story = Timeline::new();
    story.hello(1);
    story.at(10).store(maintenance(1, 34, "checking database"));
    story.at(48);
    let words = "maintenance 34 % \"checking database\", next report due in 22 s";
    assert_eq!(state_text(&story), words);
    story.at(71);
    let words = "failed: hung, last word \"checking database\" 34 % at +10";
    assert_eq!(state_text(&story), words);
}

#[test]
fn a_report_that_is_never_due_is_not_said_to_be() {
    let rules = ClassSettings {
        boot_timeout: None,
        hung_waits_for_boot_deadline: true,
        ..ClassSettings::default()
    };
    let mut story = Timeline::with(rules);
    story.hello(1);
    story.at(40);
    assert_eq!(state_text(&story), "starting, 40 s, no limit");
    story.store(maintenance(1, 34, ""));
    assert_eq!(state_text(&story), "maintenance 34 %");
}

#[test]
fn an_absence_is_told_in_one_record() {
    let mut story = Timeline::new();
    story.restart_after(seconds(180));
    let words = "gridd 0.1.0 started, term 2, broker was away 3 min; \
                 deadlines moved by it, no verdict before 60 s";
    assert_eq!(story.description(), words);
}

#[test]
fn a_failure_by_its_own_word_is_explained_by_its_reason() {
    let mut story = Timeline::new();
    story.hello(1);
    story.at(7).store(start_failed(1, "no disk"));
    assert_eq!(state_text(&story), "failed: no disk at +7");
    story.hello(2);
    story.store(start_failed(2, ""));
    assert_eq!(state_text(&story), "failed: no reason given at +7");
}
