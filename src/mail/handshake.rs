//! Says why there is no TLS with a server: what it is, and which setting mends it.
//!
//! Guarantees that every answer keeps the library's own word, so that it can be looked for elsewhere,
//! and names a setting or what to do on the mail server. Decides nothing.

use std::io;

use jiff::Timestamp;
use tokio_rustls::rustls::pki_types::{ServerName, UnixTime};
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

use crate::config::mail::MailSecurity;

/// Most names of a certificate that are told.
const NAMES_MAX: usize = 4;

/// Why the handshake with `server` failed.
pub(super) fn in_words(
    error: &io::Error,
    server: &ServerName<'_>,
    security: MailSecurity,
) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let told = match tls {
        Some(Error::InvalidCertificate(wrong)) => of_certificate(wrong, server),
        Some(Error::AlertReceived(alert)) => of_alert(*alert),
        Some(Error::PeerIncompatible(what)) => of_incompatible(what),
        Some(Error::InvalidMessage(_)) => no_tls(security),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the server ended the connection; its own log says why".to_owned()
        }
        Some(_) | None => return error.to_string(),
    };
    format!("{told} ({})", word(error, tls))
}

/// The library's own word.
fn word(error: &io::Error, tls: Option<&Error>) -> String {
    match tls {
        // Dates and names stand in the sentence already.
        Some(Error::InvalidCertificate(wrong)) => {
            let word = format!("{wrong:?}");
            let inner = word.trim_start_matches("Other(OtherError(").trim_end_matches(')');
            let end = inner.find([' ', '{', '(']).unwrap_or(inner.len());
            format!("invalid certificate: {}", inner[..end].trim_end_matches("Context"))
        }
        Some(_) | None => error.to_string(),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what is new in the library has its own word")]
fn of_certificate(wrong: &CertificateError, server: &ServerName<'_>) -> String {
    let host = server.to_str();
    match wrong {
        CertificateError::UnknownIssuer => format!(
            "the certificate of {host} is signed by nobody whom this host trusts; name the \
             certificate of the authority that signed it, or a self-signed one, in mail.ca_file"
        ),
        CertificateError::Expired => {
            format!("the certificate of {host} has expired; renew it on the mail server")
        }
        CertificateError::ExpiredContext { time, not_after } => format!(
            "the certificate of {host} expired at {}; renew it on the mail server, unless this \
             host's clock is wrong: it says {}",
            moment(*not_after),
            moment(*time)
        ),
        CertificateError::NotValidYet => {
            format!("the certificate of {host} is not valid yet; is this host's clock right?")
        }
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "the certificate of {host} is valid from {} on, and this host's clock says {}: one of \
             them is wrong",
            moment(*not_before),
            moment(*time)
        ),
        CertificateError::NotValidForName => format!(
            "the certificate is not valid for name {host}; write the name that is in it as \
             mail.server"
        ),
        CertificateError::NotValidForNameContext { presented, .. } => for_others(&host, presented),
        CertificateError::BadSignature => format!(
            "the certificate of {host} is not signed by the authority that it names; give the \
             server its whole chain, and name the right authority in mail.ca_file"
        ),
        CertificateError::Revoked => {
            format!("the certificate of {host} is revoked; renew it on the mail server")
        }
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            let name = if matches!(server, ServerName::IpAddress(_)) { "IP" } else { "DNS" };
            format!(
                "the certificate of {host} is self-signed as that of an authority, which `openssl \
                 req -x509` makes unless told otherwise, and is none for a server; make another \
                 with `-addext basicConstraints=critical,CA:FALSE -addext \
                 subjectAltName={name}:{host}` and name it in mail.ca_file"
            )
        }
        _ => format!("the certificate of {host} is none for a mail server; make another one there"),
    }
}

/// The name asked for is none of the certificate's.
fn for_others(host: &str, presented: &[String]) -> String {
    // `DnsName("mail.example.org")` as the library tells them.
    let name = |said: &String| match said.split('"').nth(1) {
        Some(name) => name.to_owned(),
        None => said.clone(),
    };
    let names: Vec<_> = presented.iter().take(NAMES_MAX).map(name).collect();
    if names.is_empty() {
        return format!(
            "the certificate is not valid for name {host}: it has no subjectAltName, and a common \
             name counts for nothing; make one on the mail server that names {host} there"
        );
    }
    let more = if presented.len() > NAMES_MAX { " and others" } else { "" };
    format!(
        "the certificate is not valid for name {host}, but for {}{more}; write that name as \
         mail.server, or give the server a certificate for {host}",
        names.join(", ")
    )
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what is new in the library has its own word")]
fn of_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::ProtocolVersion => too_old(),
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            nothing_in_common()
        }
        AlertDescription::UnrecognisedName => {
            "the server knows no host of this name; write the name of its certificate as \
             mail.server"
                .to_owned()
        }
        AlertDescription::CertificateRequired
        | AlertDescription::NoCertificate
        | AlertDescription::BadCertificate
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => {
            "the server asks for a certificate of its clients, and gridd has none; let the server \
             take a login instead (mail.user, mail.password_file)"
                .to_owned()
        }
        _ => "the server refuses the handshake; its own log says why".to_owned(),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what is new in the library has its own word")]
fn of_incompatible(what: &PeerIncompatible) -> String {
    match what {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::SupportedVersionsExtensionRequired => too_old(),
        _ => nothing_in_common(),
    }
}

fn too_old() -> String {
    "the server speaks no TLS 1.2 or 1.3, and gridd none that is older; update the server, or set \
     mail.security = \"plain\" if the way there is safe"
        .to_owned()
}

fn nothing_in_common() -> String {
    "the server and gridd have no cipher, curve or kind of key in common; gridd takes ECDHE with \
     AES-GCM or ChaCha20 in TLS 1.2 and 1.3: allow one of them on the mail server"
        .to_owned()
}

fn no_tls(security: MailSecurity) -> String {
    let what = match security {
        MailSecurity::Tls => {
            "if this port expects SMTP first (587 and 25 do), set mail.security = \"starttls\""
        }
        MailSecurity::Starttls | MailSecurity::Plain => "look what is between here and there",
    };
    format!("the server answers something that is no TLS; {what}")
}

fn moment(at: UnixTime) -> String {
    let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map_or_else(|_| format!("{seconds} s"), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn told(error: Error) -> String {
        let server = ServerName::try_from("mail.example.org").expect("a name");
        in_words(&io::Error::new(io::ErrorKind::InvalidData, error), &server, MailSecurity::Tls)
    }

    #[test]
    fn each_kind_says_what_it_is_and_what_to_do() {
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
                &["expired at 2026-09-21T14:13:20Z", "clock is wrong: it says 2026-11-18"],
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
                &["no TLS", "starttls", "InvalidContentType"],
            ),
        ];
        for (error, parts) in cases {
            let told = told(error);
            for part in parts {
                assert!(told.contains(part), "{part}: {told}");
            }
            assert!(told.len() < 420, "it is kept whole: {told}");
        }
    }
}
