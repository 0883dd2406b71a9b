//! A bug in one call is that call's end, and nobody else's.
//!
//! Guarantees that a call or page whose code panics is answered with INTERNAL (500), that one whose
//! answer does not even begin ends, and that the call's path is named in the warning and in reports.
//! What panicked is told by the panic itself.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::gate::RequestRejection;
use crate::guru_meditation;
use crate::log_limiter::LogLimiter;

/// What a call is told whose code failed.
pub(crate) const PANIC_MESSAGE: &str =
    "the broker's code failed while it did this; its report and its tracing say where";

/// An answer begins within this time: beyond every time that a client of ours waits.
const ANSWER_WITHIN: Duration = Duration::from_secs(75);

/// The codes of gRPC.
const DEADLINE_EXCEEDED: u8 = 4;
const INTERNAL: u8 = 13;

/// The code panicked; the hook has told where and why.
pub(crate) struct HandlerPanic;

/// Answers one call. Reports show its path beside its task.
pub(super) async fn respond(
    routes: TowerToHyperService<Router>,
    request: Request<Incoming>,
) -> Response<Body> {
    static LINE: LogLimiter = LogLimiter::new();
    let path = request.uri().path().to_owned();
    guru_meditation::detail(&path);
    let is_grpc = is_grpc(request.headers());
    let answering = caught(async move { routes.call(request).await });
    match tokio::time::timeout(ANSWER_WITHIN, answering).await {
        Ok(Ok(Ok(answer))) => answer,
        Ok(Err(HandlerPanic)) => {
            if let Some(left_out) = LINE.allow() {
                tracing::error!(call = path, left_out, "a call failed of a bug of ours");
            }
            log_panic(is_grpc.then_some(INTERNAL), StatusCode::INTERNAL_SERVER_ERROR, PANIC_MESSAGE)
        }
        Err(_) => {
            let words = "no answer within 75 s: the request did not come whole, or the broker's disk \
                         does not take what came";
            log_panic(is_grpc.then_some(DEADLINE_EXCEEDED), StatusCode::GATEWAY_TIMEOUT, words)
        }
    }
}

/// Says why a request is not answered: by a status of gRPC where that has one.
pub(super) fn refusal(request: &Parts, refused: &RequestRejection) -> Response<Body> {
    let code = refused.code.filter(|_| is_grpc(&request.headers));
    log_panic(code, refused.status, &refused.message)
}

fn is_grpc(headers: &http::HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn log_panic(code: Option<u8>, status: StatusCode, sentence: &str) -> Response<Body> {
    let Some(code) = code else {
        let mut answer = Response::new(Body::from(format!("{sentence}\n")));
        *answer.status_mut() = status;
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        answer.headers_mut().insert(header::CONTENT_TYPE, plain);
        return answer;
    };
    let mut answer = Response::new(Body::empty());
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(u16::from(code)));
    // The only sign that has a meaning in it; all else in our sentences is plain ASCII.
    if let Ok(message) = HeaderValue::from_str(&sentence.replace('%', "%25")) {
        headers.insert("grpc-message", message);
    }
    answer
}

/// Runs it to its end or its panic.
pub(crate) async fn caught<F: Future>(future: F) -> Result<F::Output, HandlerPanic> {
    let mut future = pin!(future);
    poll_fn(|context| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(polled) => polled.map(Ok),
            // It is never polled again.
            Err(_) => Poll::Ready(Err(HandlerPanic)),
        }
    })
    .await
}
