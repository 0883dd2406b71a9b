//! The body of a session's request: writes all events that may be sent into one buffer, each as a message of its
//! own.
//!
//! Guarantees that no more events than allowed are outstanding, and that a paced event is not sent before it is
//! due. What sender and receiver of a session share is here, too. Does not know acknowledgements.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Frame;
use tokio::time::{Instant, Sleep};

use grid_broker::clock::{monotonic_now, wall_now};

use super::payload::{EventStamp, EventWriter};
use super::plan::LoadPlan;

/// Events in one write at most: 50 KiB of usual ones.
const WRITE_EVENTS_MAX: u64 = 256;

/// What the sender may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendPhase {
    /// Only what is ready: Hello, and the end of the start.
    Opening,
    /// Events, since this moment.
    Running(Instant),
    /// Nothing more.
    Draining,
    /// What is ready, and then the end of the stream.
    Closing,
}

/// Events that were sent at the same moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct SentEvents {
    /// The position of the last of them.
    pub(super) through: u64,
    /// When; `None`: they are not part of the load.
    pub(super) at: Option<Instant>,
}

/// What sender and receiver of a session share.
#[derive(Debug)]
pub(super) struct FlowState {
    pub(super) phase: SendPhase,
    pub(super) ready: VecDeque<Bytes>,
    pub(super) sent: u64,
    pub(super) acknowledged: u64,
    pub(super) outstanding: VecDeque<SentEvents>,
    pub(super) waker: Option<Waker>,
}

/// What sender and receiver of a session share, behind a lock that is held briefly.
#[derive(Clone, Debug)]
pub(super) struct SessionFlow(pub(super) Arc<Mutex<FlowState>>);

impl SessionFlow {
    pub(super) fn lock(&self) -> MutexGuard<'_, FlowState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the phase, with more messages that are ready.
    pub(super) fn enter(&self, phase: SendPhase, ready: impl IntoIterator<Item = Bytes>) {
        let mut state = self.lock();
        state.phase = phase;
        state.ready.extend(ready);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

/// The body of the request.
pub(super) struct LoadBody {
    pub(super) flow: SessionFlow,
    pub(super) writer: EventWriter,
    pub(super) plan: Arc<LoadPlan>,
    pub(super) number: u64,
    /// Events of the load that were sent.
    pub(super) in_run: u64,
    /// An event was due and could not be sent.
    pub(super) was_full: bool,
    pub(super) timer: Option<Pin<Box<Sleep>>>,
}

impl hyper::body::Body for LoadBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let flow = this.flow.clone();
        let mut state = flow.lock();
        if let Some(message) = state.ready.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        match state.phase {
            SendPhase::Closing => return Poll::Ready(None),
            SendPhase::Running(since) => {
                let written = this.write_events(&mut state, since);
                if !written.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(written.into()))));
                }
                state.waker = Some(context.waker().clone());
                drop(state);
                this.wait_for_next(context, since);
            }
            SendPhase::Opening | SendPhase::Draining => {
                state.waker = Some(context.waker().clone());
            }
        }
        Poll::Pending
    }
}

impl LoadBody {
    /// All events that may be sent now.
    fn write_events(&mut self, state: &mut FlowState, since: Instant) -> Vec<u8> {
        let now = monotonic_now();
        let room = self.plan.outstanding.saturating_sub(state.sent - state.acknowledged);
        let due = self.plan.due(self.number, now.duration_since(since)).saturating_sub(self.in_run);
        let count = self.plan.claim(room.min(due).min(WRITE_EVENTS_MAX));
        let mut written =
            Vec::with_capacity(usize::try_from(count).unwrap_or(0) * (self.plan.text_bytes + 64));
        let time = Duration::from_micros(u64::try_from(wall_now().as_micros()).unwrap_or(0));
        for _ in 0..count {
            state.sent += 1;
            let sequence = state.sent;
            let stamp = EventStamp { sequence, time };
            self.writer.write_message(&mut written, (self.plan.mix.kind(sequence), stamp));
            if self.plan.interval.is_some() && self.was_full {
                // It waited for room, and that counts.
                let at = since + self.plan.due_at(self.number, self.in_run);
                state.outstanding.push_back(SentEvents { through: sequence, at: Some(at) });
            }
            self.in_run += 1;
        }
        if count > 0 && !(self.plan.interval.is_some() && self.was_full) {
            state.outstanding.push_back(SentEvents { through: state.sent, at: Some(now) });
        }
        self.was_full = count < due && count == room;
        written
    }

    /// Wakes the task when the next event is due, if events are paced and there is room for one.
    fn wait_for_next(&mut self, context: &mut Context<'_>, since: Instant) {
        if self.plan.interval.is_none() || self.was_full {
            return;
        }
        let at = since + self.plan.due_at(self.number, self.in_run);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        timer.as_mut().reset(at);
        if timer.as_mut().poll(context).is_ready() {
            context.waker().wake_by_ref();
        }
    }
}
