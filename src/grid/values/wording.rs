//! Compares texts, ignoring numbers and spinners.
//!
//! Guarantees that digits, units after them, punctuation and the characters of a spinner make no
//! difference: `| 12 s, 3.4MB/s` equals `/ 13 s, 3.5MB/s`. Does not know what the texts are about.

/// Whether both texts have the same words.
pub fn is_same_wording(one: &str, other: &str) -> bool {
    one == other || significant_words(one).eq(significant_words(other))
}

/// A word of at most this many letters right after a number is its unit: `s`, `min`, `MiB`.
const UNIT_LETTERS_MAX: usize = 3;

/// The words of a text: letters, up to the first digit of each, without units.
fn significant_words(text: &str) -> impl Iterator<Item = String> + '_ {
    let mut is_behind_number = false;
    text.split_whitespace().filter_map(move |part| {
        let letters = part.chars().take_while(|c| !c.is_numeric()).filter(|c| c.is_alphabetic());
        let word: String = letters.collect();
        let is_unit = is_behind_number && word.chars().count() <= UNIT_LETTERS_MAX;
        is_behind_number = part.ends_with(char::is_numeric);
        (!word.is_empty() && !is_unit).then_some(word)
    })
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
            ("checking", "checking 7 s"),
            ("checking 9 s", "checking 1 min 10 s"),
            ("\u{280b} checking", "\u{2819} checking"),
            ("12 s, 3.4MB/s", "13 s, 998kB/s"),
            ("00:00:59 elapsed", "00:01:00 elapsed"),
            ("", ""),
            ("", "...."),
            ("1/90", "2/90"),
        ] {
            assert!(is_same_wording(one, other), "{one:?} {other:?}");
        }
        for (one, other) in [
            ("checking", "linking"),
            ("checking sda1", "checking sdb1"),
            ("pass one", "pass two"),
            ("", "checking"),
            ("\u{e4}", "\u{f6}"),
        ] {
            assert!(!is_same_wording(one, other), "{one:?} {other:?}");
        }
    }
}
