//! Takes the name of an appliance out of a certificate of an operator's CA.
//!
//! Guarantees exactly one match among all subject alternative names, of the whole text, with its case
//! as it is. Does not know which names are valid.

use super::certificate::CertificateFacts;

/// Stands for the name in a pattern.
const PLACEHOLDER: &str = "{name}";

/// Longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 512;

/// A pattern such as `spiffe://corp.example/grid/{name}` or `{name}.vm.example`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    before: Box<str>,
    after: Box<str>,
    /// Of a URI; otherwise of a host name.
    is_uri: bool,
}

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// It has not one placeholder.
    #[error("has {0} times {PLACEHOLDER}, which must be there once")]
    Placeholders(usize),
    /// Every certificate would match it.
    #[error("matches every name; put something fixed beside {PLACEHOLDER}")]
    NothingFixed,
    /// It has characters of neither a URI nor a host name.
    #[error("has a character that neither a URI nor a host name can have")]
    Characters,
    /// The name is in the part of a URI that says who made it.
    #[error("has {PLACEHOLDER} before the path of its URI")]
    NotInPath,
    /// It is too long.
    #[error("is longer than {PATTERN_BYTES_MAX} bytes")]
    TooLong,
}

/// Why a pattern gives no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternMismatch {
    /// No name matches.
    #[error("the certificate has no name like {pattern} (tls.client_names); it has {found}")]
    NoMatch {
        /// The pattern.
        pattern: Box<str>,
        /// What it has.
        found: Box<str>,
    },
    /// Several match.
    #[error(
        "the certificate has {count} names like {pattern} (tls.client_names), and must have one; it \
         has {found}"
    )]
    Ambiguous {
        /// The pattern.
        pattern: Box<str>,
        /// How many match.
        count: usize,
        /// What it has.
        found: Box<str>,
    },
}

impl NamePattern {
    /// Parses a pattern: with `://` one of URIs, otherwise one of host names.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, InvalidPattern> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(InvalidPattern::TooLong);
        }
        let (before, after) = match text.split_once(PLACEHOLDER) {
            Some(parts) if text.matches(PLACEHOLDER).count() == 1 => parts,
            Some(_) | None => {
                return Err(InvalidPattern::Placeholders(text.matches(PLACEHOLDER).count()));
            }
        };
        if before.is_empty() && after.is_empty() {
            return Err(InvalidPattern::NothingFixed);
        }
        let is_uri = text.contains("://");
        let is_allowed = |c: char| {
            c.is_ascii_alphanumeric() || "-_.".contains(c) || is_uri && c.is_ascii_graphic()
        };
        if !before.chars().chain(after.chars()).all(|c| is_allowed(c) && !"{}*".contains(c)) {
            return Err(InvalidPattern::Characters);
        }
        // `spiffe://{name}` would accept what any authority names.
        let path = before.split_once("://").map(|(_, rest)| rest.contains('/'));
        if is_uri && path != Some(true) {
            return Err(InvalidPattern::NotInPath);
        }
        Ok(Self { before: before.into(), after: after.into(), is_uri })
    }

    /// The part of the only matching name of a certificate that stands for the placeholder.
    ///
    /// # Errors
    ///
    /// When none or several match.
    pub fn only_match<'a>(
        &self,
        certificate: &'a CertificateFacts,
    ) -> Result<&'a str, PatternMismatch> {
        let names = if self.is_uri { &certificate.uris } else { &certificate.dns_names };
        let matching: Vec<_> = names.iter().filter_map(|name| self.matched(name)).collect();
        let (pattern, found) = (self.to_string().into(), certificate.listed_names());
        match matching[..] {
            [one] => Ok(one),
            [] => Err(PatternMismatch::NoMatch { pattern, found }),
            [..] => {
                let count = matching.len();
                Err(PatternMismatch::Ambiguous { pattern, count, found })
            }
        }
    }

    fn matched<'a>(&self, name: &'a str) -> Option<&'a str> {
        let matched = name.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        (!matched.is_empty()).then_some(matched)
    }
}

impl std::fmt::Display for NamePattern {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}{PLACEHOLDER}{}", self.before, self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::values::identity::{KeyHash, Subject};
    use crate::grid::values::time::Timestamp;
    use crate::identity::certificate::NoSubject;

    fn with_names(uris: &[&str], dns_names: &[&str]) -> CertificateFacts {
        let boxed = |names: &[&str]| names.iter().map(|it| Box::from(*it)).collect();
        CertificateFacts {
            not_before: Timestamp::EPOCH,
            not_after: Timestamp::MAX,
            serial: "1".into(),
            key: KeyHash([0; 32]),
            uris: boxed(uris),
            dns_names: boxed(dns_names),
            addresses: Vec::new(),
            is_ca: false,
            is_for_servers: false,
            common_name: Some("shop".into()),
        }
    }

    fn name_in(pattern: &str, certificate: &CertificateFacts) -> Result<String, NoSubject> {
        let pattern = NamePattern::new(pattern).expect("a pattern");
        certificate.subject_by(&pattern).map(|subject| match subject {
            Subject::Appliance(name) => name.to_string(),
            Subject::Administrator(name) => panic!("{name} is no appliance"),
        })
    }

    #[test]
    fn one_whole_name_matches_with_its_case() {
        let uri = "spiffe://corp.example/grid/{name}";
        for (pattern, uris, names, expected) in [
            (uri, &["spiffe://corp.example/grid/Db1"][..], &[][..], Some("Db1")),
            (uri, &["spiffe://corp.example/grid/db1", "https://x/db2"], &[], Some("db1")),
            (uri, &["spiffe://corp.example/grid/db1"], &["db2.vm.example"], Some("db1")),
            (uri, &["spiffe://corp.example/Grid/db1"], &[], None),
            (uri, &["spiffe://corp.example/grid/"], &[], None),
            (uri, &["xspiffe://corp.example/grid/db1"], &[], None),
            (uri, &[], &["spiffe://corp.example/grid/db1"], None),
            (uri, &[], &[], None),
            ("{name}.vm.example", &[], &["db1.vm.example"], Some("db1")),
            ("{name}.vm.example", &[], &["db1.vm.example.evil.example"], None),
            ("{name}.vm.example", &[], &["db1.VM.example"], None),
            ("{name}.vm.example", &["db1.vm.example"], &[], None),
        ] {
            let found = name_in(pattern, &with_names(uris, names));
            match expected {
                Some(name) => {
                    assert_eq!(found.as_deref(), Ok(name), "{pattern} {uris:?} {names:?}")
                }
                None => {
                    let error = found.expect_err("nobody").to_string();
                    assert!(error.contains("has no name like"), "{uris:?} {names:?}: {error}");
                }
            }
        }
    }

    #[test]
    fn two_matching_names_and_invalid_ones_name_nobody() {
        let two = with_names(&[], &["a.vm.example", "b.vm.example"]);
        let error = name_in("{name}.vm.example", &two).expect_err("two").to_string();
        assert_eq!(
            error,
            "the certificate has 2 names like {name}.vm.example (tls.client_names), and must have \
             one; it has a.vm.example, b.vm.example"
        );
        let twice = with_names(&[], &["a.vm.example", "a.vm.example"]);
        assert!(name_in("{name}.vm.example", &twice).is_err());
        for name in ["*.vm.example", "-a.vm.example", "a b.vm.example", "a/b.vm.example"] {
            let error = name_in("{name}.vm.example", &with_names(&[], &[name])).expect_err("none");
            assert!(matches!(error, NoSubject::InvalidAppliance(..)), "{error}");
        }
        let path = with_names(&["spiffe://corp.example/grid/a/b"], &[]);
        let error = name_in("spiffe://corp.example/grid/{name}", &path).expect_err("no name");
        assert!(matches!(error, NoSubject::InvalidAppliance(..)), "{error}");
    }

    #[test]
    fn a_pattern_has_one_placeholder_and_something_fixed() {
        for (text, error) in [
            ("", InvalidPattern::Placeholders(0)),
            ("a.vm.example", InvalidPattern::Placeholders(0)),
            ("{name}.{name}", InvalidPattern::Placeholders(2)),
            ("{name}", InvalidPattern::NothingFixed),
            ("{name}.vm example", InvalidPattern::Characters),
            ("*{name}.example", InvalidPattern::Characters),
            ("{name}.vm.exämple", InvalidPattern::Characters),
            ("spiffe://{name}", InvalidPattern::NotInPath),
            ("spiffe://{name}/grid", InvalidPattern::NotInPath),
            ("{name}://corp.example/a", InvalidPattern::NotInPath),
        ] {
            assert_eq!(NamePattern::new(text), Err(error), "{text}");
        }
        let long = format!("{{name}}.{}", "a".repeat(512));
        assert_eq!(NamePattern::new(&long), Err(InvalidPattern::TooLong));
        let text = "spiffe://corp.example/grid/{name}/vm";
        assert_eq!(NamePattern::new(text).expect("a pattern").to_string(), text);
    }
}
