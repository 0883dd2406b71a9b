//! What the repository promises of its own sources: each file says what it is, none grows beyond
//! reading, the core stays pure, and imports go down only. Each check is tried on a bad sample too.
//!
//! How long a function is, is clippy's matter; the contract is linted by `tests/run`.

use std::fs;
use std::path::Path;

/// Longest file, in lines.
const LINES_MAX: usize = 400;

/// Files that may be longer, each for a reason.
const LONG: [&str; 1] = [
    // The whole diagram, with its table, in one place.
    "src/grid/model/lifecycle.rs",
];

/// What the pure core cannot do, since it does not name it.
const NOT_PURE: [&str; 9] =
    ["tokio", "sled", "tonic", "lettre", "axum", "std::fs", "std::net", "SystemTime", "Instant"];

/// Crates with effects, and the files and folders that may name them. Programs may name them all.
const PLACES: [(&[&str], &[&str]); 14] = [
    // What looks into the process, and the only unsafe code.
    (&["backtrace", "framehop", "libc", "procfs", "signal_hook"], &["src/guru_meditation"]),
    (&["sled"], &["src/journal/archive"]),
    (
        &["tonic", "tonic_types", "tonic_prost"],
        // The journal's messages are included by a macro of tonic; it speaks with nobody.
        &[
            "src/grpc",
            "src/client.rs",
            "src/client/channel.rs",
            "src/client/diagnosis.rs",
            "src/client/secure_connector.rs",
            "src/contract",
            "src/codec/mod.rs",
        ],
    ),
    // The daemon tells health, and has the error of services that do not fit.
    (&["tonic_health", "tonic_reflection"], &["src/grpc", "src/daemon.rs", "src/daemon/routes.rs"]),
    (
        &["axum"],
        &[
            "src/http",
            "src/grpc/authorization.rs",
            "src/grpc/call_metrics.rs",
            "src/grpc/revocation.rs",
            "src/listener",
            "src/daemon/routes.rs",
        ],
    ),
    (&["prometheus_client"], &["src/metrics.rs", "src/http/metrics.rs"]),
    // Settings of mail are checked by becoming what is used: addresses, and whom TLS believes.
    (&["lettre"], &["src/mail", "src/config/smtp.rs"]),
    (
        &["tokio_rustls", "rustls_native_certs"],
        &[
            "src/mail",
            "src/client/pin.rs",
            "src/client/secure_connector.rs",
            "src/client/tls_failure.rs",
            "src/config/certificates.rs",
            "src/config/http_target.rs",
            "src/config/smtp.rs",
            "src/identity",
            "src/listener/tls.rs",
            "src/webhook/client.rs",
        ],
    ),
    // Requests to others.
    (&["base64", "http_body_util"], &["src/config/http_target.rs", "src/webhook"]),
    // Templates are checked with the settings, and run by what checked them.
    (&["minijinja"], &["src/config/mail_templates.rs"]),
    (&["sd_notify"], &["src/service_manager.rs"]),
    (&["memchr"], &["src/grpc/text_search.rs"]),
    (&["itoa"], &["src/bin/gridctl/"]),
    (
        &["tracing_subscriber"],
        &[
            "src/tracing_lines.rs",
            "src/tracing_lines/",
            "src/config/filter.rs",
            "src/guru_meditation/warnings.rs",
        ],
    ),
];

/// A source file: its path within the repository, and its text.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    /// What is compiled into the programs: no comments, no tests.
    pub(super) fn code(&self) -> String {
        let tests = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        let lines = self.text[..tests].lines().map(str::trim_start);
        lines.filter(|line| !line.starts_with("//")).collect::<Vec<_>>().join("\n")
    }

    /// Whether it is part of a program or the library, not of their tests.
    pub(super) fn is_product(&self) -> bool {
        let is_test = self.path.ends_with("/tests.rs") || self.path.contains("/tests/");
        self.path.starts_with("src/") && !is_test
    }

    /// The library's module it belongs to.
    pub(super) fn module(&self) -> Option<&str> {
        let within = self.path.strip_prefix("src/").filter(|it| !it.starts_with("bin/"))?;
        within.split('/').next().map(|name| name.trim_end_matches(".rs"))
    }
}

/// What stands behind each place where `code` names `word`, as a word of its own.
pub(super) fn behind<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).filter_map(move |(at, _)| {
        let rest = &code[at + word.len()..];
        let is_more = code[..at].ends_with(is_word) || rest.starts_with(is_word);
        (!is_more).then_some(rest)
    })
}

/// Whether `code` uses something of the crate `name`.
fn uses(code: &str, name: &str) -> bool {
    behind(code, name).any(|rest| ["::", ";", " as "].iter().any(|it| rest.starts_with(it)))
}

fn says_what_it_is(source: &Source) -> Vec<String> {
    if source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![format!("{} does not begin with `//!`, what it is for", source.path)]
}

fn is_short(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let is_listed = LONG.contains(&source.path.as_str());
    match lines > LINES_MAX {
        true if !is_listed => {
            vec![format!("{} has {lines} lines; {LINES_MAX} are allowed", source.path)]
        }
        false if is_listed => {
            vec![format!("{} has {lines} lines only: take it from the list", source.path)]
        }
        true | false => Vec::new(),
    }
}

fn is_pure(source: &Source) -> Vec<String> {
    if source.module() != Some("grid") {
        return Vec::new();
    }
    // governor calls the moments of a clock so; ours are told.
    let code = source.code().replace("type Instant = Duration;", "");
    let named = NOT_PURE.iter().filter(|word| behind(&code, word).next().is_some());
    named.map(|word| format!("{} is of the pure core, but names {word}", source.path)).collect()
}

fn names_crates_where_they_belong(source: &Source) -> Vec<String> {
    // The standard library's module of that name looks at its own thread only.
    let code = source.code().replace("std::backtrace", "");
    let mut wrong = Vec::new();
    for (crates, places) in &PLACES {
        let is_there = places.iter().any(|place| source.path.starts_with(place));
        if is_there || !source.is_product() || source.path.starts_with("src/bin/") {
            continue;
        }
        let named = crates.iter().filter(|name| uses(&code, name));
        wrong.extend(named.map(|name| format!("{} names {name}; see PLACES", source.path)));
    }
    wrong
}

fn sources(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let within = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("is within");
            let text = fs::read_to_string(&path).expect("a source file");
            found.push(Source { path: within.display().to_string(), text });
        }
    }
}

/// Every source file of the repository.
pub(super) fn repository() -> Vec<Source> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches"].map(|it| top.join(it)).iter().filter(|it| it.is_dir())
    {
        sources(folder, &mut found);
    }
    let text = fs::read_to_string(top.join("build.rs")).expect("build.rs");
    found.push(Source { path: "build.rs".to_owned(), text });
    assert!(found.len() > 100, "the sources are found");
    found
}

pub(super) type Check = fn(&Source) -> Vec<String>;

#[track_caller]
pub(super) fn assert_holds(check: Check) {
    let wrong: Vec<_> = repository().iter().flat_map(check).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Whether `check` finds something in a file of that text at `path`.
pub(super) fn finds(check: Check, path: &str, text: &str) -> bool {
    !check(&Source { path: path.to_owned(), text: text.to_owned() }).is_empty()
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    assert_holds(says_what_it_is);
    assert!(finds(says_what_it_is, "src/a.rs", "use std::fs;\n//! Too late.\n"));
    assert!(finds(says_what_it_is, "src/a.rs", ""));
    assert!(!finds(says_what_it_is, "src/a.rs", "//! A thing.\n"));
}

#[test]
fn no_file_is_too_long_to_read_but_those_that_are_listed() {
    assert_holds(is_short);
    let there = repository();
    assert!(LONG.iter().all(|path| there.iter().any(|source| source.path == *path)));
    assert!(finds(is_short, "src/a.rs", &"//! A\n".repeat(401)));
    assert!(!finds(is_short, "src/a.rs", &"//! A\n".repeat(400)));
    assert!(!finds(is_short, LONG[0], &"//! A\n".repeat(401)));
    assert!(finds(is_short, LONG[0], "//! It became short.\n"), "the list is honest");
}

#[test]
fn the_core_names_no_clock_task_disk_or_network() {
    assert_holds(is_pure);
    assert!(finds(is_pure, "src/grid/a.rs", "//! A\nuse std::time::{Duration, Instant};\n"));
    assert!(finds(is_pure, "src/grid/a.rs", "//! A\nfn a() { std::fs::read(\"a\"); }\n"));
    assert!(finds(is_pure, "src/grid/tests/a.rs", "//! A\nuse tokio::time;\n"));
    assert!(!finds(is_pure, "src/grid/a.rs", "//! No tokio, no Instant.\nstruct Instants;\n"));
    assert!(!finds(is_pure, "src/broker.rs", "//! A\nuse tokio::time;\n"));
}

#[test]
fn crates_with_effects_stay_where_they_belong() {
    assert_holds(names_crates_where_they_belong);
    let check = names_crates_where_they_belong;
    assert!(finds(check, "src/journal/mod.rs", "//! A\nuse sled::Db;\n"));
    assert!(finds(check, "src/journal/mod.rs", "//! A\nuse sled as archive;\n"));
    assert!(!finds(check, "src/journal/archive/a.rs", "//! A\nuse sled::Db;\n"));
    assert!(finds(check, "src/broker.rs", "//! A\nfn a() -> tonic::Status {\n"));
    assert!(finds(check, "src/broker.rs", "//! A\nuse tonic_health::pb;\n"));
    assert!(finds(check, "src/grpc/session.rs", "//! A\nuse axum::Router;\n"));
    assert!(!finds(check, "src/listener/mod.rs", "//! A\nuse axum::Router;\n"));
    assert!(!finds(check, "src/bin/vme/a.rs", "//! A\nuse tonic::Code;\n"));
    assert!(!finds(check, "src/broker.rs", "//! A\n// tonic::Status says less.\n"));
}
