//! Encodes the caller, and the status of a rejected command on credentials.
//!
//! Guarantees a code and a reason for each rejection. Decides nothing.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::encode;
use crate::contract::decode::violation;
use crate::contract::encode_timestamp;
use crate::contract::proto::{self, PrincipalKind, WhoAmIResponse};
use crate::grid::decide::identity::IdentityRejection;
use crate::grpc::status;
use crate::grpc::status::DOMAIN;
use crate::identity::peer::{Caller, Credential, Principal};

/// Who calls, as the broker sees it.
pub(super) fn describe_caller(principal: &Principal) -> WhoAmIResponse {
    let (kind, name, role) = match &principal.caller {
        Caller::Appliance(name) => {
            (PrincipalKind::Appliance, name.to_string(), proto::Role::Unspecified)
        }
        Caller::Administrator { name, role } => {
            (PrincipalKind::Administrator, name.to_string(), encode::role(*role))
        }
        Caller::Stranger => (PrincipalKind::Unspecified, String::new(), proto::Role::Unspecified),
    };
    let (credential, credential_id, expires_at) = match &principal.credential {
        Credential::Loopback => (proto::CredentialKind::Loopback, String::new(), None),
        Credential::Token { id, expires_at, .. } => {
            (proto::CredentialKind::Token, id.to_string(), *expires_at)
        }
        Credential::Certificate(it) => {
            (proto::CredentialKind::Certificate, it.serial.to_string(), Some(it.expires_at))
        }
    };
    WhoAmIResponse {
        kind: kind.into(),
        name,
        role: role.into(),
        credential: credential.into(),
        credential_id,
        expires_at: expires_at.map(encode_timestamp),
        address: principal.address.to_string(),
    }
}

/// The status of a rejected command. Programs find the reason in its details.
pub(super) fn rejected(rejection: &IdentityRejection) -> Status {
    let (code, reason) = match rejection {
        IdentityRejection::BadToken(_) => (Code::Unauthenticated, "TOKEN_INVALID"),
        IdentityRejection::TokenReused { .. } => (Code::Unauthenticated, "TOKEN_REUSED"),
        IdentityRejection::RevokedSince { .. } => (Code::Unauthenticated, "REVOKED_SINCE"),
        IdentityRejection::TokenExhausted { .. } => (Code::Unauthenticated, "TOKEN_EXHAUSTED"),
        IdentityRejection::KeyUnknown => (Code::Unauthenticated, "KEY_UNKNOWN"),
        IdentityRejection::RecoveryEnded { .. } => (Code::Unauthenticated, "RECOVERY_ENDED"),
        IdentityRejection::AlreadyEnrolled { .. } => (Code::FailedPrecondition, "ALREADY_ENROLLED"),
        IdentityRejection::KeyRevoked => (Code::Unauthenticated, "KEY_REVOKED"),
        IdentityRejection::KeyInUse { .. } => (Code::FailedPrecondition, "KEY_IN_USE"),
        IdentityRejection::NotRotatable { .. } => (Code::FailedPrecondition, "NOT_ROTATABLE"),
        IdentityRejection::LastAdmin { .. } => (Code::FailedPrecondition, "LAST_ADMIN"),
        IdentityRejection::TokenExists { .. } => (Code::Aborted, "TOKEN_EXISTS"),
        IdentityRejection::TooManyAdministrators => {
            (Code::ResourceExhausted, "TOO_MANY_ADMINISTRATORS")
        }
        IdentityRejection::TooManyTokens => (Code::ResourceExhausted, "TOO_MANY_TOKENS"),
        IdentityRejection::NoToken { .. } => (Code::NotFound, "NO_TOKEN"),
        IdentityRejection::NoAdministrator { .. } => (Code::NotFound, "NO_ADMINISTRATOR"),
        IdentityRejection::AdministratorExists { .. } => (Code::AlreadyExists, "ALREADY_EXISTS"),
        IdentityRejection::NameNotAllowed { .. } | IdentityRejection::NameRequired { .. } => {
            return status::invalid(vec![violation("name", rejection.to_string())]);
        }
        IdentityRejection::Command(command) => return status::command_rejected(command),
    };
    let details = ErrorDetails::with_error_info(reason, DOMAIN, []);
    Status::with_error_details(code, rejection.to_string(), details)
}
