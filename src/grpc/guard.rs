//! A bug in what tells a stream is that stream's end, and nobody else's.
//!
//! Guarantees that a stream whose task panics ends with INTERNAL and not as if all were told. What
//! panicked is told by the panic itself.

use std::future::Future;

use tokio::sync::mpsc;
use tonic::Status;

use crate::listener::guard::{Panicked, WORDS, caught};
use crate::sparing::Sparing;
use crate::tasks;

/// Runs what tells a stream, in a task of its own.
#[track_caller]
pub(super) fn spawn_telling<T: Send + 'static>(
    name: &'static str,
    told: mpsc::Sender<Result<T, Status>>,
    telling: impl Future<Output = ()> + Send + 'static,
) {
    static LINE: Sparing = Sparing::new();
    drop(tasks::spawn(name, async move {
        if let Err(Panicked) = caught(telling).await {
            if let Some(left_out) = LINE.turn() {
                tracing::error!(call = name, left_out, "a stream ended of a bug of ours");
            }
            // A client that has gone does not mind.
            let _ = told.send(Err(Status::internal(WORDS))).await;
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

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
