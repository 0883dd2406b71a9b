//! Matches texts by patterns with `*`, `?` and `[...]`.
//!
//! Guarantees that the effort is bounded by the product of both lengths, and that equal patterns
//! have equal texts. Characters are Unicode's: the crate globset compares bytes, so that its `?`
//! is half of an `ü`, and what it compiles cannot be compared. Knows no fields.

/// The longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 512;

/// A pattern: `*` is any text, `?` one character, `[a-c_]` one of these, `[!a]` another one, and
/// `\` takes the special meaning from the next character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValuePattern {
    text: Box<str>,
    parts: Box<[PatternPart]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PatternPart {
    Exactly(char),
    One,
    Any,
    Class { is_negated: bool, ranges: Box<[(char, char)]> },
}

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternProblem {
    /// It is too long.
    #[error("it has more than {PATTERN_BYTES_MAX} bytes")]
    TooLong,
    /// `[` without `]`.
    #[error("[ has no closing ]; write \\[ for the character itself")]
    NoClosingBracket,
    /// A range such as `z-a`.
    #[error("the range {0}-{1} in [...] is empty, its end comes before its begin")]
    EmptyRange(char, char),
    /// A backslash with nothing behind it.
    #[error("nothing follows the last \\; write \\\\ for the character itself")]
    NothingEscaped,
}

impl ValuePattern {
    /// Parses a pattern.
    ///
    /// # Errors
    ///
    /// [`PatternProblem`] says why it is none.
    pub fn parse(text: &str) -> Result<Self, PatternProblem> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternProblem::TooLong);
        }
        let mut parts = Vec::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            let part = match c {
                '*' => PatternPart::Any,
                '?' => PatternPart::One,
                '[' => class(&mut rest)?,
                '\\' => PatternPart::Exactly(rest.next().ok_or(PatternProblem::NothingEscaped)?),
                c => PatternPart::Exactly(c),
            };
            // `**` is `*`.
            if part != PatternPart::Any || parts.last() != Some(&PatternPart::Any) {
                parts.push(part);
            }
        }
        Ok(Self { text: text.into(), parts: parts.into() })
    }

    /// The pattern of that text alone. Beyond what a pattern can contain, it ends with `*`; control
    /// characters become `?`.
    pub(super) fn exactly(text: &str) -> Self {
        let mut written = String::new();
        let mut parts = Vec::new();
        for c in text.chars() {
            if written.len() + 1 + c.len_utf8() >= PATTERN_BYTES_MAX {
                written.push('*');
                parts.push(PatternPart::Any);
                break;
            }
            if c.is_control() {
                written.push('?');
                parts.push(PatternPart::One);
                continue;
            }
            if "*?[]\\\",".contains(c) {
                written.push('\\');
            }
            written.push(c);
            parts.push(PatternPart::Exactly(c));
        }
        Self { text: written.into(), parts: parts.into() }
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        let mut parts = &self.parts[..];
        let mut rest = text;
        // The parts behind the last `*`, and where the text that it takes ends so far.
        let mut retry: Option<(&[PatternPart], &str)> = None;
        loop {
            let mut chars = rest.chars();
            match (parts.split_first(), chars.next()) {
                (Some((PatternPart::Any, behind)), _) => {
                    retry = Some((behind, rest));
                    parts = behind;
                }
                (Some((part, behind)), Some(c)) if part.matches(c) => {
                    (parts, rest) = (behind, chars.as_str());
                }
                (None, None) => return true,
                (_, None) => return false,
                (_, Some(_)) => {
                    let Some((behind, taken)) = retry else { return false };
                    let mut longer = taken.chars();
                    longer.next();
                    retry = Some((behind, longer.as_str()));
                    (parts, rest) = (behind, longer.as_str());
                }
            }
        }
    }

    /// The only text that matches, if it has no special characters.
    pub(super) fn literal(&self) -> Option<String> {
        let prefix = self.prefix();
        (prefix.chars().count() == self.parts.len()).then_some(prefix)
    }

    /// What every text that matches begins with.
    pub(super) fn prefix(&self) -> String {
        let exactly = |part: &PatternPart| match part {
            PatternPart::Exactly(c) => Some(*c),
            PatternPart::One | PatternPart::Any | PatternPart::Class { .. } => None,
        };
        self.parts.iter().map_while(exactly).collect()
    }

    /// Whether every text with its prefix matches.
    pub(super) fn is_prefix(&self) -> bool {
        let [before @ .., PatternPart::Any] = &self.parts[..] else { return false };
        self.prefix().chars().count() == before.len()
    }

    /// The characters that it names.
    pub(super) fn characters(&self) -> impl Iterator<Item = char> {
        self.parts.iter().flat_map(|part| match part {
            PatternPart::Exactly(c) => vec![*c],
            PatternPart::Class { is_negated: false, ranges } => {
                ranges.iter().flat_map(|(first, last)| [*first, *last]).collect()
            }
            PatternPart::One | PatternPart::Any | PatternPart::Class { .. } => Vec::new(),
        })
    }
}

impl PatternPart {
    fn matches(&self, c: char) -> bool {
        match self {
            Self::Exactly(only) => *only == c,
            Self::One => true,
            Self::Any => false,
            Self::Class { is_negated, ranges } => {
                let is_in = ranges.iter().any(|(first, last)| (*first..=*last).contains(&c));
                is_in != *is_negated
            }
        }
    }
}

/// What follows `[`.
fn class(rest: &mut std::str::Chars<'_>) -> Result<PatternPart, PatternProblem> {
    let is_negated = rest.as_str().starts_with(['!', '^']);
    if is_negated {
        rest.next();
    }
    let mut ranges = Vec::new();
    let next = |rest: &mut std::str::Chars<'_>| match rest.next() {
        Some('\\') => Ok((rest.next().ok_or(PatternProblem::NoClosingBracket)?, true)),
        Some(c) => Ok((c, false)),
        None => Err(PatternProblem::NoClosingBracket),
    };
    loop {
        let (first, is_escaped) = next(rest)?;
        if first == ']' && !is_escaped && !ranges.is_empty() {
            return Ok(PatternPart::Class { is_negated, ranges: ranges.into() });
        }
        let has_end = rest.as_str().starts_with('-') && !rest.as_str().starts_with("-]");
        if !has_end {
            ranges.push((first, first));
            continue;
        }
        rest.next();
        let (last, _) = next(rest)?;
        if last < first {
            return Err(PatternProblem::EmptyRange(first, last));
        }
        ranges.push((first, last));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_match(pattern: &str, text: &str) -> bool {
        ValuePattern::parse(pattern).expect("is a pattern").matches(text)
    }

    #[test]
    fn a_pattern_matches_the_whole_text() {
        for (pattern, matching, other) in [
            ("db1", "db1", "db12"),
            ("db*", "db", "xdb"),
            ("*db", "shop:db", "db1"),
            ("d*b*1", "dxxbyy1", "dxx1"),
            ("*", "ü", "-"),
            ("db?", "dbü", "db"),
            ("db[0-3x]", "db3", "db4"),
            ("db[!0-3]", "db4", "db0"),
            ("db[^0]", "dbö", "db0"),
            ("[]]", "]", "["),
            ("[a-]", "-", "b"),
            ("[\\]a]", "]", "\\"),
            ("a\\*", "a*", "ab"),
            ("*a*a*a*b", "aaaaab", "aaaaa"),
            ("", "", "a"),
        ] {
            assert!(is_match(pattern, matching), "{pattern} matches {matching}");
            assert_eq!(is_match(pattern, other), pattern == "*", "{pattern} and {other}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_its_reason() {
        for (text, problem) in [
            ("[a", PatternProblem::NoClosingBracket),
            ("[]", PatternProblem::NoClosingBracket),
            ("[a\\", PatternProblem::NoClosingBracket),
            ("[b-a]", PatternProblem::EmptyRange('b', 'a')),
            ("a\\", PatternProblem::NothingEscaped),
            (&"a".repeat(PATTERN_BYTES_MAX + 1), PatternProblem::TooLong),
        ] {
            assert_eq!(ValuePattern::parse(text), Err(problem), "{text}");
        }
    }

    #[test]
    fn prefixes_and_literals_are_known() {
        let of = |text: &str| {
            let pattern = ValuePattern::parse(text).expect("is a pattern");
            (pattern.prefix(), pattern.literal().is_some(), pattern.is_prefix())
        };
        assert_eq!(of("db\\*1"), ("db*1".to_owned(), true, false));
        assert_eq!(of("db**"), ("db".to_owned(), false, true));
        assert_eq!(of("db?*"), ("db".to_owned(), false, false));
        assert_eq!(of("*"), (String::new(), false, true));
    }

    proptest! {
        #[test]
        fn an_exact_pattern_matches_its_text_and_is_read_again(text in "\\PC{0,60}", other in "[a*?\\[\\\\]{0,4}") {
            for text in [&text, &other] {
                let pattern = ValuePattern::exactly(text);
                prop_assert!(pattern.matches(text));
                prop_assert_eq!(&pattern, &ValuePattern::parse(pattern.as_str()).expect("is a pattern"));
                let longer = text.to_owned() + "x";
                prop_assert!(!pattern.matches(&longer));
            }
        }

        #[test]
        fn a_pattern_is_matched_as_the_regular_expression_of_its_meaning(
            pattern in "[ab*?]{0,8}", text in "[abü]{0,10}"
        ) {
            let meaning = pattern.replace('*', ".*").replace('?', ".");
            let regex = regex::Regex::new(&format!("^{meaning}$")).expect("is a regular expression");
            prop_assert_eq!(is_match(&pattern, &text), regex.is_match(&text));
        }
    }
}
