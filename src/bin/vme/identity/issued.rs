//! Checks a certificate that the broker issued before it is stored.
//!
//! Guarantees that what is stored is a certificate for an appliance, on our key. Verifies no signature:
//! the broker, which the pin identifies, does that at each connect.

use grid_broker::clock::wall_now;
use grid_broker::contract::proto::{IssuedCertificate, PrincipalKind};
use grid_broker::grid::values::id::is_valid_name;
use grid_broker::grid::values::identity::KeyHash;
use grid_broker::grid::values::time::Timestamp;
use grid_broker::identity::certificate::CertificateFacts;
use grid_broker::identity::pem::certificate_to_pem;
use grid_broker::show::escape::excerpt;

use super::folder::StoredIdentity;

/// Why a certificate is not stored.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAccepted {
    #[error(
        "the token enrols the administrator {0}, and vme is for appliances; an administrator uses \
         gridctl"
    )]
    Administrator(String),
    #[error("the broker's reply has {0}; gridd and vme may be of different versions")]
    Malformed(&'static str),
}

/// A checked certificate.
#[derive(Debug)]
pub(crate) struct CheckedCertificate {
    /// The certificate, PEM.
    pub(crate) certificate: String,
    /// That of the authority, PEM.
    pub(crate) authority: String,
    /// What is stored beside them.
    pub(crate) stored: StoredIdentity,
}

/// Where a certificate was requested, and by which token.
#[derive(Clone, Debug)]
pub(crate) struct IssuedBy<'a> {
    pub(crate) address: &'a str,
    pub(crate) pin: KeyHash,
    pub(crate) token: &'a str,
}

/// Checks a reply. `chance`, from 0 to 1, spreads the renewals of a grid.
pub(crate) fn check(
    reply: Option<IssuedCertificate>,
    key: KeyHash,
    by: &IssuedBy<'_>,
    chance: f64,
) -> Result<CheckedCertificate, NotAccepted> {
    let reply = reply.ok_or(NotAccepted::Malformed("no certificate"))?;
    match PrincipalKind::try_from(reply.kind) {
        Ok(PrincipalKind::Appliance) => {}
        Ok(PrincipalKind::Administrator) => {
            return Err(NotAccepted::Administrator(excerpt(&reply.name)));
        }
        Ok(PrincipalKind::Unspecified) | Err(_) => {
            return Err(NotAccepted::Malformed(
                "a certificate for neither appliance nor administrator",
            ));
        }
    }
    if !is_valid_name(&reply.name) {
        return Err(NotAccepted::Malformed("a name that is no appliance's"));
    }
    let facts = CertificateFacts::parse(&reply.certificate)
        .map_err(|_| NotAccepted::Malformed("a certificate that cannot be read"))?;
    if facts.key != key {
        return Err(NotAccepted::Malformed("a certificate on another key"));
    }
    let end = format!("/appliance/{}", reply.name);
    if !facts.uris.iter().any(|uri| uri.ends_with(&end)) {
        return Err(NotAccepted::Malformed("a certificate for another name"));
    }
    // The pin identifies the broker, whose own certificate may be of an operator's CA. So the authority of
    // ours may be another one.
    CertificateFacts::parse(&reply.authority).map_err(|_| {
        NotAccepted::Malformed("a certificate of its authority that cannot be read")
    })?;
    let issued_at = wall_now();
    let expires_at = facts.not_after;
    let requested = reply.renew_at.and_then(|at| {
        let micros = at.seconds.checked_mul(1_000_000)?;
        Some(Timestamp::from_micros(micros.checked_add(i64::from(at.nanos) / 1_000)?))
    });
    let stored = StoredIdentity {
        address: by.address.to_owned(),
        pin: by.pin,
        appliance: reply.name,
        token: by.token.to_owned(),
        issued_at,
        renew_at: renewal_time(issued_at, requested, expires_at, chance),
        expires_at,
    };
    Ok(CheckedCertificate {
        certificate: certificate_to_pem(&reply.certificate),
        authority: certificate_to_pem(&reply.authority),
        stored,
    })
}

/// When to renew: as the broker asks, else after two thirds of its life; earlier by up to a tenth of
/// its life, so that hosts that enrolled together do not renew together.
fn renewal_time(
    issued_at: Timestamp,
    requested: Option<Timestamp>,
    expires_at: Timestamp,
    chance: f64,
) -> Timestamp {
    let life = expires_at.since(issued_at);
    let is_within = |at: &Timestamp| issued_at <= *at && *at <= expires_at;
    let at = requested.filter(is_within).unwrap_or_else(|| issued_at.after(life * 2 / 3));
    at.before(life.mul_f64(0.1 * chance.clamp(0.0, 1.0))).max(issued_at)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn renewals_are_spread_over_a_tenth_of_the_life() {
        let at = |seconds: u64| Timestamp::from_micros(0).after(Duration::from_secs(seconds));
        for (requested, chance, expected) in [
            (Some(at(1_700)), 0.0, at(1_700)),
            (Some(at(1_700)), 0.5, at(1_655)),
            (Some(at(1_700)), 1.0, at(1_610)),
            (None, 0.0, at(1_600)),
            // Times that cannot be right.
            (Some(at(999)), 0.0, at(1_600)),
            (Some(at(1_901)), 0.0, at(1_600)),
            (Some(at(1_000)), 1.0, at(1_000)),
        ] {
            let time = renewal_time(at(1_000), requested, at(1_900), chance);
            assert_eq!(time, expected, "{requested:?} {chance}");
        }
    }
}
