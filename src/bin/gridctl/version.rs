//! `gridctl version`: which gridctl this is, and which gridd answers.
//!
//! Guarantees that gridctl's own version is told even if no broker answers.

use std::io::Write;

use crate::broker::Broker;
use crate::failure::Failure;
use crate::form::{Form, Value};
use crate::listing::{Listing, Look, Shape};
use crate::status;
use crate::table::Cell;

/// The versions; the broker's if it told.
#[derive(Debug, Default)]
struct Versions {
    gridd: Option<(String, String)>,
}

const GRIDCTL: &str = env!("CARGO_PKG_VERSION");

/// Shows them.
pub(crate) async fn show(
    broker: Result<Broker, Failure>,
    look: &Look,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let asked = async {
        let broker = broker?;
        let version = status::asked(&broker).await?.version;
        Ok::<_, Failure>((version, broker.address))
    };
    let (gridd, failure) = match asked.await {
        Ok(gridd) => (Some(gridd), None),
        Err(failure) => (None, Some(failure)),
    };
    if look.format.is_for_people() {
        writeln!(out, "gridctl {GRIDCTL}")?;
        if let Some((version, address)) = &gridd {
            writeln!(out, "gridd   {} at {address}", Cell::new(version).shown(false))?;
        }
        out.flush()?;
    } else {
        let form = |versions: &Versions| {
            let (version, address) = match &versions.gridd {
                Some((version, address)) => (version.into(), address.into()),
                None => (Value::Null, Value::Null),
            };
            let fields = vec![("gridctl", GRIDCTL.into()), ("gridd", version), ("broker", address)];
            Form { entity: "version", name: GRIDCTL.to_owned(), fields }
        };
        let shape = Shape { columns: &[], cells: |_, _| Vec::new(), form };
        Listing::one(out, look, shape, &Versions { gridd })?;
    }
    failure.map_or(Ok(()), Err)
}
