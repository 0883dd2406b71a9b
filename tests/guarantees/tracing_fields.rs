//! Fields of tracing have the names that docs/operation.md lists, in every source file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The arguments of every call of a macro of tracing's in `code`, without their strings' contents.
fn calls(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for level in ["error", "warn", "info", "debug", "trace"] {
        let begin = format!("tracing::{level}!(");
        for (at, _) in code.match_indices(&begin) {
            let mut depth = 1;
            let mut quoted = false;
            let mut call = String::new();
            let mut characters = code[at + begin.len()..].chars();
            while let Some(character) = characters.next() {
                match character {
                    '\\' if quoted => drop(characters.next()),
                    '"' => {
                        quoted = !quoted;
                        call.push('"');
                    }
                    _ if quoted => {}
                    ')' | ']' | '}' if depth == 1 => break,
                    _ => {
                        match character {
                            '(' | '[' | '{' => depth += 1,
                            ')' | ']' | '}' => depth -= 1,
                            _ => {}
                        }
                        call.push(if depth > 1 { '_' } else { character });
                    }
                }
            }
            found.push(call);
        }
    }
    found
}

/// The names of the fields of a call: all that stands before the message.
fn fields(call: &str) -> Vec<String> {
    call.split(',')
        .map(str::trim)
        .take_while(|part| !part.starts_with('"'))
        .map(|part| part.split('=').next().unwrap_or(part))
        .map(|name| name.trim().trim_start_matches(['%', '?']).to_owned())
        .collect()
}

/// The names in the first column of the manual's table of fields.
fn listed() -> BTreeSet<String> {
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operation.md");
    let manual = fs::read_to_string(manual).expect("docs/operation.md");
    let (_, table) = manual.split_once("| field | holds |").expect("the table of fields");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let names = rows.filter_map(|row| row.split('|').nth(1));
    names.flat_map(|cell| cell.split(',')).map(|name| name.trim().replace('`', "")).collect()
}

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let name = path.display().to_string();
        if path.is_dir() {
            sources(&path, found);
        } else if name.ends_with(".rs") && !name.contains("tests") {
            found.push((name, fs::read_to_string(&path).expect("a source file")));
        }
    }
}

#[test]
fn every_field_is_listed_and_every_listed_one_is_used() {
    let mut found = Vec::new();
    sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut found);
    let listed = listed();
    let mut used = BTreeSet::new();
    for (name, text) in &found {
        for call in calls(text) {
            for field in fields(&call) {
                assert!(listed.contains(&field), "{name}: `{field}` is not in docs/operation.md");
                used.insert(field);
            }
        }
    }
    assert!(used.len() > 10, "calls are found");
    assert_eq!(listed, used, "the table lists what is used");
}

#[test]
fn fields_are_found_however_a_call_is_written() {
    let code = "tracing::warn!(\n    %error,\n    lost = ?of(a, b),\n    \"a, b = {c}\"\n);\n\
                tracing::info!(\"x\\\"{}\", y); tracing::debug!(record = last, bytes = s.len(), \"x\")";
    let found: Vec<_> = calls(code).iter().map(|call| fields(call)).collect();
    let expected: [&[&str]; 3] = [&["error", "lost"], &[], &["record", "bytes"]];
    assert_eq!(found, expected);
}
