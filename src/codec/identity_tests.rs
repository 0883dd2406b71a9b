//! Tests that commands on credentials, incidents and changes read back, and what is refused.

use std::time::Duration;

use prost::Message;
use uuid::Uuid;

use super::tests::{at, reads_back, record};
use super::*;
use crate::grid::log::effect::Effect;
use crate::grid::log::identity::{IdentityCommand, IdentityEffect, Refusal, SecurityIncident};
use crate::grid::log::input::Input;
use crate::grid::model::identity::{
    Administrator, EnrolledKey, EnrolmentScope, EnrolmentTerms, Token, TokenPurpose,
};
use crate::grid::values::id::ApplianceName;
use crate::grid::values::identity::{
    AdministratorName, KeyHash, Role, SecretHash, Serial, Subject, TokenId,
};

const SECRET: SecretHash = SecretHash([7; 32]);
const KEY: KeyHash = KeyHash([8; 32]);
const SERIAL: Serial = Serial([9; 16]);

fn id() -> TokenId {
    TokenId::new("aZ09bcde").expect("an id")
}

fn name() -> ApplianceName {
    ApplianceName::new("shop:main.db1").expect("a name")
}

fn ann() -> AdministratorName {
    AdministratorName::new("ann@example.org").expect("a name")
}

fn owners() -> [Subject; 2] {
    [Subject::Appliance(name()), Subject::Administrator(ann())]
}

fn purposes() -> Vec<TokenPurpose> {
    let mut purposes: Vec<_> = owners().map(TokenPurpose::Access).into();
    for (scope, class, replace) in [
        (EnrolmentScope::One(Subject::Appliance(name())), None, true),
        (EnrolmentScope::One(Subject::Administrator(ann())), None, false),
        (EnrolmentScope::Pattern { pattern: "web-*".into(), count: 7 }, Some("web".into()), false),
        (EnrolmentScope::Pattern { pattern: "*".into(), count: u32::MAX }, None, true),
    ] {
        purposes.push(TokenPurpose::Enrolment(EnrolmentTerms { scope, class, replace }));
    }
    purposes
}

fn commands() -> Vec<IdentityCommand> {
    let enrol = |name: Option<&str>| IdentityCommand::Enrol {
        token: id(),
        secret: SECRET,
        key: KEY,
        serial: SERIAL,
        name: name.map(Into::into),
        uuid: Uuid::max(),
    };
    let mut commands = vec![
        IdentityCommand::RotateToken { id: id(), secret: SECRET },
        IdentityCommand::RevokeToken { id: id() },
        enrol(None),
        enrol(Some("")),
        enrol(Some("any text \u{e4}")),
        IdentityCommand::Renew { key: KEY, serial: SERIAL },
        IdentityCommand::RevokeAppliance { name: name() },
        IdentityCommand::RemoveAdministrator { name: ann() },
    ];
    for role in Role::ALL {
        commands.push(IdentityCommand::CreateAdministrator { name: ann(), role });
        commands.push(IdentityCommand::SetAdministrator { name: ann(), role });
    }
    let lifetimes = [None, Some(Duration::ZERO), Some(Duration::from_secs(3_600))];
    for (purpose, valid_for) in purposes().into_iter().zip(lifetimes.into_iter().cycle()) {
        let (id, secret, uuid) = (id(), SECRET, Uuid::nil());
        commands.push(IdentityCommand::CreateToken { id, secret, purpose, valid_for, uuid });
    }
    commands
}

fn effects() -> Vec<Effect> {
    let mut effects = vec![
        IdentityEffect::TokenRemoved { id: id() },
        IdentityEffect::AdministratorRemoved { name: ann() },
        IdentityEffect::ApplianceRevoked { name: name(), at: at(7) },
    ];
    for (purpose, uses) in purposes().into_iter().zip(0..) {
        let is_plain = uses % 2 == 0;
        let token = Token {
            id: id(),
            secret: SECRET,
            purpose,
            created_at: at(1),
            created_by: "ann from 192.0.2.1".into(),
            expires_at: (!is_plain).then(|| at(2)),
            last_used_at: (!is_plain).then(|| at(3)),
            uses,
        };
        effects.push(IdentityEffect::Token { token });
    }
    for subject in owners() {
        let key = EnrolledKey {
            key: KEY,
            serial: SERIAL,
            enrolled_at: at(1),
            issued_at: at(2),
            expires_at: at(3),
            token: id(),
        };
        effects.push(IdentityEffect::Key { subject: subject.clone(), key });
        effects.push(IdentityEffect::KeyRemoved { subject });
        effects.push(IdentityEffect::KeyRevoked { key: KeyHash([8; 32]) });
    }
    for role in Role::ALL {
        let administrator = Administrator { role, created_at: at(4) };
        effects.push(IdentityEffect::Administrator { name: ann(), administrator });
    }
    effects.into_iter().map(Effect::Identity).collect()
}

#[test]
fn every_command_on_credentials_reads_back() {
    for command in commands() {
        reads_back(&record(Input::Identity { by: "ann".into(), command }, Vec::new()));
    }
}

#[test]
fn every_security_incident_reads_back() {
    let refused = |reused_token_of| {
        SecurityIncident::Refused(Refusal {
            who: "token aZ09bcde".into(),
            from: "2001:db8::1".into(),
            what: "Enrol".into(),
            why: "no".into(),
            omitted: u64::MAX,
            reused_token_of,
        })
    };
    for incident in [
        refused(None),
        refused(Some(name())),
        SecurityIncident::Accessed { by: "ann".into(), what: "backup".into() },
        SecurityIncident::TokenUsed { id: id() },
        SecurityIncident::ServerCertificate { problem: Some("it has ended".into()) },
        SecurityIncident::ServerCertificate { problem: None },
    ] {
        reads_back(&record(Input::Security(incident), Vec::new()));
    }
}

#[test]
fn every_change_of_credentials_reads_back() {
    reads_back(&record(Input::BrokerStopped, effects()));
}

/// The error of a record whose effect is this change.
fn refused_change(change: Option<proto::identity_change::Change>) -> DecodeError {
    let mut written = record_bytes::to_message(&record(Input::BrokerStopped, Vec::new()));
    let change = proto::effect::Change::Identity(proto::IdentityChange { change });
    written.effects.push(proto::Effect { change: Some(change) });
    decode_record(&written.encode_to_vec()).expect_err("is refused")
}

#[test]
fn what_a_newer_gridd_writes_of_credentials_is_refused_as_newer() {
    use proto::identity_change::Change as P;
    use proto::record::Input as I;
    for (input, what) in [
        (
            I::IdentityCommand(proto::IdentityCommand { by: "ann".into(), command: None }),
            "a command on credentials",
        ),
        (I::SecurityIncident(proto::SecurityIncident { incident: None }), "a security incident"),
    ] {
        let mut written = record_bytes::to_message(&record(Input::BrokerStopped, Vec::new()));
        written.input = Some(input);
        let refused = decode_record(&written.encode_to_vec());
        assert_eq!(refused, Err(DecodeError::Newer { what }));
    }
    let token = |purpose| {
        let (id, secret) = (id().to_string(), vec![7; 32]);
        let purpose = Some(proto::TokenPurpose { purpose });
        Some(P::Token(proto::Token { id, secret, purpose, ..Default::default() }))
    };
    let terms = proto::EnrolmentTerms::default();
    let newer_role = proto::Administrator { name: "ann".into(), role: 99, created_at_us: 0 };
    let no_role = proto::Administrator { role: 0, ..newer_role.clone() };
    for (change, what) in [
        (None, "a change of credentials"),
        (token(None), "the purpose of a token"),
        (token(Some(proto::token_purpose::Purpose::Enrolment(terms))), "whom a token enrols"),
        (Some(P::KeyRemoved(proto::Subject { owner: None })), "the owner of a credential"),
        (Some(P::Administrator(newer_role)), "a role"),
        (Some(P::Administrator(no_role)), "a role"),
    ] {
        assert_eq!(refused_change(change), DecodeError::Newer { what });
    }
}

#[test]
fn what_no_gridd_writes_of_credentials_is_refused() {
    use proto::identity_change::Change as P;
    let owner = Some(proto::subject::Owner::Appliance("db1".into()));
    let key = proto::EnrolledKey {
        subject: Some(proto::Subject { owner }),
        key: vec![8; 32],
        serial: vec![9; 16],
        token: id().to_string(),
        ..Default::default()
    };
    let bad_owner =
        proto::Subject { owner: Some(proto::subject::Owner::Administrator("a b".into())) };
    let revoked = proto::ApplianceRevoked { name: "a b".into(), at_us: 0 };
    for (change, what) in [
        (P::TokenRemoved("aZ09bcd".into()), "the id of a token"),
        (P::AdministratorRemoved("-".into()), "an administrator's name"),
        (P::KeyRemoved(bad_owner), "an administrator's name"),
        (P::ApplianceRevoked(revoked), "an appliance's name"),
        (P::Key(proto::EnrolledKey { key: vec![8; 31], ..key.clone() }), "a hash"),
        (P::KeyRevoked(vec![8; 33]), "a hash"),
        (P::Key(proto::EnrolledKey { serial: vec![9; 17], ..key }), "a serial number"),
    ] {
        assert_eq!(refused_change(Some(change)), DecodeError::Impossible { what });
    }
}
