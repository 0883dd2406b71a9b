//! Sets up the broker's CA and the TLS of its listeners, and keeps the certificates current.
//!
//! Guarantees that both listeners get a new certificate at the same time, that one that cannot be
//! used changes nothing and is reported until it can, and that no connection ends by a reload. Looks
//! at the files every minute and on SIGHUP. Does not know how TLS works.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::DaemonError;
use crate::broker::BrokerHandle;
use crate::clock;
use crate::config::Settings;
use crate::grid::log::identity::SecurityIncident;
use crate::grid::values::identity::KeyHash;
use crate::identity::authenticator::{AuthenticationMode, Authenticator};
use crate::identity::ca::{self, CertificateAuthority};
use crate::identity::ca_backup;
use crate::identity::certificate::show_time;
use crate::identity::client_verifier::PeerCheck;
use crate::identity::server_tls::{TlsConfigs, TlsError, TlsLoader, TlsPlan, TlsStatus};
use crate::listener::{AllowedHosts, ListenerTls, RefusedHandshake};
use crate::tasks;

/// How often the files are compared with what is in use.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// Refused handshakes that wait for their records.
const REFUSALS_QUEUED_MAX: usize = 64;

/// What identities and TLS need.
#[derive(Clone, Debug)]
pub(super) struct DaemonIdentity {
    /// The CA; `None`: nobody needs it.
    pub(super) authority: Option<Arc<CertificateAuthority>>,
    /// The TLS; `None`: no listener has it.
    pub(super) tls: Option<TlsKeeper>,
}

impl DaemonIdentity {
    /// The TLS of a listener, if it has it.
    pub(super) fn listener_tls(
        &self,
        has_tls: bool,
        authenticator: &Authenticator,
    ) -> Option<ListenerTls> {
        self.tls.as_ref().filter(|_| has_tls).map(|keeper| keeper.listener(authenticator))
    }

    /// The certificates in use, with TLS.
    pub(super) fn certificates(&self) -> Option<watch::Receiver<Arc<TlsConfigs>>> {
        self.tls.as_ref().map(|tls| tls.configs.subscribe())
    }

    /// The hash of the public key by which clients know the server, with TLS.
    pub(super) fn pin(&self) -> Option<KeyHash> {
        self.tls.as_ref().map(|tls| tls.configs.borrow().pin)
    }
}

/// The certificates in use, and what renews them. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct TlsKeeper {
    loader: Arc<Mutex<TlsLoader>>,
    configs: watch::Sender<Arc<TlsConfigs>>,
    /// What is known of the certificate in use, for status and alerts.
    pub(super) status: watch::Sender<TlsStatus>,
}

/// What decides whether the CA may be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct AuthorityNeeds {
    /// Whose CA it is.
    pub(super) journal: Uuid,
    /// The number of enrolled keys: their certificates are of the CA that was.
    pub(super) enrolled_keys: usize,
    /// Whether another one may be made all the same.
    pub(super) may_replace: bool,
}

/// Opens or makes the CA, and loads the certificates, if the settings need them. `listeners` are the
/// addresses of gRPC and HTTP, as bound.
///
/// # Errors
///
/// What cannot be used.
pub(super) async fn set_up(
    settings: &Settings,
    needs: AuthorityNeeds,
    listeners: [SocketAddr; 2],
) -> Result<DaemonIdentity, DaemonError> {
    let has_tls = settings.grpc_has_tls() || settings.http_has_tls();
    if !has_tls && settings.authentication_mode() == AuthenticationMode::Off {
        return Ok(DaemonIdentity { authority: None, tls: None });
    }
    let folder = settings.journal.dir.join(ca_backup::FOLDER);
    let plan = TlsPlan {
        files: settings.operator_files(),
        names: server_names(settings, listeners),
        grpc_clients: settings.tls.grpc_client_certificates,
        http_clients: settings.tls.http_client_certificates,
    };
    let opened = tasks::spawn_blocking("open ca", move || open(&folder, needs, plan));
    let (authority, loader, configs) = opened.await.map_err(|_| DaemonError::LoopDied)??;
    let status = TlsStatus::of(&configs);
    let keeper = TlsKeeper {
        loader: Arc::new(Mutex::new(loader)),
        configs: watch::Sender::new(Arc::new(configs)),
        status: watch::Sender::new(status),
    };
    Ok(DaemonIdentity { authority: Some(authority), tls: has_tls.then_some(keeper) })
}

type Opened = (Arc<CertificateAuthority>, TlsLoader, TlsConfigs);

fn open(folder: &Path, needs: AuthorityNeeds, plan: TlsPlan) -> Result<Opened, TlsError> {
    let AuthorityNeeds { journal, enrolled_keys, may_replace } = needs;
    let now = clock::wall_now();
    ca::refuse_second(folder, enrolled_keys, may_replace)?;
    let is_another = ca::refuse_second(folder, enrolled_keys, false).is_err();
    let authority = Arc::new(CertificateAuthority::open_or_create(folder, journal, now)?);
    if is_another {
        let folder = folder.display();
        tracing::warn!(path = %folder, enrolled_keys, "made another CA: all that have certificates must enrol again");
    }
    let mut loader = TlsLoader::new(plan, Arc::clone(&authority));
    let configs = loader.load_first(now)?;
    Ok((authority, loader, configs))
}

/// The names and addresses by which clients may know this broker.
fn server_names(settings: &Settings, listeners: [SocketAddr; 2]) -> BTreeSet<String> {
    // Settings contain only valid lists.
    let hosts = AllowedHosts::new(&settings.hosts).unwrap_or_default();
    let mut names: BTreeSet<String> = hosts.names().map(str::to_owned).collect();
    names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    let specific = listeners.into_iter().filter(|at| !at.ip().is_unspecified());
    names.extend(specific.map(|at| at.ip().to_canonical().to_string()));
    let node = rustix::system::uname();
    // A node name may be anything; only a host name belongs into a certificate.
    let node = node.nodename().to_string_lossy().to_ascii_lowercase();
    names.extend(AllowedHosts::new(&node).unwrap_or_default().names().map(str::to_owned));
    names
}

impl TlsKeeper {
    /// The TLS of a listener: callers with a certificate are known by `authenticator`.
    pub(super) fn listener(&self, authenticator: &Authenticator) -> ListenerTls {
        let (refusals, refused) = mpsc::channel(REFUSALS_QUEUED_MAX);
        let recorder = authenticator.clone();
        drop(tasks::spawn("tls refusals", record_refusals(refused, recorder)));
        let checker = authenticator.clone();
        ListenerTls {
            configs: self.configs.subscribe(),
            check: PeerCheck::new(move |certificate| {
                let caller = checker.caller_by_certificate(certificate);
                caller.map(drop).map_err(|denied| denied.to_string())
            }),
            generation: authenticator.credentials().generation(),
            refusals: Some(refusals),
        }
    }

    /// Looks at the files every minute, as long as the runtime lives.
    pub(super) async fn keep_current(self) {
        let mut ticks = tokio::time::interval(CHECK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is at once.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            self.reload().await;
        }
    }

    /// Loads the certificates again if their files have changed.
    pub(super) async fn reload(&self) {
        let loader = Arc::clone(&self.loader);
        let loading = tasks::spawn_blocking("load certificates", move || {
            loader.lock().unwrap_or_else(PoisonError::into_inner).load(clock::wall_now())
        });
        // If it was cancelled, the whole process is ending.
        let Ok(loaded) = loading.await else { return };
        match loaded {
            Ok(Some(configs)) => {
                let until = show_time(configs.expires_at);
                tracing::info!(
                    serial = &*configs.serial,
                    until,
                    "a new server certificate is in use"
                );
                self.status.send_replace(TlsStatus::of(&configs));
                self.configs.send_replace(Arc::new(configs));
            }
            Ok(None) => drop(self.status.send_if_modified(|status| status.error.take().is_some())),
            Err(error) => {
                let error = error.to_string();
                // Once, not every minute.
                let is_new = self.status.send_if_modified(|status| {
                    let is_new = status.error.as_deref() != Some(&error);
                    status.error = Some(error.as_str().into());
                    is_new
                });
                if is_new {
                    tracing::error!("the server certificate stays unchanged: {error}");
                }
            }
        }
    }
}

/// Opens and resolves the alert on the server's certificate, as long as the runtime lives. The core
/// ignores what it knows already.
pub(super) async fn report_certificate(
    mut status: watch::Receiver<TlsStatus>,
    broker: BrokerHandle,
) {
    loop {
        let problem = status.borrow_and_update().problem(clock::wall_now());
        let problem = problem.map(Into::into);
        let incident = SecurityIncident::ServerCertificate { problem };
        if let Err(error) = broker.record_incident(incident).await {
            tracing::warn!(%error, "the state of the server certificate has no record");
        }
        // Its end comes nearer without a change.
        if let Ok(Err(_)) = tokio::time::timeout(CHECK_INTERVAL, status.changed()).await {
            return;
        }
    }
}

/// Hands refused handshakes to the records.
async fn record_refusals(
    mut refused: mpsc::Receiver<RefusedHandshake>,
    authenticator: Authenticator,
) {
    while let Some(refused) = refused.recv().await {
        let RefusedHandshake { listener, address, reason, names, .. } = refused;
        let who = match names {
            Some(names) => format!("a certificate of {names}"),
            None => "somebody without a certificate".to_owned(),
        };
        let what = format!("TLS on the {listener} port");
        authenticator.refused(address, who, &what, reason.into(), None);
    }
}
