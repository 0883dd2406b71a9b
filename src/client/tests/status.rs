//! Tests of the texts of a broker's replies.

use tonic_types::ErrorDetails;

use super::super::*;

#[test]
fn a_status_names_each_field_and_escapes_control_characters() {
    let mut details = ErrorDetails::new();
    details.add_bad_request_violation("name", "`db\x1b[2J` holds `\u{202e}`; letters and digits");
    details.set_retry_info(Some(Duration::from_secs(3)));
    let status =
        tonic::Status::with_error_details(tonic::Code::InvalidArgument, "not a name", details);
    let error = ClientError::from(status);
    assert_eq!(
        error.to_string(),
        "not a name\n  name: `db\\x1b[2J` holds `\\u{202e}`; letters and digits\n  try again in 3 s"
    );
    assert_eq!(error.exit_code(), ExitCode::Usage);
}

#[test]
fn a_single_field_in_the_message_is_not_repeated() {
    let details = ErrorDetails::with_bad_request_violation("name", "is too long");
    let code = tonic::Code::InvalidArgument;
    let status = tonic::Status::with_error_details(code, "name: is too long", details);
    assert_eq!(ClientError::from(status).to_string(), "name: is too long");
}

#[test]
fn a_status_without_a_message_is_described_by_its_code() {
    let error = ClientError::from(tonic::Status::not_found(""));
    assert_eq!(error.to_string(), tonic::Code::NotFound.description());
    assert_eq!(error.exit_code(), ExitCode::NotFound);
}
