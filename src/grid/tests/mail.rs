//! Which mails are owed, and when are they tried? Days of a dead server, told the time.

use std::collections::BTreeSet;

use super::super::effect::{Effect, Matter};
use super::super::event::{Counter, EventKind, Severity};
use super::super::mail::{
    Delivery, MailEffect, MailOrder, Message, MessageNumber, NOTICES_MAX, Standing,
};
use super::super::name::ApplianceNumber;
use super::super::record::Input;
use super::super::settings::{Budgets, ClassSettings, DEFAULT_CLASS, MAIL_WORDS, Mail, Settings};
use super::driver::*;

const ANNA: &str = "anna@example.org";
const OPS: &str = "ops@example.org";

fn settings(on: &[&'static str], recipients: &[&str]) -> Settings {
    let budgets = Budgets::UNLIMITED;
    let rules = ClassSettings { budgets, ..ClassSettings::default() };
    let recipients = recipients.iter().map(|it| Box::from(*it)).collect();
    let on: BTreeSet<_> = on.iter().copied().collect();
    Settings::new([(DEFAULT_CLASS.to_owned(), rules)]).with_mail(Some(Mail {
        recipients,
        on,
        ..Mail::default()
    }))
}

fn story() -> Timeline {
    let mut story = Timeline::empty(settings(&MAIL_WORDS, &[ANNA]));
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

fn first(story: &Timeline) -> &Message {
    owed(story)[0]
}

/// The mail that a record hands over, if it does.
fn handed_over(story: &Timeline) -> Vec<(u64, MessageNumber, u32)> {
    let records = story.records.iter();
    let handed = records.filter(|record| matches!(record.input, Input::MailDue { .. }));
    let under_way = handed.flat_map(|record| {
        record.effects.iter().filter_map(|effect| {
            let Effect::Mail(MailEffect::Stands { message }) = effect else { return None };
            let seconds = record.at.since(at(0)).as_secs();
            let is_under_way = message.standing == Standing::UnderWay;
            is_under_way.then_some((seconds, message.number, message.attempts))
        })
    });
    under_way.collect()
}

fn answer(story: &mut Timeline, number: u64, attempt: u32, delivery: Delivery) {
    story.take(Input::MailAnswered { message: MessageNumber(number), attempt, delivery });
}

fn later() -> Delivery {
    Delivery::Deferred("451 try again later".into())
}

#[test]
fn an_alert_is_owed_by_its_own_record_and_handed_over_after_30_seconds() {
    let mut story = story();
    story.at(10).keep(alert("disk 3 is slow"));
    let record = story.last().clone();
    assert!(record.effects.iter().any(|it| matches!(it, Effect::Mail(MailEffect::Stands { .. }))));
    let message = first(&story).clone();
    assert_eq!((&*message.recipient, message.standing), (ANNA, Standing::Waiting));
    let [notice] = message.notices.as_slice() else { panic!("{message:?}") };
    assert_eq!((&*notice.about, &*notice.matter), ("db1", "disk # is slow"));
    assert_eq!((&*notice.text, notice.record), ("disk 3 is slow", record.number));
    story.at(39);
    assert_eq!(handed_over(&story), []);
    story.at(41);
    assert_eq!(handed_over(&story).len(), 1);
    assert_eq!(story.words(), "mail 1 to anna@example.org handed over, attempt 1");
    answer(&mut story, 1, 1, Delivery::Sent("250 2.0.0 queued".into()));
    assert_eq!(owed(&story).len(), 0);
    assert_eq!(story.words(), "mail 1 to anna@example.org sent, attempt 1: 250 2.0.0 queued");
}

#[test]
fn repeats_counters_and_what_the_settings_leave_out_are_not_mailed() {
    let mut story = Timeline::empty(settings(&["start_failed", "alert"], &[ANNA]));
    story.add(DB1);
    story.hello(1);
    story.keep(alert("disk"));
    story.hear(alert("disk"));
    story.keep(said(1, EventKind::Alert { counter: Counter::new("n", 4.0) }, ""));
    assert_eq!(first(&story).notices.len(), 1);
    // The boot times out, which nobody asked for.
    story.at(400);
    assert_eq!(story.failure(), "boot_timeout");
    assert_eq!(owed(&story).len(), 1);
}

#[test]
fn without_mail_nothing_is_owed() {
    let mut story = Timeline::new();
    story.hello(1);
    story.keep(alert("disk"));
    story.at(400);
    assert_eq!(owed(&story).len(), 0);
}

#[test]
fn the_brokers_verdicts_mail_by_their_words() {
    let mut story = Timeline::empty(settings(&MAIL_WORDS, &[ANNA]));
    for row in 1..=3 {
        story.add(ApplianceNumber(row));
        story.hello_of(ApplianceNumber(row), 1, Some(seconds(0)));
    }
    story.hear(start_failed(1, "no disk"));
    story.hear(maintenance(1, 5, "checking").by(ApplianceNumber(2)));
    story.at(310);
    let notices: Vec<_> = owed(&story).iter().flat_map(|it| it.notices.clone()).collect();
    let words: Vec<_> = notices.iter().map(|it| (&*it.about, &*it.matter)).collect();
    assert_eq!(words, [("db1", "start_failed"), ("db2", "hung"), ("db3", "boot_timeout")]);
    assert_eq!(&*notices[0].text, "start of db1 failed: no disk");
}

#[test]
fn ten_thousand_boot_timeouts_at_once_are_a_handful_of_mails() {
    let count = 10_000;
    let mut story = Timeline::empty(settings(&MAIL_WORDS, &[ANNA, OPS]));
    let driver = &mut story.driver;
    for row in 1..=count {
        let (name, uuid) = (name(ApplianceNumber(row)), uuid::Uuid::from_u128(u128::from(row)));
        driver.handle(Input::Appeared { name: name.clone(), uuid }, at(0));
        let order = super::super::record::Order::StartBoot { name };
        driver.handle(Input::Order { by: "x".into(), order }, at(0));
    }
    let mut bytes = 0;
    for appliance in driver.due(at(301)) {
        for decision in driver.handle_timeout(appliance, at(301)) {
            bytes += decision.record.map_or(0, |record| format!("{record:?}").len());
        }
    }
    let messages: Vec<_> = driver.grid().state().outbox().messages.values().collect();
    assert_eq!(messages.len(), 2, "one each");
    for message in messages {
        assert_eq!(message.notices.len(), NOTICES_MAX);
        assert_eq!(message.more, u64::from(count) - NOTICES_MAX as u64);
    }
    assert!(bytes / 10_000 < 4_000, "{} bytes a record", bytes / 10_000);
}

#[test]
fn a_recipient_gets_sixteen_mild_ones_then_one_in_15_minutes_and_the_rest_folds() {
    let mut story = story();
    let mut number = 0;
    for minute in 1..=180 {
        let mut mild =
            alert(&format!("alert {}", "x".repeat(usize::try_from(minute).expect("small"))));
        mild.0.event.severity = Severity::Warn;
        story.at(minute * 60).keep(mild);
        story.at(minute * 60 + 40);
        for (_, mail, attempt) in handed_over(&story).into_iter().skip(number) {
            number += 1;
            answer(&mut story, mail.0, attempt, Delivery::Sent("250".into()));
        }
    }
    let handed = handed_over(&story);
    // 16 at once; three hours give twelve more.
    assert!((26..=28).contains(&handed.len()), "{handed:?}");
    // What did not go out waits in one mail that says how many there are.
    assert_eq!(owed(&story).len(), 1);
    let waits = story.records.iter().any(|record| {
        matches!(record.input, Input::MailDue { .. })
            && record.effects.iter().any(|it| {
                matches!(it, Effect::Mail(MailEffect::Stands { message })
                if message.standing == Standing::Waiting && message.attempts == 0)
            })
    });
    assert!(waits, "it was put off for its budget");
}

#[test]
fn a_dead_server_is_tried_for_three_days_and_then_it_is_said_loudly() {
    let mut story = story();
    story.keep(alert("disk"));
    let mut tried = 0;
    for hour in 0..80 {
        for minute in 0..60 {
            story.at(60 + hour * 3_600 + minute * 60);
            let handed = handed_over(&story);
            if handed.len() > tried {
                tried = handed.len();
                let (_, mail, attempt) = handed[tried - 1];
                answer(&mut story, mail.0, attempt, later());
            }
        }
    }
    let moments: Vec<u64> = handed_over(&story).iter().map(|it| it.0).collect();
    let pauses: Vec<u64> = moments.windows(2).map(|pair| (pair[1] - pair[0]) / 60).collect();
    assert_eq!(pauses[..7], [1, 2, 4, 8, 16, 32, 60], "{pauses:?}");
    assert!(pauses[7..].iter().all(|pause| (60..=61).contains(pause)), "{pauses:?}");
    assert_eq!(first(&story).standing, Standing::Failed);
    assert_eq!(&*first(&story).last_reply, "451 try again later");
    let open = story.grid().state().alert(None, Matter::MailFails).expect("it is said");
    assert!(open.text.starts_with("mail 1 to anna@example.org is given up: 451"), "{}", open.text);
    // By hand it goes again, and a mail that arrives closes the matter.
    let order = MailOrder::Retry;
    story.take(Input::MailOrdered { by: "anna".into(), message: MessageNumber(1), order });
    story.at(81 * 3_600);
    let (_, mail, attempt) = *handed_over(&story).last().expect("tried");
    answer(&mut story, mail.0, attempt, Delivery::Sent("250".into()));
    assert!(story.grid().state().alert(None, Matter::MailFails).is_none());
    assert_eq!(owed(&story).len(), 0);
}

#[test]
fn a_refused_mail_fails_at_once_and_is_forgotten_after_a_month() {
    let mut story = story();
    story.keep(alert("disk"));
    story.at(31);
    answer(&mut story, 1, 1, Delivery::Refused("550 no such user".into()));
    assert_eq!(first(&story).standing, Standing::Failed);
    assert_eq!(handed_over(&story).len(), 1);
    story.at(30 * 86_400);
    assert_eq!(owed(&story).len(), 1);
    story.at(30 * 86_400 + 60);
    assert_eq!(owed(&story).len(), 0);
    assert_eq!(handed_over(&story).len(), 1);
}

#[test]
fn a_mail_that_failed_is_a_matter_until_it_is_gone_though_others_arrive() {
    let mut story = Timeline::empty(settings(&MAIL_WORDS, &[ANNA, OPS]));
    story.add(DB1);
    story.hello(1);
    story.keep(alert("disk"));
    story.at(31);
    answer(&mut story, 1, 1, Delivery::Refused("550 no such user".into()));
    answer(&mut story, 2, 1, Delivery::Sent("250".into()));
    let is_open = |story: &Timeline| story.grid().state().alert(None, Matter::MailFails).is_some();
    assert!(is_open(&story));
    let (message, order) = (MessageNumber(1), MailOrder::Drop);
    story.take(Input::MailOrdered { by: "anna".into(), message, order });
    assert!(!is_open(&story));
}

#[test]
fn a_mail_dropped_by_hand_is_owed_no_more_and_its_answer_is_not_listened_to() {
    let mut story = story();
    story.keep(alert("disk"));
    story.at(31);
    let (message, order) = (MessageNumber(1), MailOrder::Drop);
    story.take(Input::MailOrdered { by: "anna".into(), message, order });
    assert_eq!(owed(&story).len(), 0);
    let records = story.records.len();
    answer(&mut story, 1, 1, later());
    story.take(Input::MailOrdered { by: "anna".into(), message, order });
    assert_eq!(story.records.len(), records);
}

#[test]
fn what_was_under_way_at_a_stop_is_tried_again_and_an_old_answer_counts_for_nothing() {
    let mut story = story();
    story.keep(alert("disk"));
    story.at(31);
    assert_eq!(first(&story).standing, Standing::UnderWay);
    story.away(seconds(60));
    story.at(92);
    let handed = handed_over(&story);
    assert_eq!(handed.iter().map(|it| it.2).collect::<Vec<_>>(), [1, 2]);
    answer(&mut story, 1, 1, Delivery::Sent("250".into()));
    assert_eq!(owed(&story).len(), 1, "the answer to the attempt before");
    answer(&mut story, 1, 2, Delivery::Sent("250".into()));
    assert_eq!(owed(&story).len(), 0);
}

#[test]
fn a_recipient_gone_from_the_settings_is_owed_still() {
    let mut story = story();
    story.keep(alert("disk"));
    story.away_for(seconds(5), settings(&MAIL_WORDS, &[OPS]));
    story.at(100);
    assert_eq!(handed_over(&story).len(), 1);
    assert_eq!(&*first(&story).recipient, ANNA);
    // Without any mail nobody delivers; it waits.
    story.away_for(seconds(5), Settings::default());
    story.at(200);
    assert_eq!((handed_over(&story).len(), owed(&story).len()), (1, 1));
    // A new number is never one that was given before.
    story.away_for(seconds(5), settings(&MAIL_WORDS, &[OPS]));
    let order = MailOrder::Drop;
    story.take(Input::MailOrdered { by: "anna".into(), message: MessageNumber(1), order });
    story.keep(alert("fan"));
    assert_eq!(first(&story).number, MessageNumber(2));
}
