//! Encodes and decodes effects.
//!
//! Guarantees that an unknown value is an error. Does not know inputs.

use std::time::Duration;

use super::DecodeError;
use super::proto::effect::Change as P;
use super::values::decode_severity;
use super::{clock, identity, mail, proto};
use crate::codec::appliance;
use crate::codec::values::{micros, severity_number};
use crate::grid::log::effect::Effect;
use crate::grid::model::alert::{Alert, AlertKind};
use crate::grid::values::id::ApplianceIndex;
use crate::grid::values::time::Timestamp;

pub(super) fn encode(effect: &Effect) -> proto::Effect {
    let change = match effect {
        Effect::Appliance { number, change } => appliance::encode(*number, change),
        Effect::AlertRaised { number, kind, alert } => {
            P::AlertRaised(encode_alert_raised(*number, *kind, alert))
        }
        Effect::AlertCleared { number, kind: it } => P::AlertCleared(proto::AlertCleared {
            number: number.map_or(0, |number| number.0),
            kind: encode_alert_kind(*it).into(),
        }),
        Effect::DeadlinesMoved { by, not_before } => P::DeadlinesMoved(proto::DeadlinesMoved {
            by_us: micros(*by),
            not_before_us: not_before.as_micros(),
        }),
        Effect::TimeShifted(shift) => P::TimeShifted(clock::encode_shift(*shift)),
        Effect::LivedTime { lived } => P::Lived(proto::LivedTime { lived_us: micros(*lived) }),
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
        P::AlertRaised(it) => Effect::AlertRaised {
            number: appliance_or_broker(it.number),
            kind: decode_alert_kind(it.kind)?,
            alert: Alert {
                severity: decode_severity(it.severity)?,
                since: Timestamp::from_micros(it.since_us),
                text: it.text.into(),
            },
        },
        P::AlertCleared(it) => Effect::AlertCleared {
            number: appliance_or_broker(it.number),
            kind: decode_alert_kind(it.kind)?,
        },
        P::DeadlinesMoved(it) => Effect::DeadlinesMoved {
            by: Duration::from_micros(it.by_us),
            not_before: Timestamp::from_micros(it.not_before_us),
        },
        P::TimeShifted(it) => Effect::TimeShifted(clock::decode_shift(it)),
        P::Lived(it) => Effect::LivedTime { lived: Duration::from_micros(it.lived_us) },
        P::Mail(it) => Effect::Mail(mail::decode_effect(it)?),
        P::Identity(it) => Effect::Identity(identity::decode_effect(it)?),
        _ => return Err(DecodeError::Newer { what: "an effect" }),
    })
}

fn encode_alert_raised(
    number: Option<ApplianceIndex>,
    it: AlertKind,
    alert: &Alert,
) -> proto::AlertRaised {
    proto::AlertRaised {
        number: number.map_or(0, |number| number.0),
        kind: encode_alert_kind(it).into(),
        severity: severity_number(alert.severity),
        since_us: alert.since.as_micros(),
        text: alert.text.to_string(),
    }
}

fn encode_alert_kind(kind: AlertKind) -> proto::AlertKind {
    match kind {
        AlertKind::StartFailed => proto::AlertKind::StartFailed,
        AlertKind::Stuck => proto::AlertKind::Stuck,
        AlertKind::NoContact => proto::AlertKind::NoContact,
        AlertKind::NameConflict => proto::AlertKind::TwoMachines,
        AlertKind::Flapping => proto::AlertKind::Flapping,
        AlertKind::RecordsMissing => proto::AlertKind::RecordsMissing,
        AlertKind::DiskLow => proto::AlertKind::DiskLow,
        AlertKind::MailFails => proto::AlertKind::MailFails,
        AlertKind::ClockDiffers => proto::AlertKind::ClockDiffers,
        AlertKind::ResourcesShort => proto::AlertKind::ResourcesShort,
        AlertKind::CertificateEnding => proto::AlertKind::CertificateEnding,
        AlertKind::TokenReused => proto::AlertKind::TokenReused,
        AlertKind::ServerCertificate => proto::AlertKind::ServerCertificate,
    }
}

fn decode_alert_kind(kind: i32) -> Result<AlertKind, DecodeError> {
    Ok(match proto::AlertKind::try_from(kind) {
        Ok(proto::AlertKind::StartFailed) => AlertKind::StartFailed,
        Ok(proto::AlertKind::Stuck) => AlertKind::Stuck,
        Ok(proto::AlertKind::NoContact) => AlertKind::NoContact,
        Ok(proto::AlertKind::TwoMachines) => AlertKind::NameConflict,
        Ok(proto::AlertKind::Flapping) => AlertKind::Flapping,
        Ok(proto::AlertKind::RecordsMissing) => AlertKind::RecordsMissing,
        Ok(proto::AlertKind::DiskLow) => AlertKind::DiskLow,
        Ok(proto::AlertKind::MailFails) => AlertKind::MailFails,
        Ok(proto::AlertKind::ClockDiffers) => AlertKind::ClockDiffers,
        Ok(proto::AlertKind::ResourcesShort) => AlertKind::ResourcesShort,
        Ok(proto::AlertKind::CertificateEnding) => AlertKind::CertificateEnding,
        Ok(proto::AlertKind::TokenReused) => AlertKind::TokenReused,
        Ok(proto::AlertKind::ServerCertificate) => AlertKind::ServerCertificate,
        Ok(proto::AlertKind::Unspecified) | Err(_) => {
            return Err(DecodeError::Newer { what: "an alert kind" });
        }
    })
}

fn appliance_or_broker(number: u32) -> Option<ApplianceIndex> {
    (number != 0).then_some(ApplianceIndex(number))
}
