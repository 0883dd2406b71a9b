//! What does the file say?
//!
//! Guarantees that all mistakes of form and all unknown keys are told, each with its line, and that
//! what is told twice by one slip is told once. Does not know what values are allowed.

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

/// No configuration is larger, in bytes; a file that is, is another one.
const BYTES_MAX: u64 = 1 << 20;

/// What was found in the file.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Values, by line.
    pub(super) said: Vec<Said>,
    /// Classes that have a table, and where it begins.
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
            reading.whole("is larger than 1MiB, so it is no configuration".to_owned());
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
        // What follows from a mistake of form is not told beside it.
        let lines = errors.iter().map(|error| error.span().map_or(0, |span| line(span.start)));
        let wrong: BTreeMap<usize, &str> =
            lines.zip(errors.iter().map(toml::de::Error::message)).rev().collect();
        let is_right = |origin: &Origin| !matches!(origin, Origin::File { line, .. } if wrong.contains_key(line));
        self.found.mistakes.retain(|mistake| is_right(&mistake.origin));
        self.found.said.retain(|said| is_right(&said.origin));
        self.found.is_torn = !wrong.is_empty();
        for (line, message) in &wrong {
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
        let there = known(path);
        if let (DeValue::Table(table), true) = (value.get_ref(), there.is_table) {
            if let [first, class] = path.as_slice()
                && first == CLASS_TABLE
            {
                if !is_name(class) {
                    let text = format!("a class's name is wrong: {NotAName}");
                    return self.mistake(origin, path, text);
                }
                self.found.classes.push((class.clone(), origin));
            }
            return self.table(table, path, line);
        }
        if there.is_setting {
            let raw = raw(value.get_ref());
            self.found.said.push(Said { path: path.clone(), raw, origin });
        } else if there.is_table {
            let table = dotted(path);
            self.mistake(origin, path, format!("is no value but a table: [{table}]"));
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

/// What a line that can't be read is about: its key, or its table. Never its value, which may be a
/// secret in the wrong place.
fn key_in(line: &str) -> String {
    let begin = line.split(['=', '#', '"', '\'']).next().unwrap_or_default().trim();
    excerpt(begin)
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
