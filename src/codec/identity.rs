//! Encodes and decodes credentials: commands, incidents and changes.
//!
//! Guarantees that an unknown value is an error. Does not know secrets.

use std::time::Duration;

use super::{DecodeError, proto};
use crate::codec::values::{decode_name, decode_uuid, micros};
use crate::grid::log::identity::{IdentityCommand, IdentityEffect, Refusal, SecurityIncident};
use crate::grid::log::input::Input;
use crate::grid::model::identity::{
    Administrator, EnrolledKey, EnrolmentScope, EnrolmentTerms, Token, TokenPurpose,
};
use crate::grid::values::identity::{
    AdministratorName, KeyHash, Role, SecretHash, Serial, Subject, TokenId,
};
use crate::grid::values::time::Timestamp;

const NEWER_COMMAND: DecodeError = DecodeError::Newer { what: "a command on credentials" };

pub(super) fn encode_command(by: &str, command: &IdentityCommand) -> proto::IdentityCommand {
    use proto::identity_command::Command as P;
    let command = match command {
        IdentityCommand::CreateToken { id, secret, purpose, valid_for, uuid } => {
            P::CreateToken(proto::CreateToken {
                id: id.to_string(),
                secret: secret.0.to_vec(),
                purpose: Some(encode_purpose(purpose)),
                valid_for_us: valid_for.map(micros),
                uuid: uuid.as_bytes().to_vec(),
            })
        }
        IdentityCommand::RotateToken { id, secret } => {
            P::RotateToken(proto::RotateToken { id: id.to_string(), secret: secret.0.to_vec() })
        }
        IdentityCommand::RevokeToken { id } => P::RevokeToken(id.to_string()),
        IdentityCommand::Enrol { token, secret, key, serial, name, uuid } => {
            P::Enrol(proto::EnrolKey {
                token: token.to_string(),
                secret: secret.0.to_vec(),
                key: key.0.to_vec(),
                serial: serial.0.to_vec(),
                name: name.as_ref().map(ToString::to_string),
                uuid: uuid.as_bytes().to_vec(),
            })
        }
        IdentityCommand::Renew { key, serial } => {
            P::Renew(proto::RenewCertificate { key: key.0.to_vec(), serial: serial.0.to_vec() })
        }
        IdentityCommand::RevokeAppliance { name } => P::RevokeAppliance(name.to_string()),
        IdentityCommand::CreateAdministrator { name, role } => {
            P::CreateAdministrator(encode_administrator(name, *role, 0))
        }
        IdentityCommand::SetAdministrator { name, role } => {
            P::SetAdministrator(encode_administrator(name, *role, 0))
        }
        IdentityCommand::RemoveAdministrator { name } => P::RemoveAdministrator(name.to_string()),
    };
    proto::IdentityCommand { by: by.to_owned(), command: Some(command) }
}

pub(super) fn decode_command(it: proto::IdentityCommand) -> Result<Input, DecodeError> {
    use proto::identity_command::Command as P;
    let command = match it.command.ok_or(NEWER_COMMAND)? {
        P::CreateToken(it) => IdentityCommand::CreateToken {
            id: decode_token_id(&it.id)?,
            secret: SecretHash(decode_hash(&it.secret)?),
            purpose: decode_purpose(it.purpose)?,
            valid_for: it.valid_for_us.map(Duration::from_micros),
            uuid: decode_uuid(&it.uuid)?,
        },
        P::RotateToken(it) => IdentityCommand::RotateToken {
            id: decode_token_id(&it.id)?,
            secret: SecretHash(decode_hash(&it.secret)?),
        },
        P::RevokeToken(id) => IdentityCommand::RevokeToken { id: decode_token_id(&id)? },
        P::Enrol(it) => IdentityCommand::Enrol {
            token: decode_token_id(&it.token)?,
            secret: SecretHash(decode_hash(&it.secret)?),
            key: KeyHash(decode_hash(&it.key)?),
            serial: decode_serial(&it.serial)?,
            name: it.name.map(Into::into),
            uuid: decode_uuid(&it.uuid)?,
        },
        P::Renew(it) => IdentityCommand::Renew {
            key: KeyHash(decode_hash(&it.key)?),
            serial: decode_serial(&it.serial)?,
        },
        P::RevokeAppliance(name) => IdentityCommand::RevokeAppliance { name: decode_name(&name)? },
        P::CreateAdministrator(it) => {
            let (name, Administrator { role, .. }) = decode_administrator(&it)?;
            IdentityCommand::CreateAdministrator { name, role }
        }
        P::SetAdministrator(it) => {
            let (name, Administrator { role, .. }) = decode_administrator(&it)?;
            IdentityCommand::SetAdministrator { name, role }
        }
        P::RemoveAdministrator(name) => {
            IdentityCommand::RemoveAdministrator { name: decode_administrator_name(&name)? }
        }
    };
    Ok(Input::Identity { by: it.by.into(), command })
}

pub(super) fn encode_incident(incident: &SecurityIncident) -> proto::SecurityIncident {
    use proto::security_incident::Incident as P;
    let incident = match incident {
        SecurityIncident::Refused(refusal) => {
            let Refusal { who, from, what, why, omitted, reused_token_of } = refusal;
            P::Refused(proto::Refusal {
                who: who.to_string(),
                from: from.to_string(),
                what: what.to_string(),
                why: why.to_string(),
                omitted: *omitted,
                reused_token_of: reused_token_of.as_ref().map(ToString::to_string),
            })
        }
        SecurityIncident::Accessed { by, what } => {
            P::Accessed(proto::Accessed { by: by.to_string(), what: what.to_string() })
        }
        SecurityIncident::TokenUsed { id } => P::TokenUsed(id.to_string()),
        SecurityIncident::ServerCertificate { problem } => {
            P::ServerCertificate(problem.as_deref().unwrap_or_default().to_owned())
        }
    };
    proto::SecurityIncident { incident: Some(incident) }
}

pub(super) fn decode_incident(
    it: proto::SecurityIncident,
) -> Result<SecurityIncident, DecodeError> {
    use proto::security_incident::Incident as P;
    Ok(match it.incident.ok_or(DecodeError::Newer { what: "a security incident" })? {
        P::Refused(it) => SecurityIncident::Refused(Refusal {
            who: it.who.into(),
            from: it.from.into(),
            what: it.what.into(),
            why: it.why.into(),
            omitted: it.omitted,
            reused_token_of: it.reused_token_of.as_deref().map(decode_name).transpose()?,
        }),
        P::Accessed(it) => SecurityIncident::Accessed { by: it.by.into(), what: it.what.into() },
        P::TokenUsed(id) => SecurityIncident::TokenUsed { id: decode_token_id(&id)? },
        P::ServerCertificate(text) => {
            SecurityIncident::ServerCertificate { problem: (!text.is_empty()).then(|| text.into()) }
        }
    })
}

pub(super) fn encode_effect(change: &IdentityEffect) -> proto::IdentityChange {
    use proto::identity_change::Change as P;
    let change = match change {
        IdentityEffect::Token { token } => P::Token(encode_token(token)),
        IdentityEffect::TokenRemoved { id } => P::TokenRemoved(id.to_string()),
        IdentityEffect::Key { subject, key } => P::Key(proto::EnrolledKey {
            subject: Some(encode_subject(subject)),
            key: key.key.0.to_vec(),
            serial: key.serial.0.to_vec(),
            enrolled_at_us: key.enrolled_at.as_micros(),
            issued_at_us: key.issued_at.as_micros(),
            expires_at_us: key.expires_at.as_micros(),
            token: key.token.to_string(),
        }),
        IdentityEffect::KeyRemoved { subject } => P::KeyRemoved(encode_subject(subject)),
        IdentityEffect::KeyRevoked { key } => P::KeyRevoked(key.0.to_vec()),
        IdentityEffect::Administrator { name, administrator } => {
            let Administrator { role, created_at } = *administrator;
            P::Administrator(encode_administrator(name, role, created_at.as_micros()))
        }
        IdentityEffect::AdministratorRemoved { name } => P::AdministratorRemoved(name.to_string()),
        IdentityEffect::ApplianceRevoked { name, at } => {
            let (name, at_us) = (name.to_string(), at.as_micros());
            P::ApplianceRevoked(proto::ApplianceRevoked { name, at_us })
        }
    };
    proto::IdentityChange { change: Some(change) }
}

pub(super) fn decode_effect(it: proto::IdentityChange) -> Result<IdentityEffect, DecodeError> {
    use proto::identity_change::Change as P;
    Ok(match it.change.ok_or(DecodeError::Newer { what: "a change of credentials" })? {
        P::Token(it) => IdentityEffect::Token { token: decode_token(it)? },
        P::TokenRemoved(id) => IdentityEffect::TokenRemoved { id: decode_token_id(&id)? },
        P::Key(it) => IdentityEffect::Key {
            subject: decode_subject(it.subject)?,
            key: EnrolledKey {
                key: KeyHash(decode_hash(&it.key)?),
                serial: decode_serial(&it.serial)?,
                enrolled_at: Timestamp::from_micros(it.enrolled_at_us),
                issued_at: Timestamp::from_micros(it.issued_at_us),
                expires_at: Timestamp::from_micros(it.expires_at_us),
                token: decode_token_id(&it.token)?,
            },
        },
        P::KeyRemoved(it) => IdentityEffect::KeyRemoved { subject: decode_subject(Some(it))? },
        P::KeyRevoked(key) => IdentityEffect::KeyRevoked { key: KeyHash(decode_hash(&key)?) },
        P::Administrator(it) => {
            let (name, administrator) = decode_administrator(&it)?;
            IdentityEffect::Administrator { name, administrator }
        }
        P::AdministratorRemoved(name) => {
            IdentityEffect::AdministratorRemoved { name: decode_administrator_name(&name)? }
        }
        P::ApplianceRevoked(it) => IdentityEffect::ApplianceRevoked {
            name: decode_name(&it.name)?,
            at: Timestamp::from_micros(it.at_us),
        },
    })
}

fn encode_token(token: &Token) -> proto::Token {
    proto::Token {
        id: token.id.to_string(),
        secret: token.secret.0.to_vec(),
        purpose: Some(encode_purpose(&token.purpose)),
        created_at_us: token.created_at.as_micros(),
        created_by: token.created_by.to_string(),
        expires_at_us: token.expires_at.map(Timestamp::as_micros),
        last_used_at_us: token.last_used_at.map(Timestamp::as_micros),
        uses: token.uses,
    }
}

fn decode_token(it: proto::Token) -> Result<Token, DecodeError> {
    Ok(Token {
        id: decode_token_id(&it.id)?,
        secret: SecretHash(decode_hash(&it.secret)?),
        purpose: decode_purpose(it.purpose)?,
        created_at: Timestamp::from_micros(it.created_at_us),
        created_by: it.created_by.into(),
        expires_at: it.expires_at_us.map(Timestamp::from_micros),
        last_used_at: it.last_used_at_us.map(Timestamp::from_micros),
        uses: it.uses,
    })
}

fn encode_purpose(purpose: &TokenPurpose) -> proto::TokenPurpose {
    use proto::token_purpose::Purpose as P;
    let purpose = match purpose {
        TokenPurpose::Access(subject) => P::Access(encode_subject(subject)),
        TokenPurpose::Enrolment(EnrolmentTerms { scope, class, replace }) => {
            let (one, pattern, count) = match scope {
                EnrolmentScope::One(subject) => (Some(encode_subject(subject)), String::new(), 0),
                EnrolmentScope::Pattern { pattern, count } => (None, pattern.to_string(), *count),
            };
            let class = class.as_ref().map(ToString::to_string);
            P::Enrolment(proto::EnrolmentTerms { one, pattern, count, class, replace: *replace })
        }
    };
    proto::TokenPurpose { purpose: Some(purpose) }
}

fn decode_purpose(it: Option<proto::TokenPurpose>) -> Result<TokenPurpose, DecodeError> {
    use proto::token_purpose::Purpose as P;
    let newer = DecodeError::Newer { what: "the purpose of a token" };
    Ok(match it.and_then(|it| it.purpose).ok_or(newer)? {
        P::Access(subject) => TokenPurpose::Access(decode_subject(Some(subject))?),
        P::Enrolment(it) => TokenPurpose::Enrolment(EnrolmentTerms {
            scope: match it.one {
                Some(one) => EnrolmentScope::One(decode_subject(Some(one))?),
                None if it.pattern.is_empty() => {
                    return Err(DecodeError::Newer { what: "whom a token enrols" });
                }
                None => EnrolmentScope::Pattern { pattern: it.pattern.into(), count: it.count },
            },
            class: it.class.map(Into::into),
            replace: it.replace,
        }),
    })
}

fn encode_subject(subject: &Subject) -> proto::Subject {
    use proto::subject::Owner as P;
    proto::Subject {
        owner: Some(match subject {
            Subject::Appliance(name) => P::Appliance(name.to_string()),
            Subject::Administrator(name) => P::Administrator(name.to_string()),
        }),
    }
}

fn decode_subject(it: Option<proto::Subject>) -> Result<Subject, DecodeError> {
    use proto::subject::Owner as P;
    let newer = DecodeError::Newer { what: "the owner of a credential" };
    Ok(match it.and_then(|it| it.owner).ok_or(newer)? {
        P::Appliance(name) => Subject::Appliance(decode_name(&name)?),
        P::Administrator(name) => Subject::Administrator(decode_administrator_name(&name)?),
    })
}

fn encode_administrator(
    name: &AdministratorName,
    role: Role,
    created_at_us: i64,
) -> proto::Administrator {
    let role = match role {
        Role::Viewer => proto::Role::Viewer,
        Role::Operator => proto::Role::Operator,
        Role::Admin => proto::Role::Admin,
    };
    proto::Administrator { name: name.to_string(), role: role.into(), created_at_us }
}

fn decode_administrator(
    it: &proto::Administrator,
) -> Result<(AdministratorName, Administrator), DecodeError> {
    let role = match proto::Role::try_from(it.role) {
        Ok(proto::Role::Viewer) => Role::Viewer,
        Ok(proto::Role::Operator) => Role::Operator,
        Ok(proto::Role::Admin) => Role::Admin,
        Ok(proto::Role::Unspecified) | Err(_) => {
            return Err(DecodeError::Newer { what: "a role" });
        }
    };
    let created_at = Timestamp::from_micros(it.created_at_us);
    Ok((decode_administrator_name(&it.name)?, Administrator { role, created_at }))
}

fn decode_administrator_name(name: &str) -> Result<AdministratorName, DecodeError> {
    AdministratorName::new(name)
        .map_err(|_| DecodeError::Impossible { what: "an administrator's name" })
}

fn decode_token_id(id: &str) -> Result<TokenId, DecodeError> {
    TokenId::new(id).ok_or(DecodeError::Impossible { what: "the id of a token" })
}

fn decode_hash(bytes: &[u8]) -> Result<[u8; 32], DecodeError> {
    bytes.try_into().map_err(|_| DecodeError::Impossible { what: "a hash" })
}

fn decode_serial(bytes: &[u8]) -> Result<Serial, DecodeError> {
    let bytes = bytes.try_into();
    bytes.map(Serial).map_err(|_| DecodeError::Impossible { what: "a serial number" })
}
