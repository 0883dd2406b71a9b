//! Where the contract meets the domain: generated messages, and what is received of them.
pub mod received;

/// Messages and clients of the contract, as generated from `proto/grid/events/v1`.
#[allow(missing_docs, clippy::all, clippy::too_many_lines)]
pub mod proto {
    tonic::include_proto!("grid.events.v1");
}
/// Servers of the administrators' services.
#[allow(missing_docs, clippy::all, clippy::too_many_lines)]
pub mod servers {
    include!(concat!(env!("OUT_DIR"), "/servers/grid.events.v1.rs"));
}
/// The server of `EventService`, over [`received`].
#[allow(missing_docs, clippy::all, clippy::too_many_lines)]
pub mod event_server {
    include!(concat!(env!("OUT_DIR"), "/received/grid.events.v1.rs"));
}
