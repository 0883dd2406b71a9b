//! Contains a panic of a stream's task to that stream.
//!
//! Guarantees that a stream whose task panics ends with INTERNAL and not as if it were complete. Does
//! not report the panic: the panic hook does.

use std::future::Future;

use tokio::sync::mpsc;
use tonic::Status;

use crate::listener::panic_guard::{CallPanicked, PANIC_MESSAGE, catch_panic};
use crate::log_limiter::LogLimiter;
use crate::tasks;

/// Runs the task of a stream.
#[track_caller]
pub(super) fn spawn_stream<T: Send + 'static>(
    name: &'static str,
    responses: mpsc::Sender<Result<T, Status>>,
    task: impl Future<Output = ()> + Send + 'static,
) {
    static LIMIT: LogLimiter = LogLimiter::new();
    let task = Box::pin(task);
    drop(tasks::spawn(name, async move {
        if let Err(CallPanicked) = catch_panic(task).await {
            if let Some(left_out) = LIMIT.allow() {
                tracing::error!(call = name, left_out, "a stream's task panicked: bug in gridd");
            }
            // A client that is gone is fine.
            let _ = responses.send(Err(Status::internal(PANIC_MESSAGE))).await;
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_whose_task_panics_ends_with_internal() {
        let (responses, mut received) = mpsc::channel::<Result<u8, Status>>(2);
        let sender = responses.clone();
        spawn_stream("test", responses, async move {
            sender.send(Ok(1)).await.expect("is open");
            tokio::task::yield_now().await;
            panic!("on purpose");
        });
        assert!(matches!(received.recv().await, Some(Ok(1))));
        let ended = received.recv().await.expect("the reason").expect_err("a panic");
        assert_eq!((ended.code(), ended.message()), (tonic::Code::Internal, PANIC_MESSAGE));
        assert!(received.recv().await.is_none());
    }
}
