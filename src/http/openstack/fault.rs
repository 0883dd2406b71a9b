//! Defines what is answered: replies, and faults in the shapes of Nova, Keystone and webob.
//!
//! Guarantees the bodies and headers of docs/openstack.md, and a request id with every answer of
//! compute. Decides nothing.

use axum::body::Body;
use axum::response::Response;
use http::header::{
    CONTENT_TYPE, HeaderName, RETRY_AFTER as RETRY_AFTER_HEADER, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::microversion::{HEADER, LEGACY_HEADER};
use crate::broker::Unavailable;
use crate::identity::authenticator::{Denied, RETRY_AFTER};

/// What keystonemiddleware and Keystone say to somebody whom they do not know.
pub(super) const UNAUTHENTICATED: &str = "The request you have made requires authentication.";

/// What Nova says if there is no such thing.
pub(super) const NOT_FOUND: &str = "The resource could not be found.";

/// What webob adds to that, in JSON too.
const WEBOB_END: &str = "<br /><br />\n\n\n";

/// The names of the header with the request id: that of all services, and that of Nova.
const REQUEST_ID_HEADERS: [&str; 2] = ["x-openstack-request-id", "x-compute-request-id"];

/// The header with the token of a login.
const SUBJECT_TOKEN: &str = "x-subject-token";

/// A service of OpenStack, as far as its answers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// Nova, below `/v2.1`.
    Compute,
    /// Nova as it was before it had microversions, below `/v2`.
    LegacyCompute,
    /// Keystone, below `/v3`.
    Identity,
    /// Glance, below `/image`.
    Image,
}

impl Service {
    /// Whether it is Nova.
    pub(super) fn is_compute(self) -> bool {
        match self {
            Self::Compute | Self::LegacyCompute => true,
            Self::Identity | Self::Image => false,
        }
    }
}

/// An answer that grants the request.
#[derive(Debug)]
pub(super) struct ApiReply {
    /// Its status.
    pub(super) status: StatusCode,
    /// Its body; `None`: it is empty.
    pub(super) body: Option<Value>,
    /// The request id, if it is that of an action.
    pub(super) request: Option<Uuid>,
    /// The token of a login.
    pub(super) token: Option<String>,
}

impl ApiReply {
    /// 200 with a body.
    pub(super) fn of(body: Value) -> Self {
        Self::with(StatusCode::OK, Some(body))
    }

    /// That status and body.
    pub(super) fn with(status: StatusCode, body: Option<Value>) -> Self {
        Self { status, body, request: None, token: None }
    }

    /// 202 without a body.
    pub(super) fn accepted() -> Self {
        Self::with(StatusCode::ACCEPTED, None)
    }
}

/// An answer that refuses the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The service says no.
    Refused {
        /// The status.
        status: StatusCode,
        /// The message.
        message: String,
    },
    /// The caller is not known.
    Unauthenticated,
    /// Too many attempts failed.
    TooManyFailures,
    /// The path or its method is unknown.
    Unrouted,
}

impl Fault {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self::Refused { status, message: message.into() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// The status.
    fn status(&self) -> StatusCode {
        match self {
            Self::Refused { status, .. } => *status,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::TooManyFailures => StatusCode::TOO_MANY_REQUESTS,
            Self::Unrouted => StatusCode::NOT_FOUND,
        }
    }

    fn message(&self) -> &str {
        match self {
            Self::Refused { message, .. } => message,
            Self::Unauthenticated => UNAUTHENTICATED,
            Self::TooManyFailures => "Too many failed attempts from this address.",
            Self::Unrouted => NOT_FOUND,
        }
    }

    fn body(&self, service: Service) -> Value {
        let (status, message) = (self.status(), self.message());
        let (code, title) = (status.as_u16(), status.canonical_reason().unwrap_or_default());
        match self {
            Self::Unrouted if service != Service::Identity => {
                let message = format!("{message}{WEBOB_END}");
                json!({"message": message, "code": format!("{code} {title}"), "title": title})
            }
            // keystonemiddleware answers for Nova, too.
            Self::Unauthenticated => keystone_body(code, title, message),
            Self::Refused { .. } | Self::TooManyFailures | Self::Unrouted
                if service == Service::Identity =>
            {
                keystone_body(code, title, message)
            }
            Self::Refused { .. } | Self::TooManyFailures | Self::Unrouted => {
                json!({fault_name(code): {"code": code, "message": message}})
            }
        }
    }
}

impl From<Denied> for Fault {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::TooManyFailures => Self::TooManyFailures,
            // Nobody learns which it is; the record of the refusal says it.
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
            | Denied::Unlisted => Self::Unauthenticated,
        }
    }
}

impl From<Unavailable> for Fault {
    fn from(reason: Unavailable) -> Self {
        Self::unavailable(reason.to_string())
    }
}

fn keystone_body(code: u16, title: &str, message: &str) -> Value {
    json!({"error": {"code": code, "title": title, "message": message}})
}

/// Nova's name of a fault.
fn fault_name(code: u16) -> &'static str {
    match code {
        400 => "badRequest",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "itemNotFound",
        405 => "badMethod",
        409 => "conflictingRequest",
        413 | 429 => "overLimit",
        415 => "badMediaType",
        501 => "notImplemented",
        503 => "serviceUnavailable",
        _ => "computeFault",
    }
}

/// What all answers to one request have in common.
#[derive(Debug)]
pub(super) struct AnswerHeaders {
    /// The service that answers.
    pub(super) service: Service,
    /// The id of the request.
    pub(super) request: Uuid,
    /// The version of the compute API, once it is negotiated; the rejected one, if it is not supported.
    pub(super) version: Option<String>,
    /// Where to log in.
    pub(super) login: String,
}

impl AnswerHeaders {
    /// The response.
    pub(super) fn respond(&self, answer: Result<ApiReply, Fault>) -> Response {
        let request = answer.as_ref().ok().and_then(|reply| reply.request).unwrap_or(self.request);
        let mut response = match answer {
            Ok(ApiReply { status, body, request: _, token }) => {
                let text = body.map(|body| body.to_string()).unwrap_or_default();
                let mut response = json_response(status, text, "application/json");
                if let Some(token) = token {
                    insert(&mut response, SUBJECT_TOKEN, &token);
                    insert(&mut response, VARY.as_str(), "X-Auth-Token");
                }
                response
            }
            Err(fault) => self.refuse(&fault),
        };
        let names = &REQUEST_ID_HEADERS[..if self.service.is_compute() { 2 } else { 1 }];
        for name in names {
            insert(&mut response, name, &format!("req-{request}"));
        }
        if let Some(version) = &self.version {
            insert(&mut response, HEADER, &format!("compute {version}"));
            insert(&mut response, LEGACY_HEADER, version);
            let both = "OpenStack-API-Version, X-OpenStack-Nova-API-Version";
            insert(&mut response, VARY.as_str(), both);
        }
        response
    }

    fn refuse(&self, fault: &Fault) -> Response {
        let text = fault.body(self.service).to_string();
        let mut response = json_response(fault.status(), text, "application/json; charset=UTF-8");
        if fault.status() == StatusCode::UNAUTHORIZED {
            let challenge = format!("Keystone uri=\"{}\"", self.login);
            insert(&mut response, WWW_AUTHENTICATE.as_str(), &challenge);
        }
        if *fault == Fault::TooManyFailures {
            let seconds = RETRY_AFTER.as_secs().to_string();
            insert(&mut response, RETRY_AFTER_HEADER.as_str(), &seconds);
        }
        response
    }
}

fn json_response(status: StatusCode, text: String, kind: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Sets a header; a value that is none is left out.
fn insert(response: &mut Response, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
        response.headers_mut().insert(name, value);
    }
}
