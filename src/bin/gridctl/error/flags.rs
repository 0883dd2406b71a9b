//! The broker's refusals with the flags that were typed, in place of the contract's fields.
//!
//! Guarantees that a refusal reads the same otherwise. A field that is no flag's keeps its name: then
//! gridctl itself is to blame, and the name helps.

use grid_broker::client::ClientError;

/// Fields of the contract, and what was typed for them.
const FLAGS: &[(&str, &str)] = &[
    ("filter.names", "the appliance"),
    ("filter.appliances", "the appliance"),
    ("filter.recipients", "the recipient"),
    ("filter.classes", "--class"),
    ("filter.kinds", "--kind"),
    ("filter.severity_at_least", "--severity"),
    ("filter.states", "--state"),
    ("filter.standings", "--standing"),
    ("filter.since", "--since"),
    ("filter.until", "--until"),
    ("filter.text", "--text"),
    ("filter.boot_id", "--boot"),
    ("settings.class", "--class"),
    ("settings.managed", "--managed"),
    ("settings.boot_timeout_ms", "--boot-timeout"),
    ("settings.maintenance_silence_ms", "--maintenance-silence"),
    ("settings.reset", "--reset"),
    ("history", "--limit"),
];

/// The error in words of the command line.
pub(super) fn worded(error: &ClientError) -> String {
    let said = error.to_string();
    let lines = said.lines().map(|line| {
        let indent = line.len() - line.trim_start().len();
        let (indent, text) = line.split_at(indent);
        format!("{indent}{}", of_line(text))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// `filter.names[0]: is no pattern` as `the appliance: is no pattern`.
fn of_line(line: &str) -> String {
    let Some((field, wrong)) = line.split_once(": ") else { return line.to_owned() };
    let name = field.split('[').next().unwrap_or(field);
    match FLAGS.iter().find(|(field, _)| *field == name) {
        Some((_, flag)) => format!("{flag}: {wrong}"),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    fn refused(text: &str, fields: &[(&str, &str)]) -> String {
        let mut details = ErrorDetails::new();
        for (field, wrong) in fields {
            details.add_bad_request_violation(*field, *wrong);
        }
        let code = tonic::Code::InvalidArgument;
        worded(&tonic::Status::with_error_details(code, text, details).into())
    }

    #[test]
    fn a_refusal_names_what_was_typed() {
        let one = [("settings.boot_timeout_ms", "is 13 h; 1 s to 12 h are allowed")];
        let said = refused("settings.boot_timeout_ms: is 13 h; 1 s to 12 h are allowed", &one);
        assert_eq!(said, "--boot-timeout: is 13 h; 1 s to 12 h are allowed");
        let two = [("filter.names[0]", "is no pattern"), ("filter.states[1]", "is no state")];
        let said = refused("2 fields are wrong", &two);
        assert_eq!(
            said,
            "2 fields are wrong\n  the appliance: is no pattern\n  --state: is no state"
        );
    }

    #[test]
    fn every_field_that_a_request_of_gridctl_has_is_a_flags_or_ours() {
        use grid_broker::contract::DESCRIPTORS;
        use prost::Message as _;
        let contract = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
        let messages = contract.file.iter().flat_map(|file| &file.message_type);
        for message in messages {
            let before = match message.name() {
                name if name.ends_with("Filter") => "filter.",
                "ApplianceSettings" => "settings.",
                _ => continue,
            };
            for field in &message.field {
                let name = format!("{before}{}", field.name());
                // What is a plain yes or no can't be wrong.
                let is_known = FLAGS.iter().any(|(field, _)| *field == name);
                let is_flag = ["filter.suppressed", "filter.of_broker", "filter.sent"];
                assert!(is_known || is_flag.contains(&name.as_str()), "{name}");
            }
        }
    }

    #[test]
    fn other_words_stay() {
        assert_eq!(
            refused("page_token: is of another list", &[]),
            "page_token: is of another list"
        );
        assert_eq!(refused("no mail 9 is owed", &[]), "no mail 9 is owed");
    }
}
