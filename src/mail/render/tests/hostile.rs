//! Renders mails of hostile texts: the headers and parts stay ours.

use super::*;

/// The headers of every mail, in order; those of a thread are not in each.
const HEADERS: [&str; 11] = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "List-ID",
    "Auto-Submitted",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
];

fn hostile_text() -> impl Strategy<Value = String> {
    let odd = "[\\r\\n\\t \\x00-\\x1f.:=_<>&\"'\\-\\u{7f}-\\u{a0}\\u{2000}-\\u{206f}א-ת]{0,60}";
    let long = "[a-zä=.]{900,2000}";
    let break_out =
        Just("\r\n\r\n--=_\r\n.\r\nBcc: x@y.z\r\n=\r\n?=\r\n =?utf-8?B?QmNj?=".to_owned());
    prop_oneof![any::<String>(), odd.prop_map(Into::into), long.prop_map(Into::into), break_out]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_is_said_the_mail_has_our_headers_and_two_parts(
        about in hostile_text(),
        kind in hostile_text(),
        text in hostile_text(),
        reply in hostile_text(),
        micros in any::<i64>(),
        attempt in 1..3_u32,
        count in 1..4_usize,
    ) {
        let mut message = message(vec![notice(&about, &kind, &text); count]);
        message.last_reply = reply.into();
        message.attempts = attempt;
        message.queued_at = Timestamp::from_micros(micros);
        message.notices[0].at = Timestamp::from_micros(micros);
        let bytes = rendered(&message);
        prop_assert!(bytes.is_ascii());
        prop_assert!(bytes.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])));

        let mail = MessageParser::default().parse(bytes.as_bytes()).expect("is a mail");
        let names: Vec<_> = mail.headers().iter().map(|it| it.name.as_str()).collect();
        prop_assert_eq!(names, HEADERS);
        prop_assert_eq!(mail.parts.len(), 3);
        prop_assert!(mail.parts[0].is_content_type("multipart", "alternative"));
        prop_assert!(matches!(&mail.parts[1].body, PartType::Text(_)));
        prop_assert!(matches!(&mail.parts[2].body, PartType::Html(_)));
        let is_ours = matches!(mail.to().and_then(|it| it.first()).and_then(|it| it.address()), Some("alice@example.org"));
        prop_assert!(is_ours);

        let subject = mail.subject().unwrap_or_default();
        prop_assert!(!subject.contains(is_hidden));
        let expected = subject::subject(&message, "grid", &TimeZone::UTC);
        prop_assert_eq!(subject.trim_end(), expected.trim_end());
        let (text, html) = (mail.body_text(0).expect("text"), mail.body_html(0).expect("HTML"));
        prop_assert!(!text.replace("\r\n", "").replace('\n', "").contains(is_hidden));
        let tags = html.match_indices('<').map(|(at, _)| &html[at + 1..]);
        let known = ["!DOCTYPE", "html", "head", "meta", "title", "body", "p", "bdi", "h2", "table", "tr", "th", "td", "b", "pre", "hr"];
        for tag in tags {
            let name = tag.trim_start_matches('/').split([' ', '>']).next().unwrap_or_default();
            prop_assert!(known.contains(&name), "{}", name);
        }
        prop_assert!(!matches!(mail.header("Bcc"), Some(HeaderValue::Address(_))));
    }
}
