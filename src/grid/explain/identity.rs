//! Describes commands on credentials and security incidents.
//!
//! Guarantees a sentence for each, without secrets. Decides nothing.

use crate::grid::log::effect::Effect;
use crate::grid::log::identity::{IdentityCommand, IdentityEffect, Refusal, SecurityIncident};
use crate::grid::log::record::Record;
use crate::grid::model::identity::{EnrolledKey, EnrolmentScope, EnrolmentTerms, TokenPurpose};
use crate::grid::values::identity::Subject;
use crate::grid::values::sentence::Sentence;

pub(super) fn describe_command(record: &Record, command: &IdentityCommand) -> Sentence {
    match command {
        IdentityCommand::CreateToken { id, purpose, .. } => {
            let text = format!("token {id} created, {}", describe_purpose(purpose));
            match token_end(record) {
                Some(end) => Sentence::from(text).text(", valid until ").time(end),
                None => Sentence::from(text).text(", without an end"),
            }
        }
        IdentityCommand::RotateToken { id, .. } => format!("secret of token {id} replaced").into(),
        IdentityCommand::RevokeToken { id } => format!("token {id} revoked").into(),
        IdentityCommand::Enrol { .. } => {
            let is_new = issued_key(record).is_none_or(|(_, key)| key.enrolled_at == key.issued_at);
            let what = if is_new { "key enrolled" } else { "certificate issued again" };
            // Who sent it names the token.
            issued(record, what)
        }
        IdentityCommand::Renew { .. } => issued(record, "certificate renewed"),
        IdentityCommand::RevokeAppliance { name } => {
            format!("all credentials of {name} revoked").into()
        }
        IdentityCommand::CreateAdministrator { name, role } => {
            format!("administrator {name} created, role {}", role.as_str()).into()
        }
        IdentityCommand::SetAdministrator { name, role } => {
            format!("administrator {name} has the role {} now", role.as_str()).into()
        }
        IdentityCommand::RemoveAdministrator { name } => {
            format!("administrator {name} removed, with all credentials").into()
        }
    }
}

/// For whom or what a token is valid.
fn describe_purpose(purpose: &TokenPurpose) -> String {
    match purpose {
        TokenPurpose::Access(subject) => format!("for {subject}"),
        TokenPurpose::Enrolment(EnrolmentTerms { scope: EnrolmentScope::One(subject), .. }) => {
            format!("to enrol {subject}")
        }
        TokenPurpose::Enrolment(EnrolmentTerms {
            scope: EnrolmentScope::Pattern { pattern, count },
            ..
        }) => format!("to enrol {count} appliances named like {pattern}"),
    }
}

fn token_end(record: &Record) -> Option<crate::grid::values::time::Timestamp> {
    record.effects.iter().find_map(|effect| match effect {
        Effect::Identity(IdentityEffect::Token { token }) => token.expires_at,
        Effect::Identity(_)
        | Effect::Appliance { .. }
        | Effect::FindingRaised { .. }
        | Effect::FindingCleared { .. }
        | Effect::Alert(_)
        | Effect::DeadlinesMoved { .. }
        | Effect::TimeShifted(_)
        | Effect::LivedTime { .. }
        | Effect::Mail(_) => None,
    })
}

fn issued_key(record: &Record) -> Option<(&Subject, &EnrolledKey)> {
    record.effects.iter().find_map(|effect| {
        if let Effect::Identity(IdentityEffect::Key { subject, key }) = effect {
            Some((subject, key))
        } else {
            None
        }
    })
}

fn issued(record: &Record, what: &str) -> Sentence {
    match issued_key(record) {
        Some((subject, key)) => {
            Sentence::from(format!("{what} for {subject}, valid until ")).time(key.expires_at)
        }
        None => what.into(),
    }
}

pub(super) fn describe_incident(record: &Record, incident: &SecurityIncident) -> Sentence {
    match incident {
        SecurityIncident::Refused(Refusal { who, from, what, why, omitted, .. }) => {
            let mut text = format!("{what} of {who} from {from} refused: {why}");
            if *omitted > 0 {
                text.push_str(&format!(" ({omitted} refusals before it have no record)"));
            }
            text.into()
        }
        SecurityIncident::Accessed { what, .. } => what.as_ref().into(),
        SecurityIncident::TokenUsed { id } => {
            let owner = record.effects.iter().find_map(|effect| {
                if let Effect::Identity(IdentityEffect::Token { token }) = effect {
                    token.purpose.owner()
                } else {
                    None
                }
            });
            let of = owner.map_or_else(String::new, |owner| format!(" of {owner}"));
            format!("token {id}{of} used, for the first time on this day").into()
        }
        SecurityIncident::ServerCertificate { problem: Some(_) } => Sentence::default(),
        SecurityIncident::ServerCertificate { problem: None } => {
            "the server certificate is in order again".into()
        }
    }
}
