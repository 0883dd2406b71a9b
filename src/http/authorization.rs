//! Authorizes each request for a page, by the one table of roles.
//!
//! Guarantees that a page which is not in the table is not served, that `/livez` and `/readyz` answer
//! anybody, also while the broker starts, and that others need a token where callers need credentials.
//! Knows no page.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::sync::watch;

use crate::identity::authenticator::{AuthenticationMode, Authenticator, Denied};
use crate::identity::peer::Peer;
use crate::identity::roles::{self, Access};

/// What authorizes requests.
#[derive(Clone, Debug)]
pub struct PageAuthorization {
    /// Whether callers need credentials.
    pub mode: AuthenticationMode,
    /// Checks credentials; absent until the broker has started.
    pub authenticator: watch::Receiver<Option<Authenticator>>,
}

/// Adds the authorization of each request.
pub(super) fn authorize_requests(routes: Router, by: PageAuthorization) -> Router {
    routes.layer(from_fn_with_state(by, authorize))
}

async fn authorize(
    State(by): State<PageAuthorization>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(access) = roles::of_page(request.method().as_str(), request.uri().path()) else {
        return unlisted(request.uri().path());
    };
    if access == Access::Anyone || by.mode == AuthenticationMode::Off {
        return next.run(request).await;
    }
    let known = by.authenticator.borrow().clone();
    match known {
        None => {
            let text = "starting: the journal is being read, and nobody is known yet\n";
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
        Some(authenticator) => {
            let Some(peer) = request.extensions().get::<Peer>().cloned() else {
                let text = "the connection of this request is unknown: bug in gridd\n";
                return (StatusCode::INTERNAL_SERVER_ERROR, text).into_response();
            };
            let what = request.uri().path().to_owned();
            match authenticator.authorize(&peer, request.headers(), &what, Some(access)) {
                Ok(principal) => {
                    request.extensions_mut().insert(principal);
                    next.run(request).await
                }
                Err(denied) => rejection(&denied),
            }
        }
    }
}

/// A page that is not in the table, or not by this method.
fn unlisted(path: &str) -> Response {
    let methods = roles::methods_of_page(path);
    if let Some(allow) = HeaderValue::from_str(&methods).ok().filter(|it| !it.is_empty()) {
        let text = format!("this page has only {methods}\n");
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, allow)], text).into_response();
    }
    (StatusCode::NOT_FOUND, "there is no such page\n").into_response()
}

fn rejection(denied: &Denied) -> Response {
    let status = match denied {
        Denied::NoCredential { .. }
        | Denied::BadToken
        | Denied::NotAToken(_)
        | Denied::BadHeader
        | Denied::EnrolmentToken
        | Denied::NotAName(_)
        | Denied::NoName
        | Denied::Certificate(_) => StatusCode::UNAUTHORIZED,
        Denied::TooManyFailures => StatusCode::TOO_MANY_REQUESTS,
        Denied::OtherName { .. } | Denied::Forbidden { .. } | Denied::Unlisted => {
            StatusCode::FORBIDDEN
        }
    };
    let mut response = (status, format!("{denied}\n")).into_response();
    if status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer realm=\"gridd\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}
