//! `gridctl version`: which gridctl this is, and which gridd answers.
//!
//! Guarantees that gridctl's own version is told even if no broker answers.

use std::io::Write;

use crate::connection::Connection;
use crate::error::CliError;
use crate::fields::{FieldObject, ObjectValue};
use crate::output::{ListWriter, OutputOptions, View};
use crate::status;
use crate::table::TableCell;

/// The versions; the broker's if it told.
#[derive(Debug, Default)]
struct Versions {
    gridd: Option<(String, String)>,
}

const GRIDCTL: &str = env!("CARGO_PKG_VERSION");

/// Shows them.
pub(crate) async fn show(
    broker: Result<Connection, CliError>,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let asked = async {
        let broker = broker?;
        let version = status::asked(&broker).await?.version;
        Ok::<_, CliError>((version, broker.address))
    };
    let (gridd, failure) = match asked.await {
        Ok(gridd) => (Some(gridd), None),
        Err(failure) => (None, Some(failure)),
    };
    if look.format.is_for_people() {
        writeln!(out, "gridctl {GRIDCTL}")?;
        if let Some((version, address)) = &gridd {
            writeln!(out, "gridd   {} at {address}", TableCell::new(version).shown(false))?;
        }
        out.flush()?;
    } else {
        let form = |versions: &Versions| {
            let (version, address) = match &versions.gridd {
                Some((version, address)) => (version.into(), address.into()),
                None => (ObjectValue::Null, ObjectValue::Null),
            };
            let fields = vec![("gridctl", GRIDCTL.into()), ("gridd", version), ("broker", address)];
            FieldObject { entity: "version", name: GRIDCTL.to_owned(), fields }
        };
        let shape = View { columns: &[], cells: |_, _| Vec::new(), object: form };
        ListWriter::one(out, look, shape, &Versions { gridd })?;
    }
    failure.map_or(Ok(()), Err)
}
