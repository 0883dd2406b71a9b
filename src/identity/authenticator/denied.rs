//! Defines why a call is denied.
//!
//! Guarantees that the text of a wrong token says no more than that it is wrong. Decides nothing.

use crate::contract::APPLIANCE_METADATA;
use crate::grid::values::id::InvalidName;
use crate::grid::values::identity::Subject;
use crate::identity::token;

/// Why a call is denied, as the caller reads it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No credential.
    #[error(
        "no credential: this needs {needed}; `gridctl login` or `vme enrol` gets one, and a token is \
         sent as `authorization: Bearer`"
    )]
    NoCredential {
        /// Who is needed.
        needed: &'static str,
    },
    /// The token is not valid.
    #[error("the token is not valid: unknown, expired, revoked or rotated")]
    BadToken,
    /// The text is not a token.
    #[error("the token {0}")]
    NotAToken(token::InvalidToken),
    /// The header is of another kind.
    #[error("the header authorization is not of the form `Bearer gba_...` or `Bearer gbd_...`")]
    BadHeader,
    /// An enrolment token does not give access.
    #[error("an enrolment token gives no access: `vme enrol` exchanges it for a certificate")]
    EnrolmentToken,
    /// Too many failed attempts.
    #[error("too many failed attempts from this address: try again in a minute")]
    TooManyFailures,
    /// The certificate does not hold.
    #[error("{0}")]
    Certificate(CertificateProblem),
    /// The claimed name is not that of the credential.
    #[error("the credential is of {is}, and not of appliance `{claimed}`")]
    OtherName {
        /// Whose credential it is.
        is: Box<str>,
        /// The claimed name.
        claimed: Box<str>,
    },
    /// On a broker that trusts loopback: an appliance says its name itself.
    #[error("missing appliance name: set metadata {APPLIANCE_METADATA} to the appliance's name")]
    NoName,
    /// The claimed name is no name.
    #[error("metadata {APPLIANCE_METADATA} is not an appliance name: {0}")]
    NotAName(InvalidName),
    /// The caller may not do this.
    #[error("{caller} may not do this: it needs {needed}")]
    Forbidden {
        /// Who calls.
        caller: Box<str>,
        /// Who is needed.
        needed: &'static str,
    },
    /// The method or page is not in the table of roles.
    #[error("nobody may do this: it is not in the table of roles")]
    Unlisted,
}

/// Why a verified certificate does not authenticate its owner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateProblem {
    /// It has ended.
    #[error("the certificate of {0} has ended")]
    Ended(Subject),
    /// Its key is not the enrolled one.
    #[error(
        "the certificate of {0} is not valid any more: it was revoked, or another key was enrolled"
    )]
    Revoked(Subject),
    /// The administrator was removed.
    #[error("there is no {0} any more")]
    Removed(Subject),
}

impl Denied {
    /// Its reason in `ErrorInfo`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoCredential { .. } => "NO_CREDENTIAL",
            Self::BadToken => "TOKEN_INVALID",
            Self::NotAToken(_) | Self::BadHeader => "NOT_A_TOKEN",
            Self::EnrolmentToken => "ENROLMENT_TOKEN",
            Self::TooManyFailures => "TOO_MANY_FAILURES",
            Self::Certificate(_) => "CERTIFICATE_INVALID",
            Self::OtherName { .. } => "OTHER_NAME",
            Self::NotAName(_) => "NOT_A_NAME",
            Self::NoName => "NO_APPLIANCE",
            Self::Forbidden { .. } => "ROLE",
            Self::Unlisted => "UNLISTED",
        }
    }
}
