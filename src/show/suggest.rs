//! Suggests the known identifier that a misspelt one was probably meant to be.
//!
//! Guarantees bounded effort whatever the input. Does not know what the identifiers mean.

use std::cmp::Reverse;

/// Longer input is no typo of an identifier of ours, and the distance takes quadratic time.
const LENGTH_MAX: usize = 80;

/// A shorter part is too ambiguous to stand for the whole.
const PART_LENGTH_MIN: usize = 3;

/// The known identifier closest to `given`: a third of its letters may differ, or one of the two
/// contains the other. Of two at the same distance, the one with the longer common prefix.
pub fn suggest<'known>(given: &str, known: &[&'known str]) -> Option<&'known str> {
    if given.len() > LENGTH_MAX {
        return None;
    }
    let given = given.to_lowercase().replace('-', "_");
    let rank = |candidate: &'known str| {
        let known = candidate.to_lowercase();
        let distance = strsim::damerau_levenshtein(&given, &known);
        let is_part =
            given.len() >= PART_LENGTH_MIN && (known.contains(&given) || given.contains(&known));
        let is_close = 3 * distance <= known.len().max(given.len());
        let alike = given.bytes().zip(known.bytes()).take_while(|(a, b)| a == b).count();
        (is_part || is_close).then_some((distance, Reverse(alike), candidate))
    };
    known.iter().filter_map(|candidate| rank(candidate)).min().map(|(_, _, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_recognised_and_nonsense_is_not() {
        let known = ["boot_timeout", "dump_timeout", "GRIDD_RETENTION__AGE"];
        for (given, meant) in [
            ("boot_time", Some("boot_timeout")),
            ("timeout", Some("boot_timeout")),
            ("dump-timeout", Some("dump_timeout")),
            ("GRIDD_RETENTION_AGE", Some("GRIDD_RETENTION__AGE")),
            ("to", None),
            ("", None),
        ] {
            assert_eq!(suggest(given, &known), meant, "{given}");
        }
        assert_eq!(suggest(&"boot_timeout".repeat(10), &known), None);
    }
}
