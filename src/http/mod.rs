//! What does a browser see? For the present: who answers, whether it is ready, and the metrics.
//!
//! Guarantees `/livez` (the process answers), `/readyz` (the broker takes events; 503 with the
//! reason while it starts, stops, has no room on its disk, or its loop is stuck) and `/metrics`. All
//! of them answer from the moment the listener is bound, while the journal is still being read. The
//! pages of the dashboard are to come.

mod metrics;
mod process;

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;

use crate::broker::{BrokerHandle, Started};
use crate::grid::values::time::Timestamp;
use crate::journal::JournalReader;
use crate::metrics::{Connections, Metrics};
use crate::resources;

/// The loop gets so long for an answer to a page.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

const FRONT_PAGE: &str = concat!(
    "gridd ",
    env!("CARGO_PKG_VERSION"),
    "\n\n\
     The broker runs. Its pages are not built yet; the command line shows everything:\n\n  \
     gridctl status\n  gridctl appliance list\n  gridctl log list -f\n\n\
     For machines: /livez, /readyz, /metrics\n"
);

/// What the pages show of a broker that has started.
#[derive(Clone, Debug)]
pub struct ServedBroker {
    broker: BrokerHandle,
    reader: JournalReader,
    term: u64,
    started_at: Timestamp,
    metrics: Metrics,
}

impl ServedBroker {
    /// The desk of a broker that was started.
    pub fn new(started: &Started) -> Self {
        Self {
            broker: started.broker.clone(),
            reader: started.reader.clone(),
            term: started.term,
            started_at: started.at,
            metrics: started.metrics.clone(),
        }
    }
}

/// What the pages know: nothing of a broker that has not started yet.
#[derive(Clone, Debug)]
struct HttpState {
    served: watch::Receiver<Option<ServedBroker>>,
    stopping: watch::Receiver<bool>,
    connections: Connections,
}

/// The pages; `desk` is there once the broker has started, `stopping` turns true when it goes.
pub fn router(
    desk: watch::Receiver<Option<ServedBroker>>,
    connections: Connections,
    stopping: watch::Receiver<bool>,
) -> Router {
    Router::new()
        .route("/", get(|| async { FRONT_PAGE }))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics_response))
        .with_state(HttpState { served: desk, stopping, connections })
}

async fn readiness(State(front): State<HttpState>) -> (StatusCode, String) {
    match unready_reason(&front).await {
        None => match resources::shortage() {
            None => (StatusCode::OK, "ready\n".to_owned()),
            Some(shortage) => (StatusCode::OK, format!("ready, but {shortage}\n")),
        },
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason.to_owned()),
    }
}

/// Why the broker takes nothing at this moment.
async fn unready_reason(front: &HttpState) -> Option<&'static str> {
    if *front.stopping.borrow() {
        return Some("stopping\n");
    }
    let Some(desk) = front.served.borrow().clone() else {
        return Some("starting: the journal is being read\n");
    };
    if desk.broker.is_starved() {
        return Some(
            "starved: the system has no descriptors or memory for the journal; what came waits and is \
             tried again\n",
        );
    }
    if desk.broker.disk_is_low() {
        return Some("disk low: nothing new is taken until there is room; reading goes on\n");
    }
    let answer = tokio::time::timeout(QUERY_TIMEOUT, desk.broker.query(|_, _| ())).await;
    match answer {
        Ok(Ok(())) => None,
        Ok(Err(_)) => Some("stopping\n"),
        Err(_) => Some("stuck: the broker loop does not answer within 2 s; see what gridd tells\n"),
    }
}

async fn metrics_response(State(front): State<HttpState>) -> Response {
    let desk = front.served.borrow().clone();
    match metrics::render(desk, &front.connections).await {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            let text = format!("the metrics can't be written: {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_starting_or_stopping_broker_is_not_ready_and_gives_the_reason() {
        let (_show, desk) = watch::channel(None);
        let (stop, stopping) = watch::channel(false);
        let front = HttpState { served: desk, stopping, connections: Connections::default() };
        assert_eq!(unready_reason(&front).await, Some("starting: the journal is being read\n"));
        let (status, _) = readiness(State(front.clone())).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let page = metrics_response(State(front.clone())).await;
        assert_eq!(page.status(), StatusCode::OK, "the process is told of even then");
        stop.send_replace(true);
        assert_eq!(unready_reason(&front).await, Some("stopping\n"));
    }
}
