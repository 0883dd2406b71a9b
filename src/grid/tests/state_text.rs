//! Tests the text of an appliance's state.

use super::super::explain;
use super::driver::*;
use crate::grid::model::lifecycle::Lifecycle;
use crate::grid::model::settings::ClassSettings;
use crate::grid::state::appliance::Appliance;

/// DB1 as `gridctl appliance show` prints it; times are seconds after the beginning.
fn state_text(timeline: &Timeline) -> String {
    explain::describe_state(timeline.db1(), timeline.now)
        .render(|moment| format!("+{}", moment.since(at(0)).as_secs()))
}

#[test]
fn a_start_is_explained_with_the_time_it_has() {
    let mut timeline = Timeline::new();
    assert_eq!(state_text(&timeline), "idle, never booted");
    timeline.at(10).hello(1);
    timeline.at(50);
    assert_eq!(state_text(&timeline), "starting, 40 s of 300 s");
    timeline.at(311);
    assert_eq!(state_text(&timeline), "failed: boot timeout, no report within 300 s at +310");
    timeline.store(started_ok(1));
    assert_eq!(state_text(&timeline), "running since +311");
    timeline.crash_dump();
    assert_eq!(state_text(&timeline), "dumping, deadline in 15 min");
    timeline.at(400).stop();
    assert_eq!(state_text(&timeline), "idle, stopped at +400");
}

#[test]
fn maintenance_is_explained_with_progress_and_promise() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.at(10).store(maintenance(1, 34, "checking database"));
    timeline.at(48);
    let words = "maintenance 34 % \"checking database\", next report due in 22 s";
    assert_eq!(state_text(&timeline), words);
    timeline.at(71);
    let words = "failed: hung, last report \"checking database\" 34 % at +10";
    assert_eq!(state_text(&timeline), words);
}

#[test]
fn a_report_without_a_deadline_is_not_described_as_due() {
    let rules = ClassSettings {
        boot_timeout: None,
        hung_waits_for_boot_deadline: true,
        ..ClassSettings::default()
    };
    let mut timeline = Timeline::with(rules);
    timeline.hello(1);
    timeline.at(40);
    assert_eq!(state_text(&timeline), "starting, 40 s, no limit");
    timeline.store(maintenance(1, 34, ""));
    assert_eq!(state_text(&timeline), "maintenance 34 %");
}

#[test]
fn a_downtime_is_described_in_one_record() {
    let mut timeline = Timeline::new();
    timeline.restart_after(seconds(180));
    let words = "gridd 0.1.0 started, term 2, broker was down for 3 min; \
                 deadlines moved by it, none fires within 60 s";
    assert_eq!(timeline.description(), words);
}

#[test]
fn a_reported_failure_is_described_by_its_reason() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.at(7).store(start_failed(1, "no disk"));
    assert_eq!(state_text(&timeline), "failed: no disk at +7");
    timeline.hello(2);
    timeline.store(start_failed(2, ""));
    assert_eq!(state_text(&timeline), "failed: no reason given at +7");
}

/// The state of a start, without times of receipt.
pub(super) fn start_of(appliance: &Appliance) -> String {
    if let Lifecycle::Maintenance(known) = &appliance.lifecycle {
        return format!("{:?} {}", known.progress, known.text);
    }
    appliance.lifecycle.as_str().to_owned()
}
