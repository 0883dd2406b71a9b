//! Tests which key an enrolment token enrols, and which never.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::driver::*;
use super::identity::*;
use crate::grid::decide::identity::{IdentityRejection as R, TokenProblem};
use crate::grid::log::command::AdminCommand;
use crate::grid::log::identity::IdentityCommand;
use crate::grid::model::finding::FindingKind;
use crate::grid::model::identity::{
    CertificateGrant, EnrolmentScope, EnrolmentTerms, TokenPurpose,
};
use crate::grid::model::settings::{CertificateRules, ClassSettings, DEFAULT_CLASS, GridSettings};
use crate::grid::state::State;
use crate::grid::values::id::{ApplianceIndex, ApplianceName};
use crate::grid::values::identity::Serial;

#[test]
fn an_enrolment_registers_its_appliance_and_binds_the_key_to_its_name() {
    let mut timeline = Timeline::empty(GridSettings::default());
    let token = timeline.token(1, one(appliance("web1")), Some(1));
    let about = (token.created_at, token.created_by.as_ref(), token.expires_at, token.uses);
    assert_eq!(about, (at(0), "ann", Some(at(3_600)), 0));
    let index = timeline.grid().state().find(&ApplianceName::new("web1").expect("a name"));
    assert_eq!(index, Some(DB1), "it is listed before it reports");
    let grant = timeline.at(60).granted(enrol_by(1, 1, Some("web1")));
    let (issued_at, expires_at) = (at(60), at(60 + 30 * DAY));
    let serial = Serial([1; 16]);
    assert_eq!(
        grant,
        CertificateGrant { subject: appliance("web1"), serial, issued_at, expires_at }
    );
    let identities = timeline.grid().state().identities();
    assert_eq!(identities.subject_of(key(1)), Some(&appliance("web1")));
    let token = identities.token(token_id(1)).expect("a token");
    assert_eq!((token.uses, token.last_used_at), (1, Some(at(60))));
    assert_eq!(timeline.records.len(), 2);
}

#[test]
fn an_enrolment_is_repeated_by_the_same_key_and_by_no_other_while_the_token_lives() {
    let mut timeline = Timeline::enrolled();
    let first = timeline.key_of("db1").cloned();
    let records = timeline.records.len();
    for minute in [0, 1, 30, 59] {
        timeline.at(minute * 60);
        let grant = timeline.granted(enrol_by(1, 1, None));
        assert_eq!((grant.serial, grant.issued_at), (Serial([1; 16]), at(0)), "the same again");
        let reused = R::TokenReused { subject: appliance("db1") };
        assert_eq!(timeline.rejected(enrol_by(1, 2, None)), reused);
    }
    assert_eq!(timeline.key_of("db1"), first.as_ref());
    assert_eq!(timeline.records.len(), records, "a repetition has no record");
    timeline.at(3_600);
    for key in [1, 2] {
        assert_eq!(timeline.rejected(enrol_by(1, key, None)), wrong(TokenProblem::Expired));
    }
}

#[test]
fn after_a_renewal_the_token_still_repeats_the_enrolment_of_its_key_only() {
    let rules = CertificateRules { lifetime: seconds(10), recover_within: None };
    let mut timeline = Timeline::empty(GridSettings::default().with_certificates(rules));
    timeline.token(1, one(appliance("db1")), Some(1));
    timeline.granted(enrol_by(1, 1, None));
    timeline.at(7).granted(renewal(1, 9));
    assert_eq!(timeline.at(8).granted(enrol_by(1, 1, None)).serial, Serial([9; 16]));
    let grant = timeline.at(12).granted(enrol_by(1, 1, None));
    assert_eq!((grant.serial, grant.expires_at), (Serial([1; 16]), at(22)), "issued anew");
    assert_eq!(timeline.said(), "certificate issued again for appliance db1, valid until day 0");
    assert!(matches!(timeline.rejected(enrol_by(1, 2, None)), R::TokenReused { .. }));
    assert_eq!(timeline.key_of("db1").expect("a key").enrolled_at, at(0));
}

#[test]
fn a_revoked_appliance_comes_back_by_a_new_token_only() {
    let mut timeline = Timeline::enrolled();
    timeline.token(2, TokenPurpose::Access(appliance("db1")), None);
    timeline.token(3, replacing(appliance("db1")), Some(100));
    timeline.token(4, pattern("db*", 5), Some(100));
    timeline.token(5, TokenPurpose::Access(appliance("db1")), Some(1));
    timeline.add(DB2);
    timeline.token(6, TokenPurpose::Access(appliance("db2")), None);
    timeline.at(600).done(revoke("db1"));
    assert_eq!(timeline.said(), "all credentials of db1 revoked");
    assert_eq!(timeline.key_of("db1"), None);
    let left: Vec<_> = (1..=6).filter(|token| timeline.has_token(*token)).collect();
    assert_eq!(left, [4, 6], "its own tokens are gone, those of others stay");
    for token in [1, 3] {
        assert_eq!(timeline.rejected(enrol_by(token, 1, None)), wrong(TokenProblem::Unknown));
    }
    let since = R::RevokedSince { subject: appliance("db1") };
    for key in [1, 2] {
        assert_eq!(timeline.rejected(enrol_by(4, key, Some("db1"))), since);
    }
    timeline.granted(enrol_by(4, 3, Some("db7")));
    assert_eq!(timeline.rejected(renewal(1, 1)), R::KeyUnknown);
    let name = ApplianceName::new("db1").expect("a name");
    let identities = timeline.grid().state().identities();
    assert_eq!(identities.revoked_at(&name), Some(at(600)));
    assert_eq!(identities.revoked().collect::<Vec<_>>(), [&name]);
    timeline.at(700).token(7, one(appliance("db1")), Some(1));
    timeline.granted(enrol_by(7, 8, None));
    assert_eq!(timeline.grid().state().identities().revoked().count(), 0);
    timeline.at(800).done(revoke("db1"));
    timeline.at(900).token(8, pattern("db*", 5), Some(1));
    timeline.granted(enrol_by(8, 9, Some("db1")));
}

#[test]
fn an_appliance_without_credentials_can_be_revoked_and_an_unknown_one_can_not() {
    let mut timeline = Timeline::new();
    timeline.done(revoke("db1"));
    let name = ApplianceName::new("db1").expect("a name");
    assert_eq!(timeline.grid().state().identities().revoked_at(&name), Some(at(0)));
    let name = ApplianceName::new("db2").expect("a name");
    assert!(matches!(timeline.rejected(revoke("db2")), R::Command(_)), "{name}");
}

#[test]
fn a_key_is_replaced_by_a_token_that_says_so_and_its_own_token_is_spent() {
    let mut timeline = Timeline::enrolled();
    let enrolled = R::AlreadyEnrolled { subject: appliance("db1") };
    assert_eq!(timeline.not_a_token(2, one(appliance("db1"))), enrolled);
    timeline.token(3, replacing(appliance("db1")), Some(1));
    timeline.granted(enrol_by(3, 2, None));
    assert_eq!(timeline.key_of("db1").map(|it| it.key), Some(key(2)));
    assert_eq!(timeline.grid().state().identities().subject_of(key(1)), None);
    assert_eq!(timeline.rejected(renewal(1, 1)), R::KeyUnknown);
    // The machine before repeats its enrolment: it is not a second user of the new token.
    assert_eq!(timeline.rejected(enrol_by(1, 1, None)), wrong(TokenProblem::Unknown));
    assert!(matches!(timeline.rejected(enrol_by(3, 1, None)), R::TokenReused { .. }));
    timeline.granted(enrol_by(3, 2, None));
}

#[test]
fn of_two_tokens_of_one_name_the_second_one_enrols_nobody() {
    let mut timeline = Timeline::new();
    timeline.token(1, one(appliance("db1")), Some(1));
    timeline.token(2, one(appliance("db1")), Some(1));
    timeline.granted(enrol_by(1, 1, None));
    let enrolled = R::AlreadyEnrolled { subject: appliance("db1") };
    assert_eq!(timeline.rejected(enrol_by(2, 2, None)), enrolled);
    assert_eq!(timeline.rejected(enrol_by(2, 1, None)), enrolled);
}

#[test]
fn a_key_that_was_revoked_or_replaced_is_never_accepted_again() {
    let mut timeline = Timeline::enrolled();
    timeline.at(60).done(revoke("db1"));
    timeline.token(2, one(appliance("db1")), Some(1));
    timeline.token(3, one(appliance("db2")), Some(1));
    for token in [2, 3] {
        assert_eq!(timeline.rejected(enrol_by(token, 1, None)), R::KeyRevoked);
    }
    assert_eq!(timeline.rejected(renewal(1, 1)), R::KeyUnknown);
    timeline.granted(enrol_by(2, 2, None));
    timeline.at(120).token(4, replacing(appliance("db1")), Some(1));
    timeline.granted(enrol_by(4, 3, None));
    timeline.token(5, replacing(appliance("db1")), Some(1));
    assert_eq!(timeline.rejected(enrol_by(5, 2, None)), R::KeyRevoked);
    // The key in use may be enrolled again: nobody else has had it.
    timeline.granted(enrol_by(5, 3, None));
    timeline.granted(enrol_by(3, 4, None));
    let remove = AdminCommand::Remove { name: ApplianceName::new("db2").expect("a name") };
    timeline.command(remove).expect("is removed");
    timeline.token(6, one(appliance("db2")), Some(1));
    assert_eq!(timeline.rejected(enrol_by(6, 4, None)), R::KeyRevoked);
    let state = timeline.grid().state();
    let copy = State::from_effects(&state.to_effects(), state.last(), state.last_at());
    assert_eq!(&copy, state, "a checkpoint has revoked keys");
}

#[test]
fn a_key_has_one_owner() {
    let mut timeline = Timeline::enrolled();
    timeline.token(2, one(appliance("db2")), Some(1));
    let in_use = R::KeyInUse { subject: appliance("db1") };
    assert_eq!(timeline.rejected(enrol_by(2, 1, None)), in_use);
    timeline.token(3, pattern("*", 3), Some(1));
    assert_eq!(timeline.rejected(enrol_by(3, 1, Some("web1"))), in_use);
    assert_eq!(timeline.grid().state().find(&ApplianceName::new("web1").expect("a name")), None);
    timeline.token(4, replacing(appliance("db1")), Some(1));
    timeline.granted(enrol_by(4, 1, None));
    timeline.granted(enrol_by(2, 2, None));
}

#[test]
fn a_token_of_a_pattern_enrols_so_many_appliances_each_with_one_key() {
    let mut timeline = Timeline::empty(GridSettings::default());
    timeline.token(1, pattern("web-*", 2), Some(1));
    assert_eq!(
        timeline.said(),
        "token t0000001 created, to enrol 2 appliances named like web-*, valid until day 0"
    );
    let required = R::NameRequired { pattern: "web-*".into() };
    assert_eq!(timeline.rejected(enrol_by(1, 1, None)), required);
    for other in ["db1", "web", "", "web- x", "web-\u{e4}"] {
        let allowed = "appliances named like web-*".into();
        assert_eq!(timeline.rejected(enrol_by(1, 1, Some(other))), R::NameNotAllowed { allowed });
    }
    timeline.granted(enrol_by(1, 1, Some("web-1")));
    let twice = R::AlreadyEnrolled { subject: appliance("web-1") };
    assert_eq!(timeline.rejected(enrol_by(1, 2, Some("web-1"))), twice);
    timeline.granted(enrol_by(1, 1, Some("web-1")));
    timeline.granted(enrol_by(1, 2, Some("web-2")));
    let exhausted = R::TokenExhausted { count: 2 };
    assert_eq!(timeline.rejected(enrol_by(1, 3, Some("web-3"))), exhausted);
    timeline.granted(enrol_by(1, 2, Some("web-2")));
    let token = timeline.grid().state().identities().token(token_id(1)).expect("a token");
    assert_eq!(token.uses, 2);
    let names: Vec<_> =
        timeline.grid().state().appliances().map(|it| it.name.to_string()).collect();
    assert_eq!(names, ["web-1", "web-2"]);
}

#[test]
fn a_token_of_a_pattern_takes_over_no_appliance_that_has_a_credential() {
    let mut timeline = Timeline::enrolled();
    timeline.add(DB2);
    timeline.token(2, TokenPurpose::Access(appliance("db2")), None);
    timeline.token(3, pattern("db*", 9), Some(1));
    for name in ["db1", "db2"] {
        let twice = R::AlreadyEnrolled { subject: appliance(name) };
        assert_eq!(timeline.rejected(enrol_by(3, 7, Some(name))), twice);
    }
    timeline.add(ApplianceIndex(3));
    timeline.granted(enrol_by(3, 7, Some("db3")));
}

#[test]
fn a_token_of_one_name_enrols_no_other_and_its_class_must_exist() {
    let classes = [("web".to_owned(), ClassSettings::default())];
    let mut timeline = Timeline::empty(GridSettings::new(classes));
    let in_class = |class: &str, name| {
        let (scope, class) = (EnrolmentScope::One(appliance(name)), Some(class.into()));
        TokenPurpose::Enrolment(EnrolmentTerms { scope, class, replace: false })
    };
    assert!(matches!(timeline.not_a_token(1, in_class("nosuch", "web1")), R::Command(_)));
    timeline.token(1, in_class("web", "web1"), Some(1));
    let allowed = "appliance web1".into();
    assert_eq!(timeline.rejected(enrol_by(1, 1, Some("web2"))), R::NameNotAllowed { allowed });
    timeline.granted(enrol_by(1, 1, None));
    let scope = EnrolmentScope::Pattern { pattern: "db*".into(), count: 1 };
    let (class, replace) = (Some("web".into()), false);
    timeline.token(2, TokenPurpose::Enrolment(EnrolmentTerms { scope, class, replace }), None);
    timeline.granted(enrol_by(2, 2, Some("db1")));
    let state = timeline.grid().state();
    let classes: BTreeSet<_> = state.appliances().map(|it| it.class.as_ref()).collect();
    assert_eq!(classes, BTreeSet::from(["web"]));
    timeline.token(3, one(appliance("db2")), None);
    let state = timeline.grid().state();
    assert!(state.appliances().any(|it| &*it.class == DEFAULT_CLASS));
}

#[test]
fn a_wrong_token_enrols_nobody_and_the_record_of_the_reason_is_exact() {
    let mut timeline = Timeline::enrolled();
    timeline.token(2, TokenPurpose::Access(appliance("db1")), None);
    let wrong_secret = IdentityCommand::Enrol {
        token: token_id(1),
        secret: secret(9),
        key: key(1),
        serial: Serial([1; 16]),
        name: None,
        uuid: Uuid::nil(),
    };
    for (command, problem) in [
        (enrol_by(9, 1, None), TokenProblem::Unknown),
        (wrong_secret, TokenProblem::WrongSecret),
        (enrol_by(2, 1, None), TokenProblem::OtherPurpose),
    ] {
        assert_eq!(timeline.rejected(command), wrong(problem));
    }
}

#[test]
fn a_removed_appliance_leaves_no_credential_and_the_next_of_its_name_starts_clean() {
    let mut timeline = Timeline::enrolled();
    timeline.token(2, TokenPurpose::Access(appliance("db1")), None);
    timeline.token(3, pattern("db*", 9), Some(100));
    timeline.at(60);
    assert_eq!(timeline.command(AdminCommand::Remove { name: name(DB1) }), Ok(DB1));
    assert_eq!(
        (timeline.key_of("db1"), timeline.has_token(1), timeline.has_token(2)),
        (None, false, false)
    );
    timeline.at(120);
    let (name, uuid) = (name(DB1), Uuid::nil());
    let (class, overrides) = (None, crate::grid::model::settings::Overrides::default());
    let again = AdminCommand::Add { name, uuid, class, overrides };
    assert_eq!(timeline.command(again), Ok(DB2), "another row");
    assert_eq!(timeline.rejected(renewal(1, 1)), R::KeyUnknown);
    assert!(matches!(timeline.rejected(enrol_by(1, 1, None)), R::BadToken(_)));
    let since = R::RevokedSince { subject: appliance("db1") };
    assert_eq!(timeline.rejected(enrol_by(3, 1, Some("db1"))), since);
    timeline.token(4, one(appliance("db1")), Some(1));
    timeline.granted(enrol_by(4, 2, None));
    timeline.later(31 * DAY);
    assert!(timeline.grid().state().finding(Some(DB2), FindingKind::CertificateEnding).is_some());
}
