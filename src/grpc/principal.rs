//! Determines the principal of a call and checks its role. Every handler calls it first.
//!
//! Guarantees that a name comes from the credential, never from the message. There is one mode so far,
//! "trusts everyone on loopback": the name is in the request's metadata. Does not know what a principal
//! requests.

use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::client::{ADMINISTRATOR_METADATA, APPLIANCE_METADATA};
use crate::grid::values::id::ApplianceName;

/// An administrator's name if the client sends none.
const UNNAMED_ADMINISTRATOR: &str = "unnamed administrator";

/// Longest name of an administrator, in bytes.
const ADMINISTRATOR_BYTES_MAX: usize = 64;

/// What an administrator may do; each role includes the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Read.
    Viewer,
    /// Control appliances and mails.
    Operator,
    /// Everything.
    Admin,
}

/// The caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// An appliance.
    Appliance(ApplianceName),
    /// An administrator or orchestrator.
    Administrator {
        /// Their name.
        name: Box<str>,
        /// What they may do.
        role: Role,
    },
}

impl Principal {
    /// The caller, on a broker that trusts everyone on loopback.
    ///
    /// # Errors
    ///
    /// `UNAUTHENTICATED` if the appliance name is invalid.
    pub fn from_metadata(metadata: &MetadataMap) -> Result<Self, Status> {
        match (metadata.get(APPLIANCE_METADATA), metadata.get(ADMINISTRATOR_METADATA)) {
            (Some(name), _) => {
                let name = name.to_str().unwrap_or_default();
                ApplianceName::new(name).map(Self::Appliance).map_err(|error| {
                    unauthenticated(
                        "NOT_A_NAME",
                        &format!("metadata {APPLIANCE_METADATA} is not an appliance name: {error}"),
                    )
                })
            }
            (None, name) => {
                let name = name.and_then(|name| name.to_str().ok()).map(str::trim);
                let name = name.filter(|name| !name.is_empty()).unwrap_or(UNNAMED_ADMINISTRATOR);
                let end = name.floor_char_boundary(ADMINISTRATOR_BYTES_MAX);
                Ok(Self::Administrator { name: name[..end].into(), role: Role::Admin })
            }
        }
    }
}

/// The appliance that calls.
///
/// # Errors
///
/// `UNAUTHENTICATED` if the caller is not an appliance.
pub fn require_appliance(metadata: &MetadataMap) -> Result<ApplianceName, Status> {
    match Principal::from_metadata(metadata)? {
        Principal::Appliance(name) => Ok(name),
        Principal::Administrator { .. } => Err(unauthenticated(
            "NO_APPLIANCE",
            &format!(
                "missing appliance name: set metadata {APPLIANCE_METADATA} to the appliance's name"
            ),
        )),
    }
}

/// The name of the calling administrator, if the role suffices.
///
/// # Errors
///
/// `PERMISSION_DENIED` if it does not, or if the caller is an appliance.
pub fn require_role(metadata: &MetadataMap, needed: Role) -> Result<Box<str>, Status> {
    match Principal::from_metadata(metadata)? {
        Principal::Administrator { name, role } if role >= needed => Ok(name),
        Principal::Administrator { .. } | Principal::Appliance(_) => {
            let details = ErrorDetails::with_error_info("ROLE", super::status::DOMAIN, []);
            let text = format!("this needs an administrator with the role {needed:?} or above");
            Err(Status::with_error_details(Code::PermissionDenied, text, details))
        }
    }
}

fn unauthenticated(reason: &str, text: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, super::status::DOMAIN, []);
    Status::with_error_details(Code::Unauthenticated, text, details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_administrator_without_a_name_gets_the_default_name() {
        let by = |name: Option<&str>| {
            let mut metadata = MetadataMap::new();
            if let Some(name) = name {
                metadata.insert(ADMINISTRATOR_METADATA, name.parse().expect("metadata"));
            }
            require_role(&metadata, Role::Admin).expect("is an admin")
        };
        for none in [None, Some(""), Some("  ")] {
            assert_eq!(&*by(none), UNNAMED_ADMINISTRATOR, "{none:?}");
        }
        assert_eq!(&*by(Some("ann")), "ann");
        assert_eq!(by(Some(&"x".repeat(100))).len(), ADMINISTRATOR_BYTES_MAX);
    }
}
