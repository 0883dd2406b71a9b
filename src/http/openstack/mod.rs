//! Answers OpenStack's clients: the part of Nova's API that is about crash dumps, and as much of Keystone
//! and Glance as its clients insist on.
//!
//! ```text
//! origin -> route -> credential -> version -> media type -> body -> project -> operation
//! ```
//!
//! Guarantees Nova's order of checks; that nobody without a credential has any effect; and that a path
//! or action without a row in the table of roles does nothing. docs/openstack.md lists what differs from
//! Nova. Does not know how a crash dump is triggered.

mod actions;
mod call;
mod credential;
mod fault;
mod flavors;
mod identity;
mod instance_actions;
mod json;
mod microversion;
mod moment;
mod route;
mod servers;
mod state;
pub(super) mod text;
mod versions;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use serde_json::json;
use tokio::sync::watch;
use uuid::Uuid;

use self::actions::Requested;
use self::call::{Call, Project, View};
use self::credential::HeaderCredential;
use self::fault::{AnswerHeaders, ApiReply, Fault, Service};
use self::identity::LoginRequest;
use self::microversion::{Microversion, VersionError, negotiate};
use self::route::{Operation, Route, service_of};
use self::text::Query;
use super::ServedBroker;
use super::authorization::PageAuthorization;
use crate::identity::authenticator::{Authenticator, Denied};
use crate::identity::peer::{Peer, Principal};

/// Longest body of a request: oslo.middleware's default of `max_request_body_size`.
const BODY_BYTES_MAX: usize = 112 << 10;

/// Media types of a body that are JSON.
const JSON_TYPES: [&str; 3] =
    ["application/json", "application/vnd.openstack.compute+json", "text/plain"];

/// What the settings say of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiSettings {
    /// The name of the one project.
    pub project: String,
    /// The address by which clients reach the pages; empty: as each request names it.
    pub url: String,
}

/// What answers the API.
#[derive(Clone, Debug)]
struct Api {
    served: watch::Receiver<Option<ServedBroker>>,
    authorization: PageAuthorization,
    project: Arc<Project>,
    url: Arc<str>,
}

/// Answers requests for the API before they reach the pages.
pub(super) fn answer_openstack(
    routes: Router,
    served: watch::Receiver<Option<ServedBroker>>,
    authorization: PageAuthorization,
    settings: &ApiSettings,
) -> Router {
    let project = Arc::new(Project::new(&settings.project));
    let url = settings.url.trim_end_matches('/').into();
    routes.layer(from_fn_with_state(Api { served, authorization, project, url }, divert))
}

async fn divert(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match service_of(parts.uri.path()) {
        Some(service) => api.answer(service, &parts, body).await,
        None if asks_for_versions(&parts) => {
            let body = versions::all(&api.base(&parts)).to_string();
            ([(CONTENT_TYPE, "application/json")], body).into_response()
        }
        None => next.run(Request::from_parts(parts, body)).await,
    }
}

/// Whether the front page is to be the list of versions: a client that reads JSON, and no browser.
fn asks_for_versions(request: &Parts) -> bool {
    let accept = request.headers.get_all(ACCEPT).iter();
    let accept: Vec<_> = accept.map(|it| it.to_str().unwrap_or_default()).collect();
    let names = |kind: &str| accept.iter().any(|it| it.contains(kind));
    let is_read = matches!(request.method, Method::GET | Method::HEAD);
    is_read && request.uri.path() == "/" && names("json") && !names("text/html")
}

impl Api {
    async fn answer(&self, service: Service, request: &Parts, body: Body) -> Response {
        let base = self.base(request);
        let mut headers = AnswerHeaders {
            service,
            request: Uuid::new_v4(),
            version: None,
            login: format!("{base}/v3"),
        };
        let answer = self.decide(request, body, base, &mut headers).await;
        headers.respond(answer)
    }

    async fn decide(
        &self,
        request: &Parts,
        body: Body,
        base: String,
        headers: &mut AnswerHeaders,
    ) -> Result<ApiReply, Fault> {
        if credential::is_foreign(request) {
            let text = "A page of another origin cannot use this API.";
            return Err(Fault::new(StatusCode::FORBIDDEN, text));
        }
        let path = request.uri.path();
        let route = Route::of(request.method.as_str(), path);
        if let Some(document) = route.as_ref().and_then(|it| document(it.operation, &base)) {
            return Ok(document);
        }
        let (broker, authenticator) = self.started()?;
        let peer = request.extensions.get::<Peer>();
        let peer = peer.ok_or_else(|| bug("the connection of this request is unknown"))?;
        let what = format!("{} {path}", request.method);
        if route.as_ref().is_some_and(|it| it.operation == Operation::Login) {
            let body = read(body, &request.headers).await?;
            return self.login(&authenticator, peer, (&base, &body, &what), &broker);
        }
        let credential = HeaderCredential::of(&request.headers);
        let principal = authenticator.authenticate(peer, credential.presented(), &what)?;
        let route = route.ok_or(Fault::Unrouted)?;
        let version = negotiated(&request.headers, headers)?;
        check_media_type(&request.headers)?;
        let body = read(body, &request.headers).await?;
        let api = if headers.service == Service::LegacyCompute { "/v2" } else { "/v2.1" };
        let view = Arc::new(View { base, version, project: Arc::clone(&self.project), api });
        let query = Query::parse(request.uri.query().unwrap_or_default());
        let call = Call { broker, authenticator, principal, view, route, query, body };
        if call.route.operation == Operation::Token {
            return validate(&call, peer, &request.headers, &what);
        }
        self.operate(&call, &what).await
    }

    /// Does what a version allows, for somebody who is authenticated.
    async fn operate(&self, call: &Call, what: &str) -> Result<ApiReply, Fault> {
        let operation = call.route.operation;
        let is_action = operation == Operation::ServerAction;
        let requested = is_action.then(|| Requested::of(&call.body)).transpose()?;
        if let Some(project) = call.route.project.as_ref().filter(|it| **it != self.project.id) {
            return Err(Fault::bad_request(format!(
                "Malformed request URL: URL's project_id '{project}' doesn't match Context's \
                 project_id '{}'",
                self.project.id
            )));
        }
        if call.authenticator.permit(&call.principal, call.route.access, what).is_err() {
            return Err(actions::denied_by_policy("os_compute_api:servers:show"));
        }
        match operation {
            Operation::Servers => servers::list(call, false).await,
            Operation::ServersDetail => servers::list(call, true).await,
            Operation::Server => servers::show(call).await,
            Operation::ServerAction => match requested {
                Some(requested) => actions::act(call, &requested).await,
                None => Err(bug("an action without a body")),
            },
            Operation::Actions => instance_actions::list(call).await,
            Operation::Action => instance_actions::show(call).await,
            Operation::Flavors => flavors::list(call, false).await,
            Operation::FlavorsDetail => flavors::list(call, true).await,
            Operation::Flavor => flavors::show(call).await,
            Operation::Images => Ok(ApiReply::of(json!({"images": []}))),
            Operation::ComputeVersion
            | Operation::LegacyVersion
            | Operation::IdentityVersion
            | Operation::Login
            | Operation::Token
            | Operation::ImageVersions => Err(bug("this was to be answered before")),
        }
    }

    /// The broker and what knows callers, once it has started.
    fn started(&self) -> Result<(ServedBroker, Authenticator), Fault> {
        let broker = self.served.borrow().clone();
        let authenticator = self.authorization.authenticator.borrow().clone();
        let starting = "The broker is starting: its journal is being read.";
        broker.zip(authenticator).ok_or_else(|| Fault::unavailable(starting))
    }

    fn login(
        &self,
        authenticator: &Authenticator,
        peer: &Peer,
        (base, body, what): (&str, &[u8], &str),
        broker: &ServedBroker,
    ) -> Result<ApiReply, Fault> {
        let login = LoginRequest::of(body)?;
        let presented = login.credential.presented();
        let principal = authenticator.authenticate(peer, presented, what)?;
        let token = authenticator.subject_token(presented, &principal);
        login.answer(&principal, token, (base, &self.project, broker.broker.now()))
    }

    /// The address of the API: as the settings say, or as the client has called it.
    fn base(&self, request: &Parts) -> String {
        if !self.url.is_empty() {
            return self.url.to_string();
        }
        let is_tls = request.extensions.get::<Peer>().is_some_and(|peer| peer.is_tls);
        let scheme = if is_tls { "https" } else { "http" };
        // Clients of HTTP/1.0 may name no host; they get relative addresses.
        credential::host(request).map_or_else(String::new, |host| format!("{scheme}://{host}"))
    }
}

/// The documents that everybody may read.
fn document(operation: Operation, base: &str) -> Option<ApiReply> {
    match operation {
        Operation::ComputeVersion => Some(versions::compute(base)),
        Operation::LegacyVersion => Some(versions::legacy(base)),
        Operation::IdentityVersion => Some(versions::identity(base)),
        Operation::ImageVersions => Some(versions::image(base)),
        Operation::Servers
        | Operation::ServersDetail
        | Operation::Server
        | Operation::ServerAction
        | Operation::Actions
        | Operation::Action
        | Operation::Flavors
        | Operation::FlavorsDetail
        | Operation::Flavor
        | Operation::Login
        | Operation::Token
        | Operation::Images => None,
    }
}

/// Says who has the token of another header.
fn validate(call: &Call, peer: &Peer, headers: &HeaderMap, what: &str) -> Result<ApiReply, Fault> {
    let subject = HeaderCredential::of_subject(headers);
    let found = call.authenticator.authenticate(peer, subject.presented(), what);
    let principal: Principal = found.map_err(|denied| match denied {
        Denied::TooManyFailures => Fault::TooManyFailures,
        Denied::NoCredential { .. }
        | Denied::BadToken
        | Denied::NotAToken(_)
        | Denied::BadHeader
        | Denied::EnrolmentToken
        | Denied::Certificate(_)
        | Denied::OtherName { .. }
        | Denied::NoName
        | Denied::NotAName(_)
        | Denied::Forbidden { .. }
        | Denied::Unlisted => Fault::not_found("Failed to validate token"),
    })?;
    let token = call.authenticator.subject_token(subject.presented(), &principal);
    let View { base, project, .. } = &*call.view;
    let body =
        identity::describe(&principal, "password", (base, project, call.broker.broker.now()));
    Ok(ApiReply { token: Some(token), ..ApiReply::of(body) })
}

/// The version of compute; other services have none. The answer gets it, too.
fn negotiated(request: &HeaderMap, answer: &mut AnswerHeaders) -> Result<Microversion, Fault> {
    if answer.service != Service::Compute {
        return Ok(Microversion::MIN);
    }
    match negotiate(request) {
        Ok(version) => {
            answer.version = Some(version.to_string());
            Ok(version)
        }
        Err(error @ VersionError::Invalid(_)) => Err(Fault::bad_request(error.to_string())),
        Err(error) => {
            let text = error.to_string();
            if let VersionError::Unsupported(version) = error {
                answer.version = Some(version);
            }
            Err(Fault::new(StatusCode::NOT_ACCEPTABLE, text))
        }
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Fault> {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let kind = kind.to_str().unwrap_or("?").split(';').next().unwrap_or_default().trim();
    if kind.is_empty() || JSON_TYPES.iter().any(|it| kind.eq_ignore_ascii_case(it)) {
        return Ok(());
    }
    Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Content-Type"))
}

/// The whole body.
async fn read(body: Body, headers: &HeaderMap) -> Result<Bytes, Fault> {
    let too_long = || Fault::new(StatusCode::PAYLOAD_TOO_LARGE, "Request is too large.");
    let length = headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > BODY_BYTES_MAX as u64) {
        return Err(too_long());
    }
    // Nobody reads the answer to a body that ends early.
    axum::body::to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| too_long())
}

fn bug(what: &str) -> Fault {
    Fault::new(StatusCode::INTERNAL_SERVER_ERROR, format!("Bug in gridd: {what}."))
}

#[cfg(test)]
mod tests;
