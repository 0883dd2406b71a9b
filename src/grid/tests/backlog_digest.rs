//! Tests the digest of spooled alerts, apart from live ones.

use super::driver::*;
use crate::grid::log::input::Input;
use crate::grid::model::mail_message::{
    DIGEST_APPLIANCES_MAX, DeliveryState, MailMessage, NOTICES_MAX,
};
use crate::grid::model::settings::{GridSettings, MAIL_TRIGGERS, MailPolicy};
use crate::grid::values::event::{EventBody, Severity};
use crate::grid::values::id::ApplianceIndex;
use crate::grid::values::outcome::Outcome;
use crate::grid::values::record_flags::RecordFlags;

const ANNA: &str = "anna@example.org";

/// The default rate limits, and mail to Anna.
fn timeline() -> Timeline {
    let on = MAIL_TRIGGERS.into_iter().collect();
    let mail = MailPolicy { recipients: vec![ANNA.into()], triggers: on, ..MailPolicy::default() };
    let mut timeline = Timeline::empty(GridSettings::default().with_mail(Some(mail)));
    timeline.add(DB1);
    timeline.hello(1);
    timeline.store(started_ok(1));
    timeline
}

fn alert(text: &str) -> EventBuilder {
    new_event(1, EventBody::Alert { counter: None }, text)
}

fn queued(timeline: &Timeline) -> Vec<&MailMessage> {
    timeline.grid().state().outbox().messages.values().collect()
}

fn summary(timeline: &Timeline) -> &MailMessage {
    let all = queued(timeline);
    let summaries: Vec<_> = all.into_iter().filter(|it| it.digest.is_some()).collect();
    let [one] = summaries[..] else { panic!("one summary: {summaries:?}") };
    one
}

/// When the only digest is due, in seconds after the beginning.
fn due_at(timeline: &Timeline) -> u64 {
    summary(timeline).due_at.since(at(0)).as_secs()
}

/// The number of mails in flight.
fn in_flight(timeline: &Timeline) -> usize {
    let records = timeline.records.iter();
    records.filter(|record| matches!(record.input, Input::MailDue { .. })).count()
}

#[test]
fn two_hundred_replayed_alerts_are_one_mail() {
    let mut timeline = timeline();
    timeline.at(2_000);
    for number in 0..200_usize {
        let happened = at(1_000 + number as u64);
        timeline.store(
            alert(&format!("disk {}", "x".repeat(number)))
                .with_event_time(happened)
                .spooled(happened),
        );
    }
    timeline.at(3_000);
    assert_eq!(in_flight(&timeline), 1);
    let message = summary(&timeline);
    assert_eq!((message.notices.len(), message.omitted), (NOTICES_MAX, 200 - NOTICES_MAX as u64));
    let late = message.digest.as_ref().expect("a summary");
    assert_eq!((late.first_at, late.last_at, late.total()), (at(1_000), at(1_199), 200));
    assert_eq!(late.appliances, [("db1".into(), 200)]);
    assert_eq!(late.severity_counts[Severity::Error as usize], 200);
}

#[test]
fn live_alerts_do_not_join_a_digest() {
    let mut timeline = timeline();
    timeline.at(100).store(alert("old").spooled(at(50)));
    timeline.store(alert("new"));
    timeline.store(alert("older").spooled(at(40)));
    let texts = |message: &MailMessage| -> Vec<String> {
        message.notices.iter().map(|it| it.text.to_string()).collect()
    };
    assert_eq!(queued(&timeline).len(), 2);
    assert_eq!(texts(summary(&timeline)), ["old", "older"]);
    let live = queued(&timeline).into_iter().find(|it| it.digest.is_none()).expect("a live one");
    assert_eq!((texts(live), live.due_at), (vec!["new".to_owned()], at(130)));
}

#[test]
fn a_digest_waits_after_each_alert_and_ten_minutes_at_most() {
    let mut timeline = timeline();
    for (number, offset) in (100..700).step_by(20).enumerate() {
        timeline.at(offset).store(alert(&format!("a{}", "x".repeat(number))).spooled(at(50)));
        assert_eq!(due_at(&timeline), (offset + 30).min(700));
    }
    timeline.at(701);
    assert_eq!(in_flight(&timeline), 1);
    assert_eq!(summary(&timeline).state, DeliveryState::InFlight);
    // What follows is another one.
    timeline.store(alert("b").spooled(at(50)));
    assert_eq!(queued(&timeline).len(), 2);
}

#[test]
fn a_replayed_failure_of_the_current_boot_is_in_the_digest() {
    let mut timeline = timeline();
    timeline.at(1_000).hello(2);
    let failed = start_failed(2, "no disk").with_event_time(at(1_010)).spooled(at(1_010));
    timeline.at(1_100).store(failed);
    assert_eq!(timeline.failure(), "reported");
    let [notice] = summary(&timeline).notices.as_slice() else { panic!("one notice") };
    assert_eq!((&*notice.topic, &*notice.text), ("start_failed", "start of db1 failed: no disk"));
}

#[test]
fn a_clock_wrong_by_years_dates_no_mail_and_no_alert() {
    for wrong in [at(0).before(seconds(20 * 365 * 86_400)), at(20 * 365 * 86_400)] {
        let mut timeline = timeline();
        timeline.at(500).store(alert("live").with_event_time(wrong));
        let flags = timeline.store(alert("late").with_event_time(wrong).spooled(wrong));
        assert!(flags.contains(RecordFlags::TIME_OFF) && flags.contains(RecordFlags::REPLAYED));
        timeline.store(start_failed(2, "x").with_event_time(wrong));
        for message in queued(&timeline) {
            assert!(message.notices.iter().all(|it| it.at == at(500)), "{message:?}");
        }
        let late = summary(&timeline).digest.as_ref().expect("a summary");
        assert_eq!((late.first_at, late.last_at), (at(500), at(500)));
        assert!(timeline.grid().state().findings().all(|(_, _, alert)| alert.since == at(500)));
    }
}

#[test]
fn a_digest_counts_some_appliances_by_name_and_each_alert_once() {
    let mut timeline = timeline();
    let rows = u32::try_from(DIGEST_APPLIANCES_MAX).expect("few") + 6;
    (2..=rows).for_each(|row| timeline.add(ApplianceIndex(row)));
    for row in (1..=rows).chain([1, rows]) {
        let number = ApplianceIndex(row);
        let (outcome, _) = timeline.receive(alert("a").by(number).spooled(at(0)));
        assert!(matches!(outcome, Outcome::Stored | Outcome::OlderBoot));
    }
    let late = summary(&timeline).digest.as_ref().expect("a summary");
    assert_eq!((late.appliances.len(), late.total()), (DIGEST_APPLIANCES_MAX, u64::from(rows)));
    assert_eq!((late.appliances[0].1, late.others()), (1, 6));
}
