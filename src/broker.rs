//! Runs the broker's event loop: wait, decide, append, acknowledge, publish. Start reading here.
//!
//! ```text
//! handlers --queue--> [ wait | decide | append (fdatasync) | reply, publish ] --> handlers
//! ```
//!
//! One thread owns the grid and the journal. It takes the queued requests, passes each with its time
//! to the pure core, appends the records as one commit, and only then replies. While one commit is
//! being synced, the next requests collect in the queue: group commit without a timer.
//!
//! Guarantees that nothing is published before it is durable, that a deadline fires only after
//! everything received before it was decided, and that a failed append ends the loop with its error.
//! Does not know gRPC or how records are encoded.

mod alert;
mod append;
mod backlog;
mod checkpoint;
mod clock_adjustment;
mod coalescing;
mod commit;
mod crash_dump;
mod disk_guard;
mod identity;
mod mail_dispatch;
mod metrics;
mod name_index;
mod query;
mod queue;
mod readiness;
mod reconfigure;
mod retention;
mod sessions;
mod shared_status;
mod start;
mod start_time;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use backlog::PendingDeadlines;
use commit::PendingCommit;
use queue::{BrokerRequest, PendingReply, QueuedRequest, reply_with};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::sync::{Semaphore, broadcast, mpsc, watch};
use tokio::time::Instant;

use crate::broker::clock_adjustment::WallClockFollower;
use crate::broker::disk_guard::DiskGuard;
use crate::clock::{Clock, monotonic_now};
use crate::grid::decide::{Decision, Release, Reply};
use crate::grid::driver::Driver;
use crate::grid::log::input::{Input, ReceivedEvent};
use crate::grid::occurrence::Occurrence;
use crate::grid::values::id::SessionId;
use crate::grid::values::outcome::Outcome;
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::Timestamp;
use crate::identity::credentials::Credentials;
use crate::journal::{Journal, JournalError};
use crate::metrics::Metrics;

pub use crate::broker::identity::IdentityReceipt;
pub use crate::broker::mail_dispatch::MailJob;
pub use crate::broker::query::{CommitLatency, QueryError};
pub use crate::broker::reconfigure::Reconfiguration;
pub use crate::broker::sessions::UnresolvedHello;
pub use backlog::Backlog;
pub use name_index::NameIndex;
pub use queue::{
    BatchExceptions, BatchReply, BrokerHandle, ChangedAppliances, CommandReceipt, EventReply,
    IncomingEvent, SessionAccepted, SessionEvent, SessionKey, Unavailable,
};
pub use start::{BrokerStartError, Started, start};

/// Most requests decided in one commit.
const REQUESTS_PER_COMMIT: usize = 4_096;

/// Most events decided in one commit; the request that exceeds it is the last. Events without records
/// take no bytes, but time.
const EVENTS_PER_COMMIT: usize = 16_384;

/// Most bytes of records in one commit; the request that exceeds it is the last.
const BYTES_PER_COMMIT: usize = 4 << 20;

/// Most deadlines decided in one commit.
const DEADLINES_PER_COMMIT: usize = 4_096;

/// How much later than a request received after it a request may reach the queue.
const ARRIVAL_SPREAD: Duration = Duration::from_secs(1);

/// How long a request may have waited for room in a full queue.
const OVERLOAD_SPREAD: Duration = Duration::from_secs(10);

/// The loop runs at least this often.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// The event loop and everything it owns.
struct EventLoop {
    /// The grid, and the replies that wait for its records.
    driver: Driver<PendingReply>,
    journal: Journal,
    clock: Clock,
    wall_clock: WallClockFollower,
    name_index: NameIndex,
    changes: broadcast::Sender<ChangedAppliances>,
    commit: PendingCommit,
    /// A checkpoint is written after so many records.
    checkpoint_records: u64,
    checkpoint_number: u64,
    checkpointed_at: Instant,
    last_turn: Timestamp,
    disk_guard: DiskGuard,
    /// Passes mails to the mail sender.
    mail_sender: mpsc::Sender<MailJob>,
    /// Deadlines that are due and not decided yet.
    pending_deadlines: PendingDeadlines,
    /// Room left in the queue, in KiB.
    byte_permits: Arc<Semaphore>,
    metrics: Metrics,
    /// The copy of the credentials that the listeners read.
    credentials: Credentials,
    /// Counts commits by which a crash dump is due.
    due_dumps: watch::Sender<u64>,
}

/// The next request, or `None` if none arrives until then.
async fn recv_until(
    queue: &mut mpsc::Receiver<QueuedRequest>,
    until: Instant,
) -> Option<QueuedRequest> {
    tokio::time::timeout_at(until, queue.recv()).await.ok().flatten()
}

impl EventLoop {
    /// Runs until it is stopped, or the journal fails.
    fn run(
        mut self,
        mut queue: mpsc::Receiver<QueuedRequest>,
        runtime: &Handle,
    ) -> Result<(), JournalError> {
        loop {
            self.beat();
            let ready = self.clock.now();
            let busy = ready.since(self.last_turn);
            let (pause, waiting) = (self.next_wakeup(ready).since(ready), self.clock.lived());
            let first = runtime.block_on(recv_until(&mut queue, monotonic_now() + pause));
            let waited = self.clock.lived().saturating_sub(waiting);
            let overslept = waited.saturating_sub(pause);
            self.follow_wall_clock();
            let now = self.clock.now();
            // After oversleeping, the whole wait may have been a pause.
            let away =
                if overslept > clock_adjustment::PAUSE_MIN { waited } else { Duration::ZERO };
            self.compensate_pause(now, busy.max(away));
            self.run_maintenance(now);
            let stops = self.decide_queued(first, &mut queue, now.before(busy));
            if stops {
                return self.stop(queue);
            }
            self.flush_if_due();
            self.commit_and_reply()?;
            self.checkpoint_if_due()?;
        }
    }

    /// When to run even if no request arrives.
    fn next_wakeup(&self, ready: Timestamp) -> Timestamp {
        let longest = ready.after(WAIT_MAX);
        if self.is_rejecting() {
            // No deadline is decided: what is due would wake the loop for nothing.
            return self.driver.flush_due().map_or(longest, |due| due.min(longest));
        }
        let deadlines = self.pending_deadlines.next_check_at(ready);
        let wakes =
            [deadlines, self.driver.grid().poll_timeout(), self.driver.flush_due(), Some(longest)];
        wakes.into_iter().flatten().min().unwrap_or(longest)
    }

    /// Decides the queued requests, as many as fit into a commit, then the deadlines before which
    /// everything received was decided: at the latest those of `decided_until`, when sessions last had
    /// their replies and could submit their next events. Returns whether the loop is to stop.
    fn decide_queued(
        &mut self,
        first: Option<QueuedRequest>,
        queue: &mut mpsc::Receiver<QueuedRequest>,
        mut decided_until: Timestamp,
    ) -> bool {
        let mut next = first;
        if self.byte_permits.available_permits() == 0 {
            decided_until = decided_until.before(OVERLOAD_SPREAD);
        }
        while let Some(item) = next {
            if let BrokerRequest::Stop = item.request {
                return true;
            }
            let at = self.clock.at(item.received_at);
            self.handle_request(item);
            if self.commit.is_full() {
                decided_until = decided_until.min(at.before(ARRIVAL_SPREAD));
                break;
            }
            next = queue.try_recv().ok();
        }
        self.decide_deadlines(decided_until);
        false
    }

    fn decide_deadlines(&mut self, until: Timestamp) {
        if self.is_rejecting() {
            return;
        }
        for appliance in
            self.pending_deadlines.take_ready(self.to_instant(until), DEADLINES_PER_COMMIT)
        {
            let decisions = self.driver.handle_timeout(appliance, until);
            if decisions.is_empty() {
                metrics::count_deadline(&self.metrics, None);
            }
            for decision in decisions {
                self.stage(&decision);
                metrics::count_deadline(&self.metrics, decision.record.as_ref());
            }
        }
        // Judged in a later turn: what their sessions have received comes before them.
        let due = self.driver.due(until);
        self.pending_deadlines.add_due(due, self.to_instant(until));
        self.start_due_mails(until);
    }

    fn handle_request(&mut self, item: QueuedRequest) {
        let QueuedRequest { received_at: at, request, permits: _room } = item;
        let at = self.clock.at(at);
        self.commit.request_count += 1;
        match request {
            BrokerRequest::Report { name, spool, event, reply } => {
                let appliance = self.find_or_register(&name, at);
                let IncomingEvent { boot, sequence, event } = event;
                let session = None;
                let received = ReceivedEvent { appliance, boot, spool, sequence, session, event };
                let (release, answer) = self.on_event(received.into(), at);
                self.driver.reply(release, reply_with(reply, answer));
            }
            BrokerRequest::Hello { name, greeting, backlog, reply } => {
                let appliance = self.find_or_register(&name, at);
                let hello = greeting.resolve(appliance);
                let knew_spool = self.is_spool_known(&hello);
                self.pending_deadlines.session_opened(appliance, hello.session, backlog);
                self.decide(Occurrence::SessionOpened(hello), at);
                self.commit.note_changed(appliance);
                if let Some(welcomed) = self.session_accepted(appliance, knew_spool) {
                    self.driver.reply(Release::WithCommit, reply_with(reply, welcomed));
                }
            }
            BrokerRequest::Batch { session, events, reply } => {
                self.on_batch(session.id, events, reply, at);
            }
            BrokerRequest::SessionEnded { session } => {
                let SessionKey { appliance, boot, id, .. } = session;
                self.pending_deadlines.session_closed(appliance, id);
                self.decide(Occurrence::SessionClosed { appliance, boot, session: id }, at);
                self.commit.note_changed(appliance);
            }
            BrokerRequest::Command { by, order, reply } => {
                let decision = self.decide(Input::Command { by, command: order }, at);
                let record = decision.record.as_ref().map_or(0, |record| record.number);
                if let Reply::Command(answer) = decision.reply {
                    let answer = answer.map(|appliance| CommandReceipt { appliance, record });
                    self.driver.reply(decision.release, reply_with(reply, answer));
                }
            }
            BrokerRequest::Identity { by, order, reply } => {
                let decision = self.decide(Input::Identity { by, command: *order }, at);
                let record = decision.record.as_ref().map_or(0, |record| record.number);
                if let Reply::Identity(answer) = decision.reply {
                    let answer = *answer;
                    let answer = answer.map(|reply| IdentityReceipt { reply, record });
                    self.driver.reply(decision.release, reply_with(reply, answer));
                }
            }
            BrokerRequest::Security { incident } => {
                self.decide(Input::Security(incident), at);
            }
            BrokerRequest::CrashDump(report) => {
                self.decide(Input::CrashDump(report), at);
            }
            BrokerRequest::Reconfigure { new, reply } => self.reconfigure(*new, reply, at),
            BrokerRequest::Alert(request) => self.handle_alert_request(request, at),
            BrokerRequest::Mail(work) => self.handle_mail_request(work, at),
            // It sees nothing that is not durable.
            BrokerRequest::Query(question) => self.driver.query(question),
            BrokerRequest::Stop => {}
        }
    }

    fn on_batch(
        &mut self,
        session: SessionId,
        events: Vec<SessionEvent>,
        reply: oneshot::Sender<BatchReply>,
        at: Timestamp,
    ) {
        let mut exceptions = Vec::new();
        let (mut overtakes, mut release) = (false, Release::WithCommit);
        for (index, received) in events.into_iter().enumerate() {
            let is_lifecycle = received.event.body.is_lifecycle();
            let (its, answer) = self.on_event(received, at);
            if its == Release::WithTally {
                release = its;
            }
            if answer.outcome == Outcome::Stored {
                overtakes |= is_lifecycle;
            } else {
                exceptions.push((index, answer));
            }
        }
        self.reply_or_defer_batch(session, reply, exceptions, overtakes, release);
    }

    fn on_event(&mut self, received: Box<ReceivedEvent>, at: Timestamp) -> (Release, EventReply) {
        let (appliance, kind) = (received.appliance, received.event.body.kind());
        let decision = self.decide(Input::Event(received), at);
        let record = decision.record.as_ref().map(|record| record.number);
        let (outcome, flags) = match decision.reply {
            Reply::Event(outcome, flags) => (outcome, flags),
            Reply::Command(_)
            | Reply::Mail(_)
            | Reply::Alert(_)
            | Reply::Silence(_)
            | Reply::Identity(_)
            | Reply::Nothing => (Outcome::Stored, RecordFlags::NONE),
        };
        self.commit.counts.count(kind, outcome);
        let suppressed_until = match outcome {
            Outcome::Suppressed => self.suppressed_until(appliance),
            Outcome::Stored
            | Outcome::Repeated
            | Outcome::Coalesced
            | Outcome::BelowThreshold
            | Outcome::Duplicate
            | Outcome::OlderBoot
            | Outcome::StaleEvent
            | Outcome::Rejected(_) => None,
        };
        self.commit.event_count += 1;
        (decision.release, EventReply { outcome, flags, record, suppressed_until })
    }

    fn decide(&mut self, occurrence: impl Into<Occurrence>, at: Timestamp) -> Decision {
        let decision = self.driver.handle(occurrence, at);
        self.stage(&decision);
        decision
    }

    /// Appends what was decided, and rejects the rest.
    fn stop(mut self, mut queue: mpsc::Receiver<QueuedRequest>) -> Result<(), JournalError> {
        queue.close();
        let now = self.clock.now();
        self.flush_all();
        self.decide(Input::BrokerStopped, now);
        self.commit_and_reply()?;
        self.write_checkpoint();
        drop(queue);
        self.journal.close()
    }
}
