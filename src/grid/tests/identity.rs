//! Tests decisions on credentials: tokens, enrolment, renewal, revocation, administrators.

use uuid::Uuid;

use super::super::Grid;
use super::driver::*;
use crate::grid::decide::Reply;
use crate::grid::decide::identity::{IdentityRejection as R, IdentityReply, TokenProblem};
use crate::grid::explain::describe_record;
use crate::grid::log::identity::IdentityCommand;
use crate::grid::log::input::Input;
use crate::grid::model::finding::FindingKind;
use crate::grid::model::identity::{
    CertificateGrant, EnrolledKey, EnrolmentScope, EnrolmentTerms, Token, TokenPurpose,
};
use crate::grid::model::settings::GridSettings;
use crate::grid::values::event::Severity;
use crate::grid::values::id::{ApplianceIndex, ApplianceName};
use crate::grid::values::identity::{
    AdministratorName, KeyHash, Role, SecretHash, Serial, Subject, TokenId,
};
use crate::grid::values::time::Timestamp;

pub(super) const DAY: u64 = 86_400;

pub(super) const DB2: ApplianceIndex = ApplianceIndex(2);

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

pub(super) fn replacing(subject: Subject) -> TokenPurpose {
    let (scope, class, replace) = (EnrolmentScope::One(subject), None, true);
    TokenPurpose::Enrolment(EnrolmentTerms { scope, class, replace })
}

pub(super) fn pattern(text: &str, count: u32) -> TokenPurpose {
    let scope = EnrolmentScope::Pattern { pattern: text.into(), count };
    TokenPurpose::Enrolment(EnrolmentTerms { scope, class: None, replace: false })
}

/// The token of that number, with the secret of the same number.
pub(super) fn enrol_by(token: u8, key_number: u8, name: Option<&str>) -> IdentityCommand {
    IdentityCommand::Enrol {
        token: token_id(u32::from(token)),
        secret: secret(token),
        key: key(key_number),
        serial: Serial([key_number; 16]),
        name: name.map(Into::into),
        uuid: Uuid::from_u128(u128::from(key_number)),
    }
}

pub(super) fn renewal(key_number: u8, serial: u8) -> IdentityCommand {
    IdentityCommand::Renew { key: key(key_number), serial: Serial([serial; 16]) }
}

impl Timeline {
    pub(super) fn identity(&mut self, command: IdentityCommand) -> Result<IdentityReply, R> {
        let records = self.records.len();
        let decision = self.handle(Input::Identity { by: "ann".into(), command });
        let Reply::Identity(reply) = decision.reply else { panic!("a command is answered") };
        let reply = *reply;
        if reply.is_err() {
            assert_eq!(self.records.len(), records, "a rejected command has no record");
        }
        reply
    }

    pub(super) fn done(&mut self, command: IdentityCommand) {
        assert_eq!(self.identity(command), Ok(IdentityReply::Done));
    }

    pub(super) fn granted(&mut self, command: IdentityCommand) -> CertificateGrant {
        match self.identity(command) {
            Ok(IdentityReply::Granted(grant)) => grant,
            other => panic!("a certificate is granted: {other:?}"),
        }
    }

    pub(super) fn rejected(&mut self, command: IdentityCommand) -> R {
        self.identity(command).expect_err("is rejected")
    }

    pub(super) fn token(&mut self, number: u8, purpose: TokenPurpose, hours: Option<u64>) -> Token {
        let (id, secret) = (token_id(u32::from(number)), secret(number));
        let valid_for = hours.map(|hours| seconds(hours * 3_600));
        let uuid = Uuid::from_u128(100 + u128::from(number));
        let command = IdentityCommand::CreateToken { id, secret, purpose, valid_for, uuid };
        match self.identity(command) {
            Ok(IdentityReply::Token(token)) => token,
            other => panic!("a token is created: {other:?}"),
        }
    }

    pub(super) fn not_a_token(&mut self, number: u8, purpose: TokenPurpose) -> R {
        let (id, secret) = (token_id(u32::from(number)), secret(number));
        let (valid_for, uuid) = (None, Uuid::max());
        self.rejected(IdentityCommand::CreateToken { id, secret, purpose, valid_for, uuid })
    }

    /// Enrols DB1 with key 1 by token 1.
    pub(super) fn enrolled() -> Self {
        let mut timeline = Self::new();
        timeline.token(1, one(appliance("db1")), Some(1));
        timeline.granted(enrol_by(1, 1, None));
        timeline
    }

    pub(super) fn administrators() -> Self {
        let mut timeline = Self::new();
        for (name, role) in [("ann", Role::Admin), ("otto", Role::Operator)] {
            let name = administrator(name);
            timeline.done(IdentityCommand::CreateAdministrator { name, role });
        }
        timeline
    }

    pub(super) fn key_of(&self, name: &str) -> Option<&EnrolledKey> {
        self.grid().state().identities().key(&appliance(name))
    }

    pub(super) fn has_token(&self, number: u8) -> bool {
        self.grid().state().identities().token(token_id(u32::from(number))).is_some()
    }

    pub(super) fn certificate_alert(&self) -> Option<Severity> {
        let alert = self.grid().state().finding(Some(DB1), FindingKind::CertificateEnding);
        alert.map(|alert| alert.severity)
    }

    pub(super) fn later(&mut self, by: u64) -> &mut Self {
        self.advance_to(self.now.after(seconds(by)));
        self
    }

    /// What the last record says.
    pub(super) fn said(&self) -> String {
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

pub(super) fn revoke(name: &str) -> IdentityCommand {
    IdentityCommand::RevokeAppliance { name: ApplianceName::new(name).expect("a name") }
}

pub(super) fn wrong(problem: TokenProblem) -> R {
    R::BadToken(problem)
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
fn a_rotated_token_has_another_secret_and_keeps_its_end() {
    let mut timeline = Timeline::new();
    timeline.token(1, TokenPurpose::Access(appliance("db1")), Some(10));
    timeline.token(2, TokenPurpose::Access(appliance("db1")), None);
    let rotate =
        |number: u32| IdentityCommand::RotateToken { id: token_id(number), secret: secret(9) };
    timeline.at(3_600);
    let Ok(IdentityReply::Token(token)) = timeline.identity(rotate(1)) else { panic!("a token") };
    assert_eq!((token.secret, token.expires_at), (secret(9), Some(at(10 * 3_600))));
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
    assert_eq!(create(1, at(2)), Reply::Identity(Err(R::TooManyTokens).into()));
    let later = at(8 * DAY);
    assert!(
        matches!(create(2, later), Reply::Identity(reply) if reply.is_ok()),
        "one has ended long ago"
    );
    assert_eq!(create(3, later), Reply::Identity(Err(R::TooManyTokens).into()));
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
