//! Tests decisions on credentials: tokens, enrolment, renewal, revocation, administrators.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::super::Grid;
use super::driver::*;
use crate::grid::decide::Reply;
use crate::grid::decide::identity::{IdentityRejection as R, IdentityReply, TokenProblem};
use crate::grid::explain::describe_record;
use crate::grid::log::command::AdminCommand;
use crate::grid::log::identity::{IdentityCommand, Refusal, SecurityIncident};
use crate::grid::log::input::Input;
use crate::grid::log::record_kind::RecordKind;
use crate::grid::model::alert::AlertKind;
use crate::grid::model::identity::{
    CertificateGrant, EnrolledKey, EnrolmentScope, EnrolmentTerms, Token, TokenPurpose,
};
use crate::grid::model::settings::{CertificateRules, ClassSettings, DEFAULT_CLASS, GridSettings};
use crate::grid::values::event::Severity;
use crate::grid::values::id::{ApplianceIndex, ApplianceName};
use crate::grid::values::identity::{
    AdministratorName, KeyHash, Role, SecretHash, Serial, Subject, TokenId,
};
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::Timestamp;

const DAY: u64 = 86_400;

const DB2: ApplianceIndex = ApplianceIndex(2);

pub(super) fn appliance(text: &str) -> Subject {
    Subject::Appliance(ApplianceName::new(text).expect("a name"))
}

pub(super) fn administrator(text: &str) -> AdministratorName {
    AdministratorName::new(text).expect("a name")
}

pub(super) fn token_id(number: u32) -> TokenId {
    TokenId::new(&format!("t{number:07}")).expect("an id")
}

pub(super) fn secret(number: u8) -> SecretHash {
    SecretHash([number; 32])
}

pub(super) fn key(number: u8) -> KeyHash {
    KeyHash([number; 32])
}

pub(super) fn one(subject: Subject) -> TokenPurpose {
    let (scope, class, replace) = (EnrolmentScope::One(subject), None, false);
    TokenPurpose::Enrolment(EnrolmentTerms { scope, class, replace })
}

fn replacing(subject: Subject) -> TokenPurpose {
    let (scope, class, replace) = (EnrolmentScope::One(subject), None, true);
    TokenPurpose::Enrolment(EnrolmentTerms { scope, class, replace })
}

pub(super) fn pattern(text: &str, count: u32) -> TokenPurpose {
    let scope = EnrolmentScope::Pattern { pattern: text.into(), count };
    TokenPurpose::Enrolment(EnrolmentTerms { scope, class: None, replace: false })
}

/// The token of that number, with the secret of the same number.
fn enrol_by(token: u8, key_number: u8, name: Option<&str>) -> IdentityCommand {
    IdentityCommand::Enrol {
        token: token_id(u32::from(token)),
        secret: secret(token),
        key: key(key_number),
        serial: Serial([key_number; 16]),
        name: name.map(Into::into),
        uuid: Uuid::from_u128(u128::from(key_number)),
    }
}

fn renewal(key_number: u8, serial: u8) -> IdentityCommand {
    IdentityCommand::Renew { key: key(key_number), serial: Serial([serial; 16]) }
}

impl Timeline {
    pub(super) fn identity(&mut self, command: IdentityCommand) -> Result<IdentityReply, R> {
        let records = self.records.len();
        let decision = self.handle(Input::Identity { by: "ann".into(), command });
        let Reply::Identity(reply) = decision.reply else { panic!("a command is answered") };
        if reply.is_err() {
            assert_eq!(self.records.len(), records, "a rejected command has no record");
        }
        reply
    }

    fn done(&mut self, command: IdentityCommand) {
        assert_eq!(self.identity(command), Ok(IdentityReply::Done));
    }

    fn granted(&mut self, command: IdentityCommand) -> CertificateGrant {
        match self.identity(command) {
            Ok(IdentityReply::Granted(grant)) => grant,
            other => panic!("a certificate is granted: {other:?}"),
        }
    }

    fn rejected(&mut self, command: IdentityCommand) -> R {
        self.identity(command).expect_err("is rejected")
    }

    fn token(&mut self, number: u8, purpose: TokenPurpose, hours: Option<u64>) -> Token {
        let (id, secret) = (token_id(u32::from(number)), secret(number));
        let valid_for = hours.map(|hours| seconds(hours * 3_600));
        let uuid = Uuid::from_u128(100 + u128::from(number));
        let command = IdentityCommand::CreateToken { id, secret, purpose, valid_for, uuid };
        match self.identity(command) {
            Ok(IdentityReply::Token(token)) => token,
            other => panic!("a token is created: {other:?}"),
        }
    }

    fn not_a_token(&mut self, number: u8, purpose: TokenPurpose) -> R {
        let (id, secret) = (token_id(u32::from(number)), secret(number));
        let (valid_for, uuid) = (None, Uuid::max());
        self.rejected(IdentityCommand::CreateToken { id, secret, purpose, valid_for, uuid })
    }

    /// Enrols DB1 with key 1 by token 1.
    fn enrolled() -> Self {
        let mut timeline = Self::new();
        timeline.token(1, one(appliance("db1")), Some(1));
        timeline.granted(enrol_by(1, 1, None));
        timeline
    }

    fn administrators() -> Self {
        let mut timeline = Self::new();
        for (name, role) in [("ann", Role::Admin), ("otto", Role::Operator)] {
            let name = administrator(name);
            timeline.done(IdentityCommand::CreateAdministrator { name, role });
        }
        timeline
    }

    fn key_of(&self, name: &str) -> Option<&EnrolledKey> {
        self.grid().state().identities().key(&appliance(name))
    }

    fn has_token(&self, number: u8) -> bool {
        self.grid().state().identities().token(token_id(u32::from(number))).is_some()
    }

    fn certificate_alert(&self) -> Option<Severity> {
        let alert = self.grid().state().alert(Some(DB1), AlertKind::CertificateEnding);
        alert.map(|alert| alert.severity)
    }

    fn later(&mut self, by: u64) -> &mut Self {
        self.advance_to(self.now.after(seconds(by)));
        self
    }

    /// What the last record says.
    fn said(&self) -> String {
        let record = self.records.last().expect("a record");
        describe_record(record).render(|at| {
            let days = at.since(at_start()).as_secs() / DAY;
            format!("day {days}")
        })
    }
}

fn at_start() -> Timestamp {
    at(0)
}

fn revoke(name: &str) -> IdentityCommand {
    IdentityCommand::RevokeAppliance { name: ApplianceName::new(name).expect("a name") }
}

fn wrong(problem: TokenProblem) -> R {
    R::BadToken(problem)
}

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
    assert_eq!(
        timeline.said(),
        "certificate issued again for appliance db1, valid until day 0, by token t0000001"
    );
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
fn a_token_has_an_owner_that_exists_and_an_id_of_its_own() {
    let mut timeline = Timeline::new();
    let unknown = timeline.not_a_token(1, TokenPurpose::Access(appliance("db2")));
    assert!(matches!(unknown, R::Command(_)));
    let ann = administrator("ann");
    let nobody = R::NoAdministrator { name: ann.clone() };
    let of_ann = Subject::Administrator(ann);
    assert_eq!(timeline.not_a_token(1, TokenPurpose::Access(of_ann.clone())), nobody);
    assert_eq!(timeline.not_a_token(1, one(of_ann)), nobody);
    timeline.token(1, TokenPurpose::Access(appliance("db1")), None);
    assert_eq!(timeline.said(), "token t0000001 created, for appliance db1, without an end");
    let exists = R::TokenExists { id: token_id(1) };
    assert_eq!(timeline.not_a_token(1, pattern("*", 1)), exists);
}

#[test]
fn a_rotated_token_has_another_secret_and_lives_as_long_again() {
    let mut timeline = Timeline::new();
    timeline.token(1, TokenPurpose::Access(appliance("db1")), Some(10));
    timeline.token(2, TokenPurpose::Access(appliance("db1")), None);
    let rotate =
        |number: u32| IdentityCommand::RotateToken { id: token_id(number), secret: secret(9) };
    timeline.at(3_600);
    let Ok(IdentityReply::Token(token)) = timeline.identity(rotate(1)) else { panic!("a token") };
    assert_eq!((token.secret, token.expires_at), (secret(9), Some(at(11 * 3_600))));
    assert_eq!(timeline.said(), "secret of token t0000001 replaced");
    let Ok(IdentityReply::Token(token)) = timeline.identity(rotate(2)) else { panic!("a token") };
    assert_eq!(token.expires_at, None);
    timeline.token(3, one(appliance("db1")), Some(1));
    assert_eq!(timeline.rejected(rotate(3)), R::NotRotatable { id: token_id(3) });
    assert_eq!(timeline.rejected(rotate(4)), R::NoToken { id: token_id(4) });
}

#[test]
fn a_revoked_token_is_gone_and_what_it_enrolled_stays() {
    let mut timeline = Timeline::enrolled();
    timeline.done(IdentityCommand::RevokeToken { id: token_id(1) });
    assert_eq!(timeline.said(), "token t0000001 revoked");
    assert_eq!(timeline.rejected(enrol_by(1, 1, None)), wrong(TokenProblem::Unknown));
    timeline.granted(renewal(1, 1));
    let again = IdentityCommand::RevokeToken { id: token_id(1) };
    assert_eq!(timeline.rejected(again), R::NoToken { id: token_id(1) });
}

#[test]
fn expired_tokens_are_removed_a_week_after_their_end_by_the_next_new_one() {
    let mut timeline = Timeline::new();
    timeline.token(1, TokenPurpose::Access(appliance("db1")), Some(1));
    timeline.token(2, TokenPurpose::Access(appliance("db1")), None);
    timeline.token(3, pattern("*", 1), Some(2));
    timeline.at(3_600 + 7 * DAY).token(4, pattern("*", 1), None);
    assert!(timeline.has_token(1), "it is shown for a week");
    timeline.at(3_601 + 7 * DAY).token(5, pattern("*", 1), None);
    let left: Vec<_> = (1..=5).filter(|token| timeline.has_token(*token)).collect();
    assert_eq!(left, [2, 3, 4, 5]);
    timeline.at(30 * DAY).token(6, pattern("*", 1), None);
    assert_eq!(timeline.grid().state().identities().tokens().len(), 4);
}

#[test]
fn the_limit_of_tokens_counts_those_that_remain() {
    use crate::grid::decide::identity::TOKENS_MAX;
    use crate::grid::log::effect::Effect;
    use crate::grid::log::identity::IdentityEffect;
    let token = |number: u32, expires_at| Token {
        id: token_id(number),
        secret: secret(0),
        purpose: pattern("*", 1),
        created_at: at(0),
        created_by: "ann".into(),
        expires_at,
        last_used_at: None,
        uses: 0,
    };
    let count = u32::try_from(TOKENS_MAX).expect("a number");
    let ended = |number| (number == 500).then(|| at(1));
    let effects: Vec<_> = (0..count)
        .map(|number| IdentityEffect::Token { token: token(number, ended(number)) })
        .map(Effect::Identity)
        .collect();
    let state = crate::grid::state::State::from_effects(&effects, 0, at(0));
    let mut grid = Grid::new(state, GridSettings::default(), at(0));
    let mut create = |number: u32, now| {
        let (id, secret, purpose) = (token_id(1_000_000 + number), secret(1), pattern("*", 1));
        let (valid_for, uuid) = (None, Uuid::nil());
        let command = IdentityCommand::CreateToken { id, secret, purpose, valid_for, uuid };
        grid.handle(Input::Identity { by: "ann".into(), command }, now).reply
    };
    assert_eq!(create(1, at(2)), Reply::Identity(Err(R::TooManyTokens)));
    let later = at(8 * DAY);
    assert!(matches!(create(2, later), Reply::Identity(Ok(_))), "one has ended long ago");
    assert_eq!(create(3, later), Reply::Identity(Err(R::TooManyTokens)));
}

#[test]
fn a_certificate_is_renewed_from_half_of_its_life_on() {
    let mut timeline = Timeline::enrolled();
    let same = timeline.at(15 * DAY - 1).granted(renewal(1, 2));
    assert_eq!((same.serial, same.expires_at), (Serial([1; 16]), at(30 * DAY)));
    let records = timeline.records.len();
    let new = timeline.at(15 * DAY).granted(renewal(1, 2));
    assert_eq!(
        (new.serial, new.issued_at, new.expires_at),
        (Serial([2; 16]), at(15 * DAY), at(45 * DAY))
    );
    assert_eq!(timeline.said(), "certificate renewed for appliance db1, valid until day 45");
    assert_eq!(timeline.records.len(), records + 1);
    assert_eq!(timeline.granted(renewal(1, 3)), new, "a replayed request changes nothing");
    assert_eq!(timeline.rejected(renewal(2, 3)), R::KeyUnknown);
}

#[test]
fn an_ended_certificate_is_renewed_within_the_time_of_the_settings() {
    let (lifetime, limit) = (seconds(DAY), seconds(3 * DAY));
    let rules = CertificateRules { lifetime, recover_within: Some(limit) };
    let mut timeline = Timeline::empty(GridSettings::default().with_certificates(rules));
    timeline.token(1, one(appliance("db1")), Some(1));
    timeline.granted(enrol_by(1, 1, None));
    timeline.at(4 * DAY).granted(renewal(1, 2));
    assert_eq!(timeline.certificate_alert(), None);
    let late = timeline.at(8 * DAY + 1).rejected(renewal(1, 3));
    assert_eq!(late, R::RecoveryEnded { limit });
    let text = "its certificate ended more than 3 d ago, so it must be enrolled again";
    assert_eq!(late.to_string(), text);
    let rules = CertificateRules { recover_within: None, ..CertificateRules::default() };
    timeline.restart_with(seconds(60), GridSettings::default().with_certificates(rules));
    timeline.granted(renewal(1, 3));
}

#[test]
fn a_certificate_of_a_clock_that_was_ahead_is_issued_anew() {
    let mut timeline = Timeline::enrolled();
    timeline.at(20 * DAY).granted(renewal(1, 2));
    timeline.set_clock(-3_650 * 86_400);
    let now = timeline.now;
    assert!(timeline.key_of("db1").is_some_and(|key| key.issued_at > now));
    assert_eq!(timeline.granted(renewal(1, 3)).issued_at, now);
}

#[test]
fn certificates_that_live_ten_seconds_are_renewed_in_time() {
    let rules = CertificateRules { lifetime: seconds(10), recover_within: None };
    let mut timeline = Timeline::empty(GridSettings::default().with_certificates(rules));
    timeline.token(1, one(appliance("db1")), None);
    timeline.granted(enrol_by(1, 1, None));
    for round in 1..20 {
        let grant = timeline.at(round * 7).granted(renewal(1, 2));
        assert_eq!(grant.expires_at, at(round * 7 + 10));
        assert_eq!(timeline.certificate_alert(), None);
    }
    timeline.later(9);
    assert_eq!(timeline.certificate_alert(), Some(Severity::Warn));
    timeline.later(2);
    assert_eq!(timeline.certificate_alert(), Some(Severity::Error));
}

#[test]
fn a_certificate_that_is_not_renewed_is_an_alert_before_its_end_and_at_it() {
    let mut timeline = Timeline::enrolled();
    timeline.at(25 * DAY - 1);
    assert_eq!(timeline.certificate_alert(), None);
    // Timers are sorted by tenths of a second.
    timeline.at(25 * DAY + 1);
    assert_eq!(timeline.certificate_alert(), Some(Severity::Warn));
    assert_eq!(
        timeline.said(),
        "the certificate of db1 ends in 5 d and was not renewed; its agent, or any call of vme, renews it"
    );
    let records = timeline.records.len();
    timeline.at(30 * DAY - 1);
    assert_eq!(timeline.records.len(), records, "it is said once");
    timeline.at(30 * DAY + 1);
    assert_eq!(timeline.certificate_alert(), Some(Severity::Error));
    let alert = timeline.grid().state().alert(Some(DB1), AlertKind::CertificateEnding);
    let since = alert.map(|alert| alert.since.since(at(25 * DAY)));
    assert!(since.is_some_and(|it| it < seconds(1)), "one alert, more severe: {since:?}");
    let record = timeline.records.last().expect("a record");
    assert_eq!((record.severity(), record.subject()), (Severity::Error, Some(DB1)));
    let records = timeline.records.len();
    timeline.at(32 * DAY);
    assert_eq!(timeline.records.len(), records, "and then no more");
    timeline.granted(renewal(1, 2));
    assert_eq!(timeline.certificate_alert(), None);
    timeline.at(56 * DAY);
    assert_eq!(timeline.certificate_alert(), None);
    timeline.at(58 * DAY);
    assert_eq!(timeline.certificate_alert(), Some(Severity::Warn));
    timeline.done(revoke("db1"));
    assert_eq!(timeline.certificate_alert(), None);
    timeline.at(64 * DAY);
    assert_eq!(timeline.certificate_alert(), None, "there is no certificate any more");
}

/// When the first timer of an appliance ends.
fn first_due(mut grid: Grid) -> Timestamp {
    for _ in 0..10_000 {
        let wake = grid.poll_timeout().expect("a timer");
        if !grid.due(wake).is_empty() {
            return wake;
        }
    }
    panic!("no timer ends");
}

#[test]
fn the_timer_of_a_certificate_is_set_after_a_start_from_a_checkpoint_and_from_records() {
    let mut timeline = Timeline::enrolled();
    timeline.at(1);
    let mut replayed = Grid::new(Default::default(), GridSettings::default(), at(0));
    timeline.records.iter().for_each(|record| replayed.replay(record));
    let state = timeline.grid().state();
    let restored =
        crate::grid::state::State::from_effects(&state.to_effects(), state.last(), state.last_at());
    let restored = Grid::new(restored, GridSettings::default(), at(1));
    for grid in [replayed, restored, timeline.grid().clone()] {
        let due = first_due(grid);
        assert!(due >= at(25 * DAY) && due <= at(25 * DAY + 1), "{due:?}");
    }
    // It ends by the wall clock, though no broker runs.
    timeline.restart_after(seconds(26 * DAY));
    timeline.later(1);
    assert_eq!(timeline.certificate_alert(), Some(Severity::Warn));
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
    assert!(timeline.grid().state().alert(Some(DB2), AlertKind::CertificateEnding).is_some());
}

#[test]
fn a_revocation_is_shifted_with_a_clock_that_was_wrong_and_ends_of_tokens_count_downtime() {
    let mut timeline = Timeline::new();
    timeline.token(1, TokenPurpose::Access(appliance("db1")), Some(10));
    timeline.token(2, one(appliance("db2")), Some(10));
    timeline.granted(enrol_by(2, 2, None));
    timeline.at(60).done(revoke("db1"));
    timeline.token(3, TokenPurpose::Access(appliance("db1")), Some(10));
    let end = |timeline: &Timeline| {
        let token = timeline.grid().state().identities().token(token_id(3)).cloned();
        token.and_then(|token| token.expires_at)
    };
    timeline.restart_after(seconds(3_600));
    assert_eq!(end(&timeline), Some(at(60 + 36_000)), "no broker has to run for a token to end");
    timeline.set_clock(i64::try_from(DAY).expect("a number"));
    assert_eq!(end(&timeline), Some(at(60 + 36_000 + DAY)));
    let name = ApplianceName::new("db1").expect("a name");
    let identities = timeline.grid().state().identities();
    assert_eq!(identities.revoked_at(&name), Some(at(60 + DAY)));
    let key = timeline.key_of("db2").expect("a key");
    assert_eq!(key.expires_at, at(30 * DAY), "as its certificate says");
}

#[test]
fn one_administrator_with_the_role_admin_remains() {
    let mut timeline = Timeline::administrators();
    let (ann, otto) = (administrator("ann"), administrator("otto"));
    let set = |name: &AdministratorName, role| IdentityCommand::SetAdministrator {
        name: name.clone(),
        role,
    };
    let remove =
        |name: &AdministratorName| IdentityCommand::RemoveAdministrator { name: name.clone() };
    let last = R::LastAdmin { name: ann.clone() };
    for command in [set(&ann, Role::Operator), set(&ann, Role::Viewer), remove(&ann)] {
        assert_eq!(timeline.rejected(command), last);
    }
    timeline.done(set(&ann, Role::Admin));
    timeline.at(60).done(set(&otto, Role::Admin));
    assert_eq!(timeline.said(), "administrator otto has the role admin now");
    timeline.done(set(&ann, Role::Viewer));
    assert_eq!(timeline.rejected(remove(&otto)), R::LastAdmin { name: otto.clone() });
    timeline.done(remove(&ann));
    assert_eq!(timeline.said(), "administrator ann removed, with all credentials");
    assert_eq!(timeline.rejected(remove(&ann)), R::NoAdministrator { name: ann.clone() });
    assert_eq!(timeline.rejected(set(&ann, Role::Admin)), R::NoAdministrator { name: ann });
    let identities = timeline.grid().state().identities();
    assert_eq!(identities.admin_count(), 1);
    assert_eq!(
        identities.administrator(&otto).map(|it| (it.role, it.created_at)),
        Some((Role::Admin, at(0)))
    );
}

#[test]
fn an_administrator_is_removed_with_all_credentials_and_the_next_of_that_name_has_none() {
    let mut timeline = Timeline::administrators();
    let otto = administrator("otto");
    let subject = Subject::Administrator(otto.clone());
    timeline.token(1, TokenPurpose::Access(subject.clone()), None);
    timeline.token(2, one(subject.clone()), Some(1));
    timeline.granted(enrol_by(2, 2, None));
    timeline.token(3, TokenPurpose::Access(Subject::Administrator(administrator("ann"))), None);
    let create = IdentityCommand::CreateAdministrator { name: otto.clone(), role: Role::Viewer };
    let exists = R::AdministratorExists { name: otto.clone() };
    assert_eq!(timeline.rejected(create.clone()), exists);
    timeline.done(IdentityCommand::RemoveAdministrator { name: otto });
    timeline.done(create);
    assert_eq!(timeline.said(), "administrator otto created, role viewer");
    let left: Vec<_> = (1..=3).filter(|token| timeline.has_token(*token)).collect();
    assert_eq!(left, [3]);
    assert_eq!(timeline.grid().state().identities().key(&subject), None);
    assert_eq!(timeline.rejected(renewal(2, 2)), R::KeyUnknown);
}

#[test]
fn administrators_have_a_limit() {
    use crate::grid::decide::identity::ADMINISTRATORS_MAX;
    let mut grid = Grid::new(Default::default(), GridSettings::default(), at(0));
    let mut create = |number: usize| {
        let (name, role) = (administrator(&format!("a{number}")), Role::Viewer);
        let command = IdentityCommand::CreateAdministrator { name, role };
        grid.handle(Input::Identity { by: "ann".into(), command }, at(0)).reply
    };
    for number in 0..ADMINISTRATORS_MAX {
        assert_eq!(create(number), Reply::Identity(Ok(IdentityReply::Done)));
    }
    let too_many = Reply::Identity(Err(R::TooManyAdministrators));
    assert_eq!(create(ADMINISTRATORS_MAX), too_many);
}

fn refused(reused: bool, omitted: u64) -> SecurityIncident {
    SecurityIncident::Refused(Refusal {
        who: "somebody without a credential".into(),
        from: "192.0.2.7".into(),
        what: "Enrol".into(),
        why: "it may not".into(),
        omitted,
        reused_token_of: reused.then(|| ApplianceName::new("db1").expect("a name")),
    })
}

#[test]
fn a_token_with_two_keys_is_an_alert_until_somebody_acts() {
    for end in [revoke("db1"), IdentityCommand::RevokeToken { id: token_id(1) }] {
        let mut timeline = Timeline::enrolled();
        let reused = |timeline: &Timeline| {
            timeline.grid().state().alert(Some(DB1), AlertKind::TokenReused).cloned()
        };
        timeline.at(5).handle(Input::Security(refused(true, 0)));
        let alert = reused(&timeline).expect("an alert");
        assert_eq!((alert.severity, alert.since), (Severity::Error, at(5)));
        assert_eq!(
            timeline.said(),
            "Enrol of somebody without a credential from 192.0.2.7 refused: it may not; the \
             enrolment token of db1 was used with two keys, the second time from 192.0.2.7: one of \
             them may be an intruder's; `gridctl appliance revoke db1` revokes what was enrolled"
        );
        timeline.at(9).handle(Input::Security(refused(true, 0)));
        assert_eq!(reused(&timeline).map(|alert| alert.since), Some(at(5)));
        timeline.granted(enrol_by(1, 1, None));
        assert!(reused(&timeline).is_some(), "a repetition by the first key proves nothing");
        timeline.done(end);
        assert_eq!(reused(&timeline), None);
    }
}

#[test]
fn security_incidents_are_records_of_their_own_kind() {
    let mut timeline = Timeline::new();
    timeline.token(1, TokenPurpose::Access(appliance("db1")), None);
    let problem = |text: &str| SecurityIncident::ServerCertificate { problem: Some(text.into()) };
    for (incident, severity, said) in [
        (
            refused(false, 3),
            Severity::Warn,
            "Enrol of somebody without a credential from 192.0.2.7 refused: it may not (3 refusals \
             before it have no record)",
        ),
        (
            SecurityIncident::Accessed { by: "ann".into(), what: "backup made".into() },
            Severity::Info,
            "backup made",
        ),
        (
            SecurityIncident::TokenUsed { id: token_id(1) },
            Severity::Debug,
            "token t0000001 of appliance db1 used, for the first time on this day",
        ),
        (problem("it ends in 3d"), Severity::Error, "it ends in 3d"),
        (problem("it has ended"), Severity::Error, "it has ended"),
        (
            SecurityIncident::ServerCertificate { problem: None },
            Severity::Info,
            "the server certificate is in order again",
        ),
    ] {
        timeline.later(60).handle(Input::Security(incident));
        let record = timeline.records.last().expect("a record");
        assert_eq!((record.kind(), record.flags), (RecordKind::Security, RecordFlags::NONE));
        assert_eq!((record.severity(), timeline.said().as_str()), (severity, said));
    }
    let token = timeline.grid().state().identities().token(token_id(1)).cloned();
    assert_eq!(token.and_then(|token| token.last_used_at), Some(at(180)));
    assert_eq!(timeline.grid().state().alert(None, AlertKind::ServerCertificate), None);
}

#[test]
fn what_is_known_of_the_server_certificate_or_of_no_token_has_no_record() {
    let mut timeline = Timeline::new();
    let problem = SecurityIncident::ServerCertificate { problem: Some("it has ended".into()) };
    for (incident, count) in [
        (SecurityIncident::ServerCertificate { problem: None }, 0),
        (SecurityIncident::TokenUsed { id: token_id(1) }, 0),
        (problem.clone(), 1),
        (problem, 0),
    ] {
        let before = timeline.records.len();
        timeline.handle(Input::Security(incident));
        assert_eq!(timeline.records.len() - before, count);
    }
}
