//! Parses the configuration file into raw settings.
//!
//! Guarantees that all syntax errors and all unknown keys are reported, each with its line, and that
//! one typo is reported once. Does not know what values are allowed.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::crash_dump::{APPLIANCE_TABLE, DUMP_TABLE};
use super::keys::{CLASS_TABLE, has_named_tables, key_kind};
use super::route::ROUTE_TABLE;
use super::suggestion::suggestion;
use super::webhook::WEBHOOK_TABLE;
use crate::config::error::{ConfigError, Origin};
use crate::config::raw_value::{RawSetting, RawValue, dotted_key};
use crate::grid::values::id::{InvalidName, is_valid_name};
use crate::show::escape::excerpt;
use crate::system_error::Explained;

/// Largest configuration, in bytes; a larger file is something else.
const BYTES_MAX: u64 = 1 << 20;

/// The content of the file.
#[derive(Debug, Default)]
pub(super) struct ParsedFile {
    /// Values, by line.
    pub(super) settings: Vec<RawSetting>,
    /// Classes that have a table, and where the table begins.
    pub(super) classes: Vec<(String, Origin)>,
    /// Appliances that have a table of crash dumps, and where the table begins.
    pub(super) appliances: Vec<(String, Origin)>,
    /// Webhooks, and where their tables begin.
    pub(super) webhooks: Vec<(String, Origin)>,
    /// Routes in their order, and where their tables begin; with the byte, since one line may have several.
    pub(super) routes: Vec<(usize, String, Origin)>,
    pub(super) errors: Vec<ConfigError>,
    /// Parts of it could not be read.
    pub(super) is_incomplete: bool,
}

pub(super) fn read(path: &Path) -> ParsedFile {
    let mut reading =
        FileParser { path, text: String::new(), key_at: 0, parsed: ParsedFile::default() };
    let file = std::fs::File::open(path);
    let read = file.and_then(|file| file.take(BYTES_MAX + 1).read_to_string(&mut reading.text));
    match read {
        Ok(bytes) if bytes as u64 > BYTES_MAX => {
            reading.add_file_error("is larger than 1MiB, so it is not a configuration".to_owned());
        }
        Ok(_) => reading.parse(),
        Err(error) => reading.add_file_error(format!("can't be read: {}", Explained(&error))),
    }
    reading.parsed
}

struct FileParser<'a> {
    path: &'a Path,
    text: String,
    /// The byte at which the key of the entry begins.
    key_at: usize,
    parsed: ParsedFile,
}

impl FileParser<'_> {
    fn parse(&mut self) {
        let text = std::mem::take(&mut self.text);
        let (table, errors) = DeTable::parse_recoverable(&text);
        let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
        let line = |at: usize| 1 + ends.partition_point(|end| *end < at);
        self.visit_table(table.get_ref(), &mut Vec::new(), &line);
        // Errors that follow from a syntax error on the same line are not reported.
        let lines = errors.iter().map(|error| error.span().map_or(0, |span| line(span.start)));
        let invalid: BTreeMap<usize, &str> =
            lines.zip(errors.iter().map(toml::de::Error::message)).rev().collect();
        let is_valid = |origin: &Origin| !matches!(origin, Origin::File { line, .. } if invalid.contains_key(line));
        self.parsed.errors.retain(|error| is_valid(&error.origin));
        self.parsed.settings.retain(|setting| is_valid(&setting.origin));
        self.parsed.is_incomplete = !invalid.is_empty();
        for (line, message) in &invalid {
            let begin =
                line.checked_sub(2).and_then(|before| ends.get(before)).map_or(0, |at| at + 1);
            let end = ends.get(line.saturating_sub(1)).copied().unwrap_or(text.len());
            let key = key_of_line(text.get(begin..end).unwrap_or_default());
            let message = message.replace('\n', ", ");
            self.parsed.errors.push(ConfigError {
                origin: self.origin_at(*line),
                key,
                text: message,
            });
        }
        self.parsed.settings.sort_by(|a, b| a.origin.cmp(&b.origin));
        self.parsed.routes.sort_by_key(|route| route.0);
    }

    fn visit_table(
        &mut self,
        table: &DeTable<'_>,
        path: &mut Vec<String>,
        line: &impl Fn(usize) -> usize,
    ) {
        for (key, value) in table {
            path.push(key.get_ref().to_string());
            let origin = self.origin_at(line(key.span().start));
            self.key_at = key.span().start;
            self.visit_entry(value, path, origin, line);
            path.pop();
        }
    }

    fn visit_entry(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        path: &mut Vec<String>,
        origin: Origin,
        line: &impl Fn(usize) -> usize,
    ) {
        let kind = key_kind(path);
        if let (DeValue::Table(table), true) = (value.get_ref(), kind.is_table) {
            if let [table, name] = words(path)[..]
                && has_named_tables(table)
                && !is_valid_name(name)
            {
                return self.add_error(
                    origin,
                    path,
                    format!("invalid {table} name: {InvalidName}"),
                );
            }
            match words(path)[..] {
                [CLASS_TABLE, name] => self.parsed.classes.push((name.to_owned(), origin)),
                [WEBHOOK_TABLE, name] => self.parsed.webhooks.push((name.to_owned(), origin)),
                [ROUTE_TABLE, name] => {
                    self.parsed.routes.push((self.key_at, name.to_owned(), origin));
                }
                [APPLIANCE_TABLE, name, DUMP_TABLE] => {
                    self.parsed.appliances.push((name.to_owned(), origin));
                }
                [..] => {}
            }
            return self.visit_table(table, path, line);
        }
        if kind.is_setting {
            let raw = raw_value(value.get_ref());
            self.parsed.settings.push(RawSetting { path: path.clone(), raw, origin });
        } else if kind.is_table {
            let table = dotted_key(path);
            self.add_error(origin, path, format!("is a table, not a value: [{table}]"));
        } else {
            self.add_error(origin, path, format!("there is no such key; {}", suggestion(path)));
        }
    }

    fn origin_at(&self, line: usize) -> Origin {
        Origin::File { path: self.path.to_owned(), line }
    }

    fn add_file_error(&mut self, text: String) {
        self.parsed.is_incomplete = true;
        let origin = self.origin_at(0);
        self.add_error(origin, &[], text);
    }

    fn add_error(&mut self, origin: Origin, path: &[String], text: String) {
        self.parsed.errors.push(ConfigError { origin, key: dotted_key(path), text });
    }
}

/// The key or table of a line with a syntax error. Never its value, which may be a misplaced secret.
fn key_of_line(line: &str) -> String {
    let key = line.split(['=', '#', '"', '\'']).next().unwrap_or_default().trim();
    excerpt(key)
}

fn words(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

fn raw_value(value: &DeValue<'_>) -> RawValue {
    match value {
        DeValue::String(text) => RawValue::Text(text.to_string()),
        DeValue::Integer(whole) => {
            let value = u64::from_str_radix(whole.as_str(), whole.radix()).ok();
            RawValue::Integer(whole.to_string(), value)
        }
        DeValue::Boolean(truth) => RawValue::Bool(*truth),
        DeValue::Float(_) => RawValue::Other("a number with a fraction"),
        DeValue::Datetime(_) => RawValue::Other("a date"),
        DeValue::Array(items) => {
            let texts = items.iter().map(|item| match item.get_ref() {
                DeValue::String(text) => Some(text.to_string()),
                DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_)
                | DeValue::Table(_) => None,
            });
            texts.collect::<Option<_>>().map_or(RawValue::Other("a list"), RawValue::Texts)
        }
        DeValue::Table(_) => RawValue::Other("a table"),
    }
}
