//! Defines the inputs about silences: that one is due, and commands of administrators.
//!
//! Decides nothing.

use crate::grid::model::silence::Silence;
use crate::grid::values::id::SilenceId;

/// An input about a silence.
#[derive(Clone, Debug, PartialEq)]
pub enum SilenceInput {
    /// Its end is near, or long ago.
    Due {
        /// Which silence.
        id: SilenceId,
    },
    /// An administrator adds one.
    Add {
        /// Who sent it.
        by: Box<str>,
        /// The silence; the broker gives its number, owner and time of creation.
        silence: Box<Silence>,
    },
    /// An administrator ends one.
    End {
        /// Who sent it.
        by: Box<str>,
        /// Which silence.
        id: SilenceId,
    },
}
