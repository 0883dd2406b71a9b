//! Decides by a threshold whether the value of a counter is a problem, with hysteresis.
//!
//! Guarantees that a value which stays between a limit and its clearing limit changes nothing, and
//! that each threshold has at least one limit, none that is not finite, and none that contradicts
//! another. Pure. Does not know alerts, appliances or time.

use thiserror::Error;

use crate::grid::values::event::Severity;

/// The part of a limit that a value must return inside before it counts as cleared: 5 %.
const HYSTERESIS: f64 = 0.05;

/// The limits of a counter. All are finite; `below < above`; the clearing limits are between them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    upper: Option<Limit>,
    lower: Option<Limit>,
    severity: Severity,
}

// All its numbers are finite, so equality is reflexive.
impl Eq for Threshold {}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Limit {
    crossed_beyond: f64,
    cleared_at: f64,
}

/// A threshold as it is configured, in the unit of its counter.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ThresholdKeys {
    /// A greater value is a problem.
    pub above: Option<f64>,
    /// A smaller value is a problem.
    pub below: Option<f64>,
    /// Up to this value a problem of `above` is cleared; by default 5 % below `above`.
    pub clear_below: Option<f64>,
    /// From this value on a problem of `below` is cleared; by default 5 % above `below`.
    pub clear_above: Option<f64>,
    /// The severity of the alert; by default a warning.
    pub severity: Option<Severity>,
}

/// Why a threshold is refused.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
pub enum ThresholdError {
    /// It has neither `above` nor `below`.
    #[error("has neither `above` nor `below`; set at least one of them")]
    NoLimit,
    /// A value is NaN or infinite.
    #[error("`{key}` is {value}; set a finite number")]
    NotFinite {
        /// Its key.
        key: &'static str,
        /// The value.
        value: f64,
    },
    /// A clearing limit without its limit.
    #[error("`{key}` has no meaning without `{missing}`; set both or neither")]
    NothingToClear {
        /// The key that is set.
        key: &'static str,
        /// The key that is not.
        missing: &'static str,
    },
    /// Two limits contradict each other.
    #[error(
        "`{lesser}` is {lesser_value} and `{greater}` is {greater_value}; `{lesser}` must be smaller"
    )]
    Contradiction {
        /// The key that must be smaller.
        lesser: &'static str,
        /// Its value.
        lesser_value: f64,
        /// The key that must be greater.
        greater: &'static str,
        /// Its value.
        greater_value: f64,
    },
}

impl ThresholdError {
    /// The key to change; `None`: the threshold as a whole.
    pub fn key(&self) -> Option<&'static str> {
        match self {
            Self::NoLimit => None,
            Self::NotFinite { key, .. } | Self::NothingToClear { key, .. } => Some(key),
            Self::Contradiction { lesser, .. } => Some(lesser),
        }
    }
}

/// Which limit a value is beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrossedLimit {
    /// It is greater than `above`.
    Above,
    /// It is smaller than `below`.
    Below,
}

/// What a value changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThresholdChange {
    /// The limit is crossed now and was not before: an alert opens, or the other limit's alert becomes
    /// this one.
    Crossed(CrossedLimit),
    /// No limit is crossed any more: the alert is over.
    Cleared,
    /// Nothing changes.
    Unchanged,
}

impl Threshold {
    /// Checks a threshold.
    ///
    /// # Errors
    ///
    /// Without a limit, with a number that is not finite, and with limits that contradict each other.
    pub fn new(keys: ThresholdKeys) -> Result<Self, ThresholdError> {
        let ThresholdKeys { above, below, clear_below, clear_above, severity } = keys;
        let named = [
            ("above", above),
            ("below", below),
            ("clear_below", clear_below),
            ("clear_above", clear_above),
        ];
        for (key, value) in named {
            if let Some(value) = value.filter(|it| !it.is_finite()) {
                return Err(ThresholdError::NotFinite { key, value });
            }
        }
        for (key, missing, set, limit) in [
            ("clear_below", "above", clear_below, above),
            ("clear_above", "below", clear_above, below),
        ] {
            if set.is_some() && limit.is_none() {
                return Err(ThresholdError::NothingToClear { key, missing });
            }
        }
        if above.is_none() && below.is_none() {
            return Err(ThresholdError::NoLimit);
        }
        ordered(("below", below), ("above", above), false)?;
        ordered(("clear_below", clear_below), ("above", above), true)?;
        ordered(("below", below), ("clear_above", clear_above), true)?;
        ordered(("below", below), ("clear_below", clear_below), false)?;
        ordered(("clear_above", clear_above), ("above", above), false)?;
        // Of two limits close to each other, the middle clears both.
        let middle = above.zip(below).map(|(above, below)| below + (above - below) / 2.0);
        let upper = above.map(|above| {
            let inside = above - above.abs() * HYSTERESIS;
            let default = middle.map_or(inside, |middle| inside.max(middle));
            Limit { crossed_beyond: above, cleared_at: clear_below.unwrap_or(default) }
        });
        let lower = below.map(|below| {
            let inside = below + below.abs() * HYSTERESIS;
            let default = middle.map_or(inside, |middle| inside.min(middle));
            Limit { crossed_beyond: below, cleared_at: clear_above.unwrap_or(default) }
        });
        Ok(Self { upper, lower, severity: severity.unwrap_or(Severity::Warn) })
    }

    /// The severity of its alert.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The value of that limit.
    pub fn limit(&self, which: CrossedLimit) -> Option<f64> {
        let limit = match which {
            CrossedLimit::Above => self.upper,
            CrossedLimit::Below => self.lower,
        };
        limit.map(|it| it.crossed_beyond)
    }

    /// What `value` changes if `crossed` was crossed before. A value that is not finite changes nothing.
    pub fn change(&self, crossed: Option<CrossedLimit>, value: f64) -> ThresholdChange {
        if !value.is_finite() {
            return ThresholdChange::Unchanged;
        }
        let beyond = if self.upper.is_some_and(|it| value > it.crossed_beyond) {
            Some(CrossedLimit::Above)
        } else if self.lower.is_some_and(|it| value < it.crossed_beyond) {
            Some(CrossedLimit::Below)
        } else {
            None
        };
        match (crossed, beyond) {
            (before, Some(now)) if before != Some(now) => ThresholdChange::Crossed(now),
            (_, Some(_)) | (None, None) => ThresholdChange::Unchanged,
            (Some(limit), None) if self.is_cleared(limit, value) => ThresholdChange::Cleared,
            (Some(_), None) => ThresholdChange::Unchanged,
        }
    }

    /// Whether that limit is cleared at that value. A limit that the settings do not have any more is.
    fn is_cleared(&self, crossed: CrossedLimit, value: f64) -> bool {
        match crossed {
            CrossedLimit::Above => self.upper.is_none_or(|it| value <= it.cleared_at),
            CrossedLimit::Below => self.lower.is_none_or(|it| value >= it.cleared_at),
        }
    }
}

fn ordered(
    (lesser, lesser_value): (&'static str, Option<f64>),
    (greater, greater_value): (&'static str, Option<f64>),
    may_be_equal: bool,
) -> Result<(), ThresholdError> {
    let Some((lesser_value, greater_value)) = lesser_value.zip(greater_value) else {
        return Ok(());
    };
    let is_ordered =
        if may_be_equal { lesser_value <= greater_value } else { lesser_value < greater_value };
    if is_ordered {
        Ok(())
    } else {
        Err(ThresholdError::Contradiction { lesser, lesser_value, greater, greater_value })
    }
}

#[cfg(test)]
mod tests {
    use super::CrossedLimit::{Above, Below};
    use super::ThresholdChange::{Cleared, Crossed, Unchanged};
    use super::*;

    fn threshold(above: Option<f64>, below: Option<f64>) -> Threshold {
        Threshold::new(ThresholdKeys { above, below, ..ThresholdKeys::default() })
            .expect("is valid")
    }

    #[test]
    fn each_row_of_state_and_value_has_its_change() {
        let upper = threshold(Some(100.0), None);
        let lower = threshold(None, Some(100.0));
        let both = threshold(Some(100.0), Some(10.0));
        let close = threshold(Some(100.0), Some(99.0));
        let zero = threshold(Some(0.0), None);
        let negative = threshold(Some(-100.0), None);
        for (row, limits, before, value, expected) in [
            (1, upper, None, 100.0, Unchanged),
            (2, upper, None, 100.1, Crossed(Above)),
            (3, upper, Some(Above), 100.1, Unchanged),
            (4, upper, Some(Above), 100.0, Unchanged),
            (5, upper, Some(Above), 95.1, Unchanged),
            (6, upper, Some(Above), 95.0, Cleared),
            (7, upper, None, 95.1, Unchanged),
            (8, lower, None, 100.0, Unchanged),
            (9, lower, None, 99.9, Crossed(Below)),
            (10, lower, Some(Below), 104.9, Unchanged),
            (11, lower, Some(Below), 105.0, Cleared),
            (12, both, Some(Above), 9.0, Crossed(Below)),
            (13, both, Some(Below), 101.0, Crossed(Above)),
            (14, both, Some(Above), 50.0, Cleared),
            (15, both, Some(Below), 10.4, Unchanged),
            (16, close, Some(Above), 99.6, Unchanged),
            (17, close, Some(Above), 99.5, Cleared),
            (18, close, Some(Below), 99.5, Cleared),
            (19, zero, None, 0.1, Crossed(Above)),
            (20, zero, Some(Above), 0.0, Cleared),
            (21, negative, Some(Above), -104.9, Unchanged),
            (22, negative, Some(Above), -105.0, Cleared),
            (23, upper, Some(Above), f64::NAN, Unchanged),
            (24, upper, None, f64::INFINITY, Unchanged),
            // The settings have lost the limit that was crossed.
            (25, lower, Some(Above), 150.0, Cleared),
            (26, lower, Some(Above), 50.0, Crossed(Below)),
        ] {
            assert_eq!(limits.change(before, value), expected, "row {row}");
        }
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused_with_their_key() {
        let keys = |above, below, clear_below, clear_above| ThresholdKeys {
            above,
            below,
            clear_below,
            clear_above,
            severity: None,
        };
        for (set, key, shown) in [
            (keys(None, None, None, None), None, "neither"),
            (keys(Some(f64::NAN), None, None, None), Some("above"), "finite"),
            (keys(None, Some(f64::INFINITY), None, None), Some("below"), "finite"),
            (keys(Some(5.0), Some(5.0), None, None), Some("below"), "must be smaller"),
            (keys(Some(5.0), Some(6.0), None, None), Some("below"), "`below` is 6"),
            (keys(Some(5.0), None, Some(6.0), None), Some("clear_below"), "`above` is 5"),
            (keys(None, Some(5.0), None, Some(4.0)), Some("below"), "`clear_above` is 4"),
            (keys(None, Some(5.0), Some(4.0), None), Some("clear_below"), "without `above`"),
            (keys(Some(5.0), None, None, Some(4.0)), Some("clear_above"), "without `below`"),
            (keys(Some(9.0), Some(5.0), Some(5.0), None), Some("below"), "`clear_below` is 5"),
            (keys(Some(9.0), Some(5.0), None, Some(9.0)), Some("clear_above"), "`above` is 9"),
        ] {
            let error = Threshold::new(set).expect_err("is refused");
            assert_eq!(error.key(), key, "{error}");
            assert!(error.to_string().contains(shown), "{error}");
        }
        let equal = Threshold::new(keys(Some(5.0), None, Some(5.0), None)).expect("no hysteresis");
        assert_eq!(equal.change(Some(Above), 5.0), Cleared);
        assert_eq!((equal.severity(), equal.limit(Above)), (Severity::Warn, Some(5.0)));
    }
}
