//! Writes a list of items in the requested format as they arrive.
//!
//! Guarantees that the output is complete (one JSON array, one header) once `finish` ran, that each
//! batch is flushed, and that machine-readable output contains no notes for people: those go to
//! stderr. Does not know the items: an [`ItemView`] formats them.

use std::io::{self, IsTerminal, Write};

use grid_broker::contract::proto::TimeInText;
use grid_broker::show::escape::escape;
use jiff::tz::TimeZone;

use crate::args::{ColourMode, GlobalArgs, OutputFormat};
use crate::fields::OutputObject;
use crate::table::{Column, TableCell, TextTable};
use crate::{csv, json, time_arg, udl};

/// Options of the output.
#[derive(Clone, Debug)]
pub(crate) struct OutputOptions {
    /// The format.
    pub(crate) format: OutputFormat,
    /// Whether to use colour.
    pub(crate) has_colour: bool,
    /// The terminal's width, if stdout is one.
    pub(crate) terminal_width: Option<usize>,
    /// The time zone in which times are shown.
    pub(crate) zone: TimeZone,
    /// Whether tables and CSV have a header line.
    pub(crate) has_titles: bool,
    /// Whether only names and no notes are printed.
    pub(crate) is_quiet: bool,
}

impl OutputOptions {
    /// The options by flags, environment and terminal.
    pub(crate) fn new(global: &GlobalArgs) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = match global.color {
            ColourMode::Always => true,
            ColourMode::Never => false,
            ColourMode::Auto => is_terminal && !is_set("NO_COLOR") && !is_dumb,
        };
        let zone = if global.utc { TimeZone::UTC } else { TimeZone::system() };
        let format = global.format();
        let screen = (is_terminal && format == OutputFormat::Table).then(terminal_width);
        let (titles, quiet) = (!global.no_headers, global.quiet);
        Self {
            format,
            has_colour: colour,
            terminal_width: screen,
            zone,
            has_titles: titles,
            is_quiet: quiet,
        }
    }

    /// The options of tests: a table in a pipe.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        let (format, zone) = (OutputFormat::Table, TimeZone::UTC);
        Self {
            format,
            has_colour: false,
            terminal_width: None,
            zone,
            has_titles: true,
            is_quiet: false,
        }
    }

    /// Prints a note to stderr, unless notes are off.
    pub(crate) fn note(&self, text: &str) {
        if !self.is_quiet {
            crate::print_note(text);
        }
    }
}

/// Below this width of a terminal, the room for sentences matters more than the year.
const NARROW_WIDTH: usize = 100;
const YEAR_PREFIX: &str = "2026-";

impl OutputOptions {
    /// A time in the reader's zone, with the zone's name; empty if unset.
    pub(crate) fn format_time(&self, time: &Option<prost_types::Timestamp>) -> String {
        let moment = time.as_ref().and_then(time_arg::from_proto);
        moment.map_or_else(String::new, |moment| time_arg::format_with_zone(moment, &self.zone))
    }

    /// A sentence of the broker with its times in the reader's zone.
    pub(crate) fn localize(&self, text: &str, times: &[TimeInText]) -> String {
        time_arg::localize_text(text, times, &self.zone, time_arg::now())
    }

    /// A time in a column, whose title names the zone: without its year on a narrow terminal.
    pub(crate) fn format_column_time(&self, time: &Option<prost_types::Timestamp>) -> String {
        let moment = time.as_ref().and_then(time_arg::from_proto);
        let mut shown =
            moment.map_or_else(String::new, |moment| time_arg::format_local(moment, &self.zone));
        if self.terminal_width.is_some_and(|screen| screen < NARROW_WIDTH) {
            shown.replace_range(..shown.len().min(YEAR_PREFIX.len()), "");
        }
        shown
    }
}

/// The width of the terminal; 80 if unknown.
fn terminal_width() -> usize {
    let columns = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| size.ws_col);
    if columns == 0 { 80 } else { columns.into() }
}

/// How items of one kind are shown.
#[derive(Debug)]
pub(crate) struct ItemView<T> {
    /// The columns of a table.
    pub(crate) columns: &'static [Column],
    /// The cells of an item's row.
    pub(crate) cells: fn(&T, &OutputOptions) -> Vec<TableCell>,
    /// The item as an object of machine-readable formats.
    pub(crate) to_object: fn(&T) -> OutputObject,
}

/// A list that is being written.
pub(crate) struct ListWriter<'a, T> {
    out: &'a mut dyn Write,
    options: &'a OutputOptions,
    view: ItemView<T>,
    table: TextTable,
    written: usize,
    /// Contains exactly one item: JSON has no array around it.
    is_single: bool,
}

impl<'a, T: Default> ListWriter<'a, T> {
    /// An empty list.
    pub(crate) fn new(out: &'a mut dyn Write, look: &'a OutputOptions, shape: ItemView<T>) -> Self {
        let zone = time_arg::zone_name(&look.zone, time_arg::now());
        let table = TextTable::new(shape.columns, &zone, look.terminal_width, look.has_colour);
        let table = if look.has_titles { table } else { table.without_titles() };
        Self { out, options: look, view: shape, table, written: 0, is_single: false }
    }

    /// Writes one item that was requested by name.
    pub(crate) fn write_one(
        out: &'a mut dyn Write,
        look: &'a OutputOptions,
        shape: ItemView<T>,
        item: &T,
    ) -> io::Result<()> {
        let mut listing = Self::new(out, look, shape);
        listing.is_single = true;
        listing.add(std::slice::from_ref(item))?;
        listing.finish("")
    }

    /// Writes a batch of items.
    pub(crate) fn add(&mut self, items: &[T]) -> io::Result<()> {
        match self.options.format {
            OutputFormat::Table | OutputFormat::Wide => {
                let cells = self.view.cells;
                let rows: Vec<_> = items.iter().map(|item| cells(item, self.options)).collect();
                self.table.write_rows(self.out, &rows)?;
            }
            OutputFormat::Json if self.is_single => {
                for item in items {
                    writeln!(self.out, "{}", json::object(&(self.view.to_object)(item))?)?;
                }
            }
            OutputFormat::Json => self.write_array(items)?,
            OutputFormat::Name => {
                for item in items {
                    writeln!(self.out, "{}", escape(&(self.view.to_object)(item).name))?;
                }
            }
            OutputFormat::Jsonl => {
                for item in items {
                    writeln!(self.out, "{}", json::object(&(self.view.to_object)(item))?)?;
                }
            }
            OutputFormat::Csv => {
                if self.written == 0 && !items.is_empty() {
                    self.write_csv_header()?;
                }
                for item in items {
                    writeln!(self.out, "{}", csv::line(&(self.view.to_object)(item))?)?;
                }
            }
            OutputFormat::Udl => {
                for item in items {
                    self.out.write_all(udl::entity(&(self.view.to_object)(item)).as_bytes())?;
                }
            }
        }
        self.written += items.len();
        self.out.flush()
    }

    /// Writes a note about the list at the current position.
    pub(crate) fn note(&mut self, text: &str) -> io::Result<()> {
        if self.options.format.is_human_readable() {
            writeln!(self.out, "{text}")?;
        } else {
            self.options.note(text);
        }
        self.out.flush()
    }

    /// Ends the list; prints `if_empty` to stderr if it is an empty list for people.
    pub(crate) fn finish(mut self, if_empty: &str) -> io::Result<()> {
        match (self.options.format, self.written) {
            (OutputFormat::Json, _) if self.is_single => {}
            (OutputFormat::Json, 0) => writeln!(self.out, "[]")?,
            (OutputFormat::Json, _) => writeln!(self.out, "\n]")?,
            (OutputFormat::Csv, 0) => self.write_csv_header()?,
            (OutputFormat::Table | OutputFormat::Wide, 0) if !if_empty.is_empty() => {
                self.options.note(if_empty)
            }
            (
                OutputFormat::Table
                | OutputFormat::Wide
                | OutputFormat::Csv
                | OutputFormat::Jsonl
                | OutputFormat::Name
                | OutputFormat::Udl,
                _,
            ) => {}
        }
        self.out.flush()
    }

    fn write_array(&mut self, items: &[T]) -> io::Result<()> {
        for (index, item) in items.iter().enumerate() {
            let before = if self.written + index == 0 { "[\n" } else { ",\n" };
            write!(self.out, "{before}{}", json::object(&(self.view.to_object)(item))?)?;
        }
        Ok(())
    }

    fn write_csv_header(&mut self) -> io::Result<()> {
        if !self.options.has_titles {
            return Ok(());
        }
        writeln!(self.out, "{}", csv::header(&(self.view.to_object)(&T::default())))
    }
}
