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

mod amount;
mod certificates;
pub mod change;
mod environment;
mod file;
mod filter;
mod host_name;
pub mod key;
pub mod keys;
pub mod mail;
pub mod mistake;
pub mod post;
mod raw;
mod record;
pub mod report;
pub mod secret;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use crate::grid;
use crate::grid::settings::ClassSettings;
use crate::journal;
use crate::tracing_lines::Format;

use self::key::Key;
use self::keys::CLASS_TABLE;
use self::mail::Mail;
use self::mistake::{Mistake, Mistakes, Origin};
use self::post::Post;
use self::raw::{Raw, Said, dotted};
use self::report::ReportSettings;

/// Default address of the gRPC listener, for appliances and administrators.
pub const DEFAULT_GRPC: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7443);

/// Default address of the HTTP listener, for pages.
pub const DEFAULT_HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7480);

/// Default data folder.
pub const DEFAULT_DATA: &str = "./gridd-data";

/// Default filter of tracing.
pub const DEFAULT_TRACING: &str = "info";

/// Validated settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data folder, and segment sizes and retention of the journal in it.
    pub journal: journal::Settings,
    /// Address of the gRPC listener; on loopback.
    pub grpc: SocketAddr,
    /// Address of the HTTP listener; on loopback.
    pub http: SocketAddr,
    /// Host names that the listeners accept, separated by commas.
    pub hosts: String,
    /// Filter of our own tracing, in the syntax of the tracing crates.
    pub tracing: String,
    /// Format of tracing lines.
    pub tracing_format: Format,
    /// The rules of the grid.
    pub grid: grid::settings::Settings,
    /// Mail settings as configured.
    pub mail: Mail,
    /// The same, validated and ready to use; `None`: mail is not configured.
    pub post: Option<Arc<Post>>,
    /// Output of Guru Meditation Reports.
    pub report: ReportSettings,
    /// Sources of the values that are not defaults, by key.
    origins: BTreeMap<String, Origin>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            journal: journal::Settings::new(DEFAULT_DATA),
            grpc: DEFAULT_GRPC,
            http: DEFAULT_HTTP,
            hosts: String::new(),
            tracing: DEFAULT_TRACING.to_owned(),
            tracing_format: Format::Human,
            grid: grid::settings::Settings::default(),
            mail: Mail::default(),
            post: None,
            report: ReportSettings::default(),
            origins: BTreeMap::new(),
        }
    }
}

/// Flags and environment; stored because they still override a file that is read again.
#[derive(Clone, Default)]
pub struct Given {
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// Values of flags, by key.
    pub flags: Vec<(&'static str, String)>,
    /// The environment; variables that do not begin with `GRIDD_` are ignored.
    pub environment: Vec<(String, OsString)>,
}

/// Omits the environment and values of flags: secrets may be among them.
impl fmt::Debug for Given {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Given").field("config", &self.config).finish_non_exhaustive()
    }
}

/// An effective setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its key, as the file would write it.
    pub key: String,
    /// Its value, as the file would write it, without quotes; `***` for a secret.
    pub value: String,
    /// The source of the value.
    pub origin: Origin,
}

impl Settings {
    /// Combines flags, environment, file and defaults.
    ///
    /// # Errors
    ///
    /// All errors at once, also those in values that a higher-priority source overrides.
    pub fn new(given: &Given) -> Result<Self, Mistakes> {
        let file = given.config.as_deref().map(file::read).unwrap_or_default();
        let (variables, variable_errors) = environment::read(&given.environment);
        let mut errors = [file.mistakes, variable_errors].concat();
        let mut settings = Self::default();
        let mut classes = BTreeMap::new();
        for (name, origin) in file.classes {
            settings.origins.insert(dotted(&[CLASS_TABLE, name.as_str()]), origin);
            classes.insert(name, ClassSettings::default());
        }
        // Sources of higher priority come later.
        for raw_setting in [file.said, variables, flags(&given.flags)].concat() {
            let Said { path, raw, origin } = raw_setting;
            let key = dotted(&path);
            match settings.take(&mut classes, &path, &raw, &origin) {
                Ok(()) => drop(settings.origins.insert(key, origin)),
                Err(text) => errors.push(Mistake { origin, key, text }),
            }
        }
        settings.grid = grid::settings::Settings::new(classes).with_mail(settings.mail.rules());
        errors.extend(settings.put_mail_together(&errors, file.is_torn));
        errors.extend(settings.overlap());
        errors.sort_by(|a, b| a.origin.cmp(&b.origin));
        if errors.is_empty() { Ok(settings) } else { Err(Mistakes(errors)) }
    }

    fn take(
        &mut self,
        classes: &mut BTreeMap<String, ClassSettings>,
        path: &[String],
        raw: &Raw,
        origin: &Origin,
    ) -> Result<(), String> {
        // The caller found the path among the keys.
        let unknown = || "there is no such key".to_owned();
        match path {
            [first, class, within @ ..] if first == CLASS_TABLE => {
                let key = keys::find_of_class(within).ok_or_else(unknown)?;
                key.place.set(raw, origin, classes.entry(class.clone()).or_default())
            }
            path => keys::find(path).ok_or_else(unknown)?.place.set(raw, origin, self),
        }
    }

    /// Reports two listeners on the same port.
    fn overlap(&self) -> Option<Mistake> {
        if !overlap(self.grpc, self.http) {
            return None;
        }
        let [grpc, http] = ["grpc", "http"].map(|key| self.origin(key));
        let (key, other, at, origin) = if http == Origin::Default {
            ("grpc", format!("http ({http})"), self.grpc, grpc)
        } else {
            ("http", format!("grpc ({grpc})"), self.http, http)
        };
        let text = format!("{at} is taken by {other}; give one of them another port");
        Some(Mistake { origin, key: key.to_owned(), text })
    }

    /// Validates the mail settings as a whole and builds the SMTP configuration from them. `reported`
    /// has the errors of single values, which are not reported twice. With `is_incomplete`, parts of the file
    /// could not be read, and may contain what is missing.
    fn put_mail_together(&mut self, reported: &[Mistake], is_incomplete: bool) -> Vec<Mistake> {
        self.post = None;
        if !self.mail.is_configured() {
            return Vec::new();
        }
        let mut errors = match Post::new(&self.mail) {
            Ok(post) => {
                self.post = Some(Arc::new(post));
                Vec::new()
            }
            Err(errors) => errors,
        };
        if self.mail.recipients().next().is_none() {
            let text = "is needed where mail.server is given";
            errors.push(post::missing(&["mail.to", "mail.server"], text));
        }
        let is_reported = |key: &str| reported.iter().any(|error| error.key == key);
        // An unknown key may be a typo of the missing one.
        let is_hidden = is_incomplete
            || reported.iter().any(|it| {
                it.key.starts_with("mail.") && !keys::SETTINGS.iter().any(|key| key.path == it.key)
            });
        let unreported = errors.into_iter().filter(|error| {
            !(error.keys.iter().any(|key| is_reported(key)) || error.is_missing && is_hidden)
        });
        unreported.map(|error| self.mistake_of_mail(error)).collect()
    }

    fn mistake_of_mail(&self, error: post::Wrong) -> Mistake {
        let post::Wrong { keys, text, .. } = error;
        let key = keys.first().copied().unwrap_or_default().to_owned();
        // A missing value has no source: report it at its cause. A variable's name names only its own
        // key.
        let set = keys.iter().find(|key| self.origin(key) != Origin::Default);
        let origin = set.map_or(Origin::Default, |set| self.origin(set));
        let is_of_another = matches!(origin, Origin::Environment(_)) && set != Some(&key.as_str());
        let text = if is_of_another { format!("{key} {text}") } else { text };
        Mistake { origin, key, text }
    }

    fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// The source of a class: its table, or the first of its values.
    pub fn origin_of_class(&self, name: &str) -> Origin {
        let table = dotted(&[CLASS_TABLE, name]);
        let prefix = format!("{table}.");
        let is_own = |key: &str| key == table || key.starts_with(&prefix);
        let own = self.origins.iter().filter(|(key, _)| is_own(key));
        own.map(|(_, origin)| origin.clone()).min().unwrap_or(Origin::Default)
    }

    /// All effective settings with their sources; secrets as `***`.
    pub fn in_force(&self) -> Vec<Setting> {
        let mut all = Vec::new();
        self.each(|setting, _| all.push(setting));
        all
    }

    /// Warnings about valid but risky settings, one line each.
    pub fn warnings(&self) -> Vec<Mistake> {
        let mut all = Vec::new();
        self.each(|_, warning| all.extend(warning));
        // One warning for a whole table.
        all.dedup();
        let of_mail = |(key, text): (&str, String)| Mistake {
            origin: self.origin(key),
            key: key.to_owned(),
            text,
        };
        all.extend(self.mail.warnings().into_iter().map(of_mail));
        for name in self.grid.class_names() {
            let rules = self.grid.class(name).filter(|it| it.maintenance_silence > it.promise_max);
            if rules.is_some() {
                let key = keys::class_path(name, "maintenance_silence");
                let text = "is longer than promise_max: an appliance that sets no report \
                            deadline may be silent for longer than one that does"
                    .to_owned();
                all.push(Mistake { origin: self.origin(&key), key, text });
            }
        }
        all
    }

    /// Calls `with` for each effective setting, with its warning if there is one.
    fn each(&self, mut with: impl FnMut(Setting, Option<Mistake>)) {
        let mut whole = self.clone();
        for key in &keys::SETTINGS {
            self.one(key, &mut whole, key.path.to_owned(), &mut with);
        }
        for name in self.grid.class_names() {
            let mut class = self.grid.class(name).cloned().unwrap_or_default();
            for key in keys::of_class() {
                self.one(key, &mut class, keys::class_path(name, key.path), &mut with);
            }
        }
    }

    fn one<T: Default>(
        &self,
        key: &Key<T>,
        of: &mut T,
        path: String,
        with: &mut impl FnMut(Setting, Option<Mistake>),
    ) {
        let Some(value) = key.place.shown(of) else { return };
        // `budget = "unlimited"` sets all budgets.
        let above = path.rsplit_once('.').map_or("", |(above, _)| above);
        let own = self.origin(&path);
        let (set_at, origin) = if own == Origin::Default && key.place.is_word() {
            (above, self.origin(above))
        } else {
            (path.as_str(), own)
        };
        let warning = key.place.warning(of).map(|text| Mistake {
            origin: origin.clone(),
            key: set_at.to_owned(),
            text,
        });
        with(Setting { key: path, value, origin }, warning);
    }
}

fn flags(flags: &[(&'static str, String)]) -> Vec<Said> {
    let raw_setting = |(key, value): &(&'static str, String)| {
        let path = vec![(*key).to_owned()];
        let flag = keys::find(&path).and_then(|key| key.flag)?;
        let raw = Raw::Untyped(value.clone());
        Some(Said { path, raw, origin: Origin::Flag(flag) })
    };
    flags.iter().filter_map(raw_setting).collect()
}

/// Whether two addresses conflict; an unspecified address conflicts with every other.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let is_any = |address: SocketAddr| address.ip().is_unspecified();
    let is_same = one.ip() == other.ip() || is_any(one) || is_any(other);
    is_same && one.port() == other.port() && one.port() != 0
}

#[cfg(test)]
mod tests;
