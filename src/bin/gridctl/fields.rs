//! What the broker answered, as named values that every machine format writes in the same way.
//!
//! Guarantees the contract's own names in the contract's order, and that a form of one kind always
//! has the same keys: an unset message, time or enum is null, an unset string is empty, an unset
//! number 0. Deliberately does not know of JSON, CSV or UDL, nor of tables for people.

/// One named thing with its values.
#[derive(Debug)]
pub(crate) struct FieldObject {
    /// What it is: `record`, `appliance`, `broker`.
    pub(crate) entity: &'static str,
    /// Which one.
    pub(crate) name: String,
    /// Its values, in the contract's order.
    pub(crate) fields: Fields,
}

/// Named values in order.
pub(crate) type Fields = Vec<(&'static str, ObjectValue)>;

/// One value.
#[derive(Debug)]
pub(crate) enum ObjectValue {
    /// Not there.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Number(u64),
    /// A measured number.
    Real(f64),
    /// Text, a word or a time.
    Text(String),
    /// Several.
    List(Vec<ObjectValue>),
    /// A message within the message, if it is there.
    Object(Option<Fields>),
}

impl ObjectValue {
    /// Whether it is one value, which fits into a cell.
    pub(crate) fn is_scalar(&self) -> bool {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Real(_) | Self::Text(_) => true,
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
        Self::Real(value)
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
