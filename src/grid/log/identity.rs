//! Defines commands on credentials, security incidents, and the changes of credentials.
//!
//! Guarantees that a change is an absolute value. Decides nothing.

use std::time::Duration;

use uuid::Uuid;

use crate::grid::model::identity::{Administrator, EnrolledKey, Token, TokenPurpose};
use crate::grid::values::id::ApplianceName;
use crate::grid::values::identity::{
    AdministratorName, KeyHash, Role, SecretHash, Serial, Subject, TokenId,
};
use crate::grid::values::time::Timestamp;

/// A command on credentials.
#[derive(Clone, Debug, PartialEq)]
pub enum IdentityCommand {
    /// Create a token.
    CreateToken {
        /// Its random id.
        id: TokenId,
        /// The hash of its secret.
        secret: SecretHash,
        /// For whom or what.
        purpose: TokenPurpose,
        /// For how long; `None`: without an end.
        valid_for: Option<Duration>,
        /// The random UUID of an appliance that it registers.
        uuid: Uuid,
    },
    /// Replace the secret of a token.
    RotateToken {
        /// Its id.
        id: TokenId,
        /// The hash of its new secret.
        secret: SecretHash,
    },
    /// Revoke a token.
    RevokeToken {
        /// Its id.
        id: TokenId,
    },
    /// Enrol a key by a token.
    Enrol {
        /// The token's id.
        token: TokenId,
        /// The hash of its secret.
        secret: SecretHash,
        /// The key.
        key: KeyHash,
        /// The random serial number of the certificate.
        serial: Serial,
        /// The requested name; `None`: that of the token.
        name: Option<Box<str>>,
        /// The random UUID of an appliance that it registers.
        uuid: Uuid,
    },
    /// Issue another certificate on an enrolled key.
    Renew {
        /// The key.
        key: KeyHash,
        /// The random serial number of the certificate.
        serial: Serial,
    },
    /// Revoke all credentials of an appliance.
    RevokeAppliance {
        /// Its name.
        name: ApplianceName,
    },
    /// Create an administrator.
    CreateAdministrator {
        /// The name.
        name: AdministratorName,
        /// The role.
        role: Role,
    },
    /// Change the role of an administrator.
    SetAdministrator {
        /// The name.
        name: AdministratorName,
        /// The new role.
        role: Role,
    },
    /// Remove an administrator with all credentials.
    RemoveAdministrator {
        /// The name.
        name: AdministratorName,
    },
}

impl IdentityCommand {
    /// Whether it takes access away and gives none.
    pub fn takes_away(&self) -> bool {
        match self {
            Self::RevokeToken { .. }
            | Self::RevokeAppliance { .. }
            | Self::RemoveAdministrator { .. } => true,
            Self::CreateToken { .. }
            | Self::RotateToken { .. }
            | Self::Enrol { .. }
            | Self::Renew { .. }
            | Self::CreateAdministrator { .. }
            | Self::SetAdministrator { .. } => false,
        }
    }
}

/// Something about the broker's security that is not a command on credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecurityIncident {
    /// A connection or call was refused.
    Refused(Refusal),
    /// An administrator read something sensitive, or made a copy of it: a report, a backup.
    Accessed {
        /// Who, and from where.
        by: Box<str>,
        /// What.
        what: Box<str>,
    },
    /// An access token was used for the first time on a day.
    TokenUsed {
        /// Its id.
        id: TokenId,
    },
    /// The broker's own server certificate needs attention; `None`: no longer.
    ServerCertificate {
        /// What is wrong, as a sentence.
        problem: Option<Box<str>>,
    },
}

/// A refused connection or call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Who, as far as known: a claim, not a proof.
    pub who: Box<str>,
    /// The address.
    pub from: Box<str>,
    /// What was requested.
    pub what: Box<str>,
    /// Why it is refused, as a sentence.
    pub why: Box<str>,
    /// How many refusals before it have no record, to limit the records.
    pub omitted: u64,
    /// The appliance whose enrolment token was used with two keys.
    pub reused_token_of: Option<ApplianceName>,
}

/// A change of credentials.
#[derive(Clone, Debug, PartialEq)]
pub enum IdentityEffect {
    /// A token was created or changed.
    Token {
        /// The token.
        token: Token,
    },
    /// A token was removed.
    TokenRemoved {
        /// Its id.
        id: TokenId,
    },
    /// A key was enrolled, or has a new certificate.
    Key {
        /// Whose key.
        subject: Subject,
        /// The key.
        key: EnrolledKey,
    },
    /// A key was removed.
    KeyRemoved {
        /// Whose key.
        subject: Subject,
    },
    /// A key is never accepted again: it was revoked, or another one replaced it.
    KeyRevoked {
        /// The key.
        key: KeyHash,
    },
    /// An administrator was created or changed.
    Administrator {
        /// The name.
        name: AdministratorName,
        /// The administrator.
        administrator: Administrator,
    },
    /// An administrator was removed.
    AdministratorRemoved {
        /// The name.
        name: AdministratorName,
    },
    /// The credentials of an appliance were revoked: certificates issued before are refused.
    ApplianceRevoked {
        /// Its name.
        name: ApplianceName,
        /// When.
        at: Timestamp,
    },
}
