//! What came of what appliances had spooled? One summary, apart from what is live.

use super::super::event::{EventKind, Severity};
use super::super::mail::{LATE_APPLIANCES_MAX, Message, NOTICES_MAX, Standing};
use super::super::marks::Marks;
use super::super::name::ApplianceNumber;
use super::super::record::{Input, Outcome};
use super::super::settings::{MAIL_WORDS, Mail, Settings};
use super::driver::*;

const ANNA: &str = "anna@example.org";

/// The default budgets, and mail to Anna.
fn story() -> Timeline {
    let on = MAIL_WORDS.into_iter().collect();
    let mail = Mail { recipients: vec![ANNA.into()], on, ..Mail::default() };
    let mut story = Timeline::empty(Settings::default().with_mail(Some(mail)));
    story.add(DB1);
    story.hello(1);
    story.keep(started_ok(1));
    story
}

fn alert(text: &str) -> Said {
    said(1, EventKind::Alert { counter: None }, text)
}

fn owed(story: &Timeline) -> Vec<&Message> {
    story.grid().state().outbox().messages.values().collect()
}

fn summary(story: &Timeline) -> &Message {
    let all = owed(story);
    let summaries: Vec<_> = all.into_iter().filter(|it| it.late.is_some()).collect();
    let [one] = summaries[..] else { panic!("one summary: {summaries:?}") };
    one
}

/// When the only summary is due, in seconds after the beginning.
fn due(story: &Timeline) -> u64 {
    summary(story).due.since(at(0)).as_secs()
}

/// The mails that were handed over.
fn handed_over(story: &Timeline) -> usize {
    let records = story.records.iter();
    records.filter(|record| matches!(record.input, Input::MailDue { .. })).count()
}

#[test]
fn two_hundred_replayed_alerts_are_one_mail() {
    let mut story = story();
    story.at(2_000);
    for number in 0..200 {
        let happened = at(1_000 + number);
        story.keep(alert(&format!("disk {number}")).dated(happened).spooled(happened));
    }
    story.at(40_000);
    assert_eq!(handed_over(&story), 1);
    let message = summary(&story);
    assert_eq!((message.notices.len(), message.more), (NOTICES_MAX, 200 - NOTICES_MAX as u64));
    let late = message.late.as_ref().expect("a summary");
    assert_eq!((late.first_at, late.last_at, late.total()), (at(1_000), at(1_199), 200));
    assert_eq!(late.appliances, [("db1".into(), 200)]);
    assert_eq!(late.severities[Severity::Error as usize], 200);
}

#[test]
fn what_is_live_does_not_gather_with_what_is_late() {
    let mut story = story();
    story.at(100).keep(alert("old").spooled(at(50)));
    story.keep(alert("new"));
    story.keep(alert("older").spooled(at(40)));
    let texts = |message: &Message| -> Vec<String> {
        message.notices.iter().map(|it| it.text.to_string()).collect()
    };
    assert_eq!(owed(&story).len(), 2);
    assert_eq!(texts(summary(&story)), ["old", "older"]);
    let live = owed(&story).into_iter().find(|it| it.late.is_none()).expect("a live one");
    assert_eq!((texts(live), live.due), (vec!["new".to_owned()], at(130)));
}

#[test]
fn a_summary_gathers_anew_with_each_alert_and_ten_minutes_at_most() {
    let mut story = story();
    for (number, offset) in (100..700).step_by(20).enumerate() {
        story.at(offset).keep(alert(&format!("a{}", "x".repeat(number))).spooled(at(50)));
        assert_eq!(due(&story), (offset + 30).min(700));
    }
    story.at(701);
    assert_eq!(handed_over(&story), 1);
    assert_eq!(summary(&story).standing, Standing::UnderWay);
    // What comes behind it is another one.
    story.keep(alert("b").spooled(at(50)));
    assert_eq!(owed(&story).len(), 2);
}

#[test]
fn a_replayed_failure_of_the_present_boot_is_told_by_the_summary() {
    let mut story = story();
    story.at(1_000).hello(2);
    let failed = start_failed(2, "no disk").dated(at(1_010)).spooled(at(1_010));
    story.at(1_100).keep(failed);
    assert_eq!(story.failure(), "reported");
    let [notice] = summary(&story).notices.as_slice() else { panic!("one notice") };
    assert_eq!((&*notice.matter, &*notice.text), ("start_failed", "start of db1 failed: no disk"));
}

#[test]
fn a_clock_that_is_wrong_by_years_dates_no_mail_and_no_matter() {
    for wrong in [at(0).before(seconds(20 * 365 * 86_400)), at(20 * 365 * 86_400)] {
        let mut story = story();
        story.at(500).keep(alert("live").dated(wrong));
        let marks = story.keep(alert("late").dated(wrong).spooled(wrong));
        assert!(marks.has(Marks::TIME_OFF) && marks.has(Marks::REPLAYED));
        story.keep(start_failed(2, "x").dated(wrong));
        for message in owed(&story) {
            assert!(message.notices.iter().all(|it| it.at == at(500)), "{message:?}");
        }
        let late = summary(&story).late.as_ref().expect("a summary");
        assert_eq!((late.first_at, late.last_at), (at(500), at(500)));
        assert!(story.grid().state().alerts().all(|(_, _, alert)| alert.since == at(500)));
    }
}

#[test]
fn a_summary_counts_so_many_appliances_by_name_and_all_alerts() {
    let mut story = story();
    let rows = u32::try_from(LATE_APPLIANCES_MAX).expect("few") + 6;
    (2..=rows).for_each(|row| story.add(ApplianceNumber(row)));
    for row in (1..=rows).chain([1, rows]) {
        let number = ApplianceNumber(row);
        let (outcome, _) = story.hear(alert("a").by(number).spooled(at(0)));
        assert!(matches!(outcome, Outcome::Kept | Outcome::History));
    }
    let late = summary(&story).late.as_ref().expect("a summary");
    assert_eq!((late.appliances.len(), late.total()), (LATE_APPLIANCES_MAX, u64::from(rows) + 2));
    assert_eq!((late.appliances[0].1, late.others()), (2, 7));
}
