//! The settings of routes: who gets which notifications, and when these wait.
//!
//! Guarantees that a route can match, is not hidden by those before it, and names receivers that
//! exist; and that its time zone is resolved here, for the core. The order of routes is that of
//! their tables in the file. Decides nothing about alerts.

use jiff::tz::TimeZone;

use super::Settings;
use super::key::{Accessor, SettingKey};
use super::keys::live;
use super::mail::{self, TextRule};
use super::smtp;
use super::webhook::WEBHOOK_TABLE;
use crate::config::error::{ConfigError, Origin};
use crate::config::raw_value::dotted_key;
use crate::grid::model::mail_message::WEBHOOK_PREFIX;
use crate::grid::model::matcher::{MatcherField, Matchers};
use crate::grid::model::quiet_hours::{QUIET_PERIODS_MAX, QuietHours, QuietPeriod};
use crate::grid::model::route::{
    DEFAULT_RECEIVERS, DEFAULT_ROUTE, NotificationRoute, ROUTE_RECEIVERS_MAX, ROUTES_MAX,
    RouteReceivers,
};
use crate::grid::values::event::Severity;
use crate::show::escape::excerpt;

/// The table whose tables are routes.
pub const ROUTE_TABLE: &str = "route";

/// Stands for no receiver at all.
const NOBODY: &str = "none";

/// Matchers.
static MATCHERS: TextRule = TextRule {
    allowed: "a list of matchers with spaces between, such as \"class=batch severity>=error \
              appliance=db*\"",
    error: |text| Matchers::parse(text).err().map(|error| error.to_string()),
};

/// Receivers.
static RECEIVERS: TextRule = TextRule {
    allowed: "a list of at most 16 receivers with commas between: mail addresses, webhook:NAME, and \
              default for those of mail.to; or none for nobody",
    error: receivers_error,
};

/// Quiet hours.
static QUIET_HOURS: TextRule = TextRule {
    allowed: "a list of at most 8 periods with semicolons between, such as \"mon-fri 22:00-07:00; \
              sat,sun 00:00-24:00\"",
    error: |text| match parse_periods(text) {
        Ok(periods) if periods.len() > QUIET_PERIODS_MAX => {
            Some(format!("there are {}", periods.len()))
        }
        Ok(_) => None,
        Err(why) => Some(why),
    },
};

/// The settings of one route as configured; an empty text is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSettings {
    /// Which alerts it takes; empty: all.
    pub matchers: String,
    /// Who gets them, separated by commas.
    pub receivers: String,
    /// Whether later routes are tried, too.
    pub continues: bool,
    /// Whether nobody gets them, and no later route is tried.
    pub mutes: bool,
    /// The periods in which notifications wait, separated by semicolons.
    pub quiet_hours: String,
    /// The time zone of these periods; empty: that of mail.
    pub quiet_zone: String,
    /// The lowest severity that does not wait.
    pub quiet_severity: Severity,
}

impl Default for RouteSettings {
    fn default() -> Self {
        let none = String::new;
        Self {
            matchers: none(),
            receivers: DEFAULT_RECEIVERS.to_owned(),
            continues: false,
            mutes: false,
            quiet_hours: none(),
            quiet_zone: none(),
            quiet_severity: Severity::Fatal,
        }
    }
}

/// The settings of a route, within `route.NAME`.
pub static ROUTE_SETTINGS: [SettingKey<RouteSettings>; 7] = [
    live("matchers", Accessor::Text(&MATCHERS, |it| &mut it.matchers)),
    live("receivers", Accessor::Text(&RECEIVERS, |it| &mut it.receivers)),
    live("continue", Accessor::Bool(|it| &mut it.continues)),
    live("mute", Accessor::Bool(|it| &mut it.mutes)),
    live("quiet_hours", Accessor::Text(&QUIET_HOURS, |it| &mut it.quiet_hours)),
    live("quiet_zone", Accessor::Text(&mail::ZONE, |it| &mut it.quiet_zone)),
    live("quiet_severity", Accessor::Severity(|it| &mut it.quiet_severity)),
];

/// The path of a key of a route.
pub(super) fn route_path(name: &str, key: &str) -> String {
    format!("{}.{key}", dotted_key(&[ROUTE_TABLE, name]))
}

impl RouteSettings {
    /// The receivers as listed.
    fn receivers(&self) -> impl Iterator<Item = &str> {
        let items = self.receivers.split(',').map(str::trim);
        items.filter(|it| !it.is_empty() && *it != NOBODY)
    }
}

/// Why a list of receivers is invalid. Whether webhooks exist is checked with the whole.
fn receivers_error(text: &str) -> Option<String> {
    let items: Vec<_> = text.split(',').map(str::trim).filter(|it| !it.is_empty()).collect();
    if items.is_empty() {
        return Some("write none for nobody".to_owned());
    }
    if items.len() > ROUTE_RECEIVERS_MAX {
        return Some(format!("there are {}", items.len()));
    }
    if items.len() > 1 && items.contains(&NOBODY) {
        return Some("none stands beside receivers".to_owned());
    }
    let is_known = |it: &str| {
        [NOBODY, DEFAULT_RECEIVERS].contains(&it)
            || it.strip_prefix(WEBHOOK_PREFIX).is_some_and(|name| !name.is_empty())
            || smtp::parse_address(it).is_some()
    };
    let invalid = items.into_iter().find(|it| !is_known(it))?;
    Some(format!("`{}` is neither a mail address nor webhook:NAME", excerpt(invalid)))
}

fn parse_periods(text: &str) -> Result<Vec<QuietPeriod>, String> {
    let items = text.split(';').map(str::trim).filter(|it| !it.is_empty());
    let parse = |it: &str| it.parse().map_err(|error| format!("`{}`: {error}", excerpt(it)));
    items.map(parse).collect()
}

/// A mistake: the key, and what is wrong.
type RouteMistake = (&'static str, String);

impl Settings {
    /// The settings of that route, which becomes the last one if it is new.
    pub(super) fn route_mut(&mut self, name: &str) -> &mut RouteSettings {
        let at = self.routes.iter().position(|it| it.0 == name).unwrap_or_else(|| {
            self.routes.push((name.to_owned(), RouteSettings::default()));
            self.routes.len() - 1
        });
        &mut self.routes[at].1
    }

    /// Validates the routes as a whole and gives them to the core. `reported` has the errors of single
    /// values; with `is_incomplete`, parts of the file could not be read, and may contain what is
    /// missing.
    pub(super) fn configure_routes(
        &mut self,
        reported: &[ConfigError],
        is_incomplete: bool,
    ) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        let mut ready: Vec<NotificationRoute> = Vec::new();
        for (name, settings) in &self.routes {
            let table = dotted_key(&[ROUTE_TABLE, name.as_str()]);
            let prefix = format!("{table}.");
            // What is missing or wrong may be misspelt.
            if is_incomplete || reported.iter().any(|error| error.key.starts_with(&prefix)) {
                continue;
            }
            let route = self.build_route(name, settings).and_then(|route| {
                let hidden = hidden_by(&route, &ready);
                hidden.map_or(Ok(route), |text| Err(("matchers", text)))
            });
            match route {
                Ok(route) => ready.push(route),
                Err((key, text)) => errors.push(self.table_error(&table, key, text)),
            }
        }
        if self.routes.len() > ROUTES_MAX {
            let text = format!("there are {}, and at most {ROUTES_MAX} can be", self.routes.len());
            errors.push(self.table_error(ROUTE_TABLE, "", text));
        }
        self.grid = std::mem::take(&mut self.grid).with_routes(ready);
        errors
    }

    fn build_route(
        &self,
        name: &str,
        settings: &RouteSettings,
    ) -> Result<NotificationRoute, RouteMistake> {
        if name == DEFAULT_ROUTE {
            let text = "is the route of alerts that no other one takes, to mail.to; choose another \
                        name";
            return Err(("", text.to_owned()));
        }
        let matchers = Matchers::parse(&settings.matchers);
        let matchers = matchers.map_err(|error| ("matchers", error.to_string()))?;
        if let Some(field) = matchers.contradiction() {
            let field = field.as_str();
            let text =
                format!("no alert can match: its conditions on {field} contradict each other");
            return Err(("matchers", text));
        }
        self.check_effect(name, settings)?;
        let receivers = if settings.mutes {
            RouteReceivers::Muted
        } else {
            settings.receivers().try_for_each(|it| self.check_receiver(it))?;
            RouteReceivers::Listed(settings.receivers().map(Into::into).collect())
        };
        Ok(NotificationRoute {
            name: name.into(),
            matchers,
            receivers,
            continues: settings.continues,
            quiet_hours: self.build_quiet_hours(settings)?,
        })
    }

    /// Refuses what is set and has no effect.
    fn check_effect(&self, name: &str, settings: &RouteSettings) -> Result<(), RouteMistake> {
        let is_set = |key: &str| self.origin(&route_path(name, key)) != Origin::Default;
        let beside_mute = ["receivers", "continue", "quiet_hours"]
            .into_iter()
            .find(|it| settings.mutes && is_set(it) && (*it != "continue" || settings.continues));
        if let Some(key) = beside_mute {
            return Err((key, "has no effect beside mute = true; remove one of both".to_owned()));
        }
        let has_no_hours = settings.quiet_hours.trim().is_empty();
        let alone = ["quiet_zone", "quiet_severity"].into_iter();
        match alone.into_iter().find(|it| has_no_hours && is_set(it)) {
            Some(key) => Err((key, "has no effect without quiet_hours".to_owned())),
            None => Ok(()),
        }
    }

    fn check_receiver(&self, receiver: &str) -> Result<(), RouteMistake> {
        let wrong = if receiver == DEFAULT_RECEIVERS {
            let is_empty = self.mail.recipients().next().is_none();
            is_empty.then(|| {
                "default stands for the recipients of mail.to, and there are none; name receivers \
                 here or there"
                    .to_owned()
            })
        } else if let Some(hook) = receiver.strip_prefix(WEBHOOK_PREFIX) {
            let table = dotted_key(&[WEBHOOK_TABLE, hook]);
            let is_known = self.webhooks.contains_key(hook);
            (!is_known).then(|| {
                format!(
                    "names {WEBHOOK_PREFIX}{}, but there is no such webhook; add a table [{table}] \
                     with its url",
                    excerpt(hook)
                )
            })
        } else {
            let text = format!("{} is a mail address, and needs mail.server", excerpt(receiver));
            (!self.mail.is_configured()).then_some(text)
        };
        wrong.map_or(Ok(()), |text| Err(("receivers", text)))
    }

    fn build_quiet_hours(
        &self,
        settings: &RouteSettings,
    ) -> Result<Option<QuietHours>, RouteMistake> {
        let periods = parse_periods(&settings.quiet_hours).map_err(|text| ("quiet_hours", text))?;
        if periods.is_empty() {
            return Ok(None);
        }
        let zone = [&settings.quiet_zone, &self.mail.zone].into_iter().find(|it| !it.is_empty());
        let zone = zone.map_or_else(|| Ok(TimeZone::system()), |name| smtp::parse_zone(name));
        let zone = zone.map_err(|text| ("quiet_zone", text))?;
        let quiet = QuietHours::new(&periods, zone, settings.quiet_severity);
        quiet.map(Some).map_err(|error| ("quiet_hours", error.to_string()))
    }

    /// Warnings about routes: a class that is not in the file, but may still be one of an appliance.
    pub(super) fn route_warnings(&self) -> Vec<ConfigError> {
        let mut all = Vec::new();
        for route in self.grid.routing().routes() {
            let classes = route.matchers.literals(MatcherField::Class);
            for class in classes.iter().filter(|class| self.grid.class(class).is_none()) {
                let table = dotted_key(&[ROUTE_TABLE, &*route.name]);
                let text = format!("there is no class {class} here; is it misspelt?");
                all.push(self.table_error(&table, "matchers", text));
            }
        }
        all
    }
}

/// Which of the routes before it take everything.
fn hidden_by(route: &NotificationRoute, before: &[NotificationRoute]) -> Option<String> {
    let before: Vec<_> = before.iter().filter(|it| !it.continues).collect();
    let matchers: Vec<_> = before.iter().map(|it| &it.matchers).collect();
    let takers = route.matchers.taken_by(&matchers)?;
    let names: Vec<_> = takers.into_iter().map(|at| &*before[at].name).collect();
    Some(format!(
        "no alert gets here: of those before it, {} takes all; move this one up, or set continue = \
         true there",
        names.join(" with ")
    ))
}
