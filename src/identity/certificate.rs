//! Reads certificates: times, serial number, key, names; and whose a client certificate is.
//!
//! Guarantees that a certificate gives at most one owner, by one name of its subject alternative
//! names, compared whole. Never reads the common name. Verifies no signature, except that of the
//! broker's own CA: the TLS handshake verifies the chain.

use std::net::IpAddr;

use ring::digest::{SHA256, digest};
use uuid::Uuid;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::name_pattern::{NamePattern, PatternMismatch};
use crate::grid::values::id::{ApplianceName, InvalidName};
use crate::grid::values::identity::{
    AdministratorName, InvalidAdministratorName, KeyHash, Subject,
};
use crate::grid::values::time::Timestamp;

/// The scheme of the URIs in certificates of the broker's own CA.
pub const OWN_SCHEME: &str = "grid-broker";

/// Most names that an error about a certificate lists.
const NAMES_LISTED_MAX: usize = 4;

/// Facts of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The begin of its validity.
    pub not_before: Timestamp,
    /// The end of its validity.
    pub not_after: Timestamp,
    /// Its serial number in hexadecimal digits.
    pub serial: Box<str>,
    /// The hash of its public key.
    pub key: KeyHash,
    /// The URIs among its subject alternative names.
    pub uris: Vec<Box<str>>,
    /// The host names among them.
    pub dns_names: Vec<Box<str>>,
    /// The addresses among them.
    pub addresses: Vec<IpAddr>,
    /// It may sign certificates.
    pub is_ca: bool,
    /// It may identify a server: it names no purposes, or this one.
    pub is_for_servers: bool,
    /// Its common name, for texts only.
    pub common_name: Option<Box<str>>,
}

/// A certificate cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It is no certificate.
    #[error("is not an X.509 certificate")]
    Malformed,
    /// Something follows it.
    #[error("has bytes after its end")]
    TrailingBytes,
    /// Its names cannot be read.
    #[error("has subject alternative names that cannot be read")]
    MalformedNames,
}

/// Why a valid client certificate names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSubject {
    /// It cannot be read.
    #[error("the certificate {0}")]
    Unreadable(#[from] CertificateError),
    /// The broker's own CA has not given it exactly one name.
    #[error("the certificate has not exactly one name of this broker, but {0}")]
    NotOneName(Box<str>),
    /// It is of another broker.
    #[error(
        "the certificate is of another broker: its name begins with {OWN_SCHEME}://{found}, this \
         broker is {expected}; enrol again here"
    )]
    OtherBroker {
        /// The journal in the certificate.
        found: Box<str>,
        /// This broker's journal.
        expected: Uuid,
    },
    /// The form of the name is not known.
    #[error("the certificate's name {0} is neither an appliance's nor an administrator's")]
    UnknownForm(Box<str>),
    /// It is not a name of an appliance.
    #[error("the certificate names the appliance \"{0}\", and {1}")]
    InvalidAppliance(Box<str>, InvalidName),
    /// It is not a name of an administrator.
    #[error("the certificate names the administrator \"{0}\", and {1}")]
    InvalidAdministrator(Box<str>, InvalidAdministratorName),
    /// The operator's pattern does not give one name.
    #[error(transparent)]
    Pattern(#[from] PatternMismatch),
}

/// The common name of a broker's own CA is this, and the id of its journal.
pub(super) const BROKER_CA: &str = "Grid Broker CA ";

impl CertificateFacts {
    /// Whether it is the certificate of a broker's own CA, which signs one server only.
    pub fn is_of_broker_ca(&self) -> bool {
        self.is_ca && self.common_name.as_deref().is_some_and(|name| name.starts_with(BROKER_CA))
    }

    /// Reads a certificate in DER.
    ///
    /// # Errors
    ///
    /// When it is none, or its names cannot be read.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        let (rest, parsed) =
            X509Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
        if !rest.is_empty() {
            return Err(CertificateError::TrailingBytes);
        }
        let mut facts = Self {
            not_before: timestamp(parsed.validity().not_before.timestamp()),
            not_after: timestamp(parsed.validity().not_after.timestamp()),
            serial: hex(parsed.raw_serial()),
            key: hash_of_key(parsed.public_key().raw),
            uris: Vec::new(),
            dns_names: Vec::new(),
            addresses: Vec::new(),
            is_ca: parsed.is_ca(),
            is_for_servers: is_for_servers(&parsed)?,
            common_name: common_name(&parsed),
        };
        let malformed = CertificateError::MalformedNames;
        let names = parsed.subject_alternative_name().map_err(|_| malformed)?;
        for name in names.iter().flat_map(|names| &names.value.general_names) {
            match name {
                GeneralName::URI(uri) => facts.uris.push((*uri).into()),
                GeneralName::DNSName(name) => facts.dns_names.push((*name).into()),
                GeneralName::IPAddress(bytes) => {
                    facts.addresses.push(address(bytes).ok_or(malformed)?);
                }
                GeneralName::Invalid(..) => return Err(malformed),
                // They name nobody here.
                GeneralName::OtherName(..)
                | GeneralName::RFC822Name(_)
                | GeneralName::X400Address(_)
                | GeneralName::DirectoryName(_)
                | GeneralName::EDIPartyName(_)
                | GeneralName::RegisteredID(_) => {}
            }
        }
        Ok(facts)
    }

    /// Whether it is in force.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Its names for a text: `nothing`, or the first of them.
    pub fn listed_names(&self) -> Box<str> {
        let names = self.uris.iter().chain(&self.dns_names).map(ToString::to_string);
        let mut names: Vec<_> =
            names.chain(self.addresses.iter().map(ToString::to_string)).collect();
        let left_out = names.len().saturating_sub(NAMES_LISTED_MAX);
        names.truncate(NAMES_LISTED_MAX);
        let mut text = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
        if left_out > 0 {
            text.push_str(&format!(" and {left_out} more"));
        }
        text.into()
    }

    /// Whose it is, if the broker's own CA has signed it: by its only name.
    ///
    /// # Errors
    ///
    /// Why it names nobody of this broker.
    pub fn own_subject(&self, journal: Uuid) -> Result<Subject, NoSubject> {
        let [uri] = self.uris.as_slice() else {
            return Err(NoSubject::NotOneName(self.listed_names()));
        };
        if !self.dns_names.is_empty() || !self.addresses.is_empty() {
            return Err(NoSubject::NotOneName(self.listed_names()));
        }
        let unknown = || NoSubject::UnknownForm(uri.clone());
        let rest = uri.strip_prefix(OWN_SCHEME).and_then(|rest| rest.strip_prefix("://"));
        let mut parts = rest.ok_or_else(unknown)?.splitn(3, '/');
        let (Some(found), Some(kind), Some(name)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(unknown());
        };
        if found != journal.hyphenated().to_string() {
            return Err(NoSubject::OtherBroker { found: found.into(), expected: journal });
        }
        match kind {
            "appliance" => ApplianceName::new(name)
                .map(Subject::Appliance)
                .map_err(|why| NoSubject::InvalidAppliance(name.into(), why)),
            "administrator" => AdministratorName::new(name)
                .map(Subject::Administrator)
                .map_err(|why| NoSubject::InvalidAdministrator(name.into(), why)),
            _ => Err(unknown()),
        }
    }

    /// Whose it is, if an operator's CA has signed it: by the operator's pattern.
    ///
    /// # Errors
    ///
    /// Why the pattern does not give exactly one name.
    pub fn subject_by(&self, pattern: &NamePattern) -> Result<Subject, NoSubject> {
        let name = pattern.only_match(self)?;
        ApplianceName::new(name)
            .map(Subject::Appliance)
            .map_err(|why| NoSubject::InvalidAppliance(name.into(), why))
    }
}

/// The URI in the certificates of the broker's own CA.
pub fn own_uri(journal: Uuid, subject: &Subject) -> String {
    let kind = match subject {
        Subject::Appliance(_) => "appliance",
        Subject::Administrator(_) => "administrator",
    };
    // All characters of names are legal in the path of a URI.
    format!("{OWN_SCHEME}://{}/{kind}/{}", journal.hyphenated(), subject.name())
}

/// The hash of a public key: a SubjectPublicKeyInfo in DER.
pub fn hash_of_key(info: &[u8]) -> KeyHash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, info).as_ref());
    KeyHash(hash)
}

/// A time for texts: `2026-11-30T13:05:00Z`.
pub fn show_time(at: Timestamp) -> String {
    let seconds = at.as_micros().div_euclid(1_000_000);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "?".to_owned(), |at| at.to_string())
}

fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds.saturating_mul(1_000_000))
}

/// Hexadecimal digits, without the zero that marks a number as positive.
fn hex(bytes: &[u8]) -> Box<str> {
    let bytes = match bytes {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn is_for_servers(parsed: &X509Certificate<'_>) -> Result<bool, CertificateError> {
    let purposes = parsed.extended_key_usage().map_err(|_| CertificateError::Malformed)?;
    Ok(purposes.is_none_or(|purposes| purposes.value.any || purposes.value.server_auth))
}

fn common_name(parsed: &X509Certificate<'_>) -> Option<Box<str>> {
    parsed.subject().iter_common_name().next()?.as_str().ok().map(Into::into)
}
