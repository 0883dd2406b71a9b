//! `gridctl version`: prints the versions of gridctl and of the broker.
//!
//! Guarantees that gridctl's own version is printed even if no broker replies. Does not compare
//! them.

use std::io::Write;

use crate::connection::Connection;
use crate::error::CliError;
use crate::fields::{ObjectValue, OutputObject};
use crate::output::{ItemView, ListWriter, OutputOptions};
use crate::status;
use crate::table::TableCell;

/// The versions; that of the broker if it replied.
#[derive(Debug, Default)]
struct Versions {
    gridd: Option<(String, String)>,
}

const GRIDCTL: &str = env!("CARGO_PKG_VERSION");

/// Shows the versions.
pub(crate) async fn show(
    broker: Result<Connection, CliError>,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let fetched = async {
        let broker = broker?;
        let version = status::get_status(&broker).await?.version;
        Ok::<_, CliError>((version, broker.address))
    };
    let (gridd, failure) = match fetched.await {
        Ok(gridd) => (Some(gridd), None),
        Err(failure) => (None, Some(failure)),
    };
    if look.format.is_human_readable() {
        writeln!(out, "gridctl {GRIDCTL}")?;
        if let Some((version, address)) = &gridd {
            writeln!(out, "gridd   {} at {address}", TableCell::new(version).render(false))?;
        }
        out.flush()?;
    } else {
        let form = |versions: &Versions| {
            let (version, address) = match &versions.gridd {
                Some((version, address)) => (version.into(), address.into()),
                None => (ObjectValue::Null, ObjectValue::Null),
            };
            let fields = vec![("gridctl", GRIDCTL.into()), ("gridd", version), ("broker", address)];
            OutputObject { kind: "version", name: GRIDCTL.to_owned(), fields }
        };
        let shape = ItemView { columns: &[], cells: |_, _| Vec::new(), to_object: form };
        ListWriter::write_one(out, look, shape, &Versions { gridd })?;
    }
    failure.map_or(Ok(()), Err)
}
