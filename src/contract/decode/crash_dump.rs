//! Validates a crash dump that an appliance found.
//!
//! Guarantees a path and bounded texts. Does not know the rest of the event.

use std::time::Duration;

use super::{Violations, check_time};
use crate::contract::raw::RawFoundCrashDump;
use crate::grid::values::crash_dump::{DUMP_PATH_BYTES_MAX, FoundDump, LAST_WORDS_BYTES_MAX};
use crate::grid::values::event::EventBody;

pub(super) fn check(
    sent: Option<&RawFoundCrashDump>,
    kind: &EventBody,
    violations: &mut Violations,
) -> Option<Box<FoundDump>> {
    let sent = sent?;
    if !matches!(kind, EventBody::Alert { .. }) {
        violations.add("crash_dump", "is allowed with alert only");
    }
    let path = violations.check_utf8("crash_dump.path", &sent.path).unwrap_or_default();
    if !(1..=DUMP_PATH_BYTES_MAX).contains(&sent.path.len()) {
        let text =
            format!("takes {} bytes; 1 to {DUMP_PATH_BYTES_MAX} are allowed", sent.path.len());
        violations.add("crash_dump.path", text);
    }
    let words = violations.check_utf8("crash_dump.last_words", &sent.last_words);
    let words = words.unwrap_or_default();
    Some(Box::new(FoundDump {
        path: path.into(),
        bytes: sent.bytes,
        is_incomplete: sent.incomplete,
        last_words: words[..words.floor_char_boundary(LAST_WORDS_BYTES_MAX)].into(),
        took: (sent.took_ms > 0).then(|| Duration::from_millis(sent.took_ms)),
        written_at: check_time("crash_dump.written_at", sent.written_at, violations),
    }))
}
