//! Prints what was removed or revoked, and reports what failed.
//!
//! Guarantees one form for all kinds of things: a sentence for people, name and record number for
//! scripts, nothing with `--quiet`. Removes nothing.

use std::io::Write;

use crate::error::CliError;
use crate::fields::OutputObject;
use crate::output::{ItemView, ListWriter, OutputOptions};
use crate::table::TableCell;

/// Something that was removed or revoked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Removal {
    /// Its kind, for objects: `appliance`, `token`.
    pub(crate) kind: &'static str,
    /// Its name.
    pub(crate) name: String,
    /// The record of it.
    pub(crate) record_number: u64,
}

/// Prints what was done: `NAME TEXT (record N)`.
pub(crate) fn write(
    done: &[Removal],
    requested: usize,
    text: &str,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    if look.is_quiet || done.is_empty() {
        return Ok(());
    }
    if look.format.is_human_readable() {
        for Removal { name, record_number, .. } in done {
            let name = TableCell::new(name).render(false);
            writeln!(out, "{name} {text} (record {record_number})")?;
        }
        return Ok(out.flush()?);
    }
    if let ([one], 1) = (done, requested) {
        return Ok(ListWriter::write_one(out, look, view(), one)?);
    }
    let mut listing = ListWriter::new(out, look, view());
    listing.add(done)?;
    Ok(listing.finish("")?)
}

fn view() -> ItemView<Removal> {
    let to_object = |removed: &Removal| {
        let Removal { kind, name, record_number } = removed;
        let fields = vec![("name", name.into()), ("record_number", (*record_number).into())];
        OutputObject { kind, name: name.clone(), fields }
    };
    ItemView { columns: &[], cells: |_, _| Vec::new(), to_object }
}

/// Prints all failures except the first, and returns that one.
pub(crate) fn report_failures(failed: Vec<(&String, CliError)>) -> Result<(), CliError> {
    let mut failed = failed.into_iter();
    let Some((_, first)) = failed.next() else { return Ok(()) };
    for (name, failure) in failed {
        crate::print_note(&format!("{}: {failure}", TableCell::new(name).render(false)));
    }
    Err(first)
}
