//! Matches text and boot of a filter with the bytes of a block, and decodes only what may match.
//!
//! Guarantees the records that matching each decoded one would find. A text may also be in what the
//! broker explains: records that are more than a plain event are decoded. Reads no records itself.

use std::fmt;

use super::text_search::TextSearch;
use crate::broker::NameIndex;
use crate::codec;
use crate::contract::encode;
use crate::grid::values::event::EventKind;
use crate::grid::values::id::ApplianceIndex;
use crate::journal::{ContentFilter, RecordSlice};

/// The kinds of events without a counter.
const PLAIN_KINDS: [u8; 4] = [
    EventKind::StartedOk.number(),
    EventKind::StartFailed.number(),
    EventKind::Maintenance.number(),
    EventKind::Log.number(),
];

/// Text and boot of a filter.
pub(super) struct TextAndBoot {
    /// In lower case; empty: any.
    text: String,
    /// In lower case; empty: any.
    boot: String,
    text_search: Option<TextSearch>,
    boot_search: Option<TextSearch>,
    loss_search: TextSearch,
    names: NameIndex,
}

impl TextAndBoot {
    /// A condition on a text, and the begin of a boot id, both in lower case; `None`: any record.
    pub(super) fn new(text: &str, boot: &str, names: &NameIndex) -> Option<Self> {
        if text.is_empty() && boot.is_empty() {
            return None;
        }
        let boot_bytes = Some(uuid_bytes(boot)).filter(|bytes| !bytes.is_empty());
        Some(Self {
            text: text.to_owned(),
            boot: boot.to_owned(),
            text_search: (!text.is_empty()).then(|| TextSearch::new(text)),
            boot_search: boot_bytes.map(|bytes| TextSearch::of_bytes(&bytes)),
            loss_search: TextSearch::of_bytes(&codec::LOSSES_KEY),
            names: names.clone(),
        })
    }

    /// A record that can't be decoded matches: whoever shows it reports that.
    fn matches(&self, bytes: &[u8]) -> bool {
        let Ok(record) = codec::decode_record(bytes) else { return true };
        if !self.boot.is_empty() && !encode::boot_id(&record).starts_with(&self.boot) {
            return false;
        }
        let has_text = |text: &str| text.to_lowercase().contains(&self.text);
        self.text.is_empty() || {
            let texts = encode::texts(&record, |number: ApplianceIndex| self.names.name(number));
            has_text(&texts.text) || has_text(&texts.explanation)
        }
    }
}

impl ContentFilter for TextAndBoot {
    fn retain(&self, payload: &[u8], records: &mut Vec<RecordSlice>, scratch: &mut Vec<u8>) {
        let (mut no_boot_scratch, mut no_loss_scratch) = (Vec::new(), Vec::new());
        let mut boots =
            self.boot_search.as_ref().map(|it| it.places(payload, &mut no_boot_scratch));
        let mut losses = self.loss_search.places(payload, &mut no_loss_scratch);
        let mut texts = self.text_search.as_ref().map(|it| it.places(payload, scratch));
        records.retain(|record| {
            let range = &record.range;
            let bytes = &payload[range.clone()];
            boots.as_mut().is_none_or(|boots| boots.has_one_in(range))
                && texts.as_mut().is_none_or(|texts| {
                    let is_other = !PLAIN_KINDS.contains(&record.header.kind);
                    texts.has_one_in(range)
                        || !codec::is_plain_event(bytes, is_other || losses.has_one_in(range))
                })
                && self.matches(bytes)
        });
    }
}

impl fmt::Debug for TextAndBoot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TextAndBoot").field("text", &self.text).field("boot", &self.boot).finish()
    }
}

/// The whole bytes of the begin of a UUID in text form. As many as match: what is no UUID has no
/// record.
fn uuid_bytes(begin: &str) -> Vec<u8> {
    let digits: Vec<u32> =
        begin.chars().filter(|c| *c != '-').map_while(|c| c.to_digit(16)).collect();
    digits.chunks_exact(2).filter_map(|two| u8::try_from(two[0] << 4 | two[1]).ok()).collect()
}

#[cfg(test)]
mod tests;
