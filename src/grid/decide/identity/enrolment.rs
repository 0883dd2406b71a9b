//! Decides on enrolments and renewals: which key is whose, and which certificate it gets.
//!
//! Guarantees that an enrolment can be repeated by the same key and by no other, and that a key belongs
//! to one owner. Does not know secrets or certificates.

use uuid::Uuid;

use super::{
    Decided, IdentityDecider, IdentityRejection, IdentityReply, TokenProblem, check_token,
};
use crate::grid::decide::DecisionDraft;
use crate::grid::log::effect::Effect;
use crate::grid::log::identity::IdentityEffect;
use crate::grid::model::finding::FindingKind;
use crate::grid::model::identity::{
    CertificateGrant, EnrolledKey, EnrolmentScope, EnrolmentTerms, Token, TokenPurpose,
    appliance_of, matches_pattern,
};
use crate::grid::values::id::ApplianceName;
use crate::grid::values::identity::{KeyHash, SecretHash, Serial, Subject, TokenId};

impl IdentityDecider<'_> {
    /// The enrolment token of that id and secret. An unknown id costs the same comparison.
    pub(super) fn enrolment_token(
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

    pub(super) fn enrol(
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
        if identities.is_revoked(key) {
            return Err(IdentityRejection::KeyRevoked);
        }
        let mut effects = Vec::new();
        match &subject {
            Subject::Appliance(name) => {
                effects.extend(self.registration(name, terms.class.as_deref(), uuid));
            }
            Subject::Administrator(name) => drop(self.find_administrator(name)?),
        }
        let replaced = old.filter(|old| old.key != key);
        effects.extend(
            replaced.map(|old| IdentityEffect::KeyRevoked { key: old.key }).map(Effect::Identity),
        );
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

    pub(super) fn renew(&self, key: KeyHash, serial: Serial) -> Decided {
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
        effects.extend(self.cleared(subject, FindingKind::CertificateEnding));
        Ok((IdentityReply::Granted(grant), Some(DecisionDraft::recorded(effects))))
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
