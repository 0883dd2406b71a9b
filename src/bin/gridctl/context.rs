//! `gridctl context ...`: named brokers in a file of the user.
//!
//! Guarantees that the file is read only when needed, that an error in it is reported with path and
//! line, and that no secret is shown. Uses no connection.

mod file;

use std::io::Write;
use std::path::PathBuf;

use grid_broker::client::DEFAULT_BROKER;
use grid_broker::exit_code::ExitCode;

use self::file::{ContextEntry, Contexts};
use crate::access;
use crate::args::{BrokerChoice, ContextCommand};
use crate::credentials::BrokerTrust;
use crate::error::CliError;
use crate::fields::OutputObject;
use crate::output::{ItemView, ListWriter, OutputOptions};
use crate::private_file::PrivateFileError;
use crate::table::{Column, TableCell};

/// Why the named brokers are not available.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContextError {
    /// There is no home directory.
    #[error("no file of contexts: neither XDG_CONFIG_HOME nor HOME is set")]
    NoHome,
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The file is invalid.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is invalid.
        reason: String,
    },
    /// The name is that of another broker.
    #[error("context {name} is the broker at {broker}: choose a name for this one by --name")]
    Taken {
        /// The name.
        name: String,
        /// The address of that broker.
        broker: String,
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
            Self::File(PrivateFileError::Write(_)) => ExitCode::Failed,
            Self::NoHome
            | Self::File(_)
            | Self::Invalid { .. }
            | Self::Taken { .. }
            | Self::Unknown { .. } => ExitCode::Usage,
        }
    }
}

/// A broker and its context, if it has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NamedBroker {
    /// The name of the context.
    pub(crate) name: Option<String>,
    /// The address of the broker.
    pub(crate) address: String,
    /// How the broker is recognised.
    pub(crate) trust: BrokerTrust,
}

impl NamedBroker {
    fn new(name: &str, entry: &ContextEntry) -> Self {
        let (name, address) = (Some(name.to_owned()), entry.broker.clone());
        Self { name, address, trust: entry.trust() }
    }

    fn unnamed(address: &str) -> Self {
        Self { address: address.to_owned(), ..Self::default() }
    }
}

/// Returns the chosen broker. An address that was given uses the context that has it: the current
/// one, or the only one.
///
/// # Errors
///
/// If the file of contexts is needed and cannot be used, or lacks the context.
pub(crate) fn resolve(place: &BrokerChoice) -> Result<NamedBroker, ContextError> {
    match place {
        BrokerChoice::Address(address) => {
            // The file is not needed for a broker that has an address, so it may be invalid.
            let contexts = file::path().and_then(|path| file::read(&path).ok()).unwrap_or_default();
            Ok(contexts.at_address(address))
        }
        BrokerChoice::Context(name) => {
            let path = file::path().ok_or(ContextError::NoHome)?;
            Ok(NamedBroker::new(name, file::read(&path)?.find(name, &path, false)?))
        }
        BrokerChoice::Unspecified => {
            let Some(path) = file::path() else { return Ok(NamedBroker::unnamed(DEFAULT_BROKER)) };
            let contexts = file::read(&path)?;
            match &contexts.current {
                Some(name) => Ok(NamedBroker::new(name, contexts.find(name, &path, false)?)),
                None => Ok(contexts.at_address(DEFAULT_BROKER)),
            }
        }
    }
}

/// Returns the address of the chosen broker.
///
/// # Errors
///
/// As [`resolve`].
pub(crate) fn resolve_address(place: &BrokerChoice) -> Result<String, ContextError> {
    match place {
        BrokerChoice::Address(address) => Ok(address.clone()),
        BrokerChoice::Context(_) | BrokerChoice::Unspecified => Ok(resolve(place)?.address),
    }
}

/// The folder of the file; `None` without a home directory.
pub(crate) fn folder() -> Option<PathBuf> {
    Some(file::path()?.parent()?.to_owned())
}

/// The name under which a login at `address` is stored: as requested, or that of the context which
/// has the address, or the host.
///
/// # Errors
///
/// If the host is the name of another broker.
pub(crate) fn name_for_login(
    requested: Option<&str>,
    address: &str,
) -> Result<String, ContextError> {
    if let Some(name) = requested {
        return Ok(name.to_owned());
    }
    let path = file::path().ok_or(ContextError::NoHome)?;
    let contexts = file::read(&path)?;
    if let Some(name) = contexts.at_address(address).name {
        return Ok(name);
    }
    let host = host_of(address).to_owned();
    match contexts.context.get(&host) {
        Some(entry) => {
            let broker = entry.broker.clone();
            Err(ContextError::Taken { name: host, broker })
        }
        None => Ok(host),
    }
}

/// The broker of this context, if the context has this address.
pub(crate) fn known_broker(name: &str, address: &str) -> Option<NamedBroker> {
    let contexts = file::read(&file::path()?).ok()?;
    let entry =
        contexts.context.get(name).filter(|entry| is_same_broker(address, &entry.broker))?;
    Some(NamedBroker::new(name, entry))
}

/// Whether the address as typed is that of a context; TLS may be left out, but not be turned off.
fn is_same_broker(typed: &str, stored: &str) -> bool {
    let bare = |address: &str| {
        let address = address.trim_end_matches('/').to_ascii_lowercase();
        address.strip_prefix("https://").map_or(address.clone(), ToOwned::to_owned)
    };
    bare(typed) == bare(stored)
}

/// The host of an address: `grid` of `https://grid:7443`.
fn host_of(address: &str) -> &str {
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Stores a context, and makes it the current one.
///
/// # Errors
///
/// If the file cannot be written.
pub(crate) fn store(name: &str, address: &str, trust: &BrokerTrust) -> Result<(), ContextError> {
    let path = file::path().ok_or(ContextError::NoHome)?;
    file::set_context(&path, name, &ContextEntry::new(address, trust))
}

/// The names of all contexts; none without a readable file.
pub(crate) fn context_names() -> Vec<String> {
    let contexts = file::path().and_then(|path| file::read(&path).ok()).unwrap_or_default();
    contexts.context.into_keys().collect()
}

/// Runs the command.
pub(crate) fn run(
    command: &ContextCommand,
    place: &BrokerChoice,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let path = file::path().ok_or(ContextError::NoHome)?;
    let contexts = file::read(&path)?;
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
            file::set_current(&path, name)?;
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
    /// The broker at this address, with its context: the current one, or the only one.
    fn at_address(&self, address: &str) -> NamedBroker {
        let named = |(name, entry): (&String, &ContextEntry)| NamedBroker::new(name, entry);
        let fitting =
            || self.context.iter().filter(|(_, entry)| is_same_broker(address, &entry.broker));
        let current = fitting().find(|(name, _)| self.current.as_ref() == Some(*name));
        let only = fitting().next().filter(|_| fitting().count() == 1);
        current.or(only).map_or_else(|| NamedBroker::unnamed(address), named)
    }
}

/// A row of the list of contexts.
#[derive(Debug, Default)]
struct ContextRow {
    name: String,
    broker: String,
    is_current: bool,
    pin: Option<String>,
    ca_file: Option<String>,
    /// The kind of the stored credential.
    credential: Option<&'static str>,
}

impl ContextRow {
    fn new((name, named): (&String, &ContextEntry), current: Option<&str>) -> Self {
        let is_current = current == Some(name);
        let credential = access::store(name, &named.broker, &named.trust());
        Self {
            name: name.clone(),
            broker: named.broker.clone(),
            is_current,
            pin: named.pin.clone(),
            ca_file: named.ca_file.as_ref().map(|path| path.display().to_string()),
            credential: credential.ok().and_then(|it| it.stored_kind()),
        }
    }
}

const COLUMNS: &[Column] = &[
    Column { title: "current", width_min: 7, is_right_aligned: false, drop_priority: 1 },
    Column { title: "context", width_min: 12, is_right_aligned: false, drop_priority: 0 },
    Column { title: "login", width_min: 5, is_right_aligned: false, drop_priority: 2 },
    Column { title: "broker", width_min: 0, is_right_aligned: false, drop_priority: 0 },
];

fn view() -> ItemView<ContextRow> {
    let cells = |row: &ContextRow, _: &OutputOptions| {
        let mark = if row.is_current { "*" } else { "" };
        let name = if row.name.is_empty() { "-" } else { &row.name };
        let login = row.credential.unwrap_or("-");
        vec![
            TableCell::new(mark),
            TableCell::new(name),
            TableCell::new(login),
            TableCell::new(&row.broker),
        ]
    };
    let form = |row: &ContextRow| OutputObject {
        kind: "context",
        name: row.name.clone(),
        fields: vec![
            ("name", (&row.name).into()),
            ("broker", (&row.broker).into()),
            ("current", row.is_current.into()),
            ("pin", row.pin.clone().into()),
            ("ca_file", row.ca_file.clone().into()),
            ("credential", row.credential.map(ToOwned::to_owned).into()),
        ],
    };
    ItemView { columns: COLUMNS, cells, to_object: form }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(address: &str) -> ContextEntry {
        ContextEntry::new(address, &BrokerTrust::System)
    }

    #[test]
    fn an_address_finds_its_context_unless_several_have_it() {
        let mut contexts = Contexts::default();
        contexts.context.insert("a".to_owned(), entry("h:1"));
        assert_eq!(contexts.at_address("h:1").name.as_deref(), Some("a"));
        assert_eq!(contexts.at_address("h:2"), NamedBroker::unnamed("h:2"));
        contexts.context.insert("b".to_owned(), entry("h:1"));
        assert_eq!(contexts.at_address("h:1").name, None);
        contexts.current = Some("b".to_owned());
        assert_eq!(contexts.at_address("h:1").name.as_deref(), Some("b"));
    }

    #[test]
    fn an_address_with_tls_is_found_without_its_scheme() {
        for (typed, stored, expected) in [
            ("h:1", "h:1", true),
            ("h:1", "https://h:1", true),
            ("https://H:1/", "h:1", true),
            ("http://h:1", "https://h:1", false),
            ("http://h:1", "h:1", false),
            ("h:1", "h:2", false),
        ] {
            assert_eq!(is_same_broker(typed, stored), expected, "{typed} {stored}");
        }
    }

    #[test]
    fn a_context_is_named_by_its_host() {
        for (address, host) in [
            ("grid.example.org:7443", "grid.example.org"),
            ("https://grid:7443", "grid"),
            ("[::1]:7443", "::1"),
            ("10.0.0.5:1", "10.0.0.5"),
        ] {
            assert_eq!(host_of(address), host);
        }
    }
}
