//! The settings of webhooks and of the heartbeat, and whether they fit together.
//!
//! Guarantees that each receiver `webhook:NAME` that is named has its table, and that its URL, its
//! credentials and its CA file can be used. Sends nothing.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::Settings;
use super::http_target::{HttpCredentials, HttpTarget, is_readable_on_the_way, url_error};
use super::key::{Accessor, SettingKey};
use super::keys::live;
use super::mail::{self, TextRule};
use super::secret::Secret;
use crate::config::error::{ConfigError, Origin};
use crate::config::raw_value::dotted_key;
use crate::grid::model::mail_message::WEBHOOK_PREFIX;
use crate::show::escape::excerpt;

/// The table whose tables are webhooks.
pub const WEBHOOK_TABLE: &str = "webhook";

/// The table of the heartbeat.
const HEARTBEAT_TABLE: &str = "heartbeat";

/// Most webhooks: each has a task of its own.
const WEBHOOKS_MAX: usize = 16;

/// Limits of the interval of heartbeats.
const INTERVAL_RANGE: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(86_400);

/// The path of Alertmanager's API to which alerts are pushed.
const ALERTS_PATH: &str = "/api/v2/alerts";

/// A URL.
static URL: TextRule = TextRule {
    allowed: "a URL that begins with http:// or https://, such as https://hooks.example/grid",
    // One with a password in it is refused later, where it is not repeated.
    error: |text| url_error(text).filter(|_| !text.is_empty() && !text.contains('@')),
};

/// A form of notifications.
static FORM: TextRule = TextRule {
    allowed: "one of webhook, alertmanager",
    error: |text| WebhookForm::parse(text).is_none().then(String::new),
};

/// What is sent to a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookForm {
    /// Notifications as Alertmanager's own webhooks send them.
    Webhook,
    /// Alerts, as a client of Alertmanager pushes them.
    Alertmanager,
}

impl WebhookForm {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "webhook" => Some(Self::Webhook),
            "alertmanager" => Some(Self::Alertmanager),
            _ => None,
        }
    }
}

/// The settings of one webhook as configured; an empty text is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// Where it is.
    pub url: String,
    /// The same, if it is secret itself.
    pub url_secret: Option<Secret>,
    /// What is sent: a name of [`WebhookForm`].
    pub form: String,
    /// The token of the header `Authorization`.
    pub token: Option<Secret>,
    /// The user of basic authentication.
    pub user: String,
    /// The password of that user.
    pub password: Option<Secret>,
    /// CA certificates that are trusted in addition to the system's.
    pub ca_file: String,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        let none = String::new;
        Self {
            url: none(),
            url_secret: None,
            form: "webhook".to_owned(),
            token: None,
            user: none(),
            password: None,
            ca_file: none(),
        }
    }
}

/// The settings of the heartbeat as configured; an empty text is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatSettings {
    /// Where it goes.
    pub url: String,
    /// The same, if it is secret itself.
    pub url_secret: Option<Secret>,
    /// The time between two.
    pub interval: Duration,
    /// CA certificates that are trusted in addition to the system's.
    pub ca_file: String,
}

impl Default for HeartbeatSettings {
    fn default() -> Self {
        let interval = Duration::from_secs(60);
        Self { url: String::new(), url_secret: None, interval, ca_file: String::new() }
    }
}

/// A webhook, ready to use.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// What is sent.
    pub(crate) form: WebhookForm,
    /// Where to.
    pub(crate) target: HttpTarget,
}

/// The heartbeat, ready to use.
#[derive(Clone, Debug)]
pub struct HeartbeatConfig {
    /// The time between two.
    pub(crate) interval: Duration,
    /// Where to.
    pub(crate) target: HttpTarget,
}

/// The webhooks by name.
pub type WebhookConfigs = BTreeMap<String, Arc<WebhookConfig>>;

/// The settings of a webhook, within `webhook.NAME`.
pub static WEBHOOK_SETTINGS: [SettingKey<WebhookSettings>; 7] = [
    live("url", Accessor::Text(&URL, |it| &mut it.url)),
    live("url_file", Accessor::SecretFile(|it| &mut it.url_secret)),
    live("form", Accessor::Text(&FORM, |it| &mut it.form)),
    live("token_file", Accessor::SecretFile(|it| &mut it.token)),
    live("user", Accessor::Text(&mail::LINE, |it| &mut it.user)),
    live("password_file", Accessor::SecretFile(|it| &mut it.password)),
    live("ca_file", Accessor::Text(&mail::LINE, |it| &mut it.ca_file)),
];

/// The settings of the heartbeat.
pub static HEARTBEAT_SETTINGS: [SettingKey<Settings>; 4] = [
    live("heartbeat.url", Accessor::Text(&URL, |it| &mut it.heartbeat.url)),
    live("heartbeat.url_file", Accessor::SecretFile(|it| &mut it.heartbeat.url_secret)),
    live("heartbeat.interval", Accessor::Duration(INTERVAL_RANGE, |it| &mut it.heartbeat.interval)),
    live("heartbeat.ca_file", Accessor::Text(&mail::LINE, |it| &mut it.heartbeat.ca_file)),
];

/// The path of a key of a webhook.
pub(super) fn webhook_path(name: &str, key: &str) -> String {
    format!("{}.{key}", dotted_key(&[WEBHOOK_TABLE, name]))
}

/// The one of both that is set. A URL from a file is checked here: it is not known before.
fn url_of<'a>(url: &'a str, secret: Option<&'a Secret>) -> Result<&'a str, (&'static str, String)> {
    match (url, secret) {
        ("", None) => Err(("url", "is needed: where notifications go".to_owned())),
        ("", Some(secret)) => match url_error(secret.expose()) {
            None => Ok(secret.expose()),
            Some(why) => Err(("url_file", format!("the file contains no URL that works: {why}"))),
        },
        (_, Some(_)) => {
            Err(("url_file", "has no effect beside url; remove one of both".to_owned()))
        }
        (url, None) => match url_error(url) {
            None => Ok(url),
            Some(why) => Err(("url", why)),
        },
    }
}

fn build(settings: &WebhookSettings) -> Result<WebhookConfig, (&'static str, String)> {
    let url = url_of(&settings.url, settings.url_secret.as_ref())?;
    let needed = |text: &str| text.to_owned();
    let credentials = match (&settings.token, settings.user.as_str(), &settings.password) {
        (None, "", None) => HttpCredentials::None,
        (Some(token), "", None) => HttpCredentials::Bearer(token),
        (Some(_), _, _) => {
            let why = needed("has no effect beside user and password_file; remove it or both");
            return Err(("token_file", why));
        }
        (None, "", Some(_)) => {
            return Err(("user", needed("is needed, since there is a password")));
        }
        (None, user, Some(password)) if !user.contains(':') => {
            HttpCredentials::Basic(user, password)
        }
        (None, _, Some(_)) => return Err(("user", needed("contains a colon, which ends a user"))),
        (None, _, None) => return Err(("password_file", needed("is needed, since user is given"))),
    };
    let form = WebhookForm::parse(&settings.form).unwrap_or(WebhookForm::Webhook);
    let target = HttpTarget::new(url, &settings.ca_file, credentials)?;
    let target = match form {
        WebhookForm::Webhook => target,
        WebhookForm::Alertmanager => target.below(ALERTS_PATH),
    };
    Ok(WebhookConfig { form, target })
}

impl Settings {
    /// The webhooks as configured, by name.
    pub fn webhooks(&self) -> impl Iterator<Item = (&str, &WebhookSettings)> {
        self.webhooks.iter().map(|(name, settings)| (name.as_str(), settings))
    }

    /// Validates the webhooks and the heartbeat as a whole and builds what sends to them. `reported` has
    /// the errors of single values; with `is_incomplete`, parts of the file could not be read, and may
    /// contain what is missing.
    pub(super) fn configure_webhooks(
        &mut self,
        reported: &[ConfigError],
        is_incomplete: bool,
    ) -> Vec<ConfigError> {
        let is_reported = |table: &str| {
            let prefix = format!("{table}.");
            is_incomplete || reported.iter().any(|error| error.key.starts_with(&prefix))
        };
        let mut errors = Vec::new();
        let mut ready = WebhookConfigs::new();
        for (name, settings) in &self.webhooks {
            let table = dotted_key(&[WEBHOOK_TABLE, name.as_str()]);
            match build(settings) {
                Ok(config) => drop(ready.insert(name.clone(), Arc::new(config))),
                Err(_) if is_reported(&table) => {}
                Err((key, text)) => errors.push(self.table_error(&table, key, text)),
            }
        }
        if self.webhooks.len() > WEBHOOKS_MAX {
            let text =
                format!("there are {}, and at most {WEBHOOKS_MAX} can be", self.webhooks.len());
            errors.push(self.table_error(WEBHOOK_TABLE, "", text));
        }
        self.webhook_configs = Arc::new(ready);
        let heartbeat = self.build_heartbeat();
        self.heartbeat_config = match heartbeat {
            Ok(config) => config.map(Arc::new),
            Err((key, text)) => {
                if !is_reported(HEARTBEAT_TABLE) {
                    errors.push(self.table_error(HEARTBEAT_TABLE, key, text));
                }
                None
            }
        };
        errors.extend(self.unknown_webhooks().filter(|_| !is_incomplete));
        errors.extend(self.addresses_without_server().filter(|_| !is_reported("mail")));
        errors
    }

    /// An error if mail addresses stand beside webhooks, and there is no server for them.
    fn addresses_without_server(&self) -> Option<ConfigError> {
        let is_webhook = |it: &(&str, Option<&str>)| it.0.starts_with(WEBHOOK_PREFIX);
        let is_mixed = self.mail.recipients().any(|it| is_webhook(&it));
        let address = self.mail.recipients().find(|it| !is_webhook(it))?.0;
        let text = format!("{} is a mail address, and needs mail.server", excerpt(address));
        let (origin, key) = (self.origin("mail.to"), "mail.to".to_owned());
        (is_mixed && !self.mail.is_configured()).then_some(ConfigError { origin, key, text })
    }

    fn build_heartbeat(&self) -> Result<Option<HeartbeatConfig>, (&'static str, String)> {
        let HeartbeatSettings { url, url_secret, interval, ca_file } = &self.heartbeat;
        if url.is_empty() && url_secret.is_none() {
            return Ok(None);
        }
        let url = url_of(url, url_secret.as_ref())?;
        let target = HttpTarget::new(url, ca_file, HttpCredentials::None)?;
        Ok(Some(HeartbeatConfig { interval: *interval, target }))
    }

    /// An error for each receiver of mail that is a webhook without a table.
    fn unknown_webhooks(&self) -> impl Iterator<Item = ConfigError> {
        let named = self.mail.recipients().filter_map(|it| it.0.strip_prefix(WEBHOOK_PREFIX));
        let unknown = named.filter(|name| !self.webhooks.contains_key(*name));
        unknown.map(|name| {
            let table = dotted_key(&[WEBHOOK_TABLE, name]);
            let text = format!(
                "names {WEBHOOK_PREFIX}{name}, but there is no such webhook; add a table [{table}] \
                 with its url"
            );
            ConfigError { origin: self.origin("mail.to"), key: "mail.to".to_owned(), text }
        })
    }

    /// Warnings about webhooks and the heartbeat.
    pub(super) fn webhook_warnings(&self) -> Vec<ConfigError> {
        let mut all = Vec::new();
        for (name, settings) in &self.webhooks {
            let table = dotted_key(&[WEBHOOK_TABLE, name.as_str()]);
            let url = url_of(&settings.url, settings.url_secret.as_ref()).unwrap_or_default();
            let has_secret = settings.token.is_some() || settings.password.is_some();
            if has_secret && is_readable_on_the_way(url) {
                let text = "its credentials are sent to another host unencrypted; use https";
                all.push(self.table_error(&table, "url", text.to_owned()));
            }
        }
        all
    }

    /// An error at a key of a table, at the source of that key or else of the table.
    pub(super) fn table_error(&self, table: &str, key: &str, text: String) -> ConfigError {
        let path = if key.is_empty() { table.to_owned() } else { format!("{table}.{key}") };
        let own = self.origin(&path);
        let is_own = own != Origin::Default;
        let origin = if is_own { own } else { self.table_origin(table) };
        // A variable's name names only its own key.
        let is_of_another = matches!(origin, Origin::Environment(_)) && !is_own;
        let text = if is_of_another { format!("{path} {text}") } else { text };
        ConfigError { origin, key: path, text }
    }
}
