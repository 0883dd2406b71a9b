//! Describes who is at the other end of a connection, and who calls.
//!
//! Guarantees plain values, which travel in the extensions of a request. Decides nothing.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::grid::values::id::ApplianceName;
use crate::grid::values::identity::{KeyHash, Role, SecretHash, Subject, TokenId};
use crate::grid::values::time::Timestamp;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// The connection is encrypted.
    pub is_tls: bool,
    /// The client certificate, which an authority of ours has signed.
    pub certificate: Option<Arc<PeerCertificate>>,
}

/// A verified client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Whose it is.
    pub subject: Subject,
    /// The hash of its public key.
    pub key: KeyHash,
    /// Its serial number in hexadecimal digits.
    pub serial: Box<str>,
    /// When it began.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The broker's own CA has signed it; otherwise an operator's CA.
    pub is_own: bool,
}

/// The credential of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// None: the broker trusts everybody on loopback.
    Loopback,
    /// A token.
    Token {
        /// Its id.
        id: TokenId,
        /// The hash of the secret that was sent: it ends when the token is rotated.
        secret: SecretHash,
        /// When it ends.
        expires_at: Option<Timestamp>,
    },
    /// The certificate of the connection.
    Certificate(Arc<PeerCertificate>),
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Nobody: the call has no credential and needs none.
    Stranger,
    /// An appliance.
    Appliance(ApplianceName),
    /// An administrator.
    Administrator {
        /// The name; free text on loopback.
        name: Box<str>,
        /// What they may do.
        role: Role,
    },
}

/// The caller of a request, its credential and its address. One layer makes it; handlers read it from
/// the extensions of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub caller: Caller,
    /// By which credential.
    pub credential: Credential,
    /// From where.
    pub address: IpAddr,
}

impl Principal {
    /// The caller for a record: who, and off loopback's trust, from where.
    pub fn for_record(&self) -> Box<str> {
        match (&self.caller, &self.credential) {
            (Caller::Administrator { name, .. }, Credential::Loopback) => name.clone(),
            (_, Credential::Loopback | Credential::Token { .. } | Credential::Certificate(_)) => {
                format!("{} from {}", self.caller, self.address).into()
            }
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stranger => out.write_str("somebody without a credential"),
            Self::Appliance(name) => write!(out, "appliance {name}"),
            Self::Administrator { name, role } => write!(out, "{name} ({})", role.as_str()),
        }
    }
}
