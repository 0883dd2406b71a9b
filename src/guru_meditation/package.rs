//! Writes the section Package: the program and how it was built.
//!
//! Guarantees that unknown values appear as `None`. Does not know who asked for the report.

use serde_json::Value;

use super::threads::UnwindTables;
use crate::guru_meditation::section_builder::SectionBuilder;

/// Description of a program. Empty values appear as `None`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Package {
    /// Its vendor.
    pub vendor: &'static str,
    /// Its name.
    pub product: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The commit it was built from.
    pub commit: &'static str,
    /// The version of the compiler.
    pub rustc: &'static str,
    /// The target triple.
    pub target: &'static str,
    /// The build profile: `release` or `debug`.
    pub profile: &'static str,
    /// The enabled features, separated by commas.
    pub features: &'static str,
}

/// Writes the section.
pub(super) fn write(page: &SectionBuilder, package: &Package) {
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
        page.add_detail(key, value(text));
    }
    page.add_detail("build_id", value(UnwindTables::load().own_build_id().unwrap_or_default()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_a_program_leaves_empty_are_none() {
        let page = SectionBuilder::default();
        write(&page, &Package { vendor: "Grid", product: "Broker", ..Package::default() });
        let text = page.snapshot().to_text();
        assert_eq!(text, "product = Broker\nvendor = Grid\nversion = None\n");
        assert_eq!(page.snapshot().more()["commit"], Value::Null);
    }
}
