//! Writes a list of things in the format asked for, as it comes.
//!
//! Guarantees that what was written is whole (one JSON array, one header) once `finish` ran, and
//! that each thing is flushed with its batch. Machine formats are never mixed with words for
//! people: those go to stderr there. Does not know what the things are: a [`View`] says.

use std::io::{self, IsTerminal, Write};

use grid_broker::contract::proto::TimeInText;
use grid_broker::show::escape::escape;
use jiff::tz::TimeZone;

use crate::args::{Colour, Global, OutputFormat};
use crate::fields::FieldObject;
use crate::table::{Column, Table, TableCell};
use crate::{csv, json, time_arg, udl};

/// How output is to look.
#[derive(Clone, Debug)]
pub(crate) struct OutputOptions {
    /// The format.
    pub(crate) format: OutputFormat,
    /// Whether to use colour.
    pub(crate) colour: bool,
    /// The terminal's width, if stdout is one.
    pub(crate) screen: Option<usize>,
    /// On whose wall times are read.
    pub(crate) zone: TimeZone,
    /// Whether tables and CSV have a line of titles.
    pub(crate) titles: bool,
    /// Whether names alone are wanted, and no notes.
    pub(crate) quiet: bool,
}

impl OutputOptions {
    /// As the flags, the environment and the terminal want it.
    pub(crate) fn new(global: &Global) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = match global.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => is_terminal && !is_set("NO_COLOR") && !is_dumb,
        };
        let zone = if global.utc { TimeZone::UTC } else { TimeZone::system() };
        let format = global.format();
        let screen = (is_terminal && format == OutputFormat::Table).then(screen_width);
        let (titles, quiet) = (!global.no_headers, global.quiet);
        Self { format, colour, screen, zone, titles, quiet }
    }

    /// As tests have it: a table in a pipe.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        let (format, zone) = (OutputFormat::Table, TimeZone::UTC);
        Self { format, colour: false, screen: None, zone, titles: true, quiet: false }
    }

    /// Says what is to be known beside the answer, unless that is not wanted.
    pub(crate) fn note(&self, words: &str) {
        if !self.quiet {
            crate::print_error(words);
        }
    }
}

/// Below this width of a terminal there is more need of room for sentences than for the year.
const NARROW: usize = 100;
const YEAR: &str = "2026-";

impl OutputOptions {
    /// A time on the reader's wall, with the zone; nothing if there is none.
    pub(crate) fn time(&self, time: &Option<prost_types::Timestamp>) -> String {
        let moment = time.as_ref().and_then(time_arg::from_proto);
        moment.map_or_else(String::new, |moment| time_arg::with_zone(moment, &self.zone))
    }

    /// A sentence of the broker, its times on the reader's wall.
    pub(crate) fn sentence(&self, text: &str, times: &[TimeInText]) -> String {
        time_arg::format_sentence(text, times, &self.zone, time_arg::now())
    }

    /// The same for a column, whose title names the zone: without its year on a narrow terminal.
    pub(crate) fn time_in_column(&self, time: &Option<prost_types::Timestamp>) -> String {
        let moment = time.as_ref().and_then(time_arg::from_proto);
        let mut shown =
            moment.map_or_else(String::new, |moment| time_arg::format_local(moment, &self.zone));
        if self.screen.is_some_and(|screen| screen < NARROW) {
            shown.replace_range(..shown.len().min(YEAR.len()), "");
        }
        shown
    }
}

/// The terminal's width; 80 if it does not say.
fn screen_width() -> usize {
    let told = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| size.ws_col);
    if told == 0 { 80 } else { told.into() }
}

/// How things of one kind are shown.
#[derive(Debug)]
pub(crate) struct View<T> {
    /// For people.
    pub(crate) columns: &'static [Column],
    /// For people.
    pub(crate) cells: fn(&T, &OutputOptions) -> Vec<TableCell>,
    /// For machines.
    pub(crate) object: fn(&T) -> FieldObject,
}

/// A list under way.
pub(crate) struct ListWriter<'a, T> {
    out: &'a mut dyn Write,
    look: &'a OutputOptions,
    shape: View<T>,
    table: Table,
    written: usize,
    /// It is of one thing: JSON has no array around it.
    is_of_one: bool,
}

impl<'a, T: Default> ListWriter<'a, T> {
    /// An empty list.
    pub(crate) fn new(out: &'a mut dyn Write, look: &'a OutputOptions, shape: View<T>) -> Self {
        let zone = time_arg::zone_name(&look.zone, time_arg::now());
        let table = Table::new(shape.columns, &zone, look.screen, look.colour);
        let table = if look.titles { table } else { table.without_titles() };
        Self { out, look, shape, table, written: 0, is_of_one: false }
    }

    /// Shows one thing that was asked for by its name.
    pub(crate) fn one(
        out: &'a mut dyn Write,
        look: &'a OutputOptions,
        shape: View<T>,
        thing: &T,
    ) -> io::Result<()> {
        let mut listing = Self::new(out, look, shape);
        listing.is_of_one = true;
        listing.add(std::slice::from_ref(thing))?;
        listing.finish("")
    }

    /// Adds things that came together.
    pub(crate) fn add(&mut self, things: &[T]) -> io::Result<()> {
        match self.look.format {
            OutputFormat::Table | OutputFormat::Wide => {
                let cells = self.shape.cells;
                let rows: Vec<_> = things.iter().map(|thing| cells(thing, self.look)).collect();
                self.table.rows(self.out, &rows)?;
            }
            OutputFormat::Json if self.is_of_one => {
                for thing in things {
                    writeln!(self.out, "{}", json::object(&(self.shape.object)(thing))?)?;
                }
            }
            OutputFormat::Json => self.array(things)?,
            OutputFormat::Name => {
                for thing in things {
                    writeln!(self.out, "{}", escape(&(self.shape.object)(thing).name))?;
                }
            }
            OutputFormat::Jsonl => {
                for thing in things {
                    writeln!(self.out, "{}", json::object(&(self.shape.object)(thing))?)?;
                }
            }
            OutputFormat::Csv => {
                if self.written == 0 && !things.is_empty() {
                    self.csv_header()?;
                }
                for thing in things {
                    writeln!(self.out, "{}", csv::line(&(self.shape.object)(thing))?)?;
                }
            }
            OutputFormat::Udl => {
                for thing in things {
                    self.out.write_all(udl::entity(&(self.shape.object)(thing)).as_bytes())?;
                }
            }
        }
        self.written += things.len();
        self.out.flush()
    }

    /// Says something about the list, at this place of it.
    pub(crate) fn note(&mut self, words: &str) -> io::Result<()> {
        if self.look.format.is_for_people() {
            writeln!(self.out, "{words}")?;
        } else {
            self.look.note(words);
        }
        self.out.flush()
    }

    /// Ends the list; `nothing` is said on stderr if it is empty and for people.
    pub(crate) fn finish(mut self, nothing: &str) -> io::Result<()> {
        match (self.look.format, self.written) {
            (OutputFormat::Json, _) if self.is_of_one => {}
            (OutputFormat::Json, 0) => writeln!(self.out, "[]")?,
            (OutputFormat::Json, _) => writeln!(self.out, "\n]")?,
            (OutputFormat::Csv, 0) => self.csv_header()?,
            (OutputFormat::Table | OutputFormat::Wide, 0) if !nothing.is_empty() => {
                self.look.note(nothing)
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

    fn array(&mut self, things: &[T]) -> io::Result<()> {
        for (place, thing) in things.iter().enumerate() {
            let before = if self.written + place == 0 { "[\n" } else { ",\n" };
            write!(self.out, "{before}{}", json::object(&(self.shape.object)(thing))?)?;
        }
        Ok(())
    }

    fn csv_header(&mut self) -> io::Result<()> {
        if !self.look.titles {
            return Ok(());
        }
        writeln!(self.out, "{}", csv::header(&(self.shape.object)(&T::default())))
    }
}
