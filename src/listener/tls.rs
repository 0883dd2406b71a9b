//! Runs TLS handshakes on accepted connections.
//!
//! Guarantees bounds on handshakes in progress, in total and per address (more wait, until their
//! deadline), that every refused one is counted and handed on with its reason, and that a program
//! without TLS is told. A reload of certificates applies to the next handshake and ends no
//! connection. Does not know who may do what: a check from outside does.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Port;
use crate::clock;
use crate::identity::client_verifier::{ObservedHandshake, PeerCheck, observe};
use crate::identity::peer::PeerCertificate;
use crate::identity::refusal::{RefusalKind, describe_refusal};
use crate::identity::server_tls::{ClientCertificates, TlsConfig, TlsConfigs};
use crate::listener::protocol::{self, RewoundStream};
use crate::log_limiter::LogLimiter;
use crate::metrics::Connections;

/// TLS handshakes in progress at one time; more wait.
const HANDSHAKES_MAX: usize = 256;

/// The same of one address.
const HANDSHAKES_OF_ADDRESS_MAX: usize = 16;

/// A connection's certificate is compared with the clock at least this often: the clock can be set.
const CLOCK_INTERVAL: Duration = Duration::from_secs(60);

/// The TLS of a listener.
#[derive(Clone, Debug)]
pub struct ListenerTls {
    /// The configurations; each handshake uses the newest.
    pub configs: watch::Receiver<Arc<TlsConfigs>>,
    /// Whether a valid certificate is accepted; asked in each handshake, and again whenever
    /// `generation` changes.
    pub check: PeerCheck,
    /// Changes when the check may have another result.
    pub generation: watch::Receiver<u64>,
    /// Takes refused handshakes, for records. When it is full, they are counted only.
    pub refusals: Option<mpsc::Sender<RefusedHandshake>>,
}

/// A handshake that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedHandshake {
    /// The listener.
    pub listener: &'static str,
    /// The address of the client.
    pub address: IpAddr,
    /// The kind of the reason.
    pub kind: RefusalKind,
    /// The reason, for people.
    pub reason: Box<str>,
    /// The names in the client's certificate, if it has one that can be read. The client did not
    /// prove that they are its own.
    pub names: Option<Box<str>>,
    /// The serial number of that certificate.
    pub serial: Option<Box<str>>,
}

/// The protocol that both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AgreedProtocol {
    Http2,
    Http1,
    /// The client did not ask.
    None,
}

/// A connection after its handshake.
pub(super) struct TlsConnection<S> {
    /// In a box, since it is large and moves.
    pub(super) stream: Box<TlsStream<RewoundStream<S>>>,
    pub(super) protocol: AgreedProtocol,
    pub(super) certificate: Option<Arc<PeerCertificate>>,
    /// It has no certificate, although the listener asks for one.
    pub(super) is_stranger: bool,
}

/// Runs the handshakes of one listener.
#[derive(Debug)]
pub(super) struct TlsHandshakes {
    pub(super) tls: ListenerTls,
    port: Port,
    metrics: Connections,
    all: Arc<Semaphore>,
    addresses: Mutex<HashMap<IpAddr, AddressHandshakes>>,
}

/// Handshakes of one address.
#[derive(Debug)]
struct AddressHandshakes {
    permits: Arc<Semaphore>,
    /// Connections that are in a handshake or wait for one.
    connections: usize,
}

impl TlsHandshakes {
    pub(super) fn new(tls: ListenerTls, port: Port, metrics: Connections) -> Self {
        let all = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        Self { tls, port, metrics, all, addresses: Mutex::default() }
    }

    /// Runs a handshake; `None`: it was refused. Has no deadline: the caller has one.
    pub(super) async fn accept<S>(&self, stream: S, address: IpAddr) -> Option<TlsConnection<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let _permits = self.acquire(address).await?;
        // The connection ended.
        let (first, stream) = protocol::read_first(stream).await.ok()?;
        if first.is_ascii_alphabetic() {
            self.refuse_plain(stream).await;
            return None;
        }
        let TlsConfig { server, clients } = {
            let configs = self.tls.configs.borrow();
            match self.port {
                Port::Grpc => configs.grpc.clone(),
                Port::Http => configs.http.clone(),
            }
        };
        let handshake = TlsAcceptor::from(server).accept(stream);
        let (accepted, observed) = observe(self.tls.check.clone(), handshake).await;
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => {
                let (kind, reason) = describe_refusal(&error, &observed, clock::wall_now());
                self.refuse(address, kind, reason, &observed);
                return None;
            }
        };
        let session = stream.get_ref().1;
        let protocol = match session.alpn_protocol() {
            Some(b"h2") => AgreedProtocol::Http2,
            Some(_) => AgreedProtocol::Http1,
            None => AgreedProtocol::None,
        };
        let certificate = observed.certificate.filter(|_| session.peer_certificates().is_some());
        let is_stranger = certificate.is_none() && clients != ClientCertificates::Off;
        Some(TlsConnection { stream: Box::new(stream), protocol, certificate, is_stranger })
    }

    /// Counts a refused handshake, and hands it on.
    fn refuse(
        &self,
        address: IpAddr,
        kind: RefusalKind,
        reason: Box<str>,
        observed: &ObservedHandshake,
    ) {
        static LINE: LogLimiter = LogLimiter::new();
        let listener = self.port.as_str();
        self.metrics.refused(listener, kind.as_str());
        let names = observed.facts.as_ref().map(|facts| facts.listed_names());
        let serial = observed.facts.as_ref().map(|facts| facts.serial.clone());
        // Anybody can send garbage; only certificates are worth a line.
        let is_notable = matches!(kind, RefusalKind::Certificate | RefusalKind::NoCertificate);
        if let Some(left_out) = is_notable.then(|| LINE.allow()).flatten() {
            let names = names.as_deref().unwrap_or("no certificate");
            tracing::warn!(listener, peer = %address, names, left_out, "TLS refused: {reason}");
        }
        if let Some(refusals) = &self.tls.refusals {
            let refused = RefusedHandshake { listener, address, kind, reason, names, serial };
            // When nobody reads fast enough, the metrics have it.
            let _ = refusals.try_send(refused);
        }
    }

    /// Tells a program that speaks HTTP without TLS.
    async fn refuse_plain<S: AsyncWrite + Unpin>(&self, mut stream: S) {
        self.metrics.refused(self.port.as_str(), "not_tls");
        let message = "this port accepts only TLS: write https:// before its address";
        let response = match self.port {
            Port::Http => protocol::plain_response("400 Bad Request", message),
            Port::Grpc => protocol::go_away(message),
        };
        // A client that does not read it sees the close.
        let _ = stream.write_all(&response).await;
        let _ = stream.shutdown().await;
    }

    /// Completes when the certificate of a connection is not accepted any more: it has ended, or the
    /// check says so. Returns the label of metrics.
    pub(super) async fn certificate_refused(&self, certificate: &PeerCertificate) -> &'static str {
        static LINE: LogLimiter = LogLimiter::new();
        let mut generation = self.tls.generation.clone();
        loop {
            generation.mark_unchanged();
            let now = clock::wall_now();
            if now > certificate.expires_at {
                return "certificate_ended";
            }
            if let Err(reason) = self.tls.check.check(certificate) {
                if let Some(left_out) = LINE.allow() {
                    let (listener, owner) = (self.port.as_str(), &certificate.subject);
                    tracing::info!(listener, %owner, left_out, "a connection ends: {reason}");
                }
                return "certificate_revoked";
            }
            // Certificates have whole seconds, and are valid through the last one.
            let left = certificate.expires_at.since(now) + Duration::from_millis(1);
            let changed = async {
                if generation.changed().await.is_err() {
                    // Nobody changes it any more.
                    std::future::pending::<()>().await;
                }
            };
            // Either way it is looked at again.
            let _ = tokio::time::timeout(left.min(CLOCK_INTERVAL), changed).await;
        }
    }

    /// Waits until a handshake may begin. `None` cannot happen: no semaphore is closed.
    async fn acquire(&self, address: IpAddr) -> Option<HandshakePermits<'_>> {
        let waiting = WaitingHandshake::new(self, address);
        let of_address = Arc::clone(&waiting.permits).acquire_owned().await.ok()?;
        let of_all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(HandshakePermits { _of_all: of_all, _of_address: of_address, _waiting: waiting })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, AddressHandshakes>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Dropped at the end of a handshake.
struct HandshakePermits<'a> {
    _of_all: OwnedSemaphorePermit,
    _of_address: OwnedSemaphorePermit,
    _waiting: WaitingHandshake<'a>,
}

/// A connection that is counted for its address.
struct WaitingHandshake<'a> {
    handshakes: &'a TlsHandshakes,
    address: IpAddr,
    permits: Arc<Semaphore>,
}

impl<'a> WaitingHandshake<'a> {
    fn new(handshakes: &'a TlsHandshakes, address: IpAddr) -> Self {
        let address = super::connection_limit::address_key(address);
        let mut addresses = handshakes.lock();
        let entry = addresses.entry(address).or_insert_with(|| AddressHandshakes {
            permits: Arc::new(Semaphore::new(HANDSHAKES_OF_ADDRESS_MAX)),
            connections: 0,
        });
        entry.connections += 1;
        let permits = Arc::clone(&entry.permits);
        drop(addresses);
        Self { handshakes, address, permits }
    }
}

impl Drop for WaitingHandshake<'_> {
    fn drop(&mut self) {
        let mut addresses = self.handshakes.lock();
        if let Some(entry) = addresses.get_mut(&self.address) {
            entry.connections -= 1;
            if entry.connections == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}
