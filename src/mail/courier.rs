//! Takes orders, brings each to the server over one of a few connections, and answers it.
//!
//! Guarantees that every order is answered once, even if what handles it breaks, unless the courier
//! is stopped meanwhile; that there are never more connections than allowed; and that new settings
//! hold from the next order on. Keeps no order for later: that is the core's.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::conversation::{Connection, Letter, open, shortened};
use super::render::render;
use crate::broker::Deliver;
use crate::config::post::Post;
use crate::grid::mail::{Delivery, MessageNumber};
use crate::tasks;

/// A connection without a mail is kept that long for the next one; servers close them after minutes.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// Mails over one connection; some servers allow not many more.
const MAILS_PER_CONNECTION_MAX: u32 = 50;

/// When it is stopped, mails under way have that long; others are tried again at the next start.
const STOP_WITHIN: Duration = Duration::from_secs(4);

/// What came of one attempt to deliver a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Of which message.
    pub number: MessageNumber,
    /// Of which attempt.
    pub attempt: u32,
    /// What came of it.
    pub delivery: Delivery,
}

/// Starts the courier of the journal `journal`. Without a [`Post`] every order is deferred.
///
/// It stops when `stopping` turns true or `orders` is closed: what is under way then may end, for a few
/// seconds, and what still waits is not answered.
pub fn start(
    journal: Uuid,
    post: watch::Receiver<Option<Arc<Post>>>,
    orders: mpsc::Receiver<Deliver>,
    answers: mpsc::Sender<Answer>,
    stopping: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tasks::spawn("courier", run(journal, post, orders, answers, stopping))
}

/// One account at one server: who may speak there, and who still can.
struct Pool {
    post: Arc<Post>,
    seats: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    fn new(post: Arc<Post>) -> Arc<Self> {
        let seats = Arc::new(Semaphore::new(post.connections));
        Arc::new(Self { post, seats, idle: Mutex::new(Vec::new()) })
    }

    /// Takes out what waits there and is `wanted`.
    fn take(&self, wanted: impl Fn(&Connection) -> bool) -> Vec<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extract_if(.., |connection| wanted(connection)).collect()
    }

    /// The connection used last; it is the likeliest to be alive.
    fn newest(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give_back(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

async fn run(
    journal: Uuid,
    mut post: watch::Receiver<Option<Arc<Post>>>,
    mut orders: mpsc::Receiver<Deliver>,
    answers: mpsc::Sender<Answer>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut pool = post.borrow_and_update().clone().map(Pool::new);
    loop {
        tokio::select! {
            // In this order: what was told before an order holds for it.
            biased;
            () = stopped(&mut stopping) => break,
            Ok(()) = post.changed() => {
                let new = post.borrow_and_update().clone().map(Pool::new);
                part(std::mem::replace(&mut pool, new).as_ref(), |_| true);
            }
            next = next(&mut orders, pool.as_ref()) => match (next, &pool) {
                (Some((order, Some(seat))), Some(pool)) => {
                    let work = handle(Arc::clone(pool), journal, order, answers.clone(), seat);
                    tasks::spawn("mail", work);
                }
                (Some((order, _)), _) => {
                    let why = "mail is not set up: mail.server is not given";
                    answer(&answers, &order, Delivery::Deferred(why.into())).await;
                }
                (None, _) => break,
            },
            () = sleep(IDLE_MAX / 4), if pool.is_some() => {
                part(pool.as_ref(), |idle| idle.used_at.elapsed() > IDLE_MAX);
            }
        }
    }
    if let Some(pool) = pool {
        let seats = u32::try_from(pool.post.connections).unwrap_or(u32::MAX);
        if timeout(STOP_WITHIN, pool.seats.acquire_many(seats)).await.is_err() {
            tracing::warn!(
                "mails were under way at the stop; they are tried again, maybe twice sent"
            );
        }
        let farewells = pool.take(|_| true).into_iter();
        let farewells: Vec<_> =
            farewells.map(|idle| tasks::spawn("mail farewell", idle.quit())).collect();
        for farewell in farewells {
            let _ = farewell.await;
        }
    }
}

/// The next order, once there is a seat for it; `None`: there will be no more.
async fn next(
    orders: &mut mpsc::Receiver<Deliver>,
    pool: Option<&Arc<Pool>>,
) -> Option<(Deliver, Option<OwnedSemaphorePermit>)> {
    let seat = match pool {
        // Nobody closes the seats.
        Some(pool) => Arc::clone(&pool.seats).acquire_owned().await.ok(),
        None => None,
    };
    orders.recv().await.map(|order| (order, seat))
}

/// Waits for the stop; whoever could say it is gone: that is an end, too.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stops| *stops).await;
}

/// Ends connections in the background.
fn part(pool: Option<&Arc<Pool>>, wanted: impl Fn(&Connection) -> bool) {
    for connection in pool.map(|pool| pool.take(wanted)).unwrap_or_default() {
        tasks::spawn("mail farewell", connection.quit());
    }
}

async fn answer(answers: &mpsc::Sender<Answer>, order: &Deliver, delivery: Delivery) {
    let answer = Answer { number: order.message.number, attempt: order.message.attempts, delivery };
    // Nobody listens any more only when the broker ends; the mail is still owed then.
    let _ = answers.send(answer).await;
}

/// Answers one order whatever becomes of the task that works on it.
async fn handle(
    pool: Arc<Pool>,
    journal: Uuid,
    order: Deliver,
    answers: mpsc::Sender<Answer>,
    seat: OwnedSemaphorePermit,
) {
    let work = tasks::spawn("mail delivery", deliver(Arc::clone(&pool), journal, order.clone()));
    let (delivery, connection) = work.await.unwrap_or_else(|_| {
        let why = "the courier broke down over this mail; the tracing of gridd says where";
        (Delivery::Deferred(why.into()), None)
    });
    answer(&answers, &order, delivery).await;
    match connection {
        Some(connection) if connection.mails < MAILS_PER_CONNECTION_MAX => {
            pool.give_back(connection);
        }
        Some(connection) => connection.quit().await,
        None => {}
    }
    drop(seat);
}

/// Brings one order, and gives back a connection that is good for another one.
async fn deliver(pool: Arc<Pool>, journal: Uuid, order: Deliver) -> (Delivery, Option<Connection>) {
    let post = &pool.post;
    let letter = match render(&order.message, journal, &post.from, &post.look) {
        Ok(letter) => letter,
        Err(why) => return (Delivery::Refused(shortened(&why.to_string())), None),
    };
    if let Some(kept) = pool.newest() {
        match bring(post, kept, &letter).await {
            Err(failure) if failure.is_of_an_old_connection() => {}
            other => return told(post, other),
        }
    }
    let brought = match open(post).await.connection {
        Ok(new) => bring(post, new, &letter).await,
        Err(failure) => Err(failure),
    };
    told(post, brought)
}

type Brought = Result<(String, Connection), super::conversation::Failure>;

async fn bring(post: &Post, mut by: Connection, letter: &Letter) -> Brought {
    match by.bring(post, letter).await {
        Ok(reply) => Ok((reply, by)),
        Err(failure) => {
            // After anything but a yes the server may be in any state.
            tasks::spawn("mail farewell", by.quit());
            Err(failure)
        }
    }
}

fn told(post: &Post, brought: Brought) -> (Delivery, Option<Connection>) {
    match brought {
        Ok((reply, connection)) => (Delivery::Sent(shortened(&reply)), Some(connection)),
        Err(failure) => (failure.delivery(&post.place()), None),
    }
}
