//! Renews the certificate of this host: by the agent, or by any call of vme when it is due.
//!
//! Guarantees that one process at a time renews, that a failed try is repeated after an hour (earlier
//! for short-lived certificates), and that the old certificate stays until the new one is complete.
//! Works after the certificate's end too, since the key is the proof. Does not know what is sent by it.

use std::time::Duration;

use grid_broker::client::{ClientCredential, ClientError, ConnectOptions, ServerTrust};
use grid_broker::clock::wall_now;
use grid_broker::contract::proto::RenewRequest;
use grid_broker::contract::proto::identity_service_client::IdentityServiceClient;
use grid_broker::grid::values::time::Timestamp;
use grid_broker::identity::certificate::show_time;
use tokio::time::{sleep, timeout};

use super::folder::{IdentityError, IdentityFolder, StoredIdentity};
use super::issued::{self, IssuedBy, NotAccepted};
use crate::print_line;
use crate::sender::jitter;

/// How long a call of vme waits for a renewal.
pub(crate) const RENEWAL_WITHIN: Duration = Duration::from_secs(3);

/// How long the agent waits for one.
const RENEWAL_BY_AGENT_WITHIN: Duration = Duration::from_secs(30);

/// The delay after a failed try: an hour, or this part of the certificate's life if it is shorter.
const RETRY_INTERVAL_MAX: Duration = Duration::from_secs(3600);
const RETRY_INTERVAL_PART: u32 = 24;

/// The same once the certificate has ended: without a new one nothing can be sent.
const RETRY_INTERVAL_ENDED: Duration = Duration::from_secs(5);

/// How often the agent looks whether a renewal is due.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(60);
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(500);

/// From this part of its life on, a certificate that could not be renewed is a warning.
const WARNING_PART: u32 = 6;

/// Why a certificate was not renewed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenewalError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    NotAccepted(#[from] NotAccepted),
    #[error("the key of this host is missing; enrol it again (`vme enrol --force`)")]
    NoKey,
    #[error("the broker at {address} did not reply within {} s", .within.as_secs())]
    NoReply { address: String, within: Duration },
}

impl StoredIdentity {
    /// Whether the certificate has ended, by our clock.
    pub(crate) fn has_ended(&self) -> bool {
        self.expires_at <= wall_now()
    }

    fn is_due(&self) -> bool {
        self.renew_at <= wall_now()
    }

    fn retry_interval(&self) -> Duration {
        let life = self.expires_at.since(self.issued_at);
        let usual = RETRY_INTERVAL_MAX.min(life / RETRY_INTERVAL_PART);
        if self.has_ended() { usual.min(RETRY_INTERVAL_ENDED) } else { usual }
    }

    fn is_warning_due(&self) -> bool {
        let life = self.expires_at.since(self.issued_at);
        self.expires_at.before(life / WARNING_PART) <= wall_now()
    }
}

/// Renews the certificate, if that is due and nobody has just tried. `Some`: there is a new one.
pub(crate) async fn renew_if_due(
    folder: &IdentityFolder,
    within: Duration,
) -> Result<Option<StoredIdentity>, RenewalError> {
    let Some(stored) = folder.load()? else { return Ok(None) };
    if !stored.is_due() || folder.since_last_try().is_some_and(|it| it < stored.retry_interval()) {
        return Ok(None);
    }
    let Some(lock) = folder.try_lock()? else { return Ok(None) };
    // Another process may have renewed it in between.
    let Some(stored) = folder.load()?.filter(StoredIdentity::is_due) else { return Ok(None) };
    lock.note_try();
    let late = || RenewalError::NoReply { address: stored.address.clone(), within };
    let renewed = timeout(within, renew(folder, &stored)).await.unwrap_or_else(|_| Err(late()))?;
    Ok(Some(renewed))
}

/// Asks for a new certificate on the same key. Needs no certificate: the broker is identified by its
/// pin, and this host by the signature of the request.
async fn renew(
    folder: &IdentityFolder,
    stored: &StoredIdentity,
) -> Result<StoredIdentity, RenewalError> {
    let key = folder.key()?.ok_or(RenewalError::NoKey)?;
    let options = ConnectOptions {
        address: stored.address.clone(),
        trust: ServerTrust::Pin(stored.pin),
        credential: ClientCredential::None,
    };
    let mut client = IdentityServiceClient::new(options.connect().await?);
    let certificate_request = key.certificate_request().map_err(IdentityError::from)?;
    let reply = client.renew(RenewRequest { certificate_request }).await;
    let reply = reply.map_err(|status| ClientError::from_status(&stored.address, status))?;
    let by = IssuedBy { address: &stored.address, pin: stored.pin, token: &stored.token };
    let certificate = reply.into_inner().certificate;
    let checked = issued::check(certificate, key.hash(), &by, jitter())?;
    folder.store(&checked.certificate, &checked.authority, &checked.stored)?;
    Ok(checked.stored)
}

/// Renews at the end of a call of vme. Never fails the call; a warning is printed when the
/// certificate ends soon.
pub(crate) async fn renew_after_call(folder: &IdentityFolder) {
    let Err(error) = renew_if_due(folder, RENEWAL_WITHIN).await else { return };
    if let Ok(Some(stored)) = folder.load()
        && stored.is_warning_due()
    {
        print_line(&describe(&error, stored.expires_at));
    }
}

/// Renews for as long as the agent runs. Never returns.
pub(crate) async fn keep_renewed(folder: &IdentityFolder) {
    loop {
        match renew_if_due(folder, RENEWAL_BY_AGENT_WITHIN).await {
            Ok(None) => {}
            Ok(Some(stored)) => {
                let until = show_time(stored.expires_at);
                print_line(&format!("the certificate is renewed, and valid until {until}"));
            }
            Err(error) => match folder.load() {
                Ok(Some(stored)) => print_line(&describe(&error, stored.expires_at)),
                Ok(None) | Err(_) => print_line(&error.to_string()),
            },
        }
        sleep(look_interval(folder)).await;
    }
}

/// Short-lived certificates are looked at more often.
fn look_interval(folder: &IdentityFolder) -> Duration {
    match folder.load() {
        Ok(Some(stored)) => stored.retry_interval().clamp(LOOK_INTERVAL_MIN, LOOK_INTERVAL_MAX),
        Ok(None) | Err(_) => LOOK_INTERVAL_MAX,
    }
}

fn describe(error: &RenewalError, expires_at: Timestamp) -> String {
    let error = error.to_string();
    let error: Vec<_> = error.lines().map(str::trim).collect();
    let ends = if expires_at <= wall_now() { "ended" } else { "ends" };
    format!(
        "the certificate of this host {ends} at {} and is not renewed: {}",
        show_time(expires_at),
        error.join("; ")
    )
}
