//! Defines what the grid knows of credentials: tokens, enrolled keys, administrators.
//!
//! Guarantees plain values. Secrets are hashes only. Decides nothing.

use crate::grid::values::id::ApplianceName;
use crate::grid::values::identity::{
    AdministratorName, KeyHash, Role, SecretHash, Serial, Subject, TokenId,
};
use crate::grid::values::time::Timestamp;

/// A token, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its public id.
    pub id: TokenId,
    /// The hash of its secret.
    pub secret: SecretHash,
    /// For whom or what it is valid.
    pub purpose: TokenPurpose,
    /// When it was created.
    pub created_at: Timestamp,
    /// Who created it.
    pub created_by: Box<str>,
    /// When it ends; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the day.
    pub last_used_at: Option<Timestamp>,
    /// Enrolment: how many keys it enrolled.
    pub uses: u32,
}

/// For whom or what a token is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenPurpose {
    /// It authenticates its owner at each call.
    Access(Subject),
    /// It enrols a key.
    Enrolment(EnrolmentTerms),
}

impl TokenPurpose {
    /// Whose token it is; `None`: it enrols names that match a pattern.
    pub fn owner(&self) -> Option<&Subject> {
        match self {
            Self::Access(owner) => Some(owner),
            Self::Enrolment(EnrolmentTerms { scope: EnrolmentScope::One(owner), .. }) => {
                Some(owner)
            }
            Self::Enrolment(EnrolmentTerms { scope: EnrolmentScope::Pattern { .. }, .. }) => None,
        }
    }
}

/// What an enrolment token permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolmentTerms {
    /// Whom it enrols.
    pub scope: EnrolmentScope,
    /// The class of new appliances; `None`: the default class.
    pub class: Option<Box<str>>,
    /// An enrolled key is replaced.
    pub replace: bool,
}

/// Whom an enrolment token enrols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnrolmentScope {
    /// One owner.
    One(Subject),
    /// Appliances whose names match a pattern.
    Pattern {
        /// The pattern: `*` stands for any characters.
        pattern: Box<str>,
        /// How many keys it may enrol.
        count: u32,
    },
}

/// The key pair of a subject: its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolledKey {
    /// The hash of the public key.
    pub key: KeyHash,
    /// The serial number of the last certificate.
    pub serial: Serial,
    /// When it was enrolled.
    pub enrolled_at: Timestamp,
    /// When the last certificate was issued.
    pub issued_at: Timestamp,
    /// When the last certificate ends.
    pub expires_at: Timestamp,
    /// The token that enrolled it.
    pub token: TokenId,
}

/// An administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Administrator {
    /// The role.
    pub role: Role,
    /// When it was created.
    pub created_at: Timestamp,
}

/// The data of a certificate that the broker's CA is to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateGrant {
    /// Whose certificate.
    pub subject: Subject,
    /// The serial number.
    pub serial: Serial,
    /// When it is issued.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Whether `name` matches `pattern`, in which `*` stands for any characters.
pub fn matches_pattern(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = pattern.rsplit('*').next().filter(|_| pattern.contains('*')) else {
        return rest.is_empty();
    };
    let middle_count = pattern.matches('*').count() - 1;
    for part in parts.take(middle_count) {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

/// Whether it is a pattern of names: it has a `*`, and otherwise what names have.
pub fn is_valid_pattern(pattern: &str) -> bool {
    let plain: String = pattern.chars().filter(|c| *c != '*').collect();
    pattern.contains('*')
        && pattern.len() <= crate::grid::values::id::NAME_BYTES_MAX
        && (plain.is_empty() || crate::grid::values::id::has_name_characters(&plain))
}

/// The owner, if it is an appliance.
pub fn appliance_of(subject: &Subject) -> Option<&ApplianceName> {
    match subject {
        Subject::Appliance(name) => Some(name),
        Subject::Administrator(_) => None,
    }
}

/// The owner, if it is an administrator.
pub fn administrator_of(subject: &Subject) -> Option<&AdministratorName> {
    match subject {
        Subject::Appliance(_) => None,
        Subject::Administrator(name) => Some(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_names() {
        for (pattern, name, expected) in [
            ("web-*", "web-1", true),
            ("web-*", "web-", true),
            ("web-*", "aweb-1", false),
            ("*", "anything", true),
            ("*.vm", "a.vm", true),
            ("*.vm", "a.vms", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("ab*ba", "abba", true),
            ("web-1", "web-1", true),
            ("web-1", "web-12", false),
        ] {
            assert_eq!(matches_pattern(pattern, name), expected, "{pattern} {name}");
        }
        for valid in ["web-*", "*", "*:db*"] {
            assert!(is_valid_pattern(valid), "{valid}");
        }
        for invalid in ["web-1", "", "a b*", "ä*", &format!("*{}", "a".repeat(128))] {
            assert!(!is_valid_pattern(invalid), "{invalid}");
        }
    }
}
