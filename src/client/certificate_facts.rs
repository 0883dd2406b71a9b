//! Reads from a certificate what connecting to a broker needs: validity, purpose, key, owner.
//!
//! Guarantees that nothing of it is trusted by being read: verifying is the caller's part. Does not
//! know files.

use jiff::Timestamp;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::{FromDer, GeneralName};

use crate::grid::values::identity::KeyHash;
use crate::identity::key;

/// What is in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// From when on it is valid, in seconds since 1970.
    pub not_before: i64,
    /// Until when it is valid, in seconds since 1970.
    pub not_after: i64,
    /// The hash of its public key.
    pub key: KeyHash,
    /// It is that of a CA.
    pub is_authority: bool,
    /// It is valid for servers: it has no list of purposes, or that one is in it.
    pub is_for_servers: bool,
    /// Its URI names.
    pub uris: Vec<String>,
    /// The name of the CA that signed it.
    pub issuer: String,
}

impl CertificateFacts {
    /// Parses a certificate in DER. `None`: it is none.
    pub fn parse(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let purposes = certificate.extended_key_usage().ok()?;
        let names = certificate.subject_alternative_name().ok()?;
        let names = names.iter().flat_map(|names| &names.value.general_names);
        Some(Self {
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            key: key::hash_of_public_key(certificate.public_key().raw),
            is_authority: certificate.is_ca(),
            is_for_servers: purposes.is_none_or(|it| it.value.server_auth || it.value.any),
            uris: names.filter_map(uri).collect(),
            issuer: certificate.issuer().to_string(),
        })
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "other kinds of names are not of interest")]
fn uri(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    }
}

/// A time of a certificate as text.
pub fn format_seconds(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| format!("{seconds} s"), |at| at.to_string())
}
