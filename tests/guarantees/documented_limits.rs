//! docs/limits.md says what the code does: every constant it names is there with that value, and
//! every constant that bounds something is named.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Words in a constant's name that make it a bound.
const BOUNDING: [&str; 6] = ["_MAX", "WAITING", "WITHIN", "LONGEST", "PER_COMMIT", "KEPT"];

/// Constants that are named so and bound nothing that waits, grows or is tried.
const NO_BOUNDS: [(&str, &str); 14] = [
    // vme's own check, below EVENT_BYTES_MAX.
    ("src/event_args/mod.rs", "SENT_TEXT_BYTES_MAX"),
    // The contract's range for the time to the next report, and the values in it that vme takes.
    ("src/event_args/mod.rs", "REPORT_DEADLINE_RANGE"),
    ("src/bin/vme/maintain.rs", "REPORT_DEADLINE"),
    ("src/bin/vme/notify/service_start.rs", "REPORT_DEADLINE_MIN"),
    // Arithmetic.
    ("src/grid/model/rate_limit.rs", "REFILL_MAX"),
    ("src/grid/model/rate_limit.rs", "NANOS_MAX"),
    // A rule: what still counts as a unit, not as a word.
    ("src/grid/values/wording.rs", "UNIT_LETTERS_MAX"),
    // Rules: which clocks are believed, which reports are one.
    ("src/grid/decide/event.rs", "CLOCK_AHEAD_MAX"),
    ("src/grid/decide/event.rs", "CLOCK_BEHIND_MAX"),
    ("src/grid/decide/admission.rs", "COALESCE_WITHIN"),
    // Follows from RAW_PAYLOAD_BYTES_MAX.
    ("src/journal/record.rs", "RECORD_BYTES_MAX"),
    // The last moment a date can tell.
    ("src/mail/render/mod.rs", "DATE_SECONDS_MAX"),
    // How many numbers are tried as values of an enum of the contract.
    ("src/show/labels.rs", "NUMBER_MAX"),
    // Nothing is suggested beyond it.
    ("src/show/suggest.rs", "LENGTH_MAX"),
];

/// A row of the first table.
struct Row {
    bound: String,
    name: String,
    path: String,
}

fn rows() -> Vec<Row> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/limits.md");
    let text = fs::read_to_string(path).expect("docs/limits.md");
    let (_, table) = text.split_once("## Bounds in the code").expect("the first table");
    let (table, _) = table.split_once("\n## ").expect("the next one");
    table
        .lines()
        .filter(|line| line.starts_with('|') && line.contains(".rs`"))
        .map(|line| {
            let cells: Vec<_> = line.split('|').map(|cell| cell.trim().replace('`', "")).collect();
            let [_, _, bound, name, path, _] = &cells[..] else { panic!("four cells: {line}") };
            Row { bound: bound.clone(), name: name.clone(), path: path.clone() }
        })
        .collect()
}

/// All constants of a file: their names and what stands behind the `=`.
fn constants(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (at, _) in text.match_indices("const ") {
        let Some((head, rest)) = text[at + 6..].split_once('=') else { continue };
        let Some((name, _)) = head.split_once(':') else { continue };
        let is_name = |c: char| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit();
        if !name.is_empty() && name.chars().all(is_name) {
            let value = rest.split(';').next().expect("an end").trim().to_owned();
            found.insert(name.to_owned(), value);
        }
    }
    found
}

/// The value of `4_096`, `64 << 10` or `24 * 3_600`.
fn number(text: &str) -> Option<u64> {
    if let Some((base, shift)) = text.split_once("<<") {
        return Some(number(base)? << number(shift)?);
    }
    if text.contains('*') {
        return text.split('*').map(number).product();
    }
    text.trim().replace('_', "").parse().ok()
}

fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let places = digits.len();
    let with = |(at, digit): (usize, char)| {
        let comma = at > 0 && (places - at).is_multiple_of(3);
        if comma { format!(",{digit}") } else { digit.to_string() }
    };
    digits.chars().enumerate().map(with).collect()
}

/// The ways to write a value down.
fn forms(value: &str) -> Vec<String> {
    if let Some(inner) = value.strip_prefix("Duration::from_") {
        let (unit, inner) = inner.split_once('(').expect("a unit");
        let amount = number(inner.trim_end_matches(')')).expect("an amount");
        let millis = if unit == "secs" { amount * 1_000 } else { amount };
        let mut forms = vec![format!("{millis} ms")];
        for (unit, length) in [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)] {
            if millis.is_multiple_of(length) {
                forms.push(format!("{} {unit}", millis / length));
            } else if unit == "s" {
                forms.push(format!("{}.{} s", millis / 1_000, millis % 1_000 / 100));
            }
        }
        return forms;
    }
    if let Some(inner) = value.strip_prefix("PageLimit {") {
        let fields = inner.trim_end_matches('}').split(',');
        let amounts = fields.filter_map(|field| field.split(':').nth(1));
        let amounts: Vec<_> = amounts.map(|it| forms(it.trim())).collect();
        let [records, bytes] = &amounts[..] else { panic!("two amounts: {value}") };
        return vec![format!("{}, or {}", records[0], bytes.last().expect("a form"))];
    }
    let Some(number) = number(value) else { return Vec::new() };
    let mut forms = vec![with_commas(number), format!("{} bytes", with_commas(number))];
    for (unit, bits) in [("KiB", 10), ("MiB", 20)] {
        if number.is_multiple_of(1 << bits) {
            forms.push(format!("{} {unit}", with_commas(number >> bits)));
        }
    }
    forms
}

fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let within = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("is within");
        let name = within.display().to_string();
        if path.is_dir() {
            sources(&path, found);
        } else if name.ends_with(".rs") && !name.contains("tests") {
            found.push(name);
        }
    }
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_constant_in_the_table_is_in_the_code_with_that_value() {
    let rows = rows();
    assert!(rows.len() > 60, "the table is found");
    for Row { bound, name, path } in rows {
        let constants = constants(&read(&path));
        let value = constants.get(&name).unwrap_or_else(|| panic!("{path} has no {name}"));
        let forms = forms(value);
        assert!(forms.contains(&bound), "{path}: {name} is {value}, not {bound}: {forms:?}");
    }
}

#[test]
fn every_constant_that_bounds_something_is_in_the_table() {
    let rows = rows();
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 100, "the sources are found");
    for (path, name) in NO_BOUNDS {
        assert!(constants(&read(path)).contains_key(name), "{path} has no {name} any more");
    }
    let mut missing = Vec::new();
    for path in files {
        for (name, value) in constants(&read(&path)) {
            let bounds = BOUNDING.iter().any(|word| name.contains(word));
            let is_excused = NO_BOUNDS.contains(&(path.as_str(), name.as_str()));
            let is_there = rows.iter().any(|row| row.path == path && row.name == name);
            if bounds && !is_there && !is_excused {
                missing.push(format!("{path}: {name} = {value}"));
            }
        }
    }
    assert!(missing.is_empty(), "docs/limits.md lacks:\n{}", missing.join("\n"));
}

#[test]
fn values_are_read_as_the_code_has_them() {
    let code = "pub(super) const A_MAX: usize = 64 << 10;\n/// B\nconst B: Duration =\n    \
                Duration::from_secs(5 * 60);\nconst fn c() {}\n";
    let found = constants(code);
    assert_eq!(found["A_MAX"], "64 << 10");
    assert!(forms(&found["A_MAX"]).contains(&"64 KiB".to_owned()));
    assert!(forms(&found["B"]).contains(&"5 min".to_owned()));
    assert!(!forms(&found["B"]).contains(&"6 min".to_owned()));
    assert_eq!(found.len(), 2);
    assert!(forms("1_048_576").contains(&"1,048,576".to_owned()));
    assert!(forms("Duration::from_millis(9_500)").contains(&"9.5 s".to_owned()));
    assert_eq!(forms("PageLimit { records: 8_192, bytes: 8 << 20 }"), ["8,192, or 8 MiB"]);
}
