//! Binds both listeners and builds their connection rules.
//!
//! Guarantees that none is served unless both are bound, and that each has its share of the file
//! descriptors that the system grants. Serves nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::DaemonError;
use crate::config::Settings;
use crate::listener::{AllowedHosts, ListenerConfig, Port};
use crate::metrics::Connections;
use crate::resources;

/// Both listeners, bound, with their rules.
pub(super) struct Listeners {
    pub(super) grpc: (TcpListener, ListenerConfig),
    pub(super) http: (TcpListener, ListenerConfig),
}

/// Binds both listeners.
///
/// # Errors
///
/// When an address is in use, or not one of this host.
pub(super) async fn bind(settings: &Settings) -> Result<Listeners, DaemonError> {
    let descriptors = resources::raise_descriptor_limit();
    let shares = resources::connection_limits(descriptors);
    if shares.is_scarce {
        tracing::warn!(
            "the process may open only {descriptors} files: at most {} connections to the gRPC port \
             are accepted; LimitNOFILE of systemd or `ulimit -n` raises the limit",
            shares.grpc
        );
    }
    let (grpc, grpc_at) = listen("grpc", settings.grpc).await?;
    let (http, http_at) = listen("http", settings.http).await?;
    let counted = Connections::default();
    // Settings contain only valid lists.
    let hosts = Arc::new(AllowedHosts::new(&settings.hosts).unwrap_or_default());
    let rules = |port, connections_max, other, is_other_tls| {
        let (hosts, counted) = (Arc::clone(&hosts), counted.clone());
        ListenerConfig {
            port,
            hosts,
            connections_max,
            metrics: counted,
            other_address: other,
            is_other_tls,
            tls: None,
        }
    };
    Ok(Listeners {
        grpc: (grpc, rules(Port::Grpc, shares.grpc, http_at, settings.http_has_tls())),
        http: (http, rules(Port::Http, shares.http, grpc_at, settings.grpc_has_tls())),
    })
}

async fn listen(
    what: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), DaemonError> {
    let failed = |source| DaemonError::Listen { address, what, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
