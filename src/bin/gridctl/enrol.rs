//! `gridctl appliance enrol` and `revoke`: tokens with which appliances get their certificates.
//!
//! Guarantees that all names of a file are valid before the first token is requested, that every
//! created token is printed, and that failures are listed at the end. Makes no key: `vme enrol` does.

use std::io::Write;
use std::path::Path;

use grid_broker::contract::proto::{
    EnrolmentTerms, RevokeApplianceRequest, create_token_request, enrolment_terms,
};
use grid_broker::exit_code::ExitCode;
use grid_broker::show::count::format_count;

use crate::args::{ApplianceNames, EnrolArgs};
use crate::connection::Connection;
use crate::error::CliError;
use crate::names_file::{self, NamedLine};
use crate::output::OutputOptions;
use crate::removal::{self, Removal};
use crate::token_view::{self, CreatedToken};
use crate::{names, token};

/// Creates the requested tokens.
pub(crate) async fn run(
    broker: &Connection,
    arguments: &EnrolArgs,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    if let Some(path) = &arguments.many {
        return enrol_many(broker, path, arguments, look, out).await;
    }
    let (name, subject) = match (&arguments.pattern, &arguments.name) {
        (Some(pattern), _) => (pattern, enrolment_terms::Subject::NamePattern(pattern.clone())),
        (None, Some(name)) if names::is_pattern(name) => {
            return Err(CliError::EnrolPattern { pattern: name.clone() });
        }
        (None, Some(name)) => (name, enrolment_terms::Subject::Appliance(name.clone())),
        (None, None) => return Err(CliError::MissingField { field: "subject" }),
    };
    let created = create(broker, name, subject, arguments.class.as_deref(), arguments).await?;
    token_view::write_one(&created, look, out)?;
    if look.format.is_human_readable() {
        note_created(&created, arguments.pattern.is_some(), broker, look);
    }
    Ok(())
}

async fn create(
    broker: &Connection,
    name: &str,
    subject: enrolment_terms::Subject,
    class: Option<&str>,
    arguments: &EnrolArgs,
) -> Result<CreatedToken, CliError> {
    let terms = EnrolmentTerms {
        subject: Some(subject),
        class: class.unwrap_or_default().to_owned(),
        count: arguments.count.unwrap_or_default(),
        replace: arguments.replace,
    };
    let subject = create_token_request::Subject::Enrolment(terms);
    token::create_token(broker, name, subject, arguments.valid).await
}

/// Says on stderr what to do with the token.
fn note_created(
    created: &CreatedToken,
    is_pattern: bool,
    broker: &Connection,
    look: &OutputOptions,
) {
    let CreatedToken { name, info, .. } = created;
    let (id, valid) = (&info.id, created.validity(look));
    look.note(&format!(
        "this is the only time that the token is shown (id {id}); it enrols {name} and is valid {valid}"
    ));
    let address = &broker.address;
    let name_flag = if is_pattern { " --name NAME" } else { "" };
    look.note(&format!(
        "on the appliance, with the token in FILE, or `-` for stdin: vme enrol --token-file FILE{name_flag} {address}"
    ));
}

async fn enrol_many(
    broker: &Connection,
    path: &Path,
    arguments: &EnrolArgs,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let lines = names_file::read(path)?;
    let (mut created, mut failed) = (Vec::new(), Vec::new());
    for NamedLine { name, class } in &lines {
        let subject = enrolment_terms::Subject::Appliance(name.clone());
        let class = class.as_deref().or(arguments.class.as_deref());
        match create(broker, name, subject, class, arguments).await {
            Ok(token) => created.push(token),
            Err(failure) => {
                // These would fail for all the others, too.
                let is_last = matches!(failure.exit_code(), ExitCode::Unavailable)
                    || failure.is_refused_caller();
                failed.push((name, failure));
                if is_last {
                    break;
                }
            }
        }
    }
    token_view::write_several(&created, look, out)?;
    let not_tried = lines.len() - created.len() - failed.len();
    if look.format.is_human_readable() && !created.is_empty() {
        let count = format_count(created.len() as u64, "token");
        look.note(&format!(
            "{count} created; this is the only time that they are shown. On each appliance: \
             vme enrol --token-file FILE {}",
            broker.address
        ));
    }
    let Some(code) = failed.first().map(|(_, failure)| failure.exit_code()) else {
        return Ok(());
    };
    for (name, failure) in &failed {
        crate::print_note(&format!("{name}: {failure}"));
    }
    Err(CliError::Many { failed: failed.len(), total: lines.len(), not_tried, code })
}

/// Revokes the credentials of appliances.
pub(crate) async fn revoke(
    broker: &Connection,
    named: &ApplianceNames,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let typed = names::split_at_commas(&named.names);
    if let Some(pattern) = typed.iter().find(|name| names::is_pattern(name)) {
        return Err(CliError::PatternNotAllowed { pattern: pattern.clone(), to: "revoke" });
    }
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for typed in &typed {
        let act = async |name| {
            let request = broker.unary(RevokeApplianceRequest { name });
            Ok(broker.identity().revoke_appliance(request).await?.into_inner().record_number)
        };
        match names::call_with_name(broker, typed, look, act).await {
            Ok((name, record_number)) => {
                done.push(Removal { kind: "appliance", name, record_number });
            }
            Err(failure) => failed.push((typed, failure)),
        }
    }
    let text = "is revoked: its key and tokens are invalid, and its sessions ended";
    removal::write(&done, typed.len(), text, look, out)?;
    removal::report_failures(failed)
}

#[cfg(test)]
mod tests;
