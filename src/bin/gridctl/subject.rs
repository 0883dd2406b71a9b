//! Formats and parses the subject of a record or an alert: an appliance, or the broker as `-`.
//!
//! Guarantees that nothing but the broker is shown as `-`: an older broker accepted that as a name,
//! so such an appliance is shown, and typed, with quotes. Does not know records or alerts.

/// The broker itself.
pub(crate) const BROKER_DASH: &str = "-";

/// An appliance that is named `-`.
pub(crate) const QUOTED_DASH: &str = "\"-\"";

/// Formats the contract's name, which is empty for the broker.
pub(crate) fn format(name: &str) -> &str {
    match name {
        "" => BROKER_DASH,
        BROKER_DASH => QUOTED_DASH,
        name => name,
    }
}

/// Parses a typed name into the contract's.
pub(crate) fn parse(typed: &str) -> &str {
    match typed {
        BROKER_DASH => "",
        QUOTED_DASH => BROKER_DASH,
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_but_the_broker_is_shown_as_a_dash_and_what_is_shown_can_be_typed() {
        for (name, expected) in [("", "-"), ("-", "\"-\""), ("db1", "db1"), ("--", "--")] {
            assert_eq!(format(name), expected);
            assert_eq!(parse(format(name)), name);
        }
    }
}
