//! `gridctl token ...`: lists, creates, rotates and revokes tokens.
//!
//! Guarantees that a new token is printed once, on stdout, and that a failure for one token does not
//! stop the others. Reads no token.

use std::io::Write;

use grid_broker::contract::proto::{
    CreateTokenRequest, ListTokensRequest, RevokeTokenRequest, RotateTokenRequest, TokenInfo,
    create_token_request, token_info,
};
use grid_broker::exit_code::ExitCode;

use crate::args::{TokenCommand, TokenCreate};
use crate::connection::Connection;
use crate::error::CliError;
use crate::output::{ListWriter, OutputOptions};
use crate::removal::{self, Removal};
use crate::token_view::{self, CreatedToken};

/// Runs the command.
pub(crate) async fn run(
    broker: &Connection,
    command: &TokenCommand,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    match command {
        TokenCommand::List => {
            let request = broker.unary(ListTokensRequest {});
            let reply = broker.identity().list_tokens(request).await?.into_inner();
            let mut listing = ListWriter::new(out, look, token_view::view());
            listing.add(&reply.tokens)?;
            Ok(listing.finish("there are no tokens")?)
        }
        TokenCommand::Create(arguments) => create(broker, arguments, look, out).await,
        TokenCommand::Rotate { id } => rotate(broker, id, look, out).await,
        TokenCommand::Revoke { ids } => revoke(broker, ids, look, out).await,
    }
}

/// Creates a token of an owner, or for enrolment.
pub(crate) async fn create_token(
    broker: &Connection,
    name: &str,
    subject: create_token_request::Subject,
    valid_ms: Option<u64>,
) -> Result<CreatedToken, CliError> {
    let valid_for = valid_ms.map(to_proto);
    let request = broker.unary(CreateTokenRequest { subject: Some(subject), valid_for });
    let reply = broker.identity().create_token(request).await?.into_inner();
    CreatedToken::new(name, reply.token, reply.info)
}

fn to_proto(ms: u64) -> prost_types::Duration {
    let seconds = i64::try_from(ms / 1_000).unwrap_or(i64::MAX);
    // Less than a second, so it fits.
    let nanos = i32::try_from(ms % 1_000 * 1_000_000).unwrap_or_default();
    prost_types::Duration { seconds, nanos }
}

async fn create(
    broker: &Connection,
    arguments: &TokenCreate,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    use create_token_request::Subject;
    let TokenCreate { appliance, administrator, valid } = arguments;
    let (name, subject) = match (appliance, administrator) {
        (Some(name), _) => (name, Subject::Appliance(name.clone())),
        (None, Some(name)) => (name, Subject::Administrator(name.clone())),
        (None, None) => return Err(CliError::MissingField { field: "subject" }),
    };
    let created = create_token(broker, name, subject, *valid).await?;
    token_view::write_one(&created, look, out)?;
    note_new_token(&created, broker, look);
    Ok(())
}

async fn rotate(
    broker: &Connection,
    id: &str,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let request = broker.unary(RotateTokenRequest { id: id.to_owned() });
    let reply = broker.identity().rotate_token(request).await?.into_inner();
    let name = reply.info.as_ref().map_or("", owner);
    let created = CreatedToken::new(name, reply.token, reply.info.clone())?;
    token_view::write_one(&created, look, out)?;
    if look.format.is_human_readable() {
        look.note(&format!("the former token {id} is invalid now"));
    }
    note_new_token(&created, broker, look);
    Ok(())
}

/// The owner of a token; empty for enrolment.
fn owner(info: &TokenInfo) -> &str {
    match &info.subject {
        Some(token_info::Subject::Appliance(name) | token_info::Subject::Administrator(name)) => {
            name
        }
        Some(token_info::Subject::Enrolment(_)) | None => "",
    }
}

/// Says on stderr that the token is shown once, and how it is used.
fn note_new_token(created: &CreatedToken, broker: &Connection, look: &OutputOptions) {
    if !look.format.is_human_readable() {
        return;
    }
    let (id, valid) = (&created.info.id, created.validity(look));
    look.note(&format!("this is the only time that token {id} is shown; it is valid {valid}"));
    let address = &broker.address;
    look.note(&match created.info.subject {
        Some(token_info::Subject::Administrator(_)) => {
            format!("write it to a file that only its user can read, then: gridctl login {address} --token-file FILE")
        }
        _ => format!(
            "write it to a file that only its user can read, then: vme --broker {address} --token-file FILE ..."
        ),
    });
}

async fn revoke(
    broker: &Connection,
    ids: &[String],
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for id in ids {
        let request = broker.unary(RevokeTokenRequest { id: id.clone() });
        match broker.identity().revoke_token(request).await {
            Ok(reply) => {
                let record_number = reply.into_inner().record_number;
                done.push(Removal { kind: "token", name: id.clone(), record_number });
            }
            Err(status) => {
                let failure = CliError::from(status);
                let is_last = failure.exit_code() == ExitCode::Unavailable;
                failed.push((id, failure));
                if is_last {
                    break;
                }
            }
        }
    }
    let text = "is revoked; sessions that used it ended";
    removal::write(&done, ids.len(), text, look, out)?;
    removal::report_failures(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_reach_the_broker_unchanged() {
        for (ms, seconds, nanos) in
            [(0, 0, 0), (1_500, 1, 500_000_000), (7_776_000_000, 7_776_000, 0)]
        {
            assert_eq!(to_proto(ms), prost_types::Duration { seconds, nanos });
        }
    }
}
