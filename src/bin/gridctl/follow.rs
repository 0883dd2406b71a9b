//! `gridctl log list --follow`: records as they come, over any number of broker restarts.
//!
//! Guarantees no gap and no double: it goes on behind the cursor of the last message, and before
//! there is one, behind the newest record at its beginning. Every outage is told once, on stderr.
//! Does not know when to stop: whoever runs it drops it.

use std::time::Duration;

use tonic::Code;

use grid_broker::client::ClientError;
use grid_broker::contract::proto::tail_records_response::Message;
use grid_broker::contract::proto::{
    GetStatusRequest, Record, RecordFilter, TailRecordsRequest, TailRecordsResponse,
};

use crate::connection::Connection;
use crate::error::CliError;
use crate::log::missing_line;
use crate::output::ListWriter;

/// First wait for a broker that is away; each further one is twice as long.
pub(crate) const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// As much history as the broker gives.
const ALL_HISTORY: u32 = 1000;

/// A tail of the grid log under way.
pub(crate) struct FollowedLog<'a> {
    broker: &'a Connection,
    filter: RecordFilter,
    history: u32,
    cursor: String,
    /// Records up to this number are shown or not wanted.
    shown_through: u64,
    /// The outage under way was told.
    is_disconnected: bool,
}

impl<'a> FollowedLog<'a> {
    /// Will show `history` of the newest records that match, then those to come.
    pub(crate) async fn begin(
        broker: &'a Connection,
        filter: RecordFilter,
        history: u32,
    ) -> Result<Self, CliError> {
        let mut shown_through = 0;
        if history == 0 {
            let status =
                broker.broker_service().get_status(broker.unary(GetStatusRequest {})).await?;
            shown_through = status.into_inner().last_record;
        }
        let cursor = String::new();
        Ok(Self { broker, filter, history, cursor, shown_through, is_disconnected: false })
    }

    /// Shows records for ever, waiting `first_delay` before the first new attempt.
    ///
    /// # Errors
    ///
    /// When the output cannot be written, the first attempt fails, or the broker refuses for a
    /// reason that waiting does not mend.
    pub(crate) async fn follow(
        &mut self,
        listing: &mut ListWriter<'_, Record>,
        first_delay: Duration,
    ) -> Result<(), CliError> {
        let mut delay = first_delay;
        let mut stream = self.open().await?;
        loop {
            let message = tokio::select! {
                message = stream.message() => message,
                () = tokio::time::sleep(LONGEST_DELAY), if self.is_disconnected => {
                    // It is back, it only has nothing to say: the next outage is told again.
                    self.is_disconnected = false;
                    continue;
                }
            };
            let why = match message {
                Ok(Some(message)) => {
                    self.show(message, listing)?;
                    continue;
                }
                Ok(None) => "it ended the tail".to_owned(),
                Err(status) => is_transient(&self.broker.address, status)?,
            };
            self.report_disconnected(&why);
            stream = loop {
                tokio::time::sleep(delay).await;
                match self.open().await {
                    Ok(stream) => break stream,
                    Err(status) => {
                        self.report_disconnected(&is_transient(&self.broker.address, status)?)
                    }
                }
                delay = (delay * 2).min(LONGEST_DELAY);
            };
            delay = first_delay;
        }
    }

    async fn open(&self) -> Result<tonic::Streaming<TailRecordsResponse>, tonic::Status> {
        // Without a cursor nothing was shown yet: then all that matches and is new is wanted, and
        // history is cut to the new by `shown_through`.
        let history = if self.is_disconnected { ALL_HISTORY } else { self.history };
        let request = TailRecordsRequest {
            filter: Some(self.filter.clone()),
            history: if self.cursor.is_empty() { history } else { 0 },
            cursor: self.cursor.clone(),
        };
        let answer = self.broker.grid_log().tail_records(self.broker.streaming(request)).await?;
        Ok(answer.into_inner())
    }

    fn show(
        &mut self,
        message: TailRecordsResponse,
        listing: &mut ListWriter<'_, Record>,
    ) -> Result<(), CliError> {
        self.is_disconnected = false;
        match message.message {
            Some(Message::Record(record)) if record.number > self.shown_through => {
                self.shown_through = record.number;
                listing.add(&[record])?;
            }
            Some(Message::Missing(missing)) if missing.last > self.shown_through => {
                self.shown_through = missing.last;
                listing.note(&missing_line(missing))?;
            }
            Some(Message::Record(_) | Message::Missing(_)) | None => {}
        }
        if !message.cursor.is_empty() {
            self.cursor = message.cursor;
        }
        Ok(())
    }

    fn report_disconnected(&mut self, why: &str) {
        if !self.is_disconnected {
            self.is_disconnected = true;
            report_disconnected(self.broker, why);
        }
    }
}

/// A broker that is away for a while: each outage is told once.
pub(crate) struct Outage<'a> {
    broker: &'a Connection,
    first_delay: Duration,
    delay: Duration,
    is_reported: bool,
}

impl<'a> Outage<'a> {
    /// None yet; the first wait is so long.
    pub(crate) fn new(broker: &'a Connection, first_delay: Duration) -> Self {
        Self { broker, first_delay, delay: first_delay, is_reported: false }
    }

    /// The broker has answered.
    pub(crate) fn is_over(&mut self) {
        self.is_reported = false;
        self.delay = self.first_delay;
    }

    /// Tells of it, and waits before the next attempt.
    pub(crate) async fn wait(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_reported, true) {
            report_disconnected(self.broker, why);
        }
        tokio::time::sleep(self.delay).await;
        self.delay = (self.delay * 2).min(LONGEST_DELAY);
    }
}

fn report_disconnected(broker: &Connection, why: &str) {
    crate::print_error(&format!(
        "the broker at {} is away ({why}); going on as soon as it is back",
        broker.address
    ));
}

/// What is wrong, in words, if waiting may mend it.
///
/// A connection that breaks within a stream comes as `Unknown`, `Internal` or `Cancelled`.
pub(crate) fn is_transient(address: &str, status: tonic::Status) -> Result<String, ClientError> {
    let may_pass = match status.code() {
        Code::Unavailable
        | Code::Unknown
        | Code::Internal
        | Code::Cancelled
        | Code::Aborted
        | Code::DeadlineExceeded
        | Code::ResourceExhausted => true,
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => false,
    };
    let error = ClientError::from_status(address, status);
    if may_pass { Ok(error.to_string()) } else { Err(error) }
}
