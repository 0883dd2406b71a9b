//! Describes what a serving broker tells of itself: on the terminal, to the service manager, in the ready
//! file.
//!
//! Guarantees that the same facts are everywhere. Prints nothing.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::identity::FirstAdministrator;
use super::tls::DaemonIdentity;
use crate::broker::Started;
use crate::config::Settings;
use crate::grid::values::identity::KeyHash;
use crate::identity::authenticator::AuthenticationMode;

/// Endpoints and data of a serving broker.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// The bound gRPC address.
    pub grpc: SocketAddr,
    /// The bound HTTP address.
    pub http: SocketAddr,
    /// The data folder, absolute.
    pub data_dir: PathBuf,
    /// The start count.
    pub term: u64,
    /// The newest record.
    pub last_record: u64,
    /// The first administrator, if this start created it.
    pub first_administrator: Option<FirstAdministrator>,
    /// Whether the gRPC listener has TLS.
    pub grpc_tls: bool,
    /// Whether the HTTP listener has TLS.
    pub http_tls: bool,
    /// The hash of the public key by which clients know the server, with TLS.
    pub pin: Option<KeyHash>,
    /// Whether callers need credentials.
    pub authentication: AuthenticationMode,
}

impl Endpoints {
    /// The address of the pages, as a URL.
    pub fn pages(&self) -> String {
        let scheme = if self.http_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.http)
    }

    /// What the service manager shows.
    pub(super) fn status(&self) -> String {
        let tls = if self.grpc_tls { " with TLS" } else { "" };
        format!("serves on {}{tls} and {}, start {}", self.grpc, self.pages(), self.term)
    }

    /// The content of the ready file: one JSON object on one line.
    pub(super) fn to_json(&self) -> String {
        let ready = serde_json::json!({
            "grpc": self.grpc.to_string(),
            "http": self.http.to_string(),
            "data": self.data_dir.display().to_string(),
            "pid": std::process::id(),
            "version": env!("CARGO_PKG_VERSION"),
            "term": self.term,
            "grpc_tls": self.grpc_tls,
            "http_tls": self.http_tls,
            "pin": self.pin.map(|pin| pin.to_string()),
        });
        format!("{ready}\n")
    }
}

/// The endpoints of a started broker; `grpc` and `http` as bound.
pub(super) fn endpoints_of(
    settings: &Settings,
    (grpc, http): (SocketAddr, SocketAddr),
    started: &Started,
    identity: &DaemonIdentity,
) -> Endpoints {
    let dir = &settings.journal.dir;
    Endpoints {
        grpc,
        http,
        data_dir: std::path::absolute(dir).unwrap_or_else(|_| dir.clone()),
        term: started.term,
        last_record: started.reader.durable(),
        first_administrator: None,
        grpc_tls: settings.grpc_has_tls(),
        http_tls: settings.http_has_tls(),
        pin: identity.pin(),
        authentication: settings.authentication_mode(),
    }
}
