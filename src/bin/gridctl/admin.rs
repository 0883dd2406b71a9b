//! `gridctl admin ...`: lists, creates, changes and removes administrators.
//!
//! Guarantees that an administrator without a token is reported as such: creating one takes two
//! calls. Does not check names and roles: the broker does.

use std::io::Write;

use grid_broker::contract::proto::{
    Administrator, CreateAdministratorRequest, EnrolmentTerms, ListAdministratorsRequest,
    RemoveAdministratorRequest, Role, SetAdministratorRequest, create_token_request,
    enrolment_terms,
};
use grid_broker::show::labels;

use crate::args::{AdminCreate, AdministratorCommand};
use crate::connection::Connection;
use crate::error::CliError;
use crate::fields::OutputObject;
use crate::output::{ItemView, ListWriter, OutputOptions};
use crate::removal::{self, Removal};
use crate::table::{Column, TableCell};
use crate::{token, token_view};

/// Runs the command.
pub(crate) async fn run(
    broker: &Connection,
    command: &AdministratorCommand,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    match command {
        AdministratorCommand::List => {
            let request = broker.unary(ListAdministratorsRequest {});
            let reply = broker.identity().list_administrators(request).await?.into_inner();
            let mut listing = ListWriter::new(out, look, view());
            listing.add(&reply.administrators)?;
            Ok(listing.finish("there are no administrators")?)
        }
        AdministratorCommand::Create(arguments) => create(broker, arguments, look, out).await,
        AdministratorCommand::Set { name, role } => set(broker, name, *role, look, out).await,
        AdministratorCommand::Remove { names } => remove(broker, names, look, out).await,
    }
}

async fn create(
    broker: &Connection,
    arguments: &AdminCreate,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    use create_token_request::Subject;
    let AdminCreate { name, role, valid, certificate } = arguments;
    let request = CreateAdministratorRequest { name: name.clone(), role: (*role).into() };
    let request = broker.unary(request);
    let record = broker.identity().create_administrator(request).await?.into_inner().record_number;
    let subject = if *certificate {
        let subject = Some(enrolment_terms::Subject::Administrator(name.clone()));
        Subject::Enrolment(EnrolmentTerms { subject, ..EnrolmentTerms::default() })
    } else {
        Subject::Administrator(name.clone())
    };
    let created = token::create_token(broker, name, subject, *valid).await;
    let created = created.map_err(|failure| CliError::AdministratorWithoutToken {
        name: name.clone(),
        failure: Box::new(failure),
    })?;
    token_view::write_one(&created, look, out)?;
    if look.format.is_human_readable() {
        let role = labels::role((*role).into()).unwrap_or_default();
        let (id, valid) = (&created.info.id, created.validity(look));
        look.note(&format!("{name} is created with the role {role} (record {record})"));
        look.note(&format!(
            "this is the only time that the token is shown (id {id}); it is valid {valid}"
        ));
        look.note(&format!("{name} logs in by: gridctl login {}", broker.address));
    }
    Ok(())
}

async fn set(
    broker: &Connection,
    name: &str,
    role: Role,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let request = SetAdministratorRequest { name: name.to_owned(), role: role.into() };
    let request = broker.unary(request);
    let reply = broker.identity().set_administrator(request).await?.into_inner();
    let role = labels::role(role.into()).unwrap_or_default();
    let done = [Removal {
        kind: "administrator",
        name: name.to_owned(),
        record_number: reply.record_number,
    }];
    removal::write(&done, 1, &format!("has the role {role}"), look, out)
}

async fn remove(
    broker: &Connection,
    names: &[String],
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for name in names {
        let request = broker.unary(RemoveAdministratorRequest { name: name.clone() });
        match broker.identity().remove_administrator(request).await {
            Ok(reply) => done.push(Removal {
                kind: "administrator",
                name: name.clone(),
                record_number: reply.into_inner().record_number,
            }),
            Err(status) => failed.push((name, CliError::from(status))),
        }
    }
    let text = "is removed: all credentials are invalid";
    removal::write(&done, names.len(), text, look, out)?;
    removal::report_failures(failed)
}

fn view() -> ItemView<Administrator> {
    ItemView { columns: COLUMNS, cells, to_object: object }
}

const COLUMNS: &[Column] = &[
    Column { title: "administrator", width_min: 16, is_right_aligned: false, drop_priority: 0 },
    Column { title: "role", width_min: 8, is_right_aligned: false, drop_priority: 0 },
    Column { title: "created {zone}", width_min: 0, is_right_aligned: false, drop_priority: 1 },
];

fn cells(administrator: &Administrator, look: &OutputOptions) -> Vec<TableCell> {
    vec![
        TableCell::new(&administrator.name),
        TableCell::new(&labels::role(administrator.role).unwrap_or_default()),
        TableCell::new(&look.format_column_time(&administrator.created_at)),
    ]
}

fn object(administrator: &Administrator) -> OutputObject {
    let Administrator { name, role, created_at } = administrator;
    let fields = vec![
        ("name", name.into()),
        ("role", labels::role(*role).into()),
        ("created_at", created_at.into()),
    ];
    OutputObject { kind: "administrator", name: name.clone(), fields }
}

#[cfg(test)]
mod tests;
