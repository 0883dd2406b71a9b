//! Lists the effective settings, and warnings about them.
//!
//! Guarantees that every setting of every table is listed with the source of its value, and that
//! secrets are listed as `***`. Does not know what changed.

use super::key::SettingKey;
use super::{Settings, crash_dump, keys, route, webhook};
use crate::config::error::{ConfigError, Origin};

/// An effective setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// Its key, as the file would write it.
    pub key: String,
    /// Its value, as the file would write it, without quotes; `***` for a secret.
    pub value: String,
    /// The source of the value.
    pub origin: Origin,
}

impl Settings {
    /// All effective settings with their sources; secrets as `***`.
    pub fn effective(&self) -> Vec<EffectiveSetting> {
        let mut all = Vec::new();
        self.for_each_effective(|setting, _| all.push(setting));
        all
    }

    /// Warnings about valid but risky settings, one line each.
    pub fn warnings(&self) -> Vec<ConfigError> {
        let mut all = Vec::new();
        self.for_each_effective(|_, warning| all.extend(warning));
        // One warning for a whole table.
        all.dedup();
        let of_mail = |(key, text): (&str, String)| ConfigError {
            origin: self.origin(key),
            key: key.to_owned(),
            text,
        };
        all.extend(self.mail.warnings().into_iter().map(of_mail));
        all.extend(self.crash_dump_warnings());
        all.extend(self.webhook_warnings());
        all.extend(self.route_warnings());
        all.extend(self.plaintext_warning());
        all.extend(self.benchmark_warning());
        for name in self.grid.class_names() {
            let rules =
                self.grid.class(name).filter(|it| it.report_deadline > it.report_interval_max);
            if rules.is_some() {
                let key = keys::class_path(name, "maintenance_silence");
                let text = "is longer than promise_max: an appliance that sets no report \
                            deadline gets a longer one than one that sets it"
                    .to_owned();
                all.push(ConfigError { origin: self.origin(&key), key, text });
            }
        }
        all
    }

    fn benchmark_warning(&self) -> Option<ConfigError> {
        let key = "benchmark".to_owned();
        let text =
            "load tests may fill this broker with events of invented appliances; set it to false \
                    where real appliances report"
                .to_owned();
        self.benchmark.then(|| ConfigError { origin: self.origin(&key), key, text })
    }

    /// Calls `with` for each effective setting, with its warning if there is one.
    fn for_each_effective(&self, mut with: impl FnMut(EffectiveSetting, Option<ConfigError>)) {
        let mut whole = self.clone();
        for key in keys::settings() {
            self.visit_setting(key, &mut whole, key.path.to_owned(), &mut with);
        }
        for name in self.grid.class_names() {
            let mut class = self.grid.class(name).cloned().unwrap_or_default();
            for key in keys::class_settings() {
                self.visit_setting(key, &mut class, keys::class_path(name, key.path), &mut with);
            }
        }
        for (name, own) in self.grid.crash_dumps() {
            let mut own = own.clone();
            for key in &crash_dump::APPLIANCE_SETTINGS {
                let path = crash_dump::appliance_path(name, key.path);
                self.visit_setting(key, &mut own, path, &mut with);
            }
        }
        for (name, own) in &self.webhooks {
            let mut own = own.clone();
            for key in &webhook::WEBHOOK_SETTINGS {
                let path = webhook::webhook_path(name, key.path);
                self.visit_setting(key, &mut own, path, &mut with);
            }
        }
        for (name, own) in &self.routes {
            let mut own = own.clone();
            for key in &route::ROUTE_SETTINGS {
                self.visit_setting(key, &mut own, route::route_path(name, key.path), &mut with);
            }
        }
    }

    fn visit_setting<T: Default>(
        &self,
        key: &SettingKey<T>,
        of: &mut T,
        path: String,
        with: &mut impl FnMut(EffectiveSetting, Option<ConfigError>),
    ) {
        let Some(value) = key.accessor.format(of) else { return };
        // `budget = "unlimited"` sets all budgets.
        let above = path.rsplit_once('.').map_or("", |(above, _)| above);
        let own = self.origin(&path);
        let (set_at, origin) = if own == Origin::Default && key.accessor.is_inherited() {
            (above, self.origin(above))
        } else {
            (path.as_str(), own)
        };
        let warning = key.accessor.warning(of).map(|text| ConfigError {
            origin: origin.clone(),
            key: set_at.to_owned(),
            text,
        });
        with(EffectiveSetting { key: path, value, origin }, warning);
    }
}
