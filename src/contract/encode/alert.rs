//! Encodes open alerts as messages of the contract.
//!
//! Guarantees that every alert kind has a number of the contract. Escapes nothing.

use super::{encode_severity, encode_timestamp, proto};
use crate::grid::log::effect::{Alert, AlertKind};

/// Encodes an open alert about `appliance`; the name is empty for the broker itself.
pub fn alert(appliance: &str, which: AlertKind, alert: &Alert) -> proto::OpenAlert {
    let Alert { severity, since, text } = alert;
    proto::OpenAlert {
        appliance: appliance.to_owned(),
        matter: alert_kind(which).into(),
        severity: encode_severity(*severity).into(),
        since: Some(encode_timestamp(*since)),
        text: text.to_string(),
    }
}

/// Encodes an alert kind.
pub fn alert_kind(matter: AlertKind) -> proto::AlertMatter {
    match matter {
        AlertKind::StartFailed => proto::AlertMatter::StartFailed,
        AlertKind::Stuck => proto::AlertMatter::Stuck,
        AlertKind::NoContact => proto::AlertMatter::NoContact,
        AlertKind::NameConflict => proto::AlertMatter::TwoMachines,
        AlertKind::Flapping => proto::AlertMatter::Flapping,
        AlertKind::RecordsMissing => proto::AlertMatter::RecordsMissing,
        AlertKind::DiskLow => proto::AlertMatter::DiskLow,
        AlertKind::MailFails => proto::AlertMatter::MailFails,
        AlertKind::ClockDiffers => proto::AlertMatter::ClockDiffers,
        AlertKind::ResourcesShort => proto::AlertMatter::ResourcesShort,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract;

    #[test]
    fn an_alert_kind_has_one_label_on_every_surface() {
        let sent: Vec<_> = (1..).map_while(|it| proto::AlertMatter::try_from(it).ok()).collect();
        assert!(sent.len() >= 8, "{sent:?}");
        for sent in sent {
            let decoded = contract::decode_alert_kind(sent).unwrap();
            assert_eq!(alert_kind(decoded), sent);
            let label = sent.as_str_name().trim_start_matches("ALERT_MATTER_").to_lowercase();
            assert_eq!(decoded.as_str(), label);
        }
        assert_eq!(contract::decode_alert_kind(proto::AlertMatter::Unspecified), None);
    }
}
