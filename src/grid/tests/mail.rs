//! Which mails are owed, and when are they tried? Days of a dead server, told the time.

use std::collections::BTreeSet;

use super::driver::*;
use crate::grid::log::effect::{AlertKind, Effect};
use crate::grid::log::record::Input;
use crate::grid::model::mail_message::{
    Delivery, DeliveryState, MailEffect, MailMessage, MessageNumber, NOTICES_MAX, OutboxCommand,
};
use crate::grid::model::settings::{
    ClassSettings, DEFAULT_CLASS, GridSettings, MAIL_TRIGGERS, MailPolicy, RateLimits,
};
use crate::grid::values::event::{Counter, EventBody, Severity};
use crate::grid::values::id::ApplianceIndex;

const ANNA: &str = "anna@example.org";
const OPS: &str = "ops@example.org";

fn settings(on: &[&'static str], recipients: &[&str]) -> GridSettings {
    let budgets = RateLimits::UNLIMITED;
    let rules = ClassSettings { rate_limits: budgets, ..ClassSettings::default() };
    let recipients = recipients.iter().map(|it| Box::from(*it)).collect();
    let on: BTreeSet<_> = on.iter().copied().collect();
    GridSettings::new([(DEFAULT_CLASS.to_owned(), rules)]).with_mail(Some(MailPolicy {
        recipients,
        triggers: on,
        ..MailPolicy::default()
    }))
}

fn story() -> Timeline {
    let mut story = Timeline::empty(settings(&MAIL_TRIGGERS, &[ANNA]));
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

fn first(story: &Timeline) -> &MailMessage {
    queued(story)[0]
}

/// The mail that a record hands over, if it does.
fn dispatched(story: &Timeline) -> Vec<(u64, MessageNumber, u32)> {
    let records = story.records.iter();
    let handed = records.filter(|record| matches!(record.input, Input::MailDue { .. }));
    let under_way = handed.flat_map(|record| {
        record.effects.iter().filter_map(|effect| {
            let Effect::Mail(MailEffect::Header { message }) = effect else { return None };
            let seconds = record.at.since(at(0)).as_secs();
            let is_under_way = message.state == DeliveryState::InFlight;
            is_under_way.then_some((seconds, message.number, message.attempts))
        })
    });
    under_way.collect()
}

fn complete_delivery(story: &mut Timeline, number: u64, attempt: u32, delivery: Delivery) {
    story.handle(Input::MailDelivery { message: MessageNumber(number), attempt, delivery });
}

fn deferred() -> Delivery {
    Delivery::Deferred("451 try again later".into())
}

#[test]
fn an_alert_is_owed_by_its_own_record_and_handed_over_after_30_seconds() {
    let mut story = story();
    story.at(10).store(alert("disk 3 is slow"));
    let record = story.last().clone();
    assert!(record.effects.iter().any(|it| matches!(it, Effect::Mail(MailEffect::Header { .. }))));
    let message = first(&story).clone();
    assert_eq!((&*message.recipient, message.state), (ANNA, DeliveryState::Waiting));
    let [notice] = message.notices.as_slice() else { panic!("{message:?}") };
    assert_eq!((&*notice.subject, &*notice.topic), ("db1", "disk # is slow"));
    assert_eq!((&*notice.text, notice.record), ("disk 3 is slow", record.number));
    story.at(39);
    assert_eq!(dispatched(&story), []);
    story.at(41);
    assert_eq!(dispatched(&story).len(), 1);
    assert_eq!(story.description(), "mail 1 to anna@example.org handed over, attempt 1");
    complete_delivery(&mut story, 1, 1, Delivery::Sent("250 2.0.0 queued".into()));
    assert_eq!(queued(&story).len(), 0);
    assert_eq!(story.description(), "mail 1 to anna@example.org sent, attempt 1: 250 2.0.0 queued");
}

#[test]
fn repeats_counters_and_what_the_settings_leave_out_are_not_mailed() {
    let mut story = Timeline::empty(settings(&["start_failed", "alert"], &[ANNA]));
    story.add(DB1);
    story.hello(1);
    story.store(alert("disk"));
    story.receive(alert("disk"));
    story.store(new_event(1, EventBody::Alert { counter: Counter::new("n", 4.0) }, ""));
    assert_eq!(first(&story).notices.len(), 1);
    // The boot times out, which nobody asked for.
    story.at(400);
    assert_eq!(story.failure(), "boot_timeout");
    assert_eq!(queued(&story).len(), 1);
}

#[test]
fn without_mail_nothing_is_owed() {
    let mut story = Timeline::new();
    story.hello(1);
    story.store(alert("disk"));
    story.at(400);
    assert_eq!(queued(&story).len(), 0);
}

#[test]
fn the_brokers_verdicts_mail_by_their_words() {
    let mut story = Timeline::empty(settings(&MAIL_TRIGGERS, &[ANNA]));
    for row in 1..=3 {
        story.add(ApplianceIndex(row));
        story.hello_of(ApplianceIndex(row), 1, Some(seconds(0)));
    }
    story.receive(start_failed(1, "no disk"));
    story.receive(maintenance(1, 5, "checking").by(ApplianceIndex(2)));
    story.at(310);
    let notices: Vec<_> = queued(&story).iter().flat_map(|it| it.notices.clone()).collect();
    let words: Vec<_> = notices.iter().map(|it| (&*it.subject, &*it.topic)).collect();
    assert_eq!(words, [("db1", "start_failed"), ("db2", "hung"), ("db3", "boot_timeout")]);
    assert_eq!(&*notices[0].text, "start of db1 failed: no disk");
}

#[test]
fn ten_thousand_boot_timeouts_at_once_are_a_handful_of_mails() {
    let count = 10_000;
    let mut story = Timeline::empty(settings(&MAIL_TRIGGERS, &[ANNA, OPS]));
    let driver = &mut story.driver;
    for row in 1..=count {
        let (name, uuid) = (name(ApplianceIndex(row)), uuid::Uuid::from_u128(u128::from(row)));
        driver.handle(Input::Registered { name: name.clone(), uuid }, at(0));
        let order = crate::grid::log::record::AdminCommand::StartBoot { name };
        driver.handle(Input::Command { by: "x".into(), command: order }, at(0));
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
        assert_eq!(message.omitted, u64::from(count) - NOTICES_MAX as u64);
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
        story.at(minute * 60).store(mild);
        story.at(minute * 60 + 40);
        for (_, mail, attempt) in dispatched(&story).into_iter().skip(number) {
            number += 1;
            complete_delivery(&mut story, mail.0, attempt, Delivery::Sent("250".into()));
        }
    }
    let handed = dispatched(&story);
    // 16 at once; three hours give twelve more.
    assert!((26..=28).contains(&handed.len()), "{handed:?}");
    // What did not go out waits in one mail that says how many there are.
    assert_eq!(queued(&story).len(), 1);
    let waits = story.records.iter().any(|record| {
        matches!(record.input, Input::MailDue { .. })
            && record.effects.iter().any(|it| {
                matches!(it, Effect::Mail(MailEffect::Header { message })
                if message.state == DeliveryState::Waiting && message.attempts == 0)
            })
    });
    assert!(waits, "it was put off for its budget");
}

#[test]
fn a_dead_server_is_tried_for_three_days_and_then_it_is_said_loudly() {
    let mut story = story();
    story.store(alert("disk"));
    let mut tried = 0;
    for hour in 0..80 {
        for minute in 0..60 {
            story.at(60 + hour * 3_600 + minute * 60);
            let handed = dispatched(&story);
            if handed.len() > tried {
                tried = handed.len();
                let (_, mail, attempt) = handed[tried - 1];
                complete_delivery(&mut story, mail.0, attempt, deferred());
            }
        }
    }
    let moments: Vec<u64> = dispatched(&story).iter().map(|it| it.0).collect();
    let pauses: Vec<u64> = moments.windows(2).map(|pair| (pair[1] - pair[0]) / 60).collect();
    assert_eq!(pauses[..7], [1, 2, 4, 8, 16, 32, 60], "{pauses:?}");
    assert!(pauses[7..].iter().all(|pause| (60..=61).contains(pause)), "{pauses:?}");
    assert_eq!(first(&story).state, DeliveryState::Failed);
    assert_eq!(&*first(&story).last_reply, "451 try again later");
    let open = story.grid().state().alert(None, AlertKind::MailFails).expect("it is said");
    assert!(open.text.starts_with("mail 1 to anna@example.org is given up: 451"), "{}", open.text);
    // By hand it goes again, and a mail that arrives closes the matter.
    let order = OutboxCommand::Retry;
    story.handle(Input::MailCommand {
        by: "anna".into(),
        message: MessageNumber(1),
        command: order,
    });
    story.at(81 * 3_600);
    let (_, mail, attempt) = *dispatched(&story).last().expect("tried");
    complete_delivery(&mut story, mail.0, attempt, Delivery::Sent("250".into()));
    assert!(story.grid().state().alert(None, AlertKind::MailFails).is_none());
    assert_eq!(queued(&story).len(), 0);
}

#[test]
fn a_refused_mail_fails_at_once_and_is_forgotten_after_a_month() {
    let mut story = story();
    story.store(alert("disk"));
    story.at(31);
    complete_delivery(&mut story, 1, 1, Delivery::Refused("550 no such user".into()));
    assert_eq!(first(&story).state, DeliveryState::Failed);
    assert_eq!(dispatched(&story).len(), 1);
    story.at(30 * 86_400);
    assert_eq!(queued(&story).len(), 1);
    story.at(30 * 86_400 + 60);
    assert_eq!(queued(&story).len(), 0);
    assert_eq!(dispatched(&story).len(), 1);
}

#[test]
fn a_mail_that_failed_is_a_matter_until_it_is_gone_though_others_arrive() {
    let mut story = Timeline::empty(settings(&MAIL_TRIGGERS, &[ANNA, OPS]));
    story.add(DB1);
    story.hello(1);
    story.store(alert("disk"));
    story.at(31);
    complete_delivery(&mut story, 1, 1, Delivery::Refused("550 no such user".into()));
    complete_delivery(&mut story, 2, 1, Delivery::Sent("250".into()));
    let is_open =
        |story: &Timeline| story.grid().state().alert(None, AlertKind::MailFails).is_some();
    assert!(is_open(&story));
    let (message, order) = (MessageNumber(1), OutboxCommand::Drop);
    story.handle(Input::MailCommand { by: "anna".into(), message, command: order });
    assert!(!is_open(&story));
}

#[test]
fn a_mail_dropped_by_hand_is_owed_no_more_and_its_answer_is_not_listened_to() {
    let mut story = story();
    story.store(alert("disk"));
    story.at(31);
    let (message, order) = (MessageNumber(1), OutboxCommand::Drop);
    story.handle(Input::MailCommand { by: "anna".into(), message, command: order });
    assert_eq!(queued(&story).len(), 0);
    let records = story.records.len();
    complete_delivery(&mut story, 1, 1, deferred());
    story.handle(Input::MailCommand { by: "anna".into(), message, command: order });
    assert_eq!(story.records.len(), records);
}

#[test]
fn what_was_under_way_at_a_stop_is_tried_again_and_an_old_answer_counts_for_nothing() {
    let mut story = story();
    story.store(alert("disk"));
    story.at(31);
    assert_eq!(first(&story).state, DeliveryState::InFlight);
    story.restart_after(seconds(60));
    story.at(92);
    let handed = dispatched(&story);
    assert_eq!(handed.iter().map(|it| it.2).collect::<Vec<_>>(), [1, 2]);
    complete_delivery(&mut story, 1, 1, Delivery::Sent("250".into()));
    assert_eq!(queued(&story).len(), 1, "the answer to the attempt before");
    complete_delivery(&mut story, 1, 2, Delivery::Sent("250".into()));
    assert_eq!(queued(&story).len(), 0);
}

#[test]
fn a_recipient_gone_from_the_settings_is_owed_still() {
    let mut story = story();
    story.store(alert("disk"));
    story.restart_with(seconds(5), settings(&MAIL_TRIGGERS, &[OPS]));
    story.at(100);
    assert_eq!(dispatched(&story).len(), 1);
    assert_eq!(&*first(&story).recipient, ANNA);
    // Without any mail nobody delivers; it waits.
    story.restart_with(seconds(5), GridSettings::default());
    story.at(200);
    assert_eq!((dispatched(&story).len(), queued(&story).len()), (1, 1));
    // A new number is never one that was given before.
    story.restart_with(seconds(5), settings(&MAIL_TRIGGERS, &[OPS]));
    let order = OutboxCommand::Drop;
    story.handle(Input::MailCommand {
        by: "anna".into(),
        message: MessageNumber(1),
        command: order,
    });
    story.store(alert("fan"));
    assert_eq!(first(&story).number, MessageNumber(2));
}
