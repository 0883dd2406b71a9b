//! Encodes and decodes effects.
//!
//! Guarantees that an unknown value is an error. Does not know inputs.

use std::time::Duration;

use super::DecodeError;
use super::proto::effect::Change as P;
use super::values::decode_severity;
use super::{alert, clock, identity, mail, proto, silence};
use crate::codec::appliance;
use crate::codec::values::{micros, severity_number};
use crate::grid::log::alert_effect::AlertEffect;
use crate::grid::log::effect::Effect;
use crate::grid::model::finding::{Finding, FindingKind};
use crate::grid::values::id::{AlertId, ApplianceIndex, SilenceId};
use crate::grid::values::time::Timestamp;

pub(super) fn encode(effect: &Effect) -> proto::Effect {
    let change = match effect {
        Effect::Appliance { number, change } => appliance::encode(*number, change),
        Effect::FindingRaised { number, kind, finding } => {
            P::FindingRaised(encode_finding_raised(*number, *kind, finding))
        }
        Effect::FindingCleared { number, kind: it } => P::FindingCleared(proto::FindingCleared {
            number: number.map_or(0, |number| number.0),
            kind: encode_finding_kind(*it).into(),
        }),
        Effect::DeadlinesMoved { by, not_before } => P::DeadlinesMoved(proto::DeadlinesMoved {
            by_us: micros(*by),
            not_before_us: not_before.as_micros(),
        }),
        Effect::TimeShifted(shift) => P::TimeShifted(clock::encode_shift(*shift)),
        Effect::LivedTime { lived } => P::Lived(proto::LivedTime { lived_us: micros(*lived) }),
        Effect::Alert(change) => alert::encode_effect(change),
        Effect::Mail(change) => P::Mail(mail::encode_effect(change)),
        Effect::Identity(change) => P::Identity(identity::encode_effect(change)),
    };
    proto::Effect { change: Some(change) }
}

pub(super) fn decode(effect: proto::Effect) -> Result<Effect, DecodeError> {
    let change = effect.change.ok_or(DecodeError::Newer { what: "an effect" })?;
    let change = match appliance::decode(change)? {
        Ok(effect) => return Ok(effect),
        Err(change) => change,
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "changes of appliances are decoded above")]
    Ok(match change {
        P::FindingRaised(it) => Effect::FindingRaised {
            number: appliance_or_broker(it.number),
            kind: decode_finding_kind(it.kind)?,
            finding: Finding {
                severity: decode_severity(it.severity)?,
                since: Timestamp::from_micros(it.since_us),
                text: it.text.into(),
            },
        },
        P::FindingCleared(it) => Effect::FindingCleared {
            number: appliance_or_broker(it.number),
            kind: decode_finding_kind(it.kind)?,
        },
        P::DeadlinesMoved(it) => Effect::DeadlinesMoved {
            by: Duration::from_micros(it.by_us),
            not_before: Timestamp::from_micros(it.not_before_us),
        },
        P::TimeShifted(it) => Effect::TimeShifted(clock::decode_shift(it)),
        P::Lived(it) => Effect::LivedTime { lived: Duration::from_micros(it.lived_us) },
        P::Alert(it) => Effect::Alert(alert::decode_state(it)?),
        P::AlertForgotten(it) => Effect::Alert(AlertEffect::Forgotten { id: AlertId(it.id) }),
        P::Silence(it) => {
            Effect::Alert(AlertEffect::Silence { silence: Box::new(silence::decode(it)?) })
        }
        P::SilenceForgotten(it) => {
            Effect::Alert(AlertEffect::SilenceForgotten { id: SilenceId(it.id) })
        }
        P::Notification(it) => Effect::Alert(alert::decode_decision(it)?),
        P::AlertNumbers(it) => Effect::Alert(AlertEffect::LastNumbers {
            alert: AlertId(it.alert),
            silence: SilenceId(it.silence),
        }),
        P::Mail(it) => Effect::Mail(mail::decode_effect(it)?),
        P::Identity(it) => Effect::Identity(identity::decode_effect(it)?),
        _ => return Err(DecodeError::Newer { what: "an effect" }),
    })
}

fn encode_finding_raised(
    number: Option<ApplianceIndex>,
    it: FindingKind,
    finding: &Finding,
) -> proto::FindingRaised {
    proto::FindingRaised {
        number: number.map_or(0, |number| number.0),
        kind: encode_finding_kind(it).into(),
        severity: severity_number(finding.severity),
        since_us: finding.since.as_micros(),
        text: finding.text.to_string(),
    }
}

pub(super) fn encode_finding_kind(kind: FindingKind) -> proto::FindingKind {
    match kind {
        FindingKind::StartFailed => proto::FindingKind::StartFailed,
        FindingKind::Stuck => proto::FindingKind::Stuck,
        FindingKind::NoContact => proto::FindingKind::NoContact,
        FindingKind::NameConflict => proto::FindingKind::TwoMachines,
        FindingKind::Flapping => proto::FindingKind::Flapping,
        FindingKind::RecordsMissing => proto::FindingKind::RecordsMissing,
        FindingKind::DiskLow => proto::FindingKind::DiskLow,
        FindingKind::MailFails => proto::FindingKind::MailFails,
        FindingKind::ClockDiffers => proto::FindingKind::ClockDiffers,
        FindingKind::ResourcesShort => proto::FindingKind::ResourcesShort,
        FindingKind::CertificateEnding => proto::FindingKind::CertificateEnding,
        FindingKind::TokenReused => proto::FindingKind::TokenReused,
        FindingKind::ServerCertificate => proto::FindingKind::ServerCertificate,
    }
}

pub(super) fn decode_finding_kind(kind: i32) -> Result<FindingKind, DecodeError> {
    Ok(match proto::FindingKind::try_from(kind) {
        Ok(proto::FindingKind::StartFailed) => FindingKind::StartFailed,
        Ok(proto::FindingKind::Stuck) => FindingKind::Stuck,
        Ok(proto::FindingKind::NoContact) => FindingKind::NoContact,
        Ok(proto::FindingKind::TwoMachines) => FindingKind::NameConflict,
        Ok(proto::FindingKind::Flapping) => FindingKind::Flapping,
        Ok(proto::FindingKind::RecordsMissing) => FindingKind::RecordsMissing,
        Ok(proto::FindingKind::DiskLow) => FindingKind::DiskLow,
        Ok(proto::FindingKind::MailFails) => FindingKind::MailFails,
        Ok(proto::FindingKind::ClockDiffers) => FindingKind::ClockDiffers,
        Ok(proto::FindingKind::ResourcesShort) => FindingKind::ResourcesShort,
        Ok(proto::FindingKind::CertificateEnding) => FindingKind::CertificateEnding,
        Ok(proto::FindingKind::TokenReused) => FindingKind::TokenReused,
        Ok(proto::FindingKind::ServerCertificate) => FindingKind::ServerCertificate,
        Ok(proto::FindingKind::Unspecified) | Err(_) => {
            return Err(DecodeError::Newer { what: "a kind of finding" });
        }
    })
}

fn appliance_or_broker(number: u32) -> Option<ApplianceIndex> {
    (number != 0).then_some(ApplianceIndex(number))
}
