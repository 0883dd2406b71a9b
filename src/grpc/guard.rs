//! A bug in one call is that call's end, and nobody else's.
//!
//! Guarantees that a call or page whose code panics is answered with INTERNAL (500), that a stream
//! whose task panics ends with INTERNAL and not as if all were told, and that the call's path is named
//! in the warning and in reports. What panicked is told by the panic itself.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use axum::Router;
use axum::body::Body;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::sync::mpsc;
use tonic::Status;

use crate::{guru_meditation, tasks};

const WORDS: &str =
    "the broker's code failed while it did this; its report and its tracing say where";

/// The code panicked; the hook has told where and why.
struct Panicked;

/// Answers one call. Reports show its path beside its task.
pub(super) async fn answer(
    routes: TowerToHyperService<Router>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    guru_meditation::detail(&path);
    let kind = request.headers().get(header::CONTENT_TYPE);
    let is_grpc = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if let Ok(answer) = caught(async move { routes.call(request).await }).await {
        return answer;
    }
    tracing::error!(call = path, "a call failed of a bug of ours");
    if is_grpc {
        return Ok(Status::internal(WORDS).into_http());
    }
    let mut answer = Response::new(Body::from(format!("{WORDS}\n")));
    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    Ok(answer)
}

/// Runs what tells a stream, in a task of its own.
#[track_caller]
pub(super) fn spawn_telling<T: Send + 'static>(
    name: &'static str,
    told: mpsc::Sender<Result<T, Status>>,
    telling: impl Future<Output = ()> + Send + 'static,
) {
    drop(tasks::spawn(name, async move {
        if let Err(Panicked) = caught(telling).await {
            tracing::error!(call = name, "a stream ended of a bug of ours");
            // A client that has gone does not mind.
            let _ = told.send(Err(Status::internal(WORDS))).await;
        }
    }));
}

async fn caught<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    poll_fn(|context| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(polled) => polled.map(Ok),
            // It is never polled again.
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::watch;

    use super::*;
    use crate::grpc::serve::serve;

    /// What a server whose page panics answers to such a request.
    async fn answered(content_type: &str) -> String {
        let routes = Router::new().route("/panics", get(panicking_page));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (_stop, stopping) = watch::channel(false);
        drop(tasks::spawn("server", serve(listener, routes, "http", stopping)));
        let mut client = TcpStream::connect(address).await.expect("it listens");
        let request = format!(
            "GET /panics HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\
             Content-Type: {content_type}\r\n\r\n"
        );
        client.write_all(request.as_bytes()).await.expect("taken");
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("an answer");
        answer
    }

    async fn panicking_page() -> &'static str {
        tokio::task::yield_now().await;
        panic!("on purpose")
    }

    #[tokio::test]
    async fn a_call_whose_code_panics_is_answered_with_internal() {
        let page = answered("text/html").await;
        assert!(page.starts_with("HTTP/1.1 500 "), "{page}");
        assert!(page.ends_with(&format!("\r\n\r\n{WORDS}\n")), "{page}");
        let call = answered("application/grpc").await;
        assert!(call.starts_with("HTTP/1.1 200 "), "{call}");
        assert!(call.contains("\r\ngrpc-status: 13\r\n"), "{call}");
    }

    #[tokio::test]
    async fn a_stream_whose_task_panics_ends_with_internal() {
        let (told, mut heard) = mpsc::channel::<Result<u8, Status>>(2);
        let teller = told.clone();
        spawn_telling("test", told, async move {
            teller.send(Ok(1)).await.expect("it listens");
            tokio::task::yield_now().await;
            panic!("on purpose");
        });
        assert!(matches!(heard.recv().await, Some(Ok(1))));
        let ended = heard.recv().await.expect("the reason").expect_err("of a panic");
        assert_eq!((ended.code(), ended.message()), (tonic::Code::Internal, WORDS));
        assert!(heard.recv().await.is_none());
    }
}
