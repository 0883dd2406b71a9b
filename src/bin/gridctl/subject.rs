//! Shows who a record or an alert is about, and reads the same where people type it.
//!
//! An appliance by its name, the broker itself by `-`. Guarantees that nothing else is shown as `-`: an
//! older broker took that for a name, and such an appliance has it in quotes, to be typed so. Knows
//! nothing of what is said about them.

/// The broker itself.
pub(crate) const BROKER: &str = "-";

/// An appliance of that very name.
pub(crate) const APPLIANCE_NAMED_SO: &str = "\"-\"";

/// The contract's name, which is empty for the broker, as it is shown.
pub(crate) fn shown(name: &str) -> &str {
    match name {
        "" => BROKER,
        BROKER => APPLIANCE_NAMED_SO,
        name => name,
    }
}

/// What was typed, as the contract has it.
pub(crate) fn named(typed: &str) -> &str {
    match typed {
        BROKER => "",
        APPLIANCE_NAMED_SO => BROKER,
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_but_the_broker_is_shown_as_a_dash_and_what_is_shown_can_be_typed() {
        for (name, expected) in [("", "-"), ("-", "\"-\""), ("db1", "db1"), ("--", "--")] {
            assert_eq!(shown(name), expected);
            assert_eq!(named(shown(name)), name);
        }
    }
}
