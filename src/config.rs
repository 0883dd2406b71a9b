//! Combines flags, environment, configuration file and defaults into validated settings.
//!
//! ```text
//! file, environment, flags --> raw settings --keys--> Settings, which are always valid
//! ```
//!
//! Flags override the environment, which overrides the file, which overrides the defaults.
//! Guarantees that all errors are reported at once, each with its file and line (or variable, or
//! flag), its key and what is allowed; and that every effective setting can be listed with the
//! source of its value. Check, start and SIGHUP all build [`Settings`] in the same way: what one of
//! them accepts the others accept. Opens nothing but the file and what it names: secrets,
//! certificates.

mod audit;
mod certificates;
pub mod change;
pub mod crash_dump;
mod effective;
mod environment;
pub mod error;
mod file;
mod filter;
mod host_name;
pub mod http_target;
pub mod key;
pub mod keys;
pub mod mail;
pub(crate) mod mail_templates;
pub mod openstack;
mod raw_value;
pub mod report;
pub mod route;
pub mod secret;
mod suggestion;
pub mod tls;
pub mod webhook;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use crate::grid;
use crate::grid::model::crash_dump::CrashDumpSettings;
use crate::grid::model::settings::{AlertRules, CertificateRules, ClassSettings};
use crate::journal;
use crate::tracing_lines::LogFormat;

pub use self::effective::EffectiveSetting;

use self::crash_dump::APPLIANCE_TABLE;
use self::keys::CLASS_TABLE;
use self::mail::MailSettings;
use self::openstack::OpenStackSettings;
use self::report::ReportSettings;
use self::route::{ROUTE_TABLE, RouteSettings};
use self::tls::{Authentication, TlsSettings};
use self::webhook::{
    HeartbeatConfig, HeartbeatSettings, WEBHOOK_TABLE, WebhookConfigs, WebhookSettings,
};
use crate::config::error::{ConfigError, ConfigErrors, Origin};
use crate::config::raw_value::{RawSetting, RawValue, dotted_key};
use crate::config::smtp::SmtpConfig;

/// Default address of the gRPC listener, for appliances and administrators.
pub const DEFAULT_GRPC_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7443);

/// Default address of the HTTP listener, for pages.
pub const DEFAULT_HTTP_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7480);

/// Default data folder.
pub const DEFAULT_DATA_DIR: &str = "./gridd-data";

/// Default filter of tracing.
pub const DEFAULT_TRACING: &str = "info";

/// Validated settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data folder, and segment sizes and retention of the journal in it.
    pub journal: journal::JournalSettings,
    /// Address of the gRPC listener.
    pub grpc: SocketAddr,
    /// Address of the HTTP listener.
    pub http: SocketAddr,
    /// Host names that the listeners accept, separated by commas.
    pub hosts: String,
    /// Whether callers need credentials.
    pub authentication: Authentication,
    /// TLS of the listeners.
    pub tls: TlsSettings,
    /// Filter of our own tracing, in the syntax of the tracing crates.
    pub tracing: String,
    /// Format of tracing lines.
    pub tracing_format: LogFormat,
    /// Whether load tests may use this broker.
    pub benchmark: bool,
    /// The rules of the grid.
    pub grid: grid::model::settings::GridSettings,
    /// For how long certificates of the own CA are valid.
    pub certificates: CertificateRules,
    /// When alerts end that nothing else ends.
    pub alerts: AlertRules,
    /// Mail settings as configured.
    pub mail: MailSettings,
    /// The same, validated and ready to use; `None`: mail is not configured.
    pub smtp: Option<Arc<SmtpConfig>>,
    /// Webhooks as configured, by name.
    webhooks: BTreeMap<String, WebhookSettings>,
    /// Routes in the order of the file; those of the environment alone are last.
    routes: Vec<(String, RouteSettings)>,
    /// The same, validated and ready to use.
    pub webhook_configs: Arc<WebhookConfigs>,
    /// The heartbeat as configured.
    pub heartbeat: HeartbeatSettings,
    /// The same, validated and ready to use; `None`: there is none.
    pub heartbeat_config: Option<Arc<HeartbeatConfig>>,
    /// OpenStack's API.
    pub openstack: OpenStackSettings,
    /// Output of Guru Meditation Reports.
    pub report: ReportSettings,
    /// Sources of the values that are not defaults, by key.
    origins: BTreeMap<String, Origin>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            journal: journal::JournalSettings::new(DEFAULT_DATA_DIR),
            grpc: DEFAULT_GRPC_ADDRESS,
            http: DEFAULT_HTTP_ADDRESS,
            hosts: String::new(),
            authentication: Authentication::Auto,
            tls: TlsSettings::default(),
            tracing: DEFAULT_TRACING.to_owned(),
            tracing_format: LogFormat::Human,
            benchmark: false,
            grid: grid::model::settings::GridSettings::default(),
            certificates: CertificateRules::default(),
            alerts: AlertRules::default(),
            mail: MailSettings::default(),
            smtp: None,
            webhooks: BTreeMap::new(),
            routes: Vec::new(),
            webhook_configs: Arc::default(),
            heartbeat: HeartbeatSettings::default(),
            heartbeat_config: None,
            openstack: OpenStackSettings::default(),
            report: ReportSettings::default(),
            origins: BTreeMap::new(),
        }
    }
}

/// The tables of the file whose names are the operator's.
#[derive(Default)]
struct NamedTables {
    classes: BTreeMap<String, ClassSettings>,
    appliances: BTreeMap<String, CrashDumpSettings>,
}

/// Flags and environment; stored because they still override a file that is read again.
#[derive(Clone, Default)]
pub struct SettingsSources {
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// Values of flags, by key.
    pub flags: Vec<(&'static str, String)>,
    /// The environment; variables that do not begin with `GRIDD_` are ignored.
    pub environment: Vec<(String, OsString)>,
}

/// Omits the environment and values of flags: secrets may be among them.
impl fmt::Debug for SettingsSources {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Given").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Settings {
    /// Combines flags, environment, file and defaults.
    ///
    /// # Errors
    ///
    /// All errors at once, also those in values that a higher-priority source overrides.
    pub fn new(given: &SettingsSources) -> Result<Self, ConfigErrors> {
        let file = given.config.as_deref().map(file::read).unwrap_or_default();
        let (variables, variable_errors) = environment::read(&given.environment);
        let mut errors = [file.errors, variable_errors].concat();
        let mut settings = Self::default();
        let mut tables = NamedTables::default();
        for (name, origin) in file.classes {
            settings.origins.insert(dotted_key(&[CLASS_TABLE, name.as_str()]), origin);
            tables.classes.insert(name, ClassSettings::default());
        }
        for (name, origin) in file.appliances {
            settings.origins.insert(crash_dump::appliance_table(&name), origin);
            tables.appliances.insert(name, CrashDumpSettings::default());
        }
        for (name, origin) in file.webhooks {
            settings.origins.insert(dotted_key(&[WEBHOOK_TABLE, name.as_str()]), origin);
            settings.webhooks.insert(name, WebhookSettings::default());
        }
        for (_, name, origin) in file.routes {
            settings.origins.insert(dotted_key(&[ROUTE_TABLE, name.as_str()]), origin);
            settings.routes.push((name, RouteSettings::default()));
        }
        // Sources of higher priority come later.
        for raw_setting in [file.settings, variables, flag_settings(&given.flags)].concat() {
            let RawSetting { path, raw, origin } = raw_setting;
            let key = dotted_key(&path);
            match settings.apply(&mut tables, &path, &raw, &origin) {
                Ok(()) => drop(settings.origins.insert(key, origin)),
                Err(text) => errors.push(ConfigError { origin, key, text }),
            }
        }
        settings.grid = grid::model::settings::GridSettings::new(tables.classes)
            .with_crash_dumps(tables.appliances)
            .with_mail(Some(settings.mail.notification_rules()))
            .with_certificates(settings.certificates)
            .with_alerts(settings.alerts);
        errors.extend(settings.configure_smtp(&errors, file.is_incomplete));
        errors.extend(settings.configure_webhooks(&errors, file.is_incomplete));
        errors.extend(settings.configure_routes(&errors, file.is_incomplete));
        errors.extend(settings.check_crash_dumps(&errors, file.is_incomplete));
        errors.extend(settings.check_listeners());
        // A listener that could not be read has its default.
        errors.extend(settings.check_tls());
        errors.sort_by(|a, b| a.origin.cmp(&b.origin));
        if errors.is_empty() { Ok(settings) } else { Err(ConfigErrors(errors)) }
    }

    fn apply(
        &mut self,
        tables: &mut NamedTables,
        path: &[String],
        raw: &RawValue,
        origin: &Origin,
    ) -> Result<(), String> {
        // The caller found the path among the keys.
        let unknown = || "there is no such key".to_owned();
        match path {
            [first, class, within @ ..] if first == CLASS_TABLE => {
                let key = keys::find_class_setting(within).ok_or_else(unknown)?;
                key.accessor.set(raw, origin, tables.classes.entry(class.clone()).or_default())
            }
            [first, name, within @ ..] if first == APPLIANCE_TABLE => {
                let key = keys::find_appliance_setting(within).ok_or_else(unknown)?;
                key.accessor.set(raw, origin, tables.appliances.entry(name.clone()).or_default())
            }
            [first, name, within @ ..] if first == WEBHOOK_TABLE => {
                let key = keys::find_webhook_setting(within).ok_or_else(unknown)?;
                key.accessor.set(raw, origin, self.webhooks.entry(name.clone()).or_default())
            }
            [first, name, within @ ..] if first == ROUTE_TABLE => {
                let key = keys::find_route_setting(within).ok_or_else(unknown)?;
                key.accessor.set(raw, origin, self.route_mut(name))
            }
            path => keys::find_setting(path).ok_or_else(unknown)?.accessor.set(raw, origin, self),
        }
    }

    /// Reports two listeners on the same port.
    fn check_listeners(&self) -> Option<ConfigError> {
        if !addresses_conflict(self.grpc, self.http) {
            return None;
        }
        let [grpc, http] = ["grpc", "http"].map(|key| self.origin(key));
        let (key, other, at, origin) = if http == Origin::Default {
            ("grpc", format!("http ({http})"), self.grpc, grpc)
        } else {
            ("http", format!("grpc ({grpc})"), self.http, http)
        };
        let text = format!("{at} is taken by {other}; give one of them another port");
        Some(ConfigError { origin, key: key.to_owned(), text })
    }

    /// Validates the mail settings as a whole and builds the SMTP configuration from them. `reported`
    /// has the errors of single values, which are not reported twice. With `is_incomplete`, parts of the file
    /// could not be read, and may contain what is missing.
    fn configure_smtp(
        &mut self,
        reported: &[ConfigError],
        is_incomplete: bool,
    ) -> Vec<ConfigError> {
        self.smtp = None;
        if !self.mail.is_configured() {
            return Vec::new();
        }
        let mut errors = match SmtpConfig::new(&self.mail) {
            Ok(post) => {
                self.smtp = Some(Arc::new(post));
                Vec::new()
            }
            Err(errors) => errors,
        };
        if self.mail.recipients().next().is_none() {
            let text = "is needed where mail.server is given";
            errors.push(smtp::missing(&["mail.to", "mail.server"], text));
        }
        let is_reported = |key: &str| reported.iter().any(|error| error.key == key);
        // An unknown key may be a typo of the missing one.
        let is_hidden = is_incomplete
            || reported.iter().any(|it| {
                it.key.starts_with("mail.") && !keys::settings().any(|key| key.path == it.key)
            });
        let unreported = errors.into_iter().filter(|error| {
            !(error.keys.iter().any(|key| is_reported(key)) || error.is_missing && is_hidden)
        });
        unreported.map(|error| self.mail_error(error)).collect()
    }

    fn mail_error(&self, error: smtp::SmtpConfigError) -> ConfigError {
        let smtp::SmtpConfigError { keys, text, .. } = error;
        let key = keys.first().copied().unwrap_or_default().to_owned();
        // A missing value has no source: report it at its cause. A variable's name names only its own
        // key.
        let set = keys.iter().find(|key| self.origin(key) != Origin::Default);
        let origin = set.map_or(Origin::Default, |set| self.origin(set));
        let is_of_another = matches!(origin, Origin::Environment(_)) && set != Some(&key.as_str());
        let text = if is_of_another { format!("{key} {text}") } else { text };
        ConfigError { origin, key, text }
    }

    fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// The source of a class: its table, or the first of its values.
    pub fn class_origin(&self, name: &str) -> Origin {
        self.table_origin(&dotted_key(&[CLASS_TABLE, name]))
    }

    fn table_origin(&self, table: &str) -> Origin {
        let prefix = format!("{table}.");
        let is_own = |key: &str| key == table || key.starts_with(&prefix);
        let own = self.origins.iter().filter(|(key, _)| is_own(key));
        own.map(|(_, origin)| origin.clone()).min().unwrap_or(Origin::Default)
    }
}

fn flag_settings(flags: &[(&'static str, String)]) -> Vec<RawSetting> {
    let raw_setting = |(key, value): &(&'static str, String)| {
        let path = vec![(*key).to_owned()];
        let flag = keys::find_setting(&path).and_then(|key| key.flag)?;
        let raw = RawValue::Untyped(value.clone());
        Some(RawSetting { path, raw, origin: Origin::Flag(flag) })
    };
    flags.iter().filter_map(raw_setting).collect()
}

/// Whether two addresses conflict; an unspecified address conflicts with every other.
fn addresses_conflict(one: SocketAddr, other: SocketAddr) -> bool {
    let is_any = |address: SocketAddr| address.ip().is_unspecified();
    let is_same = one.ip() == other.ip() || is_any(one) || is_any(other);
    is_same && one.port() == other.port() && one.port() != 0
}

pub mod smtp;
#[cfg(test)]
mod tests;
