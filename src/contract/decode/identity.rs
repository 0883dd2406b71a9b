//! Decodes requests about credentials.
//!
//! Guarantees that every invalid field is named. Decides nothing.

use std::time::Duration;

use super::violation;
use crate::contract::proto;
use crate::contract::proto::Violation;
use crate::grid::model::identity::{
    EnrolmentScope, EnrolmentTerms, TokenPurpose, is_valid_pattern,
};
use crate::grid::values::id::ApplianceName;
use crate::grid::values::identity::{AdministratorName, Role, Subject, TokenId};

/// How long a token may be valid: a leap year.
pub const TOKEN_LIFETIME_MAX: Duration = Duration::from_secs(366 * 86_400);

/// How long an enrolment token for one owner may be valid.
pub const ENROLMENT_LIFETIME_MAX: Duration = Duration::from_secs(7 * 86_400);

/// How long an enrolment token is valid by default.
const ENROLMENT_LIFETIME: Duration = Duration::from_secs(3_600);

/// Most keys that one enrolment token may enrol.
pub const ENROLMENTS_MAX: u32 = 100_000;

/// The purpose of a new token, and how long it is valid.
///
/// # Errors
///
/// Every invalid field.
pub fn new_token(
    request: proto::CreateTokenRequest,
) -> Result<(TokenPurpose, Option<Duration>), Vec<Violation>> {
    use proto::create_token_request::Subject as P;
    let mut violations = Vec::new();
    let purpose = match request.subject {
        None => Err(violation("subject", "is missing: whose token is it?")),
        Some(P::Appliance(name)) => appliance("appliance", &name).map(TokenPurpose::Access),
        Some(P::Administrator(name)) => administrator("administrator", &name)
            .map(Subject::Administrator)
            .map(TokenPurpose::Access),
        Some(P::Enrolment(terms)) => {
            enrolment_terms(terms, &mut violations).map(TokenPurpose::Enrolment)
        }
    };
    let valid_for = match request.valid_for {
        None => Ok(None),
        Some(sent) => Duration::try_from(sent)
            .ok()
            .filter(|it| (Duration::from_secs(1)..=TOKEN_LIFETIME_MAX).contains(it))
            .map(Some)
            .ok_or_else(|| violation("valid_for", "is not a time from 1 s to 366 days")),
    };
    let purpose = purpose.map_err(|it| violations.push(it)).ok();
    let valid_for = valid_for.map_err(|it| violations.push(it)).ok();
    let (Some(purpose), Some(valid_for), true) = (purpose, valid_for, violations.is_empty()) else {
        return Err(violations);
    };
    let valid_for = match &purpose {
        TokenPurpose::Access(_) => valid_for,
        TokenPurpose::Enrolment(terms) => {
            let valid_for = valid_for.unwrap_or(ENROLMENT_LIFETIME);
            let is_of_one = matches!(terms.scope, EnrolmentScope::One(_));
            if is_of_one && valid_for > ENROLMENT_LIFETIME_MAX {
                let text = "is longer than 7 days, the limit for a token that enrols one key";
                return Err(vec![violation("valid_for", text)]);
            }
            Some(valid_for)
        }
    };
    Ok((purpose, valid_for))
}

fn enrolment_terms(
    terms: proto::EnrolmentTerms,
    violations: &mut Vec<Violation>,
) -> Result<EnrolmentTerms, Violation> {
    use proto::enrolment_terms::Subject as P;
    let is_pattern = matches!(terms.subject, Some(P::NamePattern(_)));
    if is_pattern && terms.replace {
        let text = "is only for a token that enrols one key: a key is never replaced by a pattern";
        violations.push(violation("enrolment.replace", text));
    }
    if is_pattern && !(1..=ENROLMENTS_MAX).contains(&terms.count) {
        violations.push(violation("enrolment.count", "is not a number from 1 to 100000"));
    }
    if !is_pattern && terms.count > 1 {
        let text = "is only for a token with a name_pattern: a name enrols one key";
        violations.push(violation("enrolment.count", text));
    }
    let scope = match terms.subject {
        None => return Err(violation("enrolment.subject", "is missing: whom does it enrol?")),
        Some(P::Appliance(name)) => EnrolmentScope::One(appliance("enrolment.appliance", &name)?),
        Some(P::Administrator(name)) => {
            let name = administrator("enrolment.administrator", &name)?;
            EnrolmentScope::One(Subject::Administrator(name))
        }
        Some(P::NamePattern(pattern)) if is_valid_pattern(&pattern) => {
            EnrolmentScope::Pattern { pattern: pattern.into(), count: terms.count }
        }
        Some(P::NamePattern(_)) => {
            let text = "is not a pattern of names: characters of a name with at least one `*`, at \
                        most 128 bytes";
            return Err(violation("enrolment.name_pattern", text));
        }
    };
    let class = (!terms.class.is_empty()).then(|| terms.class.into());
    Ok(EnrolmentTerms { scope, class, replace: terms.replace })
}

fn appliance(field: &str, name: &str) -> Result<Subject, Violation> {
    ApplianceName::new(name)
        .map(Subject::Appliance)
        .map_err(|error| violation(field, format!("is not a name: {error}")))
}

/// The name of an administrator.
///
/// # Errors
///
/// The field, and what is allowed.
pub fn administrator(field: &str, name: &str) -> Result<AdministratorName, Violation> {
    AdministratorName::new(name)
        .map_err(|error| violation(field, format!("is not an administrator's name: {error}")))
}

/// A role.
///
/// # Errors
///
/// The field, and what is allowed.
pub fn role(number: i32) -> Result<Role, Violation> {
    match proto::Role::try_from(number) {
        Ok(proto::Role::Viewer) => Ok(Role::Viewer),
        Ok(proto::Role::Operator) => Ok(Role::Operator),
        Ok(proto::Role::Admin) => Ok(Role::Admin),
        Ok(proto::Role::Unspecified) | Err(_) => {
            Err(violation("role", "is not one of viewer, operator, admin"))
        }
    }
}

/// The id of a token.
///
/// # Errors
///
/// The field, and what is allowed.
pub fn token_id(id: &str) -> Result<TokenId, Violation> {
    TokenId::new(id).ok_or_else(|| violation("id", "is not 8 letters and digits"))
}
