//! Says in words why a TLS handshake failed.
//!
//! Guarantees one sentence for people, with both clocks where a time is the reason, and a kind from a
//! fixed list. Does not decide what is refused.

use std::io;

use tokio_rustls::rustls::{CertificateError, Error};

use super::certificate::show_time;
use super::client_verifier::ObservedHandshake;
use crate::grid::values::time::Timestamp;

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The client's certificate was not accepted.
    Certificate,
    /// The client has no certificate, and must have one.
    NoCertificate,
    /// Versions, protocols or messages that do not fit, or no TLS at all.
    Handshake,
    /// The connection ended, or nothing came in time.
    Broken,
}

impl RefusalKind {
    /// The label of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::NoCertificate => "no_certificate",
            Self::Handshake => "handshake",
            Self::Broken => "silent",
        }
    }
}

/// Says why a handshake failed: its error, and what it showed of the client.
pub fn describe_refusal(
    error: &io::Error,
    observed: &ObservedHandshake,
    now: Timestamp,
) -> (RefusalKind, Box<str>) {
    if let Some(refusal) = &observed.refusal {
        return (RefusalKind::Certificate, refusal.clone());
    }
    let Some(error) = error.get_ref().and_then(|it| it.downcast_ref::<Error>()) else {
        let words = "the connection ended before the end of the TLS handshake";
        return (RefusalKind::Broken, words.into());
    };
    if let Error::InvalidCertificate(why) = error {
        return (RefusalKind::Certificate, describe_certificate_error(why, observed, now));
    }
    if *error == Error::NoCertificatesPresented {
        let words = "the client has no certificate, and this listener requires one";
        return (RefusalKind::NoCertificate, words.into());
    }
    let words = if let Error::AlertReceived(alert) = error {
        format!("the client ended the TLS handshake: {alert:?}")
    } else {
        format!("the TLS handshake failed: {error}")
    };
    (RefusalKind::Handshake, words.into())
}

fn describe_certificate_error(
    error: &CertificateError,
    observed: &ObservedHandshake,
    now: Timestamp,
) -> Box<str> {
    let facts = observed.facts.as_ref();
    let now = show_time(now);
    match (error, facts) {
        (CertificateError::Expired | CertificateError::ExpiredContext { .. }, Some(facts)) => {
            let end = show_time(facts.not_after);
            format!("the certificate ended at {end}, and it is {now}")
        }
        (CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }, Some(it)) => {
            let begin = show_time(it.not_before);
            format!("the certificate is valid from {begin} on, and it is {now}: compare the clocks")
        }
        (CertificateError::UnknownIssuer, _) => {
            "no CA that this broker trusts has signed the certificate".to_owned()
        }
        (CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. }, _) => {
            "the certificate is not for clients: it lacks the purpose clientAuth".to_owned()
        }
        (other, _) => format!("the certificate is not valid: {other}"),
    }
    .into()
}
