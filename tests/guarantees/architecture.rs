//! Checks that the documents about the code name what exists, and leave out no folder.
//!
//! ARCHITECTURE.md names every folder of `src/` in its tables, every path to a source file in it, in
//! CONTRIBUTING.md and in the decisions exists, and the index of the decisions lists every one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What can be read in one sitting.
const LINES_MAX: usize = 220;

/// Headings of the tables whose first column with code names folders and files of `src/`.
const TABLES: [&str; 2] = ["| folder | ", "| rank | "];

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("a folder of the repository");
    entries.map(|it| it.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
}

/// The texts between backticks.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// The folders and files of `src/` that the tables name.
fn named_in_tables(text: &str) -> BTreeSet<&str> {
    let mut named = BTreeSet::new();
    let mut is_in_table = false;
    for line in text.lines() {
        is_in_table =
            TABLES.iter().any(|it| line.starts_with(it)) || is_in_table && line.starts_with('|');
        let cell = line.split('|').find(|cell| cell.contains('`'));
        named.extend(cell.filter(|_| is_in_table).into_iter().flat_map(code_spans));
    }
    named
}

/// The paths to source files that a text names: two parts at least, as in `grid/mod.rs`.
fn paths(text: &str) -> BTreeSet<&str> {
    let is_of_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let is_path = |it: &&str| it.contains('/') && it.ends_with(".rs") && it.chars().all(is_of_path);
    code_spans(text).filter(is_path).collect()
}

/// Whether a path as documents write it exists: from the top, within `src/` or within its programs.
fn exists(path: &str) -> bool {
    ["", "src", "src/bin"].iter().any(|within| top().join(within).join(path).is_file())
}

fn documents() -> Vec<PathBuf> {
    let decisions = top().join("docs/decisions");
    let named = names_in(&decisions).into_iter().map(|name| decisions.join(name));
    ["ARCHITECTURE.md", "CONTRIBUTING.md"]
        .map(|it| top().join(it))
        .into_iter()
        .chain(named)
        .collect()
}

#[test]
fn the_architecture_names_every_folder_and_nothing_that_is_gone() {
    let text = read(&top().join("ARCHITECTURE.md"));
    let named = named_in_tables(&text);
    assert!(named.len() > 20, "the tables are found: {named:?}");
    let source = top().join("src");
    for name in &named {
        assert!(
            source.join(name).exists(),
            "ARCHITECTURE.md names src/{name}, which does not exist"
        );
    }
    let grid = source.join("grid");
    let folders = names_in(&source).into_iter().filter(|name| source.join(name).is_dir());
    let of_grid = names_in(&grid).into_iter().filter(|name| name != "tests");
    let of_grid = of_grid.filter(|name| grid.join(name).is_dir()).map(|it| format!("grid/{it}"));
    let folders: Vec<_> = folders.chain(of_grid).collect();
    assert!(folders.len() > 10, "the folders are found: {folders:?}");
    for folder in folders {
        assert!(named.contains(&*folder), "ARCHITECTURE.md does not name the folder src/{folder}");
    }
    let lines = text.lines().count();
    assert!(lines <= LINES_MAX, "ARCHITECTURE.md has {lines} lines; {LINES_MAX} are allowed");
}

#[test]
fn every_source_file_that_a_document_names_exists() {
    let mut count = 0;
    let mut missing = Vec::new();
    for document in documents() {
        let text = read(&document);
        for path in paths(&text) {
            count += 1;
            if !exists(path) {
                missing.push(format!("{} names {path}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "these files do not exist:\n{}", missing.join("\n"));
    assert!(count > 10, "the documents name files, or this test sees nothing: {count}");
}

#[test]
fn the_index_lists_every_decision_once() {
    let folder = top().join("docs/decisions");
    let index = read(&folder.join("README.md"));
    let mut files = names_in(&folder);
    assert!(files.remove("README.md"));
    assert!(files.len() > 10, "the decisions are found: {files:?}");
    for (file, number) in files.iter().zip(1..) {
        assert!(file.starts_with(&format!("{number:04}-")), "{file} is not number {number:04}");
        let link = format!("| [{number:04}]({file}) | ");
        assert_eq!(index.matches(&link).count(), 1, "the index does not list {file} once");
        let text = read(&folder.join(file));
        assert!(
            text.starts_with("# ") && text.contains("Status: "),
            "{file} has no title or status"
        );
    }
    assert_eq!(
        index.matches(".md) | ").count(),
        files.len(),
        "the index lists what does not exist"
    );
}

#[test]
fn names_are_found_in_tables_and_paths_in_text() {
    let table = "| rank | folder |\n|---|---|\n| 1 | `a`, `b.rs` | of `c` |\n\n| 2 | `d` |\n";
    assert_eq!(named_in_tables(table), BTreeSet::from(["a", "b.rs"]));
    assert_eq!(paths("`a.rs` `a/b.rs` a/c.rs `x a/d.rs` `e/f.md`"), BTreeSet::from(["a/b.rs"]));
    assert!(exists("src/lib.rs") && exists("grid/mod.rs") && exists("vme/main.rs"));
    assert!(!exists("grid/no_such_file.rs"));
}
