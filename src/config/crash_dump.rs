//! The settings of crash dumps: their keys, in classes and for single appliances, and whether they fit
//! together.
//!
//! Guarantees that a driver has what it needs, that no text can be taken for an option of a program,
//! and that only known placeholders occur. Does not look for sockets, programs or machines: they
//! come and go.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Settings;
use super::key::{Accessor, SettingKey};
use super::keys::live;
use super::mail::TextRule;
use super::secret::Secret;
use crate::config::error::{ConfigError, Origin};
use crate::config::raw_value::dotted_key;
use crate::grid::model::crash_dump::{AutomaticDump, CrashDumpSettings};
use crate::grid::model::settings::ClassSettings;
use crate::grid::values::crash_dump::DumpDriver;
use crate::show::escape::excerpt;

/// The table whose tables are appliances.
pub const APPLIANCE_TABLE: &str = "appliance";

/// The table of these settings, within a class or an appliance.
pub const DUMP_TABLE: &str = "crash_dump";

/// Limits of the time that a driver may take.
const TIMEOUT_RANGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);

/// Limits of a port.
const PORT_RANGE: RangeInclusive<u64> = 1..=65_535;

/// Most arguments of a program.
const ARGUMENTS_MAX: usize = 64;

/// Longest argument or other text, in bytes.
const TEXT_BYTES_MAX: usize = 1_000;

/// Longest user of a BMC, in bytes: `ipmitool` refuses more.
const USER_BYTES_MAX: usize = 16;

/// What is replaced in texts.
const PLACEHOLDERS: [&str; 2] = ["{name}", "{uuid}"];

/// Names of drivers.
pub(super) const DRIVERS: [(&str, DumpDriver); 6] = [
    ("none", DumpDriver::None),
    ("qemu", DumpDriver::Qemu),
    ("libvirt", DumpDriver::Libvirt),
    ("ipmi", DumpDriver::Ipmi),
    ("agent", DumpDriver::Agent),
    ("command", DumpDriver::Command),
];

/// What the broker may do by itself.
pub(super) const AUTOMATIC_DUMPS: [(&str, AutomaticDump); 7] = [
    ("none", AutomaticDump::Off),
    ("crash-dump", AutomaticDump::Configured),
    ("qemu", AutomaticDump::By(DumpDriver::Qemu)),
    ("libvirt", AutomaticDump::By(DumpDriver::Libvirt)),
    ("ipmi", AutomaticDump::By(DumpDriver::Ipmi)),
    ("agent", AutomaticDump::By(DumpDriver::Agent)),
    ("command", AutomaticDump::By(DumpDriver::Command)),
];

/// A socket of QEMU.
static SOCKET: TextRule =
    TextRule { allowed: "a path from / such as /run/qemu/{name}.qmp", error: path_error };

/// A file with a password.
static PASSWORD_FILE: TextRule =
    TextRule { allowed: "a path from / such as /etc/gridd/bmc-password", error: path_error };

/// A program.
static PROGRAM: TextRule = TextRule {
    allowed: "a path from / such as /usr/local/bin/dump-vm, without arguments",
    error: path_error,
};

/// gridd's own folder is not the operator's, so a relative path would mislead.
fn path_error(text: &str) -> Option<String> {
    text_error(text, |text| text.is_empty() || text.starts_with('/'))
}

/// A connection of libvirt.
static URI: TextRule = TextRule {
    allowed: "a URI of libvirt such as qemu:///system",
    error: |text| text_error(text, |text| !text.starts_with('-') && !text.contains(' ')),
};

/// A domain. Digits alone are an id for `virsh`, and another domain may have it.
static DOMAIN: TextRule = TextRule {
    allowed: "a domain of libvirt by name or UUID such as {name}; it does not begin with - and is no id",
    error: |text| {
        let is_id = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        text_error(text, |text| !text.starts_with('-') && (text.is_empty() || !is_id(text)))
    },
};

/// A BMC.
static HOST: TextRule = TextRule {
    allowed: "a host name or an address such as {name}.bmc.example, without a port",
    error: |text| {
        let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:%{}".contains(&byte);
        text_error(text, |text| !text.starts_with('-') && text.bytes().all(is_of_host))
    },
};

/// A user of a BMC.
static USER: TextRule = TextRule {
    allowed: "a user of at most 16 bytes, one line",
    error: |text| {
        let has_placeholder = PLACEHOLDERS.iter().any(|it| text.contains(it));
        text_error(text, |text| has_placeholder || text.len() <= USER_BYTES_MAX)
    },
};

/// Why a text is invalid.
fn text_error(text: &str, is_allowed: impl Fn(&str) -> bool) -> Option<String> {
    if text.len() > TEXT_BYTES_MAX || text.contains(char::is_control) {
        return Some("it is longer than 1,000 bytes, or not one line".to_owned());
    }
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let known = PLACEHOLDERS.iter().find(|it| rest[at..].starts_with(**it));
        let Some(known) = known else {
            let word = excerpt(rest[at..].split_inclusive('}').next().unwrap_or_default());
            return Some(format!("`{word}` is no placeholder; there are {{name}} and {{uuid}}"));
        };
        rest = &rest[at + known.len()..];
    }
    (!is_allowed(text)).then(String::new)
}

/// Why arguments are invalid. Braces are allowed: arguments may be JSON.
pub(super) fn arguments_error(arguments: &[String]) -> Option<String> {
    if arguments.len() > ARGUMENTS_MAX {
        return Some(format!("there are {}", arguments.len()));
    }
    let is_invalid = |text: &&String| text.len() > TEXT_BYTES_MAX || text.contains('\0');
    let invalid = arguments.iter().find(is_invalid)?;
    Some(format!("`{}` is too long, or contains a zero byte", excerpt(invalid)))
}

/// The keys, of what has these settings.
macro_rules! dump_settings {
    ($of:ident => $settings:expr) => {
        [
            live("crash_dump.driver", Accessor::DumpDriver(|$of| &mut $settings.driver)),
            live(
                "crash_dump.timeout",
                Accessor::Duration(TIMEOUT_RANGE, |$of| &mut $settings.timeout),
            ),
            live("crash_dump.socket", Accessor::Text(&SOCKET, |$of| &mut $settings.socket)),
            live("crash_dump.uri", Accessor::Text(&URI, |$of| &mut $settings.uri)),
            live("crash_dump.domain", Accessor::Text(&DOMAIN, |$of| &mut $settings.domain)),
            live("crash_dump.host", Accessor::Text(&HOST, |$of| &mut $settings.host)),
            live("crash_dump.port", Accessor::Count(PORT_RANGE, |$of| &mut $settings.port)),
            live("crash_dump.user", Accessor::Text(&USER, |$of| &mut $settings.user)),
            live(
                "crash_dump.password_file",
                Accessor::Text(&PASSWORD_FILE, |$of| &mut $settings.password_file),
            ),
            live("crash_dump.program", Accessor::Text(&PROGRAM, |$of| &mut $settings.program)),
            live("crash_dump.arguments", Accessor::Arguments(|$of| &mut $settings.arguments)),
            live("crash_dump.on_hung", Accessor::AutomaticDump(|$of| &mut $settings.on_hung)),
            live(
                "crash_dump.on_boot_timeout",
                Accessor::AutomaticDump(|$of| &mut $settings.on_boot_timeout),
            ),
        ]
    };
}

/// The settings of a class.
pub(super) static CLASS_DUMP_SETTINGS: [SettingKey<ClassSettings>; 13] =
    dump_settings!(it => Arc::make_mut(&mut it.crash_dump));

/// The settings of a single appliance, within `appliance.NAME`.
pub static APPLIANCE_SETTINGS: [SettingKey<CrashDumpSettings>; 13] = dump_settings!(it => it);

/// The table of an appliance.
pub(super) fn appliance_table(name: &str) -> String {
    dotted_key(&[APPLIANCE_TABLE, name, DUMP_TABLE])
}

/// The path of an appliance's key.
pub(super) fn appliance_path(name: &str, key: &str) -> String {
    format!("{}.{key}", dotted_key(&[APPLIANCE_TABLE, name]))
}

/// Something that a driver needs and does not have.
struct MissingSetting {
    /// The key of it.
    key: &'static str,
    /// What it is.
    what: &'static str,
}

/// What the driver lacks.
fn missing(settings: &CrashDumpSettings, driver: DumpDriver) -> Option<MissingSetting> {
    let (value, key, what) = match driver {
        DumpDriver::None | DumpDriver::Agent => return None,
        DumpDriver::Qemu => (&settings.socket, "socket", "the path of a QMP socket"),
        DumpDriver::Libvirt if settings.uri.is_empty() => (&settings.uri, "uri", "a URI"),
        DumpDriver::Libvirt => (&settings.domain, "domain", "a domain"),
        DumpDriver::Ipmi if settings.host.is_empty() => (&settings.host, "host", "the BMC's name"),
        DumpDriver::Ipmi => (&settings.user, "user", "a user of the BMC"),
        DumpDriver::Command => (&settings.program, "program", "the path of a program"),
    };
    value.is_empty().then_some(MissingSetting { key, what })
}

/// The drivers that are used, each with the key that says so.
fn used_drivers(settings: &CrashDumpSettings) -> Vec<(DumpDriver, &'static str)> {
    let mut all = vec![(settings.driver, "driver")];
    for (automatic, key) in
        [(settings.on_hung, "on_hung"), (settings.on_boot_timeout, "on_boot_timeout")]
    {
        match automatic {
            AutomaticDump::By(driver) if all.iter().all(|it| it.0 != driver) => {
                all.push((driver, key));
            }
            AutomaticDump::By(_) | AutomaticDump::Off | AutomaticDump::Configured => {}
        }
    }
    all
}

/// The password file, unless placeholders are part of its path.
fn password_file(settings: &CrashDumpSettings) -> Option<&Path> {
    let is_used = used_drivers(settings).iter().any(|it| it.0 == DumpDriver::Ipmi);
    let path = settings.password_file.as_str();
    (is_used && !path.is_empty() && !path.contains('{')).then(|| Path::new(path))
}

impl Settings {
    /// Errors of these settings as a whole. `reported` has the errors of single values; with
    /// `is_incomplete`, parts of the file could not be read, and may contain what is missing.
    pub(super) fn check_crash_dumps(
        &self,
        reported: &[ConfigError],
        is_incomplete: bool,
    ) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        for (table, settings) in self.crash_dump_tables() {
            let prefix = format!("{table}.");
            // What is missing may be misspelt.
            if is_incomplete || reported.iter().any(|error| error.key.starts_with(&prefix)) {
                continue;
            }
            for (driver, by) in used_drivers(&settings) {
                let Some(MissingSetting { key, what }) = missing(&settings, driver) else {
                    continue;
                };
                let driver = driver.as_str();
                let text = format!("is needed by the driver {driver}: {what}");
                errors.push(self.dump_error(&table, key, by, text));
            }
            for (automatic, key) in
                [(settings.on_hung, "on_hung"), (settings.on_boot_timeout, "on_boot_timeout")]
            {
                if automatic == AutomaticDump::Configured && settings.driver == DumpDriver::None {
                    let text =
                        "is crash-dump, but there is no driver; set driver, or name a driver here";
                    errors.push(self.dump_error(&table, key, key, text.to_owned()));
                }
            }
            if let Some(Err(error)) = password_file(&settings).map(Secret::read) {
                let key = "password_file";
                errors.push(self.dump_error(&table, key, key, error.to_string()));
            }
        }
        errors
    }

    /// Warnings about these settings.
    pub(super) fn crash_dump_warnings(&self) -> Vec<ConfigError> {
        let mut all = Vec::new();
        for (table, settings) in self.crash_dump_tables() {
            let Some(Ok(secret)) = password_file(&settings).map(Secret::read) else { continue };
            if secret.is_world_readable() {
                let path = &settings.password_file;
                let text =
                    format!("every user of this machine can read {path}; `chmod o-r` fixes it");
                all.push(self.dump_error(&table, "password_file", "password_file", text));
            }
        }
        all
    }

    /// All tables of these settings, with their keys.
    fn crash_dump_tables(&self) -> Vec<(String, CrashDumpSettings)> {
        let of_class = |name: &str| {
            let settings = self.grid.class(name)?.crash_dump.as_ref().clone();
            Some((dotted_key(&[super::CLASS_TABLE, name, DUMP_TABLE]), settings))
        };
        let classes = self.grid.class_names().filter_map(of_class);
        let appliances = self.grid.crash_dumps();
        let appliances = appliances.map(|(name, own)| (appliance_table(name), own.clone()));
        classes.chain(appliances).collect()
    }

    /// An error at `table.key`, at the source of that key or else of `table.cause`.
    fn dump_error(&self, table: &str, key: &str, cause: &str, text: String) -> ConfigError {
        let [key, cause] = [key, cause].map(|key| format!("{table}.{key}"));
        let own = self.origin(&key);
        let is_own = own != Origin::Default || key == cause;
        let origin = if is_own { own } else { self.origin(&cause) };
        // A variable's name names only its own key.
        let text = match origin {
            Origin::Environment(_) if !is_own => format!("{key} {text}"),
            Origin::Environment(_) | Origin::Default | Origin::File { .. } | Origin::Flag(_) => {
                text
            }
        };
        ConfigError { origin, key, text }
    }
}
