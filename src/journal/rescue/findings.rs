//! What is wrong, told once each and not without end.

/// How many are kept; the rest is only counted.
const FINDINGS_RETAINED: usize = 100;

/// Findings, of which the first are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings<T> {
    kept: Vec<T>,
    all: u64,
}

impl<T> Default for Findings<T> {
    fn default() -> Self {
        Self { kept: Vec::new(), all: 0 }
    }
}

impl<T> Findings<T> {
    /// Adds one.
    pub fn push(&mut self, fault: T) {
        self.all += 1;
        if self.kept.len() < FINDINGS_RETAINED {
            self.kept.push(fault);
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all == 0
    }

    /// The first of them.
    pub fn retained(&self) -> &[T] {
        &self.kept
    }

    /// How many more there are.
    pub fn omitted(&self) -> u64 {
        self.all - self.kept.len() as u64
    }
}
