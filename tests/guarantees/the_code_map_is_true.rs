//! ARCHITECTURE.md's code map lists each file with the first sentence of its own `//!`.
//!
//! `GRID_WRITE_MAP=1` writes the map anew.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- code map -->\n";
const END: &str = "<!-- end of code map -->\n";

/// Files and folders of `src/` in the order of the path; whatever is not named comes last.
const ORDER: [&str; 24] = [
    "lib.rs",
    "bin/gridd",
    "bin/vme",
    "bin/gridctl",
    "event_words",
    "client.rs",
    "listener",
    "grpc",
    "wire",
    "broker.rs",
    "broker",
    "grid/mod.rs",
    "grid",
    "journal/mod.rs",
    "journal",
    "dashboard",
    "show",
    "config.rs",
    "config",
    "daemon.rs",
    "clock.rs",
    "tasks.rs",
    "exit_code.rs",
    "",
];

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources").flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "tests" {
            files(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") && entry.file_name() != "tests.rs" {
            found.push(path);
        }
    }
}

/// The first sentence of a file's `//!`, joined over its lines; a question with its answer.
fn first_sentence(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let first: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    let paragraph = first.join(" ");
    let is_end = |end: &usize| paragraph[*end..].is_empty() || paragraph[*end..].starts_with(' ');
    let mut ends = paragraph.match_indices(['.', '?']).map(|(at, _)| at + 1).filter(is_end);
    let end = ends.find(|end| paragraph[..*end].ends_with('.') || paragraph[*end..].is_empty());
    paragraph[..end.unwrap_or(paragraph.len())].to_owned()
}

fn rank(path: &str) -> usize {
    let is_in = |part: &&str| path == *part || path.starts_with(&format!("{part}/"));
    ORDER.iter().position(|part| part.is_empty() || is_in(part)).unwrap_or(ORDER.len())
}

fn code_map() -> String {
    let source = top().join("src");
    let mut found = Vec::new();
    files(&source, &mut found);
    let mut rows: Vec<(usize, String, String)> = found
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).expect("a source file");
            let name = path.strip_prefix(&source).expect("is in src").display().to_string();
            (rank(&name), name, first_sentence(&text))
        })
        .collect();
    rows.sort();
    let mut map = String::new();
    for (_, name, sentence) in rows {
        assert!(!sentence.is_empty(), "src/{name} has no `//!`");
        writeln!(map, "- `src/{name}`: {sentence}").expect("a string takes it");
    }
    map
}

#[test]
fn the_code_map_is_made_of_the_files_own_first_sentences() {
    let path = top().join("ARCHITECTURE.md");
    let text = fs::read_to_string(&path).expect("ARCHITECTURE.md");
    let begin = text.find(BEGIN).expect("the map's beginning is marked") + BEGIN.len();
    let end = text.find(END).expect("the map's end is marked");
    let map = code_map();
    if std::env::var_os("GRID_WRITE_MAP").is_some() {
        fs::write(&path, format!("{}{map}{}", &text[..begin], &text[end..])).expect("writes");
        return;
    }
    for (written, true_line) in text[begin..end].lines().zip(map.lines()) {
        assert_eq!(written, true_line, "GRID_WRITE_MAP=1 cargo test the_code_map writes it anew");
    }
    assert_eq!(text[begin..end].lines().count(), map.lines().count(), "files came or went");
}

#[test]
fn the_first_sentence_ends_at_its_stop() {
    assert_eq!(first_sentence("//! What is it? A thing. Big.\n"), "What is it? A thing.");
    assert_eq!(first_sentence("//! What is it?\n//!\n//! More.\n"), "What is it?");
    assert_eq!(first_sentence("//! A thing of\n//! `a.b` here. More.\n"), "A thing of `a.b` here.");
    assert_eq!(first_sentence("use std::fs;\n"), "");
}
