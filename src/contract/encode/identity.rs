//! Encodes credentials: tokens, keys, administrators.
//!
//! Guarantees that no secret and no hash of one is sent. Decides nothing.

use crate::contract::{encode_timestamp, proto};
use crate::grid::model::identity::{
    Administrator, EnrolledKey, EnrolmentScope, EnrolmentTerms, Token, TokenPurpose,
};
use crate::grid::values::identity::{AdministratorName, Role, Subject};

/// A role.
pub fn role(role: Role) -> proto::Role {
    match role {
        Role::Viewer => proto::Role::Viewer,
        Role::Operator => proto::Role::Operator,
        Role::Admin => proto::Role::Admin,
    }
}

/// The kind of an owner.
pub fn principal_kind(subject: &Subject) -> proto::PrincipalKind {
    match subject {
        Subject::Appliance(_) => proto::PrincipalKind::Appliance,
        Subject::Administrator(_) => proto::PrincipalKind::Administrator,
    }
}

/// A token without its secret.
pub fn token(token: &Token) -> proto::TokenInfo {
    use proto::token_info::Subject as P;
    let subject = match &token.purpose {
        TokenPurpose::Access(Subject::Appliance(name)) => P::Appliance(name.to_string()),
        TokenPurpose::Access(Subject::Administrator(name)) => P::Administrator(name.to_string()),
        TokenPurpose::Enrolment(terms) => P::Enrolment(enrolment_terms(terms)),
    };
    proto::TokenInfo {
        id: token.id.to_string(),
        subject: Some(subject),
        created_at: Some(encode_timestamp(token.created_at)),
        created_by: token.created_by.to_string(),
        expires_at: token.expires_at.map(encode_timestamp),
        last_used_at: token.last_used_at.map(encode_timestamp),
        uses: token.uses,
    }
}

fn enrolment_terms(terms: &EnrolmentTerms) -> proto::EnrolmentTerms {
    use proto::enrolment_terms::Subject as P;
    let (subject, count) = match &terms.scope {
        EnrolmentScope::One(Subject::Appliance(name)) => (P::Appliance(name.to_string()), 0),
        EnrolmentScope::One(Subject::Administrator(name)) => {
            (P::Administrator(name.to_string()), 0)
        }
        EnrolmentScope::Pattern { pattern, count } => (P::NamePattern(pattern.to_string()), *count),
    };
    proto::EnrolmentTerms {
        subject: Some(subject),
        class: terms.class.as_deref().unwrap_or_default().to_owned(),
        count,
        replace: terms.replace,
    }
}

/// An enrolled key.
pub fn key(subject: &Subject, key: &EnrolledKey) -> proto::KeyInfo {
    proto::KeyInfo {
        kind: principal_kind(subject).into(),
        name: subject.name().to_owned(),
        key: key.key.to_string(),
        serial: key.serial.to_string(),
        enrolled_at: Some(encode_timestamp(key.enrolled_at)),
        issued_at: Some(encode_timestamp(key.issued_at)),
        expires_at: Some(encode_timestamp(key.expires_at)),
        token_id: key.token.to_string(),
    }
}

/// An administrator.
pub fn administrator(name: &AdministratorName, it: Administrator) -> proto::Administrator {
    proto::Administrator {
        name: name.to_string(),
        role: role(it.role).into(),
        created_at: Some(encode_timestamp(it.created_at)),
    }
}
