//! The page behind the link of a mail, by which its alerts are acknowledged.
//!
//! Guarantees that reading it changes nothing, so that programs which follow links in mails do no harm;
//! that only a valid token shows or acknowledges anything; that nothing of it is stored by a browser,
//! loaded, framed or told to other sites; and that a refusal says what and why. Does not decide whether an
//! alert can be acknowledged: what serves the page asks the core.

use std::fmt::{self, Write as _};
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::HttpState;
use super::openstack::text::Query;
use crate::grid::values::event::Severity;
use crate::grid::values::id::AlertId;
use crate::grid::values::time::Timestamp;
use crate::identity::ack_link::{AckGrant, AckKey, AckTokenError};
use crate::show::count::format_count;
use crate::show::escape::escape;
use crate::show::html::escape_html;

/// The longest body of a form, in bytes.
const FORM_BYTES_MAX: usize = 8_192;

/// The longest note, in characters.
const NOTE_CHARS_MAX: usize = 500;

/// The longest text of an alert on the page, in characters.
const TEXT_CHARS_MAX: usize = 1_000;

/// What the page says of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedAlert {
    /// Its number.
    pub id: AlertId,
    /// The appliance's name; empty: the broker.
    pub appliance: String,
    /// Its severity.
    pub severity: Severity,
    /// What happened; may contain hostile text.
    pub text: String,
    /// Since when it is open, as the page shows it.
    pub since: String,
    /// Whether it can be acknowledged.
    pub state: LinkedAlertState,
}

/// Whether an alert can be acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkedAlertState {
    /// It is open.
    Open,
    /// Somebody did so: who.
    Acknowledged(String),
    /// It is over.
    Resolved,
    /// It is not known any more: it was resolved long ago.
    Unknown,
}

/// Who acknowledges what, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckOrder {
    /// The alerts that were open when the page was sent; the core refuses what is not open any more.
    pub alerts: Vec<AlertId>,
    /// The receiver of the mail with the link.
    pub receiver: String,
    /// Their reason; may be empty.
    pub note: String,
}

/// A refusal of one alert, with its reason.
pub type AckRefusal = (AlertId, String);

/// What is under way.
pub type Answering<T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send>>;

/// What the page needs of the broker; its errors say why the broker does not answer.
pub trait AcknowledgesAlerts: Send + Sync {
    /// The time, by which links end.
    fn now(&self) -> Timestamp;
    /// The alerts of these numbers, each once, in any order.
    fn describe(&self, alerts: Vec<AlertId>) -> Answering<Vec<LinkedAlert>>;
    /// Acknowledges the alerts, each by a record of its own, and returns what was refused.
    fn acknowledge(&self, order: AckOrder) -> Answering<Vec<AckRefusal>>;
}

/// The page, with the key of its links. Cheap to clone.
#[derive(Clone)]
pub struct AckPage {
    key: AckKey,
    alerts: Arc<dyn AcknowledgesAlerts>,
}

impl fmt::Debug for AckPage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("AckPage").finish_non_exhaustive()
    }
}

impl AckPage {
    /// The page for links of that key.
    pub fn new(key: AckKey, alerts: Arc<dyn AcknowledgesAlerts>) -> Self {
        Self { key, alerts }
    }

    /// What a link allows, and its alerts.
    async fn open(&self, token: &str) -> Result<(AckGrant, Vec<LinkedAlert>), Response> {
        let granted = self.key.verify(token, self.alerts.now());
        let grant = granted.map_err(|error| {
            let status = match error {
                AckTokenError::NotOurs => StatusCode::NOT_FOUND,
                AckTokenError::Expired => StatusCode::GONE,
            };
            page(status, "Nothing was acknowledged", &paragraph(&error.to_string()))
        })?;
        let alerts = self.alerts.describe(grant.alerts.clone()).await;
        let mut alerts = alerts.map_err(|why| unavailable(&why))?;
        alerts.sort_by_key(|it| (std::cmp::Reverse(it.severity), it.id));
        Ok((grant, alerts))
    }

    /// Shows the alerts, and a form if some of them are open.
    async fn show(&self, token: &str) -> Response {
        let (grant, alerts) = match self.open(token).await {
            Ok(opened) => opened,
            Err(refusal) => return refusal,
        };
        let open = open_ids(&alerts).len();
        if open == 0 {
            let why = "None of these alerts is open and unacknowledged any more, so this link does \
                       nothing.";
            return page(
                StatusCode::GONE,
                "Nothing to acknowledge",
                &(paragraph(why) + &list(&alerts)),
            );
        }
        let form = format!(
            "<form method=\"post\">\n<p><label>Note: <input name=\"note\" maxlength=\"{NOTE_CHARS_MAX}\" \
             size=\"60\"></label></p>\n<p><button>Acknowledge {}</button> as {}</p>\n</form>\n",
            format_count(open as u64, "alert"),
            escape_html(&escape(&grant.receiver)),
        );
        page(StatusCode::OK, "Acknowledge?", &(list(&alerts) + &form))
    }

    /// Acknowledges those that are open.
    async fn acknowledge(&self, token: &str, note: String) -> Response {
        let (grant, alerts) = match self.open(token).await {
            Ok(opened) => opened,
            Err(refusal) => return refusal,
        };
        let open = open_ids(&alerts);
        if open.is_empty() {
            let why = "Nothing was done: none of these alerts is open and unacknowledged any more.";
            return page(
                StatusCode::GONE,
                "Nothing to acknowledge",
                &(paragraph(why) + &list(&alerts)),
            );
        }
        let receiver = grant.receiver.to_string();
        tracing::info!(receiver, alerts = open.len(), "a link acknowledges alerts");
        let order = AckOrder { alerts: open.clone(), receiver, note };
        let refused = match self.alerts.acknowledge(order).await {
            Ok(refused) => refused,
            Err(why) => return unavailable(&why),
        };
        let done = open.len().saturating_sub(refused.len()) as u64;
        let mut body = paragraph(&format!("{} acknowledged.", format_count(done, "alert")));
        for (AlertId(id), why) in &refused {
            body += &paragraph(&format!("Alert {id} was not acknowledged: {}", escape(why)));
        }
        match refused.is_empty() {
            true => page(StatusCode::OK, "Acknowledged", &body),
            false => page(StatusCode::CONFLICT, "Not all was acknowledged", &body),
        }
    }
}

/// Shows what a link is for. GET and HEAD.
pub(super) async fn show(State(state): State<HttpState>, Path(token): Path<String>) -> Response {
    match page_of(&state) {
        Ok(served) => served.show(&token).await,
        Err(refusal) => *refusal,
    }
}

/// Acknowledges. POST.
pub(super) async fn acknowledge(
    State(state): State<HttpState>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let served = match page_of(&state) {
        Ok(served) => served,
        Err(refusal) => return *refusal,
    };
    match note_of(&headers, body).await {
        Ok(note) => served.acknowledge(&token, note).await,
        Err((status, why)) => page(status, "Nothing was acknowledged", &paragraph(why)),
    }
}

/// The note of a form.
async fn note_of(headers: &HeaderMap, body: Body) -> Result<String, (StatusCode, &'static str)> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let kind = kind.and_then(|it| it.split(';').next()).map_or("", str::trim);
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        let why =
            "the button of the page sends application/x-www-form-urlencoded; nothing else is read";
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    let body = axum::body::to_bytes(body, FORM_BYTES_MAX).await;
    let body = body.map_err(|_| {
        (StatusCode::PAYLOAD_TOO_LARGE, "the form is larger than 8 KiB; a note has 500 characters")
    })?;
    let form = Query::parse(&String::from_utf8_lossy(&body));
    let note = form.get("note").unwrap_or_default().trim().to_owned();
    match note.chars().count() > NOTE_CHARS_MAX {
        true => Err((StatusCode::BAD_REQUEST, "the note is longer than 500 characters")),
        false => Ok(note),
    }
}

/// The page, if links are on and the broker has started.
fn page_of(state: &HttpState) -> Result<AckPage, Box<Response>> {
    let Some(served) = state.served.borrow().clone() else {
        return Err(unavailable("the broker is starting: the journal is being read").into());
    };
    served.acknowledging.ok_or_else(|| {
        let why = "Links for acknowledging are off: mail.public_url is not set in gridd's settings. \
                   `gridctl alert ack` acknowledges.";
        page(StatusCode::NOT_FOUND, "There is no such page", &paragraph(why)).into()
    })
}

fn open_ids(alerts: &[LinkedAlert]) -> Vec<AlertId> {
    alerts.iter().filter(|it| it.state == LinkedAlertState::Open).map(|it| it.id).collect()
}

fn list(alerts: &[LinkedAlert]) -> String {
    let mut out = "<ul>\n".to_owned();
    for alert in alerts {
        let place = if alert.appliance.is_empty() { "broker" } else { &alert.appliance };
        let state = match &alert.state {
            LinkedAlertState::Open => "open".to_owned(),
            LinkedAlertState::Acknowledged(by) => format!("acknowledged by {by}"),
            LinkedAlertState::Resolved => "resolved".to_owned(),
            LinkedAlertState::Unknown => "not known any more: it was resolved long ago".to_owned(),
        };
        let line = match alert.state {
            LinkedAlertState::Unknown => format!("alert {}", alert.id),
            LinkedAlertState::Open
            | LinkedAlertState::Acknowledged(_)
            | LinkedAlertState::Resolved => {
                let text: String = alert.text.chars().take(TEXT_CHARS_MAX).collect();
                let grave = alert.severity.as_str();
                format!("alert {}, {grave}, {place}: {text} (since {})", alert.id, alert.since)
            }
        };
        let (line, state) = (escape(&line), escape(&state));
        let _ =
            writeln!(out, "<li><bdi>{}</bdi> - {}</li>", escape_html(&line), escape_html(&state));
    }
    out + "</ul>\n"
}

fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escape_html(text))
}

fn unavailable(why: &str) -> Response {
    let body = paragraph(&format!("Nothing was acknowledged: {}. Try again.", escape(why)));
    page(StatusCode::SERVICE_UNAVAILABLE, "The broker does not answer", &body)
}

/// A page that loads nothing, is kept nowhere, and tells no other site its address.
fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n</head>\n\
         <body>\n<h1>{title}</h1>\n{body}</body>\n</html>\n"
    );
    let policy = "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    let mut response = (status, html).into_response();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
