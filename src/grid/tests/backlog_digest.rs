//! What came of what appliances had spooled? One summary, apart from what is live.

use super::driver::*;
use crate::grid::log::record::{Input, Outcome};
use crate::grid::model::mail_message::{
    DIGEST_APPLIANCES_MAX, DeliveryState, MailMessage, NOTICES_MAX,
};
use crate::grid::model::settings::{GridSettings, MAIL_TRIGGERS, MailPolicy};
use crate::grid::values::event::{EventBody, Severity};
use crate::grid::values::id::ApplianceIndex;
use crate::grid::values::record_flags::RecordFlags;

const ANNA: &str = "anna@example.org";

/// The default budgets, and mail to Anna.
fn story() -> Timeline {
    let on = MAIL_TRIGGERS.into_iter().collect();
    let mail = MailPolicy { recipients: vec![ANNA.into()], triggers: on, ..MailPolicy::default() };
    let mut story = Timeline::empty(GridSettings::default().with_mail(Some(mail)));
    story.add(DB1);
    story.hello(1);
    story.store(started_ok(1));
    story
}

fn alert(text: &str) -> EventBuilder {
    new_event(1, EventBody::Alert { counter: None }, text)
}

fn queued(story: &Timeline) -> Vec<&MailMessage> {
    story.grid().state().outbox().messages.values().collect()
}

fn summary(story: &Timeline) -> &MailMessage {
    let all = queued(story);
    let summaries: Vec<_> = all.into_iter().filter(|it| it.digest.is_some()).collect();
    let [one] = summaries[..] else { panic!("one summary: {summaries:?}") };
    one
}

/// When the only summary is due, in seconds after the beginning.
fn due_at(story: &Timeline) -> u64 {
    summary(story).due_at.since(at(0)).as_secs()
}

/// The mails that were handed over.
fn in_flight(story: &Timeline) -> usize {
    let records = story.records.iter();
    records.filter(|record| matches!(record.input, Input::MailDue { .. })).count()
}

#[test]
fn two_hundred_replayed_alerts_are_one_mail() {
    let mut story = story();
    story.at(2_000);
    for number in 0..200 {
        let happened = at(1_000 + number);
        story.store(alert(&format!("disk {number}")).with_event_time(happened).spooled(happened));
    }
    story.at(40_000);
    assert_eq!(in_flight(&story), 1);
    let message = summary(&story);
    assert_eq!((message.notices.len(), message.omitted), (NOTICES_MAX, 200 - NOTICES_MAX as u64));
    let late = message.digest.as_ref().expect("a summary");
    assert_eq!((late.first_at, late.last_at, late.total()), (at(1_000), at(1_199), 200));
    assert_eq!(late.appliances, [("db1".into(), 200)]);
    assert_eq!(late.severity_counts[Severity::Error as usize], 200);
}

#[test]
fn what_is_live_does_not_gather_with_what_is_late() {
    let mut story = story();
    story.at(100).store(alert("old").spooled(at(50)));
    story.store(alert("new"));
    story.store(alert("older").spooled(at(40)));
    let texts = |message: &MailMessage| -> Vec<String> {
        message.notices.iter().map(|it| it.text.to_string()).collect()
    };
    assert_eq!(queued(&story).len(), 2);
    assert_eq!(texts(summary(&story)), ["old", "older"]);
    let live = queued(&story).into_iter().find(|it| it.digest.is_none()).expect("a live one");
    assert_eq!((texts(live), live.due_at), (vec!["new".to_owned()], at(130)));
}

#[test]
fn a_summary_gathers_anew_with_each_alert_and_ten_minutes_at_most() {
    let mut story = story();
    for (number, offset) in (100..700).step_by(20).enumerate() {
        story.at(offset).store(alert(&format!("a{}", "x".repeat(number))).spooled(at(50)));
        assert_eq!(due_at(&story), (offset + 30).min(700));
    }
    story.at(701);
    assert_eq!(in_flight(&story), 1);
    assert_eq!(summary(&story).state, DeliveryState::InFlight);
    // What comes behind it is another one.
    story.store(alert("b").spooled(at(50)));
    assert_eq!(queued(&story).len(), 2);
}

#[test]
fn a_replayed_failure_of_the_present_boot_is_told_by_the_summary() {
    let mut story = story();
    story.at(1_000).hello(2);
    let failed = start_failed(2, "no disk").with_event_time(at(1_010)).spooled(at(1_010));
    story.at(1_100).store(failed);
    assert_eq!(story.failure(), "reported");
    let [notice] = summary(&story).notices.as_slice() else { panic!("one notice") };
    assert_eq!((&*notice.topic, &*notice.text), ("start_failed", "start of db1 failed: no disk"));
}

#[test]
fn a_clock_that_is_wrong_by_years_dates_no_mail_and_no_matter() {
    for wrong in [at(0).before(seconds(20 * 365 * 86_400)), at(20 * 365 * 86_400)] {
        let mut story = story();
        story.at(500).store(alert("live").with_event_time(wrong));
        let marks = story.store(alert("late").with_event_time(wrong).spooled(wrong));
        assert!(marks.contains(RecordFlags::TIME_OFF) && marks.contains(RecordFlags::REPLAYED));
        story.store(start_failed(2, "x").with_event_time(wrong));
        for message in queued(&story) {
            assert!(message.notices.iter().all(|it| it.at == at(500)), "{message:?}");
        }
        let late = summary(&story).digest.as_ref().expect("a summary");
        assert_eq!((late.first_at, late.last_at), (at(500), at(500)));
        assert!(story.grid().state().alerts().all(|(_, _, alert)| alert.since == at(500)));
    }
}

#[test]
fn a_summary_counts_so_many_appliances_by_name_and_all_alerts() {
    let mut story = story();
    let rows = u32::try_from(DIGEST_APPLIANCES_MAX).expect("few") + 6;
    (2..=rows).for_each(|row| story.add(ApplianceIndex(row)));
    for row in (1..=rows).chain([1, rows]) {
        let number = ApplianceIndex(row);
        let (outcome, _) = story.receive(alert("a").by(number).spooled(at(0)));
        assert!(matches!(outcome, Outcome::Stored | Outcome::OlderBoot));
    }
    let late = summary(&story).digest.as_ref().expect("a summary");
    assert_eq!((late.appliances.len(), late.total()), (DIGEST_APPLIANCES_MAX, u64::from(rows) + 2));
    assert_eq!((late.appliances[0].1, late.others()), (2, 7));
}
