//! What is kept of admission and of mails reads back as it was written.

use std::time::Duration;

use uuid::Uuid;

use super::tests::{ROW, at, boot, reads_back, record, spool};
use crate::grid::admission::{Admission, BudgetName, Counts, PlainOutcome, Spent, Suppression};
use crate::grid::alert_key::AlertKey;
use crate::grid::effect::{Effect, Phase};
use crate::grid::event::{PlainKind, Severity};
use crate::grid::mail::{
    Brief, Delivery, Late, MailEffect, MailOrder, Message, MessageNumber, Notice, Standing, Urgency,
};
use crate::grid::record::Input;
use crate::grid::repeating::Repeating;
use crate::grid::unmailed::Unmailed;
use crate::grid::window::Window;

/// Every value that can be kept, each another.
pub(super) fn admission() -> Admission {
    let mut spent = Spent::default();
    let mut counts = Counts::default();
    for (at_second, budget) in (1..).zip(BudgetName::ALL) {
        spent.set(budget, at(at_second));
    }
    let outcomes = [
        PlainOutcome::Kept,
        PlainOutcome::Repeated,
        PlainOutcome::Folded,
        PlainOutcome::Suppressed,
        PlainOutcome::Refused,
        PlainOutcome::History,
        PlainOutcome::NotKept,
    ];
    for (count, outcome) in (1..).zip(outcomes) {
        PlainKind::ALL.into_iter().for_each(|kind| counts.set(kind, outcome, count));
    }
    let suppression = Suppression { summed_up: 3, ..Suppression::new(BudgetName::Log, at(1)) };
    let suppression = suppression.holding(PlainKind::Log, "a line", at(2));
    let suppression = Some(Box::new(suppression.holding(PlainKind::Alert, "an alert", at(3))));
    let (keys, progress_at) = (vec![alert_key()], at(4));
    let unmailed = Some(Box::new(unmailed()));
    Admission { spent, keys, suppression, counts, progress_at, unmailed }
}

fn unmailed() -> Unmailed {
    Unmailed {
        kinds: vec![("disk # is full".into(), Severity::Error, 3)],
        others: 4,
        others_severity: Some(Severity::Fatal),
        first_at: at(1),
        last_at: at(2),
        sample: "disk 7 is full".into(),
        mailed_at: Some(at(3)),
        times: 5,
    }
}

fn repeating() -> Repeating {
    Repeating {
        said: Uuid::from_u128(3),
        severity: Severity::Warn,
        at: at(1),
        times: 2,
        has_told_change: true,
        since: 3,
        is_changed: true,
        said_at: at(4),
        pause: std::time::Duration::from_secs(5),
        text: "disk 3 is full".into(),
    }
}

fn alert_key() -> AlertKey {
    AlertKey {
        id: Uuid::from_u128(1),
        label: "disk # is full".into(),
        full_at: at(1),
        said: Uuid::from_u128(2),
        record: 3,
        began_at: at(4),
        said_at: at(5),
        repeats: 6,
        first_repeat_at: at(7),
        mailed: Some(repeating()),
    }
}

fn late() -> Late {
    let (severities, appliances) = ([1, 2, 3, 4, 5], Vec::new());
    Late { first_at: at(1), last_at: at(2), severities, appliances }
}

#[test]
fn every_mail_reads_back() {
    let number = MessageNumber(7);
    let mut effects = vec![
        MailEffect::Gone { number, recipient: "anna@example.org".into(), record: None },
        MailEffect::Gone { number, recipient: "anna@example.org".into(), record: Some(7) },
        MailEffect::Trace { number, record: 7 },
        MailEffect::RecipientSpent {
            recipient: "anna@example.org".into(),
            urgency: Urgency::Repeat,
            full_at: at(9),
        },
        MailEffect::RecipientSpent {
            recipient: "anna@example.org".into(),
            urgency: Urgency::News(Severity::Fatal),
            full_at: at(9),
        },
        MailEffect::LastNumber { number },
        MailEffect::LateOf { number, about: "db1".into(), count: 9 },
    ];
    for standing in [Standing::Waiting, Standing::UnderWay, Standing::Failed] {
        let message = Message {
            number,
            recipient: "anna@example.org".into(),
            owed_since: at(1),
            notices: Vec::new(),
            more: 2,
            briefs: Vec::new(),
            retried_at: (standing == Standing::Failed).then(|| at(3)),
            attempts: 3,
            standing,
            due: at(4),
            last_reply: "451 later".into(),
            late: (standing != Standing::Failed).then(|| Box::new(late())),
            away: Duration::from_secs(u64::from(standing == Standing::Waiting)),
        };
        effects.push(MailEffect::Stands { message: Box::new(message) });
    }
    let notice = Notice {
        about: "db1".into(),
        matter: "hung".into(),
        severity: Severity::Fatal,
        at: at(5),
        text: "text".into(),
        record: 6,
        is_resolved: true,
        again: 17,
    };
    let brief = Brief::from(&notice);
    effects.push(MailEffect::Brief { number, at: 255, brief });
    effects.push(MailEffect::Notice { number, at: 31, notice });
    let effects = effects.into_iter().map(Effect::Mail).collect();
    reads_back(&record(Input::MailDue { message: number }, effects));
    for delivery in [
        Delivery::Sent("250".into()),
        Delivery::Deferred("451".into()),
        Delivery::Refused("550".into()),
    ] {
        reads_back(&record(Input::MailAnswered { message: number, attempt: 2, delivery }, vec![]));
    }
    for order in [MailOrder::Retry, MailOrder::Drop] {
        let (by, message) = ("anna".into(), number);
        reads_back(&record(Input::MailOrdered { by, message, order }, vec![]));
    }
}

#[test]
fn every_effect_of_admission_reads_back() {
    let number = ROW;
    let mut effects = vec![
        Effect::BudgetsFilled { number },
        Effect::AlertKey { number, key: alert_key() },
        Effect::AlertKeyForgotten { number, id: Uuid::max() },
        Effect::RunTold { number, key: alert_key() },
        Effect::Unmailed { number, unmailed: unmailed() },
        Effect::Heard {
            number,
            windows: vec![Window {
                boot: boot(),
                spool: spool().expect("a spool"),
                highest: 7,
                seen: 1,
            }],
            last_heard_at: at(5),
            counts: admission().counts,
        },
    ];
    for budget in BudgetName::ALL {
        effects.push(Effect::Spent { number, budget, full_at: at(9) });
        for phase in [Phase::Begins, Phase::Counts, Phase::SummedUp, Phase::Ends] {
            let suppression = Suppression::new(budget, at(10));
            effects.push(Effect::Suppression { number, phase, suppression });
        }
    }
    reads_back(&record(Input::Tally, effects));
}
