//! Which settings came to hold? What the grid log keeps of them, at a start and at a change.
//!
//! Guarantees a bounded record whatever the settings are, and says what was left out. Knows neither
//! keys nor where they are written; no secret comes here.

/// Most bytes of keys, values and warnings in one record.
const BYTES_MAX: usize = 32 << 10;

/// Most settings named in one sentence.
const NAMED_MAX: usize = 8;

/// Settings as they came to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsInForce {
    /// At a start, and these are those that are not as by default. Otherwise these changed.
    pub at_start: bool,
    /// What holds.
    pub settings: Vec<SettingIs>,
    /// What does not hold before a restart.
    pub waiting: Vec<SettingIs>,
    /// What is allowed and should be known, a sentence each.
    pub warnings: Vec<Box<str>>,
    /// How many of all these found no place here; gridd's own tracing names them.
    pub left_out: u32,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingIs {
    /// Its key.
    pub key: Box<str>,
    /// Its value, `***` for a secret; `None`: it is there no more.
    pub value: Option<Box<str>>,
    /// Where the value is from: a flag, a variable, a line of the file, or `default`.
    pub origin: Box<str>,
    /// Its value before; `None`: it was not there, or this is a start.
    pub before: Option<Box<str>>,
}

impl SettingIs {
    fn bytes(&self) -> usize {
        let optional = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        self.key.len() + self.origin.len() + optional(&self.value) + optional(&self.before)
    }

    fn explain(&self) -> String {
        let Self { key, value, origin, before } = self;
        let was = before.as_ref().map_or_else(String::new, |before| format!(", was {before}"));
        match value {
            Some(value) => format!("{key} = {value}{was} ({origin})"),
            None => format!("{key} is gone{was}"),
        }
    }
}

impl SettingsInForce {
    /// The same within the bounds of a record.
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
        self.waiting.retain(|setting| has_room(setting.bytes()));
        self.settings.retain(|setting| has_room(setting.bytes()));
        self.left_out = left_out;
        self
    }

    /// The sentence of its record.
    pub(in crate::grid) fn explain(&self) -> String {
        let Self { at_start, settings, waiting, warnings, left_out } = self;
        let mut parts = Vec::new();
        match (at_start, settings.is_empty()) {
            (true, true) => parts.push("settings are all as by default".to_owned()),
            (true, false) => parts.push(format!("settings: {}", named(settings))),
            (false, true) => {}
            (false, false) => parts.push(format!("settings changed: {}", named(settings))),
        }
        if !waiting.is_empty() {
            parts.push(format!("settings that need a restart: {}", named(waiting)));
        }
        match warnings.as_slice() {
            [] => {}
            [warning] => parts.push(format!("1 warning: {warning}")),
            [..] => parts.push(format!("{} warnings", warnings.len())),
        }
        if *left_out > 0 {
            parts.push(format!("{left_out} more have no place in a record"));
        }
        parts.join("; ")
    }
}

fn named(settings: &[SettingIs]) -> String {
    let mut named: Vec<_> = settings.iter().take(NAMED_MAX).map(SettingIs::explain).collect();
    if let Some(more @ 1..) = settings.len().checked_sub(NAMED_MAX) {
        named.push(format!("and {more} more"));
    }
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(key: &str, value: Option<&str>, before: Option<&str>) -> SettingIs {
        let [value, before] = [value, before].map(|text| text.map(Into::into));
        SettingIs { key: key.into(), value, origin: "gridd.toml:3".into(), before }
    }

    #[test]
    fn a_start_says_what_is_not_default_and_a_change_what_was_before() {
        let age = setting("retention.age", Some("30d"), None);
        let at_start = SettingsInForce { at_start: true, ..SettingsInForce::default() };
        assert_eq!(at_start.explain(), "settings are all as by default");
        let warnings = vec!["class.a.boot_timeout: infinite".into()];
        let at_start = SettingsInForce { settings: vec![age], warnings, ..at_start };
        assert_eq!(
            at_start.explain(),
            "settings: retention.age = 30d (gridd.toml:3); 1 warning: class.a.boot_timeout: \
             infinite"
        );
        let change = SettingsInForce {
            settings: vec![
                setting("retention.age", Some("40d"), Some("30d")),
                setting("class.web", None, Some("a class")),
            ],
            waiting: vec![setting("grpc", Some("127.0.0.1:1"), Some("127.0.0.1:2"))],
            ..SettingsInForce::default()
        };
        assert_eq!(
            change.explain(),
            "settings changed: retention.age = 40d, was 30d (gridd.toml:3), class.web is gone, was \
             a class; settings that need a restart: grpc = 127.0.0.1:1, was 127.0.0.1:2 \
             (gridd.toml:3)"
        );
    }

    #[test]
    fn a_record_is_bounded_and_says_how_much_it_leaves_out() {
        let long = "x".repeat(1_000);
        let settings = (0..100).map(|_| setting("data", Some(&long), None)).collect();
        let whole = SettingsInForce { settings, at_start: true, ..SettingsInForce::default() };
        let bounded = whole.bounded();
        assert_eq!((bounded.settings.len(), bounded.left_out), (32, 68));
        let said = bounded.explain();
        assert!(said.ends_with("and 24 more; 68 more have no place in a record"), "{said}");
        assert!(said.len() < 16 << 10);
    }
}
