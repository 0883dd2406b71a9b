//! Parses the configuration file into raw settings.
//!
//! Guarantees that all syntax errors and all unknown keys are reported, each with its line, and that
//! one typo is reported once. Does not know what values are allowed.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{CLASS_TABLE, instead_of, known};
use super::mistake::{Mistake, Origin};
use super::raw::{Raw, Said, dotted};
use crate::grid::name::{NotAName, is_name};
use crate::show::escape::excerpt;
use crate::system_error::Explained;

/// Largest configuration, in bytes; a larger file is something else.
const BYTES_MAX: u64 = 1 << 20;

/// The content of the file.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Values, by line.
    pub(super) said: Vec<Said>,
    /// Classes that have a table, and where the table begins.
    pub(super) classes: Vec<(String, Origin)>,
    pub(super) mistakes: Vec<Mistake>,
    /// Parts of it could not be read.
    pub(super) is_torn: bool,
}

pub(super) fn read(path: &Path) -> Found {
    let mut reading = Reading { path, text: String::new(), found: Found::default() };
    let file = std::fs::File::open(path);
    let read = file.and_then(|file| file.take(BYTES_MAX + 1).read_to_string(&mut reading.text));
    match read {
        Ok(bytes) if bytes as u64 > BYTES_MAX => {
            reading.whole("is larger than 1MiB, so it is not a configuration".to_owned());
        }
        Ok(_) => reading.parse(),
        Err(error) => reading.whole(format!("can't be read: {}", Explained(&error))),
    }
    reading.found
}

struct Reading<'a> {
    path: &'a Path,
    text: String,
    found: Found,
}

impl Reading<'_> {
    fn parse(&mut self) {
        let text = std::mem::take(&mut self.text);
        let (table, errors) = DeTable::parse_recoverable(&text);
        let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
        let line = |at: usize| 1 + ends.partition_point(|end| *end < at);
        self.table(table.get_ref(), &mut Vec::new(), &line);
        // Errors that follow from a syntax error on the same line are not reported.
        let lines = errors.iter().map(|error| error.span().map_or(0, |span| line(span.start)));
        let invalid: BTreeMap<usize, &str> =
            lines.zip(errors.iter().map(toml::de::Error::message)).rev().collect();
        let is_valid = |origin: &Origin| !matches!(origin, Origin::File { line, .. } if invalid.contains_key(line));
        self.found.mistakes.retain(|error| is_valid(&error.origin));
        self.found.said.retain(|setting| is_valid(&setting.origin));
        self.found.is_torn = !invalid.is_empty();
        for (line, message) in &invalid {
            let begin =
                line.checked_sub(2).and_then(|before| ends.get(before)).map_or(0, |at| at + 1);
            let end = ends.get(line.saturating_sub(1)).copied().unwrap_or(text.len());
            let key = key_in(text.get(begin..end).unwrap_or_default());
            let message = message.replace('\n', ", ");
            self.found.mistakes.push(Mistake { origin: self.at(*line), key, text: message });
        }
        self.found.said.sort_by(|a, b| a.origin.cmp(&b.origin));
    }

    fn table(
        &mut self,
        table: &DeTable<'_>,
        path: &mut Vec<String>,
        line: &impl Fn(usize) -> usize,
    ) {
        for (key, value) in table {
            path.push(key.get_ref().to_string());
            let origin = self.at(line(key.span().start));
            self.entry(value, path, origin, line);
            path.pop();
        }
    }

    fn entry(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        path: &mut Vec<String>,
        origin: Origin,
        line: &impl Fn(usize) -> usize,
    ) {
        let kind = known(path);
        if let (DeValue::Table(table), true) = (value.get_ref(), kind.is_table) {
            if let [first, class] = path.as_slice()
                && first == CLASS_TABLE
            {
                if !is_name(class) {
                    let text = format!("invalid class name: {NotAName}");
                    return self.mistake(origin, path, text);
                }
                self.found.classes.push((class.clone(), origin));
            }
            return self.table(table, path, line);
        }
        if kind.is_setting {
            let raw = raw(value.get_ref());
            self.found.said.push(Said { path: path.clone(), raw, origin });
        } else if kind.is_table {
            let table = dotted(path);
            self.mistake(origin, path, format!("is a table, not a value: [{table}]"));
        } else {
            self.mistake(origin, path, format!("there is no such key; {}", instead_of(path)));
        }
    }

    fn at(&self, line: usize) -> Origin {
        Origin::File { path: self.path.to_owned(), line }
    }

    fn whole(&mut self, text: String) {
        self.found.is_torn = true;
        let origin = self.at(0);
        self.mistake(origin, &[], text);
    }

    fn mistake(&mut self, origin: Origin, path: &[String], text: String) {
        self.found.mistakes.push(Mistake { origin, key: dotted(path), text });
    }
}

/// The key or table of a line with a syntax error. Never its value, which may be a misplaced secret.
fn key_in(line: &str) -> String {
    let key = line.split(['=', '#', '"', '\'']).next().unwrap_or_default().trim();
    excerpt(key)
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(whole) => {
            let value = u64::from_str_radix(whole.as_str(), whole.radix()).ok();
            Raw::Whole(whole.to_string(), value)
        }
        DeValue::Boolean(truth) => Raw::Truth(*truth),
        DeValue::Float(_) => Raw::Other("a number with a fraction"),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Array(_) => Raw::Other("a list"),
        DeValue::Table(_) => Raw::Other("a table"),
    }
}
