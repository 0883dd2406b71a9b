//! The section Package: which program this is, and how it was built.

use serde_json::Value;

use super::threads::Tables;
use crate::guru_meditation::section_builder::SectionBuilder;

/// What a program says of itself. What is empty is told as `None`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Package {
    /// Who makes it.
    pub vendor: &'static str,
    /// What it is called.
    pub product: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The commit it was built from.
    pub commit: &'static str,
    /// The compiler.
    pub rustc: &'static str,
    /// For which machine.
    pub target: &'static str,
    /// How: `release` or `debug`.
    pub profile: &'static str,
    /// The features that are built in, parted by commas.
    pub features: &'static str,
}

/// Writes the section.
pub(super) fn add_section(page: &SectionBuilder, package: &Package) {
    let value = |value: &str| if value.is_empty() { Value::Null } else { value.into() };
    let Package { vendor, product, version, commit, rustc, target, profile, features } = package;
    for (key, text) in [("vendor", vendor), ("product", product), ("version", version)] {
        page.add(key, value(text));
    }
    let build = [
        ("commit", commit),
        ("rustc", rustc),
        ("target", target),
        ("profile", profile),
        ("features", features),
    ];
    for (key, text) in build {
        page.add_more(key, value(text));
    }
    page.add_more("build_id", value(Tables::load().own_build_id().unwrap_or_default()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_does_not_say_is_none() {
        let page = SectionBuilder::default();
        add_section(&page, &Package { vendor: "Grid", product: "Broker", ..Package::default() });
        let text = page.read().to_text();
        assert_eq!(text, "product = Broker\nvendor = Grid\nversion = None\n");
        assert_eq!(page.read().more()["commit"], Value::Null);
    }
}
