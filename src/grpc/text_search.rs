//! Finds a text in the bytes of many records at once, without regard to case.
//!
//! Guarantees that no record is missed that contains the text in lower case: a place may be none,
//! but where there is no place there is no text. Does not know where in a record a text lies.

use std::ops::Range;

use memchr::memmem::Finder;

/// The characters outside ASCII whose lower case has a letter of ASCII, with that letter.
const LIKE_ASCII: [(char, char); 2] = [('\u{212a}', 'k'), ('\u{130}', 'i')];

/// A text that is searched for.
#[derive(Debug)]
pub(super) struct TextSearch {
    /// What the bytes of a record with the text contain, one of these at least, once they are
    /// folded.
    finders: Vec<Finder<'static>>,
    folding: CaseFolding,
}

/// How bytes are prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CaseFolding {
    /// Not at all: they are compared as they are.
    None,
    /// Letters of ASCII, all bytes of a block at once.
    Ascii,
    /// All letters, record by record.
    Unicode,
}

impl TextSearch {
    /// A search for a text in lower case.
    pub(super) fn new(lower: &str) -> Self {
        if !lower.is_ascii() {
            let mut folded = Vec::new();
            fold_unicode(lower.as_bytes(), &mut folded);
            let finders = vec![Finder::new(&folded).into_owned()];
            return Self { finders, folding: CaseFolding::Unicode };
        }
        let has_letters = lower.bytes().any(|byte| byte.is_ascii_alphabetic());
        let folding = if has_letters { CaseFolding::Ascii } else { CaseFolding::None };
        let mut finders = vec![Finder::new(lower).into_owned()];
        for (like, letter) in LIKE_ASCII.iter().filter(|(_, letter)| lower.contains(*letter)) {
            debug_assert!(like.to_lowercase().any(|lower| lower == *letter));
            let mut bytes = [0; 4];
            finders.push(Finder::new(like.encode_utf8(&mut bytes)).into_owned());
        }
        Self { finders, folding }
    }

    /// A search for bytes.
    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        Self { finders: vec![Finder::new(bytes).into_owned()], folding: CaseFolding::None }
    }

    /// Prepares for the records of `payload`.
    pub(super) fn places<'a>(
        &'a self,
        payload: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> TextPlaces<'a> {
        let next = vec![None; self.finders.len()];
        let (bytes, scratch) = match self.folding {
            CaseFolding::None => (payload, None),
            CaseFolding::Ascii => {
                scratch.clear();
                scratch.extend_from_slice(payload);
                scratch.make_ascii_lowercase();
                (&scratch[..], None)
            }
            CaseFolding::Unicode => (payload, Some(scratch)),
        };
        TextPlaces { search: self, bytes, scratch, next }
    }
}

/// The places in a payload where the text may be; asked for ascending ranges.
pub(super) struct TextPlaces<'a> {
    search: &'a TextSearch,
    bytes: &'a [u8],
    /// For one record at a time.
    scratch: Option<&'a mut Vec<u8>>,
    /// The next place of each finder; `None` before the first.
    next: Vec<Option<usize>>,
}

impl TextPlaces<'_> {
    /// Whether there is a place in `range`.
    pub(super) fn has_one_in(&mut self, range: &Range<usize>) -> bool {
        let finders = &self.search.finders;
        if let Some(scratch) = &mut self.scratch {
            fold_unicode(&self.bytes[range.clone()], scratch);
            return finders.iter().any(|finder| finder.find(scratch).is_some());
        }
        let mut is_found = false;
        for (finder, next) in finders.iter().zip(&mut self.next) {
            // From the begin of the record: a place that begins before it may hide one in it.
            if next.is_none_or(|at| at < range.start) {
                let rest = &self.bytes[range.start..];
                *next = Some(finder.find(rest).map_or(usize::MAX, |at| range.start + at));
            }
            is_found |= next.is_some_and(|at| at < range.end);
        }
        is_found
    }
}

/// Replaces `folded` by `bytes` with all text in it in lower case. Both lower forms of sigma are one
/// here: which one is right depends on what follows.
fn fold_unicode(bytes: &[u8], folded: &mut Vec<u8>) {
    folded.clear();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_ascii() {
                folded.extend(u8::try_from(c.to_ascii_lowercase()));
                continue;
            }
            for lower in c.to_lowercase() {
                let lower = if lower == 'ς' { 'σ' } else { lower };
                folded.extend_from_slice(lower.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        folded.extend_from_slice(chunk.invalid());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Letters that lower case treats in its own way, and bytes that are no text.
    const SPECIAL: &[&str] = &[
        "a", "K", "k", "\u{212a}", "i", "I", "İ", "ı", "Σ", "σ", "ς", "ß", "ẞ", "Å", "\u{212b}",
        "å", "Ж", "ж", "\u{307}", " ", "1", "Σ ", "ΑΣ", "ǅ", "Ⅷ", "ﬀ", "語",
    ];

    fn text() -> impl Strategy<Value = String> {
        let special = prop::collection::vec(prop::sample::select(SPECIAL), 0..6);
        prop_oneof![special.prop_map(|parts| parts.concat()), "\\PC{0,8}", "[a-kA-K]{0,6}"]
    }

    #[test]
    fn two_characters_alone_have_a_lower_case_with_a_letter_of_ascii() {
        let all = ('\u{80}'..=char::MAX).filter(|c| c.to_lowercase().any(|it| it.is_ascii()));
        assert_eq!(all.collect::<String>(), "İ\u{212a}");
        assert!(LIKE_ASCII.iter().all(|(like, letter)| like.to_lowercase().any(|c| c == *letter)));
    }

    proptest! {
        #[test]
        fn no_record_that_contains_the_text_is_missed(
            texts in prop::collection::vec((any::<[u8; 3]>(), text(), any::<[u8; 2]>()), 1..8),
            other in text(),
            taken in any::<prop::sample::Index>(),
            length in 1..12_usize,
        ) {
            let (mut payload, mut ranges) = (Vec::new(), Vec::new());
            for (before, text, after) in &texts {
                let start = payload.len();
                payload.extend_from_slice(before);
                payload.extend_from_slice(text.as_bytes());
                payload.extend_from_slice(after);
                ranges.push(start..payload.len());
            }
            // A part of one of the texts, or any other.
            let part: String = texts[taken.index(texts.len())].1.chars().take(length).collect();
            for needle in [part, other].map(|it| it.to_lowercase()) {
                if needle.is_empty() {
                    continue;
                }
                let (search, mut scratch) = (TextSearch::new(&needle), Vec::new());
                let mut places = search.places(&payload, &mut scratch);
                for (range, (_, text, _)) in ranges.iter().zip(&texts) {
                    let has_place = places.has_one_in(range);
                    let contains = text.to_lowercase().contains(&needle);
                    prop_assert!(has_place || !contains, "{needle:?} in {text:?}");
                }
            }
        }
    }

    #[test]
    fn other_records_are_not_candidates() {
        let (search, mut scratch) = (TextSearch::new("disk"), Vec::new());
        let payload = b"a DISK is full, and no dis k";
        let mut places = search.places(payload, &mut scratch);
        assert!(places.has_one_in(&(0..10)));
        assert!(!places.has_one_in(&(10..payload.len())));
    }
}
