//! Renews the certificate of a context: with the same key, after two thirds of its life.
//!
//! Guarantees that a failure stops a command only if the certificate has ended, and that the old
//! certificate stays until the new one is stored. The key needs no certificate to renew, so that a
//! certificate that has ended is renewed too.

use std::path::Path;

use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use grid_broker::clock::wall_now;
use grid_broker::contract::proto::RenewRequest;
use grid_broker::exit_code::ExitCode;
use grid_broker::grid::values::time::Timestamp;
use grid_broker::identity::certificate::CertificateFacts;
use grid_broker::identity::key::IdentityKey;

use crate::access::BrokerAccess;
use crate::connection::Connection;
use crate::credentials::{AdministratorCredential, CredentialError};
use crate::enrolment::chain_pem;
use crate::error::CliError;
use crate::output::OutputOptions;
use crate::private_file;

/// Whether a certificate is to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// Not yet.
    Later,
    /// It is still valid.
    Now,
    /// It has ended.
    Ended,
}

impl Due {
    fn of(begins: Timestamp, ends: Timestamp, now: Timestamp) -> Self {
        if now >= ends {
            Self::Ended
        } else if now.since(begins) >= ends.since(begins) / 3 * 2 {
            Self::Now
        } else {
            Self::Later
        }
    }
}

/// Renews the certificate if it is due.
///
/// # Errors
///
/// If it has ended and cannot be renewed.
pub(crate) async fn renew_if_due(
    access: &BrokerAccess,
    look: &OutputOptions,
) -> Result<(), CliError> {
    let Some(AdministratorCredential::Certificate { chain, key }) = &access.credential else {
        return Ok(());
    };
    // A file that cannot be read is reported by the connection.
    let due = read_facts(chain)
        .map_or(Due::Later, |facts| Due::of(facts.not_before, facts.not_after, wall_now()));
    if due == Due::Later {
        return Ok(());
    }
    match renew(access, chain, key).await {
        Ok(()) => {}
        Err(failure) if due == Due::Ended => return Err(failure),
        // The connection of the command itself reports this.
        Err(failure) if failure.exit_code() == ExitCode::Unavailable => {}
        Err(failure) => {
            look.note(&format!("your certificate ends soon and is not renewed: {failure}"))
        }
    }
    Ok(())
}

fn read_facts(chain: &Path) -> Option<CertificateFacts> {
    let certificate = CertificateDer::from_pem_file(chain).ok()?;
    CertificateFacts::parse(&certificate).ok()
}

async fn renew(access: &BrokerAccess, chain: &Path, key: &Path) -> Result<(), CliError> {
    let Some(key) = IdentityKey::read(key)? else { return Ok(()) };
    let certificate_request = key.certificate_request()?;
    let broker = Connection::connect(&BrokerAccess { credential: None, ..access.clone() }).await?;
    let request = broker.unary(RenewRequest { certificate_request });
    let reply = broker.identity().renew(request).await?.into_inner();
    let pem = chain_pem(reply.certificate, &key)?;
    Ok(private_file::write(chain, &pem).map_err(CredentialError::from)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_due_after_two_thirds_of_its_life() {
        for (now, due) in [
            (100, Due::Later),
            (299, Due::Later),
            (300, Due::Now),
            (399, Due::Now),
            (400, Due::Ended),
            (9_999, Due::Ended),
        ] {
            let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
            assert_eq!(Due::of(at(100), at(400), at(now)), due, "{now}");
        }
    }
}
