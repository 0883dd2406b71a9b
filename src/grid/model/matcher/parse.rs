//! Parses the text form of matchers.
//!
//! ```text
//! text    = { space } [ matcher { space matcher } ]
//! matcher = field operator value          spaces may stand around the operator
//! value   = characters without space, ", =, < and >  |  '"' characters without " '"'
//! ```
//!
//! `\` and the character behind it stay together everywhere; the pattern decides what they mean.
//! Guarantees that the first mistake is reported with its place, and that nothing is read beyond the
//! longest text.

use super::error::{MatcherError, MatcherProblem};
use super::pattern::ValuePattern;
use super::{
    MATCHERS_BYTES_MAX, MATCHERS_MAX, Matcher, MatcherField, MatcherOperator, MatcherValue,
    PATTERNS_MAX,
};
use crate::grid::model::alert::ALERT_KINDS;
use crate::grid::values::event::Severity;

pub(super) fn matchers(texts: &[impl AsRef<str>]) -> Result<Vec<Matcher>, MatcherError> {
    let mut all = Vec::new();
    let mut bytes = 0;
    for (text, number) in texts.iter().zip(1..) {
        let text = text.as_ref();
        let number = if texts.len() > 1 { number } else { 0 };
        let mut parser = MatcherParser { text, at: 0 };
        let error = |parser: &MatcherParser<'_>, problem| MatcherError {
            text: number,
            character: parser.character(),
            problem,
        };
        bytes += text.len();
        if bytes > MATCHERS_BYTES_MAX {
            return Err(error(&parser, MatcherProblem::TooLong));
        }
        parser.refuse_control().map_err(|problem| error(&parser, problem))?;
        while parser.skip_spaces() {
            if all.len() == MATCHERS_MAX {
                return Err(error(&parser, MatcherProblem::TooMany));
            }
            match parser.matcher() {
                Ok(matcher) => all.push(matcher),
                Err(problem) => return Err(error(&parser, problem)),
            }
        }
    }
    Ok(all)
}

/// What is not read yet; at a mistake it stands at its place.
struct MatcherParser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> MatcherParser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The number of the next character, from 1.
    fn character(&self) -> usize {
        1 + self.text.get(..self.at).unwrap_or_default().chars().count()
    }

    fn refuse_control(&mut self) -> Result<(), MatcherProblem> {
        let is_bad = |(_, c): &(usize, char)| c.is_control() && !c.is_whitespace();
        let Some((at, c)) = self.text.char_indices().find(is_bad) else { return Ok(()) };
        self.at = at;
        Err(MatcherProblem::Control(c))
    }

    /// Whether something is left.
    fn skip_spaces(&mut self) -> bool {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        !self.rest().is_empty()
    }

    fn matcher(&mut self) -> Result<Matcher, MatcherProblem> {
        let field = self.field()?;
        self.skip_spaces();
        let operator = MatcherOperator::ALL.into_iter();
        let operator = operator.map(|it| (it, it.as_str()));
        let found = operator.into_iter().find(|(_, sign)| self.rest().starts_with(sign));
        let (operator, sign) = found.ok_or(MatcherProblem::NoOperator(field))?;
        if !has_operator(field, operator) {
            return Err(MatcherProblem::WrongOperator { field, operator: sign });
        }
        self.at += sign.len();
        self.skip_spaces();
        let begin = self.at;
        let value = self.value(field)?;
        let end = std::mem::replace(&mut self.at, begin);
        let value = parse_value(field, operator, value)?;
        self.at = end;
        Ok(Matcher { field, operator, value })
    }

    fn field(&mut self) -> Result<MatcherField, MatcherProblem> {
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || "=!<>~\"".contains(c));
        let name = &rest[..end.unwrap_or(rest.len())];
        let field = MatcherField::ALL.into_iter().find(|it| it.as_str() == name);
        let field = field.ok_or_else(|| MatcherProblem::UnknownField(name.into()))?;
        self.at += name.len();
        Ok(field)
    }

    fn value(&mut self, field: MatcherField) -> Result<&'a str, MatcherProblem> {
        let rest = self.rest();
        if rest.is_empty() {
            return Err(MatcherProblem::NoValue(field));
        }
        if let Some(within) = rest.strip_prefix('"') {
            let end = end_of(within, |c| c == '"');
            let end = end.ok_or(MatcherProblem::NoClosingQuote)?;
            let begin = self.at;
            self.at += end + 2;
            if !self.rest().is_empty() && !self.rest().starts_with(char::is_whitespace) {
                return Err(MatcherProblem::TextBehindQuote);
            }
            let within = &within[..end];
            let control = within.chars().find(|c| c.is_control());
            if let Some(control) = control {
                self.at = begin;
                return Err(MatcherProblem::Control(control));
            }
            return Ok(within);
        }
        let end = end_of(rest, char::is_whitespace).unwrap_or(rest.len());
        let value = &rest[..end];
        if let Some(special) = end_of(value, |c| "\"=<>".contains(c)) {
            let character = value[special..].chars().next().unwrap_or('"');
            return Err(MatcherProblem::NeedsQuotes { value: value.into(), character });
        }
        self.at += end;
        Ok(value)
    }
}

/// Where the first such character stands that has no `\` before it.
fn end_of(text: &str, is_end: impl Fn(char) -> bool) -> Option<usize> {
    let mut is_escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let was_escaped = is_escaped;
        is_escaped = c == '\\' && !was_escaped;
        (!was_escaped && is_end(c)).then_some(at)
    })
}

fn has_operator(field: MatcherField, operator: MatcherOperator) -> bool {
    match operator {
        MatcherOperator::Is | MatcherOperator::IsNot => true,
        MatcherOperator::IsOneOf | MatcherOperator::IsNoneOf => field != MatcherField::Severity,
        MatcherOperator::AtLeast | MatcherOperator::AtMost => field == MatcherField::Severity,
    }
}

fn parse_value(
    field: MatcherField,
    operator: MatcherOperator,
    value: &str,
) -> Result<MatcherValue, MatcherProblem> {
    if field == MatcherField::Severity {
        let severity = Severity::ALL.into_iter().find(|it| it.as_str() == value);
        let unknown = || MatcherProblem::UnknownSeverity(value.into());
        return Ok(MatcherValue::Severity(severity.ok_or_else(unknown)?));
    }
    let is_list = match operator {
        MatcherOperator::IsOneOf | MatcherOperator::IsNoneOf => true,
        MatcherOperator::Is
        | MatcherOperator::IsNot
        | MatcherOperator::AtLeast
        | MatcherOperator::AtMost => false,
    };
    // Keys may contain commas, names do not. Braces are what other patterns have for lists.
    let has_comma = end_of(value, |c| c == ',').is_some();
    if !is_list && field != MatcherField::Key && has_comma && !value.contains('{') {
        return Err(MatcherProblem::ListNeedsOperator { field, value: value.into() });
    }
    let mut patterns = Vec::new();
    let mut rest = Some(value);
    while let Some(list) = rest {
        let end = end_of(list, |c| is_list && c == ',');
        let item = &list[..end.unwrap_or(list.len())];
        rest = end.map(|end| &list[end + 1..]);
        if patterns.len() == PATTERNS_MAX {
            return Err(MatcherProblem::TooManyPatterns);
        }
        // Spaces and a comma too many around the items of a list mean nothing.
        let item = if is_list { item.trim() } else { item };
        if !item.is_empty() || !is_list {
            patterns.push(parse_pattern(field, item)?);
        }
    }
    if patterns.is_empty() {
        return Err(MatcherProblem::NoValue(field));
    }
    Ok(MatcherValue::Patterns(patterns.into()))
}

fn parse_pattern(field: MatcherField, text: &str) -> Result<ValuePattern, MatcherProblem> {
    let invalid = |problem| MatcherProblem::Pattern { value: text.into(), problem };
    let pattern = ValuePattern::parse(text).map_err(invalid)?;
    let is_of_name = |c: &char| c.is_ascii_alphanumeric() || "._-:".contains(*c);
    let other = pattern.characters().find(|c| !is_of_name(c));
    match (field, other) {
        (MatcherField::Kind, _) if !ALERT_KINDS.iter().any(|it| pattern.matches(it)) => {
            Err(MatcherProblem::UnknownKind(text.into()))
        }
        (MatcherField::Appliance | MatcherField::Class, Some(character)) => {
            Err(MatcherProblem::NotInNames { field, value: text.into(), character })
        }
        (MatcherField::Appliance | MatcherField::Class, None)
        | (MatcherField::Kind | MatcherField::Key | MatcherField::Severity, _) => Ok(pattern),
    }
}
