//! Holds credentials: tokens, enrolled keys, administrators, and which appliances were revoked.
//!
//! Guarantees that it changes by effects only, and that `Identities::snapshot` gives it back by
//! value. The broker keeps a second copy for its listeners, by the same effects. Decides nothing, and
//! does not know secrets.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::grid::log::effect::Effect;
use crate::grid::log::identity::IdentityEffect;
use crate::grid::model::identity::{Administrator, EnrolledKey, Token, TokenPurpose};
use crate::grid::state::sharded_map::ShardedMap;
use crate::grid::state::shared_map::SharedMap;
use crate::grid::values::id::ApplianceName;
use crate::grid::values::identity::{AdministratorName, KeyHash, Role, Subject, TokenId};
use crate::grid::values::time::Timestamp;

/// All credentials.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identities {
    tokens: SharedMap<TokenId, Token>,
    /// The tokens of each owner: a fleet is revoked without a search for each of its appliances.
    tokens_by_owner: BTreeSet<(Subject, TokenId)>,
    /// The tokens that end, by their end.
    token_ends: BTreeSet<(Timestamp, TokenId)>,
    /// Looked up at each event, for the timer of the certificate.
    keys: ShardedMap<Subject, EnrolledKey>,
    subjects: HashMap<KeyHash, Subject>,
    administrators: BTreeMap<AdministratorName, Administrator>,
    revoked: SharedMap<ApplianceName, Timestamp>,
    /// Keys that are never accepted again; one for each revocation and replacement.
    revoked_keys: SharedMap<KeyHash, ()>,
}

/// All credentials as they were at one record.
#[derive(Debug)]
pub(super) struct IdentitiesSnapshot {
    administrators: BTreeMap<AdministratorName, Administrator>,
    tokens: SharedMap<TokenId, Token>,
    keys: ShardedMap<Subject, EnrolledKey>,
    revoked: SharedMap<ApplianceName, Timestamp>,
    revoked_keys: SharedMap<KeyHash, ()>,
}

impl Identities {
    /// A token.
    pub fn token(&self, id: TokenId) -> Option<&Token> {
        self.tokens.get(&id)
    }

    /// All tokens, by id.
    pub fn tokens(&self) -> impl ExactSizeIterator<Item = &Token> {
        self.tokens.values()
    }

    /// Whether any key is enrolled.
    pub(in crate::grid) fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// The enrolled key of that owner.
    pub fn key(&self, subject: &Subject) -> Option<&EnrolledKey> {
        self.keys.get(subject)
    }

    /// All enrolled keys: of appliances, then of administrators, by name.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = (&Subject, &EnrolledKey)> {
        sorted(&self.keys).into_iter()
    }

    /// Whose key it is.
    pub fn subject_of(&self, key: KeyHash) -> Option<&Subject> {
        self.subjects.get(&key)
    }

    /// An administrator.
    pub fn administrator(&self, name: &AdministratorName) -> Option<Administrator> {
        self.administrators.get(name).copied()
    }

    /// All administrators, by name.
    pub fn administrators(
        &self,
    ) -> impl ExactSizeIterator<Item = (&AdministratorName, Administrator)> {
        self.administrators.iter().map(|(name, it)| (name, *it))
    }

    /// How many administrators have the role admin.
    pub fn admin_count(&self) -> usize {
        self.administrators.values().filter(|it| it.role == Role::Admin).count()
    }

    /// Whether an administrator with the role admin has a certificate or an access token in force at `now`.
    pub fn has_usable_admin(&self, now: Timestamp) -> bool {
        let admins = self.administrators.iter().filter(|(_, it)| it.role == Role::Admin);
        admins.map(|(name, _)| Subject::Administrator(name.clone())).any(|subject| {
            let mut tokens = self.access_tokens_of(&subject);
            let key = self.keys.get(&subject);
            key.is_some_and(|key| key.expires_at > now)
                || tokens.any(|token| token.expires_at.is_none_or(|end| end > now))
        })
    }

    /// When the credentials of an appliance were revoked, if they ever were.
    pub fn revoked_at(&self, name: &ApplianceName) -> Option<Timestamp> {
        self.revoked.get(name).copied()
    }

    /// The appliances that have no credential since they were revoked, by name.
    pub fn revoked(&self) -> impl Iterator<Item = &ApplianceName> {
        let has_credential = |name: &&ApplianceName| {
            let subject = Subject::Appliance((*name).clone());
            self.keys.get(&subject).is_some() || self.access_tokens_of(&subject).next().is_some()
        };
        self.revoked.iter().map(|(name, _)| name).filter(move |name| !has_credential(name))
    }

    /// Whether the key was revoked or replaced.
    pub fn is_revoked(&self, key: KeyHash) -> bool {
        self.revoked_keys.get(&key).is_some()
    }

    /// The access tokens of that owner.
    pub fn access_tokens_of<'a>(&'a self, subject: &'a Subject) -> impl Iterator<Item = &'a Token> {
        self.tokens_of(subject).filter(|token| matches!(token.purpose, TokenPurpose::Access(_)))
    }

    /// All tokens of that owner: for access, and for the enrolment of this name alone.
    pub fn tokens_of<'a>(&'a self, subject: &'a Subject) -> impl Iterator<Item = &'a Token> {
        let owned = self.tokens_by_owner.range((subject.clone(), TokenId::FIRST)..);
        let owned = owned.take_while(move |(owner, _)| owner == subject);
        owned.filter_map(|(_, id)| self.tokens.get(id))
    }

    /// The tokens that ended before `at`, the oldest end first.
    pub fn tokens_ended_before(&self, at: Timestamp) -> impl Iterator<Item = TokenId> {
        self.token_ends.range(..(at, TokenId::FIRST)).map(|(_, id)| *id)
    }

    /// Applies a change.
    pub fn apply_effect(&mut self, effect: &IdentityEffect) {
        match effect {
            IdentityEffect::Token { token } => {
                self.remove_token(token.id);
                if let Some(owner) = token.purpose.owner() {
                    self.tokens_by_owner.insert((owner.clone(), token.id));
                }
                if let Some(end) = token.expires_at {
                    self.token_ends.insert((end, token.id));
                }
                self.tokens.insert(token.id, token.clone());
            }
            IdentityEffect::TokenRemoved { id } => self.remove_token(*id),
            IdentityEffect::Key { subject, key } => {
                self.remove_key(subject);
                self.subjects.insert(key.key, subject.clone());
                self.keys.insert(subject.clone(), key.clone());
            }
            IdentityEffect::KeyRemoved { subject } => self.remove_key(subject),
            IdentityEffect::KeyRevoked { key } => {
                self.revoked_keys.insert(*key, ());
            }
            IdentityEffect::Administrator { name, administrator } => {
                self.administrators.insert(name.clone(), *administrator);
            }
            IdentityEffect::AdministratorRemoved { name } => {
                self.administrators.remove(name);
            }
            IdentityEffect::ApplianceRevoked { name, at } => {
                self.revoked.insert(name.clone(), *at);
            }
        }
    }

    /// All of it as it is now.
    pub(super) fn snapshot(&self) -> IdentitiesSnapshot {
        IdentitiesSnapshot {
            administrators: self.administrators.clone(),
            tokens: self.tokens.clone(),
            keys: self.keys.clone(),
            revoked: self.revoked.clone(),
            revoked_keys: self.revoked_keys.clone(),
        }
    }

    fn remove_token(&mut self, id: TokenId) {
        let Some(old) = self.tokens.remove(&id) else { return };
        if let Some(owner) = old.purpose.owner() {
            self.tokens_by_owner.remove(&(owner.clone(), id));
        }
        if let Some(end) = old.expires_at {
            self.token_ends.remove(&(end, id));
        }
    }

    fn remove_key(&mut self, subject: &Subject) {
        if let Some(old) = self.keys.remove(subject) {
            self.subjects.remove(&old.key);
        }
    }
}

impl IdentitiesSnapshot {
    /// All of it as effects, in batches: applied to an empty value they give an equal one.
    pub(super) fn into_effects(self) -> impl Iterator<Item = Vec<Effect>> + Send {
        let administrators = self.administrators.into_iter().map(|(name, administrator)| {
            vec![Effect::Identity(IdentityEffect::Administrator { name, administrator })]
        });
        let tokens = self.tokens.into_chunks().map(|chunk| {
            let token = |(_, token): &(_, Token)| IdentityEffect::Token { token: token.clone() };
            chunk.iter().map(token).map(Effect::Identity).collect()
        });
        let subjects: Vec<_> =
            sorted(&self.keys).into_iter().map(|(subject, _)| subject.clone()).collect();
        let of_keys = self.keys;
        let keys = subjects.into_iter().filter_map(move |subject| {
            let key = of_keys.get(&subject)?.clone();
            Some(vec![Effect::Identity(IdentityEffect::Key { subject, key })])
        });
        let revoked = self.revoked.into_chunks().map(|chunk| {
            let of = |(name, at): &(ApplianceName, Timestamp)| IdentityEffect::ApplianceRevoked {
                name: name.clone(),
                at: *at,
            };
            chunk.iter().map(of).map(Effect::Identity).collect()
        });
        let revoked_keys = self.revoked_keys.into_chunks().map(|chunk| {
            let of = |(key, ()): &(KeyHash, ())| IdentityEffect::KeyRevoked { key: *key };
            chunk.iter().map(of).map(Effect::Identity).collect()
        });
        administrators.chain(tokens).chain(keys).chain(revoked).chain(revoked_keys)
    }
}

fn sorted(keys: &ShardedMap<Subject, EnrolledKey>) -> Vec<(&Subject, &EnrolledKey)> {
    let mut keys: Vec<_> = keys.entries().collect();
    keys.sort_unstable_by_key(|(subject, _)| *subject);
    keys
}
