//! Which settings hold? Flag over environment over file over default.
//!
//! ```text
//! file, environment, flags --> what was said --keys--> Settings, which cannot hold nonsense
//! ```
//!
//! Guarantees that all mistakes are told at once, each with its file and line (or variable, or
//! flag), its key and what is allowed; and that every setting in force can be listed with where its
//! value is from. One way leads to [`Settings`], for a check, a start and a SIGHUP alike: what one of
//! them takes the others take. Opens nothing but the file and what it names: secrets, certificates.

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

/// Where appliances and administrators are heard if nobody says otherwise.
pub const DEFAULT_GRPC: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7443);

/// Where pages are served if nobody says otherwise.
pub const DEFAULT_HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7480);

/// Where data lies if nobody says otherwise.
pub const DEFAULT_DATA: &str = "./gridd-data";

/// What is told of ourselves if nobody says otherwise.
pub const DEFAULT_TRACING: &str = "info";

/// Settings as meant.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data folder, and how the journal in it is cut and kept.
    pub journal: journal::Settings,
    /// Where gRPC is served; on loopback.
    pub grpc: SocketAddr,
    /// Where pages are served; on loopback.
    pub http: SocketAddr,
    /// Names by which the listeners may be called, with commas between.
    pub hosts: String,
    /// What is told of ourselves: a filter of the tracing crates.
    pub tracing: String,
    /// For whom that is written.
    pub tracing_format: Format,
    /// The rules of the grid.
    pub grid: grid::settings::Settings,
    /// How mails leave, and to whom, as said.
    pub mail: Mail,
    /// The same, ready to be used; `None`: there is no mail.
    pub post: Option<Arc<Post>>,
    /// Where reports go.
    pub report: ReportSettings,
    /// Where the values are from that are not defaults, by key.
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

/// What flags and environment say; kept, since a file that is read again still stands below them.
#[derive(Clone, Default)]
pub struct Given {
    /// The file.
    pub config: Option<PathBuf>,
    /// Values of flags, by key.
    pub flags: Vec<(&'static str, String)>,
    /// The environment; what does not begin with `GRIDD_` is not looked at.
    pub environment: Vec<(String, OsString)>,
}

/// Without the environment and values of flags: secrets may be among them.
impl fmt::Debug for Given {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Given").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A setting in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its key, as the file would write it.
    pub key: String,
    /// Its value, as the file would write it, without quotes; `***` for a secret.
    pub value: String,
    /// Where the value is from.
    pub origin: Origin,
}

impl Settings {
    /// Puts flags, environment, file and defaults together.
    ///
    /// # Errors
    ///
    /// All mistakes at once, those in values that something else goes before included.
    pub fn new(given: &Given) -> Result<Self, Mistakes> {
        let file = given.config.as_deref().map(file::read).unwrap_or_default();
        let (variables, wrong_variables) = environment::read(&given.environment);
        let mut mistakes = [file.mistakes, wrong_variables].concat();
        let mut settings = Self::default();
        let mut classes = BTreeMap::new();
        for (name, origin) in file.classes {
            settings.origins.insert(dotted(&[CLASS_TABLE, name.as_str()]), origin);
            classes.insert(name, ClassSettings::default());
        }
        // Whatever goes before comes later.
        for said in [file.said, variables, flags(&given.flags)].concat() {
            let Said { path, raw, origin } = said;
            let key = dotted(&path);
            match settings.take(&mut classes, &path, &raw, &origin) {
                Ok(()) => drop(settings.origins.insert(key, origin)),
                Err(text) => mistakes.push(Mistake { origin, key, text }),
            }
        }
        settings.grid = grid::settings::Settings::new(classes).with_mail(settings.mail.rules());
        mistakes.extend(settings.put_mail_together(&mistakes, file.is_torn));
        mistakes.extend(settings.overlap());
        mistakes.sort_by(|a, b| a.origin.cmp(&b.origin));
        if mistakes.is_empty() { Ok(settings) } else { Err(Mistakes(mistakes)) }
    }

    fn take(
        &mut self,
        classes: &mut BTreeMap<String, ClassSettings>,
        path: &[String],
        raw: &Raw,
        origin: &Origin,
    ) -> Result<(), String> {
        // Whoever found the path found it among the keys.
        let unknown = || "there is no such key".to_owned();
        match path {
            [first, class, within @ ..] if first == CLASS_TABLE => {
                let key = keys::find_of_class(within).ok_or_else(unknown)?;
                key.place.set(raw, origin, classes.entry(class.clone()).or_default())
            }
            path => keys::find(path).ok_or_else(unknown)?.place.set(raw, origin, self),
        }
    }

    /// Two listeners that would want the same port.
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

    /// Makes of the settings of mail what is used, or gives what is wrong about them together.
    /// `told` has what is wrong by itself, which nothing is said of twice; what is missing from a
    /// file that could not be read whole may stand there.
    fn put_mail_together(&mut self, told: &[Mistake], is_torn: bool) -> Vec<Mistake> {
        self.post = None;
        if !self.mail.is_configured() {
            return Vec::new();
        }
        let mut wrongs = match Post::new(&self.mail) {
            Ok(post) => {
                self.post = Some(Arc::new(post));
                Vec::new()
            }
            Err(wrongs) => wrongs,
        };
        if self.mail.recipients().next().is_none() {
            let text = "is needed where mail.server is given";
            wrongs.push(post::missing(&["mail.to", "mail.server"], text));
        }
        let is_told = |key: &str| told.iter().any(|mistake| mistake.key == key);
        // A key that there is not may be meant for the one that is missing.
        let is_hidden = is_torn
            || told.iter().any(|it| {
                it.key.starts_with("mail.") && !keys::SETTINGS.iter().any(|key| key.path == it.key)
            });
        let news = wrongs.into_iter().filter(|wrong| {
            !(wrong.keys.iter().any(|key| is_told(key)) || wrong.is_missing && is_hidden)
        });
        news.map(|wrong| self.mistake_of_mail(wrong)).collect()
    }

    fn mistake_of_mail(&self, wrong: post::Wrong) -> Mistake {
        let post::Wrong { keys, text, .. } = wrong;
        let key = keys.first().copied().unwrap_or_default().to_owned();
        // What is missing stands nowhere: it is told where the cause is. A variable's name says only
        // what that one is about.
        let said = keys.iter().find(|key| self.origin(key) != Origin::Default);
        let origin = said.map_or(Origin::Default, |said| self.origin(said));
        let is_of_another = matches!(origin, Origin::Environment(_)) && said != Some(&key.as_str());
        let text = if is_of_another { format!("{key} {text}") } else { text };
        Mistake { origin, key, text }
    }

    fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// Where a class begins: its table, or the first of its values.
    pub fn origin_of_class(&self, name: &str) -> Origin {
        let table = dotted(&[CLASS_TABLE, name]);
        let begin = format!("{table}.");
        let is_its = |key: &str| key == table || key.starts_with(&begin);
        let own = self.origins.iter().filter(|(key, _)| is_its(key));
        own.map(|(_, origin)| origin.clone()).min().unwrap_or(Origin::Default)
    }

    /// Every setting that holds, with where it is from; secrets as `***`.
    pub fn in_force(&self) -> Vec<Setting> {
        let mut all = Vec::new();
        self.each(|setting, _| all.push(setting));
        all
    }

    /// What an operator should know, though it is allowed: one line each.
    pub fn warnings(&self) -> Vec<Mistake> {
        let mut all = Vec::new();
        self.each(|_, warning| all.extend(warning));
        // Of a whole table it is told once.
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
                let text = "is longer than promise_max: who promises nothing may be silent for \
                            longer than who does"
                    .to_owned();
                all.push(Mistake { origin: self.origin(&key), key, text });
            }
        }
        all
    }

    /// Calls `with` for each setting in force, with what should be known of it.
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
        // `budget = "unlimited"` says it for all budgets.
        let above = path.rsplit_once('.').map_or("", |(above, _)| above);
        let own = self.origin(&path);
        let (said_at, origin) = if own == Origin::Default && key.place.is_word() {
            (above, self.origin(above))
        } else {
            (path.as_str(), own)
        };
        let warning = key.place.warning(of).map(|text| Mistake {
            origin: origin.clone(),
            key: said_at.to_owned(),
            text,
        });
        with(Setting { key: path, value, origin }, warning);
    }
}

fn flags(flags: &[(&'static str, String)]) -> Vec<Said> {
    let said = |(key, value): &(&'static str, String)| {
        let path = vec![(*key).to_owned()];
        let flag = keys::find(&path).and_then(|key| key.flag)?;
        let raw = Raw::Untyped(value.clone());
        Some(Said { path, raw, origin: Origin::Flag(flag) })
    };
    flags.iter().filter_map(said).collect()
}

/// Whether two listeners want the same port; an address for all takes it of each one.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let takes_all = |address: SocketAddr| address.ip().is_unspecified();
    let is_same = one.ip() == other.ip() || takes_all(one) || takes_all(other);
    is_same && one.port() == other.port() && one.port() != 0
}

#[cfg(test)]
mod tests;
