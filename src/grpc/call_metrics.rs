//! Counts the calls that end with a status other than OK.

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::middleware::map_response_with_state;
use axum::response::Response;

use super::status::code_label;
use crate::metrics::Metrics;

/// Adds a counter of calls that end with a status other than OK.
pub fn count_calls(routes: Router, metrics: Metrics) -> Router {
    routes.layer(map_response_with_state(metrics, count_status))
}

/// A status that precedes all messages is in the headers.
async fn count_status(State(metrics): State<Metrics>, response: Response) -> Response {
    let status = |headers: &HeaderMap| headers.get("grpc-status").map(|it| it.as_bytes().to_vec());
    if let Some(code) = status(response.headers()).map(|it| tonic::Code::from_bytes(&it))
        && code != tonic::Code::Ok
    {
        metrics.refused(code_label(code));
    }
    response
}
