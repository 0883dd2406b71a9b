//! Authorizes each call before its handler runs, by the one table of roles.
//!
//! Guarantees that a handler runs only with a principal that has the access of its method, and that a
//! method that is not in the table is denied. Knows no handler.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::revocation::end_when_revoked;
use super::status::DOMAIN;
use crate::identity::authenticator::{Authenticator, Denied, RETRY_AFTER};
use crate::identity::peer::Peer;
use crate::identity::roles;

/// Adds the authorization of each call.
pub fn authorize_calls(routes: Router, authenticator: Authenticator) -> Router {
    routes.layer(from_fn_with_state(authenticator, authorize))
}

async fn authorize(
    State(authenticator): State<Authenticator>,
    mut request: Request,
    next: Next,
) -> Response {
    match principal_of(&authenticator, &request) {
        Ok(principal) => {
            request.extensions_mut().insert(principal.clone());
            // A handler asks again: the message of its call may come much later than the headers.
            request.extensions_mut().insert(authenticator.clone());
            let is_stream = roles::is_stream(request.uri().path());
            let response = next.run(request).await;
            // The reply to a call that ends its own credential is still sent.
            if is_stream {
                end_when_revoked(response, &authenticator, &principal)
            } else {
                response
            }
        }
        Err(status) => status.into_http(),
    }
}

fn principal_of(
    authenticator: &Authenticator,
    request: &Request,
) -> Result<crate::identity::peer::Principal, Status> {
    let path = request.uri().path();
    // Without a peer nobody is known: a bug, and nobody is served.
    let Some(peer) = request.extensions().get::<Peer>() else {
        return Err(Status::internal("the connection of this call is unknown: bug in gridd"));
    };
    let access = roles::of_call(path);
    // No handler runs for what is not in the table; the answer is that of every gRPC server.
    if access.is_none() {
        return Err(Status::unimplemented(""));
    }
    let headers: &HeaderMap = request.headers();
    let what = path.rsplit('/').next().unwrap_or(path);
    authenticator.authorize(peer, headers, what, access).map_err(|denied| status(&denied))
}

/// The status of a denied call. Programs find the reason in its details.
pub(super) fn status(denied: &Denied) -> Status {
    let code = match denied {
        Denied::NoCredential { .. }
        | Denied::BadToken
        | Denied::NotAToken(_)
        | Denied::BadHeader
        | Denied::EnrolmentToken
        | Denied::NotAName(_)
        | Denied::NoName
        | Denied::Certificate(_) => Code::Unauthenticated,
        Denied::TooManyFailures => Code::ResourceExhausted,
        Denied::OtherName { .. } | Denied::Forbidden { .. } | Denied::Unlisted => {
            Code::PermissionDenied
        }
    };
    let mut details = ErrorDetails::with_error_info(denied.reason(), DOMAIN, []);
    if *denied == Denied::TooManyFailures {
        details.set_retry_info(Some(RETRY_AFTER));
    }
    Status::with_error_details(code, denied.to_string(), details)
}
