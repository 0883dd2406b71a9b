//! What the comments of `event.proto` say about an event that prost has decoded.
//!
//! Written from those comments, not from the checker.

use std::str::FromStr;

use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::{Counter, Event};
use prost_types::Timestamp as Time;
use uuid::Uuid;

/// What the contract says about bytes that prost takes for an event.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Event(Box<Plain>),
    Unsupported,
    Invalid,
}

/// An event as the broker holds it, in plain values.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plain {
    /// The kind's number in the contract.
    pub(super) kind: i32,
    pub(super) progress: Option<u32>,
    pub(super) promise_ms: Option<u128>,
    pub(super) counter: Option<(String, u64)>,
    pub(super) text: String,
    pub(super) is_cut: bool,
    pub(super) severity: i32,
    pub(super) event_time_us: Option<i128>,
    pub(super) uptime_ms: Option<u128>,
    pub(super) spooled_at_us: Option<i128>,
    pub(super) repeated: bool,
    pub(super) lost: Vec<PlainLost>,
    pub(super) alert_key: Option<String>,
    pub(super) found: Option<PlainFound>,
    pub(super) is_resolved: bool,
    pub(super) boot: Option<Uuid>,
    pub(super) sequence: Option<u64>,
}

#[derive(Debug, PartialEq)]
pub(super) struct PlainLost {
    pub(super) kind: i32,
    pub(super) count: u64,
    pub(super) first_at_us: Option<i128>,
    pub(super) last_at_us: Option<i128>,
    pub(super) reason: i32,
}

#[derive(Debug, PartialEq)]
pub(super) struct PlainFound {
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) incomplete: bool,
    pub(super) last_words: String,
    pub(super) took_ms: u128,
    pub(super) written_at_us: Option<i128>,
}

/// A rule of the contract does not hold.
struct Breach;

pub(super) fn expected(sent: &Event, bytes: &[u8]) -> Verdict {
    if bytes.len() > 65_536 {
        return Verdict::Invalid;
    }
    let Some(kind) = &sent.kind else {
        let is_to_come = fields(bytes).iter().any(|tag| (6..=15).contains(tag));
        return if is_to_come { Verdict::Unsupported } else { Verdict::Invalid };
    };
    match of_kind(sent, kind) {
        Ok(plain) => Verdict::Event(Box::new(plain)),
        Err(Breach) => Verdict::Invalid,
    }
}

fn of_kind(sent: &Event, kind: &Kind) -> Result<Plain, Breach> {
    let mut plain = Plain { repeated: sent.repeated, ..Plain::default() };
    let (number, severity, needs_text) = match kind {
        Kind::StartedOk(_) => (1, 2, false),
        Kind::StartFailed(_) => (2, 4, false),
        Kind::Maintenance(report) => {
            holds(report.progress.is_none_or(|percent| (1..=100).contains(&percent)))?;
            plain.progress = report.progress;
            (3, 2, false)
        }
        Kind::Log(_) => (4, 2, true),
        Kind::Alert(alert) => {
            if let Some(Counter { name, value }) = &alert.counter {
                let fits = |c: char| c.is_ascii_alphanumeric() || "._-:".contains(c);
                holds(!name.is_empty() && name.len() <= 128 && name.chars().all(fits))?;
                holds(!value.is_nan() && !value.is_infinite())?;
                plain.counter = Some((name.clone(), value.to_bits()));
            }
            (5, 4, alert.counter.is_none())
        }
    };
    plain.kind = number;
    let names_its_end = sent.alert_resolved && !sent.alert_key.is_empty();
    holds(!needs_text || !sent.text.is_empty() || names_its_end)?;
    holds(number == 5 || !sent.alert_resolved)?;
    plain.is_resolved = sent.alert_resolved;
    (plain.text, plain.is_cut) = cut(&sent.text, 4_096);
    holds((0..=5).contains(&sent.severity))?;
    plain.severity = if sent.severity == 0 { severity } else { sent.severity };
    if !sent.boot_id.is_empty() {
        plain.boot = Some(boot(&sent.boot_id)?);
    }
    plain.sequence = (sent.sequence != 0).then_some(sent.sequence);
    plain.event_time_us = time(sent.event_time)?;
    plain.spooled_at_us = time(sent.spooled_at)?;
    plain.uptime_ms = (sent.uptime_ms != 0).then_some(u128::from(sent.uptime_ms));
    if sent.next_report_within_ms != 0 {
        holds(number == 3 && (1_000..=43_200_000).contains(&sent.next_report_within_ms))?;
        plain.promise_ms = Some(u128::from(sent.next_report_within_ms));
    }
    if !sent.alert_key.is_empty() {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-:".contains(c);
        holds(number == 5 && sent.alert_key.len() <= 120 && sent.alert_key.chars().all(fits))?;
        plain.alert_key = Some(sent.alert_key.clone());
    }
    if let Some(found) = &sent.crash_dump {
        holds(number == 5 && (1..=1_024).contains(&found.path.len()))?;
        plain.found = Some(PlainFound {
            path: found.path.clone(),
            bytes: found.bytes,
            incomplete: found.incomplete,
            last_words: cut(&found.last_words, 512).0,
            took_ms: found.took_ms.into(),
            written_at_us: time(found.written_at)?,
        });
    }
    holds(sent.lost_before.len() <= 16)?;
    for lost in &sent.lost_before {
        holds(lost.count >= 1)?;
        plain.lost.push(PlainLost {
            kind: if (1..=5).contains(&lost.kind) { lost.kind } else { 0 },
            count: lost.count,
            first_at_us: time(lost.first_at)?,
            last_at_us: time(lost.last_at)?,
            reason: if (1..=4).contains(&lost.reason) { lost.reason } else { 0 },
        });
    }
    Ok(plain)
}

fn holds(rule: bool) -> Result<(), Breach> {
    if rule { Ok(()) } else { Err(Breach) }
}

/// The first bytes in whole characters, and whether something is left.
pub(super) fn cut(text: &str, most: usize) -> (String, bool) {
    let mut kept = String::new();
    for c in text.chars() {
        if kept.len() + c.len_utf8() > most {
            return (kept, true);
        }
        kept.push(c);
    }
    (kept, false)
}

fn boot(text: &str) -> Result<Uuid, Breach> {
    let is_form = text.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    holds(text.len() == 36 && is_form)?;
    let id = Uuid::from_str(text).map_err(|_| Breach)?;
    holds(id.as_u128() != 0)?;
    Ok(id)
}

fn time(sent: Option<Time>) -> Result<Option<i128>, Breach> {
    let Some(Time { seconds, nanos }) = sent else { return Ok(None) };
    holds((0..1_000_000_000).contains(&nanos))?;
    let micros = i128::from(seconds) * 1_000_000 + i128::from(nanos) / 1_000;
    holds((-62_135_596_800_000_000..=253_402_300_799_000_000).contains(&micros))?;
    Ok(Some(micros))
}

/// The numbers of the fields of a message that prost has taken.
fn fields(mut bytes: &[u8]) -> Vec<u64> {
    let (mut tags, mut depth) = (Vec::new(), 0_u32);
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        if depth == 0 {
            tags.push(key >> 3);
        }
        let skipped = match key & 7 {
            0 => {
                varint(&mut bytes);
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)).unwrap(),
            3 => {
                depth += 1;
                0
            }
            4 => {
                depth -= 1;
                0
            }
            _ => 4,
        };
        bytes = &bytes[skipped..];
    }
    tags
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if *byte < 0x80 {
            break;
        }
    }
    value
}
