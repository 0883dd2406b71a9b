//! Objects of named values, which all machine-readable formats print.
//!
//! Guarantees the names and order of the contract, and that objects of one kind always have the
//! same keys: an unset message, time or enum is null, an unset string is empty, an unset number is
//! 0. Does not know JSON, CSV, UDL or tables.

/// A named object with its fields.
#[derive(Debug)]
pub(crate) struct OutputObject {
    /// Its kind: `record`, `appliance`, `broker`.
    pub(crate) kind: &'static str,
    /// Its name.
    pub(crate) name: String,
    /// Its fields, in the contract's order.
    pub(crate) fields: Fields,
}

/// Named values in order.
pub(crate) type Fields = Vec<(&'static str, ObjectValue)>;

/// One value.
#[derive(Debug)]
pub(crate) enum ObjectValue {
    /// Unset.
    Null,
    /// A Boolean.
    Bool(bool),
    /// A whole number.
    Number(u64),
    /// A floating-point number.
    Float(f64),
    /// A text, an enum value or a time.
    Text(String),
    /// A list.
    List(Vec<ObjectValue>),
    /// A nested message, if it is set.
    Object(Option<Fields>),
}

impl ObjectValue {
    /// Whether it is a single value, which fits into a cell.
    pub(crate) fn is_scalar(&self) -> bool {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Float(_) | Self::Text(_) => true,
            Self::List(_) | Self::Object(_) => false,
        }
    }
}

impl From<bool> for ObjectValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for ObjectValue {
    fn from(value: u64) -> Self {
        Self::Number(value)
    }
}

impl From<u32> for ObjectValue {
    fn from(value: u32) -> Self {
        Self::Number(value.into())
    }
}

impl From<f64> for ObjectValue {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for ObjectValue {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<&String> for ObjectValue {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

impl From<Option<String>> for ObjectValue {
    fn from(value: Option<String>) -> Self {
        value.map_or(Self::Null, Self::Text)
    }
}

impl From<&Vec<String>> for ObjectValue {
    fn from(values: &Vec<String>) -> Self {
        Self::List(values.iter().map(Self::from).collect())
    }
}

impl From<&Option<prost_types::Timestamp>> for ObjectValue {
    fn from(time: &Option<prost_types::Timestamp>) -> Self {
        time.as_ref().and_then(crate::time_arg::rfc3339).into()
    }
}
