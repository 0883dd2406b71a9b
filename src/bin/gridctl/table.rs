//! Writes tables for people row by row, so that a tail can be shown too.
//!
//! Guarantees that every cell is escaped and that a key (a name, a class, a number) is never
//! truncated: on a narrow terminal the least important columns are dropped, and the sentence in the
//! last column is wrapped. Elsewhere nothing is dropped. Columns only grow. Counts display columns:
//! wide characters are two, combining marks none. Does not know what the columns mean.

mod wrap;

use std::io::{self, Write};

use grid_broker::show::escape::escape;
use unicode_width::UnicodeWidthStr;

pub(crate) use wrap::wrap;

const GAP: usize = 2;
const RESET: &str = "\x1b[0m";

/// Columns are dropped until the sentence has this width, or all it needs. If it still has less, it
/// is written on its own lines.
const LAST_COLUMN_WIDTH_MIN: usize = 30;

/// The indentation of those lines.
const CONTINUATION_INDENT: usize = 4;

/// Maximum number of lines of a sentence in a table; the wide format truncates nothing.
const LAST_COLUMN_LINES_MAX: usize = 6;

/// One column.
#[derive(Debug)]
pub(crate) struct Column {
    /// Its title. In a column of times, `{zone}` is replaced by the time zone.
    pub(crate) title: &'static str,
    /// Its minimum width.
    pub(crate) width_min: usize,
    /// Whether its cells are right-aligned.
    pub(crate) is_right_aligned: bool,
    /// On a narrow terminal the column with the highest value is dropped first; 0 is never dropped.
    pub(crate) drop_priority: u8,
}

/// The style of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CellStyle {
    /// No style.
    #[default]
    None,
    /// Unimportant.
    Dim,
    /// Good.
    Green,
    /// A warning.
    Yellow,
    /// An error.
    Red,
    /// A fatal error.
    BoldRed,
    /// The most important text.
    Bold,
}

impl CellStyle {
    fn ansi_code(self) -> &'static str {
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

    fn apply(self, text: &str, colour: bool) -> String {
        if !colour || self == Self::None || text.is_empty() {
            return text.to_owned();
        }
        format!("{}{text}{RESET}", self.ansi_code())
    }
}

/// A cell, safe to print.
#[derive(Debug)]
pub(crate) struct TableCell {
    text: String,
    style: CellStyle,
}

impl TableCell {
    /// A cell of any text.
    pub(crate) fn new(text: &str) -> Self {
        Self { text: escape(text).into_owned(), style: CellStyle::None }
    }

    /// A cell with a style.
    pub(crate) fn styled(text: &str, light: CellStyle) -> Self {
        Self { style: light, ..Self::new(text) }
    }

    /// Its text in lines of `width`, styled if there is colour.
    pub(crate) fn lines(&self, width: usize, colour: bool) -> impl Iterator<Item = String> {
        let lines = wrap(&self.text, width, usize::MAX);
        lines.into_iter().map(move |line| self.style.apply(&line, colour))
    }

    /// Its text, styled if there is colour.
    pub(crate) fn render(&self, colour: bool) -> String {
        self.style.apply(&self.text, colour)
    }
}

/// A table that is being written.
#[derive(Debug)]
pub(crate) struct TextTable {
    columns: &'static [Column],
    titles: Vec<String>,
    widths: Vec<usize>,
    terminal_width: Option<usize>,
    has_colour: bool,
    has_titles: bool,
    /// The visible columns, known after the first rows.
    visible_columns: Option<Vec<usize>>,
}

impl TextTable {
    /// An empty table with times in `zone`; `screen` is the width of the terminal, if there is one.
    pub(crate) fn new(
        columns: &'static [Column],
        zone: &str,
        screen: Option<usize>,
        colour: bool,
    ) -> Self {
        let titles: Vec<_> =
            columns.iter().map(|column| column.title.replace("{zone}", zone)).collect();
        let widths = columns.iter().zip(&titles).map(|(it, title)| it.width_min.max(title.width()));
        let widths = widths.collect();
        Self {
            columns,
            titles,
            widths,
            terminal_width: screen,
            has_colour: colour,
            has_titles: true,
            visible_columns: None,
        }
    }

    /// The table without a header line.
    pub(crate) fn without_titles(mut self) -> Self {
        self.has_titles = false;
        self
    }

    /// Writes a batch of rows; the first batch is preceded by the header line.
    pub(crate) fn write_rows(
        &mut self,
        out: &mut dyn Write,
        rows: &[Vec<TableCell>],
    ) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.width());
            }
        }
        let is_first = self.visible_columns.is_none();
        let shown = self.visible_columns.take().unwrap_or_else(|| self.choose_columns());
        if is_first && self.has_titles {
            let titles: Vec<_> =
                self.titles.iter().map(|title| TableCell::styled(title, CellStyle::Bold)).collect();
            self.write_row(out, &shown, &titles)?;
        }
        rows.iter().try_for_each(|row| self.write_row(out, &shown, row))?;
        self.visible_columns = Some(shown);
        Ok(())
    }

    /// Chooses the columns that fit beside the sentence.
    fn choose_columns(&self) -> Vec<usize> {
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        let (Some(screen), Some(sentence)) = (self.terminal_width, self.widths.last()) else {
            return shown;
        };
        while screen.saturating_sub(self.width_before_last(&shown))
            < LAST_COLUMN_WIDTH_MIN.min(*sentence)
        {
            let least = shown.iter().copied().filter(|at| self.columns[*at].drop_priority > 0);
            let Some(least) = least.max_by_key(|at| self.columns[*at].drop_priority) else { break };
            shown.retain(|at| *at != least);
        }
        shown
    }

    /// The width of the columns before the last one.
    fn width_before_last(&self, shown: &[usize]) -> usize {
        let before = shown.split_last().map_or(&[][..], |(_, before)| before);
        before.iter().map(|at| self.widths[*at] + GAP).sum()
    }

    fn write_row(&self, out: &mut dyn Write, shown: &[usize], row: &[TableCell]) -> io::Result<()> {
        let Some((last, before)) = shown.split_last() else { return Ok(()) };
        let mut line = String::new();
        for at in before {
            let (cell, column) = (&row[*at], &self.columns[*at]);
            let padding = " ".repeat(self.widths[*at].saturating_sub(cell.text.width()));
            let text = cell.render(self.has_colour);
            let gap = " ".repeat(GAP);
            line.push_str(&match column.is_right_aligned {
                true => format!("{padding}{text}{gap}"),
                false => format!("{text}{padding}{gap}"),
            });
        }
        let (sentence, offset) = (&row[*last], self.width_before_last(shown));
        let Some(screen) = self.terminal_width else {
            line.push_str(&sentence.render(self.has_colour));
            return writeln!(out, "{}", line.trim_end_matches(' '));
        };
        let room = screen.saturating_sub(offset);
        let is_beside = room >= LAST_COLUMN_WIDTH_MIN.min(self.widths[*last]);
        let (indent, room) = if is_beside {
            (offset, room)
        } else {
            (CONTINUATION_INDENT, screen.saturating_sub(CONTINUATION_INDENT))
        };
        let pieces = wrap(&sentence.text, room.max(1), LAST_COLUMN_LINES_MAX);
        let mut pieces = pieces.iter().map(|piece| sentence.style.apply(piece, self.has_colour));
        if is_beside {
            line.push_str(&pieces.next().unwrap_or_default());
        }
        writeln!(out, "{}", line.trim_end_matches(' '))?;
        pieces.try_for_each(|piece| writeln!(out, "{}{piece}", " ".repeat(indent)))
    }
}

#[cfg(test)]
mod tests;
