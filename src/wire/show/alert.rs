//! Encodes open alerts as messages of the contract.
//!
//! Guarantees that every alert kind has a number of the contract. Escapes nothing.

use super::{proto, proto_severity, timestamp};
use crate::grid::effect::{Alert, Matter};

/// Encodes an open alert about `appliance`; the name is empty for the broker itself.
pub fn alert(appliance: &str, which: Matter, alert: &Alert) -> proto::OpenAlert {
    let Alert { severity, since, text } = alert;
    proto::OpenAlert {
        appliance: appliance.to_owned(),
        matter: matter(which).into(),
        severity: proto_severity(*severity).into(),
        since: Some(timestamp(*since)),
        text: text.to_string(),
    }
}

/// Encodes an alert kind.
pub fn matter(matter: Matter) -> proto::AlertMatter {
    match matter {
        Matter::StartFailed => proto::AlertMatter::StartFailed,
        Matter::Stuck => proto::AlertMatter::Stuck,
        Matter::NoContact => proto::AlertMatter::NoContact,
        Matter::TwoMachines => proto::AlertMatter::TwoMachines,
        Matter::Flapping => proto::AlertMatter::Flapping,
        Matter::RecordsMissing => proto::AlertMatter::RecordsMissing,
        Matter::DiskLow => proto::AlertMatter::DiskLow,
        Matter::MailFails => proto::AlertMatter::MailFails,
        Matter::ClockDiffers => proto::AlertMatter::ClockDiffers,
        Matter::ResourcesShort => proto::AlertMatter::ResourcesShort,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn a_matter_has_one_word_on_every_surface() {
        let sent: Vec<_> = (1..).map_while(|it| proto::AlertMatter::try_from(it).ok()).collect();
        assert!(sent.len() >= 8, "{sent:?}");
        for sent in sent {
            let decoded = wire::matter(sent).unwrap();
            assert_eq!(matter(decoded), sent);
            let label = sent.as_str_name().trim_start_matches("ALERT_MATTER_").to_lowercase();
            assert_eq!(decoded.word(), label);
        }
        assert_eq!(wire::matter(proto::AlertMatter::Unspecified), None);
    }
}
