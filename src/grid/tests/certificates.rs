//! Tests renewals, and alerts on certificates that are not renewed.

use super::super::Grid;
use super::driver::*;
use super::identity::*;
use super::security::refused;
use crate::grid::decide::identity::IdentityRejection as R;
use crate::grid::log::input::Input;
use crate::grid::model::finding::FindingKind;
use crate::grid::model::settings::{CertificateRules, GridSettings, MAIL_TRIGGERS, MailPolicy};
use crate::grid::values::event::Severity;
use crate::grid::values::identity::Serial;
use crate::grid::values::time::Timestamp;

#[test]
fn a_certificate_is_renewed_from_half_of_its_life_on() {
    let mut timeline = Timeline::enrolled();
    let same = timeline.at(15 * DAY - 1).granted(renewal(1, 2));
    assert_eq!((same.serial, same.expires_at), (Serial([1; 16]), at(30 * DAY)));
    let records = timeline.records.len();
    let new = timeline.at(15 * DAY).granted(renewal(1, 2));
    assert_eq!(
        (new.serial, new.issued_at, new.expires_at),
        (Serial([2; 16]), at(15 * DAY), at(45 * DAY))
    );
    assert_eq!(timeline.said(), "certificate renewed for appliance db1, valid until day 45");
    assert_eq!(timeline.records.len(), records + 1);
    assert_eq!(timeline.granted(renewal(1, 3)), new, "a replayed request changes nothing");
    assert_eq!(timeline.rejected(renewal(2, 3)), R::KeyUnknown);
}

#[test]
fn an_ended_certificate_is_renewed_within_the_time_of_the_settings() {
    let (lifetime, limit) = (seconds(DAY), seconds(3 * DAY));
    let rules = CertificateRules { lifetime, recover_within: Some(limit) };
    let mut timeline = Timeline::empty(GridSettings::default().with_certificates(rules));
    timeline.token(1, one(appliance("db1")), Some(1));
    timeline.granted(enrol_by(1, 1, None));
    timeline.at(4 * DAY).granted(renewal(1, 2));
    assert_eq!(timeline.certificate_alert(), None);
    let late = timeline.at(8 * DAY + 1).rejected(renewal(1, 3));
    assert_eq!(late, R::RecoveryEnded { limit });
    let text = "its certificate ended more than 3 d ago, so it must be enrolled again";
    assert_eq!(late.to_string(), text);
    let rules = CertificateRules { recover_within: None, ..CertificateRules::default() };
    timeline.restart_with(seconds(60), GridSettings::default().with_certificates(rules));
    timeline.granted(renewal(1, 3));
}

#[test]
fn a_certificate_of_a_clock_that_was_ahead_is_issued_anew() {
    let mut timeline = Timeline::enrolled();
    timeline.at(20 * DAY).granted(renewal(1, 2));
    timeline.set_clock(-3_650 * 86_400);
    let now = timeline.now;
    assert!(timeline.key_of("db1").is_some_and(|key| key.issued_at > now));
    assert_eq!(timeline.granted(renewal(1, 3)).issued_at, now);
}

#[test]
fn certificates_that_live_ten_seconds_are_renewed_in_time() {
    let rules = CertificateRules { lifetime: seconds(10), recover_within: None };
    let mut timeline = Timeline::empty(GridSettings::default().with_certificates(rules));
    timeline.token(1, one(appliance("db1")), None);
    timeline.granted(enrol_by(1, 1, None));
    for round in 1..20 {
        let grant = timeline.at(round * 7).granted(renewal(1, 2));
        assert_eq!(grant.expires_at, at(round * 7 + 10));
        assert_eq!(timeline.certificate_alert(), None);
    }
    timeline.later(9);
    assert_eq!(timeline.certificate_alert(), Some(Severity::Warn));
    timeline.later(2);
    assert_eq!(timeline.certificate_alert(), Some(Severity::Error));
}

#[test]
fn a_certificate_that_is_not_renewed_is_an_alert_before_its_end_and_at_it() {
    let mut timeline = Timeline::enrolled();
    timeline.at(25 * DAY - 1);
    assert_eq!(timeline.certificate_alert(), None);
    // Timers are sorted by tenths of a second.
    timeline.at(25 * DAY + 1);
    assert_eq!(timeline.certificate_alert(), Some(Severity::Warn));
    assert_eq!(
        timeline.said(),
        "the certificate of db1 ends in 5 d and was not renewed; its agent, or any call of vme, renews it"
    );
    let records = timeline.records.len();
    timeline.at(30 * DAY - 1);
    assert_eq!(timeline.records.len(), records, "it is said once");
    timeline.at(30 * DAY + 1);
    assert_eq!(timeline.certificate_alert(), Some(Severity::Error));
    let alert = timeline.grid().state().finding(Some(DB1), FindingKind::CertificateEnding);
    let since = alert.map(|alert| alert.since.since(at(25 * DAY)));
    assert!(since.is_some_and(|it| it < seconds(1)), "one alert, more severe: {since:?}");
    let record = timeline.records.last().expect("a record");
    assert_eq!((record.severity(), record.subject()), (Severity::Error, Some(DB1)));
    let records = timeline.records.len();
    timeline.at(32 * DAY);
    assert_eq!(timeline.records.len(), records, "and then no more");
    timeline.granted(renewal(1, 2));
    assert_eq!(timeline.certificate_alert(), None);
    timeline.at(56 * DAY);
    assert_eq!(timeline.certificate_alert(), None);
    timeline.at(58 * DAY);
    assert_eq!(timeline.certificate_alert(), Some(Severity::Warn));
    timeline.done(revoke("db1"));
    assert_eq!(timeline.certificate_alert(), None);
    timeline.at(64 * DAY);
    assert_eq!(timeline.certificate_alert(), None, "there is no certificate any more");
}

/// When the first timer of an appliance ends.
fn first_due(mut grid: Grid) -> Timestamp {
    for _ in 0..10_000 {
        let wake = grid.poll_timeout().expect("a timer");
        if !grid.due(wake).is_empty() {
            return wake;
        }
    }
    panic!("no timer ends");
}

#[test]
fn the_timer_of_a_certificate_is_set_after_a_start_from_a_checkpoint_and_from_records() {
    let mut timeline = Timeline::enrolled();
    timeline.at(1);
    let mut replayed = Grid::new(Default::default(), GridSettings::default(), at(0));
    timeline.records.iter().for_each(|record| replayed.replay(record));
    let state = timeline.grid().state();
    let restored =
        crate::grid::state::State::from_effects(&state.to_effects(), state.last(), state.last_at());
    let restored = Grid::new(restored, GridSettings::default(), at(1));
    for grid in [replayed, restored, timeline.grid().clone()] {
        let due = first_due(grid);
        assert!(due >= at(25 * DAY) && due <= at(25 * DAY + 1), "{due:?}");
    }
    // It ends by the wall clock, though no broker runs.
    timeline.restart_after(seconds(26 * DAY));
    timeline.later(1);
    assert_eq!(timeline.certificate_alert(), Some(Severity::Warn));
}

#[test]
fn alerts_on_credentials_are_mailed_when_they_open_and_a_reused_token_once() {
    let mail = MailPolicy {
        recipients: ["anna@example.org".into()].into(),
        triggers: MAIL_TRIGGERS.into(),
        ..MailPolicy::default()
    };
    let rules = CertificateRules { lifetime: seconds(600), recover_within: None };
    let settings = GridSettings::default().with_mail(Some(mail)).with_certificates(rules);
    let mut timeline = Timeline::empty(settings);
    timeline.token(1, one(appliance("db1")), Some(1));
    timeline.granted(enrol_by(1, 1, None));
    for second in [5, 6, 7] {
        timeline.at(second).handle(Input::Security(refused(true, 0)));
    }
    timeline.at(501);
    timeline.at(601);
    let outbox = timeline.grid().state().outbox();
    let notices = outbox.messages.values().flat_map(|message| &message.notices);
    let mut mailed: Vec<_> = notices.map(|it| (it.topic.as_ref(), it.severity)).collect();
    mailed.sort_unstable();
    let ending = "certificate_ending";
    let expected =
        [(ending, Severity::Warn), (ending, Severity::Error), ("token_reused", Severity::Error)];
    assert_eq!(mailed, expected);
}
