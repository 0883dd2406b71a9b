//! Tests the settings of crash dumps: their sources, the tables of single appliances, and reloads.

use super::*;
use crate::grid::model::crash_dump::{AutomaticDump, CrashDumpSettings};
use crate::grid::values::crash_dump::DumpDriver;
use crate::grid::values::id::ApplianceName;

/// How crash dumps of the appliance `name` of that class are triggered.
fn of(settings: &Settings, name: &str, class: &str) -> CrashDumpSettings {
    settings.grid.crash_dump(&ApplianceName::new(name).expect("a name"), class)
}

#[test]
fn an_appliance_has_the_settings_of_its_class_unless_it_has_its_own() {
    let (_file, given) = file(
        "[class.web.crash_dump]\ndriver = \"qemu\"\nsocket = \"/run/{name}.qmp\"\ntimeout = \"5s\"\n\
         on_hung = \"crash-dump\"\non_boot_timeout = \"agent\"\n\
         [appliance.db1.crash_dump]\ndriver = \"command\"\nprogram = \"/opt/dump\"\n\
         arguments = [\"--vm={name}\", \"\", \"a b\", '{\"id\":\"{uuid}\"}']\n\
         [appliance.\"a:b.c\".crash_dump]\n",
    );
    let settings = valid_settings(&given);
    let web = of(&settings, "web1", "web");
    assert_eq!((web.driver, web.timeout.as_secs()), (DumpDriver::Qemu, 5));
    assert_eq!((web.socket.as_str(), web.uri.as_str()), ("/run/{name}.qmp", "qemu:///system"));
    assert_eq!(web.on_hung, AutomaticDump::Configured);
    assert_eq!(web.on_boot_timeout, AutomaticDump::By(DumpDriver::Agent));
    let db1 = of(&settings, "db1", "web");
    assert_eq!((db1.driver, db1.timeout.as_secs()), (DumpDriver::Command, 30), "as a whole");
    assert_eq!(db1.arguments, ["--vm={name}", "", "a b", "{\"id\":\"{uuid}\"}"]);
    assert_eq!(of(&settings, "a:b.c", "web"), CrashDumpSettings::default(), "an empty table, too");
    assert_eq!(of(&settings, "web1", "default"), CrashDumpSettings::default());
    let shown = overridden(&settings);
    for row in [
        "class.web.crash_dump.driver = qemu (2)",
        "class.web.crash_dump.on_hung = crash-dump (5)",
        "class.web.crash_dump.on_boot_timeout = agent (6)",
        "appliance.db1.crash_dump.program = /opt/dump (9)",
        "appliance.db1.crash_dump.arguments = [\"--vm={name}\",\"\",\"a b\",\"{\\\"id\\\":\\\"{uuid}\\\"}\"] (10)",
    ] {
        assert!(shown.contains(&row.to_owned()), "{row}: {shown:#?}");
    }
    let keys: Vec<_> = settings.effective().into_iter().map(|it| it.key).collect();
    assert!(keys.contains(&"appliance.\"a:b.c\".crash_dump.driver".to_owned()), "{keys:?}");
    assert_eq!(settings.warnings(), []);
}

#[test]
fn variables_set_what_files_set() {
    let settings = valid_settings(&environment(&[
        ("GRIDD_CLASS__DEFAULT__CRASH_DUMP__DRIVER", "libvirt"),
        ("GRIDD_CLASS__DEFAULT__CRASH_DUMP__ON_HUNG", "agent"),
        ("GRIDD_APPLIANCE__DB_1__CRASH_DUMP__PROGRAM", "/bin/true"),
        ("GRIDD_APPLIANCE__DB_1__CRASH_DUMP__DRIVER", "command"),
        ("GRIDD_APPLIANCE__DB_1__CRASH_DUMP__ARGUMENTS", "[\"-x\", \"{name}\"]"),
        ("GRIDD_APPLIANCE__DB_1__CRASH_DUMP__PORT", "6230"),
    ]));
    assert_eq!(of(&settings, "any", "default").driver, DumpDriver::Libvirt);
    let own = of(&settings, "db_1", "default");
    assert_eq!((own.driver, own.port), (DumpDriver::Command, 6_230));
    assert_eq!(own.arguments, ["-x", "{name}"]);
}

#[test]
fn an_error_is_at_the_line_or_variable_that_causes_it() {
    let text = "[class.web.crash_dump]\ntimeout = \"5s\"\ndriver = \"ipmi\"\nuser = \"u\"\n";
    let (_file, given) = file(text);
    let path = given.config.clone().expect("a path");
    let error = Settings::new(&given).expect_err("is rejected").to_string();
    let needed = "is needed by the driver ipmi: the BMC's name";
    assert_eq!(error, format!("{}:3: class.web.crash_dump.host: {needed}", path.display()));
    let given = environment(&[("GRIDD_CLASS__WEB__CRASH_DUMP__ON_HUNG", "ipmi")]);
    let error = Settings::new(&given).expect_err("is rejected").to_string();
    assert_eq!(
        error,
        format!("GRIDD_CLASS__WEB__CRASH_DUMP__ON_HUNG: class.web.crash_dump.host {needed}")
    );
}

#[test]
fn a_misspelt_key_hides_that_it_is_missing() {
    let text = "[class.web.crash_dump]\ndriver = \"qemu\"\nsokcet = \"/run/qmp\"\n";
    let (_file, given) = file(text);
    let error = Settings::new(&given).expect_err("is rejected").to_string();
    assert!(error.contains(":3: ") && error.lines().count() == 1, "{error}");
}

#[test]
fn a_reload_applies_changes_at_once() {
    let old_text = "[class.web.crash_dump]\ndriver = \"agent\"\n[appliance.db1.crash_dump]\n\
                    driver = \"agent\"\n";
    let (file, given) = file(old_text);
    let old = valid_settings(&given);
    let new_text = "[class.web.crash_dump]\ndriver = \"libvirt\"\n[appliance.db2.crash_dump]\n\
                    driver = \"agent\"\n";
    std::fs::write(file.path(), new_text).expect("writes");
    let (effective, changes) = old.reload(valid_settings(&given)).expect("is consistent");
    let path = file.path().display().to_string();
    let texts: Vec<_> = changes.iter().map(|it| it.to_string().replace(&path, "FILE")).collect();
    assert_eq!(
        texts,
        [
            "appliance.db1.crash_dump is removed, was settings of its own",
            "appliance.db2.crash_dump = settings of its own (FILE:3)",
            "class.web.crash_dump.driver = libvirt, was agent (FILE:2)",
            "appliance.db2.crash_dump.driver = agent (FILE:4)",
        ]
    );
    assert_eq!(of(&effective, "db1", "web").driver, DumpDriver::Libvirt);
    assert_eq!(of(&effective, "db2", "web").driver, DumpDriver::Agent);
}

#[test]
fn a_password_file_of_everybody_is_warned_of_where_it_is_used() {
    let password = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(password.path(), "s3cr3t\n").expect("writes");
    let text = |driver: &str| {
        let path = password.path().display();
        format!(
            "[class.web.crash_dump]\ndriver = \"{driver}\"\nhost = \"bmc1\"\nuser = \"u\"\n\
             password_file = \"{path}\"\n"
        )
    };
    let warnings = |driver: &str| {
        let (_file, given) = file(&text(driver));
        valid_settings(&given).warnings()
    };
    assert_eq!(warnings("ipmi"), [], "it is its owner's alone");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(password.path(), open).expect("a mode");
    let [warning] = &warnings("ipmi")[..] else { panic!("one warning") };
    let shown = warning.to_string();
    assert!(shown.contains(":5: class.web.crash_dump.password_file: every user"), "{shown}");
    assert_eq!(warnings("agent"), [], "it is not used");
    let (_file, given) = file(&text("ipmi"));
    let settings = valid_settings(&given);
    let all: Vec<_> = settings.effective().into_iter().map(|it| it.value).collect();
    assert!(!all.join("\n").contains("s3cr3t"));
}

#[test]
fn names_of_drivers_are_those_of_the_drivers() {
    use crate::config::crash_dump::{AUTOMATIC_DUMPS, DRIVERS};
    let all: Vec<_> = DumpDriver::ALL.iter().map(|driver| (driver.as_str(), *driver)).collect();
    assert_eq!(DRIVERS.as_slice(), all);
    for driver in DumpDriver::ALL.into_iter().filter(|it| *it != DumpDriver::None) {
        assert!(AUTOMATIC_DUMPS.contains(&(driver.as_str(), AutomaticDump::By(driver))));
    }
}
