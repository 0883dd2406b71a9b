//! Streams a range of the grid log, many records in a message.
//!
//! Guarantees each record and gap of the range once, in order, up to what was durable at the call, and
//! that the cursor of each message is after everything sent so far. Reads and converts whole batches on a
//! blocking thread, which no export keeps while its client does not read, and of which all exports
//! together have two: they do not take the processors from the loop. Does not know records.

mod batch;

use tokio::sync::Semaphore;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use self::batch::BatchReader;
use super::filter::RecordMatcher;
use super::grid_log::RecordCursor;
use super::{Services, status};
use crate::contract::encoded::EncodedExport;
use crate::grpc::panic_guard;
use crate::grpc::stream_sender::{StreamEnd, StreamSender};
use crate::tasks;

/// Messages of an export that wait for its client to read them.
const EXPORT_BUFFERED: usize = 2;

/// Batches that are converted at one time, of all exports.
const CONVERSIONS_MAX: usize = 2;

static CONVERSIONS: Semaphore = Semaphore::const_new(CONVERSIONS_MAX);

/// The numbers to export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExportRange {
    /// The first.
    first: u64,
    /// The last; below `first` if there is none.
    last: u64,
    /// The caller named where to start: it is told of gaps from there on.
    has_start: bool,
}

/// The range of a request whose cursor is at `behind`; a `first` that is set wins over its position.
///
/// # Errors
///
/// If it starts above the next number.
pub(super) fn range(
    first: u64,
    last: u64,
    behind: Option<u64>,
    durable: u64,
) -> Result<ExportRange, Status> {
    if first > durable.saturating_add(1) {
        let text = format!(
            "first: is {first}, but this grid log ends with record {durable}: it was restored from an \
             older copy; export it again from the start"
        );
        return Err(status::precondition("CURSOR_AHEAD", text));
    }
    let has_start = first > 0 || behind.is_some();
    let first = if first > 0 { first } else { behind.map_or(1, |number| number.saturating_add(1)) };
    let last = if last == 0 { durable } else { last.min(durable) };
    Ok(ExportRange { first, last, has_start })
}

/// Opens an export of the range.
pub(super) fn open(
    services: Services,
    filter: RecordMatcher,
    range: ExportRange,
) -> ReceiverStream<Result<EncodedExport, Status>> {
    let (mut sender, stream) = StreamSender::with_room(EXPORT_BUFFERED, services.stopping.clone());
    panic_guard::spawn_stream("export", sender.error_sender(), async move {
        let result = run(&services, &mut sender, filter, range).await;
        sender.finish(result).await;
    });
    stream
}

async fn run(
    services: &Services,
    sender: &mut StreamSender<EncodedExport>,
    filter: RecordMatcher,
    range: ExportRange,
) -> Result<(), StreamEnd> {
    let names = services.broker.name_index();
    let mut reader = BatchReader::new(services.reader.clone(), names.clone(), filter, range);
    loop {
        let permit = tokio::select! {
            permit = CONVERSIONS.acquire() => permit,
            end = sender.closed() => return Err(end),
        };
        let converted = tasks::spawn_blocking("export", move || {
            let batch = reader.next_batch();
            (reader, batch)
        });
        let Ok((returned, batch)) = converted.await else {
            return Err(Status::internal("reading the grid log was interrupted").into());
        };
        drop(permit);
        reader = returned;
        let batch = batch?;
        let cursor = RecordCursor::encode(batch.reached, services);
        let message = EncodedExport { bytes: batch.into_message(cursor, range) };
        sender.send(message).await?;
        if reader.is_at_end() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_starts_where_it_is_asked_to_or_after_the_cursor() {
        let numbers = |first, last, behind| {
            range(first, last, behind, 100).map(|it| (it.first, it.last, it.has_start)).ok()
        };
        assert_eq!(numbers(0, 0, None), Some((1, 100, false)));
        assert_eq!(numbers(7, 20, None), Some((7, 20, true)));
        assert_eq!(numbers(0, 0, Some(30)), Some((31, 100, true)));
        assert_eq!(numbers(7, 0, Some(30)), Some((7, 100, true)), "from before the cursor");
        assert_eq!(numbers(50, 0, Some(30)), Some((50, 100, true)));
        assert_eq!(numbers(0, 500, Some(100)), Some((101, 100, true)), "nothing is left");
        assert_eq!(numbers(101, 0, None), Some((101, 100, true)));
        assert_eq!(numbers(102, 0, None), None, "restored from an older copy");
    }
}
