//! Binds both listeners, and says what each goes by.
//!
//! Guarantees that both are bound or none is served, and that each has its share of the descriptors
//! that the system grants. Serves nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::DaemonError;
use crate::config::Settings;
use crate::listener::{Hosts, Port, Rules};
use crate::metrics::Connections;
use crate::resources;

/// Both listeners, bound, with what they go by.
pub(super) struct Listeners {
    pub(super) grpc: (TcpListener, Rules),
    pub(super) http: (TcpListener, Rules),
}

/// Binds both.
///
/// # Errors
///
/// When an address is taken, or not ours.
pub(super) async fn bind(settings: &Settings) -> Result<Listeners, DaemonError> {
    let descriptors = resources::raise_descriptors();
    let shares = resources::shares(descriptors);
    if shares.is_scarce {
        tracing::warn!(
            "the process may open {descriptors} files only: at most {} connections to the gRPC port \
             are taken; LimitNOFILE of systemd or `ulimit -n` raises it",
            shares.grpc
        );
    }
    let (grpc, grpc_at) = listen("grpc", settings.grpc).await?;
    let (http, http_at) = listen("http", settings.http).await?;
    let counted = Connections::default();
    // Settings hold no list that is none.
    let hosts = Arc::new(Hosts::new(&settings.hosts).unwrap_or_default());
    let rules = |port, connections_max, other| {
        let (hosts, counted) = (Arc::clone(&hosts), counted.clone());
        Rules { port, hosts, connections_max, counted, other }
    };
    Ok(Listeners {
        grpc: (grpc, rules(Port::Grpc, shares.grpc, http_at)),
        http: (http, rules(Port::Http, shares.http, grpc_at)),
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
