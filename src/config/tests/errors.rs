//! Every possible configuration error and its message: `mistakes.txt`.
//!
//! `GRID_WRITE_MISTAKES=1` rewrites the file; then review it as an operator would.

use std::fmt::Write;
use std::path::Path;

use super::invalid_tables::{INVALID_ROUTES, INVALID_WEBHOOKS};
use super::*;
use crate::config::route::{ROUTE_SETTINGS, route_path};
use crate::config::webhook::{WEBHOOK_SETTINGS, webhook_path};

/// Values that are invalid for most keys, each in its own way.
const INVALID_VALUES: [&str; 11] = [
    "\"\"",
    "\"nonsense\"",
    "\"0s\"",
    "\"99999d\"",
    "\"infinite\"",
    "\"0B\"",
    "\"true\"",
    "0",
    "1.5",
    "true",
    "[1]",
];

/// Files that are invalid as a whole or in their syntax.
const INVALID_FILES: [&str; 18] = [
    "grpc",
    "grpc = here",
    "boot_timeout = 5m",
    "data = \"a",
    "data = \"a\"\ndata = \"b\"",
    "[class.web]\n[class.web]",
    "[retention",
    "retention = 5",
    "class = 5",
    "class.web = 5",
    "class.web.budget = { x = 1 }",
    "class.web.budget.log = { x = 1 }",
    "class.\"a b\".managed = true",
    "class.\"\".managed = true",
    "appliance = 5",
    "appliance.db1 = 5",
    "appliance.db1.crash_dump = \"qemu\"",
    "appliance.\"../db1\".crash_dump.driver = \"none\"",
];

/// Unknown keys.
const UNKNOWN_KEYS: [&str; 16] = [
    "htp",
    "password",
    "boot_timeout",
    "age",
    "\"retention.age\"",
    "retention.aeg",
    "retention.x",
    "retentoin.age",
    "class.web.boot_time",
    "class.web.x",
    "class.web.budget.logs.burst",
    "x.y.z",
    "class.web.crash_dump.sokcet",
    "class.web.driver",
    "appliance.db1.driver",
    "appliance.db1.crash_dump.x",
];

/// Invalid environment variables.
const INVALID_VARIABLES: [(&str, &str); 17] = [
    ("GRIDD_FOO", ""),
    ("GRIDD_", ""),
    ("GRIDD_GRCP", "127.0.0.1:1"),
    ("GRIDD_RETENTION_AGE", "3d"),
    ("GRIDD_RETENTION", "3d"),
    ("GRIDD_retention__age", "3d"),
    ("GRIDD_CLASS__WEB__BOOT_TIME", "3d"),
    ("GRIDD_CLASS____MANAGED", "true"),
    ("GRIDD_CLASS__WEB__MANAGED", "yes"),
    ("GRIDD_CLASS__WEB__BUDGET__LOG__BURST", "+3"),
    ("GRIDD_JOURNAL__CHECKPOINT_RECORDS", "1e6"),
    ("GRIDD_RETENTION__AGE", ""),
    ("GRIDD_HTTP", "127.0.0.1:7443"),
    ("GRIDD_CLASS__WEB__CRASH_DUMP__DRIVER", "qemu"),
    ("GRIDD_CLASS__WEB__CRASH_DUMP__ARGUMENTS", "-x {name}"),
    ("GRIDD_APPLIANCE__DB1__CRASH_DUMP__DRIVR", "qemu"),
    ("GRIDD_APPLIANCE__DB1__DRIVER", "qemu"),
];

/// Settings of crash dumps that are invalid in themselves or do not fit together; `DUMP` stands for a table.
const INVALID_DUMPS: [&str; 30] = [
    "driver = \"qemu\"",
    "driver = \"libvirt\"\nDUMP.domain = \"\"",
    "driver = \"libvirt\"\nDUMP.uri = \"\"",
    "driver = \"ipmi\"",
    "driver = \"ipmi\"\nDUMP.host = \"bmc1\"",
    "driver = \"command\"",
    "on_hung = \"crash-dump\"",
    "on_boot_timeout = \"crash-dump\"",
    "on_hung = \"ipmi\"\nDUMP.on_boot_timeout = \"command\"",
    "driver = \"ipmi\"\nDUMP.host = \"h\"\nDUMP.user = \"u\"\nDUMP.password_file = \"/nowhere\"",
    "driver = \"ipmi\"\nDUMP.host = \"h\"\nDUMP.user = \"u\"\nDUMP.password_file = \"/dev/zero\"",
    "driver = \"qmp\"",
    "timeout = \"301s\"",
    "timeout = \"999ms\"",
    "socket = \"qmp.sock\"",
    "socket = \"/run/{vm}.qmp\"",
    "socket = \"/run/{name.qmp\"",
    "socket = \"/run/name}.qmp\"",
    "socket = \"/run/a\\nb\"",
    "uri = \"-c\"",
    "domain = \"--help\"",
    "domain = \"17\"",
    "host = \"bmc1:623\\t\"",
    "host = \"-x\"",
    "port = 65536",
    "user = \"seventeen-letters\"",
    "program = \"dump-vm {name}\"",
    "arguments = \"{name}\"",
    "arguments = [\"a\", 1]",
    "arguments = [\"a\\u0000\"]",
];

/// All errors, without the path of the file.
fn errors_of(given: &SettingsSources) -> Vec<String> {
    let Err(errors) = Settings::new(given) else { return Vec::new() };
    let path = given.config.as_ref().map(|path| path.display().to_string());
    let without_path = |text: String| match &path {
        Some(path) => text.replace(path, "gridd.toml"),
        None => text,
    };
    errors.0.iter().map(|error| without_path(error.to_string())).collect()
}

fn write_case(out: &mut String, what: &str, given: &SettingsSources) {
    let errors = errors_of(given);
    if !errors.is_empty() {
        writeln!(out, "{what}").expect("writes to a string");
        errors.iter().for_each(|line| writeln!(out, "    {line}").expect("writes to a string"));
    }
}

fn write_value_cases(out: &mut String) {
    let within = |key: &str| format!("class.web.{key}");
    let outside = keys::settings().map(|key| key.path.to_owned());
    // All budgets have the same rules.
    let of_class = keys::class_settings().map(|key| key.path);
    let of_class = of_class.filter(|key| !key.starts_with("budget.") || key.contains(".log"));
    let of_route = ROUTE_SETTINGS.iter().map(|key| route_path("night", key.path));
    let of_webhook = WEBHOOK_SETTINGS.iter().map(|key| webhook_path("chat", key.path));
    for key in outside.chain(of_class.map(within)).chain(of_webhook).chain(of_route) {
        for value in INVALID_VALUES {
            let text = format!("{key} = {value}");
            let (_file, given) = file(&text);
            write_case(out, &text, &given);
        }
    }
    for text in [
        "grpc = \"0.0.0.0:7443\"\nauthentication = \"off\"",
        "grpc = \"0.0.0.0:7443\"\nhttp = \"[::]:1\"\ntls.mode = \"off\"",
        "http = \"[::]:1\"\ntls.mode = \"off\"\nauthentication = \"off\"",
        "tls.grpc_client_certificates = \"required\"",
        "tls.certificate = \"nowhere.pem\"\ntls.key = \"nowhere.key\"",
        "tls.client_ca = \"nowhere.pem\"\ntls.client_names = \"{name}.vm.example\"",
        "tls.client_names = \"{name}\"",
        "hosts = \"10.0.0.1:80\"",
        "http = \"127.0.0.1\"",
        "http = \"127.0.0.1:7443\"",
        "tracing = \"info,grid_broker=inof\"",
        "tracing = \"grid_broker[=info\"",
        "retention.age = \"36501d\"",
        "retention.age = \"-5s\"",
        "retention.age = \"90\"",
        "retention.age = \"5 minutes\"",
        "retention.age = 2026-11-20",
        "ballast = \"8MB\"",
        "ballast = -1",
        "retention.bytes = \"512KiB\"",
        "journal.span = \"5GiB\"",
        "journal.checkpoint_records = 999",
        "class.web.boot_timeout = \"13h\"",
        "class.web.budget.log.every = \"999us\"",
        "class.web.budget.log.burst = 4294967296",
    ] {
        let (_file, given) = file(text);
        write_case(out, &text.replace('\n', " | "), &given);
    }
    for route in INVALID_ROUTES {
        let mail = "mail.server = \"mail.example.org\"\nmail.from = \"grid@example.org\"\n\
                    mail.to = \"ops@example.org\"\nmail.zone = \"UTC\"";
        let (_file, given) = file(&route.replace("MAIL", mail));
        write_case(out, &route.replace('\n', " | "), &given);
    }
    for hook in INVALID_WEBHOOKS {
        let (_file, given) = file(&hook.replace("URL", "url = \"http://hooks.example\""));
        write_case(out, &hook.replace('\n', " | "), &given);
    }
    for (dump, table) in INVALID_DUMPS
        .iter()
        .zip(["class.web.crash_dump", "appliance.db1.crash_dump"].into_iter().cycle())
    {
        let text = format!("{table}.{}", dump.replace("DUMP", table));
        let (_file, given) = file(&text);
        write_case(out, &text.replace('\n', " | "), &given);
    }
}

fn all_cases() -> String {
    let mut out = String::new();
    write_value_cases(&mut out);
    for form in INVALID_FILES {
        let (_file, given) = file(form);
        write_case(&mut out, &form.replace('\n', " | "), &given);
    }
    for key in UNKNOWN_KEYS {
        let (_file, given) = file(&format!("{key} = 1"));
        write_case(&mut out, &format!("{key} = 1"), &given);
    }
    for (name, value) in INVALID_VARIABLES {
        write_case(&mut out, &format!("{name}={value}"), &environment(&[(name, value)]));
    }
    let mut bytes = environment(&[]);
    let not_utf8 = std::os::unix::ffi::OsStringExt::from_vec(b"a\xff".to_vec());
    bytes.environment.push(("GRIDD_DATA".to_owned(), not_utf8));
    write_case(&mut out, "GRIDD_DATA=a\\xff", &bytes);
    for (key, value) in [("grpc", "here"), ("http", "0.0.0.0"), ("data", ""), ("tracing", "loud")] {
        let flags = vec![(key, value.to_owned())];
        write_case(
            &mut out,
            &format!("--{key} '{value}'"),
            &SettingsSources { flags, ..SettingsSources::default() },
        );
    }
    let (large, given) = file(&"#".repeat((1 << 20) + 1));
    write_case(&mut out, "a file of 1 MiB and one byte", &given);
    std::fs::write(large.path(), b"data = \"\xff\"").expect("writes");
    write_case(&mut out, "a file that is not UTF-8", &given);
    for path in ["nowhere.toml", "/"] {
        let given = SettingsSources { config: Some(path.into()), ..SettingsSources::default() };
        write_case(&mut out, &format!("--config {path}"), &given);
    }
    out
}

#[test]
fn every_error_has_the_expected_text() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests/mistakes.txt");
    let all = all_cases();
    if std::env::var_os("GRID_WRITE_MISTAKES").is_some() {
        std::fs::write(&path, &all).expect("writes");
    }
    let known = std::fs::read_to_string(&path).expect("the checked-in messages");
    for (is, was) in all.lines().zip(known.lines()) {
        assert_eq!(is, was, "GRID_WRITE_MISTAKES=1 writes the present messages");
    }
    assert_eq!(all.len(), known.len(), "GRID_WRITE_MISTAKES=1 writes the present messages");
    // Each key has at least one invalid value.
    for setting in Settings::default().effective() {
        let key = setting.key.replace("class.default", "class.web");
        let is_budget = key.contains(".budget.") && !key.contains(".log.");
        assert!(is_budget || known.contains(&format!("\n{key} = ")) || known.starts_with(&key));
    }
}

#[test]
fn all_errors_of_all_sources_are_reported_at_once() {
    let (_file, mut given) = file("grpc = \"here\"\nx = 1\n[retention]\nage = \"0d\"\ny = [\n");
    given.environment = environment(&[("GRIDD_FOO", ""), ("GRIDD_BALLAST", "8")]).environment;
    given.flags = vec![("http", "there".to_owned())];
    let errors = errors_of(&given);
    let places: Vec<_> = errors.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "gridd.toml:1",
            "gridd.toml:2",
            "gridd.toml:4",
            "gridd.toml:5",
            "GRIDD_BALLAST",
            "GRIDD_FOO",
            "--http"
        ]
    );
}

#[test]
fn mail_settings_are_checked_with_all_others_each_at_its_line_and_once() {
    let text = "[mail]\nserver = \"mail.example.org\"\nsecurity = \"plain\"\nca_file = \"/x.pem\"\n\
                user = \"grid\"\nfrom = \"nobody\"\nhello = \"a b\"\nconnections = 33\n\
                grid = \"a-name-of-twenty-eight-bytes\"\nto = \"a@b.c Mars/Base, anna\"\n\
                zone = \"Mars/Base\"\ngather = \"0s\"\n";
    let (_file, given) = file(text);
    let errors = errors_of(&given);
    let places: Vec<_> = errors
        .iter()
        .map(|line| line.trim_start_matches("gridd.toml:").splitn(3, ": ").take(2))
        .map(|parts| parts.collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        places,
        [
            "4 mail.ca_file",
            "5 mail.password_file",
            "6 mail.from",
            "7 mail.hello",
            "8 mail.connections",
            "9 mail.grid",
            "10 mail.to",
            "11 mail.zone",
            "12 mail.gather"
        ],
        "{errors:#?}"
    );
}

#[test]
fn a_typo_of_a_missing_key_hides_the_missing_key_error() {
    for text in [
        "[mail]\nserver = \"m.example.org\"\nto = \"a@b.c\"\nform = \"a@b.c\"\n",
        "[mail]\nserver = \"m.example.org\"\nto = \"a@b.c\"\nfrom = a@b.c\n",
        "[mail]\nserver = \"m.example.org\"\nto = \"a@b.c\"\nfrom = \"a\"\n",
    ] {
        let (_file, given) = file(text);
        let errors = errors_of(&given);
        assert!(errors.iter().all(|line| line.starts_with("gridd.toml:4: ")), "{errors:#?}");
    }
    let mut given = environment(&[("GRIDD_MAIL__SERVER", "m.example.org")]);
    let errors = errors_of(&given);
    let needed = "is needed where mail.server is given";
    let expected =
        ["mail.from", "mail.to"].map(|key| format!("GRIDD_MAIL__SERVER: {key} {needed}"));
    assert_eq!(errors, expected);
    given.environment.push(("GRIDD_MAIL__TO".to_owned(), "a@b.c".into()));
    assert_eq!(errors_of(&given), expected[..1]);
}

#[test]
fn a_reload_is_checked_as_a_whole_before_it_applies() {
    let old = "[mail]\nserver = \"m.example.org\"\nsecurity = \"plain\"\nfrom = \"g@b.c\"\nto = \"a@b.c\"\n";
    let (path, given) = file(old);
    let effective = Settings::new(&given).expect("is valid");
    assert!(effective.smtp.is_some());
    // Without mail it would be valid; but the server keeps its value until a restart.
    std::fs::write(path.path(), "[retention]\nage = \"3d\"\n").expect("writes");
    let new = Settings::new(&given).expect("is valid");
    let errors = effective.reload(new).expect_err("is inconsistent").to_string();
    assert!(
        errors.contains("mail.to is needed") || errors.contains("mail.to: is needed"),
        "{errors}"
    );
    assert!(errors.ends_with("need a restart keep their old values until then"), "{errors}");
    let to = old.replace("a@b.c\"\n", "b@b.c UTC\"\n");
    std::fs::write(path.path(), to).expect("writes");
    let (effective, changes) =
        effective.reload(Settings::new(&given).expect("is valid")).expect("is consistent");
    assert_eq!(changes.len(), 1);
    assert!(effective.smtp.is_some());
}
