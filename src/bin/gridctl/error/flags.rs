//! Replaces contract fields by command-line flags in the broker's error messages.
//!
//! Guarantees that the rest of a message is unchanged. A field without a flag keeps its name: the
//! error is then a bug of gridctl, and the name helps to find it.

use grid_broker::client::ClientError;

/// Fields of the contract, and the flag or argument for each.
const FIELD_FLAGS: &[(&str, &str)] = &[
    ("filter.names", "the appliance"),
    ("filter.appliances", "the appliance"),
    ("filter.recipients", "the recipient"),
    ("filter.classes", "--class"),
    ("filter.keys", "--key"),
    ("filter.kinds", "--kind"),
    ("filter.severity_at_least", "--severity"),
    ("filter.states", "--state"),
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
    ("reason", "--reason"),
    ("appliance", "the appliance"),
    ("administrator", "the administrator"),
    ("role", "--role"),
    ("valid_for", "--valid"),
    ("enrolment.appliance", "the appliance"),
    ("enrolment.administrator", "the administrator"),
    ("enrolment.name_pattern", "--pattern"),
    ("enrolment.class", "--class"),
    ("enrolment.count", "--count"),
    ("enrolment.replace", "--replace"),
];

/// The error with flags instead of fields.
pub(super) fn with_flag_names(error: &ClientError) -> String {
    let message = error.to_string();
    let lines = message.lines().map(|line| {
        let indent = line.len() - line.trim_start().len();
        let (indent, text) = line.split_at(indent);
        format!("{indent}{}", rewrite_line(text))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Turns `filter.names[0]: is no pattern` into `the appliance: is no pattern`.
fn rewrite_line(line: &str) -> String {
    let Some((field, problem)) = line.split_once(": ") else { return line.to_owned() };
    let name = field.split('[').next().unwrap_or(field);
    match FIELD_FLAGS.iter().find(|(field, _)| *field == name) {
        Some((_, flag)) => format!("{flag}: {problem}"),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    fn rejection_text(text: &str, fields: &[(&str, &str)]) -> String {
        let mut details = ErrorDetails::new();
        for (field, problem) in fields {
            details.add_bad_request_violation(*field, *problem);
        }
        let code = tonic::Code::InvalidArgument;
        with_flag_names(&tonic::Status::with_error_details(code, text, details).into())
    }

    #[test]
    fn a_rejection_names_the_flag() {
        let one = [("settings.boot_timeout_ms", "is 13 h; 1 s to 12 h are allowed")];
        let text =
            rejection_text("settings.boot_timeout_ms: is 13 h; 1 s to 12 h are allowed", &one);
        assert_eq!(text, "--boot-timeout: is 13 h; 1 s to 12 h are allowed");
        let two = [("filter.names[0]", "is no pattern"), ("filter.states[1]", "is no state")];
        let text = rejection_text("2 fields are wrong", &two);
        assert_eq!(
            text,
            "2 fields are wrong\n  the appliance: is no pattern\n  --state: is no state"
        );
    }

    #[test]
    fn invalid_terms_of_a_token_name_their_flags() {
        let text = "valid_for: is longer than 7 days";
        let one = [("valid_for", "is longer than 7 days")];
        assert_eq!(rejection_text(text, &one), "--valid: is longer than 7 days");
        let two = [("enrolment.count", "is too large"), ("enrolment.name_pattern", "has no `*`")];
        let text = rejection_text("2 fields are wrong", &two);
        assert_eq!(text, "2 fields are wrong\n  --count: is too large\n  --pattern: has no `*`");
    }

    #[test]
    fn every_request_field_has_a_flag() {
        use grid_broker::contract::DESCRIPTORS;
        use prost::Message as _;
        let contract = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
        let messages = contract.file.iter().flat_map(|file| &file.message_type);
        for message in messages {
            let before = match message.name() {
                name if name.ends_with("Filter") => "filter.",
                "ApplianceSettings" => "settings.",
                "EnrolmentTerms" => "enrolment.",
                _ => continue,
            };
            for field in &message.field {
                let name = format!("{before}{}", field.name());
                // A Boolean is always valid.
                let is_known = FIELD_FLAGS.iter().any(|(field, _)| *field == name);
                let is_flag = ["filter.suppressed", "filter.of_broker", "filter.sent"];
                assert!(is_known || is_flag.contains(&name.as_str()), "{name}");
            }
        }
    }

    #[test]
    fn other_text_is_unchanged() {
        assert_eq!(
            rejection_text("page_token: is of another list", &[]),
            "page_token: is of another list"
        );
        assert_eq!(rejection_text("no mail 9 is queued", &[]), "no mail 9 is queued");
    }
}
