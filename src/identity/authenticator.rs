//! Determines who calls, by the credential, and whether they may.
//!
//! Guarantees that a name comes from the credential and never from the message; that a claimed name
//! which differs is refused; that unknown, wrong, expired and revoked tokens get one answer at one
//! cost, while the record says which it was; and that attempts are limited by address and token id, so
//! that nobody can lock a name out. Does not know what is requested beyond its name.

mod administrators;
mod denied;

use std::collections::HashSet;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::clock::{Clock, wall_now};
use crate::contract::{ADMINISTRATOR_METADATA, APPLIANCE_METADATA};
use crate::grid::decide::identity::{TokenProblem, check_token};
use crate::grid::log::identity::{Refusal, SecurityIncident};
use crate::grid::model::identity::{Token, TokenPurpose};
use crate::grid::model::settings::RateLimit;
use crate::grid::state::identities::Identities;
use crate::grid::values::id::{ApplianceName, NAME_BYTES_MAX};
use crate::grid::values::identity::{AdministratorName, Role, Subject, TokenId};
use crate::grid::values::time::Timestamp;
use crate::identity::credentials::Credentials;
use crate::identity::incidents::Incidents;
use crate::identity::limits::{KeyedLimit, network_of};
use crate::identity::peer::{Caller, Credential, Peer, PeerCertificate, Principal};
use crate::identity::roles::Access;
use crate::identity::token::{self, TokenKind};

pub use self::administrators::Presented;
pub use self::denied::{CertificateProblem, Denied};

/// An administrator's name if the client sends none, on a broker that trusts loopback.
const UNNAMED_ADMINISTRATOR: &str = "unnamed administrator";

/// Longest free name of an administrator, in bytes.
const FREE_NAME_BYTES_MAX: usize = 64;

/// Failed attempts with one token id from one address: these at once ...
const TOKEN_FAILURES_BURST: NonZeroU32 = NonZeroU32::new(30).unwrap();
/// ... then one per interval (ntfy's numbers).
const TOKEN_FAILURES_INTERVAL: Duration = Duration::from_secs(60);

/// Failed attempts from one address: these at once ...
const ADDRESS_FAILURES_BURST: NonZeroU32 = NonZeroU32::new(300).unwrap();
/// ... then one per interval. Many machines may share an address.
const ADDRESS_FAILURES_INTERVAL: Duration = Duration::from_secs(1);

/// When to try again after too many failures.
pub const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Whether callers need credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticationMode {
    /// Everybody is trusted: all listeners are on loopback.
    Off,
    /// Callers need a credential.
    Required,
}

/// Checks credentials. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Authenticator {
    mode: AuthenticationMode,
    credentials: Credentials,
    incidents: Incidents,
    clock: Clock,
    failures: Arc<Mutex<Failures>>,
}

#[derive(Debug)]
struct Failures {
    by_token: KeyedLimit<(IpAddr, TokenId)>,
    by_address: KeyedLimit<IpAddr>,
    /// Tokens whose first use of a day is being recorded.
    used: HashSet<(TokenId, i64)>,
}

impl Authenticator {
    /// Checks by these credentials.
    pub fn new(
        mode: AuthenticationMode,
        credentials: Credentials,
        incidents: Incidents,
        clock: Clock,
    ) -> Self {
        let limit = |burst, interval| RateLimit { burst, interval };
        let by_token = KeyedLimit::new(limit(TOKEN_FAILURES_BURST, TOKEN_FAILURES_INTERVAL));
        let by_address = KeyedLimit::new(limit(ADDRESS_FAILURES_BURST, ADDRESS_FAILURES_INTERVAL));
        let failures = Failures { by_token, by_address, used: HashSet::new() };
        let failures = Arc::new(Mutex::new(failures));
        Self { mode, credentials, incidents, clock, failures }
    }

    /// Whether callers need credentials.
    pub fn mode(&self) -> AuthenticationMode {
        self.mode
    }

    /// The credentials.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Where incidents go.
    pub fn incidents(&self) -> &Incidents {
        &self.incidents
    }

    /// The principal of a call of `what`, if it has `access`; `None`: it is not in the table.
    ///
    /// # Errors
    ///
    /// Why it is denied; a record of it is on its way.
    pub fn authorize(
        &self,
        peer: &Peer,
        headers: &HeaderMap,
        what: &str,
        access: Option<Access>,
    ) -> Result<Principal, Denied> {
        let decided = self.principal(peer, headers, access).and_then(|principal| {
            let access = access.ok_or(Denied::Unlisted)?;
            if access.permits(&principal.caller) {
                return Ok(principal);
            }
            let needed = access.describe();
            if self.mode == AuthenticationMode::Off && access == Access::Appliance {
                return Err(Denied::NoName);
            }
            Err(match &principal.caller {
                Caller::Stranger => Denied::NoCredential { needed },
                caller @ (Caller::Appliance(_) | Caller::Administrator { .. }) => {
                    Denied::Forbidden { caller: caller.to_string().into(), needed }
                }
            })
        });
        decided.inspect_err(|denied| {
            if self.mode == AuthenticationMode::Required {
                let who = claimed_by(peer, headers);
                self.refused(peer.address, who, what, denied.to_string(), None);
            }
        })
    }

    /// Records a refusal.
    pub fn refused(
        &self,
        address: IpAddr,
        who: String,
        what: &str,
        why: String,
        reused_token_of: Option<ApplianceName>,
    ) {
        let refusal = Refusal {
            who: who.into(),
            from: address.to_canonical().to_string().into(),
            what: what.into(),
            why: why.into(),
            omitted: 0,
            reused_token_of,
        };
        self.incidents.refused(address, refusal, self.clock.now());
    }

    fn principal(
        &self,
        peer: &Peer,
        headers: &HeaderMap,
        access: Option<Access>,
    ) -> Result<Principal, Denied> {
        let address = peer.address.to_canonical();
        if self.mode == AuthenticationMode::Off {
            let caller = trusted_caller(headers)?;
            return Ok(Principal { caller, credential: Credential::Loopback, address });
        }
        let (caller, credential) = match (headers.get(AUTHORIZATION), &peer.certificate) {
            // Whoever needs no credential is not asked for one that has ended.
            (_, _) if access == Some(Access::Anyone) => (Caller::Stranger, Credential::Loopback),
            (Some(header), _) => self.caller_by_token(address, header.as_bytes())?,
            (None, Some(certificate)) => {
                let caller = self.caller_by_certificate(certificate)?;
                (caller, Credential::Certificate(Arc::clone(certificate)))
            }
            (None, None) => (Caller::Stranger, Credential::Loopback),
        };
        check_claimed_name(&caller, headers)?;
        Ok(Principal { caller, credential, address })
    }

    fn caller_by_token(
        &self,
        address: IpAddr,
        header: &[u8],
    ) -> Result<(Caller, Credential), Denied> {
        let text = std::str::from_utf8(header).ok().and_then(|it| it.split_once(' '));
        let text = text.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let (_, text) = text.ok_or(Denied::BadHeader)?;
        self.caller_by_text(address, text.trim())
    }

    fn caller_by_text(&self, address: IpAddr, text: &str) -> Result<(Caller, Credential), Denied> {
        let sent = token::parse(text).map_err(Denied::NotAToken)?;
        if sent.kind == TokenKind::Enrolment {
            return Err(Denied::EnrolmentToken);
        }
        let now = self.clock.now();
        self.allow_attempt(address, Some(sent.id))?;
        let found = self.credentials.read(|identities| {
            let token = check_token(identities.token(sent.id), sent.secret, now)?;
            let caller = caller_of(identities, token).ok_or(TokenProblem::OtherPurpose)?;
            Ok::<_, TokenProblem>((caller, token.expires_at, token.last_used_at))
        });
        match found {
            Ok((caller, expires_at, last_used_at)) => {
                self.note_use(sent.id, last_used_at, now);
                Ok((caller, Credential::Token { id: sent.id, secret: sent.secret, expires_at }))
            }
            Err(problem) => {
                self.count_failure(address, Some(sent.id));
                tracing::debug!(token = %sent.id, peer = %address, "token refused: {problem}");
                Err(Denied::BadToken)
            }
        }
    }

    /// Whether a stranger at that address may try a credential: it had not too many failures.
    ///
    /// # Errors
    ///
    /// [`Denied::TooManyFailures`].
    pub fn allow_attempt(&self, address: IpAddr, id: Option<TokenId>) -> Result<(), Denied> {
        let (now, party) = (self.clock.now(), network_of(address));
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let is_allowed = failures.by_address.allows(&party, now)
            && id.is_none_or(|id| failures.by_token.allows(&(party, id), now));
        if is_allowed { Ok(()) } else { Err(Denied::TooManyFailures) }
    }

    /// Counts a failed attempt.
    pub fn count_failure(&self, address: IpAddr, id: Option<TokenId>) {
        let (now, party) = (self.clock.now(), network_of(address));
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.by_address.try_acquire(party, now);
        if let Some(id) = id {
            failures.by_token.try_acquire((party, id), now);
        }
    }

    /// Records the first use of a token on a day.
    fn note_use(&self, id: TokenId, last_used_at: Option<Timestamp>, now: Timestamp) {
        let day = |at: Timestamp| at.as_micros().div_euclid(86_400_000_000);
        if last_used_at.map(day) == Some(day(now)) {
            return;
        }
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.used.retain(|(_, of)| *of == day(now));
        if !failures.used.contains(&(id, day(now)))
            && self.incidents.record(SecurityIncident::TokenUsed { id })
        {
            failures.used.insert((id, day(now)));
        }
    }

    /// Whether a verified certificate still authenticates its owner. Asked after the handshake, at each
    /// change of credentials, and at each call.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn caller_by_certificate(&self, certificate: &PeerCertificate) -> Result<Caller, Denied> {
        let problem = |problem: fn(Subject) -> CertificateProblem| {
            Err(Denied::Certificate(problem(certificate.subject.clone())))
        };
        if self.mode == AuthenticationMode::Required && certificate.expires_at <= wall_now() {
            return problem(CertificateProblem::Ended);
        }
        self.credentials.read(|identities| {
            if certificate.is_own {
                let enrolled = identities.key(&certificate.subject);
                if enrolled.is_none_or(|enrolled| enrolled.key != certificate.key) {
                    return problem(CertificateProblem::Revoked);
                }
            }
            match &certificate.subject {
                Subject::Appliance(name) => {
                    let revoked_at = identities.revoked_at(name);
                    let is_older = revoked_at.is_some_and(|at| certificate.issued_at <= at);
                    if !certificate.is_own && is_older {
                        return problem(CertificateProblem::Revoked);
                    }
                    Ok(Caller::Appliance(name.clone()))
                }
                Subject::Administrator(name) => match identities.administrator(name) {
                    Some(known) => Ok(administrator(name, known.role)),
                    None => problem(CertificateProblem::Removed),
                },
            }
        })
    }

    /// Whether the credential of a session or stream still holds, for the same caller with the same
    /// role.
    pub fn still_holds(&self, principal: &Principal) -> bool {
        let now = self.clock.now();
        let caller = match &principal.credential {
            Credential::Loopback => return true,
            Credential::Certificate(certificate) => self.caller_by_certificate(certificate).ok(),
            Credential::Token { id, secret, .. } => self.credentials.read(|identities| {
                let token = check_token(identities.token(*id), *secret, now).ok()?;
                caller_of(identities, token)
            }),
        };
        caller.as_ref() == Some(&principal.caller)
    }
}

fn administrator(name: &AdministratorName, role: Role) -> Caller {
    Caller::Administrator { name: name.as_str().into(), role }
}

/// Whom an access token authenticates.
fn caller_of(identities: &Identities, token: &Token) -> Option<Caller> {
    match &token.purpose {
        TokenPurpose::Enrolment(_) => None,
        TokenPurpose::Access(Subject::Appliance(name)) => Some(Caller::Appliance(name.clone())),
        TokenPurpose::Access(Subject::Administrator(name)) => {
            identities.administrator(name).map(|known| administrator(name, known.role))
        }
    }
}

/// The caller on a broker that trusts everybody on loopback: as it says itself.
fn trusted_caller(headers: &HeaderMap) -> Result<Caller, Denied> {
    if let Some(name) = headers.get(APPLIANCE_METADATA) {
        let name = name.to_str().unwrap_or_default();
        return ApplianceName::new(name).map(Caller::Appliance).map_err(Denied::NotAName);
    }
    let name = headers.get(ADMINISTRATOR_METADATA).and_then(|name| name.to_str().ok());
    let name = name.map(str::trim).filter(|name| !name.is_empty()).unwrap_or(UNNAMED_ADMINISTRATOR);
    let end = name.floor_char_boundary(FREE_NAME_BYTES_MAX);
    Ok(Caller::Administrator { name: name[..end].into(), role: Role::Admin })
}

/// A name that is sent beside a credential must be its owner's.
fn check_claimed_name(caller: &Caller, headers: &HeaderMap) -> Result<(), Denied> {
    let Some(claimed) = headers.get(APPLIANCE_METADATA) else { return Ok(()) };
    let claimed = String::from_utf8_lossy(claimed.as_bytes());
    match caller {
        Caller::Stranger => Ok(()),
        Caller::Appliance(name) if name.as_str() == claimed => Ok(()),
        Caller::Appliance(_) | Caller::Administrator { .. } => {
            let end = claimed.floor_char_boundary(NAME_BYTES_MAX);
            Err(Denied::OtherName { is: caller.to_string().into(), claimed: claimed[..end].into() })
        }
    }
}

/// Who a refused caller claims to be, for the record.
fn claimed_by(peer: &Peer, headers: &HeaderMap) -> String {
    if let Some(header) = headers.get(AUTHORIZATION) {
        let text = header.to_str().unwrap_or_default();
        return owner_of_text(text.split_once(' ').map_or("", |(_, text)| text.trim()));
    }
    owner_of_connection(peer)
}

/// Whose token a text is, as far as it says so.
fn owner_of_text(text: &str) -> String {
    match token::parse(text) {
        Ok(token) => format!("token {}", token.id),
        Err(_) => "somebody with an unreadable token".to_owned(),
    }
}

/// Who has made the connection.
fn owner_of_connection(peer: &Peer) -> String {
    match &peer.certificate {
        Some(certificate) => certificate.subject.to_string(),
        None => "somebody without a credential".to_owned(),
    }
}

#[cfg(test)]
mod tests;
