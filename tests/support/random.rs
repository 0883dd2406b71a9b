//! Random numbers that a seed repeats, the seed of a run, and counts that a variable can raise.
//!
//! Guarantees that the same seed gives the same numbers on every machine and with every version of
//! every crate: seeds are printed, and stand in RELIABILITY.md. Generators of crates do not promise
//! that, so this one is SplitMix64, which is a few lines. Does not know what is drawn.

use grid_broker::clock::wall_now;

/// A generator of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The generator of that seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// An index below `bound`, which is not 0.
    pub(crate) fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).expect("it is below a length")
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Any byte.
    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// One of these, of which there is at least one.
    pub(crate) fn one_of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// Bytes that do not compress.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| self.next().to_le_bytes());
        words.take(length.div_ceil(8)).flatten().take(length).collect()
    }
}

/// The seed of this run: `GRID_SEED`, or the clock. Printed, so that a failure can be repeated.
pub(crate) fn seed(what: &str) -> u64 {
    let seed = number("GRID_SEED").unwrap_or_else(|| wall_now().as_micros().unsigned_abs());
    say(&format!("{what}: GRID_SEED={seed}"));
    seed
}

/// How often something is tried: what the variable says, or the default. Never 0, which would prove
/// nothing.
pub(crate) fn count(variable: &str, default: usize) -> usize {
    let count = number(variable).unwrap_or(default);
    assert!(count > 0, "{variable} is 0: nothing would be tested");
    count
}

/// The variable's number, if it is set.
pub(crate) fn number<T: std::str::FromStr>(variable: &str) -> Option<T> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse().ok();
    Some(number.unwrap_or_else(|| panic!("{variable} is `{text}`, not a number")))
}

/// Prints the figures of a run.
pub(crate) fn say(text: &str) {
    #[expect(clippy::print_stderr, reason = "the figures of a run")]
    {
        eprintln!("{text}");
    }
}
