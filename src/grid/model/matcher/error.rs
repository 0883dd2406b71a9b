//! Defines what can be wrong with the text of matchers.
//!
//! Guarantees that each mistake names its place, the reason and what is allowed, and that text of
//! others is escaped and short in it. Does not parse.

use std::fmt;

use super::pattern::PatternProblem;
use super::{MATCHERS_BYTES_MAX, MATCHERS_MAX, MatcherField, PATTERNS_MAX};
use crate::grid::model::alert::ALERT_KINDS;
use crate::grid::values::event::Severity;

/// Characters of a text that a message repeats.
const SHOWN_CHARS: usize = 40;

/// The first mistake in the text of matchers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct MatcherError {
    /// The number of the text, from 1, where there are several; else 0.
    pub text: usize,
    /// The character of that text, from 1.
    pub character: usize,
    /// What is wrong there.
    pub problem: MatcherProblem,
}

impl fmt::Display for MatcherError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text > 0 {
            write!(out, "text {}, ", self.text)?;
        }
        write!(out, "character {}: {}", self.character, self.problem)
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatcherProblem {
    /// There is no such field.
    #[error("`{}` is not a field; {}", shown(.0), fields(.0))]
    UnknownField(Box<str>),
    /// A field without an operator behind it.
    #[error("behind {} an operator is missing; there are =, !=, =~, !~, and >= and <= for severity", .0.as_str())]
    NoOperator(MatcherField),
    /// An operator that this field does not have.
    #[error("{} has no operator {operator}; it has {}", .field.as_str(), operators(*.field))]
    WrongOperator {
        /// The field.
        field: MatcherField,
        /// The operator.
        operator: &'static str,
    },
    /// Nothing is behind the operator.
    #[error("the value of {} is missing; write \"\" for the empty text", .0.as_str())]
    NoValue(MatcherField),
    /// A quoted value does not end.
    #[error("the quoted value has no end; add \", and write \\\" for one within it")]
    NoClosingQuote,
    /// Something follows a quoted value directly.
    #[error("behind the closing quote a space is missing")]
    TextBehindQuote,
    /// An unquoted value has a character that needs quotes.
    #[error("the value `{}` contains {character}, so it needs quotes; or its value is missing and this is the next matcher", shown(.value))]
    NeedsQuotes {
        /// The value.
        value: Box<str>,
        /// The character.
        character: char,
    },
    /// There is no such severity.
    #[error("`{}` is not a severity; there are {}", shown(.0), severities())]
    UnknownSeverity(Box<str>),
    /// There is no such kind.
    #[error("`{}` is not a kind of alerts; {}", shown(.0), kinds(.0))]
    UnknownKind(Box<str>),
    /// No name has this character.
    #[error("`{}`: no {} has the character {character:?}; names have letters, digits and . _ - :", shown(.value), .field.as_str())]
    NotInNames {
        /// The field.
        field: MatcherField,
        /// The value.
        value: Box<str>,
        /// The character.
        character: char,
    },
    /// A list without an operator of lists.
    #[error("`{}` is a list; write {}=~{} for one of them, or {}!~{} for none of them", shown(.value), .field.as_str(), shown(.value), .field.as_str(), shown(.value))]
    ListNeedsOperator {
        /// The field.
        field: MatcherField,
        /// The value.
        value: Box<str>,
    },
    /// A pattern is invalid.
    #[error("`{}` is not a pattern: {problem}", shown(.value))]
    Pattern {
        /// The pattern.
        value: Box<str>,
        /// Why.
        problem: PatternProblem,
    },
    /// A list is too long.
    #[error("the list has more than {PATTERNS_MAX} patterns")]
    TooManyPatterns,
    /// There are too many matchers.
    #[error("there are more than {MATCHERS_MAX} matchers; lists (=~) take several values at once")]
    TooMany,
    /// The text is too long.
    #[error("the text has more than {MATCHERS_BYTES_MAX} bytes")]
    TooLong,
    /// The text has a character of control.
    #[error("the character {0:?} is not allowed; ? matches it")]
    Control(char),
}

/// The known identifier that was probably meant, if one is close.
fn nearest(given: &str, known: &[&'static str]) -> Option<&'static str> {
    let given: String = given.chars().take(SHOWN_CHARS).collect();
    let rank = |name: &&'static str| {
        let distance = strsim::damerau_levenshtein(&given.to_lowercase(), name);
        (3 * distance <= name.len().max(given.len())).then_some((distance, *name))
    };
    known.iter().filter_map(rank).min().map(|(_, name)| name)
}

fn fields(given: &str) -> String {
    let all = MatcherField::ALL.map(MatcherField::as_str);
    match nearest(given, &all) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are {}", all.join(", ")),
    }
}

fn kinds(given: &str) -> String {
    match nearest(given, &ALERT_KINDS) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are {}", ALERT_KINDS.join(", ")),
    }
}

fn severities() -> String {
    Severity::ALL.map(Severity::as_str).join(", ")
}

fn operators(field: MatcherField) -> &'static str {
    match field {
        MatcherField::Severity => "=, !=, >= and <=",
        MatcherField::Appliance | MatcherField::Class | MatcherField::Kind | MatcherField::Key => {
            "=, !=, =~ and !~"
        }
    }
}

/// A text as messages repeat it: escaped and short.
fn shown(text: &str) -> String {
    let begin: String = text.chars().take(SHOWN_CHARS).collect();
    let rest = if begin.len() < text.len() { "..." } else { "" };
    format!("{}{rest}", begin.escape_debug())
}
