//! Explains failed TLS handshakes with the mail server, and names the setting that fixes each.
//!
//! Guarantees that every message contains the library's own error, so that one can search for it, and
//! names a setting or what to do on the mail server. Decides nothing.

use std::io;

use jiff::Timestamp;
use tokio_rustls::rustls::pki_types::{ServerName, UnixTime};
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

use crate::config::mail::MailSecurity;

/// Most names of a certificate in a message.
const NAMES_MAX: usize = 4;

/// Describes why the handshake with `server` failed.
pub(super) fn describe(
    error: &io::Error,
    server: &ServerName<'_>,
    security: MailSecurity,
) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let text = match tls {
        Some(Error::InvalidCertificate(error)) => describe_certificate(error, server),
        Some(Error::AlertReceived(alert)) => describe_alert(*alert),
        Some(Error::PeerIncompatible(what)) => describe_incompatible(what),
        Some(Error::InvalidMessage(_)) => describe_no_tls(security),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the server ended the connection; see the server's log".to_owned()
        }
        Some(_) | None => return error.to_string(),
    };
    format!("{text} ({})", library_error(error, tls))
}

/// The library's own error.
fn library_error(error: &io::Error, tls: Option<&Error>) -> String {
    match tls {
        // Dates and names are in the sentence already.
        Some(Error::InvalidCertificate(error)) => {
            let name = format!("{error:?}");
            let inner = name.trim_start_matches("Other(OtherError(").trim_end_matches(')');
            let end = inner.find([' ', '{', '(']).unwrap_or(inner.len());
            format!("invalid certificate: {}", inner[..end].trim_end_matches("Context"))
        }
        Some(_) | None => error.to_string(),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "errors new in the library are described by their own text"
)]
fn describe_certificate(error: &CertificateError, server: &ServerName<'_>) -> String {
    let host = server.to_str();
    match error {
        CertificateError::UnknownIssuer => format!(
            "the certificate of {host} is not signed by a CA that this host trusts; name the \
             certificate of the CA that signed it, or a self-signed one, in mail.ca_file"
        ),
        CertificateError::Expired => {
            format!("the certificate of {host} has expired; renew it on the mail server")
        }
        CertificateError::ExpiredContext { time, not_after } => format!(
            "the certificate of {host} expired at {}; renew it on the mail server, unless this \
             host's clock is wrong: it shows {}",
            format_time(*not_after),
            format_time(*time)
        ),
        CertificateError::NotValidYet => {
            format!("the certificate of {host} is not valid yet; is this host's clock right?")
        }
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "the certificate of {host} is valid from {} on, and this host's clock shows {}: one of \
             them is wrong",
            format_time(*not_before),
            format_time(*time)
        ),
        CertificateError::NotValidForName => format!(
            "the certificate is not valid for name {host}; write the name that is in it as \
             mail.server"
        ),
        CertificateError::NotValidForNameContext { presented, .. } => {
            describe_name_mismatch(&host, presented)
        }
        CertificateError::BadSignature => format!(
            "the certificate of {host} is not signed by the CA that it names; give the \
             server its whole chain, and name the right CA in mail.ca_file"
        ),
        CertificateError::Revoked => {
            format!("the certificate of {host} is revoked; renew it on the mail server")
        }
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            let name = if matches!(server, ServerName::IpAddress(_)) { "IP" } else { "DNS" };
            format!(
                "the certificate of {host} is self-signed as that of a CA, which `openssl \
                 req -x509` makes by default, and is not valid for a server; make another \
                 with `-addext basicConstraints=critical,CA:FALSE -addext \
                 subjectAltName={name}:{host}` and name it in mail.ca_file"
            )
        }
        _ => format!(
            "the certificate of {host} is not valid for a mail server; make another one there"
        ),
    }
}

/// Describes a certificate that does not contain the requested name.
fn describe_name_mismatch(host: &str, presented: &[String]) -> String {
    // `DnsName("mail.example.org")`, as the library formats names.
    let name = |presented: &String| match presented.split('"').nth(1) {
        Some(name) => name.to_owned(),
        None => presented.clone(),
    };
    let names: Vec<_> = presented.iter().take(NAMES_MAX).map(name).collect();
    if names.is_empty() {
        return format!(
            "the certificate is not valid for name {host}: it has no subjectAltName, and a common \
             name is not used; make one on the mail server that names {host} there"
        );
    }
    let more = if presented.len() > NAMES_MAX { " and others" } else { "" };
    format!(
        "the certificate is not valid for name {host}, but for {}{more}; write that name as \
         mail.server, or give the server a certificate for {host}",
        names.join(", ")
    )
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "errors new in the library are described by their own text"
)]
fn describe_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::ProtocolVersion => describe_too_old(),
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            describe_nothing_in_common()
        }
        AlertDescription::UnrecognisedName => {
            "the server does not know this host name; write the name of its certificate as \
             mail.server"
                .to_owned()
        }
        AlertDescription::CertificateRequired
        | AlertDescription::NoCertificate
        | AlertDescription::BadCertificate
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => {
            "the server requires a client certificate, and gridd has none; let the server \
             accept a login instead (mail.user, mail.password_file)"
                .to_owned()
        }
        _ => "the server rejects the handshake; see the server's log".to_owned(),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "errors new in the library are described by their own text"
)]
fn describe_incompatible(what: &PeerIncompatible) -> String {
    match what {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::SupportedVersionsExtensionRequired => describe_too_old(),
        _ => describe_nothing_in_common(),
    }
}

fn describe_too_old() -> String {
    "the server has no TLS 1.2 or 1.3, and gridd supports no older one; update the server, or set \
     mail.security = \"plain\" if the network to it is trusted"
        .to_owned()
}

fn describe_nothing_in_common() -> String {
    "the server and gridd have no cipher, curve or key type in common; gridd supports ECDHE with \
     AES-GCM or ChaCha20 in TLS 1.2 and 1.3: allow one of them on the mail server"
        .to_owned()
}

fn describe_no_tls(security: MailSecurity) -> String {
    let what = match security {
        MailSecurity::Tls => {
            "if this port expects SMTP first (587 and 25 do), set mail.security = \"starttls\""
        }
        MailSecurity::Starttls | MailSecurity::Plain => {
            "check what is between gridd and the server"
        }
    };
    format!("the server's reply is not TLS; {what}")
}

fn format_time(at: UnixTime) -> String {
    let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map_or_else(|_| format!("{seconds} s"), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn described(error: Error) -> String {
        let server = ServerName::try_from("mail.example.org").expect("a name");
        describe(&io::Error::new(io::ErrorKind::InvalidData, error), &server, MailSecurity::Tls)
    }

    #[test]
    fn each_failure_says_what_it_is_and_what_to_do() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let expected = ServerName::try_from("mail.example.org").expect("a name");
        let names = |presented: &[&str]| CertificateError::NotValidForNameContext {
            expected: expected.clone(),
            presented: presented.iter().map(ToString::to_string).collect(),
        };
        let (time, other) = (at(1_795_000_000), at(1_790_000_000));
        let cases: [(Error, &[&str]); 10] = [
            (CertificateError::UnknownIssuer.into(), &["mail.ca_file", "UnknownIssuer"]),
            (
                CertificateError::ExpiredContext { time, not_after: other }.into(),
                &["expired at 2026-09-21T14:13:20Z", "clock is wrong: it shows 2026-11-18"],
            ),
            (
                CertificateError::NotValidYetContext { time: other, not_before: time }.into(),
                &["valid from 2026-11-18T11:06:40Z on", "NotValidYet"],
            ),
            (names(&["DnsName(\"smtp.example.net\")"]).into(), &["but for smtp.example.net;"]),
            (names(&[]).into(), &["not valid for name mail.example.org", "no subjectAltName"]),
            (Error::AlertReceived(AlertDescription::HandshakeFailure), &["no cipher"]),
            (Error::AlertReceived(AlertDescription::ProtocolVersion), &["no TLS 1.2", "plain"]),
            (
                PeerIncompatible::ServerDoesNotSupportTls12Or13.into(),
                &["no TLS 1.2", "ServerDoesNotSupportTls12Or13"],
            ),
            (PeerIncompatible::NoCipherSuitesInCommon.into(), &["no cipher"]),
            (
                Error::InvalidMessage(tokio_rustls::rustls::InvalidMessage::InvalidContentType),
                &["not TLS", "starttls", "InvalidContentType"],
            ),
        ];
        for (error, parts) in cases {
            let text = described(error);
            for part in parts {
                assert!(text.contains(part), "{part}: {text}");
            }
            assert!(text.len() < 420, "it is not truncated: {text}");
        }
    }
}
