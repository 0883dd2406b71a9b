//! Serves HTTP: the front page, liveness, readiness, metrics, and OpenStack's API.
//!
//! Guarantees `/livez` (the process responds), `/readyz` (the broker accepts events; 503 with the
//! reason while it starts, stops, has no room on its disk, or its loop is stuck) and `/metrics`. All
//! of them respond from the moment the listener is bound, while the journal is still being read.
//! There are no dashboard pages yet. Changes nothing but what OpenStack's API (`openstack`) and the links of
//! mails (`acknowledge`) do.

pub mod acknowledge;
mod authorization;
mod metrics;
pub mod openstack;

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;

use crate::broker::{BrokerHandle, Started};
use crate::crash_dump::CrashDumps;
use crate::grid::values::time::Timestamp;
use crate::journal::JournalReader;
use crate::metrics::{Connections, Metrics};
use crate::resources;

use acknowledge::AckPage;
pub use authorization::PageAuthorization;
use authorization::authorize_requests;
use openstack::{ApiSettings, answer_openstack};

/// How long a page waits for the loop.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

const FRONT_PAGE: &str = concat!(
    "gridd ",
    env!("CARGO_PKG_VERSION"),
    "\n\n\
     The broker is running. There are no web pages yet; use the command line:\n\n  \
     gridctl status\n  gridctl appliance list\n  gridctl log list -f\n\n\
     For machines: /livez, /readyz, /metrics\n\
     For clients of OpenStack: /v2.1, /v3\n"
);

/// What the pages need of a started broker.
#[derive(Clone, Debug)]
pub struct ServedBroker {
    broker: BrokerHandle,
    reader: JournalReader,
    term: u64,
    started_at: Timestamp,
    metrics: Metrics,
    crash_dumps: CrashDumps,
    /// `None`: mails have no links for acknowledging.
    acknowledging: Option<AckPage>,
}

impl ServedBroker {
    /// The parts of a started broker.
    pub fn new(started: &Started, crash_dumps: CrashDumps) -> Self {
        Self {
            broker: started.broker.clone(),
            reader: started.reader.clone(),
            term: started.term,
            started_at: started.at,
            metrics: started.metrics.clone(),
            crash_dumps,
            acknowledging: None,
        }
    }

    /// The same with the page for links in mails.
    pub fn with_acknowledging(mut self, page: Option<AckPage>) -> Self {
        self.acknowledging = page;
        self
    }
}

/// The state of the router; the broker is absent until it has started.
#[derive(Clone, Debug)]
struct HttpState {
    served: watch::Receiver<Option<ServedBroker>>,
    stopping: watch::Receiver<bool>,
    connections: Connections,
}

/// Builds the routes; `services` is set once the broker has started, `stopping` becomes true when it stops.
pub fn router(
    services: watch::Receiver<Option<ServedBroker>>,
    connections: Connections,
    stopping: watch::Receiver<bool>,
    authorization: PageAuthorization,
    openstack: &ApiSettings,
) -> Router {
    let routes = Router::new()
        .route("/", get(|| async { FRONT_PAGE }))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics_response))
        .route("/ack/{token}", get(acknowledge::show).post(acknowledge::acknowledge))
        .with_state(HttpState { served: services.clone(), stopping, connections });
    let pages = authorize_requests(routes, authorization.clone());
    answer_openstack(pages, services, authorization, openstack)
}

async fn readiness(State(front): State<HttpState>) -> (StatusCode, String) {
    match unready_reason(&front).await {
        None => match resources::shortage() {
            None => (StatusCode::OK, "ready\n".to_owned()),
            Some(shortage) => (StatusCode::OK, format!("ready, but {shortage}\n")),
        },
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

/// Why the broker accepts nothing at the moment.
async fn unready_reason(front: &HttpState) -> Option<&'static str> {
    if *front.stopping.borrow() {
        return Some("stopping");
    }
    let Some(services) = front.served.borrow().clone() else {
        return Some("starting: the journal is being read");
    };
    services.broker.unready_reason().await
}

async fn metrics_response(State(front): State<HttpState>) -> Response {
    let services = front.served.borrow().clone();
    match metrics::render(services, &front.connections).await {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            let text = format!("cannot write the metrics: {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_starting_or_stopping_broker_is_not_ready_and_gives_the_reason() {
        let (_sender, services) = watch::channel(None);
        let (stop, stopping) = watch::channel(false);
        let front = HttpState { served: services, stopping, connections: Connections::default() };
        assert_eq!(unready_reason(&front).await, Some("starting: the journal is being read"));
        let (status, _) = readiness(State(front.clone())).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let page = metrics_response(State(front.clone())).await;
        assert_eq!(page.status(), StatusCode::OK, "the process has metrics even then");
        stop.send_replace(true);
        assert_eq!(unready_reason(&front).await, Some("stopping"));
    }
}
