//! Ends the streams of a credential that does not hold any more.
//!
//! Guarantees that sessions, tails and watches end at once when their credential is revoked, rotated,
//! changed or ends, with a status that says which, also if their client reads nothing; and that a call
//! whose message arrives after that is not executed. Every change of a credential wakes them. Costs calls
//! on a broker that trusts loopback nothing. Knows no handler.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::status::DOMAIN;
use crate::clock::wall_now;
use crate::grid::values::time::Timestamp;
use crate::identity::authenticator::Authenticator;
use crate::identity::peer::{Credential, Principal};

/// A credential is checked at least this often, since clocks may be set.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// And at most this often without a change, since its end may have been moved by a clock that was set.
const CHECK_PAUSE: Duration = Duration::from_secs(1);

/// Completes when a credential does not hold any more, with the status that says so.
pub(super) type Revocation = Pin<Box<dyn Future<Output = Status> + Send>>;

/// The revocation of a caller's credential; it never comes on a broker that trusts loopback.
pub(super) fn of(authenticator: Option<&Authenticator>, principal: &Principal) -> Revocation {
    match authenticator {
        Some(authenticator) if principal.credential != Credential::Loopback => {
            Box::pin(revoked(authenticator.clone(), principal.clone()))
        }
        Some(_) | None => Box::pin(std::future::pending()),
    }
}

/// Ends the response when the credential of its call does not hold any more.
pub(super) fn end_when_revoked(
    response: Response,
    authenticator: &Authenticator,
    principal: &Principal,
) -> Response {
    if principal.credential == Credential::Loopback || response.body().is_end_stream() {
        return response;
    }
    let ending = of(Some(authenticator), principal);
    response.map(|body| Body::new(RevocableBody { body, ending, is_over: false }))
}

/// Completes when the credential does not hold any more, with the status that says so.
async fn revoked(authenticator: Authenticator, principal: Principal) -> Status {
    let mut changes = authenticator.credentials().generation();
    loop {
        // The first time too: it may have been revoked since the call was authorized.
        if !authenticator.still_holds(&principal) {
            return status(&principal);
        }
        let left = expires_at(&principal).map(|end| end.since(wall_now()));
        let pause = left.map_or(CHECK_INTERVAL, |left| left.clamp(CHECK_PAUSE, CHECK_INTERVAL));
        // A closed channel: the broker ends.
        let changed = tokio::time::timeout(pause, changes.changed()).await;
        if let Ok(Err(_)) = changed {
            return std::future::pending().await;
        }
    }
}

fn expires_at(principal: &Principal) -> Option<Timestamp> {
    match &principal.credential {
        Credential::Loopback => None,
        Credential::Token { expires_at, .. } => *expires_at,
        Credential::Certificate(certificate) => Some(certificate.expires_at),
    }
}

/// A client with a renewed certificate comes back; one whose credential was revoked need not try.
pub(super) fn status(principal: &Principal) -> Status {
    let has_ended = expires_at(principal).is_some_and(|end| end <= wall_now());
    let (code, reason, why) = if has_ended {
        (Code::Unavailable, "CREDENTIAL_ENDED", "has ended: connect again with the renewed one")
    } else {
        (Code::Unauthenticated, "CREDENTIAL_REVOKED", "was revoked, replaced or changed")
    };
    let what = match &principal.credential {
        Credential::Loopback => "the trust in loopback".to_owned(),
        Credential::Token { id, .. } => format!("token {id}"),
        Credential::Certificate(certificate) => {
            format!("the certificate of {}", certificate.subject)
        }
    };
    let details = ErrorDetails::with_error_info(reason, DOMAIN, []);
    Status::with_error_details(code, format!("{what} {why}"), details)
}

/// A response that may be ended.
struct RevocableBody {
    body: Body,
    ending: Revocation,
    is_over: bool,
}

impl HttpBody for RevocableBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(status) = self.ending.as_mut().poll(context) {
            self.is_over = true;
            // Dropped at once: its handler ends with it.
            self.body = Body::empty();
            let mut trailers = HeaderMap::new();
            return match status.add_header(&mut trailers) {
                Ok(()) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Err(status) => Poll::Ready(Some(Err(axum::Error::new(status)))),
            };
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // It may end early.
        SizeHint::default()
    }
}
