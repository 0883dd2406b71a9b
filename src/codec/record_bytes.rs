//! Encodes a record in two steps: first its length, then its bytes where they are needed.
//!
//! A record of an event, which is nearly every record, is written field by field from the event itself:
//! the generated message would copy every text first. Guarantees the bytes that the generated messages
//! write.

use prost::Message;

use super::event::write_event;
use super::fields::{FieldSink, Length};
use super::{effect, input, outcome_numbers, proto};
use crate::grid::log::input::{Input, ReceivedEvent};
use crate::grid::log::record::Record;

/// Fields of `grid.journal.v1.Record`.
mod tag {
    pub(super) const NUMBER: u32 = 1;
    pub(super) const AT_US: u32 = 2;
    pub(super) const EVENT: u32 = 3;
    pub(super) const OUTCOME: u32 = 32;
    pub(super) const REJECTION: u32 = 33;
    pub(super) const FLAGS: u32 = 34;
    pub(super) const EFFECTS: u32 = 35;
}

/// A record that is about to be written, and its length.
#[derive(Debug)]
pub struct RecordBytes<'a> {
    content: Content<'a>,
    len: usize,
}

#[derive(Debug)]
enum Content<'a> {
    Event(EventContent<'a>),
    Other(Box<proto::Record>),
}

#[derive(Debug)]
struct EventContent<'a> {
    record: &'a Record,
    received: &'a ReceivedEvent,
    received_len: usize,
    effects: Vec<proto::Effect>,
}

impl<'a> RecordBytes<'a> {
    /// Prepares a record.
    pub fn new(record: &'a Record) -> Self {
        let Input::Event(received) = &record.input else {
            let message = to_message(record);
            let len = message.encoded_len();
            return Self { content: Content::Other(message.into()), len };
        };
        let mut received_len = Length::default();
        write_event(received, &mut received_len);
        let content = EventContent {
            record,
            received,
            received_len: received_len.0,
            effects: record.effects.iter().map(effect::encode).collect(),
        };
        let mut len = Length::default();
        content.write_before_event(&mut len);
        content.write_after_event(&mut len);
        let len = len.0 + content.received_len;
        Self { content: Content::Event(content), len }
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it takes no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends [`Self::len`] bytes.
    pub fn write_into(&self, out: &mut Vec<u8>) {
        match &self.content {
            Content::Event(content) => {
                content.write_before_event(out);
                write_event(content.received, out);
                content.write_after_event(out);
            }
            Content::Other(message) => message.encode_raw(out),
        }
    }
}

impl EventContent<'_> {
    fn write_before_event(&self, out: &mut impl FieldSink) {
        out.uint(tag::NUMBER, self.record.number);
        out.uint(tag::AT_US, self.record.at.as_micros().cast_unsigned());
        out.begin(tag::EVENT, self.received_len);
    }

    fn write_after_event(&self, out: &mut impl FieldSink) {
        let (outcome, rejection) = outcome_numbers(self.record.outcome);
        out.uint(tag::OUTCOME, u64::from(i32::from(outcome).cast_unsigned()));
        out.uint(tag::REJECTION, u64::from(i32::from(rejection).cast_unsigned()));
        out.uint(tag::FLAGS, u64::from(self.record.flags.bits()));
        for effect in &self.effects {
            out.message(tag::EFFECTS, effect);
        }
    }
}

/// The message of a record whose input is not an event.
pub(super) fn to_message(record: &Record) -> proto::Record {
    let (outcome, rejection) = outcome_numbers(record.outcome);
    proto::Record {
        number: record.number,
        at_us: record.at.as_micros(),
        input: input::encode(&record.input),
        outcome: outcome.into(),
        rejection: rejection.into(),
        flags: record.flags.bits(),
        effects: record.effects.iter().map(effect::encode).collect(),
    }
}
