//! What does a browser see? For the present: who answers, and whether it is ready.
//!
//! Guarantees `/livez` (the process answers) and `/readyz` (the broker takes events; 503 while it
//! stops). The pages of the dashboard are to come.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::sync::watch;

const FRONT_PAGE: &str = concat!(
    "gridd ",
    env!("CARGO_PKG_VERSION"),
    "\n\n\
     The broker runs. Its pages are not built yet; the command line shows everything:\n\n  \
     gridctl status\n  gridctl appliance list\n  gridctl log list -f\n"
);

/// The pages; `stopping` turns true when the broker goes.
pub fn pages(stopping: watch::Receiver<bool>) -> Router {
    Router::new()
        .route("/", get(|| async { FRONT_PAGE }))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .with_state(stopping)
}

async fn ready(State(stopping): State<watch::Receiver<bool>>) -> (StatusCode, &'static str) {
    if *stopping.borrow() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}
