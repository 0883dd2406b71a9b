//! Tests how alerts open, end, flap and are acknowledged, and what is mailed of that.

use super::driver::*;
use crate::grid::decide::Reply;
use crate::grid::decide::alerts::OPEN_ALERTS_MAX;
use crate::grid::decide::alerts::command::AlertRejection;
use crate::grid::log::alert_input::{AlertCommand, AlertInput};
use crate::grid::log::command::AdminCommand;
use crate::grid::log::input::Input;
use crate::grid::model::alert::{Alert, AlertStepKind, EndCause};
use crate::grid::model::notification::NotificationReason;
use crate::grid::model::settings::{ClassSettings, RateLimits};
use crate::grid::tests::urgent_mail::{SentMail, alert, deliver_until, grid};
use crate::grid::values::event::Severity;
use crate::grid::values::id::AlertId;
use crate::grid::values::outcome::Outcome;

const HOUR: u64 = 3_600;

fn resolved(row: u32, text: &str) -> EventBuilder {
    let mut event = alert(row, Severity::Error, text);
    event.0.event.is_resolved = true;
    event
}

fn newest(timeline: &Timeline) -> &Alert {
    timeline.grid().state().alerts().iter().last().expect("an alert")
}

fn command(
    timeline: &mut Timeline,
    id: u64,
    command: AlertCommand,
) -> Result<AlertId, AlertRejection> {
    let input = AlertInput::Command { by: "anna".into(), id: AlertId(id), command };
    let reply = timeline.handle(Input::Alert(input)).reply;
    let Reply::Alert(reply) = reply else { panic!("no reply about an alert: {reply:?}") };
    reply
}

fn acknowledge(timeline: &mut Timeline, id: u64, until: Option<u64>) {
    let until = until.map(at);
    let ack = AlertCommand::Acknowledge { until, note: "on it".into(), is_first: false };
    assert_eq!(command(timeline, id, ack), Ok(AlertId(id)));
}

/// Each mail: when, in seconds, and whether its first notice says that it is over.
fn mails(sent: &[SentMail]) -> Vec<(u64, bool)> {
    sent.iter().map(|it| (it.at, it.mail.notices[0].is_resolved)).collect()
}

#[test]
fn an_alert_is_open_until_its_appliance_says_that_it_is_over() {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    deliver_until(&mut timeline, 100, &mut sent);
    timeline.store(alert(1, Severity::Error, "array md0 is degraded, 1 of 2"));
    let open = newest(&timeline);
    assert_eq!(
        (open.kind, &*open.key, open.state()),
        ("event", "array md0 is degraded, # of #", "open")
    );
    deliver_until(&mut timeline, 2 * HOUR, &mut sent);
    timeline.store(resolved(1, "array md0 is degraded, 2 of 2"));
    let end = newest(&timeline).end.expect("it is over");
    assert_eq!((end.cause, end.at), (EndCause::Appliance, at(2 * HOUR)));
    deliver_until(&mut timeline, 48 * HOUR, &mut sent);
    assert_eq!(mails(&sent), [(130, false), (2 * HOUR + 900, true)]);
    // Its end is said once more: there is nothing to end.
    timeline.store(resolved(1, "array md0 is degraded, 2 of 2"));
    assert_eq!(timeline.grid().state().alerts().iter().len(), 1);
}

#[test]
fn the_end_of_an_alert_passes_every_rate_limit() {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    timeline.store(alert(1, Severity::Error, "array is degraded"));
    for number in 0..200 {
        timeline.receive(alert(1, Severity::Error, &format!("noise {}", "x".repeat(number))));
    }
    assert_eq!(timeline.receive(alert(1, Severity::Error, "more")).0, Outcome::Suppressed);
    assert_eq!(timeline.receive(resolved(1, "array is degraded")).0, Outcome::Stored);
    deliver_until(&mut timeline, 600, &mut sent);
    let first = timeline.grid().state().alerts().get(AlertId(1)).expect("known");
    assert!(!first.is_open());
}

#[test]
fn the_same_alert_after_its_end_opens_it_again() {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    timeline.store(alert(1, Severity::Error, "link is down"));
    deliver_until(&mut timeline, 60, &mut sent);
    timeline.store(resolved(1, "link is down"));
    deliver_until(&mut timeline, 70, &mut sent);
    // Without its end it would be a repeat.
    timeline.store(alert(1, Severity::Error, "link is down"));
    let again = newest(&timeline);
    assert_eq!((again.id, again.is_open(), again.reopenings), (AlertId(1), true, 1));
    // A day later it is another problem.
    timeline.store(resolved(1, "link is down"));
    deliver_until(&mut timeline, 24 * HOUR, &mut sent);
    timeline.store(alert(1, Severity::Error, "link is down"));
    assert_eq!(newest(&timeline).id, AlertId(2));
}

#[test]
fn what_flaps_is_few_mails_and_the_last_one_says_what_holds() {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    for number in 0..40 {
        deliver_until(&mut timeline, 100 + number * 1_800, &mut sent);
        timeline.receive(alert(1, Severity::Error, "link is down"));
        deliver_until(&mut timeline, 1_000 + number * 1_800, &mut sent);
        timeline.receive(resolved(1, "link is down"));
    }
    deliver_until(&mut timeline, 72 * HOUR, &mut sent);
    assert!((3..=7).contains(&sent.len()), "{:?}", mails(&sent));
    assert!(sent.last().expect("mails").mail.notices[0].is_resolved);
    assert_eq!(sent[0].at, 130, "the first one at once");
}

#[test]
fn an_acknowledgement_stops_repeats_but_not_what_is_graver() {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    let report = |timeline: &mut Timeline, severity, number: u64| {
        timeline.receive(alert(1, severity, &format!("disk is {number} % full")));
    };
    report(&mut timeline, Severity::Warn, 90);
    deliver_until(&mut timeline, 60, &mut sent);
    acknowledge(&mut timeline, 1, None);
    assert_eq!(newest(&timeline).state(), "acknowledged");
    for hour in 1..20 {
        deliver_until(&mut timeline, hour * HOUR, &mut sent);
        report(&mut timeline, Severity::Warn, 90 + hour);
    }
    assert_eq!(mails(&sent), [(30, false)]);
    report(&mut timeline, Severity::Error, 99);
    deliver_until(&mut timeline, 19 * HOUR + 31, &mut sent);
    assert_eq!(mails(&sent)[1..], [(19 * HOUR + 30, false)]);
    assert!(sent[1].mail.notices[0].acknowledged);
    // That it is over is told, and who took care of it stays with the alert.
    timeline.store(resolved(1, "disk is 50 % full"));
    deliver_until(&mut timeline, 20 * HOUR, &mut sent);
    assert_eq!(mails(&sent)[2..], [(19 * HOUR + 30 + 901, true)]);
    assert_eq!(newest(&timeline).acknowledgement.as_ref().map(|it| &*it.by), Some("anna"));
}

#[test]
fn an_acknowledgement_ends_at_its_time_and_the_alert_is_told_again() {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    timeline.store(alert(1, Severity::Error, "disk is full"));
    deliver_until(&mut timeline, 60, &mut sent);
    acknowledge(&mut timeline, 1, Some(2 * HOUR));
    deliver_until(&mut timeline, 3 * HOUR, &mut sent);
    assert_eq!(mails(&sent), [(30, false), (2 * HOUR + 900, false)]);
    assert_eq!(newest(&timeline).state(), "open");
    let kinds: Vec<_> = newest(&timeline).steps.iter().map(|step| step.kind).collect();
    assert_eq!(
        kinds,
        [
            AlertStepKind::Opened,
            AlertStepKind::Decided(NotificationReason::New),
            AlertStepKind::Acknowledged,
            AlertStepKind::Decided(NotificationReason::Acknowledged),
            AlertStepKind::AcknowledgementEnded,
            AlertStepKind::Decided(NotificationReason::Reopened),
        ]
    );
}

#[test]
fn an_administrator_resolves_an_alert_once() {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    timeline.store(alert(1, Severity::Error, "disk is full"));
    deliver_until(&mut timeline, 60, &mut sent);
    let resolve = AlertCommand::Resolve { note: "replaced".into() };
    assert_eq!(command(&mut timeline, 1, resolve.clone()), Ok(AlertId(1)));
    assert_eq!(timeline.description(), "alert 1 (disk is full) resolved: replaced");
    let refused = command(&mut timeline, 1, resolve.clone()).expect_err("it is over");
    assert_eq!(refused.to_string(), "alert 1 is over; `gridctl alert show 1` says since when");
    let refused = command(&mut timeline, 9, resolve).expect_err("unknown");
    assert_eq!(
        refused.to_string(),
        "there is no alert 9; `gridctl alert list` shows those that are open"
    );
}

#[test]
fn a_link_acknowledges_once_and_a_past_end_is_refused() {
    let mut timeline = grid(1, 30);
    timeline.at(100).store(alert(1, Severity::Error, "disk is full"));
    let past = AlertCommand::Acknowledge { until: Some(at(50)), note: "".into(), is_first: false };
    assert_eq!(
        command(&mut timeline, 1, past),
        Err(AlertRejection::UntilPassed { id: AlertId(1) })
    );
    let link = AlertCommand::Acknowledge { until: None, note: "".into(), is_first: true };
    assert!(command(&mut timeline, 1, link.clone()).is_ok());
    let (id, by) = (AlertId(1), "anna".into());
    assert_eq!(command(&mut timeline, 1, link), Err(AlertRejection::Acknowledged { id, by }));
    assert!(command(&mut timeline, 1, AlertCommand::Unacknowledge).is_ok());
    let refused = command(&mut timeline, 1, AlertCommand::Unacknowledge);
    assert_eq!(refused, Err(AlertRejection::NotAcknowledged { id }));
}

#[test]
fn a_failed_start_is_an_alert_until_the_next_good_one() {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    deliver_until(&mut timeline, 100, &mut sent);
    timeline.store(start_failed(2, "no disk"));
    let open = newest(&timeline);
    assert_eq!((open.kind, &*open.text), ("start_failed", "start of db1 failed: no disk"));
    deliver_until(&mut timeline, 200, &mut sent);
    timeline.store(started_ok(3));
    assert_eq!(newest(&timeline).end.map(|end| end.cause), Some(EndCause::Condition));
    deliver_until(&mut timeline, 2_000, &mut sent);
    assert_eq!(mails(&sent), [(130, false), (1_100, true)]);
}

#[test]
fn a_suppression_that_goes_on_and_lost_events_are_alerts() {
    let mut timeline = grid(1, 30);
    for second in 100..1_000 {
        timeline.at(second).receive(log(1));
    }
    let kinds: Vec<_> = timeline.grid().state().alerts().open().map(|it| it.kind).collect();
    assert_eq!(kinds, ["suppression"]);
    timeline.at(10_000);
    assert_eq!(timeline.grid().state().alerts().open().count(), 0);
}

#[test]
fn an_appliance_has_a_bounded_number_of_open_alerts() {
    let rates = RateLimits::UNLIMITED;
    let mut timeline =
        Timeline::with(ClassSettings { rate_limits: rates, ..ClassSettings::default() });
    timeline.hello(1);
    for number in 0..OPEN_ALERTS_MAX + 10 {
        let text = format!("alert {}", "x".repeat(number + 1));
        timeline.at(number as u64 + 1).store(alert(1, Severity::Error, &text));
    }
    let alerts = timeline.grid().state().alerts();
    assert_eq!(alerts.open().count(), OPEN_ALERTS_MAX);
    let first = alerts.get(AlertId(1)).and_then(|it| it.end).expect("the oldest went");
    assert_eq!(first.cause, EndCause::Displaced);
}

#[test]
fn alerts_go_with_their_appliance_and_long_after_their_end() {
    let mut timeline = grid(2, 30);
    timeline.at(100).store(alert(1, Severity::Error, "disk is full"));
    timeline.store(alert(2, Severity::Error, "disk is full"));
    timeline.command(AdminCommand::Remove { name: name(DB1) }).expect("known");
    let left: Vec<_> = timeline.grid().state().alerts().iter().map(|it| it.id).collect();
    assert_eq!(left, [AlertId(2)]);
    timeline.at(32 * 24 * HOUR);
    assert_eq!(timeline.grid().state().alerts().iter().len(), 0);
    // Numbers are never used again.
    timeline.store(alert(2, Severity::Error, "disk is full"));
    assert_eq!(newest(&timeline).id, AlertId(3));
}
