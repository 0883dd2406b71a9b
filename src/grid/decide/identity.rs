//! Decides on credentials: tokens, enrolment, renewal, revocation, administrators.
//!
//! Guarantees that a rejected command changes nothing, and that one administrator with the role admin
//! remains. Does not know secrets, certificates or who sent the command.

mod enrolment;
mod rejection;

use std::time::Duration;

use uuid::Uuid;

use crate::grid::decide::command::require_class;
use crate::grid::decide::{CommandRejection, DecisionDraft};
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::identity::{IdentityCommand, IdentityEffect};
use crate::grid::model::finding::FindingKind;
use crate::grid::model::identity::{
    Administrator, CertificateGrant, EnrolmentScope, EnrolmentTerms, Token, TokenPurpose,
    appliance_of,
};
use crate::grid::model::settings::{DEFAULT_CLASS, GridSettings, Overrides};
use crate::grid::state::State;
use crate::grid::values::id::ApplianceName;
use crate::grid::values::identity::{AdministratorName, Role, SecretHash, Subject, TokenId};
use crate::grid::values::time::Timestamp;

pub use self::rejection::{IdentityRejection, TokenProblem};

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
    let key = identities.key(subject).map(|old| {
        let removed = IdentityEffect::KeyRemoved { subject: subject.clone() };
        [removed, IdentityEffect::KeyRevoked { key: old.key }]
    });
    tokens.chain(key.into_iter().flatten()).map(Effect::Identity).collect()
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
        let token = Token { secret, created_at: self.now, ..old.clone() };
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

    fn revoke_appliance(&self, name: &ApplianceName) -> Decided {
        if self.state.find(name).is_none() {
            return Err(CommandRejection::NotFound { name: name.clone() }.into());
        }
        let subject = Subject::Appliance(name.clone());
        let mut effects = appliance_revoked(self.state, name, self.now);
        effects.extend(self.reuse_alert_cleared(&subject));
        effects.extend(self.cleared(&subject, FindingKind::CertificateEnding));
        done(effects)
    }

    fn reuse_alert_cleared(&self, subject: &Subject) -> Option<Effect> {
        self.cleared(subject, FindingKind::TokenReused)
    }

    fn cleared(&self, subject: &Subject, kind: FindingKind) -> Option<Effect> {
        let number = Some(self.state.find(appliance_of(subject)?)?);
        self.state.finding(number, kind)?;
        Some(Effect::FindingCleared { number, kind })
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
