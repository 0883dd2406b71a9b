//! Contains panics and timeouts of one call.
//!
//! Guarantees that a call or page whose handler panics gets INTERNAL (500), that one without the
//! start of a response is ended, and that the path of the call is in the error and in reports. Does
//! not report the panic itself: the panic hook does.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use crate::guru_meditation;
use crate::listener::request_policy::RequestRejection;
use crate::log_limiter::LogLimiter;

/// The message of a call whose handler panicked.
pub(crate) const PANIC_MESSAGE: &str =
    "internal error: the handler of this call panicked; see the report and gridd's tracing";

/// Timeout until the start of a response: longer than any timeout of gridctl and vme.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(75);

/// The gRPC code DEADLINE_EXCEEDED.
const DEADLINE_EXCEEDED: u8 = 4;
/// The gRPC code INTERNAL.
const INTERNAL: u8 = 13;

/// The handler panicked; the panic hook has reported where and why.
pub(crate) struct CallPanicked;

/// Handles one call. Reports show its path with its task.
pub(super) async fn call_routes(
    routes: TowerToHyperService<Router>,
    request: Request<Incoming>,
) -> Response<Body> {
    static LINE: LogLimiter = LogLimiter::new();
    let path = request.uri().path().to_owned();
    guru_meditation::set_task_detail(&path);
    let is_grpc = is_grpc(request.headers());
    let answering = catch_panic(Box::pin(async move { routes.call(request).await }));
    match tokio::time::timeout(RESPONSE_TIMEOUT, answering).await {
        Ok(Ok(Ok(response))) => response,
        Ok(Err(CallPanicked)) => {
            if let Some(left_out) = LINE.allow() {
                tracing::error!(call = path, left_out, "call panicked: bug in gridd");
            }
            error_response(
                is_grpc.then_some(INTERNAL),
                StatusCode::INTERNAL_SERVER_ERROR,
                PANIC_MESSAGE,
            )
        }
        Err(_) => {
            let message = "no response within 75 s: the request is incomplete, or the disk of the \
                           broker is too slow";
            error_response(
                is_grpc.then_some(DEADLINE_EXCEEDED),
                StatusCode::GATEWAY_TIMEOUT,
                message,
            )
        }
    }
}

/// The response to a rejected request: a gRPC status for gRPC requests.
pub(super) fn rejection_response(request: &Parts, refused: &RequestRejection) -> Response<Body> {
    let code = refused.code.filter(|_| is_grpc(&request.headers));
    error_response(code, refused.status, &refused.message)
}

fn is_grpc(headers: &http::HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn error_response(code: Option<u8>, status: StatusCode, sentence: &str) -> Response<Body> {
    let Some(code) = code else {
        let mut response = Response::new(Body::from(format!("{sentence}\n")));
        *response.status_mut() = status;
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        return response;
    };
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(u16::from(code)));
    // `%` is the only character with a special meaning; the messages are plain ASCII otherwise.
    if let Ok(message) = HeaderValue::from_str(&sentence.replace('%', "%25")) {
        headers.insert("grpc-message", message);
    }
    response
}

/// Runs a future to its end or its panic. It is in a box, since this one would hold it twice.
pub(crate) async fn catch_panic<F: Future>(
    mut future: Pin<Box<F>>,
) -> Result<F::Output, CallPanicked> {
    poll_fn(|context| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(polled) => polled.map(Ok),
            // The future is never polled again.
            Err(_) => Poll::Ready(Err(CallPanicked)),
        }
    })
    .await
}
