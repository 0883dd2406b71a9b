//! Encodes open alerts as messages of the contract.
//!
//! Guarantees that every alert kind has a number of the contract. Escapes nothing.

use super::{encode_severity, encode_timestamp, proto};
use crate::grid::model::finding::{Finding, FindingKind};

/// Encodes an open alert about `appliance`; the name is empty for the broker itself.
pub fn alert(appliance: &str, which: FindingKind, alert: &Finding) -> proto::OpenAlert {
    let Finding { severity, since, text } = alert;
    proto::OpenAlert {
        appliance: appliance.to_owned(),
        kind: alert_kind(which).into(),
        severity: encode_severity(*severity).into(),
        since: Some(encode_timestamp(*since)),
        text: text.to_string(),
    }
}

/// Encodes an alert kind.
pub fn alert_kind(kind: FindingKind) -> proto::AlertKind {
    match kind {
        FindingKind::StartFailed => proto::AlertKind::StartFailed,
        FindingKind::Stuck => proto::AlertKind::Stuck,
        FindingKind::NoContact => proto::AlertKind::NoContact,
        FindingKind::NameConflict => proto::AlertKind::TwoMachines,
        FindingKind::Flapping => proto::AlertKind::Flapping,
        FindingKind::RecordsMissing => proto::AlertKind::RecordsMissing,
        FindingKind::DiskLow => proto::AlertKind::DiskLow,
        FindingKind::MailFails => proto::AlertKind::MailFails,
        FindingKind::ClockDiffers => proto::AlertKind::ClockDiffers,
        FindingKind::ResourcesShort => proto::AlertKind::ResourcesShort,
        FindingKind::CertificateEnding => proto::AlertKind::CertificateEnding,
        FindingKind::TokenReused => proto::AlertKind::TokenReused,
        FindingKind::ServerCertificate => proto::AlertKind::ServerCertificate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract;

    #[test]
    fn an_alert_kind_has_one_label_on_every_surface() {
        let sent: Vec<_> = (1..).map_while(|it| proto::AlertKind::try_from(it).ok()).collect();
        assert!(sent.len() >= 8, "{sent:?}");
        for sent in sent {
            let decoded = contract::decode_alert_kind(sent).unwrap();
            assert_eq!(alert_kind(decoded), sent);
            let label = sent.as_str_name().trim_start_matches("ALERT_KIND_").to_lowercase();
            assert_eq!(decoded.as_str(), label);
        }
        assert_eq!(contract::decode_alert_kind(proto::AlertKind::Unspecified), None);
    }
}
