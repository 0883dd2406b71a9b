//! Draws the values of a counter as one line of text.
//!
//! Guarantees one character per step and at most as many as asked for, whatever the values. Does not
//! know terminals; who prints it chooses the characters.

/// The characters of a graph, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphStyle {
    /// Block characters of Unicode.
    Blocks,
    /// Characters that every terminal and mail program shows.
    Ascii,
}

impl GraphStyle {
    fn characters(self) -> &'static [char] {
        match self {
            Self::Blocks => &['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
            Self::Ascii => &['_', '.', ',', '-', '=', '+', '*', '#'],
        }
    }
}

/// What a graph shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// The line of characters, oldest value first.
    pub line: String,
    /// The smallest value.
    pub min: f64,
    /// The greatest value.
    pub max: f64,
    /// The newest value.
    pub last: f64,
}

/// Draws values, oldest first, in at most `width` characters; `None`: there is no finite value.
///
/// If there are more values than characters, each shows the greatest of its share: a peak is what
/// crosses a threshold.
pub fn draw(values: &[f64], width: usize, style: GraphStyle) -> Option<Graph> {
    let finite: Vec<f64> = values.iter().copied().filter(|it| it.is_finite()).collect();
    let last = *finite.last()?;
    let min = finite.iter().copied().fold(f64::INFINITY, f64::min);
    let max = finite.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let share = finite.len().div_ceil(width.max(1));
    let peaks = finite.chunks(share).map(|it| it.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    let line = peaks.map(|it| character(it, min, max, style.characters())).collect();
    Some(Graph { line, min, max, last })
}

/// The character of a value: the lowest one whose level it does not exceed.
fn character(value: f64, min: f64, max: f64, characters: &[char]) -> char {
    // Halves, since the distance of two finite values may not be finite.
    let (height, range) = (value / 2.0 - min / 2.0, max / 2.0 - min / 2.0);
    let mut level = 0.0;
    let step = 1.0 / f64::from(u32::try_from(characters.len()).unwrap_or(1));
    for shown in characters {
        level += step;
        if range <= 0.0 || height / range <= level {
            return *shown;
        }
    }
    characters.last().copied().unwrap_or(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_characters_of_their_height() {
        for (values, width, style, line) in [
            (
                &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0][..],
                20,
                GraphStyle::Blocks,
                "▁▁▂▃▄▅▆▇█",
            ),
            (&[0.0, 8.0, 4.0][..], 20, GraphStyle::Ascii, "_#-"),
            (&[5.0, 5.0][..], 20, GraphStyle::Ascii, "__"),
            (&[0.0, 8.0, 0.0, 0.0][..], 2, GraphStyle::Ascii, "#_"),
            (&[-f64::MAX, f64::MAX][..], 2, GraphStyle::Ascii, "_#"),
            (&[f64::NAN, 1.0][..], 0, GraphStyle::Ascii, "_"),
        ] {
            assert_eq!(draw(values, width, style).expect("has values").line, line);
        }
    }

    #[test]
    fn the_ends_are_told_and_nothing_has_no_graph() {
        let graph = draw(&[3.0, -1.5, 9.0, 2.0], 60, GraphStyle::Blocks).expect("has values");
        assert_eq!((graph.min, graph.max, graph.last), (-1.5, 9.0, 2.0));
        assert_eq!(draw(&[], 60, GraphStyle::Blocks), None);
        assert_eq!(draw(&[f64::NAN], 60, GraphStyle::Ascii), None);
    }
}
