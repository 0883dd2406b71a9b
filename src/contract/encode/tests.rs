//! Tests the encoding of records.

use std::time::Duration;

use super::*;
use crate::contract;
use crate::grid::log::identity::IdentityEffect;
use crate::grid::log::identity::{IdentityCommand, Refusal};
use crate::grid::log::input::ReceivedEvent;
use crate::grid::log::record_kind::RecordKind;
use crate::grid::model::identity::{
    EnrolledKey, EnrolmentScope, EnrolmentTerms, Token, TokenPurpose,
};
use crate::grid::values::event::{BoundedText, DropReason, DroppedEvents, Event, EventBody};
use crate::grid::values::id::ApplianceName;
use crate::grid::values::identity::{
    AdministratorName, KeyHash, SecretHash, Serial, Subject, TokenId,
};
use crate::grid::values::record_flags::RecordFlags;

/// 2026-11-20 14:30:00 UTC.
const NOW_S: u64 = 1_795_185_000;

fn ago(seconds: u64) -> Timestamp {
    Timestamp::EPOCH.after(Duration::from_secs(NOW_S - seconds))
}

fn log_record() -> Record {
    let event = Event {
        body: EventBody::Log,
        text: BoundedText::new("disk is slow"),
        severity: Severity::Info,
        event_time: None,
        uptime: None,
        spooled_at: None,
        is_repeated: false,
        dropped_before: Vec::new(),
        group_key: None,
        is_resolved: false,
        crash_dump: None,
    };
    let (appliance, session) = (ApplianceIndex(1), None);
    let received =
        ReceivedEvent { appliance, boot: None, spool: None, sequence: None, session, event };
    Record {
        number: 7,
        at: ago(0),
        input: Input::Event(received.into()),
        outcome: Outcome::Stored,
        flags: RecordFlags::NONE,
        effects: Vec::new(),
    }
}

fn encoded(record: &Record) -> proto::Record {
    super::record(record, |_| "db1".to_owned())
}

fn event_of(record: &mut Record) -> &mut Event {
    let Input::Event(received) = &mut record.input else { panic!("an event") };
    &mut received.event
}

#[test]
fn lost_events_are_explained_and_are_at_least_a_warning() {
    let mut record = log_record();
    assert_eq!(
        (super::record(&record, |_| String::new()).severity(), &*encoded(&record).explanation),
        (proto::Severity::Info, "")
    );
    let lost = |kind, count, first_at, last_at, reason| DroppedEvents {
        kind,
        count,
        first_at,
        last_at,
        reason,
    };
    event_of(&mut record).dropped_before = vec![
        lost(Some(EventKind::Log), 17, Some(ago(600)), Some(ago(60)), Some(DropReason::SpoolFull)),
        lost(None, 1, None, None, None),
        lost(Some(EventKind::Alert), 2, Some(ago(60)), None, Some(DropReason::Quarantined)),
    ];
    let encoded = encoded(&record);
    assert_eq!(encoded.severity(), proto::Severity::Warn);
    assert_eq!(encoded.event.as_ref().map(|it| it.severity()), Some(proto::Severity::Info));
    let (first, last) = ("2026-11-20T14:20:00Z", "2026-11-20T14:29:00Z");
    let text = format!(
        "lost 17 log events of db1, {first} to {last}, spool full; lost 1 event of db1; \
         lost 2 alert events of db1, since {last}, quarantined since they ended two sessions"
    );
    assert_eq!(encoded.explanation, text);
    event_of(&mut record).severity = Severity::Fatal;
    assert_eq!(super::record(&record, |_| String::new()).severity(), proto::Severity::Fatal);
}

#[test]
fn an_old_event_is_shown_with_both_times() {
    let mut record = log_record();
    event_of(&mut record).event_time = Some(ago(60));
    assert_eq!(encoded(&record).explanation, "");
    record.flags = RecordFlags::REPLAYED;
    assert_eq!(encoded(&record).explanation, "occurred at 2026-11-20T14:29:00Z");
    for years in [-20_i64, 20] {
        let wrong = ago(0).as_micros() + years * 365 * 86_400_000_000;
        let wrong = Timestamp::from_micros(wrong);
        event_of(&mut record).event_time = Some(wrong);
        record.flags |= RecordFlags::TIME_OFF;
        let encoded = encoded(&record);
        assert_eq!(encoded.received_at, Some(encode_timestamp(ago(0))));
        assert_eq!(
            encoded.event.as_ref().and_then(|it| it.event_time),
            Some(encode_timestamp(wrong))
        );
        assert_eq!(encoded.flags, ["time_off", "replayed"]);
        let year = if years < 0 { "2006" } else { "2046" };
        assert!(
            encoded.explanation.starts_with(&format!("appliance clock: {year}-")),
            "{encoded:?}"
        );
    }
}

#[test]
fn times_in_texts_are_located_by_position_and_never_taken_from_appliances() {
    let mut record = log_record();
    record.flags = RecordFlags::REPLAYED;
    let forged = DroppedEvents {
        kind: None,
        count: 1,
        first_at: Some(ago(600)),
        last_at: None,
        reason: None,
    };
    event_of(&mut record).event_time = Some(ago(60));
    event_of(&mut record).dropped_before = vec![forged];
    let name = "db-2026-11-20T14:29:00Z";
    let encoded = super::record(&record, |_| name.to_owned());
    let times = encoded.explanation_times.iter().map(|it| {
        let (first, length) = (it.first as usize, it.length as usize);
        (&encoded.explanation[first..first + length], it.time)
    });
    let expected = [
        ("2026-11-20T14:29:00Z", Some(encode_timestamp(ago(60)))),
        ("2026-11-20T14:20:00Z", Some(encode_timestamp(ago(600)))),
    ];
    assert_eq!(times.collect::<Vec<_>>(), expected);
    assert!(encoded.explanation.contains(name), "{}", encoded.explanation);
    assert_eq!(encoded.text_times, [], "an appliance's text has none");
}

#[test]
fn the_contracts_first_and_last_times_are_formatted() {
    assert_eq!(rfc3339(Timestamp::MIN), "0001-01-01T00:00:00Z");
    assert_eq!(rfc3339(Timestamp::MAX), "9999-12-31T23:59:59Z");
}

#[test]
fn kinds_and_severities_have_the_numbers_of_the_contract() {
    let kinds = [
        (RecordKind::Event(EventKind::StartedOk), proto::RecordKind::StartedOk),
        (RecordKind::Event(EventKind::StartFailed), proto::RecordKind::StartFailed),
        (RecordKind::Event(EventKind::Maintenance), proto::RecordKind::Maintenance),
        (RecordKind::Event(EventKind::Log), proto::RecordKind::Log),
        (RecordKind::Event(EventKind::Alert), proto::RecordKind::Alert),
        (RecordKind::Session, proto::RecordKind::Session),
        (RecordKind::Deadline, proto::RecordKind::Deadline),
        (RecordKind::Administrator, proto::RecordKind::Administrator),
        (RecordKind::Broker, proto::RecordKind::Broker),
        (RecordKind::Suppression, proto::RecordKind::Suppression),
        (RecordKind::Tally, proto::RecordKind::Tally),
        (RecordKind::Mail, proto::RecordKind::Mail),
        (RecordKind::Security, proto::RecordKind::Security),
        (RecordKind::CrashDump, proto::RecordKind::CrashDump),
    ];
    for (own, contract) in kinds {
        assert_eq!(i32::from(own.number()), contract as i32, "{own:?}");
    }
    for severity in Severity::ALL {
        assert_eq!(i32::from(severity.number()), encode_severity(severity) as i32);
    }
}

#[test]
fn kinds_of_events_and_reasons_have_the_numbers_and_labels_of_the_contract() {
    for kind in EventKind::ALL {
        let name = contract::encode_event_kind(kind).as_str_name();
        assert_eq!(name, format!("EVENT_KIND_{}", kind.as_str().to_uppercase()));
        assert_eq!(contract::decode_event_kind(contract::encode_event_kind(kind)), Some(kind));
    }
    let known = (1..64).filter(|number| proto::EventKind::try_from(*number).is_ok());
    assert_eq!(known.count(), EventKind::ALL.len(), "the table has all kinds");
    for (reason, name) in DropReason::ALL.into_iter().zip([
        proto::LostReason::SpoolFull,
        proto::LostReason::SpoolDamaged,
        proto::LostReason::SetAside,
        proto::LostReason::NotSpooled,
    ]) {
        assert_eq!(i32::from(reason.number()), i32::from(name));
        assert_eq!(DropReason::from_number(reason.number().into()), Some(reason));
    }
    let known = (1..64).filter(|number| proto::LostReason::try_from(*number).is_ok());
    assert_eq!(known.count(), DropReason::ALL.len(), "the table has all reasons");
}

/// The record of an input with these effects: administrator, appliance and text.
fn shown(input: Input, effects: Vec<Effect>) -> (String, String, String) {
    let encoded = encoded(&Record { input, effects, ..log_record() });
    assert_eq!(encoded.kind(), proto::RecordKind::Security);
    (encoded.administrator, encoded.appliance, encoded.text)
}

fn changed_token(purpose: TokenPurpose) -> Effect {
    let token = Token {
        id: token_id(),
        secret: SecretHash([0; 32]),
        purpose,
        created_at: ago(60),
        created_by: "ann".into(),
        expires_at: None,
        last_used_at: None,
        uses: 1,
    };
    Effect::Identity(IdentityEffect::Token { token })
}

fn token_id() -> TokenId {
    TokenId::new("aZ09bcde").expect("an id")
}

fn enrolled_key(subject: Subject) -> Effect {
    let key = EnrolledKey {
        key: KeyHash([1; 32]),
        serial: Serial([2; 16]),
        enrolled_at: ago(0),
        issued_at: ago(0),
        expires_at: ago(0).after(Duration::from_secs(3_600)),
        token: token_id(),
    };
    Effect::Identity(IdentityEffect::Key { subject, key })
}

const ANN: &str = "ann (admin) from 192.0.2.1";

fn of(administrator: &str, appliance: &str, text: &str) -> (String, String, String) {
    (administrator.to_owned(), appliance.to_owned(), text.to_owned())
}

#[test]
fn a_record_of_a_command_on_credentials_shows_who_sent_it_and_the_appliance() {
    let db1 = ApplianceName::new("db1").expect("a name");
    let by_ann = |command| Input::Identity { by: ANN.into(), command };
    let scope = EnrolmentScope::Pattern { pattern: "db*".into(), count: 1 };
    let pattern = TokenPurpose::Enrolment(EnrolmentTerms { scope, class: None, replace: false });
    let enrol = IdentityCommand::Enrol {
        token: token_id(),
        secret: SecretHash([0; 32]),
        key: KeyHash([1; 32]),
        serial: Serial([2; 16]),
        name: Some("db1".into()),
        uuid: uuid::Uuid::nil(),
    };
    let effects = vec![changed_token(pattern), enrolled_key(Subject::Appliance(db1.clone()))];
    let text = "key enrolled for appliance db1, valid until 2026-11-20T15:30:00Z";
    assert_eq!(shown(by_ann(enrol), effects), of(ANN, "db1", text));

    let revoked = IdentityEffect::ApplianceRevoked { name: db1.clone(), at: ago(0) };
    let revoke = by_ann(IdentityCommand::RevokeAppliance { name: db1 });
    let text = "all credentials of db1 revoked";
    assert_eq!(shown(revoke, vec![Effect::Identity(revoked)]), of(ANN, "db1", text));

    let name = AdministratorName::new("otto").expect("a name");
    let remove = by_ann(IdentityCommand::RemoveAdministrator { name });
    let text = "administrator otto removed, with all credentials";
    assert_eq!(shown(remove, vec![]), of(ANN, "", text));
}

#[test]
fn a_record_of_a_security_incident_shows_who_caused_it_and_the_appliance() {
    let db1 = ApplianceName::new("db1").expect("a name");
    let access = changed_token(TokenPurpose::Access(Subject::Appliance(db1.clone())));
    let used = Input::Security(SecurityIncident::TokenUsed { id: token_id() });
    let text = "token aZ09bcde of appliance db1 used, for the first time on this day";
    assert_eq!(shown(used, vec![access]), of("", "db1", text));

    let accessed = SecurityIncident::Accessed { by: ANN.into(), what: "backup made".into() };
    assert_eq!(shown(Input::Security(accessed), vec![]), of(ANN, "", "backup made"));

    let refusal = Refusal {
        who: "somebody".into(),
        from: "192.0.2.9".into(),
        what: "Enrol".into(),
        why: "no".into(),
        omitted: 0,
        reused_token_of: Some(db1),
    };
    let refused = Input::Security(SecurityIncident::Refused(refusal));
    let text = "Enrol of somebody from 192.0.2.9 refused: no";
    assert_eq!(shown(refused, vec![]), of("", "db1", text));
}
