//! Tests mails on continuing problems, and what follows when a dead server is back.

use std::collections::BTreeSet;

use super::driver::*;
use crate::grid::log::input::Input;
use crate::grid::model::finding::FindingKind;
use crate::grid::model::mail_message::{
    Delivery, DeliveryState, MessageNumber, Notice, OutboxCommand,
};
use crate::grid::state::outbox::finished_message;
use crate::grid::tests::urgent_mail::{
    SentMail, alert, complete_deliveries, deliver_until, first_mailed_at, grid,
};
use crate::grid::values::event::Severity;
use crate::grid::values::outcome::Outcome;

const DAY: u64 = 86_400;

/// The hours at which an alert of that frequency was mailed, over that many days.
fn hours(every_minutes: u64, days: u64, text: impl Fn(u64) -> String) -> Vec<u64> {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    for number in 0..days * 1_440 / every_minutes {
        deliver_until(&mut timeline, 100 + number * every_minutes * 60, &mut sent);
        timeline.receive(alert(1, Severity::Error, &text(number)));
    }
    deliver_until(&mut timeline, 100 + days * DAY, &mut sent);
    sent.iter().map(|it| it.at / 3_600).collect()
}

#[test]
fn a_continuing_problem_is_mailed_by_the_schedule_and_not_each_time() {
    for minutes in [1, 6, 10, 30, 60, 90] {
        let same = hours(minutes, 1, |_| "disk is full".to_owned());
        assert_eq!(same.len(), 2, "every {minutes} min at {same:?}");
        assert!((4..=5).contains(&same[1]), "every {minutes} min at {same:?}");
        let counting = hours(minutes, 1, |number| format!("disk is {number} MB beyond"));
        // Once a minute is more than the rate limit allows: a mail counts what it suppressed.
        let most = if minutes == 1 { 7 } else { 4 };
        assert!(counting.len() <= most, "every {minutes} min at {counting:?}");
    }
    let weeks = hours(60, 21, |_| "SMART: sectors pend".to_owned());
    // At once, after 4 h, after a day more, and after each week.
    assert_eq!(weeks.len(), 5, "{weeks:?}");
}

#[test]
fn a_problem_that_was_quiet_for_a_day_is_over_and_then_new_again() {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    for hour in [0, 5, 30, 100] {
        deliver_until(&mut timeline, 100 + hour * 3_600, &mut sent);
        timeline.store(alert(1, Severity::Error, "disk is full"));
    }
    deliver_until(&mut timeline, 150 * 3_600, &mut sent);
    let mails: Vec<_> = sent
        .iter()
        .map(|it| {
            let notice = &it.mail.notices[0];
            (it.at / 3_600, notice.is_resolved, notice.occurrences)
        })
        .collect();
    let expected = [
        (0, false, 0),
        (5, false, 1),
        // It was over at 29 h, which nobody had to know at once.
        (30, false, 2),
        (58, true, 1),
        (100, false, 0),
        (128, true, 1),
    ];
    assert_eq!(mails, expected);
    assert_eq!(&*sent[3].mail.notices[0].text, "not reported any more: disk is full");
}

#[test]
fn a_mail_on_a_continuing_problem_has_its_count_and_last_text() {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    for number in 0..60 {
        deliver_until(&mut timeline, 100 + number * 360, &mut sent);
        timeline.receive(alert(1, Severity::Error, &format!("disk is {} % full", 40 + number)));
    }
    let again: Vec<_> =
        sent.iter().map(|it| (it.mail.notices[0].occurrences, &*it.mail.notices[0].text)).collect();
    assert_eq!(again, [(0, "disk is 40 % full"), (39, "disk is 79 % full")]);
}

#[test]
fn a_more_severe_alert_is_new_and_a_milder_one_is_not() {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    for (number, severity) in
        [Severity::Warn, Severity::Error, Severity::Fatal].into_iter().enumerate()
    {
        let second = 100 * (number as u64 + 1);
        deliver_until(&mut timeline, second, &mut sent);
        timeline.store(alert(1, severity, "disk is 97 % full"));
        deliver_until(&mut timeline, second + 31, &mut sent);
        assert_eq!(sent.len(), number + 1, "{severity:?}");
    }
    timeline.store(alert(1, Severity::Warn, "disk is 96 % full"));
    deliver_until(&mut timeline, 500, &mut sent);
    assert_eq!(sent.len(), 3);
}

#[test]
fn starts_of_an_appliance_that_flaps_are_mailed_by_the_schedule() {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    for number in 2..40_u128 {
        let second = u64::try_from(number).expect("small") * 1_200;
        deliver_until(&mut timeline, second, &mut sent);
        timeline.hello(number);
        timeline.store(start_failed(number, "no disk"));
    }
    deliver_until(&mut timeline, 2 * DAY, &mut sent);
    assert!(first_mailed_at(&sent, "is flapping").is_some());
    assert!((4..=9).contains(&sent.len()), "{} mails", sent.len());
}

/// Three days of alerts while the server is dead; then all that is sent when it is back.
fn outage(hours: u64, result: fn(Box<str>) -> Delivery) -> (Timeline, Vec<SentMail>, u64) {
    let (mut timeline, mut sent) = (grid(8, 30), Vec::new());
    for hour in 0..hours {
        for minute in 0..60 {
            let second = 100 + hour * 3_600 + minute * 60;
            timeline.at(second);
            complete_deliveries(&mut timeline, &mut sent, |_| {
                result("at connecting: refused".into())
            });
            if minute == 7 {
                let row = u32::try_from(hour % 8).expect("small") + 1;
                let severity = if hour == 3 { Severity::Fatal } else { Severity::Error };
                let text =
                    format!("part {} fails", "x".repeat(usize::try_from(hour).expect("small") + 1));
                timeline.store(alert(row, severity, &text));
            }
        }
    }
    assert!(sent.is_empty());
    let back = 100 + hours * 3_600;
    (timeline, sent, back)
}

#[test]
fn when_a_server_accepts_mails_again_all_are_sent_within_a_minute_of_the_first() {
    let (mut timeline, mut sent, back) = outage(20, Delivery::Deferred);
    assert!(timeline.grid().state().outbox().messages.len() > 5);
    deliver_until(&mut timeline, back + 7_200, &mut sent);
    let first = sent.first().map(|it| it.at).expect("one goes");
    assert!(
        sent.iter().all(|it| it.at <= first + 60),
        "{:?}",
        sent.iter().map(|it| it.at).collect::<Vec<_>>()
    );
    assert!(sent.len() <= 2, "{} mails", sent.len());
    for hour in 0..20 {
        let text = format!("part {} fails", "x".repeat(hour + 1));
        let is_told = |it: &SentMail| it.mail.notices.iter().any(|notice| *notice.text == *text);
        assert!(sent.iter().any(is_told), "{text}");
    }
    // A mail that was merged into another one refers to it.
    let outbox = timeline.grid().state().outbox();
    let joined = outbox.finished.iter().filter_map(|(number, record)| {
        let record = timeline.records.iter().find(|it| it.number == *record)?;
        finished_message(*number, record)?.1
    });
    assert!(joined.count() > 3);
    assert_eq!(outbox.messages.len(), 0);
    assert!(timeline.grid().state().finding(None, FindingKind::MailFails).is_none());
}

#[test]
fn what_a_dead_server_holds_up_is_two_mails_within_a_minute_of_its_return() {
    let (mut timeline, mut sent, back) = outage(40, Delivery::Unreachable);
    // What came while the first one was in flight is another one.
    assert!(timeline.grid().state().outbox().messages.len() <= 2);
    deliver_until(&mut timeline, back + 60, &mut sent);
    assert!((1..=2).contains(&sent.len()), "{} mails", sent.len());
    let alerts = sent.iter().flat_map(|it| {
        let briefs = it.mail.briefs.iter().map(|it| it.alert);
        it.mail.notices.iter().map(|it| it.alert).chain(briefs)
    });
    assert_eq!(alerts.collect::<BTreeSet<_>>().len(), 40, "all are told");
    let has =
        |matches: fn(&Notice) -> bool| sent.iter().any(|it| it.mail.notices.iter().any(matches));
    assert!(has(|it| it.severity == Severity::Fatal));
    // What is over by now is told as over.
    assert!(has(|it| it.is_resolved));
}

#[test]
fn a_mail_that_is_retried_keeps_its_history_and_has_three_days_more() {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    timeline.store(alert(1, Severity::Error, "disk fails"));
    let mut failed_at = 0;
    for minute in 1..5 * 1_440 {
        timeline.at(minute * 60);
        complete_deliveries(&mut timeline, &mut sent, |_| Delivery::Deferred("451 later".into()));
        let mail = timeline.grid().state().outbox().messages.values().next().expect("it is owed");
        if mail.state == DeliveryState::Failed {
            failed_at = minute * 60;
            break;
        }
    }
    assert!((2 * DAY..=3 * DAY).contains(&failed_at));
    let before = timeline.grid().state().outbox().message(MessageNumber(1)).expect("owed").clone();
    let order = OutboxCommand::Retry;
    timeline.handle(Input::MailCommand {
        by: "anna".into(),
        message: MessageNumber(1),
        command: order,
    });
    let after = timeline.grid().state().outbox().message(MessageNumber(1)).expect("owed").clone();
    assert_eq!((after.queued_at, &after.notices), (before.queued_at, &before.notices));
    assert_eq!((after.attempts, after.state), (before.attempts, DeliveryState::Waiting));
    let mut tried = 0;
    for minute in 1..4 * 1_440 {
        timeline.at(failed_at + minute * 60);
        complete_deliveries(&mut timeline, &mut sent, |_| Delivery::Deferred("451 later".into()));
        tried = minute * 60;
        if timeline.grid().state().outbox().message(MessageNumber(1)).expect("owed").state
            == DeliveryState::Failed
        {
            break;
        }
    }
    assert!((2 * DAY..=3 * DAY).contains(&tried), "{tried}");
}

#[test]
fn another_text_of_a_failure_keeps_its_start() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.at(301);
    let since = timeline.alert(FindingKind::StartFailed).expect("it is open").since;
    assert_eq!(timeline.at(400).receive(start_failed(1, "no disk")).0, Outcome::Stored);
    assert_eq!(timeline.alert(FindingKind::StartFailed).expect("it is open").since, since);
    assert!(timeline.text(FindingKind::StartFailed).contains("no disk"));
}
