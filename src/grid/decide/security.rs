//! Decides on security incidents: refusals, sensitive reads, uses of tokens, the server certificate.
//!
//! Guarantees a record for each, and an alert where somebody must act. Does not limit their number.

use crate::grid::decide::{Decider, DecisionDraft};
use crate::grid::explain;
use crate::grid::log::effect::Effect;
use crate::grid::log::identity::{IdentityEffect, Refusal, SecurityIncident};
use crate::grid::model::finding::{Finding, FindingKind};
use crate::grid::model::identity::Token;
use crate::grid::values::event::Severity;

impl Decider<'_> {
    pub(in crate::grid) fn security(&self, incident: &SecurityIncident) -> Option<DecisionDraft> {
        match incident {
            SecurityIncident::Accessed { .. } => Some(DecisionDraft::recorded(Vec::new())),
            SecurityIncident::Refused(refusal) => {
                Some(DecisionDraft::recorded(self.reuse_raised(refusal).into_iter().collect()))
            }
            SecurityIncident::TokenUsed { id } => {
                let token = self.state.identities().token(*id)?;
                let token = Token { last_used_at: Some(self.now), ..token.clone() };
                let used = Effect::Identity(IdentityEffect::Token { token });
                Some(DecisionDraft::recorded(vec![used]))
            }
            SecurityIncident::ServerCertificate { problem } => {
                let kind = FindingKind::ServerCertificate;
                let open = self.state.finding(None, kind);
                let change = match (problem, open) {
                    (Some(text), Some(open)) if open.text == *text => return None,
                    (Some(text), _) => Effect::FindingRaised {
                        number: None,
                        kind,
                        finding: Finding {
                            severity: Severity::Error,
                            since: open.map_or(self.now, |open| open.since),
                            text: text.clone(),
                        },
                    },
                    (None, Some(_)) => Effect::FindingCleared { number: None, kind },
                    (None, None) => return None,
                };
                Some(DecisionDraft::recorded(vec![change]))
            }
        }
    }

    fn reuse_raised(&self, refusal: &Refusal) -> Option<Effect> {
        let name = refusal.reused_token_of.as_ref()?;
        let number = Some(self.state.find(name)?);
        let kind = FindingKind::TokenReused;
        let since = self.state.finding(number, kind).map_or(self.now, |open| open.since);
        let text = explain::token_reused(name.as_str(), &refusal.from).into();
        Some(Effect::FindingRaised {
            number,
            kind,
            finding: Finding { severity: Severity::Error, since, text },
        })
    }
}
