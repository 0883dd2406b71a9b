//! Compares what texts say, without what counts or turns in them.
//!
//! Guarantees that digits, units behind them, punctuation and the signs of a spinner make no
//! difference: `| 12 s, 3.4MB/s` says the same as `/ 13 s, 3.5MB/s`. Does not know what the texts are about.

/// Whether both say the same in words.
pub fn says_the_same(one: &str, other: &str) -> bool {
    one == other || words(one).eq(words(other))
}

/// The words of a text: letters, up to the first digit of each.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    let word = |part: &str| -> String {
        part.chars().take_while(|c| !c.is_numeric()).filter(|c| c.is_alphabetic()).collect()
    };
    text.split_whitespace().map(word).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_units_and_spinners_make_no_difference_and_words_do() {
        for (one, other) in [
            ("checking table 7", "checking table 8"),
            ("| checking", "/ checking"),
            ("checking -", "checking \\"),
            ("checking.", "checking..."),
            ("\u{280b} checking", "\u{2819} checking"),
            ("12 s, 3.4MB/s", "13 s, 998kB/s"),
            ("00:00:59 elapsed", "00:01:00 elapsed"),
            ("", ""),
            ("", "...."),
            ("1/90", "2/90"),
        ] {
            assert!(says_the_same(one, other), "{one:?} {other:?}");
        }
        for (one, other) in [
            ("checking", "linking"),
            ("checking sda1", "checking sdb1"),
            ("pass one", "pass two"),
            ("", "checking"),
            ("\u{e4}", "\u{f6}"),
        ] {
            assert!(!says_the_same(one, other), "{one:?} {other:?}");
        }
    }
}
