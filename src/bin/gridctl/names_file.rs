//! Reads the file of `gridctl appliance enrol --many`: one name per line, with its class.
//!
//! Guarantees that all lines are valid, or an error that lists the invalid ones. Does not know which
//! appliances and classes exist.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use grid_broker::grid::values::id::ApplianceName;
use grid_broker::show::count::format_count;
use grid_broker::show::escape::excerpt;

/// Maximum number of names: the broker keeps as many tokens.
const NAMES_MAX: usize = 100_000;

/// Largest file, in bytes: names and classes are at most 128 bytes each.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// Maximum number of invalid lines in an error.
const LINES_LISTED_MAX: usize = 20;

/// An appliance to enrol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedLine {
    /// The name.
    pub(crate) name: String,
    /// Its class, if the line has one.
    pub(crate) class: Option<String>,
}

/// Why a file of names is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NamesFileError {
    /// It cannot be read.
    #[error("{}: cannot be read: {source}", ShownPath(path))]
    Read {
        /// The file; `-` is stdin.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is too large, or has too many names.
    #[error("{}: at most {NAMES_MAX} names and {} MiB are read: split it", ShownPath(path), FILE_BYTES_MAX >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It has no names.
    #[error("{}: there are no names in it", ShownPath(path))]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Lines are invalid.
    #[error("{}: {} invalid; nothing was sent\n{}", ShownPath(path), lines_are(*.count), lines.join("\n"))]
    Lines {
        /// The file.
        path: PathBuf,
        /// How many lines are invalid.
        count: usize,
        /// The first of them, with the reasons.
        lines: Vec<String>,
    },
}

/// `1 line is` or `3 lines are`.
fn lines_are(count: usize) -> String {
    let verb = if count == 1 { "is" } else { "are" };
    format!("{} {verb}", format_count(count as u64, "line"))
}

/// A path for people; `-` is stdin.
struct ShownPath<'a>(&'a Path);

impl fmt::Display for ShownPath<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == Path::new("-") { out.write_str("stdin") } else { self.0.display().fmt(out) }
    }
}

/// Reads the names.
///
/// # Errors
///
/// If the file cannot be read, or any line is invalid.
pub(crate) fn read(path: &Path) -> Result<Vec<NamedLine>, NamesFileError> {
    let failed = |source| NamesFileError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let mut input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(path).map_err(failed)?)
    };
    input.by_ref().take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(NamesFileError::TooLarge { path: path.to_owned() });
    }
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Vec<NamedLine>, NamesFileError> {
    let (mut names, mut invalid) = (Vec::new(), Vec::new());
    let mut lines_of_names = HashMap::new();
    for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match parse_line(line) {
            Ok(named) => {
                let first = *lines_of_names.entry(named.name.clone()).or_insert(number);
                if first == number {
                    names.push(named);
                } else {
                    let name = named.name;
                    invalid.push(format!("  line {number}: {name} is also in line {first}"));
                }
            }
            Err(reason) => invalid.push(format!("  line {number}: {reason}")),
        }
    }
    let path = path.to_owned();
    if !invalid.is_empty() {
        let (count, mut lines) = (invalid.len(), invalid);
        if count > LINES_LISTED_MAX {
            lines.truncate(LINES_LISTED_MAX);
            lines.push(format!("  and {} more", count - LINES_LISTED_MAX));
        }
        return Err(NamesFileError::Lines { path, count, lines });
    }
    match names.len() {
        0 => Err(NamesFileError::Empty { path }),
        1..=NAMES_MAX => Ok(names),
        _ => Err(NamesFileError::TooLarge { path }),
    }
}

fn parse_line(line: &str) -> Result<NamedLine, String> {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or_default();
    let class = words.next().map(ToOwned::to_owned);
    if words.next().is_some() {
        return Err(format!("`{}` has more words than a name and a class", excerpt(line)));
    }
    match ApplianceName::new(name) {
        Ok(_) => Ok(NamedLine { name: name.to_owned(), class }),
        Err(invalid) => Err(format!("`{}` is not a name: {invalid}", excerpt(name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<NamedLine>, String> {
        parse(Path::new("names.txt"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_line_is_a_name_and_perhaps_a_class() {
        let names = parsed("# the shop\nshop:main.db1\n\n  web-1\tweb \r\n").unwrap();
        let line = |name: &str, class: Option<&str>| NamedLine {
            name: name.to_owned(),
            class: class.map(ToOwned::to_owned),
        };
        assert_eq!(names, [line("shop:main.db1", None), line("web-1", Some("web"))]);
    }

    #[test]
    fn all_invalid_lines_are_listed_with_their_numbers() {
        let error = parsed("db1\nd/b\ndb2 web now\ndb1\n\x1b[2J\n").unwrap_err();
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines[0], "names.txt: 4 lines are invalid; nothing was sent");
        assert!(lines[1].starts_with("  line 2: `d/b` is not a name: "), "{error}");
        assert_eq!(lines[2], "  line 3: `db2 web now` has more words than a name and a class");
        assert_eq!(lines[3], "  line 4: db1 is also in line 1");
        assert!(lines[4].starts_with("  line 5: `\\x1b[2J` is not a name"), "{error}");
        let many = "/\n".repeat(LINES_LISTED_MAX + 2);
        assert!(parsed(&many).unwrap_err().ends_with("\n  and 2 more"));
    }

    #[test]
    fn no_names_and_too_many_names_are_errors() {
        assert_eq!(parsed("# none\n").unwrap_err(), "names.txt: there are no names in it");
        let many: String = (0..=NAMES_MAX).map(|number| format!("db{number}\n")).collect();
        assert!(parsed(&many).unwrap_err().contains("at most 100000 names"));
        let missing = read(Path::new("/nonexistent/names")).unwrap_err().to_string();
        assert!(
            missing.starts_with("/nonexistent/names: cannot be read: No such file"),
            "{missing}"
        );
    }
}
