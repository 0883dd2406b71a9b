//! Tests when mails are queued and tried, over days with a dead server in simulated time.

use std::collections::BTreeSet;

use super::driver::*;
use crate::grid::log::effect::{Effect, MailEffect};
use crate::grid::log::input::Input;
use crate::grid::model::finding::FindingKind;
use crate::grid::model::mail_message::{
    Delivery, DeliveryState, MailMessage, MessageNumber, NOTICES_MAX, OutboxCommand,
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

fn timeline() -> Timeline {
    let mut timeline = Timeline::empty(settings(&MAIL_TRIGGERS, &[ANNA]));
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

fn first(timeline: &Timeline) -> &MailMessage {
    queued(timeline)[0]
}

/// The mail that a record hands to the mail sender, if it does.
fn dispatched(timeline: &Timeline) -> Vec<(u64, MessageNumber, u32)> {
    let records = timeline.records.iter();
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

fn complete_delivery(timeline: &mut Timeline, number: u64, attempt: u32, delivery: Delivery) {
    timeline.handle(Input::MailDelivery { message: MessageNumber(number), attempt, delivery });
}

fn deferred() -> Delivery {
    Delivery::Deferred("451 try again later".into())
}

#[test]
fn an_alert_is_queued_by_its_record_and_sent_after_30_seconds() {
    let mut timeline = timeline();
    timeline.at(10).store(alert("disk 3 is slow"));
    let record = timeline.last().clone();
    assert!(record.effects.iter().any(|it| matches!(it, Effect::Mail(MailEffect::Header { .. }))));
    let message = first(&timeline).clone();
    assert_eq!((&*message.recipient, message.state), (ANNA, DeliveryState::Waiting));
    let [notice] = message.notices.as_slice() else { panic!("{message:?}") };
    assert_eq!((&*notice.subject, &*notice.topic), ("db1", "disk 3 is slow"));
    assert_eq!((&*notice.text, notice.record), ("disk 3 is slow", record.number));
    timeline.at(39);
    assert_eq!(dispatched(&timeline), []);
    timeline.at(41);
    assert_eq!(dispatched(&timeline).len(), 1);
    assert_eq!(
        timeline.description(),
        "mail 1 to anna@example.org handed to the mail sender, attempt 1"
    );
    complete_delivery(&mut timeline, 1, 1, Delivery::Sent("250 2.0.0 queued".into()));
    assert_eq!(queued(&timeline).len(), 0);
    assert_eq!(
        timeline.description(),
        "mail 1 to anna@example.org sent, attempt 1: 250 2.0.0 queued"
    );
}

#[test]
fn repeats_counters_and_what_the_settings_leave_out_are_not_mailed() {
    let mut timeline = Timeline::empty(settings(&["start_failed", "alert"], &[ANNA]));
    timeline.add(DB1);
    timeline.hello(1);
    timeline.store(alert("disk"));
    timeline.receive(alert("disk"));
    timeline.store(new_event(1, EventBody::Alert { counter: Counter::new("n", 4.0) }, ""));
    assert_eq!(first(&timeline).notices.len(), 1);
    // The boot times out, which does not trigger a mail here.
    timeline.at(400);
    assert_eq!(timeline.failure(), "boot_timeout");
    assert_eq!(queued(&timeline).len(), 1);
}

#[test]
fn without_mail_settings_nothing_is_queued() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.store(alert("disk"));
    timeline.at(400);
    assert_eq!(queued(&timeline).len(), 0);
}

#[test]
fn alerts_of_the_broker_are_mailed_by_their_trigger() {
    let mut timeline = Timeline::empty(settings(&MAIL_TRIGGERS, &[ANNA]));
    for row in 1..=3 {
        timeline.add(ApplianceIndex(row));
        timeline.hello_of(ApplianceIndex(row), 1, Some(seconds(0)));
    }
    timeline.receive(start_failed(1, "no disk"));
    timeline.receive(maintenance(1, 5, "checking").by(ApplianceIndex(2)));
    timeline.at(310);
    let notices: Vec<_> = queued(&timeline).iter().flat_map(|it| it.notices.clone()).collect();
    let words: Vec<_> = notices.iter().map(|it| (&*it.subject, &*it.topic)).collect();
    assert_eq!(words, [("db1", "start_failed"), ("db2", "hung"), ("db3", "boot_timeout")]);
    assert_eq!(&*notices[0].text, "start of db1 failed: no disk");
}

#[test]
fn ten_thousand_boot_timeouts_at_once_are_a_handful_of_mails() {
    let count = 10_000;
    let mut timeline = Timeline::empty(settings(&MAIL_TRIGGERS, &[ANNA, OPS]));
    let driver = &mut timeline.driver;
    for row in 1..=count {
        let (name, uuid) = (name(ApplianceIndex(row)), uuid::Uuid::from_u128(u128::from(row)));
        driver.handle(Input::Registered { name: name.clone(), uuid }, at(0));
        let order = crate::grid::log::command::AdminCommand::StartBoot { name };
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
fn a_recipient_gets_sixteen_routine_mails_then_one_per_15_minutes_with_the_rest() {
    let mut timeline = timeline();
    let mut number = 0;
    for minute in 1..=180 {
        let mut mild =
            alert(&format!("alert {}", "x".repeat(usize::try_from(minute).expect("small"))));
        mild.0.event.severity = Severity::Warn;
        timeline.at(minute * 60).store(mild);
        timeline.at(minute * 60 + 40);
        for (_, mail, attempt) in dispatched(&timeline).into_iter().skip(number) {
            number += 1;
            complete_delivery(&mut timeline, mail.0, attempt, Delivery::Sent("250".into()));
        }
    }
    let handed = dispatched(&timeline);
    // 16 at once; three hours give twelve more.
    assert!((26..=28).contains(&handed.len()), "{handed:?}");
    // What was not sent waits in one mail that counts the rest.
    assert_eq!(queued(&timeline).len(), 1);
    let waits = timeline.records.iter().any(|record| {
        matches!(record.input, Input::MailDue { .. })
            && record.effects.iter().any(|it| {
                matches!(it, Effect::Mail(MailEffect::Header { message })
                if message.state == DeliveryState::Waiting && message.attempts == 0)
            })
    });
    assert!(waits, "it was put off for its budget");
}

#[test]
fn a_dead_server_is_tried_for_three_days_and_then_an_alert_is_opened() {
    let mut timeline = timeline();
    timeline.store(alert("disk"));
    let mut tried = 0;
    for hour in 0..80 {
        for minute in 0..60 {
            timeline.at(60 + hour * 3_600 + minute * 60);
            let handed = dispatched(&timeline);
            for (_, mail, attempt) in handed.iter().skip(tried) {
                complete_delivery(&mut timeline, mail.0, *attempt, deferred());
            }
            tried = handed.len();
        }
    }
    let all = dispatched(&timeline);
    let moments: Vec<u64> =
        all.iter().filter(|it| it.1 == MessageNumber(1)).map(|it| it.0).collect();
    let pauses: Vec<u64> = moments.windows(2).map(|pair| (pair[1] - pair[0]) / 60).collect();
    assert_eq!(pauses[..5], [1, 2, 4, 8, 15], "{pauses:?}");
    assert!(pauses[5..].iter().all(|pause| (15..=16).contains(pause)), "{pauses:?}");
    assert_eq!(first(&timeline).state, DeliveryState::Failed);
    assert_eq!(&*first(&timeline).last_reply, "451 try again later");
    let open = timeline.grid().state().finding(None, FindingKind::MailFails).expect("it is said");
    assert!(
        open.text.starts_with("mail 1 to anna@example.org failed permanently: 451"),
        "{}",
        open.text
    );
    // A manual retry sends it, and its delivery resolves the alert.
    let order = OutboxCommand::Retry;
    timeline.handle(Input::MailCommand {
        by: "anna".into(),
        message: MessageNumber(1),
        command: order,
    });
    for _ in 0..3 {
        timeline.at(81 * 3_600);
        for (_, mail, attempt) in dispatched(&timeline).into_iter().skip(tried) {
            complete_delivery(&mut timeline, mail.0, attempt, Delivery::Sent("250".into()));
        }
    }
    assert!(timeline.grid().state().finding(None, FindingKind::MailFails).is_none());
    assert_eq!(queued(&timeline).len(), 0);
}

#[test]
fn a_refused_mail_fails_at_once_and_is_forgotten_after_a_month() {
    let mut timeline = timeline();
    timeline.store(alert("disk"));
    timeline.at(31);
    complete_delivery(&mut timeline, 1, 1, Delivery::Refused("550 no such user".into()));
    assert_eq!(first(&timeline).state, DeliveryState::Failed);
    assert_eq!(dispatched(&timeline).len(), 1);
    timeline.at(30 * 86_400);
    let is_kept = |timeline: &Timeline| first(timeline).number == MessageNumber(1);
    assert!(is_kept(&timeline));
    timeline.at(30 * 86_400 + 60);
    assert!(!is_kept(&timeline));
    let tries = dispatched(&timeline).into_iter().filter(|it| it.1 == MessageNumber(1));
    assert_eq!(tries.count(), 1);
}

#[test]
fn a_failed_mail_keeps_its_alert_open_until_it_is_removed() {
    let mut timeline = Timeline::empty(settings(&MAIL_TRIGGERS, &[ANNA, OPS]));
    timeline.add(DB1);
    timeline.hello(1);
    timeline.store(alert("disk"));
    timeline.at(31);
    complete_delivery(&mut timeline, 1, 1, Delivery::Refused("550 no such user".into()));
    complete_delivery(&mut timeline, 2, 1, Delivery::Sent("250".into()));
    let is_open = |timeline: &Timeline| {
        timeline.grid().state().finding(None, FindingKind::MailFails).is_some()
    };
    assert!(is_open(&timeline));
    let (message, order) = (MessageNumber(1), OutboxCommand::Drop);
    timeline.handle(Input::MailCommand { by: "anna".into(), message, command: order });
    assert!(!is_open(&timeline));
}

#[test]
fn a_dropped_mail_is_removed_and_its_late_result_is_ignored() {
    let mut timeline = timeline();
    timeline.store(alert("disk"));
    timeline.at(31);
    let (message, order) = (MessageNumber(1), OutboxCommand::Drop);
    timeline.handle(Input::MailCommand { by: "anna".into(), message, command: order });
    assert_eq!(queued(&timeline).len(), 0);
    let records = timeline.records.len();
    complete_delivery(&mut timeline, 1, 1, deferred());
    timeline.handle(Input::MailCommand { by: "anna".into(), message, command: order });
    assert_eq!(timeline.records.len(), records);
}

#[test]
fn a_mail_in_flight_at_a_stop_is_tried_again_and_its_old_result_is_ignored() {
    let mut timeline = timeline();
    timeline.store(alert("disk"));
    timeline.at(31);
    assert_eq!(first(&timeline).state, DeliveryState::InFlight);
    timeline.restart_after(seconds(60));
    timeline.at(92);
    let handed = dispatched(&timeline);
    assert_eq!(handed.iter().map(|it| it.2).collect::<Vec<_>>(), [1, 2]);
    complete_delivery(&mut timeline, 1, 1, Delivery::Sent("250".into()));
    assert_eq!(queued(&timeline).len(), 1, "the answer to the attempt before");
    complete_delivery(&mut timeline, 1, 2, Delivery::Sent("250".into()));
    assert_eq!(queued(&timeline).len(), 0);
}

#[test]
fn a_recipient_removed_from_the_settings_keeps_its_queued_mail() {
    let mut timeline = timeline();
    timeline.store(alert("disk"));
    timeline.restart_with(seconds(5), settings(&MAIL_TRIGGERS, &[OPS]));
    timeline.at(100);
    assert_eq!(dispatched(&timeline).len(), 1);
    assert_eq!(&*first(&timeline).recipient, ANNA);
    // Without mail settings nothing is delivered; it waits.
    timeline.restart_with(seconds(5), GridSettings::default());
    timeline.at(200);
    assert_eq!((dispatched(&timeline).len(), queued(&timeline).len()), (1, 1));
    // A number is never used again.
    timeline.restart_with(seconds(5), settings(&MAIL_TRIGGERS, &[OPS]));
    let order = OutboxCommand::Drop;
    timeline.handle(Input::MailCommand {
        by: "anna".into(),
        message: MessageNumber(1),
        command: order,
    });
    timeline.store(alert("fan"));
    assert_eq!(first(&timeline).number, MessageNumber(2));
}
