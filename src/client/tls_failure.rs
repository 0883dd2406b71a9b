//! Explains failed TLS connections to a broker: what is wrong, and what to do.
//!
//! Guarantees one sentence for each failure, with both clocks where time is the matter, and with the
//! library's own name of the error, so that one can search for it. Decides nothing.

use std::io;
use std::path::{Path, PathBuf};

use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible,
};

use crate::client::options::ServerTrust;
use crate::client::pin::PinMismatch;
use crate::client::security_failure::{SecurityFailure, SecurityFailureKind};
use crate::clock::wall_now;
use crate::grid::values::time::Timestamp;
use crate::identity::certificate::{CertificateFacts, show_time};
use crate::show::escape::escape;

/// Most names of a certificate in a message.
const NAMES_MAX: usize = 4;

/// What an explanation needs to know of a connection.
#[derive(Debug)]
pub(super) struct ConnectionFacts {
    /// The broker's address, as given.
    pub(super) address: String,
    /// Its host.
    pub(super) host: String,
    /// How its certificate is verified.
    pub(super) trust: ServerTrust,
    /// Our own certificate.
    pub(super) own: Option<OwnCertificate>,
}

/// Our own certificate.
#[derive(Debug)]
pub(super) struct OwnCertificate {
    pub(super) path: PathBuf,
    pub(super) facts: CertificateFacts,
}

/// Explains an error of the connection. `None`: TLS has no part in it.
pub(super) fn explain(connection: &ConnectionFacts, error: &io::Error) -> Option<SecurityFailure> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(explain_tls(connection, error))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "errors new in the library are described by their own text"
)]
fn explain_tls(connection: &ConnectionFacts, error: &Error) -> SecurityFailure {
    let address = escape(&connection.address);
    match error {
        Error::InvalidCertificate(error) => {
            SecurityFailure::server(describe_server_certificate(connection, error))
        }
        Error::AlertReceived(alert) => describe_alert(connection, *alert),
        Error::PeerIncompatible(what) => {
            SecurityFailure::server(describe_incompatible(&address, what))
        }
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            SecurityFailure::server(describe_no_tls(&address))
        }
        Error::NoApplicationProtocol => SecurityFailure::server(describe_no_http2(&address)),
        other => SecurityFailure::server(format!("no TLS connection to {address}: {other}")),
    }
}

/// What answers does not speak TLS.
pub(super) fn describe_no_tls(address: &str) -> String {
    format!(
        "what answers at {address} does not speak TLS; if it is a gridd without TLS, write its address \
         without https:// and give neither CA file nor pin, else correct the address"
    )
}

/// What answers speaks TLS, and we did not.
pub(super) fn describe_unexpected_tls(address: &str) -> String {
    let host_and_port = address.strip_prefix("http://").unwrap_or(address);
    format!(
        "what answers at {address} speaks TLS, and was addressed without; write \
         https://{host_and_port}, or give the broker's CA file or pin"
    )
}

/// What answers speaks TLS, but not gRPC.
pub(super) fn describe_no_http2(address: &str) -> String {
    format!(
        "what answers at {address} speaks TLS, but not HTTP/2, so it is not gridd; correct the address"
    )
}

/// Nothing came within the time.
pub(super) fn describe_silence(address: &str, seconds: u64) -> String {
    format!(
        "what answers at {address} does not finish a TLS handshake within {seconds} s; check that it \
         is gridd, and how busy it is"
    )
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "errors new in the library are described by their own text"
)]
fn describe_server_certificate(connection: &ConnectionFacts, error: &CertificateError) -> String {
    let address = escape(&connection.address);
    let text = match error {
        CertificateError::ExpiredContext { time, not_after } => format!(
            "the certificate of the broker at {address} ended at {}, and the clock of this host shows \
             {}; if that is right, the broker needs a new certificate (gridd renews its own while it \
             runs)",
            format_time(*not_after),
            format_time(*time)
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "the certificate of the broker at {address} is valid from {} on, and the clock of this \
             host shows {}; one of the two clocks is wrong",
            format_time(*not_before),
            format_time(*time)
        ),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            describe_unknown_issuer(&address, &connection.trust)
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            describe_names(&address, &connection.host, presented)
        }
        CertificateError::Other(other) => match other.0.downcast_ref::<PinMismatch>() {
            Some(PinMismatch { found }) => {
                let expected = match &connection.trust {
                    ServerTrust::Pin(pin) => pin.to_string(),
                    ServerTrust::ByAddress | ServerTrust::CaFile(_) => String::new(),
                };
                return format!(
                    "the broker at {address} is not the one that is expected: the pin of its CA is \
                     {found}, and not {expected}; ask its administrator which is right, and send \
                     nothing before that"
                );
            }
            None => describe_unusable(&address),
        },
        _ => describe_unusable(&address),
    };
    format!("{text} ({})", name_of(error))
}

fn describe_unusable(address: &str) -> String {
    format!(
        "the certificate of the broker at {address} is not valid for a server; give the broker \
         another one"
    )
}

fn describe_unknown_issuer(address: &str, trust: &ServerTrust) -> String {
    let (by_whom, advice) = match trust {
        ServerTrust::ByAddress => {
            ("a CA that this host trusts".to_owned(), "give the broker's CA file or pin")
        }
        ServerTrust::CaFile(path) => (
            format!("a CA in {}", path.display()),
            "put the certificate of the CA that signed it there, or correct the address",
        ),
        ServerTrust::Pin(_) => (
            "the pinned CA".to_owned(),
            "ask the administrator of the broker, and send nothing before that",
        ),
    };
    format!("the certificate of the broker at {address} is not signed by {by_whom}; {advice}")
}

fn describe_names(address: &str, host: &str, presented: &[String]) -> String {
    // `DnsName("broker.example.org")` and `IpAddress(10.0.0.1)`, as the library formats names.
    let name = |presented: &String| {
        let inner = presented.split_once('(').map_or(presented.as_str(), |(_, inner)| inner);
        escape(inner.trim_end_matches(')').trim_matches('"')).into_owned()
    };
    let names: Vec<_> = presented.iter().take(NAMES_MAX).map(name).collect();
    let host = escape(host);
    if names.is_empty() {
        return format!(
            "the certificate of the broker at {address} is not valid for {host}, since it has no \
             subjectAltName; give the broker another one, or use its pin"
        );
    }
    let more = if presented.len() > NAMES_MAX { " and others" } else { "" };
    format!(
        "the certificate of the broker at {address} is not valid for {host}, but for {}{more}; use one \
         of these names, or add {host} to the setting hosts of gridd",
        names.join(", ")
    )
}

/// The server ended the handshake or the connection because of what we sent.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "alerts that are not about our certificate are described by their own name"
)]
fn describe_alert(connection: &ConnectionFacts, alert: AlertDescription) -> SecurityFailure {
    let address = escape(&connection.address);
    let text = match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            match &connection.own {
                None => format!(
                    "the broker at {address} requires a client certificate; enrol this host (`vme \
                     enrol`), or give a certificate and its key"
                ),
                Some(own) => describe_refused(&address, own),
            }
        }
        AlertDescription::CertificateExpired => match &connection.own {
            Some(own) => describe_expired(&address, own),
            None => return other_alert(&address, alert),
        },
        AlertDescription::UnknownCA => match &connection.own {
            Some(own) => format!(
                "the broker at {address} does not know the CA that signed our certificate {}; enrol \
                 at this broker, or have its administrator name that CA in tls.client_ca",
                own.path.display()
            ),
            None => return other_alert(&address, alert),
        },
        AlertDescription::CertificateRevoked => match &connection.own {
            Some(own) => format!(
                "the broker at {address} has revoked our certificate {}; ask its administrator for a \
                 token, and enrol again",
                own.path.display()
            ),
            None => return other_alert(&address, alert),
        },
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError => match &connection.own {
            Some(own) => describe_refused(&address, own),
            None if alert == AlertDescription::AccessDenied => {
                format!(
                    "the broker at {address} refuses this host; see the broker's records for why"
                )
            }
            None => return other_alert(&address, alert),
        },
        AlertDescription::NoApplicationProtocol => {
            return SecurityFailure::server(describe_no_http2(&address));
        }
        AlertDescription::ProtocolVersion
        | AlertDescription::HandshakeFailure
        | AlertDescription::InsufficientSecurity => {
            return SecurityFailure::server(format!(
                "{} ({alert:?})",
                describe_nothing_in_common(&address)
            ));
        }
        _ => return other_alert(&address, alert),
    };
    SecurityFailure::new(SecurityFailureKind::Refused, format!("{text} ({alert:?})"))
}

fn other_alert(address: &str, alert: AlertDescription) -> SecurityFailure {
    SecurityFailure::server(format!(
        "the broker at {address} ended the TLS connection; see its log for why ({alert:?})"
    ))
}

/// A certificate that is not valid yet gets the same alert as one that has ended.
fn describe_expired(address: &str, own: &OwnCertificate) -> String {
    let now = wall_now();
    let path = own.path.display();
    let (from, until) = (own.facts.not_before, own.facts.not_after);
    let advice = if now > until {
        "it has ended: renew it"
    } else {
        "so one of the two clocks is wrong: correct it"
    };
    format!(
        "the broker at {address} refuses our certificate {path} as ended or not valid yet: it is valid \
         from {} until {}, and the clock of this host shows {}; {advice}",
        show_time(from),
        show_time(until),
        show_time(now)
    )
}

fn describe_refused(address: &str, own: &OwnCertificate) -> String {
    format!(
        "the broker at {address} refuses our certificate {}; see the broker's records for why, or \
         enrol again",
        own.path.display()
    )
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "errors new in the library are described by their own text"
)]
fn describe_incompatible(address: &str, what: &PeerIncompatible) -> String {
    match what {
        PeerIncompatible::ServerDoesNotSupportTls12Or13 => format!(
            "what answers at {address} speaks neither TLS 1.2 nor 1.3, so it is not gridd; correct the \
             address ({what:?})"
        ),
        _ => format!("{} ({what:?})", describe_nothing_in_common(address)),
    }
}

fn describe_nothing_in_common(address: &str) -> String {
    format!(
        "what answers at {address} has no TLS version, cipher or key type in common with this program, \
         so it is not gridd, or something is between; correct the address"
    )
}

/// The library's name of the error, without what the sentence has already.
fn name_of(error: &CertificateError) -> String {
    let name = format!("{error:?}");
    let inner = name.trim_start_matches("Other(OtherError(").trim_end_matches(')');
    let end = inner.find([' ', '{', '(']).unwrap_or(inner.len());
    inner[..end].trim_end_matches("Context").to_owned()
}

fn format_time(at: UnixTime) -> String {
    let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    show_time(Timestamp::from_micros(seconds.saturating_mul(1_000_000)))
}

/// A file of certificates or its key cannot be used.
pub(super) fn unusable_file(path: &Path, what: &str) -> SecurityFailure {
    SecurityFailure::options(format!("{} {what}", path.display()))
}
