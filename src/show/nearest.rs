//! What was probably meant by a word that is none of those that exist?
//!
//! Guarantees that nothing far-fetched is suggested. Does not know what the words are for.

/// Nothing long is a slip of one of our short words, and the distance is quadratic.
const LONGEST: usize = 40;

/// Shorter parts of a word are no hint of it.
const SHORTEST_PART: usize = 3;

/// The known word that `given` was probably meant to be: a third of its letters may differ, or one
/// of the two holds the other.
pub fn nearest<'known>(given: &str, known: &[&'known str]) -> Option<&'known str> {
    if given.len() > LONGEST {
        return None;
    }
    let given = given.to_lowercase().replace('-', "_");
    let near = |word: &&str| {
        let word = word.replace('-', "_");
        let distance = strsim::damerau_levenshtein(&given, &word);
        let part =
            given.len() >= SHORTEST_PART && (word.contains(&given) || given.contains(&*word));
        let close = 3 * distance <= word.len().max(given.len());
        (part || close).then_some(distance)
    };
    known
        .iter()
        .filter_map(|word| near(word).map(|distance| (distance, *word)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_nothing_far_fetched() {
        let known = ["log", "list", "appliance", "check-config"];
        assert_eq!(nearest("lgo", &known), Some("log"));
        assert_eq!(nearest("LSIT", &known), Some("list"));
        assert_eq!(nearest("chek-config", &known), Some("check-config"));
        assert_eq!(nearest("check_config", &known), Some("check-config"));
        assert_eq!(nearest("x", &known), None);
        assert_eq!(nearest("", &known), None);
        assert_eq!(nearest(&"log".repeat(20), &known), None);
    }
}
