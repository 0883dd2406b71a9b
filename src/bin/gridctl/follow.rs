//! `gridctl log list --follow`: prints new records across any number of broker restarts.
//!
//! Guarantees no gaps and no duplicates: it resumes after the cursor of the last message; without
//! one, after the newest record at its start. Each outage is reported once, on stderr. Does not
//! know when to stop: the caller drops it.

use std::time::Duration;

use tonic::Code;

use grid_broker::client::ClientError;
use grid_broker::contract::proto::tail_records_response::Message;
use grid_broker::contract::proto::{
    GetStatusRequest, Record, RecordFilter, TailRecordsRequest, TailRecordsResponse,
};

use crate::connection::Connection;
use crate::error::CliError;
use crate::log::describe_missing;
use crate::output::ListWriter;

/// First delay before a reconnect; each further one is twice as long.
pub(crate) const RETRY_DELAY_MIN: Duration = Duration::from_secs(1);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(30);

/// Maximum history that the broker returns.
const HISTORY_MAX: u32 = 1000;

/// A running tail of the grid log.
pub(crate) struct LogTail<'a> {
    broker: &'a Connection,
    filter: RecordFilter,
    history: u32,
    cursor: String,
    /// Records up to this number are shown or not requested.
    shown_through: u64,
    /// The current outage was reported.
    is_disconnected: bool,
    /// That records come faster than they are shown was reported.
    is_behind: bool,
}

impl<'a> LogTail<'a> {
    /// Prepares to show `history` of the newest records that match, then new ones.
    pub(crate) async fn start(
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
        let (is_disconnected, is_behind) = (false, false);
        Ok(Self { broker, filter, history, cursor, shown_through, is_disconnected, is_behind })
    }

    /// Shows records until dropped; waits `first_delay` before the first reconnect.
    ///
    /// # Errors
    ///
    /// If the output cannot be written, the first attempt fails, or the error of the broker is not
    /// transient.
    pub(crate) async fn run(
        &mut self,
        listing: &mut ListWriter<'_, Record>,
        first_delay: Duration,
    ) -> Result<(), CliError> {
        let mut delay = first_delay;
        let mut stream = self.open().await?;
        loop {
            let message = tokio::select! {
                message = stream.message() => message,
                () = tokio::time::sleep(RETRY_DELAY_MAX), if self.is_disconnected => {
                    // Reconnected, but without records: the next outage is reported again.
                    self.is_disconnected = false;
                    continue;
                }
            };
            let why = match message {
                Ok(Some(message)) => {
                    self.show(message, listing)?;
                    continue;
                }
                Ok(None) => "it closed the stream".to_owned(),
                Err(status) => transient_error(&self.broker.address, status)?,
            };
            self.report_outage(&why);
            stream = loop {
                tokio::time::sleep(delay).await;
                match self.open().await {
                    Ok(stream) => break stream,
                    Err(status) => {
                        self.report_outage(&transient_error(&self.broker.address, status)?)
                    }
                }
                delay = (delay * 2).min(RETRY_DELAY_MAX);
            };
            delay = first_delay;
        }
    }

    async fn open(&self) -> Result<tonic::Streaming<TailRecordsResponse>, tonic::Status> {
        // Without a cursor nothing was shown yet: all new records that match are requested, and
        // `shown_through` drops the older ones of the history.
        let history = if self.is_disconnected { HISTORY_MAX } else { self.history };
        let request = TailRecordsRequest {
            filter: Some(self.filter.clone()),
            history: if self.cursor.is_empty() { history } else { 0 },
            cursor: self.cursor.clone(),
            ..TailRecordsRequest::default()
        };
        let reply = self.broker.grid_log().tail_records(self.broker.streaming(request)).await?;
        Ok(reply.into_inner())
    }

    fn show(
        &mut self,
        message: TailRecordsResponse,
        listing: &mut ListWriter<'_, Record>,
    ) -> Result<(), CliError> {
        self.is_disconnected = false;
        if message.behind > 0 && !std::mem::replace(&mut self.is_behind, true) {
            crate::print_note(&format!(
                "records come faster than they are shown: {} behind; none is left out",
                message.behind
            ));
        }
        match message.message {
            Some(Message::Record(record)) if record.number > self.shown_through => {
                self.shown_through = record.number;
                listing.add(&[record])?;
            }
            Some(Message::Missing(missing)) if missing.last > self.shown_through => {
                self.shown_through = missing.last;
                listing.note(&describe_missing(missing))?;
            }
            Some(Message::Record(_) | Message::Missing(_)) | None => {}
        }
        if !message.cursor.is_empty() {
            self.cursor = message.cursor;
        }
        Ok(())
    }

    fn report_outage(&mut self, why: &str) {
        if !self.is_disconnected {
            self.is_disconnected = true;
            print_outage(self.broker, why);
        }
    }
}

/// Reports each outage of the broker once, and delays reconnects.
pub(crate) struct Outage<'a> {
    broker: &'a Connection,
    first_delay: Duration,
    delay: Duration,
    is_reported: bool,
}

impl<'a> Outage<'a> {
    /// No outage yet; `first_delay` is the first wait.
    pub(crate) fn new(broker: &'a Connection, first_delay: Duration) -> Self {
        Self { broker, first_delay, delay: first_delay, is_reported: false }
    }

    /// Records that the broker replied.
    pub(crate) fn clear(&mut self) {
        self.is_reported = false;
        self.delay = self.first_delay;
    }

    /// Reports the outage, and waits before the next attempt.
    pub(crate) async fn wait(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_reported, true) {
            print_outage(self.broker, why);
        }
        tokio::time::sleep(self.delay).await;
        self.delay = (self.delay * 2).min(RETRY_DELAY_MAX);
    }
}

fn print_outage(broker: &Connection, why: &str) {
    crate::print_note(&format!(
        "the broker at {} is unavailable ({why}); resuming when it is back",
        broker.address
    ));
}

/// Describes a transient error; other errors are returned as such.
///
/// A connection that breaks within a stream appears as `Unknown`, `Internal` or `Cancelled`.
pub(crate) fn transient_error(address: &str, status: tonic::Status) -> Result<String, ClientError> {
    let is_transient = match status.code() {
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
    if is_transient { Ok(error.to_string()) } else { Err(error) }
}
