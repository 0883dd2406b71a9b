//! Defines the applied settings, as recorded at a start and at a change.
//!
//! Guarantees a bounded record for any settings, and counts what is omitted. Does not know keys or
//! where they are written; contains no secret.

/// The most bytes of keys, values and warnings in one record.
const BYTES_MAX: usize = 32 << 10;

/// The most settings listed in one sentence.
const LISTED_MAX: usize = 8;

/// Applied settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppliedSettings {
    /// Recorded at a start: these are all that are not default. Otherwise these changed.
    pub is_startup: bool,
    /// The settings that apply now.
    pub settings: Vec<AppliedSetting>,
    /// The settings that apply after a restart.
    pub pending_restart: Vec<AppliedSetting>,
    /// Warnings, a sentence each.
    pub warnings: Vec<Box<str>>,
    /// How many of these were omitted. gridd's tracing lists them.
    pub omitted: u32,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedSetting {
    /// Its key.
    pub key: Box<str>,
    /// Its value, `***` for a secret; `None`: it was removed.
    pub value: Option<Box<str>>,
    /// The origin of the value: a flag, a variable, a line of the file, or `default`.
    pub origin: Box<str>,
    /// Its value before; `None`: it had none, or this is a start.
    pub previous: Option<Box<str>>,
}

impl AppliedSetting {
    fn bytes(&self) -> usize {
        let optional = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        self.key.len() + self.origin.len() + optional(&self.value) + optional(&self.previous)
    }

    fn describe(&self) -> String {
        let Self { key, value, origin, previous } = self;
        let was = previous.as_ref().map_or_else(String::new, |before| format!(", was {before}"));
        match value {
            Some(value) => format!("{key} = {value}{was} ({origin})"),
            None => format!("{key} was removed{was}"),
        }
    }
}

impl AppliedSettings {
    /// Reduces it to the bounds of a record.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let mut room = BYTES_MAX;
        let mut left_out = 0;
        let mut has_room = |bytes: usize| {
            let fits = bytes <= room;
            room -= if fits { bytes } else { 0 };
            left_out += u32::from(!fits);
            fits
        };
        self.warnings.retain(|warning| has_room(warning.len()));
        self.pending_restart.retain(|setting| has_room(setting.bytes()));
        self.settings.retain(|setting| has_room(setting.bytes()));
        self.omitted = left_out;
        self
    }

    /// The text of its record.
    pub(in crate::grid) fn describe(&self) -> String {
        let Self { is_startup, settings, pending_restart, warnings, omitted } = self;
        let mut parts = Vec::new();
        match (is_startup, settings.is_empty()) {
            (true, true) => parts.push("all settings have their defaults".to_owned()),
            (true, false) => parts.push(format!("settings: {}", list_settings(settings))),
            (false, true) => {}
            (false, false) => parts.push(format!("settings changed: {}", list_settings(settings))),
        }
        if !pending_restart.is_empty() {
            parts.push(format!("settings that need a restart: {}", list_settings(pending_restart)));
        }
        match warnings.as_slice() {
            [] => {}
            [warning] => parts.push(format!("1 warning: {warning}")),
            [..] => parts.push(format!("{} warnings", warnings.len())),
        }
        if *omitted > 0 {
            parts.push(format!("{omitted} more are omitted"));
        }
        parts.join("; ")
    }
}

fn list_settings(settings: &[AppliedSetting]) -> String {
    let mut named: Vec<_> =
        settings.iter().take(LISTED_MAX).map(AppliedSetting::describe).collect();
    if let Some(more @ 1..) = settings.len().checked_sub(LISTED_MAX) {
        named.push(format!("and {more} more"));
    }
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(key: &str, value: Option<&str>, before: Option<&str>) -> AppliedSetting {
        let [value, before] = [value, before].map(|text| text.map(Into::into));
        AppliedSetting { key: key.into(), value, origin: "gridd.toml:3".into(), previous: before }
    }

    #[test]
    fn a_start_lists_changed_defaults_and_a_change_the_previous_values() {
        let age = setting("retention.age", Some("30d"), None);
        let at_start = AppliedSettings { is_startup: true, ..AppliedSettings::default() };
        assert_eq!(at_start.describe(), "all settings have their defaults");
        let warnings = vec!["class.a.boot_timeout: infinite".into()];
        let at_start = AppliedSettings { settings: vec![age], warnings, ..at_start };
        assert_eq!(
            at_start.describe(),
            "settings: retention.age = 30d (gridd.toml:3); 1 warning: class.a.boot_timeout: \
             infinite"
        );
        let change = AppliedSettings {
            settings: vec![
                setting("retention.age", Some("40d"), Some("30d")),
                setting("class.web", None, Some("a class")),
            ],
            pending_restart: vec![setting("grpc", Some("127.0.0.1:1"), Some("127.0.0.1:2"))],
            ..AppliedSettings::default()
        };
        assert_eq!(
            change.describe(),
            "settings changed: retention.age = 40d, was 30d (gridd.toml:3), class.web was removed, was \
             a class; settings that need a restart: grpc = 127.0.0.1:1, was 127.0.0.1:2 \
             (gridd.toml:3)"
        );
    }

    #[test]
    fn a_record_is_bounded_and_counts_what_it_omits() {
        let long = "x".repeat(1_000);
        let settings = (0..100).map(|_| setting("data", Some(&long), None)).collect();
        let whole = AppliedSettings { settings, is_startup: true, ..AppliedSettings::default() };
        let bounded = whole.bounded();
        assert_eq!((bounded.settings.len(), bounded.omitted), (32, 68));
        let text = bounded.describe();
        assert!(text.ends_with("and 24 more; 68 more are omitted"), "{text}");
        assert!(text.len() < 16 << 10);
    }
}
