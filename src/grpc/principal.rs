//! Reads the principal of a call, which the authorization layer has determined.
//!
//! Guarantees that a handler serves nobody without a principal. Every handler asks it first. Does not
//! know roles: a call that arrives has the access that the table of roles demands.

use tonic::{Code, Request, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::revocation;
use super::status::DOMAIN;
use crate::contract::APPLIANCE_METADATA;
use crate::grid::values::id::ApplianceName;
use crate::grid::values::identity::Role;
use crate::identity::authenticator::Authenticator;
use crate::identity::peer::{Caller, Principal};

/// Who calls.
///
/// # Errors
///
/// `INTERNAL` if no layer has determined it: a bug, and nobody is served. `UNAUTHENTICATED` if the
/// credential was revoked since, while the message of the call was on its way.
pub(super) fn of<T>(request: &Request<T>) -> Result<&Principal, Status> {
    let missing = || Status::internal("the caller of this call is unknown: bug in gridd");
    let principal = request.extensions().get::<Principal>().ok_or_else(missing)?;
    match request.extensions().get::<Authenticator>() {
        Some(authenticator) if !authenticator.still_holds(principal) => {
            Err(revocation::status(principal))
        }
        Some(_) | None => Ok(principal),
    }
}

/// The appliance that calls.
///
/// # Errors
///
/// `UNAUTHENTICATED` if the caller is not an appliance.
pub(super) fn appliance<T>(request: &Request<T>) -> Result<ApplianceName, Status> {
    match &of(request)?.caller {
        Caller::Appliance(name) => Ok(name.clone()),
        Caller::Administrator { .. } | Caller::Stranger => {
            let details = ErrorDetails::with_error_info("NO_APPLIANCE", DOMAIN, []);
            let text = format!(
                "missing appliance name: set metadata {APPLIANCE_METADATA} to the appliance's name"
            );
            Err(Status::with_error_details(Code::Unauthenticated, text, details))
        }
    }
}

/// The administrator that calls, as records name them.
///
/// # Errors
///
/// `PERMISSION_DENIED` if the caller is not an administrator.
pub(super) fn administrator<T>(request: &Request<T>) -> Result<Box<str>, Status> {
    let principal = of(request)?;
    match &principal.caller {
        Caller::Administrator { .. } => Ok(principal.for_record()),
        Caller::Appliance(_) | Caller::Stranger => Err(forbidden(principal)),
    }
}

/// Whether the caller is an administrator with the role admin.
pub(super) fn is_admin<T>(request: &Request<T>) -> bool {
    of(request).is_ok_and(|principal| {
        matches!(&principal.caller, Caller::Administrator { role: Role::Admin, .. })
    })
}

/// Only administrators may do this.
pub(super) fn forbidden(principal: &Principal) -> Status {
    let details = ErrorDetails::with_error_info("ROLE", DOMAIN, []);
    let text = format!("{} may not do this: it needs an administrator", principal.caller);
    Status::with_error_details(Code::PermissionDenied, text, details)
}

/// A request of an administrator with every right, as the layer passes it on.
#[cfg(test)]
pub(super) fn request_of_admin<T>(message: T) -> Request<T> {
    use crate::identity::peer::Credential;

    let mut request = Request::new(message);
    request.extensions_mut().insert(Principal {
        caller: Caller::Administrator { name: "ann".into(), role: Role::Admin },
        credential: Credential::Loopback,
        address: std::net::Ipv4Addr::LOCALHOST.into(),
    });
    request
}
