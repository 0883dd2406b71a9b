//! Tables for people: columns parted by two spaces, row by row, so that a tail can be shown too.
//!
//! Guarantees that every cell is escaped and that a key (a name, a class, a number) is never cut: on
//! a narrow terminal the least important columns are left out, and the sentence, which is last, is
//! wrapped. Elsewhere nothing is left out. Columns only ever grow. Counts display columns: wide
//! characters are two, combining marks none. Does not know what the columns mean.

mod wrap;

use std::io::{self, Write};

use grid_broker::show::escape::escape;
use unicode_width::UnicodeWidthStr;

pub(crate) use wrap::wrapped;

const GAP: usize = 2;
const PLAIN: &str = "\x1b[0m";

/// Columns go until so much is left to the sentence, or all it needs; if even then there is less, it
/// stands on lines of its own.
const SENTENCE_WANTED: usize = 30;

/// How far those are indented.
const INDENT: usize = 4;

/// Most lines of one sentence in a table; what is cut is whole in the wide form.
const SENTENCE_LINES: usize = 6;

/// One column.
#[derive(Debug)]
pub(crate) struct Column {
    /// Its title. In that of a column of times `{zone}` stands for the zone they are read in.
    pub(crate) title: &'static str,
    /// Its width to begin with.
    pub(crate) least: usize,
    /// Whether its cells stand at its right edge.
    pub(crate) to_the_right: bool,
    /// Where room is short the column with the largest of these goes first; 0 never goes.
    pub(crate) drop: u8,
}

/// How a cell is lit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    /// Not at all.
    #[default]
    None,
    /// Of little weight.
    Dim,
    /// All is well.
    Green,
    /// Not as it should be.
    Yellow,
    /// Something failed.
    Red,
    /// Something failed for good.
    BoldRed,
    /// What to read first.
    Bold,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Dim => "\x1b[2m",
            Self::Green => "\x1b[32m",
            Self::Yellow => "\x1b[33m",
            Self::Red => "\x1b[31m",
            Self::BoldRed => "\x1b[1;31m",
            Self::Bold => "\x1b[1m",
        }
    }

    fn paint(self, text: &str, colour: bool) -> String {
        if !colour || self == Self::None || text.is_empty() {
            return text.to_owned();
        }
        format!("{}{text}{PLAIN}", self.code())
    }
}

/// One cell, safe to show.
#[derive(Debug)]
pub(crate) struct TableCell {
    text: String,
    style: Style,
}

impl TableCell {
    /// A cell of any text.
    pub(crate) fn new(text: &str) -> Self {
        Self { text: escape(text).into_owned(), style: Style::None }
    }

    /// The same, lit.
    pub(crate) fn styled(text: &str, light: Style) -> Self {
        Self { style: light, ..Self::new(text) }
    }

    /// Its text in lines of `width`, lit if there is colour.
    pub(crate) fn lines(&self, width: usize, colour: bool) -> impl Iterator<Item = String> {
        let lines = wrapped(&self.text, width, usize::MAX);
        lines.into_iter().map(move |line| self.style.paint(&line, colour))
    }

    /// Its text, lit if there is colour.
    pub(crate) fn shown(&self, colour: bool) -> String {
        self.style.paint(&self.text, colour)
    }
}

/// A table under way.
#[derive(Debug)]
pub(crate) struct Table {
    columns: &'static [Column],
    titles: Vec<String>,
    widths: Vec<usize>,
    screen: Option<usize>,
    colour: bool,
    has_titles: bool,
    /// The columns that are shown, once there were rows.
    shown: Option<Vec<usize>>,
}

impl Table {
    /// An empty table with times of that zone; `screen` is the terminal's width, if it is one.
    pub(crate) fn new(
        columns: &'static [Column],
        zone: &str,
        screen: Option<usize>,
        colour: bool,
    ) -> Self {
        let titles: Vec<_> =
            columns.iter().map(|column| column.title.replace("{zone}", zone)).collect();
        let widths = columns.iter().zip(&titles).map(|(it, title)| it.least.max(title.width()));
        let widths = widths.collect();
        Self { columns, titles, widths, screen, colour, has_titles: true, shown: None }
    }

    /// Without the line of titles.
    pub(crate) fn without_titles(mut self) -> Self {
        self.has_titles = false;
        self
    }

    /// Writes rows that are known together, below the titles if they are the first.
    pub(crate) fn rows(&mut self, out: &mut dyn Write, rows: &[Vec<TableCell>]) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.width());
            }
        }
        let is_first = self.shown.is_none();
        let shown = self.shown.take().unwrap_or_else(|| self.fitting());
        if is_first && self.has_titles {
            let titles: Vec<_> =
                self.titles.iter().map(|title| TableCell::styled(title, Style::Bold)).collect();
            self.row(out, &shown, &titles)?;
        }
        rows.iter().try_for_each(|row| self.row(out, &shown, row))?;
        self.shown = Some(shown);
        Ok(())
    }

    /// The columns for which there is room beside the sentence.
    fn fitting(&self) -> Vec<usize> {
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        let (Some(screen), Some(sentence)) = (self.screen, self.widths.last()) else {
            return shown;
        };
        while screen.saturating_sub(self.before(&shown)) < SENTENCE_WANTED.min(*sentence) {
            let least = shown.iter().copied().filter(|at| self.columns[*at].drop > 0);
            let Some(least) = least.max_by_key(|at| self.columns[*at].drop) else { break };
            shown.retain(|at| *at != least);
        }
        shown
    }

    /// How much of a line stands before the last column.
    fn before(&self, shown: &[usize]) -> usize {
        let before = shown.split_last().map_or(&[][..], |(_, before)| before);
        before.iter().map(|at| self.widths[*at] + GAP).sum()
    }

    fn row(&self, out: &mut dyn Write, shown: &[usize], row: &[TableCell]) -> io::Result<()> {
        let Some((last, before)) = shown.split_last() else { return Ok(()) };
        let mut line = String::new();
        for at in before {
            let (cell, column) = (&row[*at], &self.columns[*at]);
            let padding = " ".repeat(self.widths[*at].saturating_sub(cell.text.width()));
            let text = cell.shown(self.colour);
            let gap = " ".repeat(GAP);
            line.push_str(&match column.to_the_right {
                true => format!("{padding}{text}{gap}"),
                false => format!("{text}{padding}{gap}"),
            });
        }
        let (sentence, offset) = (&row[*last], self.before(shown));
        let Some(screen) = self.screen else {
            line.push_str(&sentence.shown(self.colour));
            return writeln!(out, "{}", line.trim_end_matches(' '));
        };
        let room = screen.saturating_sub(offset);
        let is_beside = room >= SENTENCE_WANTED.min(self.widths[*last]);
        let (indent, room) =
            if is_beside { (offset, room) } else { (INDENT, screen.saturating_sub(INDENT)) };
        let pieces = wrapped(&sentence.text, room.max(1), SENTENCE_LINES);
        let mut pieces = pieces.iter().map(|piece| sentence.style.paint(piece, self.colour));
        if is_beside {
            line.push_str(&pieces.next().unwrap_or_default());
        }
        writeln!(out, "{}", line.trim_end_matches(' '))?;
        pieces.try_for_each(|piece| writeln!(out, "{}{piece}", " ".repeat(indent)))
    }
}

#[cfg(test)]
mod tests;
