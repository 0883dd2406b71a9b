//! Open matters as messages of the contract.
//!
//! Guarantees that every matter has a number of the contract. Escapes nothing.

use super::{proto, proto_severity, timestamp};
use crate::grid::effect::{Alert, Matter};

/// An open matter about `appliance`; its name is empty if it is the broker's own.
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

/// What can be open, as it is sent.
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
            let meant = wire::matter(sent).unwrap();
            assert_eq!(matter(meant), sent);
            let word = sent.as_str_name().trim_start_matches("ALERT_MATTER_").to_lowercase();
            assert_eq!(meant.word(), word);
        }
        assert_eq!(wire::matter(proto::AlertMatter::Unspecified), None);
    }
}
