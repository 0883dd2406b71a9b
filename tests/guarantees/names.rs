//! Checks the names and the module docs of the sources: one type a name, and statements, no questions.
//!
//! Each check is tried on a bad sample too. Knows nothing of what a name means.

use std::collections::BTreeMap;

use super::repository::{Source, repository};

/// Names that stand for more than one type, each for a reason.
const SHARED: [&str; 0] = [];

/// The types that a line of code defines: the name behind `struct`, `enum`, `trait`, `union`, or an
/// alias that is not an associated type.
fn defined(line: &str) -> Option<&str> {
    let is_indented = line.starts_with([' ', '\t']);
    let mut rest = line.trim_start();
    if let Some(after) = rest.strip_prefix("pub") {
        let after = after.trim_start();
        rest = after.strip_prefix('(').and_then(|it| it.split_once(')')).map_or(after, |it| it.1);
    }
    let (keyword, name) = rest.trim_start().split_once(' ')?;
    let defines = match keyword {
        "struct" | "enum" | "trait" | "union" => true,
        "type" => !is_indented,
        _ => false,
    };
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
    let is_name = name.starts_with(|c: char| c.is_ascii_uppercase());
    (defines && is_name).then(|| &name[..end])
}

/// Names that more than one product file, or one file twice, defines as a type.
fn defined_twice(sources: &[Source]) -> Vec<String> {
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for source in sources.iter().filter(|source| source.is_product()) {
        let own_tests = source.text.find("#[cfg(test)]\nmod tests {");
        let code = &source.text[..own_tests.unwrap_or(source.text.len())];
        for name in code.lines().filter_map(defined) {
            places.entry(name).or_default().push(&source.path);
        }
    }
    places
        .into_iter()
        .filter(|(name, places)| places.len() > 1 && !SHARED.contains(name))
        .map(|(name, places)| format!("{name} is defined in {}", places.join(", ")))
        .collect()
}

/// A module doc whose first line asks.
fn asks(source: &Source) -> bool {
    let first = source.text.lines().next().unwrap_or_default();
    first.starts_with("//!") && first.trim_end().ends_with('?')
}

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

#[test]
fn a_type_has_one_name_and_a_name_one_type() {
    let twice = defined_twice(&repository());
    assert!(twice.is_empty(), "\n{}", twice.join("\n"));
    let two = |a: &str, b: &str| {
        defined_twice(&[source("src/a.rs", a), source("src/bin/b/c.rs", b)]).len()
    };
    assert_eq!(two("//! A\npub struct Place;\n", "//! B\npub(crate) enum Place {\n"), 1);
    assert_eq!(two("//! A\ntype Place = u8;\n", "//! B\nstruct Place<'a>(&'a str);\n"), 1);
    assert_eq!(two("//! A\nstruct Place;\n", "//! B\n// struct Place;\nstruct Places;\n"), 0);
    let associated = "//! A\nimpl A {\n    type Place = u8;\n}\n";
    assert_eq!(two(associated, "//! B\nstruct Place;\n"), 0);
    let tests =
        [source("src/a.rs", "struct Place;\n"), source("src/a/tests.rs", "struct Place;\n")];
    assert_eq!(defined_twice(&tests).len(), 0, "tests name what they need");
}

#[test]
fn the_first_line_of_a_module_doc_is_a_statement() {
    let asking: Vec<_> = repository().into_iter().filter(asks).map(|source| source.path).collect();
    assert!(asking.is_empty(), "these ask:\n{}", asking.join("\n"));
    assert!(asks(&source("src/a.rs", "//! What is it?\n//!\n//! A thing.\n")));
    assert!(!asks(&source("src/a.rs", "//! Answers what is asked.\n")));
}
