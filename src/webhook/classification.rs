//! Decides what an answer of a server means for a notification: sent, deferred or refused.
//!
//! Guarantees that a page that only looks like success is not taken for it, and that each reason is
//! one line that says what to do. Pure: it neither sends nor waits.

use std::fmt::Write as _;

use super::client::{HttpAnswer, HttpFailure};
use crate::grid::model::mail_message::{Delivery, REPLY_BYTES_MAX};
use crate::show::escape::escape;

/// Longest part of an answer's body that is repeated, in bytes.
const BODY_EXCERPT_BYTES_MAX: usize = 200;

/// Longest part of a header that is repeated, in bytes.
const HEADER_EXCERPT_BYTES_MAX: usize = 200;

/// What the attempt with `bytes` of payload at the server `authority` comes to.
pub(super) fn delivery(
    authority: &str,
    bytes: usize,
    result: &Result<HttpAnswer, HttpFailure>,
) -> Delivery {
    match result {
        Ok(answer) => answer_delivery(authority, bytes, answer),
        Err(failure) => {
            let text = bounded(format!("{authority}: {failure}"));
            if failure.is_unreachable() {
                Delivery::Unreachable(text)
            } else {
                Delivery::Deferred(text)
            }
        }
    }
}

fn answer_delivery(authority: &str, bytes: usize, answer: &HttpAnswer) -> Delivery {
    let status = status_line(answer.status);
    let said = first_line(&answer.body);
    let text = |what: String| bounded(format!("{authority} answers {status}{what}"));
    let with_body = if said.is_empty() { String::new() } else { format!(": {said}") };
    match answer.status {
        200..=299 if is_page(answer) => Delivery::Deferred(text(format!(
            " with an HTML page, which no receiver of notifications does: a login page or a proxy may \
             be in front of it; check the url{with_body}"
        ))),
        200..=299 => Delivery::Sent(text(with_body)),
        301 | 302 | 303 | 307 | 308 => {
            let place = excerpt(&answer.location, HEADER_EXCERPT_BYTES_MAX);
            let place = if place.is_empty() { "a place that it does not name" } else { &place };
            Delivery::Refused(text(format!(
                ": it says it moved to {place}; set the url to where it is now"
            )))
        }
        413 => Delivery::Refused(text(format!(
            ": {bytes} bytes are too many for it; raise its limit{with_body}"
        ))),
        408 | 425 | 429 | 500..=599 => {
            let mut what = String::new();
            let after = excerpt(&answer.retry_after, HEADER_EXCERPT_BYTES_MAX);
            if !after.is_empty() {
                // A number is seconds; the other form is a date.
                let unit = if after.bytes().all(|it| it.is_ascii_digit()) { " s" } else { "" };
                let _ = write!(what, ", to be tried again after {after}{unit}");
            }
            Delivery::Deferred(text(what + &with_body))
        }
        401 | 403 | 407 => Delivery::Refused(text(format!(
            ": it does not accept our credentials; check token_file, or user and password_file\
             {with_body}"
        ))),
        404 | 410 => Delivery::Refused(text(format!(": check the path of the url{with_body}"))),
        _ => Delivery::Refused(text(with_body)),
    }
}

/// Whether a shortened payload may succeed.
pub(super) fn is_too_large(result: &Result<HttpAnswer, HttpFailure>) -> bool {
    result.as_ref().is_ok_and(|answer| answer.status == 413)
}

/// Whether it is a page for people.
fn is_page(answer: &HttpAnswer) -> bool {
    let kind = answer.content_type.trim().to_ascii_lowercase();
    let body = answer.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&answer.body);
    kind.starts_with("text/html")
        || kind.starts_with("application/xhtml")
        || body.trim_ascii_start().starts_with(b"<")
}

/// `404 Not Found`, as far as the code is known.
fn status_line(status: u16) -> String {
    let known = http::StatusCode::from_u16(status).ok();
    match known.and_then(|status| status.canonical_reason()) {
        Some(reason) => format!("{status} {reason}"),
        None => status.to_string(),
    }
}

/// The first line with text.
fn first_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    excerpt(
        line.into_iter().find(|line| !line.is_empty()).unwrap_or_default(),
        BODY_EXCERPT_BYTES_MAX,
    )
}

fn excerpt(text: &str, most: usize) -> String {
    let text = text.trim();
    let end = text.floor_char_boundary(most);
    let more = if end < text.len() { "..." } else { "" };
    format!("{}{more}", escape(&text[..end]))
}

fn bounded(mut text: String) -> Box<str> {
    text.truncate(text.floor_char_boundary(REPLY_BYTES_MAX));
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> HttpAnswer {
        HttpAnswer { status, body: body.into(), ..HttpAnswer::default() }
    }

    fn typed(status: u16, content_type: &str, body: &str) -> HttpAnswer {
        HttpAnswer { content_type: content_type.to_owned(), ..answer(status, body) }
    }

    fn moved(status: u16, location: &str) -> HttpAnswer {
        HttpAnswer { location: location.to_owned(), ..answer(status, "") }
    }

    fn busy(status: u16, after: &str) -> HttpAnswer {
        HttpAnswer { retry_after: after.to_owned(), ..answer(status, "slow down\nplease") }
    }

    /// Each answer, what it comes to, and a part of the reason.
    fn table() -> Vec<(HttpAnswer, &'static str, &'static str)> {
        vec![
            (answer(200, ""), "sent", "hooks.example answers 200 OK"),
            (answer(200, "ok"), "sent", "200 OK: ok"),
            (answer(202, "\n\n accepted\nlater"), "sent", "202 Accepted: accepted"),
            (answer(204, ""), "sent", "204 No Content"),
            (typed(200, "application/json", "{\"ok\":true}"), "sent", "200 OK: {\"ok\":true}"),
            (typed(200, "text/plain", "1 < 2"), "sent", "1 < 2"),
            (typed(200, "text/html; charset=utf-8", "Please log in"), "deferred", "HTML page"),
            (typed(200, "Text/HTML", ""), "deferred", "check the url"),
            (answer(200, "  <!doctype html><title>Log in"), "deferred", "HTML page"),
            (answer(201, "\u{feff}<html>"), "deferred", "HTML page"),
            (
                moved(301, "https://new.example/x"),
                "refused",
                "moved to https://new.example/x; set the url",
            ),
            (moved(302, "/login"), "refused", "it says it moved to /login"),
            (moved(303, "/x"), "refused", "it says it moved to /x"),
            (moved(307, "https://a/"), "refused", "it says it moved to https://a/"),
            (moved(308, ""), "refused", "a place that it does not name"),
            (answer(304, ""), "refused", "304 Not Modified"),
            (answer(413, "max 1000"), "refused", "4321 bytes are too many for it"),
            (busy(429, "120"), "deferred", "to be tried again after 120 s: slow down"),
            (
                busy(503, "Wed, 21 Oct 2026 07:28:00 GMT"),
                "deferred",
                "after Wed, 21 Oct 2026 07:28:00 GMT: slow",
            ),
            (busy(429, ""), "deferred", "429 Too Many Requests: slow down"),
            (answer(408, ""), "deferred", "408"),
            (answer(400, "bad label\nname"), "refused", "400 Bad Request: bad label"),
            (answer(401, "who?"), "refused", "check token_file, or user and password_file: who?"),
            (answer(403, ""), "refused", "credentials"),
            (answer(404, ""), "refused", "check the path of the url"),
            (answer(422, "a\u{202e}b"), "refused", r"422 Unprocessable Entity: a\u{202e}b"),
            (answer(500, "<h1>oops</h1>"), "deferred", "500 Internal Server Error: <h1>oops</h1>"),
            (answer(502, ""), "deferred", "502 Bad Gateway"),
            (answer(504, ""), "deferred", "504 Gateway Timeout"),
            (answer(599, ""), "deferred", "599"),
            (answer(600, ""), "refused", "600"),
        ]
    }

    #[test]
    fn each_answer_has_its_result_and_its_reason() {
        for (answer, expected, reason) in table() {
            let result = delivery("hooks.example", 4_321, &Ok(answer.clone()));
            let word = match &result {
                Delivery::Sent(_) => "sent",
                Delivery::Deferred(_) | Delivery::Unreachable(_) => "deferred",
                Delivery::Refused(_) => "refused",
            };
            assert_eq!(word, expected, "{answer:?}: {result:?}");
            assert!(result.reply().contains(reason), "{answer:?}: {}", result.reply());
        }
    }

    #[test]
    fn a_reason_is_one_short_line_whatever_the_server_sends() {
        let long = "x\u{7}".repeat(40_000);
        for answer in [answer(500, &long), moved(301, &long), busy(503, &long), answer(200, &long)]
        {
            let delivery = delivery("hooks.example", 1, &Ok(answer));
            let (Delivery::Sent(text)
            | Delivery::Deferred(text)
            | Delivery::Unreachable(text)
            | Delivery::Refused(text)) = delivery;
            assert!(text.len() <= REPLY_BYTES_MAX && !text.contains(char::is_control), "{text}");
        }
    }
}
