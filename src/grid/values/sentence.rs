//! Defines a sentence of the broker in which times are data.
//!
//! Guarantees that a time is known by its position: inserted text can never become one. The caller
//! formats the times in the zone of the reader. Does not know zones.

use std::ops::Range;

use super::time::Timestamp;

/// Text with times in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sentence {
    text: String,
    /// The byte before which each time stands, in their order.
    times: Vec<(usize, Timestamp)>,
}

impl Sentence {
    /// Appends text.
    #[must_use]
    pub fn text(mut self, words: &str) -> Self {
        self.text.push_str(words);
        self
    }

    /// Appends a time.
    #[must_use]
    pub fn time(mut self, moment: Timestamp) -> Self {
        self.times.push((self.text.len(), moment));
        self
    }

    /// Appends another sentence.
    #[must_use]
    pub fn sentence(mut self, other: &Self) -> Self {
        let before = self.text.len();
        self.text.push_str(&other.text);
        self.times.extend(other.times.iter().map(|(place, at)| (before + place, *at)));
        self
    }

    /// Joins those that are not empty, with `between` between them.
    pub fn join(sentences: impl IntoIterator<Item = Self>, between: &str) -> Self {
        let sentences = sentences.into_iter().filter(|it| !it.is_empty());
        let joined = sentences.reduce(|joined, next| joined.text(between).sentence(&next));
        joined.unwrap_or_default()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.times.is_empty()
    }

    /// As text; `clock` formats the times.
    pub fn render(&self, clock: impl Fn(Timestamp) -> String) -> String {
        self.render_with_spans(clock).0
    }

    /// As text, with the byte range of each time, in their order.
    pub fn render_with_spans(
        &self,
        clock: impl Fn(Timestamp) -> String,
    ) -> (String, Vec<(Range<usize>, Timestamp)>) {
        let mut text = String::with_capacity(self.text.len());
        let mut places = Vec::with_capacity(self.times.len());
        let mut from = 0;
        for (place, moment) in &self.times {
            text.push_str(&self.text[from..*place]);
            let began = text.len();
            text.push_str(&clock(*moment));
            places.push((began..text.len(), *moment));
            from = *place;
        }
        text.push_str(&self.text[from..]);
        (text, places)
    }
}

impl From<&str> for Sentence {
    fn from(words: &str) -> Self {
        words.to_owned().into()
    }
}

impl From<String> for Sentence {
    fn from(words: String) -> Self {
        Self { text: words, times: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn second(n: u64) -> Timestamp {
        Timestamp::EPOCH.after(Duration::from_secs(n))
    }

    fn clock(at: Timestamp) -> String {
        format!("<{}>", at.as_micros() / 1_000_000)
    }

    #[test]
    fn times_are_known_by_their_position_alone() {
        let said = Sentence::from("\"<7> ü\" at ").time(second(1)).text(" to ").time(second(2));
        let all = Sentence::join([said, Sentence::default(), "over".into()], "; ");
        let (text, places) = all.render_with_spans(clock);
        assert_eq!(text, "\"<7> ü\" at <1> to <2>; over");
        let places: Vec<_> = places.into_iter().map(|(at, it)| (&text[at], it)).collect();
        assert_eq!(places, [("<1>", second(1)), ("<2>", second(2))]);
    }
}
