//! Collects findings in a bounded list.
//!
//! Guarantees that memory is bounded, however many findings there are. Does not know what they are.

/// The number of findings that are stored; the rest is only counted.
const FINDINGS_RETAINED: usize = 100;

/// Findings, of which the first are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings<T> {
    retained: Vec<T>,
    total: u64,
}

impl<T> Default for Findings<T> {
    fn default() -> Self {
        Self { retained: Vec::new(), total: 0 }
    }
}

impl<T> Findings<T> {
    /// Adds a finding.
    pub fn push(&mut self, finding: T) {
        self.total += 1;
        if self.retained.len() < FINDINGS_RETAINED {
            self.retained.push(finding);
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The first findings, which are stored.
    pub fn retained(&self) -> &[T] {
        &self.retained
    }

    /// The number of findings that are not stored.
    pub fn omitted(&self) -> u64 {
        self.total - self.retained.len() as u64
    }
}
