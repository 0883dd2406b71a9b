//! Reads the fields of an encoded record without copying them.
//!
//! Guarantees that what it reads is what the generated message would have. Leaves a record with fields that
//! are rare, or with anything unexpected, to the generated message. Does not know formats.

use std::str;

/// An encoded `grid.events.v1.Record`.
#[derive(Debug, Default)]
pub(super) struct RawRecord<'a> {
    pub(super) number: u64,
    pub(super) received_at: Option<RawTime>,
    pub(super) kind: i32,
    pub(super) severity: i32,
    pub(super) appliance: &'a str,
    pub(super) boot_id: &'a str,
    pub(super) text: &'a str,
    pub(super) state: i32,
    pub(super) outcome: i32,
    pub(super) reason: &'a str,
    pub(super) explanation: &'a str,
    pub(super) event: Option<ExportedEvent<'a>>,
    pub(super) administrator: &'a str,
    pub(super) flags: Vec<&'a str>,
}

/// An encoded `grid.events.v1.Event`, of the fields that most have.
#[derive(Debug, Default)]
pub(super) struct ExportedEvent<'a> {
    /// The field of its kind.
    pub(super) kind: Option<EventField>,
    /// Of a maintenance.
    pub(super) progress: Option<u64>,
    pub(super) text: &'a str,
    pub(super) severity: i32,
    pub(super) boot_id: &'a str,
    pub(super) sequence: u64,
    pub(super) event_time: Option<RawTime>,
    pub(super) uptime_ms: u64,
    pub(super) spooled_at: Option<RawTime>,
    pub(super) repeated: bool,
    pub(super) next_report_within_ms: u64,
    pub(super) alert_key: &'a str,
}

/// The kinds of event that have a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventField {
    StartedOk,
    StartFailed,
    Maintenance,
    Log,
    Alert,
}

/// An encoded `google.protobuf.Timestamp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RawTime {
    pub(super) seconds: i64,
    pub(super) nanos: u32,
}

/// The value of a field.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a fixed length.
    Fixed,
}

/// The fields of a message, one after the other.
struct FieldReader<'a>(&'a [u8]);

impl<'a> FieldReader<'a> {
    fn varint(&mut self) -> Option<u64> {
        // Most are one byte long.
        let (&first, rest) = self.0.split_first()?;
        if first < 0x80 {
            self.0 = rest;
            return Some(first.into());
        }
        prost::encoding::decode_varint(&mut self.0).ok()
    }

    /// The next field; `Some(None)`: there is no more. `None`: it is malformed.
    fn next(&mut self) -> Option<Option<(u64, Value<'a>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.fixed(8)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (value, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Value::Bytes(value)
            }
            5 => self.fixed(4)?,
            _ => return None,
        };
        Some(Some((key >> 3, value)))
    }

    fn fixed(&mut self, length: usize) -> Option<Value<'a>> {
        self.0 = self.0.get(length..)?;
        Some(Value::Fixed)
    }
}

impl<'a> Value<'a> {
    fn number(self) -> Option<u64> {
        if let Value::Number(number) = self { Some(number) } else { None }
    }

    #[expect(clippy::cast_possible_truncation, reason = "as protobuf does with an enum")]
    fn label(self) -> Option<i32> {
        self.number().map(|number| number as i32)
    }

    fn text(self) -> Option<&'a str> {
        str::from_utf8(self.bytes()?).ok()
    }

    fn bytes(self) -> Option<&'a [u8]> {
        if let Value::Bytes(bytes) = self { Some(bytes) } else { None }
    }
}

impl RawTime {
    #[expect(clippy::cast_possible_wrap, reason = "as protobuf does with a negative number")]
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (mut fields, mut time) = (FieldReader(bytes), Self::default());
        while let Some((field, value)) = fields.next()? {
            match field {
                1 => time.seconds = value.number()? as i64,
                2 => time.nanos = u32::try_from(value.number()?).ok()?,
                _ => {}
            }
        }
        (time.nanos < 1_000_000_000).then_some(time)
    }
}

impl<'a> RawRecord<'a> {
    /// Reads a record; `None`: it is for the generated message.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (mut fields, mut record) = (FieldReader(bytes), Self::default());
        while let Some((field, value)) = fields.next()? {
            match field {
                1 => record.number = value.number()?,
                // A message that comes twice is merged.
                2 if record.received_at.is_none() => {
                    record.received_at = Some(RawTime::parse(value.bytes()?)?);
                }
                3 => record.kind = value.label()?,
                4 => record.severity = value.label()?,
                5 => record.appliance = value.text()?,
                6 => record.boot_id = value.text()?,
                7 => record.text = value.text()?,
                8 => record.state = value.label()?,
                9 => record.outcome = value.label()?,
                10 => record.reason = value.text()?,
                11 => record.explanation = value.text()?,
                12 if record.event.is_none() => {
                    record.event = Some(ExportedEvent::parse(value.bytes()?)?);
                }
                13 => record.administrator = value.text()?,
                14 => record.flags.push(value.text()?),
                // The times in its sentences.
                21 | 22 => {}
                // Its settings, or fields of a newer broker.
                _ => return None,
            }
        }
        Some(record)
    }
}

impl<'a> ExportedEvent<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (mut fields, mut event) = (FieldReader(bytes), Self::default());
        while let Some((field, value)) = fields.next()? {
            match field {
                1..=5 if event.kind.is_none() => event.set_kind(field, value.bytes()?)?,
                16 => event.text = value.text()?,
                17 => event.severity = value.label()?,
                18 => event.boot_id = value.text()?,
                19 => event.sequence = value.number()?,
                20 if event.event_time.is_none() => {
                    event.event_time = Some(RawTime::parse(value.bytes()?)?);
                }
                21 => event.uptime_ms = value.number()?,
                22 if event.spooled_at.is_none() => {
                    event.spooled_at = Some(RawTime::parse(value.bytes()?)?);
                }
                23 => event.repeated = value.number()? != 0,
                24 => event.next_report_within_ms = value.number()?,
                26 => event.alert_key = value.text()?,
                // What was lost before it, a crash dump, or fields of a newer broker.
                _ => return None,
            }
        }
        (event.next_report_within_ms <= u64::from(u32::MAX)).then_some(event)
    }

    fn set_kind(&mut self, field: u64, content: &[u8]) -> Option<()> {
        let kind = match field {
            1 => EventField::StartedOk,
            2 => EventField::StartFailed,
            3 => EventField::Maintenance,
            4 => EventField::Log,
            _ => EventField::Alert,
        };
        self.kind = Some(kind);
        let mut fields = FieldReader(content);
        while let Some((field, value)) = fields.next()? {
            match (kind, field) {
                (EventField::Maintenance, 1) => {
                    self.progress = Some(u32::try_from(value.number()?).ok()?.into());
                }
                // A counter.
                _ => return None,
            }
        }
        Some(())
    }
}
