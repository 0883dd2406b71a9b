//! Tests of sources, precedence, reload and secrets; the shipped file equals the defaults.

mod crash_dump;
mod errors;
mod invalid_tables;
mod route;
mod webhook;

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::key::{Accessor, Field, ReloadPolicy, SettingKey};
use super::secret::Secret;
use super::*;
use crate::grid::values::event::Severity;
use crate::identity::authenticator::AuthenticationMode;

/// A file of that text.
fn file(text: &str) -> (tempfile::NamedTempFile, SettingsSources) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("writes");
    let given =
        SettingsSources { config: Some(file.path().to_owned()), ..SettingsSources::default() };
    (file, given)
}

fn environment(variables: &[(&str, &str)]) -> SettingsSources {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).into());
    SettingsSources {
        environment: variables.iter().map(owned).collect(),
        ..SettingsSources::default()
    }
}

fn valid_settings(given: &SettingsSources) -> Settings {
    Settings::new(given).unwrap_or_else(|errors| panic!("is rejected: {errors}"))
}

/// Key, value and origin of the settings that are not defaults; files without their path.
fn overridden(settings: &Settings) -> Vec<String> {
    let rows = settings.effective().into_iter().filter(|it| it.origin != Origin::Default);
    let row = |EffectiveSetting { key, value, origin }| match origin {
        Origin::File { line, .. } => format!("{key} = {value} ({line})"),
        Origin::Default | Origin::Environment(_) | Origin::Flag(_) => {
            format!("{key} = {value} ({origin})")
        }
    };
    rows.map(row).collect()
}

#[test]
fn the_shipped_file_is_the_defaults_and_names_every_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/gridd.toml");
    let shipped =
        valid_settings(&SettingsSources { config: Some(path), ..SettingsSources::default() });
    let defaults = Settings::default();
    let values = |settings: &Settings| -> Vec<_> {
        settings.effective().into_iter().map(|it| (it.key, it.value)).collect()
    };
    assert_eq!(values(&shipped), values(&defaults));
    let grid = defaults.grid.with_mail(Some(defaults.mail.notification_rules()));
    assert_eq!(shipped.grid, grid);
    assert_eq!(shipped.journal, defaults.journal);
    // Parsing the file checks that all its keys are known.
    let missing: Vec<_> =
        shipped.effective().into_iter().filter(|it| it.origin == Origin::Default).collect();
    assert_eq!(missing, [], "these are not in the shipped file");
    assert_eq!(shipped.warnings(), []);
}

#[test]
fn every_key_is_shown_and_found_by_its_path_and_its_variable() {
    for key in keys::settings() {
        let path: Vec<String> = key.path.split('.').map(str::to_owned).collect();
        assert!(keys::key_kind(&path).is_setting, "{}", key.path);
        assert!(keys::find_setting(&path).is_some_and(|found| std::ptr::eq(found, key)));
        let is_containers = ["port", "service"].iter().any(|it| key.path.starts_with(it));
        assert!(!is_containers, "{}: container runtimes set such variables", key.path);
        assert_ne!(key.path.split('.').next(), Some("config"), "the flag has this name");
    }
    let given = environment(&[
        ("GRIDD_DATA", "d"),
        ("GRIDD_RETENTION__AGE", "1d12h"),
        ("GRIDD_JOURNAL__CHECKPOINT_RECORDS", "2000"),
        ("GRIDD_CLASS__DATABASE__BOOT_TIMEOUT", "1h"),
        ("GRIDD_CLASS__DATABASE__MANAGED", "false"),
        ("GRIDD_CLASS__DATABASE__BUDGET__LOG__EVERY", "250ms"),
        ("GRIDD_CONFIG", "read by the flag"),
        ("GRIDD_PORT_7443_TCP", "tcp://10.0.0.1:7443"),
        ("GRIDD_SERVICE_HOST", "10.0.0.1"),
        ("OTHER", "not ours"),
    ]);
    assert_eq!(
        overridden(&valid_settings(&given)),
        [
            "data = d (GRIDD_DATA)",
            "retention.age = 1d12h (GRIDD_RETENTION__AGE)",
            "journal.checkpoint_records = 2000 (GRIDD_JOURNAL__CHECKPOINT_RECORDS)",
            "class.database.managed = false (GRIDD_CLASS__DATABASE__MANAGED)",
            "class.database.boot_timeout = 1h (GRIDD_CLASS__DATABASE__BOOT_TIMEOUT)",
            "class.database.budget.log.every = 250ms (GRIDD_CLASS__DATABASE__BUDGET__LOG__EVERY)",
        ]
    );
    assert_eq!(keys::variable_name(&["class", "Web", "managed"]), None);
    assert_eq!(keys::variable_name(&["class", "a-b", "managed"]), None);
}

#[test]
fn flags_override_environment_overrides_file_overrides_defaults() {
    let (_file, mut given) = file("grpc = \"127.0.0.1:1\"\nhttp = \"[::1]:2\"\ndata = \"f\"\n");
    given.environment =
        environment(&[("GRIDD_GRPC", "127.0.0.1:3"), ("GRIDD_DATA", "e")]).environment;
    given.flags = vec![("grpc", "localhost:4".to_owned())];
    let settings = valid_settings(&given);
    assert_eq!(
        overridden(&settings),
        ["data = e (GRIDD_DATA)", "grpc = 127.0.0.1:4 (--grpc)", "http = [::1]:2 (2)"]
    );
    assert_eq!((settings.grpc.port(), settings.http.port()), (4, 2));
    assert_eq!(settings.tracing, "info");
}

#[test]
fn a_class_has_all_its_settings() {
    let (_file, given) = file(
        "[class.web]\nmanaged = false\nboot_timeout = \"infinite\"\nlog_severity = \"debug\"\n\
         on_stuck = \"fail\"\n[class.empty]\n[class.\"a.b\"]\nlost_contact = \"1s\"\n",
    );
    let settings = valid_settings(&given);
    let web = settings.grid.class("web").expect("is there");
    assert!(!web.managed && web.boot_timeout.is_none() && web.log_severity_min == Severity::Debug);
    assert_eq!(settings.grid.class("empty"), Some(&ClassSettings::default()));
    let dotted = settings.grid.class("a.b").expect("is there");
    assert_eq!(dotted.lost_contact, Duration::from_secs(1));
    assert_eq!(overridden(&settings).last().unwrap(), "class.web.log_severity = debug (4)");
    assert!(overridden(&settings).contains(&"class.\"a.b\".lost_contact = 1s (8)".to_owned()));
    assert_eq!(
        settings.class_origin("empty").to_string(),
        format!("{}:6", given.config.unwrap().display())
    );
}

#[test]
fn budgets_are_set_by_halves_as_unlimited_and_for_a_whole_class() {
    let text = "[class.load]\nbudget = \"unlimited\"\n[class.web.budget]\nlog = { burst = 7 }\n\
                alert = \"unlimited\"\ncounter = { burst = 1, every = \"1h\" }\n";
    let (_file, mut given) = file(text);
    given.environment = environment(&[
        ("GRIDD_CLASS__WEB__BUDGET__ALERT__BURST", "3"),
        ("GRIDD_CLASS__WEB__BUDGET__COUNTER", "unlimited"),
        ("GRIDD_CLASS__LOAD__BUDGET__LOG__EVERY", "1s"),
    ])
    .environment;
    let settings = valid_settings(&given);
    let of = |class: &str| settings.grid.class(class).expect("is there").rate_limits.clone();
    let budget = |burst, every| {
        let burst = std::num::NonZeroU32::new(burst).expect("not zero");
        Some(grid::model::settings::RateLimit { burst, interval: Duration::from_secs(every) })
    };
    let (load, web) = (of("load"), of("web"));
    assert_eq!((load.lifecycle, load.log), (None, budget(25, 1)), "the more specific one");
    assert_eq!((web.log, web.alert, web.counter), (budget(7, 5), budget(3, 60), None));
    let warned: Vec<_> = settings.warnings().into_iter().map(|it| it.key).collect();
    assert_eq!(warned, ["class.load.budget", "class.web.budget.counter"]);
}

#[test]
fn risky_values_are_warned_of() {
    let (_file, given) = file(
        "[class.a]\nboot_timeout = \"infinite\"\n[class.b]\nmaintenance_silence = \"5m\"\n\
         [class.c.budget]\nlog = \"unlimited\"\n",
    );
    let path = given.config.clone().expect("a path");
    let texts: Vec<_> = valid_settings(&given)
        .warnings()
        .iter()
        .map(|it| it.to_string().replace(&path.display().to_string(), "FILE"))
        .collect();
    assert_eq!(
        texts,
        [
            "FILE:2: class.a.boot_timeout: infinite: a start that never ends is never reported as \
             failed",
            "FILE:6: class.c.budget.log: unlimited: one appliance alone can fill the grid log",
            "FILE:4: class.b.maintenance_silence: is longer than promise_max: an appliance that sets no \
             report deadline gets a longer one than one that sets it",
        ]
    );
}

#[test]
fn a_reload_applies_live_settings_and_names_those_that_need_a_restart() {
    let (file, mut given) = file("[retention]\nage = \"30d\"\n[class.old]\n[class.web]\n");
    given.flags = vec![("http", "127.0.0.1:5".to_owned())];
    let old = valid_settings(&given);
    let text = "grpc = \"127.0.0.1:9\"\nhttp = \"127.0.0.1:6\"\n[retention]\nage = \"40d\"\n\
                [journal]\nspan = \"1MiB\"\n[class.web]\nbudget.log = \"unlimited\"\n\
                [class.new]\nmanaged = false\n";
    std::fs::write(file.path(), text).expect("writes");
    let (effective, changes) = old.reload(valid_settings(&given)).expect("is consistent");
    let path = file.path().display().to_string();
    let texts: Vec<_> = changes.iter().map(|it| it.to_string().replace(&path, "FILE")).collect();
    assert_eq!(
        texts,
        [
            "class.old is removed, was a class",
            "class.new = a class (FILE:9)",
            "grpc = 127.0.0.1:9, was 127.0.0.1:7443 (FILE:1); needs a restart, until then the old \
             value applies",
            "retention.age = 40d, was 30d (FILE:4)",
            "journal.span = 1MiB, was 256MiB (FILE:6); needs a restart, until then the old value \
             applies",
            "class.new.managed = false (FILE:10)",
            "class.web.budget.log = unlimited (FILE:8)",
        ],
        "the flag still overrides the file"
    );
    assert_eq!(effective.grpc, old.grpc);
    assert_eq!(effective.journal.segment_bytes, old.journal.segment_bytes);
    assert_eq!(effective.journal.retention.age, Duration::from_secs(40 * 86_400));
    assert!(effective.grid.class("old").is_none() && effective.grid.class("new").is_some());
    let (again, changes) = effective.reload(valid_settings(&given)).expect("is consistent");
    assert_eq!(again.effective(), effective.effective());
    assert_eq!(changes.len(), 2, "settings that need a restart are reported until there is one");
    let (_, nothing) = effective.reload(effective.clone()).expect("is consistent");
    assert_eq!(nothing, []);
}

/// Settings with a secret, as a part of gridd that needs one would have them.
#[derive(Clone, Debug, Default)]
struct WithSecret {
    password: Option<Secret>,
}

const PASSWORD: Field<WithSecret, Option<Secret>> = |it| &mut it.password;

#[test]
fn a_secret_comes_by_file_or_environment_and_is_shown_nowhere() {
    let of_file = SettingKey {
        path: "mail.password_file",
        accessor: Accessor::SecretFile(PASSWORD),
        reload: ReloadPolicy::Live,
        flag: None,
    };
    let of_environment = Accessor::SecretText(PASSWORD);
    let secret_file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(secret_file.path(), "s3cr3t\n").expect("writes");
    let path = secret_file.path().display().to_string();
    let line = Origin::File { path: "gridd.toml".into(), line: 3 };
    let variable = Origin::Environment("GRIDD_MAIL__PASSWORD".to_owned());

    let mut settings = WithSecret::default();
    assert_eq!(of_file.accessor.format(&mut settings), None, "there is none");
    of_file.accessor.set(&RawValue::Text(path.clone()), &line, &mut settings).expect("is valid");
    assert_eq!(settings.password.as_ref().expect("is there").expose(), "s3cr3t");
    assert_eq!(of_file.accessor.format(&mut settings), Some(format!("*** in {path}")));
    assert_eq!(of_environment.format(&mut settings), None);
    assert_eq!(format!("{settings:?}"), "WithSecret { password: Some(***) }");
    assert_eq!(of_file.accessor.warning(&mut settings), None);

    for raw in
        [RawValue::Text("hunter2".to_owned()), RawValue::Integer("1234".to_owned(), Some(1_234))]
    {
        let error = of_file.accessor.set(&raw, &line, &mut settings).expect_err("is rejected");
        assert_eq!(
            error,
            "its value is not the path of a file with the secret, such as ./password"
        );
    }

    std::fs::write(secret_file.path(), "another\n").expect("writes");
    let mut renewed = WithSecret::default();
    of_file.accessor.set(&RawValue::Text(path), &line, &mut renewed).expect("is valid");
    assert!(of_file.accessor.is_secret_changed(&mut settings, &mut renewed));
    assert!(!of_file.accessor.is_secret_changed(&mut settings.clone(), &mut settings));

    let raw = RawValue::Untyped("s3cr3t".to_owned());
    of_environment.set(&raw, &variable, &mut settings).expect("is valid");
    assert_eq!(of_environment.format(&mut settings), Some("***".to_owned()));
    for origin in [line, Origin::Flag("--password")] {
        let error = of_environment.set(&raw, &origin, &mut settings).expect_err("is rejected");
        assert_eq!(
            error,
            "a secret is not for a file or a command line: use the key that ends in _file, or the \
             environment"
        );
    }
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(secret_file.path(), open).expect("a mode");
    let raw = RawValue::Text(secret_file.path().display().to_string());
    of_file.accessor.set(&raw, &Origin::Default, &mut settings).expect("is valid");
    let warning = of_file.accessor.warning(&mut settings).expect("a warning");
    assert!(warning.starts_with("every user of this machine can read /"), "{warning}");
}

proptest! {
    #[test]
    fn nothing_that_is_written_makes_the_reading_panic(
        text in "[a-z.=\"'\\[\\]{}#, 0-9\n-]{0,200}",
        parts in prop::collection::vec("(class|web|budget|log|every|retention|age|=|\\.|\"|[ \n\\[\\]{}]|5s)", 0..30),
        name in "GRIDD_[A-Za-z_]{0,40}",
        value in ".{0,20}",
    ) {
        for text in [text, parts.concat()] {
            let (_file, mut given) = file(&text);
            given.environment = environment(&[(&name, &value)]).environment;
            match Settings::new(&given) {
                Ok(settings) => prop_assert!(settings.effective().len() >= keys::settings().count()),
                Err(errors) => prop_assert!(!errors.to_string().is_empty()),
            }
        }
    }
}

#[test]
fn listeners_off_loopback_have_tls_and_need_credentials() {
    let of = |text: &str| {
        let (_file, given) = file(text);
        let settings = valid_settings(&given);
        let mode = settings.authentication_mode();
        (settings.grpc_has_tls(), settings.http_has_tls(), mode)
    };
    let (off, required) = (AuthenticationMode::Off, AuthenticationMode::Required);
    let outside = "grpc = \"0.0.0.0:7443\"\n";
    for (text, grpc_tls, http_tls, mode) in [
        ("", false, false, off),
        ("grpc = \"[::1]:7443\"\nhttp = \"127.3.2.1:80\"\n", false, false, off),
        (outside, true, false, required),
        ("http = \"192.0.2.7:80\"\n", false, true, required),
        ("authentication = \"required\"\n", false, false, required),
        ("tls.mode = \"on\"\n", true, true, off),
        ("tls.mode = \"on\"\nauthentication = \"off\"\n", true, true, off),
        (&format!("{outside}tls.plaintext_off_loopback = true\n"), true, false, required),
        (
            &format!("{outside}tls.plaintext_off_loopback = true\ntls.mode = \"off\"\n"),
            false,
            false,
            required,
        ),
    ] {
        assert_eq!(of(text), (grpc_tls, http_tls, mode), "{text}");
    }
    let (_file, given) =
        file(&format!("{outside}tls.plaintext_off_loopback = true\ntls.mode = \"off\"\n"));
    let warnings = valid_settings(&given).warnings();
    let [warning] = warnings.as_slice() else { panic!("one warning: {warnings:?}") };
    let text = warning.to_string();
    assert!(text.contains("tokens and events can be read and changed on the way"), "{text}");
}

#[test]
fn listeners_conflict_on_the_same_port() {
    let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
    for (one, other, expected) in [
        ("127.0.0.1:1", "127.0.0.1:1", true),
        ("127.0.0.1:1", "127.0.0.2:1", false),
        ("127.0.0.1:1", "127.0.0.1:2", false),
        ("127.0.0.1:0", "127.0.0.1:0", false),
        ("0.0.0.0:1", "127.0.0.1:1", true),
        ("[::1]:1", "[::]:1", true),
        ("[::]:1", "127.0.0.1:1", true),
        ("[::1]:1", "127.0.0.1:1", false),
    ] {
        assert_eq!(addresses_conflict(at(one), at(other)), expected, "{one} {other}");
    }
}
