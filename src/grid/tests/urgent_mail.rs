//! Tests that severe alerts are mailed in time and in full, however much noise there is.

use super::driver::*;
use crate::grid::log::effect::{Effect, MailEffect};
use crate::grid::log::input::Input;
use crate::grid::model::mail_message::{
    BRIEFS_MAX, Delivery, DeliveryState, MailMessage, MessageNumber, NOTICES_MAX,
};
use crate::grid::model::settings::{GridSettings, MAIL_TRIGGERS, MailPolicy};
use crate::grid::tests::alert_groups::JSON;
use crate::grid::values::event::{EventBody, Severity};
use crate::grid::values::id::ApplianceIndex;
use crate::grid::values::outcome::Outcome;

const ANNA: &str = "anna@example.org";

/// Running appliances db1 to dbN, and mail to Anna.
pub(super) fn grid(appliances: u32, gather: u64) -> Timeline {
    let (recipients, on) = (vec![ANNA.into()], MAIL_TRIGGERS.into_iter().collect());
    let mail = MailPolicy { recipients, triggers: on, group_wait: seconds(gather) };
    let mut timeline = Timeline::empty(GridSettings::default().with_mail(Some(mail)));
    for row in 1..=appliances {
        timeline.add(ApplianceIndex(row));
        timeline.hello_of(ApplianceIndex(row), 1, Some(seconds(0)));
        timeline.store(started_ok(1).by(ApplianceIndex(row)));
    }
    timeline
}

pub(super) fn alert(row: u32, severity: Severity, text: &str) -> EventBuilder {
    let mut alert = new_event(1, EventBody::Alert { counter: None }, text).by(ApplianceIndex(row));
    alert.0.event.severity = severity;
    alert
}

/// A mail handed to the mail sender: when, in seconds after the beginning, and its content then.
#[derive(Clone, Debug)]
pub(super) struct SentMail {
    pub(super) at: u64,
    pub(super) mail: MailMessage,
}

/// Advances the time to that second; every mail handed over meanwhile is delivered at once.
pub(super) fn deliver_until(timeline: &mut Timeline, until: u64, sent: &mut Vec<SentMail>) {
    while timeline.now < at(until) {
        let next = timeline.grid().poll_timeout().map_or(at(until), |wake| wake.min(at(until)));
        timeline.advance_to(
            next.max(timeline.now.after(std::time::Duration::from_micros(1))).min(at(until)),
        );
        complete_deliveries(timeline, sent, |_| Delivery::Sent("250".into()));
    }
}

/// Completes the delivery of all mails in flight.
pub(super) fn complete_deliveries(
    timeline: &mut Timeline,
    sent: &mut Vec<SentMail>,
    with: impl Fn(&MailMessage) -> Delivery,
) {
    let messages = timeline.grid().state().outbox().messages.values();
    let under_way = messages.filter(|it| it.state == DeliveryState::InFlight);
    for mail in under_way.cloned().collect::<Vec<_>>() {
        let (message, attempt) = (mail.number, mail.attempts);
        let delivery = with(&mail);
        if matches!(delivery, Delivery::Sent(_)) {
            sent.push(SentMail { at: timeline.now.since(at(0)).as_secs(), mail });
        }
        timeline.handle(Input::MailDelivery { message, attempt, delivery });
    }
}

/// When a text was first mailed.
pub(super) fn first_mailed_at(sent: &[SentMail], text: &str) -> Option<u64> {
    let has = |it: &&SentMail| it.mail.notices.iter().any(|notice| notice.text.contains(text));
    sent.iter().find(has).map(|it| it.at)
}

#[test]
fn a_fatal_alert_does_not_wait_for_seventeen_warnings() {
    let (mut timeline, mut sent) = (grid(18, 1), Vec::new());
    for row in 1..=17 {
        let second = u64::from(row) * 2;
        deliver_until(&mut timeline, 10 + second, &mut sent);
        timeline.store(alert(row, Severity::Warn, "fan is slow"));
    }
    deliver_until(&mut timeline, 50, &mut sent);
    timeline.store(alert(18, Severity::Fatal, "array is gone"));
    deliver_until(&mut timeline, 52, &mut sent);
    assert_eq!(first_mailed_at(&sent, "array is gone"), Some(51));
    // It contains what waits, and comes first in it by severity.
    deliver_until(&mut timeline, 4_000, &mut sent);
    assert_eq!(timeline.grid().state().outbox().messages.len(), 0);
}

#[test]
fn the_first_error_passes_the_limit_and_a_warning_waits_for_minutes() {
    let (mut timeline, mut sent) = (grid(40, 1), Vec::new());
    for row in 1..=20 {
        deliver_until(&mut timeline, u64::from(row) * 2, &mut sent);
        timeline.store(alert(row, Severity::Warn, "fan is slow"));
    }
    deliver_until(&mut timeline, 60, &mut sent);
    timeline.store(alert(30, Severity::Error, "disk fails"));
    deliver_until(&mut timeline, 62, &mut sent);
    assert_eq!(first_mailed_at(&sent, "disk fails"), Some(61));
    timeline.store(alert(31, Severity::Warn, "door is open"));
    deliver_until(&mut timeline, 1_000, &mut sent);
    assert!(
        first_mailed_at(&sent, "door is open").is_some_and(|at| at <= 62 + 15 * 60),
        "{sent:#?}"
    );
}

#[test]
fn ten_thousand_fatal_alerts_are_few_mails_and_all_are_counted() {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    let mut told = 0;
    for number in 0..10_000_u64 {
        deliver_until(&mut timeline, 100 + number / 4, &mut sent);
        let word: String = number.to_string().bytes().map(|it| char::from(it + 49)).collect();
        let text = format!("part {word} burns");
        told += u64::from(timeline.receive(alert(1, Severity::Fatal, &text)).0 == Outcome::Stored);
    }
    deliver_until(&mut timeline, 100_000, &mut sent);
    let counted: u64 = sent
        .iter()
        .flat_map(|it| &it.mail.notices)
        .filter(|notice| !notice.is_resolved && notice.occurrences == 0)
        .filter(|notice| &*notice.topic != "suppression")
        .map(|notice| match notice.text.strip_prefix("the rate limit suppressed ") {
            Some(rest) => rest.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or(0),
            None => 1,
        })
        .sum::<u64>()
        + sent.iter().map(|it| it.mail.omitted).sum::<u64>();
    assert_eq!(counted, 10_000);
    // One a minute for 42 min, and the later counts of the rest.
    assert!(sent.len() <= 42 + 6 && told <= 100, "{} mails of {told} records", sent.len());
}

#[test]
fn fatal_alerts_of_ten_thousand_appliances_are_few_mails() {
    let (mut timeline, mut sent) = (grid(300, 30), Vec::new());
    for row in 1..=300 {
        deliver_until(&mut timeline, 1_000 + u64::from(row) * 2, &mut sent);
        timeline.store(alert(row, Severity::Fatal, "disk burns"));
    }
    deliver_until(&mut timeline, 10_000, &mut sent);
    let told: u64 = sent.iter().map(|it| it.mail.notices.len() as u64 + it.mail.omitted).sum();
    assert_eq!(told, 300);
    assert!(sent.len() <= 21, "{} mails", sent.len());
}

#[test]
fn a_full_mail_has_the_most_severe_notices_and_the_others_as_lines() {
    let (mut timeline, mut sent) = (grid(60, 30), Vec::new());
    for row in 1..=60 {
        let severity = if row == 50 { Severity::Fatal } else { Severity::Error };
        timeline.store(alert(row, severity, "disk fails"));
    }
    deliver_until(&mut timeline, 40, &mut sent);
    let [SentMail { mail, .. }] = &sent[..] else { panic!("one mail: {sent:?}") };
    assert_eq!((mail.notices.len(), mail.omitted, mail.briefs.len()), (NOTICES_MAX, 28, 28));
    assert!(mail.notices.iter().any(|it| it.severity == Severity::Fatal));
    assert!(mail.briefs.iter().all(|it| it.severity == Severity::Error));
    assert!(mail.briefs.len() <= BRIEFS_MAX);
}

#[test]
fn an_alert_that_becomes_fatal_passes_the_limit_of_its_group() {
    for probe in 0..7 {
        let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
        for number in 0..40 + probe * 13 {
            deliver_until(&mut timeline, 100 + number * 10, &mut sent);
            timeline.receive(alert(1, Severity::Error, &format!("disk 3 is slow: {number} ms")));
        }
        let second = 100 + (40 + probe * 13) * 10 + 2;
        deliver_until(&mut timeline, second, &mut sent);
        timeline.store(alert(1, Severity::Fatal, "disk 3 is slow: 9999 ms"));
        deliver_until(&mut timeline, second + 31, &mut sent);
        assert_eq!(first_mailed_at(&sent, "9999 ms"), Some(second + 30));
    }
}

#[test]
fn a_fatal_alert_of_another_kind_passes_the_noise_of_twelve_kinds() {
    let kinds =
        ["fan", "cpu", "net", "ups", "raid", "psu", "ntp", "dns", "db", "web", "log", "tmp"];
    for probe in 1..=4_u64 {
        let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
        for number in 0..600 * probe {
            deliver_until(&mut timeline, 100 + number, &mut sent);
            let kind = kinds[usize::try_from(number % 12).expect("small")];
            timeline.receive(alert(1, Severity::Error, &format!("noise of {kind}: {number}")));
        }
        let second = 102 + 600 * probe;
        deliver_until(&mut timeline, second, &mut sent);
        let more = ["door", "lamp"].map(|it| alert(1, Severity::Error, &format!("noise of {it}")));
        let [_, last] = more.map(|it| timeline.receive(it).0);
        assert_eq!(last, Outcome::Suppressed);
        timeline.store(alert(1, Severity::Fatal, "lost its last replica"));
        deliver_until(&mut timeline, second + 31, &mut sent);
        assert_eq!(first_mailed_at(&sent, "lost its last replica"), Some(second + 30));
    }
}

#[test]
fn the_reserve_is_no_way_to_flood() {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    let mut kept = 0;
    for number in 0..3_600_usize {
        deliver_until(&mut timeline, 100 + number as u64, &mut sent);
        let text = format!("burns {}", "x".repeat(number % 1_000));
        kept +=
            usize::from(timeline.receive(alert(1, Severity::Fatal, &text)).0 == Outcome::Stored);
    }
    // 20 at once and one per minute as always, 10 more, and one more in 5 minutes.
    assert!(kept <= 20 + 60 + 10 + 12 + 2, "{kept}");
}

#[test]
fn of_eight_alerts_of_one_key_the_suppressed_ones_are_mailed() {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    deliver_until(&mut timeline, 100, &mut sent);
    let said: Vec<_> = (0..8)
        .map(|number| {
            timeline.receive(alert(1, Severity::Error, &format!("{number} mails are queued"))).0
        })
        .collect();
    assert_eq!(said.iter().filter(|it| **it == Outcome::Suppressed).count(), 3);
    deliver_until(&mut timeline, 200, &mut sent);
    let [SentMail { mail, at: 130 }] = &sent[..] else { panic!("one mail: {sent:?}") };
    let last = mail.notices.last().expect("notices");
    assert_eq!((&*last.topic, last.severity), ("suppressed", Severity::Error));
    assert_eq!(
        &*last.text,
        "the rate limit suppressed 3 alerts, which are in no mail: \
         3 error \"# mail is queued\"; the last: \"7 mails are queued\""
    );
    // Nothing more was suppressed, so nothing more is mailed.
    deliver_until(&mut timeline, 100_000, &mut sent);
    assert_eq!(sent.iter().filter(|it| mentions_suppressed(&it.mail)).count(), 1);
}

#[test]
fn each_of_eight_degraded_arrays_is_stored() {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    deliver_until(&mut timeline, 100, &mut sent);
    for array in 0..8 {
        let text = format!("array md{array} is degraded");
        let outcome = timeline.receive(alert(1, Severity::Error, &text)).0;
        assert_eq!(outcome, Outcome::Stored, "{text}");
    }
}

fn mentions_suppressed(mail: &MailMessage) -> bool {
    mail.notices.iter().any(|it| &*it.topic == "suppressed")
}

#[test]
fn days_of_noise_are_few_mails_that_count_it() {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    let mut suppressed = 0_u64;
    for number in 0..2 * 8_640_u64 {
        deliver_until(&mut timeline, 100 + number * 10, &mut sent);
        let alert = alert(1, Severity::Error, &format!("{number} packets lost"));
        suppressed += u64::from(timeline.receive(alert).0 == Outcome::Suppressed);
    }
    deliver_until(&mut timeline, 100 + 9 * 86_400, &mut sent);
    let counts = sent.iter().flat_map(|it| &it.mail.notices).filter_map(|notice| {
        let rest = notice.text.strip_prefix("the rate limit suppressed ")?;
        rest.split(' ').next()?.parse::<u64>().ok()
    });
    assert_eq!(counts.sum::<u64>(), suppressed);
    assert!(suppressed > 10_000 && sent.len() <= 9, "{} mails of {suppressed}", sent.len());
}

#[test]
fn seven_json_texts_of_one_appliance_are_seven_alerts() {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    for (number, text) in JSON.iter().enumerate() {
        let severity = if number == 5 { Severity::Fatal } else { Severity::Error };
        timeline.store(alert(1, severity, text));
    }
    deliver_until(&mut timeline, 40, &mut sent);
    for text in JSON {
        assert_eq!(first_mailed_at(&sent, text), Some(30), "{text}");
    }
}

#[test]
fn a_key_that_is_given_joins_texts_and_parts_them() {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    let keyed = |key: &str, text: &str| {
        let mut alert = alert(1, Severity::Error, text);
        alert.0.event.group_key = Some(key.into());
        alert
    };
    timeline.store(keyed("raid:md0", "array degraded"));
    timeline.store(keyed("raid:md1", "array degraded"));
    deliver_until(&mut timeline, 40, &mut sent);
    timeline.store(keyed("raid:md0", "array rebuilds: 3 %"));
    deliver_until(&mut timeline, 200, &mut sent);
    let [SentMail { mail, .. }] = &sent[..] else { panic!("one mail: {sent:?}") };
    let kinds: Vec<_> = mail.notices.iter().map(|it| &*it.topic).collect();
    assert_eq!(kinds, ["raid:md0", "raid:md1"]);
}

#[test]
fn the_record_of_a_sent_mail_contains_it() {
    let (mut timeline, mut sent) = (grid(1, 30), Vec::new());
    timeline.store(alert(1, Severity::Error, &format!("disk fails {}", "x".repeat(3_000))));
    deliver_until(&mut timeline, 40, &mut sent);
    let number = MessageNumber(1);
    let trace = timeline.grid().state().outbox().finished.get(&number).copied();
    let record = timeline.records.iter().find(|it| Some(it.number) == trace).expect("a record");
    let (said, joined) =
        crate::grid::state::outbox::finished_message(number, record).expect("it tells of it");
    assert_eq!((said.notices.len(), joined), (1, None));
    assert!(said.notices[0].text.starts_with("disk fails"));
    assert!(said.notices[0].text.len() <= 1_000, "cut, so that the journal does not grow twice");
    let is_handed_over = |effect: &Effect| {
        matches!(effect, Effect::Mail(MailEffect::Header { message })
            if message.state == DeliveryState::InFlight)
    };
    assert!(!record.effects.iter().any(is_handed_over), "it is not sent again");
}
