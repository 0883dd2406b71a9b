//! Rewrites a server's replies so that lettre can parse them, whatever their text and encoding.
//!
//! Guarantees that only the code of a reply decides: text that is not UTF-8, a code without text,
//! lines that end in a line feed alone, lines without a code within a multiline reply, and second
//! digits that lettre does not know do not change its meaning; and that keywords of an EHLO reply are
//! in upper case, as lettre expects them. Text that is not a reply is passed through. Does not know the
//! meaning of codes.

use std::borrow::Cow;

/// Longest text of a rewritten line; lettre accepts lines of 1,000 bytes.
const TEXT_BYTES_MAX: usize = 900;

/// Marks the server's original code, where lettre needs another one.
const REAL_CODE: char = '\u{1}';

/// Rewrites the lines of a server, one after the other.
#[derive(Debug, Default)]
pub(super) struct ReplyReader {
    /// Bytes of an incomplete line.
    partial_line: Vec<u8>,
    /// Code and line count of an incomplete multiline reply.
    multiline: Option<([u8; 3], usize)>,
    /// Whether the reply is one to EHLO.
    is_ehlo: bool,
}

impl ReplyReader {
    /// Notes the command that the next reply answers.
    pub(super) fn command_sent(&mut self, command: &str) {
        self.is_ehlo = command.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case("EHLO"));
    }

    /// Adds bytes; returns the lines that they complete, rewritten for lettre.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut ready = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial_line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.partial_line);
                ready.extend_from_slice(self.rewrite_line(&line).as_bytes());
            }
        }
        ready
    }

    /// The connection ended: returns the incomplete last line.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.partial_line)
    }

    fn rewrite_line(&mut self, line: &[u8]) -> String {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches(['\r', '\n']);
        let parsed = parse_code(line);
        let (code, continues, text) = match (parsed, self.multiline) {
            (Some(code), _) => {
                let continues = line.as_bytes().get(3) == Some(&b'-');
                (code, continues, line.get(4..).unwrap_or_default())
            }
            // Within a multiline reply: the last line still has a code.
            (None, Some((code, _))) => (code, true, line),
            (None, None) => return format!("{line}\r\n"),
        };
        let number = self.multiline.map_or(0, |(_, lines)| lines);
        self.multiline = continues.then_some((code, number + 1));
        let text = if self.is_ehlo { normalize_keyword(text, number) } else { Cow::Borrowed(text) };
        let text = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
        let separator = if continues { '-' } else { ' ' };
        match substitute_code(code) {
            Some(known) if number == 0 => {
                format!("{}{separator}{REAL_CODE}{} {text}\r\n", digits(known), digits(code))
            }
            Some(known) => format!("{}{separator}{text}\r\n", digits(known)),
            None => format!("{}{separator}{text}\r\n", digits(code)),
        }
    }
}

/// The server's original code and text, from those that lettre parsed.
pub(super) fn original_reply(code: &str, text: &str) -> (String, String) {
    match text.strip_prefix(REAL_CODE).and_then(|rest| rest.split_at_checked(3)) {
        Some((real, text)) => (real.to_owned(), text.trim_start().to_owned()),
        None => (code.to_owned(), text.to_owned()),
    }
}

/// The SMTP code at the beginning of a line, if there is one.
fn parse_code(line: &str) -> Option<[u8; 3]> {
    let code = *line.as_bytes().first_chunk::<3>()?;
    let is_code = (b'2'..=b'5').contains(&code[0]) && code[1..].iter().all(u8::is_ascii_digit);
    let ends = line.as_bytes().get(3).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    (is_code && ends && line.is_char_boundary(4.min(line.len()))).then_some(code)
}

/// The substitute for a code whose second digit lettre does not know.
fn substitute_code(code: [u8; 3]) -> Option<[u8; 3]> {
    (code[1] > b'5').then_some([code[0], b'5', b'0'])
}

fn digits(code: [u8; 3]) -> String {
    code.map(char::from).iter().collect()
}

/// A line of an EHLO reply: the first one names the server, the others begin with a keyword.
fn normalize_keyword(text: &str, number: usize) -> Cow<'_, str> {
    if number > 0 {
        // `AUTH=LOGIN`, as servers wrote it before the standard.
        return text.to_ascii_uppercase().replacen("AUTH=", "AUTH ", 1).into();
    }
    if text.trim().is_empty() { "unnamed".into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use lettre::transport::smtp::extension::{Extension, ServerInfo};
    use lettre::transport::smtp::response::Response;

    use super::*;

    fn read(bytes: &[u8]) -> Response {
        let ready = ReplyReader::default().feed(bytes);
        let text = String::from_utf8(ready).expect("is text");
        text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
    }

    #[test]
    fn the_code_counts_whatever_stands_around_it() {
        let cases: [(&[u8], &str, &str); 9] = [
            (b"250 2.0.0 zugestellt f\xfcr Sie\r\n", "250", "2.0.0 zugestellt f\u{fffd}r Sie"),
            (
                b"550 5.1.1 unbekannter Empf\xe4nger\r\n",
                "550",
                "5.1.1 unbekannter Empf\u{fffd}nger",
            ),
            (b"250\r\n", "250", ""),
            (b"250 ok\n", "250", "ok"),
            (b"250-\r\n250-\r\n250 ok\r\n", "250", "  ok"),
            (b"550-5.1.1 no\r\nsuch user\r\n550\r\n", "550", "5.1.1 no such user "),
            (b"250\tok\r\n", "250", "ok"),
            (b"250-one\r\n\r\n250 two\r\n", "250", "one  two"),
            (b"571 5.7.1 blocked\r\n", "571", "5.7.1 blocked"),
        ];
        for (bytes, code, text) in cases {
            let response = read(bytes);
            let joined = response.message().collect::<Vec<_>>().join(" ");
            let original = original_reply(&response.code().to_string(), &joined);
            assert_eq!(original, (code.to_owned(), text.to_owned()));
        }
        let long = format!("250 {}\r\n", "\u{e4}".repeat(2_000));
        assert!(read(long.as_bytes()).first_line().is_some_and(|line| line.len() <= 900));
    }

    #[test]
    fn lines_may_come_in_pieces() {
        let mut lines = ReplyReader::default();
        assert!(lines.feed(b"25").is_empty() && lines.feed(b"0 o").is_empty());
        assert_eq!(lines.feed(b"k\r\n354"), b"250 ok\r\n");
        assert_eq!(lines.feed(b"\r\n"), b"354 \r\n");
        assert!(lines.feed(b"22").is_empty());
        assert_eq!(lines.finish(), b"22");
    }

    #[test]
    fn keywords_know_no_case() {
        let mut lines = ReplyReader::default();
        lines.command_sent("EHLO broker.example.org");
        let ready = lines.feed(b"250-\r\n250-starttls\r\n250-size 1000\r\n250 auth=plain login\n");
        let text = String::from_utf8(ready).expect("is text");
        let info =
            ServerInfo::from_response(&text.parse().expect("a reply")).expect("its keywords");
        assert!(info.supports_feature(Extension::StartTls), "{text}");
        use lettre::transport::smtp::authentication::Mechanism;
        assert_eq!(info.get_auth_mechanism(&[Mechanism::Login]), Some(Mechanism::Login));
        // Other replies keep their case.
        lines.command_sent("MAIL FROM:<a@b.c>");
        assert_eq!(lines.feed(b"250-fine\r\n250 by me\r\n"), b"250-fine\r\n250 by me\r\n");
    }

    #[test]
    fn text_that_is_not_a_reply_is_passed_through() {
        for text in ["HTTP/1.1 400 Bad Request\r\n", "999 x\r\n", "2500 x\r\n", "\u{1b}[2J\r\n"] {
            assert_eq!(ReplyReader::default().feed(text.as_bytes()), text.as_bytes());
        }
    }
}
