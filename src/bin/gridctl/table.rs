//! Tables for people: columns parted by two spaces, row by row, so that a tail can be shown too.
//!
//! Guarantees that every cell is escaped, that on a terminal no line is wider than it (the cut is
//! marked `…`), and that nothing is cut elsewhere. Columns only ever grow. Counts display columns:
//! wide characters are two, combining marks none. Does not know what the columns mean.

use std::io::{self, Write};

use grid_broker::show::escape::escape;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const GAP: usize = 2;
const PLAIN: &str = "\x1b[0m";

/// One column.
#[derive(Debug)]
pub(crate) struct Column {
    /// Its title. In that of a column of times `{zone}` stands for the zone they are read in.
    pub(crate) title: &'static str,
    /// Its width to begin with.
    pub(crate) least: usize,
    /// Whether its cells stand at its right edge.
    pub(crate) to_the_right: bool,
    /// Whether it may be cut to make room for the last: at its front, since names of a grid differ
    /// at their end (`shop:main.db1`).
    pub(crate) shrinks: bool,
}

/// How a cell is lit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Light {
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

impl Light {
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

    fn shine(self, text: &str, colour: bool) -> String {
        if !colour || self == Self::None || text.is_empty() {
            return text.to_owned();
        }
        format!("{}{text}{PLAIN}", self.code())
    }
}

/// One cell, safe to show.
#[derive(Debug)]
pub(crate) struct Cell {
    text: String,
    light: Light,
}

impl Cell {
    /// A cell of any text.
    pub(crate) fn new(text: &str) -> Self {
        Self { text: escape(text).into_owned(), light: Light::None }
    }

    /// The same, lit.
    pub(crate) fn lit(text: &str, light: Light) -> Self {
        Self { light, ..Self::new(text) }
    }

    /// Its text, lit if there is colour.
    pub(crate) fn shown(&self, colour: bool) -> String {
        self.light.shine(&self.text, colour)
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
    is_begun: bool,
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
        Self { columns, titles, widths, screen, colour, is_begun: false }
    }

    /// Writes rows that are known together, below the titles if they are the first.
    pub(crate) fn rows(&mut self, out: &mut dyn Write, rows: &[Vec<Cell>]) -> io::Result<()> {
        for row in rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.width());
            }
        }
        let widths = self.fitted();
        if !self.is_begun && !rows.is_empty() {
            self.is_begun = true;
            let titles: Vec<_> =
                self.titles.iter().map(|title| Cell::lit(title, Light::Bold)).collect();
            self.line(out, &widths, &titles)?;
        }
        rows.iter().try_for_each(|row| self.line(out, &widths, row))
    }

    /// The widths that leave to the last column, the sentence, what it needs or half of the screen.
    fn fitted(&self) -> Vec<usize> {
        let mut widths = self.widths.clone();
        let (Some(screen), Some(last)) = (self.screen, widths.len().checked_sub(1)) else {
            return widths;
        };
        let others =
            |widths: &[usize]| widths[..last].iter().map(|width| width + GAP).sum::<usize>();
        while others(&widths) > screen / 2 && others(&widths) + self.widths[last] > screen {
            let widest = (0..last)
                .filter(|place| self.columns[*place].shrinks)
                .filter(|place| widths[*place] > self.columns[*place].least)
                .max_by_key(|place| widths[*place]);
            let Some(widest) = widest else { break };
            widths[widest] -= 1;
        }
        widths
    }

    fn line(&self, out: &mut dyn Write, widths: &[usize], row: &[Cell]) -> io::Result<()> {
        let mut line = String::new();
        let mut room = self.screen.unwrap_or(usize::MAX);
        let last = row.len().saturating_sub(1);
        for (place, (cell, column)) in row.iter().zip(self.columns).enumerate() {
            let width = if place == last { room } else { widths[place].min(room) };
            let text = if column.shrinks {
                cut_at_front(&cell.text, width)
            } else {
                cut(&cell.text, width)
            };
            let padding = match place == last {
                true => 0,
                false => (width - text.width().min(width) + GAP).min(room - text.width().min(room)),
            };
            let shown = cell.light.shine(&text, self.colour);
            if column.to_the_right {
                let gap = padding.min(GAP);
                line.push_str(&format!("{}{shown}{}", " ".repeat(padding - gap), " ".repeat(gap)));
            } else {
                line.push_str(&format!("{shown}{}", " ".repeat(padding)));
            }
            room -= (text.width() + padding).min(room);
        }
        writeln!(out, "{}", line.trim_end_matches(' '))
    }
}

/// `text`, or as much of it as fits into `width` display columns with a `…`.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut shown = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used + 1 > width {
            break;
        }
        shown.push(c);
    }
    if width > 0 {
        shown.push('…');
    }
    shown
}

/// `text`, or as much of its end as fits into `width` display columns behind a `…`.
fn cut_at_front(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 1;
    let mut from = text.len();
    for (place, c) in text.char_indices().rev() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        // A mark without its letter would sit on the `…`.
        if c.width() != Some(0) {
            from = place;
        }
    }
    if width == 0 { String::new() } else { format!("…{}", &text[from..]) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COLUMNS: &[Column] = &[
        Column { title: "number", least: 6, to_the_right: true, shrinks: false },
        Column { title: "appliance", least: 9, to_the_right: false, shrinks: true },
        Column { title: "what", least: 0, to_the_right: false, shrinks: false },
    ];

    fn shown(screen: Option<usize>, colour: bool, rows: &[[&str; 3]]) -> String {
        let mut out = Vec::new();
        let rows: Vec<_> = rows
            .iter()
            .map(|[number, name, what]| {
                vec![Cell::new(number), Cell::lit(name, Light::Red), Cell::new(what)]
            })
            .collect();
        Table::new(COLUMNS, "UTC", screen, colour).rows(&mut out, &rows).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn cutting_counts_display_columns() {
        for (text, width, expected) in [
            ("plain", 5, "plain"),
            ("plain", 4, "pla…"),
            ("数据库", 6, "数据库"),
            ("数据库", 5, "数据…"),
            ("数据库", 4, "数…"),
            ("e\u{301}e\u{301}e\u{301}", 3, "e\u{301}e\u{301}e\u{301}"),
            ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…"),
            ("🚀🚀", 3, "🚀…"),
            ("plain", 1, "…"),
            ("plain", 0, ""),
        ] {
            assert_eq!(cut(text, width), expected, "{text} in {width}");
        }
        for (text, width, expected) in [
            ("shop:main.db1", 13, "shop:main.db1"),
            ("shop:main.db1", 9, "…main.db1"),
            ("数据库", 4, "…库"),
            ("xe\u{301}e\u{301}", 2, "…e\u{301}"),
            ("plain", 1, "…"),
            ("plain", 0, ""),
        ] {
            assert_eq!(cut_at_front(text, width), expected, "{text} in {width}");
        }
    }

    #[test]
    fn columns_line_up_whatever_stands_in_them() {
        let rows = [["1", "db", "a\nb"], ["1234567", "数据库-main", ""]];
        assert_eq!(
            shown(None, false, &rows),
            " number  appliance    what\n      1  db           a\\nb\n1234567  数据库-main\n"
        );
    }

    #[test]
    fn a_terminal_cuts_and_a_pipe_does_not() {
        let long = "x".repeat(200);
        let rows = [["1", "shop:main.db1-with-a-long-name", long.as_str()]];
        for line in shown(Some(60), false, &rows).lines() {
            assert!(line.width() <= 60, "{line}");
        }
        assert!(shown(Some(60), false, &rows).contains(" …b1-with-a-long-name  x"));
        assert!(shown(None, false, &rows).contains(&long));
        let rows = [["1", "shop:main.db1-with-a-long-name", "short"]];
        assert!(shown(Some(60), false, &rows).contains(" shop:main.db1-with-a-long-name  short"));
    }

    #[test]
    fn colour_surrounds_the_text_only() {
        assert!(shown(Some(60), true, &[["1", "db", "x"]]).contains("\x1b[31mdb\x1b[0m         x"));
        assert!(!shown(Some(60), false, &[["1", "db", "x"]]).contains('\x1b'));
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(
            screen in 0_usize..100, name in any::<String>(), what in any::<String>()
        ) {
            let table = shown(Some(screen), false, &[["1", &name, &what], ["2", "db", "x"]]);
            prop_assert_eq!(table.lines().count(), 3);
            for line in table.lines() {
                prop_assert!(line.width() <= screen, "{:?}", line);
            }
        }
    }
}
