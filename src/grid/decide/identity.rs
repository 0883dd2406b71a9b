//! Decides on credentials: tokens, enrolment, renewal, revocation, administrators.
//!
//! Guarantees that a rejected command changes nothing; that an enrolment can be repeated by the same
//! key and by no other; that a key belongs to one owner; and that one administrator with the role admin
//! remains. Does not know secrets, certificates or who sent the command.

use std::time::Duration;

use uuid::Uuid;

use crate::grid::decide::command::require_class;
use crate::grid::decide::{CommandRejection, DecisionDraft};
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::identity::{IdentityCommand, IdentityEffect};
use crate::grid::model::alert::AlertKind;
use crate::grid::model::identity::{
    Administrator, CertificateGrant, EnrolledKey, EnrolmentScope, EnrolmentTerms, Token,
    TokenPurpose, appliance_of, matches_pattern,
};
use crate::grid::model::settings::{DEFAULT_CLASS, GridSettings, Overrides};
use crate::grid::state::State;
use crate::grid::values::id::ApplianceName;
use crate::grid::values::identity::{
    AdministratorName, KeyHash, Role, SecretHash, Serial, Subject, TokenId,
};
use crate::grid::values::time::{Timestamp, describe_duration};

/// Most tokens that exist at once.
pub(in crate::grid) const TOKENS_MAX: usize = 100_000;

/// Most administrators.
pub(in crate::grid) const ADMINISTRATORS_MAX: usize = 1_000;

/// Expired tokens are removed so long after their end, at the next new token.
const EXPIRED_TOKENS_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// The result of a command on credentials.
#[derive(Clone, Debug, PartialEq)]
pub enum IdentityReply {
    /// It is done.
    Done,
    /// The new or changed token.
    Token(Token),
    /// A certificate is to be signed.
    Granted(CertificateGrant),
}

/// Why a token does not authenticate. A client is not told which of these it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenProblem {
    /// There is none of that id.
    #[error(
        "no token has this id: it was revoked, or removed after its end, or is of another broker"
    )]
    Unknown,
    /// Its secret is another one.
    #[error("the secret is wrong: the token was rotated, or somebody guesses")]
    WrongSecret,
    /// It has expired.
    #[error("it has expired")]
    Expired,
    /// It is for another purpose.
    #[error("it is for another purpose: enrolment tokens enrol, others give access")]
    OtherPurpose,
}

/// Why a command on credentials is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityRejection {
    /// The token does not authenticate.
    #[error("the token is not valid: unknown, expired, revoked or rotated")]
    BadToken(TokenProblem),
    /// The enrolment token was used with another key.
    #[error(
        "the enrolment token of {subject} was used with another key before; an administrator creates \
         another one: `gridctl appliance enrol --replace`"
    )]
    TokenReused {
        /// Whose token.
        subject: Subject,
    },
    /// The appliance was revoked after the token for several names was created.
    #[error(
        "{subject} was revoked after this enrolment token was created; an administrator creates one \
         for it alone: `gridctl appliance enrol`"
    )]
    RevokedSince {
        /// Who was revoked.
        subject: Subject,
    },
    /// The enrolment token enrolled as many keys as it may.
    #[error("the enrolment token has enrolled all {count} keys that it may enrol")]
    TokenExhausted {
        /// How many.
        count: u32,
    },
    /// The owner has a key already.
    #[error(
        "{subject} has an enrolled key already; `--replace` enrols another one in its place, and \
         `gridctl appliance revoke` revokes it"
    )]
    AlreadyEnrolled {
        /// Whose key.
        subject: Subject,
    },
    /// The key is enrolled for another owner.
    #[error("this key is enrolled for {subject}; each appliance makes a key of its own")]
    KeyInUse {
        /// Whose key it is.
        subject: Subject,
    },
    /// The requested name is not one of the token.
    #[error("the enrolment token is not valid for this name: it enrols {allowed}")]
    NameNotAllowed {
        /// Whom it enrols.
        allowed: Box<str>,
    },
    /// A token for several names needs a name.
    #[error("the enrolment token is valid for {pattern}; say which name is enrolled")]
    NameRequired {
        /// The pattern.
        pattern: Box<str>,
    },
    /// The key is not enrolled.
    #[error("this key is not enrolled here: it was revoked, or enrolled at another broker")]
    KeyUnknown,
    /// The certificate ended too long ago.
    #[error(
        "its certificate ended more than {} ago, so it must be enrolled again",
        describe_duration(*.limit)
    )]
    RecoveryEnded {
        /// How long after the end a key may still renew.
        limit: Duration,
    },
    /// There is no such token.
    #[error("there is no token {id}; `gridctl token list` shows all of them")]
    NoToken {
        /// The id.
        id: TokenId,
    },
    /// Enrolment tokens are not rotated.
    #[error("{id} is an enrolment token, which is not rotated: create another one")]
    NotRotatable {
        /// The id.
        id: TokenId,
    },
    /// Another token has the id.
    #[error("another token has the id {id}, which was chosen at random: try again")]
    TokenExists {
        /// The id.
        id: TokenId,
    },
    /// There are too many tokens.
    #[error(
        "there are {TOKENS_MAX} tokens, which is the limit; `gridctl token revoke` removes some"
    )]
    TooManyTokens,
    /// There is no such administrator.
    #[error("there is no administrator {name}; `gridctl admin list` shows all of them")]
    NoAdministrator {
        /// The name.
        name: AdministratorName,
    },
    /// An administrator of that name exists.
    #[error("administrator {name} already exists; `gridctl admin set` changes the role")]
    AdministratorExists {
        /// The name.
        name: AdministratorName,
    },
    /// There are too many administrators.
    #[error(
        "there are {ADMINISTRATORS_MAX} administrators, which is the limit; `gridctl admin remove` \
         removes one"
    )]
    TooManyAdministrators,
    /// Nobody with the role admin would remain.
    #[error("{name} is the last administrator with the role admin, which must remain")]
    LastAdmin {
        /// The name.
        name: AdministratorName,
    },
    /// An appliance or class is unknown.
    #[error(transparent)]
    Command(#[from] CommandRejection),
}

type Decided = Result<(IdentityReply, Option<DecisionDraft>), IdentityRejection>;

/// Decides on a command of `by`.
pub(in crate::grid) fn decide(
    state: &State,
    settings: &GridSettings,
    by: &str,
    command: &IdentityCommand,
    now: Timestamp,
) -> Decided {
    let view = IdentityDecider { state, settings, now };
    match command {
        IdentityCommand::CreateToken { id, secret, purpose, valid_for, uuid } => {
            view.create_token(by, (*id, *secret), purpose, *valid_for, *uuid)
        }
        IdentityCommand::RotateToken { id, secret } => view.rotate_token(*id, *secret),
        IdentityCommand::RevokeToken { id } => view.revoke_token(*id),
        IdentityCommand::Enrol { token, secret, key, serial, name, uuid } => {
            let token = view.enrolment_token(*token, *secret)?;
            view.enrol(token, (*key, *serial), name.as_deref(), *uuid)
        }
        IdentityCommand::Renew { key, serial } => view.renew(*key, *serial),
        IdentityCommand::RevokeAppliance { name } => view.revoke_appliance(name),
        IdentityCommand::CreateAdministrator { name, role } => {
            if state.identities().administrator(name).is_some() {
                return Err(IdentityRejection::AdministratorExists { name: name.clone() });
            }
            if state.identities().administrators().len() >= ADMINISTRATORS_MAX {
                return Err(IdentityRejection::TooManyAdministrators);
            }
            done(vec![view.administrator(name, *role, now)])
        }
        IdentityCommand::SetAdministrator { name, role } => {
            let before = view.find_administrator(name)?;
            view.keep_last_admin(name, before, Some(*role))?;
            done(vec![view.administrator(name, *role, before.created_at)])
        }
        IdentityCommand::RemoveAdministrator { name } => {
            let before = view.find_administrator(name)?;
            view.keep_last_admin(name, before, None)?;
            let mut effects = credentials_removed(state, &Subject::Administrator(name.clone()));
            effects.push(Effect::Identity(IdentityEffect::AdministratorRemoved {
                name: name.clone(),
            }));
            done(effects)
        }
    }
}

/// The effects that revoke all credentials of an appliance.
pub(in crate::grid) fn appliance_revoked(
    state: &State,
    name: &ApplianceName,
    now: Timestamp,
) -> Vec<Effect> {
    let mut effects = credentials_removed(state, &Subject::Appliance(name.clone()));
    let (name, at) = (name.clone(), now);
    effects.push(Effect::Identity(IdentityEffect::ApplianceRevoked { name, at }));
    effects
}

/// The effects that remove key and tokens of an owner.
fn credentials_removed(state: &State, subject: &Subject) -> Vec<Effect> {
    let identities = state.identities();
    let tokens = identities.tokens_of(subject).map(|it| IdentityEffect::TokenRemoved { id: it.id });
    let key =
        identities.key(subject).map(|_| IdentityEffect::KeyRemoved { subject: subject.clone() });
    tokens.chain(key).map(Effect::Identity).collect()
}

fn done(effects: Vec<Effect>) -> Decided {
    Ok((IdentityReply::Done, Some(DecisionDraft::recorded(effects))))
}

struct IdentityDecider<'a> {
    state: &'a State,
    settings: &'a GridSettings,
    now: Timestamp,
}

impl IdentityDecider<'_> {
    fn create_token(
        &self,
        by: &str,
        (id, secret): (TokenId, SecretHash),
        purpose: &TokenPurpose,
        valid_for: Option<Duration>,
        uuid: Uuid,
    ) -> Decided {
        let mut effects = self.expired_tokens();
        if self.state.identities().token(id).is_some() {
            return Err(IdentityRejection::TokenExists { id });
        }
        if self.state.identities().tokens().len() - effects.len() >= TOKENS_MAX {
            return Err(IdentityRejection::TooManyTokens);
        }
        match purpose {
            TokenPurpose::Access(subject) => self.require_owner(subject)?,
            TokenPurpose::Enrolment(EnrolmentTerms { scope, class, replace }) => {
                class.as_ref().map_or(Ok(()), |class| require_class(self.settings, class))?;
                if let EnrolmentScope::One(subject) = scope {
                    if self.state.identities().key(subject).is_some() && !replace {
                        return Err(IdentityRejection::AlreadyEnrolled {
                            subject: subject.clone(),
                        });
                    }
                    match subject {
                        Subject::Appliance(name) => {
                            effects.extend(self.registration(name, class.as_deref(), uuid));
                        }
                        Subject::Administrator(name) => drop(self.find_administrator(name)?),
                    }
                }
            }
        }
        let token = Token {
            id,
            secret,
            purpose: purpose.clone(),
            created_at: self.now,
            created_by: by.into(),
            expires_at: valid_for.map(|valid_for| self.now.after(valid_for)),
            last_used_at: None,
            uses: 0,
        };
        effects.push(Effect::Identity(IdentityEffect::Token { token: token.clone() }));
        Ok((IdentityReply::Token(token), Some(DecisionDraft::recorded(effects))))
    }

    fn rotate_token(&self, id: TokenId, secret: SecretHash) -> Decided {
        let old = self.find_token(id)?;
        if matches!(old.purpose, TokenPurpose::Enrolment(_)) {
            return Err(IdentityRejection::NotRotatable { id });
        }
        let valid_for = old.expires_at.map(|end| end.since(old.created_at));
        let token = Token {
            secret,
            created_at: self.now,
            expires_at: valid_for.map(|valid_for| self.now.after(valid_for)),
            ..old.clone()
        };
        let changed = Effect::Identity(IdentityEffect::Token { token: token.clone() });
        Ok((IdentityReply::Token(token), Some(DecisionDraft::recorded(vec![changed]))))
    }

    fn revoke_token(&self, id: TokenId) -> Decided {
        let token = self.find_token(id)?;
        let mut effects = vec![Effect::Identity(IdentityEffect::TokenRemoved { id })];
        if let TokenPurpose::Enrolment(EnrolmentTerms {
            scope: EnrolmentScope::One(subject), ..
        }) = &token.purpose
        {
            effects.extend(self.reuse_alert_cleared(subject));
        }
        done(effects)
    }

    /// The enrolment token of that id and secret. An unknown id costs the same comparison.
    fn enrolment_token(
        &self,
        id: TokenId,
        secret: SecretHash,
    ) -> Result<&Token, IdentityRejection> {
        let token = check_token(self.state.identities().token(id), secret, self.now)
            .map_err(IdentityRejection::BadToken)?;
        match token.purpose {
            TokenPurpose::Enrolment(_) => Ok(token),
            TokenPurpose::Access(_) => Err(IdentityRejection::BadToken(TokenProblem::OtherPurpose)),
        }
    }

    fn enrol(
        &self,
        token: &Token,
        (key, serial): (KeyHash, Serial),
        name: Option<&str>,
        uuid: Uuid,
    ) -> Decided {
        let TokenPurpose::Enrolment(terms) = &token.purpose else {
            return Err(IdentityRejection::BadToken(TokenProblem::OtherPurpose));
        };
        let subject = enrolled_subject(terms, name)?;
        let identities = self.state.identities();
        let old = identities.key(&subject);
        if let Some(old) = old.filter(|old| old.token == token.id) {
            return self.enrol_again(token, &subject, old, (key, serial));
        }
        self.require_unused(token, terms, &subject)?;
        if let Some(owner) = identities.subject_of(key).filter(|owner| **owner != subject) {
            return Err(IdentityRejection::KeyInUse { subject: owner.clone() });
        }
        let mut effects = Vec::new();
        match &subject {
            Subject::Appliance(name) => {
                effects.extend(self.registration(name, terms.class.as_deref(), uuid));
            }
            Subject::Administrator(name) => drop(self.find_administrator(name)?),
        }
        effects.extend(old.and_then(|old| self.spent_token(old, &subject)));
        let used = Token { uses: token.uses + 1, last_used_at: Some(self.now), ..token.clone() };
        effects.push(Effect::Identity(IdentityEffect::Token { token: used }));
        let enrolled = EnrolledKey {
            key,
            serial,
            enrolled_at: self.now,
            issued_at: self.now,
            expires_at: self.now.after(self.settings.certificates().lifetime),
            token: token.id,
        };
        self.grant(&subject, enrolled, effects)
    }

    /// Whether the token may enrol one more key, which is to be that of `subject`.
    fn require_unused(
        &self,
        token: &Token,
        terms: &EnrolmentTerms,
        subject: &Subject,
    ) -> Result<(), IdentityRejection> {
        let identities = self.state.identities();
        let may_replace = match &terms.scope {
            EnrolmentScope::One(_) if token.uses > 0 => {
                return Err(IdentityRejection::TokenReused { subject: subject.clone() });
            }
            EnrolmentScope::One(_) => terms.replace,
            EnrolmentScope::Pattern { count, .. } => {
                let revoked_at = appliance_of(subject).and_then(|name| identities.revoked_at(name));
                if revoked_at.is_some_and(|at| at >= token.created_at) {
                    return Err(IdentityRejection::RevokedSince { subject: subject.clone() });
                }
                if token.uses >= *count {
                    return Err(IdentityRejection::TokenExhausted { count: *count });
                }
                // An appliance that authenticates by tokens is not taken over by an image.
                if identities.access_tokens_of(subject).next().is_some() {
                    return Err(IdentityRejection::AlreadyEnrolled { subject: subject.clone() });
                }
                false
            }
        };
        if identities.key(subject).is_some() && !may_replace {
            return Err(IdentityRejection::AlreadyEnrolled { subject: subject.clone() });
        }
        Ok(())
    }

    /// The token of a key that is replaced is spent: whoever has both does not come back, and is not
    /// taken for somebody with a second key.
    fn spent_token(&self, old: &EnrolledKey, subject: &Subject) -> Option<Effect> {
        let token = self.state.identities().token(old.token)?;
        let is_of_this_name = matches!(token.purpose, TokenPurpose::Enrolment(_))
            && token.purpose.owner() == Some(subject);
        let removed = Effect::Identity(IdentityEffect::TokenRemoved { id: token.id });
        is_of_this_name.then_some(removed)
    }

    /// The same token again: the answer to the call before may have been lost.
    fn enrol_again(
        &self,
        token: &Token,
        subject: &Subject,
        old: &EnrolledKey,
        (key, serial): (KeyHash, Serial),
    ) -> Decided {
        if old.key != key {
            let is_of_one = matches!(
                &token.purpose,
                TokenPurpose::Enrolment(EnrolmentTerms { scope: EnrolmentScope::One(_), .. })
            );
            let subject = subject.clone();
            return Err(match is_of_one {
                true => IdentityRejection::TokenReused { subject },
                false => IdentityRejection::AlreadyEnrolled { subject },
            });
        }
        self.reissue(subject, old, serial)
    }

    fn renew(&self, key: KeyHash, serial: Serial) -> Decided {
        let identities = self.state.identities();
        let subject = identities.subject_of(key).ok_or(IdentityRejection::KeyUnknown)?;
        let old = identities.key(subject).ok_or(IdentityRejection::KeyUnknown)?;
        if let Some(limit) = self.settings.certificates().recover_within
            && old.expires_at.after(limit) < self.now
        {
            return Err(IdentityRejection::RecoveryEnded { limit });
        }
        self.reissue(subject, old, serial)
    }

    /// In the first half of its life the certificate is signed again without a record: a lost answer,
    /// or a replayed request, changes nothing. One that begins in the future is of a clock that was
    /// ahead.
    fn reissue(&self, subject: &Subject, old: &EnrolledKey, serial: Serial) -> Decided {
        let life = old.expires_at.since(old.issued_at);
        if old.issued_at <= self.now && self.now < old.issued_at.after(life / 2) {
            return Ok((IdentityReply::Granted(granted(subject, old)), None));
        }
        let renewed = EnrolledKey {
            serial,
            issued_at: self.now,
            expires_at: self.now.after(self.settings.certificates().lifetime),
            ..old.clone()
        };
        self.grant(subject, renewed, Vec::new())
    }

    fn grant(&self, subject: &Subject, key: EnrolledKey, mut effects: Vec<Effect>) -> Decided {
        let grant = granted(subject, &key);
        effects.push(Effect::Identity(IdentityEffect::Key { subject: subject.clone(), key }));
        effects.extend(self.reuse_alert_cleared(subject));
        effects.extend(self.cleared(subject, AlertKind::CertificateEnding));
        Ok((IdentityReply::Granted(grant), Some(DecisionDraft::recorded(effects))))
    }

    fn revoke_appliance(&self, name: &ApplianceName) -> Decided {
        if self.state.find(name).is_none() {
            return Err(CommandRejection::NotFound { name: name.clone() }.into());
        }
        let subject = Subject::Appliance(name.clone());
        let mut effects = appliance_revoked(self.state, name, self.now);
        effects.extend(self.reuse_alert_cleared(&subject));
        effects.extend(self.cleared(&subject, AlertKind::CertificateEnding));
        done(effects)
    }

    fn reuse_alert_cleared(&self, subject: &Subject) -> Option<Effect> {
        self.cleared(subject, AlertKind::TokenReused)
    }

    fn cleared(&self, subject: &Subject, kind: AlertKind) -> Option<Effect> {
        let number = Some(self.state.find(appliance_of(subject)?)?);
        self.state.alert(number, kind)?;
        Some(Effect::AlertCleared { number, kind })
    }

    /// Registers the appliance, unless it exists.
    fn registration(
        &self,
        name: &ApplianceName,
        class: Option<&str>,
        uuid: Uuid,
    ) -> Option<Effect> {
        if self.state.find(name).is_some() {
            return None;
        }
        let (class, overrides) = (class.unwrap_or(DEFAULT_CLASS).into(), Overrides::default());
        let added = ApplianceEffect::Registered { name: name.clone(), uuid, class, overrides };
        Some(added.of(self.state.next_number()))
    }

    fn require_owner(&self, subject: &Subject) -> Result<(), IdentityRejection> {
        match subject {
            Subject::Appliance(name) if self.state.find(name).is_none() => {
                Err(CommandRejection::NotFound { name: name.clone() }.into())
            }
            Subject::Appliance(_) => Ok(()),
            Subject::Administrator(name) => self.find_administrator(name).map(|_| ()),
        }
    }

    fn find_administrator(
        &self,
        name: &AdministratorName,
    ) -> Result<Administrator, IdentityRejection> {
        let found = self.state.identities().administrator(name);
        found.ok_or_else(|| IdentityRejection::NoAdministrator { name: name.clone() })
    }

    fn find_token(&self, id: TokenId) -> Result<&Token, IdentityRejection> {
        self.state.identities().token(id).ok_or(IdentityRejection::NoToken { id })
    }

    fn keep_last_admin(
        &self,
        name: &AdministratorName,
        before: Administrator,
        after: Option<Role>,
    ) -> Result<(), IdentityRejection> {
        let is_last = before.role == Role::Admin && self.state.identities().admin_count() == 1;
        if is_last && after != Some(Role::Admin) {
            return Err(IdentityRejection::LastAdmin { name: name.clone() });
        }
        Ok(())
    }

    fn administrator(&self, name: &AdministratorName, role: Role, created_at: Timestamp) -> Effect {
        let (name, administrator) = (name.clone(), Administrator { role, created_at });
        Effect::Identity(IdentityEffect::Administrator { name, administrator })
    }

    fn expired_tokens(&self) -> Vec<Effect> {
        let long_ago = self.now.before(EXPIRED_TOKENS_KEPT);
        let old = self.state.identities().tokens_ended_before(long_ago);
        let removed = |id| IdentityEffect::TokenRemoved { id };
        old.map(removed).map(Effect::Identity).collect()
    }
}

/// Checks the secret and the end of a token that was looked up by its id.
///
/// # Errors
///
/// The problem. An unknown token costs the same comparison as a known one.
pub fn check_token(
    token: Option<&Token>,
    secret: SecretHash,
    now: Timestamp,
) -> Result<&Token, TokenProblem> {
    let stored = token.map_or(SecretHash([0; 32]), |token| token.secret);
    let is_right = stored.matches(secret);
    let token = token.ok_or(TokenProblem::Unknown)?;
    if !is_right {
        return Err(TokenProblem::WrongSecret);
    }
    match token.expires_at {
        Some(end) if end <= now => Err(TokenProblem::Expired),
        Some(_) | None => Ok(token),
    }
}

fn granted(subject: &Subject, key: &EnrolledKey) -> CertificateGrant {
    CertificateGrant {
        subject: subject.clone(),
        serial: key.serial,
        issued_at: key.issued_at,
        expires_at: key.expires_at,
    }
}

/// Whom a token enrols that was sent with this name.
fn enrolled_subject(
    terms: &EnrolmentTerms,
    name: Option<&str>,
) -> Result<Subject, IdentityRejection> {
    match &terms.scope {
        EnrolmentScope::One(subject) => match name {
            Some(name) if name != subject.name() => {
                Err(IdentityRejection::NameNotAllowed { allowed: subject.to_string().into() })
            }
            Some(_) | None => Ok(subject.clone()),
        },
        EnrolmentScope::Pattern { pattern, .. } => {
            let Some(name) = name else {
                return Err(IdentityRejection::NameRequired { pattern: pattern.clone() });
            };
            let valid = ApplianceName::new(name).ok().filter(|_| matches_pattern(pattern, name));
            valid.map(Subject::Appliance).ok_or_else(|| IdentityRejection::NameNotAllowed {
                allowed: format!("appliances named like {pattern}").into(),
            })
        }
    }
}
