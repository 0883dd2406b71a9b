//! Calls that fail one after another: what was acknowledged is there, and nothing else was claimed.
//!
//! The shim makes the n-th call of a kind fail in a real gridd, for each n in turn, `GRID_FAILS` of
//! each; the data folder and the client go on from one failure to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use grid_broker::clock::monotonic_now;

use super::answers_compared;
use super::broker::{broker, has_failed, spawn_failing, spawn_recorded};
use super::client::{Client, Orders};
use crate::support::{Gridd, count, oracle, say, scaled, scratch, seed};

/// A broker that goes on in spite of the failure is killed after this.
const LONG_ENOUGH: Duration = Duration::from_millis(1_200);
const LOOK_EVERY: Duration = Duration::from_millis(10);
const CLIENTS: usize = 2;

/// What a broker with a failing call did.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It ended, before it served or while it did; with that exit code, or by a signal.
    Ended(Option<i32>),
    /// It went on.
    WentOn,
}

struct Run {
    broker: Gridd,
    clients: Vec<Client>,
}

impl Run {
    fn new(what: &str) -> Self {
        let broker = broker();
        let seed = seed(what);
        let name = |number: usize| format!("vm-{number}");
        let client = |number| Client::new(&name(number), seed + number as u64, broker.folder());
        let clients = (0..CLIENTS).map(client).collect();
        Self { broker, clients }
    }

    /// Lets the clients talk until they give up on the broker, or it was long enough; gives whether
    /// it was long enough.
    async fn talk(&mut self, gives_up: bool) -> bool {
        let finish = Arc::new(AtomicBool::new(false));
        let address = self.broker.grpc.clone();
        let orders = Orders { address, finish: Arc::clone(&finish), gives_up };
        let broker = &self.broker;
        let timer = async {
            tokio::time::sleep(LONG_ENOUGH).await;
            // A busy machine may not have come to the call by then; some never do.
            let until = monotonic_now() + scaled(LONG_ENOUGH);
            while gives_up && !has_failed(broker) && monotonic_now() < until {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            finish.store(true, Ordering::Release);
        };
        let talking = async {
            let (first, second) = self.clients.split_at_mut(1);
            tokio::join!(first[0].run(&orders), second[0].run(&orders));
        };
        if gives_up {
            // The first of them; a client that finds nobody gives up before the time.
            tokio::select! { () = timer => true, () = talking => false }
        } else {
            tokio::join!(timer, talking);
            true
        }
    }

    async fn kill(&mut self) {
        if self.broker.is_running() {
            self.broker.kill().await;
        }
    }

    /// A run in which calls fail, after which the broker must end or may go on; then one in which none does and all that was answered is looked
    /// for.
    async fn fail(&mut self, fail: &str, must_end: bool) -> End {
        spawn_failing(&mut self.broker, fail, Vec::new());
        let end = match self.broker.ready().await {
            Err(status) => End::Ended(status.code()),
            Ok(()) => {
                let went_on = self.talk(true).await;
                if must_end && has_failed(&self.broker) {
                    End::Ended(self.broker.ended().await)
                } else {
                    if !went_on {
                        // It ends, or it turned a client away and goes on.
                        tokio::time::sleep(Duration::from_millis(500)).await;
                    }
                    self.broker.has_ended().map_or(End::WentOn, |it| End::Ended(it.code()))
                }
            }
        };
        if let End::Ended(code) = end {
            assert_ne!(code, None, "{fail}: {}", self.broker.stderr());
        }
        self.kill().await;
        self.broker.start_again().await;
        let records = oracle::records_left(&self.broker.grpc).await;
        answers_compared::compare(&self.clients, &records, false);
        self.kill().await;
        end
    }

    /// The end of it all: everything is answered, exactly once.
    async fn finish(mut self, what: &str, ends: &[End]) {
        self.broker.start_again().await;
        self.talk(false).await;
        let records = oracle::records_left(&self.broker.grpc).await;
        let tally = answers_compared::compare(&self.clients, &records, true);
        let ended = ends.iter().filter(|end| **end != End::WentOn).count();
        say(&format!("{what}: {} failures, {ended} ended the process; {tally}", ends.len()));
    }
}

/// Makes the n-th of these calls fail, for each n; gives the ends.
async fn each(run: &mut Run, call: &str, how: &str) -> Vec<End> {
    let must_end = how == "lost";
    let mut ends = Vec::new();
    for first in 1..=count("GRID_FAILS", 8) {
        ends.push(run.fail(&format!("{call}:{first}:1:{how}"), must_end).await);
    }
    ends
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_sync_of_a_commit_ends_the_process_and_claims_nothing() {
    let mut run = Run::new("failed syncs of commits");
    let ends = each(&mut run, "fdatasync:/commits/", "lost").await;
    for end in &ends {
        assert!(*end == End::Ended(Some(1)), "{ends:?}");
    }
    let words = run.broker.stderr().matches("gridd: ").count();
    assert!(words >= ends.len(), "each end has a last word: {}", run.broker.stderr());
    run.finish("failed syncs of commits", &ends).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_failed_fsync_loses_nothing_acknowledged() {
    let mut run = Run::new("failed syncs of anything");
    let ends = each(&mut run, "fsync:/data", "5").await;
    run.finish("failed syncs of anything", &ends).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_write_of_a_commit_is_completed() {
    let mut run = Run::new("short writes");
    let ends = each(&mut run, "pwrite:/commits/", "short").await;
    assert!(ends.iter().all(|end| *end == End::WentOn), "{ends:?}");
    run.finish("short writes", &ends).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_at_any_commit_loses_nothing_and_doubles_nothing() {
    let mut run = Run::new("no space for commits");
    let ends = each(&mut run, "pwrite:/commits/", "28").await;
    // The first call is the record of the start: a disk that is full by then refuses the start.
    assert!(ends.len() > 1, "GRID_FAILS must be 2 at least here: {ends:?}");
    let went_on = ends.iter().skip(1).all(|end| *end == End::WentOn);
    assert!(went_on, "{ends:?}: {}", run.broker.stderr());
    run.finish("no space for commits", &ends).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_error_at_any_commit_loses_nothing_and_doubles_nothing() {
    let mut run = Run::new("write errors of commits");
    let ends = each(&mut run, "pwrite:/commits/", "5").await;
    run.finish("write errors of commits", &ends).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_archive_stops_no_acks() {
    let mut run = Run::new("write errors of the archive");
    let ends = each(&mut run, "pwrite:/archive/", "5").await;
    let went_on = ends.iter().all(|end| *end == End::WentOn);
    assert!(went_on, "{ends:?}: {}", run.broker.stderr());
    run.finish("write errors of the archive", &ends).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rename_that_fails_loses_nothing_acknowledged() {
    let mut run = Run::new("failed renames");
    let ends = each(&mut run, "rename:/data", "5").await;
    run.finish("failed renames", &ends).await;
}

#[tokio::test]
async fn the_shim_makes_nothing_fail_unasked() {
    let logs = scratch();
    let log = logs.path().join("trace");
    let mut broker = broker();
    spawn_recorded(&mut broker, &log);
    assert_eq!(broker.ready().await, Ok(()));
    assert_eq!(broker.terminate().await, Some(0), "{}", broker.stderr());
    let trace = super::shim::Trace::read(&log);
    assert!(trace.entries.iter().any(|it| it.path.contains("/commits/")), "{trace:?}");
}
