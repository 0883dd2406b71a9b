//! Tests that the modules of the library, and the folders of the core, import downwards only.

use super::repository::{Source, assert_holds, behind, finds, repository};

/// Folders of the core, lowest first: each imports from those before it only. The files beside them
/// (the entry, its driver, timers) may import from all of them, and none of them from those files.
const CORE: [&str; 6] = ["values", "model", "log", "state", "explain", "decide"];

/// Modules of the library, lowest first, and what each may import of the others.
const MODULES: &[(&str, &[&str])] = &[
    ("exit_code", &[]),
    ("units", &[]),
    ("system_error", &[]),
    ("guru_meditation", &[]),
    ("tasks", &["guru_meditation"]),
    ("stderr", &["tasks"]),
    ("stdout", &["exit_code", "stderr", "system_error"]),
    ("metrics", &[]),
    ("process_stats", &[]),
    ("ready_file", &["system_error"]),
    ("grid", &[]),
    ("codec", &["grid"]),
    ("clock", &["grid"]),
    ("contract", &["grid"]),
    ("show", &["contract"]),
    ("tracing_lines", &["clock", "guru_meditation", "show", "stderr"]),
    ("spool", &["clock", "system_error", "contract"]),
    ("event_args", &["units", "grid", "show", "contract"]),
    ("identity", &["clock", "contract", "grid", "system_error"]),
    (
        "client",
        &["exit_code", "system_error", "grid", "identity", "clock", "show", "tasks", "contract"],
    ),
    ("log_limiter", &["clock"]),
    ("resources", &["clock"]),
    (
        "listener",
        &["clock", "guru_meditation", "identity", "metrics", "resources", "log_limiter", "tasks"],
    ),
    ("journal", &["codec", "grid", "resources", "log_limiter", "system_error", "tasks"]),
    (
        "config",
        &[
            "clock",
            "units",
            "grid",
            "identity",
            "journal",
            "listener",
            "show",
            "system_error",
            "tracing_lines",
        ],
    ),
    (
        "broker",
        &[
            "codec",
            "grid",
            "identity",
            "journal",
            "metrics",
            "resources",
            "system_error",
            "clock",
            "tasks",
        ],
    ),
    ("crash_dump", &["broker", "clock", "contract", "grid", "show", "system_error", "tasks"]),
    (
        "diagnostic_sections",
        &["broker", "clock", "config", "contract", "grid", "guru_meditation", "journal"],
    ),
    (
        "grpc",
        &[
            "broker",
            "client",
            "clock",
            "codec",
            "crash_dump",
            "grid",
            "guru_meditation",
            "identity",
            "journal",
            "listener",
            "metrics",
            "process_stats",
            "show",
            "log_limiter",
            "tasks",
            "contract",
        ],
    ),
    (
        "http",
        &[
            "broker",
            "crash_dump",
            "grid",
            "identity",
            "journal",
            "metrics",
            "process_stats",
            "resources",
            "show",
            "stderr",
            "tasks",
            "contract",
        ],
    ),
    ("mail", &["broker", "clock", "config", "grid", "identity", "show", "tasks"]),
    ("webhook", &["broker", "config", "grid", "mail", "metrics", "show", "tasks"]),
    ("service_manager", &["broker", "clock", "tasks"]),
    (
        "daemon",
        &[
            "broker",
            "config",
            "crash_dump",
            "http",
            "grid",
            "grpc",
            "guru_meditation",
            "identity",
            "clock",
            "journal",
            "listener",
            "mail",
            "metrics",
            "ready_file",
            "diagnostic_sections",
            "resources",
            "service_manager",
            "system_error",
            "tasks",
            "tracing_lines",
            "webhook",
        ],
    ),
    ("lib", &[]),
    ("small_disk", &[]),
    ("test_timeout", &[]),
];

/// The crate's modules that `code` names by `crate::`.
fn imports(code: &str) -> Vec<&str> {
    imports_below(code, "crate::")
}

/// What `code` names directly below the path `above`, in groups too.
fn imports_below<'a>(code: &'a str, above: &'a str) -> Vec<&'a str> {
    let mut found = Vec::new();
    for (at, begin) in code.match_indices(above) {
        let rest = &code[at + begin.len()..];
        match rest.strip_prefix('{') {
            None => found.push(rest),
            Some(group) => {
                let mut depth = 0_u32;
                let mut begins = true;
                for (at, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => begins = true,
                        c if begins && !c.is_whitespace() => {
                            found.push(&group[at..]);
                            begins = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    let is_end = |c: char| !c.is_alphanumeric() && c != '_';
    found.into_iter().map(|rest| &rest[..rest.find(is_end).unwrap_or(rest.len())]).collect()
}

fn imports_downwards(source: &Source) -> Vec<String> {
    let Some(module) = source.module().filter(|_| source.is_product()) else { return Vec::new() };
    let Some((_, allowed)) = MODULES.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{}: module {module} is not in MODULES", source.path)];
    };
    let code = source.code();
    let mut wrong: Vec<_> = imports(&code)
        .into_iter()
        .filter(|name| *name != module && !allowed.contains(name))
        .map(|name| format!("{}: {module} imports {name}; see MODULES", source.path))
        .collect();
    wrong.dedup();
    wrong
}

/// The same within the core.
fn imports_downwards_in_the_core(source: &Source) -> Vec<String> {
    let Some(within) = source.path.strip_prefix("src/grid/").filter(|_| source.is_product()) else {
        return Vec::new();
    };
    let folder = within.split('/').next().unwrap_or_default();
    let Some(rank) = CORE.iter().position(|it| *it == folder) else { return Vec::new() };
    let code = source.code();
    if behind(&code, "super::super").next().is_some() || code.contains("crate::{") {
        return vec![format!("{}: imports within the core begin with crate::grid", source.path)];
    }
    let named = imports_below(&code, "crate::grid::").into_iter();
    let is_lower = |name: &str| CORE.iter().position(|it| *it == name).is_some_and(|it| it <= rank);
    let mut wrong: Vec<_> = named
        .filter(|name| !is_lower(name))
        .map(|name| format!("{}: {folder} imports grid::{name}; see CORE", source.path))
        .collect();
    wrong.dedup();
    wrong
}

#[test]
fn imports_within_the_core_go_down_only() {
    let check = imports_downwards_in_the_core;
    assert_holds(check);
    for folder in CORE {
        let begin = format!("src/grid/{folder}/");
        assert!(repository().iter().any(|it| it.path.starts_with(&begin)), "no {begin}");
    }
    let imports = |path: &str| format!("//! A\nuse crate::grid::{path};\n");
    for (file, path) in [
        ("values/a.rs", "log::record::Record"),
        ("model/a.rs", "{log::effect::Effect, values::id::SpoolId}"),
        ("log/a.rs", "state::State"),
        ("state/a.rs", "Grid"),
        ("explain/a.rs", "decide::Decision"),
        ("decide/a.rs", "driver::Driver"),
    ] {
        assert!(finds(check, &format!("src/grid/{file}"), &imports(path)), "{file} imports {path}");
    }
    assert!(finds(check, "src/grid/log/a.rs", "//! A\nuse super::super::state::State;\n"));
    assert!(finds(check, "src/grid/log/a.rs", "//! A\nuse crate::{grid::state::State};\n"));
    assert!(!finds(check, "src/grid/decide/a.rs", &imports("{explain, log::effect::Effect}")));
    assert!(!finds(check, "src/grid/driver.rs", &imports("decide::Decision")));
    assert!(!finds(check, "src/grid/tests/mail.rs", &imports("Grid")));
}

#[test]
fn imports_go_down_only() {
    assert_holds(imports_downwards);
    let check = imports_downwards;
    for (at, (module, allowed)) in MODULES.iter().enumerate() {
        let lower = |name: &str| MODULES[..at].iter().any(|(lower, _)| *lower == name);
        assert!(allowed.iter().all(|name| lower(name)), "{module} is above all it imports");
    }
    assert!(finds(check, "src/grid/a.rs", "//! A\nuse crate::contract::proto;\n"));
    assert!(finds(check, "src/journal/a.rs", "//! A\nuse crate::{grid::{a, b}, broker};\n"));
    assert!(!finds(check, "src/journal/a.rs", "//! A\nuse crate::{grid::{a, broker}, tasks};\n"));
    assert!(finds(check, "src/broker/a.rs", "//! A\nfn a() { crate::grpc::a(); }\n"));
    assert!(finds(check, "src/http/mod.rs", "//! A\nuse crate::grpc;\n"));
    assert!(finds(check, "src/unheard_of.rs", "//! A\n"), "a new module takes its place here");
    let own_tests = "//! A\n#[cfg(test)]\nmod tests {\n    use crate::daemon;\n}\n";
    assert!(!finds(check, "src/grid/a.rs", own_tests), "tests may look further");
    assert!(finds(
        check,
        "src/grid/a.rs",
        "//! A\n#[cfg(test)]\nmod tests;\nuse crate::contract;\n"
    ));
    assert_eq!(imports("use crate::{\n    a::{b, c},\n    d,\n};\ncrate::e::f()"), ["a", "d", "e"]);
}

/// Time zones of the core come resolved with the settings: one folder names their crate, and nothing there opens
/// the zone database or asks for the time.
fn is_given_its_time_zones(source: &Source) -> Vec<String> {
    const PLACE: &str = "src/grid/model/quiet_hours";
    if source.module() != Some("grid") || !source.is_product() {
        return Vec::new();
    }
    let code = source.code();
    let is_elsewhere = !source.path.starts_with(PLACE) && behind(&code, "jiff").next().is_some();
    let looks_up = ["TimeZone::get", "TimeZone::system", "TimeZone::try_system", "::now", "tz::db"];
    let named = looks_up.into_iter().filter(|it| code.contains(it));
    let named = named.chain(is_elsewhere.then_some("jiff"));
    named.map(|it| format!("{} is of the pure core, but names {it}", source.path)).collect()
}

#[test]
fn the_core_is_given_its_time_zones() {
    assert_holds(is_given_its_time_zones);
    let check = is_given_its_time_zones;
    let code = "//! A\nuse jiff::tz::TimeZone;\n";
    assert!(finds(check, "src/grid/model/route.rs", code));
    assert!(!finds(check, "src/grid/model/quiet_hours.rs", code));
    assert!(!finds(check, "src/config/route.rs", code));
    let look_up = "//! A\nfn a() { jiff::tz::TimeZone::get(\"UTC\"); }\n";
    assert!(finds(check, "src/grid/model/quiet_hours.rs", look_up));
}
