//! Matches alerts by their appliance, class, kind, severity and group key, for routes and silences.
//!
//! ```text
//! class=batch severity>=error appliance=db* kind!~"stuck,flapping" key="disk full on /srv"
//! ```
//!
//! Guarantees that matchers which are equal match the same alerts, that their text form can be read
//! again, and that count, length and effort are bounded for any text. Values are patterns or lists
//! of patterns; there are no regular expressions. Does not know who asks, nor which appliances exist.

mod coverage;
mod error;
mod parse;
mod pattern;

use std::fmt;

use crate::grid::values::event::Severity;

pub use self::error::{MatcherError, MatcherProblem};
pub use self::pattern::{PATTERN_BYTES_MAX, PatternProblem, ValuePattern};

/// The most matchers of a route or silence.
pub const MATCHERS_MAX: usize = 16;

/// The most patterns of a list.
pub const PATTERNS_MAX: usize = 64;

/// The longest text of all matchers of a route or silence, in bytes.
pub const MATCHERS_BYTES_MAX: usize = 4_096;

/// What matchers know of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertFacts<'a> {
    /// The appliance's name; `None`: an alert of the broker itself.
    pub appliance: Option<&'a str>,
    /// The appliance's class; empty: an alert of the broker itself.
    pub class: &'a str,
    /// The alert's kind, of [`ALERT_KINDS`](crate::grid::model::alert::ALERT_KINDS).
    pub kind: &'a str,
    /// Its group key as shown; empty: it has none.
    pub key: &'a str,
    /// Its severity.
    pub severity: Severity,
}

/// A field of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatcherField {
    /// The appliance's name.
    Appliance,
    /// Its class.
    Class,
    /// The kind of the alert.
    Kind,
    /// Its group key.
    Key,
    /// Its severity.
    Severity,
}

impl MatcherField {
    /// All fields.
    pub const ALL: [Self; 5] =
        [Self::Appliance, Self::Class, Self::Kind, Self::Severity, Self::Key];

    /// Its name, as users write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Appliance => "appliance",
            Self::Class => "class",
            Self::Kind => "kind",
            Self::Key => "key",
            Self::Severity => "severity",
        }
    }
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatcherOperator {
    /// `=`: matches the pattern.
    Is,
    /// `!=`: does not match the pattern.
    IsNot,
    /// `=~`: matches one of the patterns.
    IsOneOf,
    /// `!~`: matches none of the patterns.
    IsNoneOf,
    /// `>=`: at least as severe.
    AtLeast,
    /// `<=`: at most as severe.
    AtMost,
}

impl MatcherOperator {
    /// All operators; a longer one comes before its prefix.
    const ALL: [Self; 6] =
        [Self::IsOneOf, Self::IsNoneOf, Self::IsNot, Self::AtLeast, Self::AtMost, Self::Is];

    /// Its sign.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Is => "=",
            Self::IsNot => "!=",
            Self::IsOneOf => "=~",
            Self::IsNoneOf => "!~",
            Self::AtLeast => ">=",
            Self::AtMost => "<=",
        }
    }

    fn is_negative(self) -> bool {
        match self {
            Self::IsNot | Self::IsNoneOf => true,
            Self::Is | Self::IsOneOf | Self::AtLeast | Self::AtMost => false,
        }
    }
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum MatcherValue {
    Severity(Severity),
    Patterns(Box<[ValuePattern]>),
}

/// One condition on an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    field: MatcherField,
    operator: MatcherOperator,
    value: MatcherValue,
}

impl Matcher {
    /// The alerts whose field has exactly that text. Characters of control become `?`, which matches
    /// them, since no text form may contain them.
    pub fn exactly(field: MatcherField, text: &str) -> Self {
        let severity = Severity::ALL.into_iter().find(|it| it.as_str() == text);
        let value = match severity.filter(|_| field == MatcherField::Severity) {
            Some(severity) => MatcherValue::Severity(severity),
            None => MatcherValue::Patterns(Box::new([ValuePattern::exactly(text)])),
        };
        Self { field, operator: MatcherOperator::Is, value }
    }

    /// The field that it compares.
    pub fn field(&self) -> MatcherField {
        self.field
    }

    /// Whether an alert matches. A field that the alert does not have matches the empty text alone:
    /// `appliance=*` does not match the alerts of the broker, and `appliance!=*` matches only those.
    pub fn matches(&self, facts: &AlertFacts<'_>) -> bool {
        let text = match self.field {
            MatcherField::Appliance => facts.appliance.unwrap_or_default(),
            MatcherField::Class => facts.class,
            MatcherField::Kind => facts.kind,
            MatcherField::Key => facts.key,
            MatcherField::Severity => return self.matches_severity(facts.severity),
        };
        self.matches_text(text)
    }

    fn matches_severity(&self, severity: Severity) -> bool {
        let MatcherValue::Severity(than) = self.value else { return false };
        match self.operator {
            MatcherOperator::Is | MatcherOperator::IsOneOf => severity == than,
            MatcherOperator::IsNot | MatcherOperator::IsNoneOf => severity != than,
            MatcherOperator::AtLeast => severity >= than,
            MatcherOperator::AtMost => severity <= than,
        }
    }

    fn matches_text(&self, text: &str) -> bool {
        let is_found = self.patterns().iter().any(|pattern| match text.is_empty() {
            true => pattern.as_str().is_empty(),
            false => pattern.matches(text),
        });
        is_found != self.operator.is_negative()
    }

    /// The patterns; none for a severity.
    fn patterns(&self) -> &[ValuePattern] {
        match &self.value {
            MatcherValue::Patterns(patterns) => patterns,
            MatcherValue::Severity(_) => &[],
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}{}", self.field.as_str(), self.operator.as_str())?;
        let patterns = match &self.value {
            MatcherValue::Severity(severity) => return out.write_str(severity.as_str()),
            MatcherValue::Patterns(patterns) => patterns,
        };
        let texts: Vec<_> = patterns.iter().map(ValuePattern::as_str).collect();
        let list = texts.join(",");
        let is_special = |c: char| c.is_whitespace() || "=<>".contains(c);
        if list.is_empty() || list.starts_with('~') || list.contains(is_special) {
            write!(out, "\"{list}\"")
        } else {
            out.write_str(&list)
        }
    }
}

/// Conditions that an alert must all fulfil; without conditions, every alert does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matchers(Box<[Matcher]>);

impl Matchers {
    /// Parses one text.
    ///
    /// # Errors
    ///
    /// The first mistake, with its place and what is allowed.
    pub fn parse(text: &str) -> Result<Self, MatcherError> {
        Self::parse_all(&[text])
    }

    /// Parses several texts, whose conditions must all be fulfilled.
    ///
    /// # Errors
    ///
    /// The first mistake, with the number of its text, its place in it and what is allowed.
    pub fn parse_all(texts: &[impl AsRef<str>]) -> Result<Self, MatcherError> {
        parse::matchers(texts).map(|all| Self(all.into()))
    }

    /// The alerts that fulfil all conditions, at most [`MATCHERS_MAX`] of them: more are left out.
    pub fn of(matchers: impl IntoIterator<Item = Matcher>) -> Self {
        Self(matchers.into_iter().take(MATCHERS_MAX).collect())
    }

    /// Whether an alert fulfils all conditions.
    pub fn matches(&self, facts: &AlertFacts<'_>) -> bool {
        self.0.iter().all(|matcher| matcher.matches(facts))
    }

    /// The conditions.
    pub fn iter(&self) -> impl Iterator<Item = &Matcher> {
        self.0.iter()
    }

    /// Whether there is no condition, so that every alert matches.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The text form, which [`Matchers::parse`] reads.
impl fmt::Display for Matchers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        out.write_str(&texts.join(" "))
    }
}

#[cfg(test)]
mod tests;
