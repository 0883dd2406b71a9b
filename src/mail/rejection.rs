//! Classifies a server's rejection with a code 5xx: of us as a client, or of this mail.
//!
//! Servers reject clients at RCPT (Postfix delays all rejections until then, by
//! `smtpd_delay_reject`), so the step alone is not enough. Guarantees that only a rejection of the
//! recipient or of the content fails a mail: an unknown or full mailbox, a size, a format. A rejection
//! of us (the name in EHLO, our address, the sender, a login, relaying, policy, our commands) is for
//! the operator to fix; in doubt the mail stays queued. Does not know the connection.

/// The phase of the session in which the server rejects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SmtpPhase {
    /// Before MAIL FROM.
    Connection,
    /// At MAIL FROM.
    Sender,
    /// At RCPT TO.
    Recipient,
    /// At DATA, before the content.
    Data,
    /// After the content.
    Content,
}

/// What a rejection applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RejectionScope {
    /// The client or its commands: the mail stays queued.
    Client,
    /// The mail or its recipient: it fails.
    Message,
}

/// Phrases with which servers without enhanced codes reject us.
const CLIENT_PHRASES: [&str; 33] = [
    "helo",
    "ehlo",
    "client host",
    "relay",
    "sender",
    "not owned",
    "log in",
    "login",
    "logged in",
    "authent",
    "authoriz",
    "authoris",
    "policy",
    "blacklist",
    "black list",
    "blocklist",
    "block list",
    "denylist",
    "blocked",
    "listed",
    "spamhaus",
    "rbl",
    "reputation",
    "reverse dns",
    "rdns",
    "ptr ",
    "spf",
    "dkim",
    "dmarc",
    "access denied",
    "prohibit",
    "not permitted",
    "tls",
];

/// Phrases with which they reject a recipient.
const RECIPIENT_PHRASES: [&str; 16] = [
    "user unknown",
    "unknown user",
    "no such",
    "mailbox",
    "does not exist",
    "doesn't exist",
    "not exist",
    "unrouteable",
    "unroutable",
    "unknown recipient",
    "recipient unknown",
    "invalid recipient",
    "no user",
    "not a valid",
    "quota",
    "over limit",
];

/// Phrases with which they reject the content of a mail.
const CONTENT_PHRASES: [&str; 12] = [
    "spam",
    "virus",
    "malware",
    "phish",
    "content",
    "message rejected",
    "attachment",
    "too large",
    "too big",
    "size",
    "loop",
    "hops",
];

/// Classifies the rejection `code` and `text` in the phase `phase`.
pub(super) fn classify(phase: SmtpPhase, code: &str, text: &str) -> RejectionScope {
    if phase == SmtpPhase::Connection {
        return RejectionScope::Client;
    }
    let text = text.to_lowercase();
    let is_of_mail = match enhanced_code(code, &text) {
        // Addresses: those of the sender are ours.
        Some((1, detail)) => {
            let is_sender = matches!(detail, 7 | 8) || text.contains("sender address");
            phase != SmtpPhase::Sender && !is_sender
        }
        // The mailbox, routing, the format of the content.
        Some((2 | 4 | 6, _)) => phase != SmtpPhase::Sender,
        // Of the codes for the mail system, only the one for the size is about the mail.
        Some((3, 4)) => true,
        // Policy: after the content it may be about the content.
        Some((7, _)) => {
            phase == SmtpPhase::Content
                && contains_any(&text, &CONTENT_PHRASES)
                && !mentions_client(&text)
        }
        Some((0 | 3 | 5, 0)) => is_message_by_text(phase, code, &text),
        Some(_) => false,
        None => is_message_by_text(phase, code, &text),
    };
    if is_of_mail { RejectionScope::Message } else { RejectionScope::Client }
}

/// A hint how to fix a rejection of us, if its text is known.
pub(super) fn hint(text: &str) -> Option<&'static str> {
    let text = text.to_lowercase();
    let found = |phrases: &[&str]| contains_any(&text, phrases);
    if found(&["helo", "ehlo"]) {
        Some("set mail.hello to this host's full name")
    } else if found(&["sender", "not owned"]) {
        Some("check mail.from, and whether mail.user may send as it")
    } else if found(&["starttls", "encryption"]) {
        Some("set mail.security to `starttls` or `tls`")
    } else if found(&["relay", "not logged in", "authentication required", "authenticate first"]) {
        Some("let the server accept mail from this host, or set mail.user and mail.password_file")
    } else if found(&["client host", "blocked", "listed", "reverse dns", "access denied"]) {
        Some("let the server accept mail from this host")
    } else {
        None
    }
}

fn contains_any(text: &str, phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| text.contains(phrase))
}

fn mentions_client(text: &str) -> bool {
    contains_any(
        text,
        &["client host", "sender", "helo", "relay", "blocked using", "reputation", "policy"],
    )
}

/// Subject and detail of the enhanced code `5.x.y`, at the beginning or as qmail has it: `(#5.7.1)`.
fn enhanced_code(code: &str, text: &str) -> Option<(u16, u16)> {
    let begin = text.split_whitespace().next();
    let class = code.get(..1)?;
    let within = text.split_once('#').map(|(_, rest)| rest);
    let within =
        within.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit() && c != '.').next());
    [begin, within].into_iter().flatten().find_map(|word| {
        let mut parts = word.trim_end_matches([':', ';', ',']).split('.');
        let is_ours = parts.next() == Some(class);
        let (subject, detail) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        (is_ours && parts.next().is_none()).then_some((subject, detail))
    })
}

/// Classifies by basic code and text, without a specific enhanced code.
fn is_message_by_text(phase: SmtpPhase, code: &str, text: &str) -> bool {
    let (of_us, of_recipient) =
        (contains_any(text, &CLIENT_PHRASES), contains_any(text, &RECIPIENT_PHRASES));
    match (code, phase) {
        // The size exceeds the storage allocation, at whatever step the server finds out.
        ("552", _) => true,
        (_, SmtpPhase::Connection | SmtpPhase::Sender) => false,
        ("550" | "551" | "553", _) => !of_us,
        ("554" | "556", SmtpPhase::Recipient) => of_recipient && !of_us,
        ("554" | "556", SmtpPhase::Data) => !of_us,
        ("554" | "556", SmtpPhase::Content) => !mentions_client(text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_scope(expected: RejectionScope, phase: SmtpPhase, cases: &[&str]) {
        for reply in cases {
            let (code, text) = reply.split_once(' ').expect("a code");
            assert_eq!(classify(phase, code, text), expected, "{reply} at {phase:?}");
        }
    }

    /// Postfix 3.7 with `smtpd_delay_reject`, Exim 4.96, Exchange, qmail, Sendmail.
    const CLIENT_REJECTIONS: [&str; 29] = [
        "504 5.5.2 <vm>: Helo command rejected: need fully-qualified hostname",
        "501 5.5.2 <a_b>: Helo command rejected: Invalid name",
        "550 5.7.1 <vm>: Helo command rejected: Host not found",
        "554 5.7.1 <unknown[192.0.2.7]>: Client host rejected: Access denied",
        "550 5.7.25 Client host rejected: cannot find your hostname, [192.0.2.7]",
        "554 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using zen.spamhaus.org",
        "553 5.7.1 <grid@example.org>: Sender address rejected: not owned by user other",
        "553 5.7.1 <grid@example.org>: Sender address rejected: not logged in",
        "550 5.1.0 <grid@example.org>: Sender address rejected: User unknown in virtual mailbox table",
        "550 5.1.7 <grid@example.org>: Sender address rejected: undeliverable address",
        "550 5.1.8 <grid@nowhere.example>: Sender address rejected: Domain not found",
        "504 5.5.2 <grid>: Sender address rejected: need fully-qualified address",
        "554 5.7.1 <alice@example.org>: Relay access denied",
        "554 5.7.1 <alice@example.org>: Recipient address rejected: Policy violation",
        "530 5.7.0 Must issue a STARTTLS command first",
        "535 5.7.8 Error: authentication failed",
        "503 5.5.1 Error: need MAIL command",
        "502 5.5.2 Error: command not recognized",
        "555 5.5.4 Unsupported option",
        "550 relay not permitted",
        "550 Verification failed for <grid@example.org> Unrouteable address Sender verify failed",
        "550 Administrative prohibition",
        "550 192.0.2.7 is in a black list at zen.spamhaus.org",
        "501 Syntactically invalid EHLO argument(s)",
        "550 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)",
        "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain",
        "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
        "571 Delivery not authorized, message refused",
        "554 Transaction failed",
    ];

    #[test]
    fn rejections_of_the_client_at_rcpt_are_of_the_client() {
        assert_scope(RejectionScope::Client, SmtpPhase::Recipient, &CLIENT_REJECTIONS);
        assert_scope(RejectionScope::Client, SmtpPhase::Sender, &CLIENT_REJECTIONS);
        let of_us = &CLIENT_REJECTIONS[..19];
        assert_scope(RejectionScope::Client, SmtpPhase::Data, of_us);
        assert_scope(RejectionScope::Client, SmtpPhase::Content, of_us);
    }

    #[test]
    fn rejections_of_recipient_or_content_are_of_the_message() {
        let of_recipient = [
            "550 5.1.1 <nobody@example.org>: Recipient address rejected: User unknown in virtual table",
            "550 5.1.1 unbekannter Empf\u{fffd}nger",
            "550 5.1.2 <a@nowhere.example>: Recipient address rejected: Domain not found",
            "501 5.1.3 Bad recipient address syntax",
            "550 5.2.1 This account is disabled",
            "552 5.2.2 mailbox full",
            "552 5.3.4 Message size exceeds fixed limit",
            "550 5.4.1 Recipient address rejected",
            "550 5.5.0 Requested action not taken: mailbox unavailable",
            "550 Unrouteable address",
            "550 no",
            "551 User not local",
            "553 sorry, no mailbox here by that name. (#5.1.1)",
            "554 delivery error: no such user",
        ];
        assert_scope(RejectionScope::Message, SmtpPhase::Recipient, &of_recipient);
        let of_content = [
            "552 5.3.4 Error: message file too big",
            "554 5.6.0 Message contains bad header",
            "554 5.7.1 spam",
            "550 5.7.1 message content rejected",
            "554 5.4.6 Error: too many hops",
            "554 Transaction failed",
            "550 This message contains a virus (Eicar)",
            "550 This message scored 12 spam points",
        ];
        assert_scope(RejectionScope::Message, SmtpPhase::Content, &of_content);
        assert_scope(
            RejectionScope::Message,
            SmtpPhase::Sender,
            &["552 5.3.4 Message size exceeds fixed limit"],
        );
        assert_scope(RejectionScope::Client, SmtpPhase::Sender, &["550 5.1.1 no such user here"]);
        assert_scope(
            RejectionScope::Client,
            SmtpPhase::Connection,
            &["552 5.3.4 too large", "550 5.1.1 no"],
        );
    }
}
