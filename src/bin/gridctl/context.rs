//! `gridctl context ...`: brokers by name, in a small file of the user's.
//!
//! Guarantees that the file is only read when it is needed, that a mistake in it is told with its
//! path and line, and that to use another context changes one line of it and nothing else. Asks no
//! broker.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use grid_broker::client::DEFAULT_BROKER;
use grid_broker::exit_code::ExitCode;

use crate::args::{ContextCommand, EndpointChoice};
use crate::error::CliError;
use crate::fields::FieldObject;
use crate::output::{ListWriter, OutputOptions, View};
use crate::table::{Column, TableCell};

/// Where the file lies below the folder of settings.
const FILE: &str = "gridctl/contexts.toml";

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why the named brokers are not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContextError {
    /// There is no home to look in.
    #[error("there is no file of contexts: neither XDG_CONFIG_HOME nor HOME is set")]
    NoHome,
    /// The file can't be read or written.
    #[error("{}: can't be {what}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// `read` or `written`.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The file is wrong.
    #[error("{}: {reason}", path.display())]
    Wrong {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No context is called so.
    #[error("there is no context {name} in {}; {there}", path.display())]
    Unknown {
        /// As typed.
        name: String,
        /// The file.
        path: PathBuf,
        /// Which there are.
        there: String,
        /// Whether it was asked for itself.
        is_asked_for: bool,
    },
}

impl ContextError {
    /// The exit code that says the same.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Unknown { is_asked_for: true, .. } => ExitCode::NotFound,
            Self::File { what: "written", .. } => ExitCode::Failed,
            Self::NoHome | Self::File { .. } | Self::Wrong { .. } | Self::Unknown { .. } => {
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
    context: BTreeMap<String, Named>,
}

/// A named broker.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    broker: String,
}

/// Where the broker is.
pub(crate) fn address(place: &EndpointChoice) -> Result<String, ContextError> {
    match place {
        EndpointChoice::Address(address) => Ok(address.clone()),
        EndpointChoice::Context(name) => {
            let path = path().ok_or(ContextError::NoHome)?;
            Ok(read(&path)?.find(name, &path, false)?.broker.clone())
        }
        EndpointChoice::Default => {
            let Some(path) = path() else { return Ok(DEFAULT_BROKER.to_owned()) };
            let contexts = read(&path)?;
            match &contexts.current {
                Some(name) => Ok(contexts.find(name, &path, false)?.broker.clone()),
                None => Ok(DEFAULT_BROKER.to_owned()),
            }
        }
    }
}

/// The names that there are; none if there is no file to read.
pub(crate) fn names() -> Vec<String> {
    let contexts = path().and_then(|path| read(&path).ok()).unwrap_or_default();
    contexts.context.into_keys().collect()
}

/// Does what is asked.
pub(crate) fn run(
    command: &ContextCommand,
    place: &EndpointChoice,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let path = path().ok_or(ContextError::NoHome)?;
    let contexts = read(&path)?;
    match command {
        ContextCommand::List => {
            let mut listing = ListWriter::new(out, look, shape());
            let current = contexts.current.as_deref();
            let rows: Vec<ContextRow> =
                contexts.context.iter().map(|it| ContextRow::new(it, current)).collect();
            listing.add(&rows)?;
            let how = "`gridctl context --help` shows how one is written";
            Ok(listing.finish(&format!("no contexts are in {}; {how}", path.display()))?)
        }
        ContextCommand::Show { name } => {
            let current = contexts.current.as_deref();
            let chosen = match place {
                EndpointChoice::Context(name) => Some(name.as_str()),
                EndpointChoice::Address(_) | EndpointChoice::Default => current,
            };
            let Some(name) = name.as_deref().or(chosen) else {
                let row = ContextRow { broker: address(place)?, ..ContextRow::default() };
                return Ok(ListWriter::one(out, look, shape(), &row)?);
            };
            let named = contexts.find(name, &path, true)?;
            let row = ContextRow::new((&name.to_owned(), named), current);
            Ok(ListWriter::one(out, look, shape(), &row)?)
        }
        ContextCommand::Use { name } => {
            let named = contexts.find(name, &path, true)?;
            use_from_now_on(&path, name)?;
            if look.format.is_for_people() {
                writeln!(out, "{} is asked from now on ({name})", named.broker)?;
                return Ok(out.flush()?);
            }
            let row = ContextRow::new((name, named), Some(name));
            if look.quiet { Ok(()) } else { Ok(ListWriter::one(out, look, shape(), &row)?) }
        }
    }
}

impl Contexts {
    fn find(&self, name: &str, path: &Path, is_asked_for: bool) -> Result<&Named, ContextError> {
        self.context.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.context.keys().map(String::as_str).collect();
            let there = match names.as_slice() {
                [] => "`gridctl context --help` shows how one is written".to_owned(),
                names => format!("it has {}", names.join(", ")),
            };
            let (name, path) = (name.to_owned(), path.to_owned());
            ContextError::Unknown { name, path, there, is_asked_for }
        })
    }
}

/// The file's path. A variable that is empty is as good as unset.
fn path() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(folder.join(FILE))
}

fn text(path: &Path) -> Result<String, ContextError> {
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
    parsed(path, &text(path)?)
}

fn parsed(path: &Path, text: &str) -> Result<Contexts, ContextError> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
        let line = line.map_or_else(String::new, |line| format!("line {line}: "));
        let reason = format!("{line}{}", error.message().trim());
        ContextError::Wrong { path: path.to_owned(), reason }
    })
}

/// Writes the one line that says which context is in use.
fn use_from_now_on(path: &Path, name: &str) -> Result<(), ContextError> {
    let failed = |source| ContextError::File { path: path.to_owned(), what: "written", source };
    let changed = with_current(&text(path)?, name);
    // What is written is read again first: a file that can't be changed by lines stays as it is.
    if parsed(path, &changed)?.current.as_deref() != Some(name) {
        let reason = "write `current = NAME` on a line of its own above the contexts".to_owned();
        return Err(ContextError::Wrong { path: path.to_owned(), reason });
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
    let place = head.clone().position(is_key);
    let mut lines: Vec<&str> = text.lines().collect();
    match place {
        Some(at) => lines[at] = &current,
        None => lines.insert(0, &current),
    }
    lines.join("\n") + "\n"
}

/// A context as it is shown.
#[derive(Debug, Default)]
struct ContextRow {
    name: String,
    broker: String,
    is_current: bool,
}

impl ContextRow {
    fn new((name, named): (&String, &Named), current: Option<&str>) -> Self {
        let is_current = current == Some(name);
        Self { name: name.clone(), broker: named.broker.clone(), is_current }
    }
}

const COLUMNS: &[Column] = &[
    Column { title: "current", least: 7, to_the_right: false, drop: 1 },
    Column { title: "context", least: 12, to_the_right: false, drop: 0 },
    Column { title: "broker", least: 0, to_the_right: false, drop: 0 },
];

fn shape() -> View<ContextRow> {
    let cells = |row: &ContextRow, _: &OutputOptions| {
        let mark = if row.is_current { "*" } else { "" };
        let name = if row.name.is_empty() { "-" } else { &row.name };
        vec![TableCell::new(mark), TableCell::new(name), TableCell::new(&row.broker)]
    };
    let form = |row: &ContextRow| FieldObject {
        entity: "context",
        name: row.name.clone(),
        fields: vec![
            ("name", (&row.name).into()),
            ("broker", (&row.broker).into()),
            ("current", row.is_current.into()),
        ],
    };
    View { columns: COLUMNS, cells, object: form }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_context_changes_one_line_and_keeps_the_rest() {
        let file = "# ours\ncurrent = \"a\" # for now\n\n[context.a]\nbroker = \"h:1\"\n";
        let changed = "# ours\ncurrent = \"b\"\n\n[context.a]\nbroker = \"h:1\"\n";
        assert_eq!(with_current(file, "b"), changed);
        let without = "[context.current]\nbroker = \"h:1\"\n";
        assert_eq!(with_current(without, "current"), format!("current = \"current\"\n{without}"));
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let path = Path::new("contexts.toml");
        for (text, words) in [
            ("current = \"a\"\n[context.a]\nbrokr = \"h:1\"\n", "contexts.toml: line 3: unknown"),
            ("[context.a]\n", "missing field `broker`"),
            ("current = 1\n", "line 1: invalid type"),
        ] {
            let said = parsed(path, text).unwrap_err().to_string();
            assert!(said.contains(words), "{text}: {said}");
        }
    }
}
