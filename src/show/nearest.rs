//! Which known word was probably meant?
//!
//! Guarantees a bounded effort whatever is given. Does not know what the words stand for.

use std::cmp::Reverse;

/// Nothing longer is a slip of one of our words, and the distance is quadratic.
const LONGEST: usize = 80;

/// A shorter part says too little to stand for the whole.
const SHORTEST_PART: usize = 3;

/// The known word that `given` was probably meant to be: a third of its letters may differ, or one
/// of the two holds the other. Of two that are equally near, the one that begins alike.
pub fn nearest<'known>(given: &str, known: &[&'known str]) -> Option<&'known str> {
    if given.len() > LONGEST {
        return None;
    }
    let given = given.to_lowercase().replace('-', "_");
    let near = |word: &'known str| {
        let known = word.to_lowercase();
        let distance = strsim::damerau_levenshtein(&given, &known);
        let is_part =
            given.len() >= SHORTEST_PART && (known.contains(&given) || given.contains(&known));
        let is_close = 3 * distance <= known.len().max(given.len());
        let alike = given.bytes().zip(known.bytes()).take_while(|(a, b)| a == b).count();
        (is_part || is_close).then_some((distance, Reverse(alike), word))
    };
    known.iter().filter_map(|word| near(word)).min().map(|(_, _, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_nonsense_is_not() {
        let known = ["boot_timeout", "dump_timeout", "GRIDD_RETENTION__AGE"];
        for (given, meant) in [
            ("boot_time", Some("boot_timeout")),
            ("timeout", Some("boot_timeout")),
            ("dump-timeout", Some("dump_timeout")),
            ("GRIDD_RETENTION_AGE", Some("GRIDD_RETENTION__AGE")),
            ("to", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, &known), meant, "{given}");
        }
        assert_eq!(nearest(&"boot_timeout".repeat(10), &known), None);
    }
}
