//! How does the courier come to his orders, and his answers to the broker?
//!
//! Guarantees that mails leave as the settings in force have it, and that what was sent is recorded
//! before an orderly stop. Sends nothing.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::broker::{Broker, Deliver};
use crate::config::Settings;
use crate::config::post::Post;
use crate::grid::MAILS_UNDER_WAY;
use crate::grid::mail::Delivery;
use crate::grpc::MailTest;
use crate::mail::{self, Answer};
use crate::tasks;

/// How mails leave, as it is at the moment; `None`: there is no mail.
pub(super) type PostWatch = watch::Receiver<Option<Arc<Post>>>;

/// Keeps it as the settings in force have it: recipients and their zones may change.
pub(super) fn follow(mut in_force: watch::Receiver<Settings>) -> PostWatch {
    let (tell, told) = watch::channel(in_force.borrow_and_update().post.clone());
    let following = async move {
        while in_force.changed().await.is_ok() {
            let post = in_force.borrow_and_update().post.clone();
            drop(tell.send_replace(post));
        }
    };
    drop(tasks::spawn("mail settings", following));
    told
}

/// The test that `gridctl mail test` asks for; `None`: there is no mail.
pub(super) fn test(post: &PostWatch, journal: Uuid, broker: &Broker) -> Option<MailTest> {
    post.borrow().as_ref()?;
    let (post, broker) = (post.clone(), broker.clone());
    Some(MailTest::new(move |address| {
        let (post, now) = (post.borrow().clone(), broker.now());
        Box::pin(async move {
            let Some(post) = post else { return Err(vec!["there is no mail any more".to_owned()]) };
            let done = mail::dialogue(&post, journal, &address, now).await;
            let mut lines = done.lines;
            lines.push(format!("* {}", done.delivery.reply()));
            match done.delivery {
                Delivery::Sent(_) => Ok(lines),
                Delivery::Deferred(_) | Delivery::Refused(_) => Err(lines),
            }
        })
    }))
}

/// Starts the courier and whoever carries his answers. Both end in an orderly stop.
pub(super) fn start(
    journal: Uuid,
    post: PostWatch,
    mails: mpsc::Receiver<Deliver>,
    broker: Broker,
    stopping: watch::Receiver<bool>,
) -> [JoinHandle<()>; 2] {
    let (answers, mut answered) = mpsc::channel::<Answer>(MAILS_UNDER_WAY);
    let courier = mail::start(journal, post, mails, answers, stopping);
    let carrying = async move {
        while let Some(Answer { number, attempt, delivery }) = answered.recv().await {
            tracing::debug!(mail = number.0, "the courier answered");
            // A broker that stops tries again after its next start.
            if broker.mail_answered(number, attempt, delivery).await.is_err() {
                return;
            }
        }
    };
    [courier, tasks::spawn("mail answers", carrying)]
}
