//! Receives the parts of an export, across lost connections.
//!
//! Guarantees that each part follows the one before, that an export that ends is complete, and that a
//! broker that does not come back is given up. Does not know how records are written.

use std::time::Duration;

use bytes::Bytes;
use grid_broker::contract::proto::{ExportRecordsRequest, Missing};

use super::error::ExportError;
use crate::connection::Connection;
use crate::error::CliError;
use crate::follow::transient_error;

/// Attempts in a row to connect again.
const RECONNECTS_MAX: u32 = 8;

/// Longest delay before one.
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(30);

/// `grid.events.v1.ExportRecordsResponse` with its records undecoded.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ExportPart {
    /// The records' bytes.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(crate) records: Vec<Bytes>,
    /// See the contract.
    #[prost(message, repeated, tag = "2")]
    pub(crate) missing: Vec<Missing>,
    /// See the contract.
    #[prost(string, tag = "3")]
    pub(crate) cursor: String,
    /// See the contract.
    #[prost(uint64, tag = "4")]
    pub(crate) reached: u64,
    /// See the contract.
    #[prost(uint64, tag = "5")]
    pub(crate) first: u64,
    /// See the contract.
    #[prost(uint64, tag = "6")]
    pub(crate) last: u64,
}

/// A running export.
pub(super) struct ExportCall<'a> {
    broker: &'a Connection,
    request: ExportRecordsRequest,
    stream: Option<tonic::Streaming<ExportPart>>,
    /// The last number that was examined, once there was a part.
    reached: Option<u64>,
    is_complete: bool,
    failures: u32,
    first_delay: Duration,
}

impl<'a> ExportCall<'a> {
    /// Prepares an export; waits `first_delay` before the first attempt to connect again, and twice as long
    /// before each further one.
    pub(super) fn new(
        broker: &'a Connection,
        request: ExportRecordsRequest,
        first_delay: Duration,
    ) -> Self {
        let (stream, reached) = (None, None);
        Self { broker, request, stream, reached, is_complete: false, failures: 0, first_delay }
    }

    /// The next part; `None`: the export is complete. `note` shows that a connection was lost.
    ///
    /// # Errors
    ///
    /// If the first attempt fails, the error of the broker is not transient, or it does not come back.
    pub(super) async fn next(
        &mut self,
        note: &mut dyn FnMut(&str),
    ) -> Result<Option<ExportPart>, CliError> {
        while !self.is_complete {
            let lost = match self.receive().await {
                Ok(Some(part)) => return self.accept(part).map(Some),
                Ok(None) => "it closed the stream".to_owned(),
                Err(status) if self.reached.is_none() => return Err(status.into()),
                Err(status) => transient_error(&self.broker.address, status)?,
            };
            self.stream = None;
            self.wait(lost, note).await?;
        }
        Ok(None)
    }

    async fn receive(&mut self) -> Result<Option<ExportPart>, tonic::Status> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => self.stream.insert(self.broker.export(self.request.clone()).await?),
        };
        stream.message().await
    }

    fn accept(&mut self, part: ExportPart) -> Result<ExportPart, CliError> {
        // A cursor continues after its part, so an equal one would continue nothing.
        let is_next = self.reached.is_none_or(|reached| part.reached > reached);
        if !is_next || part.cursor.is_empty() {
            let text = format!("record {} is not after the part before", part.reached);
            return Err(ExportError::Malformed(text).into());
        }
        self.failures = 0;
        self.is_complete = part.reached >= part.last;
        self.reached = Some(part.reached);
        // The end stays that of the first part, whatever is new when it is continued.
        self.request = ExportRecordsRequest {
            filter: self.request.filter.take(),
            first: 0,
            last: part.last,
            cursor: part.cursor.clone(),
        };
        Ok(part)
    }

    async fn wait(&mut self, lost: String, note: &mut dyn FnMut(&str)) -> Result<(), CliError> {
        if self.failures == RECONNECTS_MAX {
            let attempts = self.failures;
            return Err(ExportError::GaveUp { attempts, failure: lost }.into());
        }
        if self.failures == 0 {
            let after = self.reached.unwrap_or(0);
            note(&format!("the connection was lost ({lost}); continuing after record {after}"));
        }
        let delay = self.first_delay * 2_u32.pow(self.failures);
        self.failures += 1;
        tokio::time::sleep(delay.min(RECONNECT_DELAY_MAX)).await;
        Ok(())
    }
}
