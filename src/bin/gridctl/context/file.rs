//! The file of contexts: named brokers, each with how it is recognised.
//!
//! Guarantees that a change concerns the lines of one key or one context and nothing else, that a file
//! that others can change is not used, and that a written one is the user's alone. Has no secrets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ContextError;
use crate::args::parse_pin;
use crate::credentials::BrokerTrust;
use crate::private_file::{self, Privacy};

/// Path of the file below the configuration directory.
const FILE: &str = "gridctl/contexts.toml";

/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The keys of a context, which a login writes.
const KEYS: [&str; 3] = ["broker", "pin", "ca_file"];

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contexts {
    pub(super) current: Option<String>,
    #[serde(default)]
    pub(super) context: BTreeMap<String, ContextEntry>,
}

/// A named broker.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContextEntry {
    pub(super) broker: String,
    pub(super) pin: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
}

impl ContextEntry {
    /// An entry for the broker at `address`.
    pub(super) fn new(address: &str, trust: &BrokerTrust) -> Self {
        let (pin, ca_file) = match trust {
            BrokerTrust::Pin(pin) => (Some(pin.to_string()), None),
            BrokerTrust::CaFile(path) => (None, Some(path.clone())),
            BrokerTrust::System => (None, None),
        };
        Self { broker: address.to_owned(), pin, ca_file }
    }

    /// How its broker is recognised. The file was validated, so a pin is one.
    pub(super) fn trust(&self) -> BrokerTrust {
        match (self.pin.as_deref().and_then(parse_pin), &self.ca_file) {
            (Some(pin), _) => BrokerTrust::Pin(pin),
            (None, Some(path)) => BrokerTrust::CaFile(path.clone()),
            (None, None) => BrokerTrust::System,
        }
    }

    fn invalid(&self) -> Option<&'static str> {
        let pin = self.pin.as_deref();
        if pin.is_some_and(|pin| parse_pin(pin).is_none()) {
            return Some("`pin` has 64 hexadecimal digits");
        }
        (pin.is_some() && self.ca_file.is_some())
            .then_some("`pin` and `ca_file` both say how to recognise the broker: use one of them")
    }
}

impl Contexts {
    /// Finds a context.
    ///
    /// # Errors
    ///
    /// If there is none of that name.
    pub(super) fn find(
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
pub(super) fn path() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(folder.join(FILE))
}

/// Reads and validates the file; without one, there are no contexts.
///
/// # Errors
///
/// If others can change it, if a login wrote it and others can read it, or if it is invalid.
pub(super) fn read(path: &Path) -> Result<Contexts, ContextError> {
    parse(path, &read_text(path)?)
}

fn read_text(path: &Path) -> Result<String, ContextError> {
    let read = |privacy| match private_file::read(path, FILE_BYTES_MAX, privacy) {
        Err(error) if error.is_missing() => Ok(String::new()),
        read => read,
    };
    let text = read(Privacy::Public)?;
    // One that somebody wrote has addresses only. A login writes it 0600, and adds whom to trust.
    let has_login = parse(path, &text)
        .is_ok_and(|it| it.context.values().any(|it| it.pin.is_some() || it.ca_file.is_some()));
    if has_login { Ok(read(Privacy::Secret)?) } else { Ok(text) }
}

fn parse(path: &Path, text: &str) -> Result<Contexts, ContextError> {
    let contexts: Contexts = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
        let line = line.map_or_else(String::new, |line| format!("line {line}: "));
        let reason = format!("{line}{}", error.message().trim());
        ContextError::Invalid { path: path.to_owned(), reason }
    })?;
    for (name, entry) in &contexts.context {
        if let Some(reason) = entry.invalid() {
            let reason = format!("context {name}: {reason}");
            return Err(ContextError::Invalid { path: path.to_owned(), reason });
        }
    }
    Ok(contexts)
}

/// Writes the line that names the current context.
///
/// # Errors
///
/// If the file cannot be changed by line, or cannot be written.
pub(super) fn set_current(path: &Path, name: &str) -> Result<(), ContextError> {
    let changed = with_current(&read_text(path)?, name);
    // The new text is parsed first: a file that cannot be changed by line stays unchanged.
    if parse(path, &changed)?.current.as_deref() != Some(name) {
        let reason = "write `current = NAME` on its own line above the contexts".to_owned();
        return Err(ContextError::Invalid { path: path.to_owned(), reason });
    }
    Ok(private_file::write(path, &changed)?)
}

/// Writes a context, and makes it the current one.
///
/// # Errors
///
/// If the file cannot be changed by line, or cannot be written.
pub(super) fn set_context(
    path: &Path,
    name: &str,
    entry: &ContextEntry,
) -> Result<(), ContextError> {
    let changed = with_current(&with_context(&read_text(path)?, name, entry), name);
    let parsed = parse(path, &changed)?;
    if parsed.context.get(name) != Some(entry) || parsed.current.as_deref() != Some(name) {
        let reason = format!("write context {name} as a table of its own: [context.{name}]");
        return Err(ContextError::Invalid { path: path.to_owned(), reason });
    }
    Ok(private_file::write(path, &changed)?)
}

fn is_key(line: &str, key: &str) -> bool {
    let rest = line.trim_start().strip_prefix(key);
    rest.is_some_and(|it| it.trim_start().starts_with('='))
}

fn with_current(text: &str, name: &str) -> String {
    let current = format!("current = {}", quoted(name));
    let head = text.lines().take_while(|line| !line.trim_start().starts_with('['));
    let index = head.clone().position(|line| is_key(line, "current"));
    let mut lines: Vec<&str> = text.lines().collect();
    match index {
        Some(at) => lines[at] = &current,
        None => lines.insert(0, &current),
    }
    lines.join("\n") + "\n"
}

/// A string in double quotes, as a key needs them too. JSON escapes as TOML does.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Replaces the keys of a context, or adds it at the end.
fn with_context(text: &str, name: &str, entry: &ContextEntry) -> String {
    let mut own = vec![format!("broker = {}", quoted(&entry.broker))];
    own.extend(entry.pin.iter().map(|pin| format!("pin = {}", quoted(pin))));
    let ca_file = entry.ca_file.iter().map(|path| path.display().to_string());
    own.extend(ca_file.map(|path| format!("ca_file = {}", quoted(&path))));
    let headers = [
        format!("context.{name}"),
        format!("context.{}", quoted(name)),
        format!("context.'{name}'"),
    ];
    let is_header = |line: &str| {
        let line = line.trim();
        let inner = line.strip_prefix('[').and_then(|it| it.split_once(']'));
        inner.is_some_and(|(inner, _)| headers.iter().any(|it| *it == inner.trim()))
    };
    let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    let Some(at) = lines.iter().position(|line| is_header(line)) else {
        if lines.last().is_some_and(|last| !last.is_empty()) {
            lines.push(String::new());
        }
        lines.push(format!("[{}]", headers[1]));
        lines.extend(own);
        return lines.join("\n") + "\n";
    };
    let rest = lines.split_off(at + 1);
    let end = rest.iter().position(|line| line.trim_start().starts_with('[')).unwrap_or(rest.len());
    lines.extend(own);
    let is_kept = |line: &&String| !KEYS.iter().any(|key| is_key(line, key));
    lines.extend(rest[..end].iter().filter(is_kept).cloned());
    lines.extend(rest[end..].iter().cloned());
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use grid_broker::grid::values::identity::KeyHash;
    use tempfile::TempDir;

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
            ("[context.a]\nbroker = \"h:1\"\npin = \"12\"\n", "context a: `pin` has 64 hex"),
        ] {
            let message = parse(path, text).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn a_login_changes_the_lines_of_its_context_and_leaves_the_rest() {
        let pin = KeyHash([0xab; 32]);
        let entry = ContextEntry::new("h:2", &BrokerTrust::Pin(pin));
        let lines = format!("broker = \"h:2\"\npin = \"{pin}\"\n");
        let before = "# ours\n\n[context.a] # first\n# why\nbroker = \"h:1\"\nca_file = \"ca.pem\"\n\n[context.b]\nbroker = \"h:9\"\n";
        let after = format!(
            "# ours\n\n[context.a] # first\n{lines}# why\n\n[context.b]\nbroker = \"h:9\"\n"
        );
        assert_eq!(with_context(before, "a", &entry), after);
        let added = with_context(before, "c", &entry);
        assert_eq!(added, format!("{before}\n[context.\"c\"]\n{lines}"));
        assert_eq!(with_context(&added, "c", &entry), added, "it is found again");
        assert_eq!(with_context("", "c", &entry), format!("[context.\"c\"]\n{lines}"));
    }

    #[test]
    fn a_stored_context_is_read_back_from_a_file_of_the_user_alone() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("gridctl/contexts.toml");
        let pin = BrokerTrust::Pin(KeyHash([0xab; 32]));
        let ca_file = BrokerTrust::CaFile("/etc/ca \"of us\".pem".into());
        for (name, trust) in
            [("a b", &pin), ("a.b", &ca_file), ("\"'", &BrokerTrust::System), ("a b", &ca_file)]
        {
            set_context(&path, name, &ContextEntry::new("h:1", trust)).unwrap();
            let contexts = read(&path).unwrap();
            assert_eq!(contexts.current.as_deref(), Some(name));
            assert_eq!(contexts.context[name].trust(), *trust);
        }
        assert_eq!(read(&path).unwrap().context.len(), 3);
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(
            error.contains("others can read it (mode 644)") && error.contains("chmod 600"),
            "{error}"
        );
        fs::write(&path, "[context.a]\nbroker = \"h:1\"\n").unwrap();
        assert!(read(&path).is_ok(), "a file without a login is as it was before there were any");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("others can change it (mode 666)"));
    }

    #[test]
    fn a_context_that_is_no_table_of_its_own_is_left_alone() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("contexts.toml");
        let text = "context.a = { broker = \"h:1\" }\n";
        fs::write(&path, text).unwrap();
        let entry = ContextEntry::new("h:2", &BrokerTrust::System);
        let error = set_context(&path, "a", &entry).unwrap_err().to_string();
        assert!(error.contains("contexts.toml: "), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}
