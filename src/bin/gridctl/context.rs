//! `gridctl context ...`: named brokers in a file of the user.
//!
//! Guarantees that the file is read only when needed, that an error in it is reported with path and
//! line, and that switching contexts changes one line of it and nothing else. Uses no connection.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use grid_broker::client::DEFAULT_BROKER;
use grid_broker::exit_code::ExitCode;

use crate::args::{BrokerChoice, ContextCommand};
use crate::error::CliError;
use crate::fields::OutputObject;
use crate::output::{ItemView, ListWriter, OutputOptions};
use crate::table::{Column, TableCell};

/// Path of the file below the configuration directory.
const FILE: &str = "gridctl/contexts.toml";

/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why the named brokers are not available.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContextError {
    /// There is no home directory.
    #[error("no file of contexts: neither XDG_CONFIG_HOME nor HOME is set")]
    NoHome,
    /// The file cannot be read or written.
    #[error("{}: cannot be {what}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The file is invalid.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is invalid.
        reason: String,
    },
    /// There is no context of that name.
    #[error("there is no context {name} in {}; {there}", path.display())]
    Unknown {
        /// The name as typed.
        name: String,
        /// The file.
        path: PathBuf,
        /// A list of the existing ones.
        there: String,
        /// Whether the command was about this context.
        is_asked_for: bool,
    },
}

impl ContextError {
    /// The exit code of the error.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Unknown { is_asked_for: true, .. } => ExitCode::NotFound,
            Self::File { what: "written", .. } => ExitCode::Failed,
            Self::NoHome | Self::File { .. } | Self::Invalid { .. } | Self::Unknown { .. } => {
                ExitCode::Usage
            }
        }
    }
}

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contexts {
    current: Option<String>,
    #[serde(default)]
    context: BTreeMap<String, ContextEntry>,
}

/// A named broker.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContextEntry {
    broker: String,
}

/// Returns the address of the chosen broker.
pub(crate) fn resolve_address(place: &BrokerChoice) -> Result<String, ContextError> {
    match place {
        BrokerChoice::Address(address) => Ok(address.clone()),
        BrokerChoice::Context(name) => {
            let path = contexts_path().ok_or(ContextError::NoHome)?;
            Ok(read(&path)?.find(name, &path, false)?.broker.clone())
        }
        BrokerChoice::Unspecified => {
            let Some(path) = contexts_path() else { return Ok(DEFAULT_BROKER.to_owned()) };
            let contexts = read(&path)?;
            match &contexts.current {
                Some(name) => Ok(contexts.find(name, &path, false)?.broker.clone()),
                None => Ok(DEFAULT_BROKER.to_owned()),
            }
        }
    }
}

/// The names of all contexts; none without a readable file.
pub(crate) fn context_names() -> Vec<String> {
    let contexts = contexts_path().and_then(|path| read(&path).ok()).unwrap_or_default();
    contexts.context.into_keys().collect()
}

/// Runs the command.
pub(crate) fn run(
    command: &ContextCommand,
    place: &BrokerChoice,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let path = contexts_path().ok_or(ContextError::NoHome)?;
    let contexts = read(&path)?;
    match command {
        ContextCommand::List => {
            let mut listing = ListWriter::new(out, look, view());
            let current = contexts.current.as_deref();
            let rows: Vec<ContextRow> =
                contexts.context.iter().map(|it| ContextRow::new(it, current)).collect();
            listing.add(&rows)?;
            let hint = "`gridctl context --help` shows the format";
            Ok(listing.finish(&format!("no contexts in {}; {hint}", path.display()))?)
        }
        ContextCommand::Show { name } => {
            let current = contexts.current.as_deref();
            let chosen = match place {
                BrokerChoice::Context(name) => Some(name.as_str()),
                BrokerChoice::Address(_) | BrokerChoice::Unspecified => current,
            };
            let Some(name) = name.as_deref().or(chosen) else {
                let row = ContextRow { broker: resolve_address(place)?, ..ContextRow::default() };
                return Ok(ListWriter::write_one(out, look, view(), &row)?);
            };
            let named = contexts.find(name, &path, true)?;
            let row = ContextRow::new((&name.to_owned(), named), current);
            Ok(ListWriter::write_one(out, look, view(), &row)?)
        }
        ContextCommand::Use { name } => {
            let named = contexts.find(name, &path, true)?;
            set_current(&path, name)?;
            if look.format.is_human_readable() {
                writeln!(out, "the current broker is {} ({name})", named.broker)?;
                return Ok(out.flush()?);
            }
            let row = ContextRow::new((name, named), Some(name));
            if look.is_quiet { Ok(()) } else { Ok(ListWriter::write_one(out, look, view(), &row)?) }
        }
    }
}

impl Contexts {
    fn find(
        &self,
        name: &str,
        path: &Path,
        is_asked_for: bool,
    ) -> Result<&ContextEntry, ContextError> {
        self.context.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.context.keys().map(String::as_str).collect();
            let there = match names.as_slice() {
                [] => "`gridctl context --help` shows the format".to_owned(),
                names => format!("its contexts are {}", names.join(", ")),
            };
            let (name, path) = (name.to_owned(), path.to_owned());
            ContextError::Unknown { name, path, there, is_asked_for }
        })
    }
}

/// The path of the file. An empty variable counts as unset.
fn contexts_path() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(folder.join(FILE))
}

fn read_text(path: &Path) -> Result<String, ContextError> {
    use std::io::Read;
    let failed = |source| ContextError::File { path: path.to_owned(), what: "read", source };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn read(path: &Path) -> Result<Contexts, ContextError> {
    parse(path, &read_text(path)?)
}

fn parse(path: &Path, text: &str) -> Result<Contexts, ContextError> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
        let line = line.map_or_else(String::new, |line| format!("line {line}: "));
        let reason = format!("{line}{}", error.message().trim());
        ContextError::Invalid { path: path.to_owned(), reason }
    })
}

/// Writes the line that names the current context.
fn set_current(path: &Path, name: &str) -> Result<(), ContextError> {
    let failed = |source| ContextError::File { path: path.to_owned(), what: "written", source };
    let changed = with_current(&read_text(path)?, name);
    // The new text is parsed first: a file that cannot be changed by line stays unchanged.
    if parse(path, &changed)?.current.as_deref() != Some(name) {
        let reason = "write `current = NAME` on its own line above the contexts".to_owned();
        return Err(ContextError::Invalid { path: path.to_owned(), reason });
    }
    let partial = path.with_extension("toml.partial");
    std::fs::write(&partial, changed).map_err(failed)?;
    std::fs::rename(&partial, path).map_err(failed)
}

fn with_current(text: &str, name: &str) -> String {
    let current = format!("current = {}", toml::Value::String(name.to_owned()));
    let is_key = |line: &str| {
        line.trim_start().strip_prefix("current").is_some_and(|it| it.trim_start().starts_with('='))
    };
    let head = text.lines().take_while(|line| !line.trim_start().starts_with('['));
    let index = head.clone().position(is_key);
    let mut lines: Vec<&str> = text.lines().collect();
    match index {
        Some(at) => lines[at] = &current,
        None => lines.insert(0, &current),
    }
    lines.join("\n") + "\n"
}

/// A row of the list of contexts.
#[derive(Debug, Default)]
struct ContextRow {
    name: String,
    broker: String,
    is_current: bool,
}

impl ContextRow {
    fn new((name, named): (&String, &ContextEntry), current: Option<&str>) -> Self {
        let is_current = current == Some(name);
        Self { name: name.clone(), broker: named.broker.clone(), is_current }
    }
}

const COLUMNS: &[Column] = &[
    Column { title: "current", width_min: 7, is_right_aligned: false, drop_priority: 1 },
    Column { title: "context", width_min: 12, is_right_aligned: false, drop_priority: 0 },
    Column { title: "broker", width_min: 0, is_right_aligned: false, drop_priority: 0 },
];

fn view() -> ItemView<ContextRow> {
    let cells = |row: &ContextRow, _: &OutputOptions| {
        let mark = if row.is_current { "*" } else { "" };
        let name = if row.name.is_empty() { "-" } else { &row.name };
        vec![TableCell::new(mark), TableCell::new(name), TableCell::new(&row.broker)]
    };
    let form = |row: &ContextRow| OutputObject {
        kind: "context",
        name: row.name.clone(),
        fields: vec![
            ("name", (&row.name).into()),
            ("broker", (&row.broker).into()),
            ("current", row.is_current.into()),
        ],
    };
    ItemView { columns: COLUMNS, cells, to_object: form }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switching_changes_one_line_and_leaves_the_rest() {
        let file = "# ours\ncurrent = \"a\" # for now\n\n[context.a]\nbroker = \"h:1\"\n";
        let changed = "# ours\ncurrent = \"b\"\n\n[context.a]\nbroker = \"h:1\"\n";
        assert_eq!(with_current(file, "b"), changed);
        let without = "[context.current]\nbroker = \"h:1\"\n";
        assert_eq!(with_current(without, "current"), format!("current = \"current\"\n{without}"));
    }

    #[test]
    fn errors_name_their_line() {
        let path = Path::new("contexts.toml");
        for (text, expected) in [
            ("current = \"a\"\n[context.a]\nbrokr = \"h:1\"\n", "contexts.toml: line 3: unknown"),
            ("[context.a]\n", "missing field `broker`"),
            ("current = 1\n", "line 1: invalid type"),
        ] {
            let message = parse(path, text).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
