//! Tests of rendered mails, against the reviewed files and as a mail program parses them.
//!
//! The mails in `tests/mail/rendered` are compared byte by byte; `GRID_WRITE_MAILS=1` rewrites them,
//! for review before they are committed.

mod hostile;
mod shrinking;

use std::fs;
use std::path::PathBuf;

use jiff::tz::TimeZone;
use mail_parser::{HeaderValue, MessageParser, MimeHeaders, PartType};
use proptest::prelude::*;

use super::*;
use crate::config::mail::{MailSecurity, MailSettings};
use crate::config::smtp::SmtpConfig;
use crate::grid::model::mail_message::{BacklogDigest, BriefNotice, NOTICES_MAX, SUMMARY};
use crate::grid::values::id::AlertId;
use crate::show::escape::is_hidden;

const JOURNAL: Uuid = Uuid::from_u128(0x0123_4567_89ab_4def_8123_4567_89ab_cdef);

fn origin() -> MailOrigin {
    MailOrigin { journal: JOURNAL, ack_key: Some(AckKey::from_bytes(&[1; 32])) }
}

/// 2026-11-20T13:28:49.250Z.
const AT: Timestamp = Timestamp::EPOCH;

fn at(seconds: u64) -> Timestamp {
    AT.after(Duration::from_millis(1_795_181_329_250) + Duration::from_secs(seconds))
}

fn smtp_config() -> SmtpConfig {
    let mail = MailSettings {
        server: "localhost".to_owned(),
        security: MailSecurity::Plain,
        from: "Grid Broker <grid@example.org>".to_owned(),
        to: "alice@example.org, ops@example.org Asia/Kolkata".to_owned(),
        zone: "Europe/Berlin".to_owned(),
        ..MailSettings::default()
    };
    SmtpConfig::new(&mail).expect("is right")
}

fn notice(about: &str, kind: &str, text: &str) -> Notice {
    let (about, kind, text) = (about.into(), kind.into(), text.into());
    let severity = Severity::Error;
    Notice {
        subject: about,
        topic: kind,
        severity,
        at: at(0),
        text,
        record: 12,
        is_resolved: false,
        occurrences: 0,
        alert: None,
        class: "".into(),
        since: None,
        count: 0,
        acknowledged: false,
    }
}

fn message(notices: Vec<Notice>) -> MailMessage {
    MailMessage {
        number: MessageNumber(7),
        recipient: "alice@example.org".into(),
        queued_at: at(30),
        notices,
        omitted: 0,
        briefs: Vec::new(),
        retried_at: None,
        attempts: 1,
        state: DeliveryState::InFlight,
        due_at: at(30),
        last_reply: "".into(),
        digest: None,
        downtime: Duration::ZERO,
        is_unreachable: false,
    }
}

fn rendered(message: &MailMessage) -> String {
    let post = smtp_config();
    let mail = render(message, &origin(), &post.from, &post.style).expect("renders");
    String::from_utf8(mail.bytes).expect("ASCII")
}

fn failed_start() -> MailMessage {
    let text = "start of shop:main.db1 failed: no disk, last report \"checking /dev/sdb\" 34 %";
    message(vec![notice("shop:main.db1", "start_failed", text)])
}

fn hostile() -> MailMessage {
    let text = "\u{202e}gpj.exe\u{202c} <script>alert(1)</script>\r\n.\r\nBcc: all@example.org\r\n\
                --=_boundary-- \x1b[2J שלום <a href='x'>\0 größer 数据库 C:\\new";
    let mut message = message(vec![notice("shop:main.db1", "corrupted <b>", text)]);
    message.notices[0].severity = Severity::Fatal;
    message
}

fn many_notices() -> MailMessage {
    let mut notices: Vec<_> = (1..=5)
        .map(|n| {
            let name = format!("shop:main.web{n}");
            let text = format!("{name} did not start within 300 s");
            notice(&name, "boot_timeout", &text)
        })
        .collect();
    notices.push(notice("shop:main.db1", "no_contact", "no contact with shop:main.db1 for 2 min"));
    notices.push(notice("", "disk_low", "the disk has 200.0 MiB left, less than 256.0 MiB"));
    notices[5].is_resolved = true;
    let mut message = message(notices);
    message.recipient = "ops@example.org".into();
    message.attempts = 3;
    (message.omitted, message.last_reply) =
        (12, "mail.example.org:587 at connecting: refused".into());
    message
}

/// Nine failed starts of two appliances, and one alert that is fatal.
fn fatal_among_others() -> MailMessage {
    let start = |n: u64| {
        let name = format!("shop:main.web{}", n % 2 + 1);
        let mut notice =
            notice(&name, "start_failed", &format!("start of {name} failed: code {n}"));
        notice.at = at(n);
        notice
    };
    let mut notices: Vec<_> = (0..9).map(start).collect();
    let mut fatal = notice("shop:main.db1", "raid:md0", "RAID has lost its last mirror");
    fatal.severity = Severity::Fatal;
    notices.insert(5, fatal);
    let mut again = notice("shop:main.db1", "disk # full", "disk is 98 % full");
    again.occurrences = 37;
    notices.push(again);
    message(notices)
}

/// 120 appliances that lose contact at once, of which 32 are listed in full.
fn power_cut() -> MailMessage {
    let of = |n: u64| {
        let (grid, name) = if n < 80 { ("shop:main", "web") } else { ("lab:ci", "runner") };
        let name = format!("{grid}.{name}{n}");
        let mut notice = notice(&name, "no_contact", &format!("no contact with {name} for 2 min"));
        notice.class = if n < 80 { "web".into() } else { "".into() };
        (notice.at, notice.severity) = (at(n / 10), Severity::Warn);
        notice
    };
    let mut message = message((0..32).map(of).collect());
    message.briefs = (32..120).map(|n| BriefNotice::from(&of(n))).collect();
    message.omitted = 88;
    message
}

/// 57 alerts of three appliances within 17 minutes, of which 32 are listed.
fn digest_message() -> MailMessage {
    let of = |n: u64| {
        let about = format!("shop:main.db{}", n % 3 + 1);
        let mut notice = notice(&about, "disk # is slow", &format!("disk {n} is slow"));
        (notice.at, notice.record) = (at(n * 18), 100 + n);
        notice.severity = if n.is_multiple_of(10) { Severity::Fatal } else { Severity::Error };
        notice
    };
    let mut message = message((0..32).map(of).collect());
    let mut late = BacklogDigest::new(at(0));
    (0..57).for_each(|n| _ = late.add(&of(n)));
    (message.omitted, message.digest, message.queued_at) = (25, Some(Box::new(late)), at(1_800));
    message
}

/// Compares a mail with the reviewed one; plain text and HTML are stored beside it.
#[track_caller]
fn assert_matches_golden(name: &str, bytes: &str) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/mail/rendered");
    let parsed = MessageParser::default().parse(bytes.as_bytes()).expect("is a mail");
    let (text, html) = (parsed.body_text(0).expect("text"), parsed.body_html(0).expect("HTML"));
    for (ending, content) in [("eml", bytes), ("txt", &*text), ("html", &*html)] {
        let path = folder.join(format!("{name}.{ending}"));
        let content = content.replace("\r\n", "\n");
        if std::env::var_os("GRID_WRITE_MAILS").is_some() {
            fs::write(&path, &content).expect("is written");
        }
        let reviewed = fs::read_to_string(&path).unwrap_or_default();
        assert!(reviewed == content, "{name}.{ending} differs; now it is:\n{content}");
    }
}

#[test]
fn mails_match_the_reviewed_files() {
    assert_matches_golden("failed_start", &rendered(&failed_start()));
    let mut over = failed_start();
    over.notices[0].is_resolved = true;
    over.notices[0].text = "shop:main.db1 is running: started late".into();
    assert_matches_golden("resolved", &rendered(&over));
    assert_matches_golden("hostile", &rendered(&hostile()));
    assert_matches_golden("many_and_late", &rendered(&many_notices()));
    assert_matches_golden("older_alerts", &rendered(&digest_message()));
    assert_matches_golden("fatal_among_others", &rendered(&fatal_among_others()));
    assert_matches_golden("power_cut", &rendered(&power_cut()));
    assert_matches_golden("test", &rendered(&test_message("alice@example.org", at(0))));
}

#[test]
fn subjects_say_where_and_why_and_what_else() {
    let long = format!("a:{}.db1", "x".repeat(100));
    let of = |notices| subject::subject(&message(notices), "grid", &TimeZone::UTC);
    let one = |about, kind, text| of(vec![notice(about, kind, text)]);
    let chain = "write-ahead log not written: ".repeat(9) + "no space left on /srv/data/wal";
    let cases = [
        (
            one("db1", "start_failed", "start of db1 failed: no disk"),
            "[grid] error: db1: start failed: no disk",
        ),
        (
            one("db1", "start_failed", "db1 did not start within 300 s"),
            "[grid] error: db1: did not start within 300 s",
        ),
        (
            one("db1", "no_contact", "no contact with db1 for 2 min"),
            "[grid] error: db1: no contact for 2 min",
        ),
        (
            one("db1", "two_machines", "two machines report as db1"),
            "[grid] error: db1: two machines report",
        ),
        (one("db1", "stuck", ""), "[grid] error: db1: stuck in maintenance"),
        (one("", "disk_low", "200 MiB left"), "[grid] error: broker: 200 MiB left"),
        (one("db1", "a", "=?utf-8?B?4oCu?="), "[grid] error: db1: \\x3d?utf-8?B?4oCu?="),
        (one("db1", "a", "x\r\nBcc: y"), "[grid] error: db1: x\\r\\nBcc: y"),
        (
            one(&long, "a", "Corrupted database file"),
            &format!("[grid] error: {long}: Corrupted database file"),
        ),
        (
            one("db1", "a", &chain),
            "[grid] error: db1: write-ahead log not written: write-ahead log not written: \
             ... write-ahead log not written: no space left on /srv/data/wal",
        ),
        (
            of(vec![
                notice("a", "stuck", ""),
                notice("b", "start_failed", ""),
                notice("c", "start_failed", ""),
                notice("d", "my key", ""),
            ]),
            "[grid] error: a: stuck in maintenance (+3 more: 2 start_failed, 1 alert)",
        ),
        (
            subject::subject(&many_notices(), "shop-7", &TimeZone::UTC),
            "[shop-7] error: 5 of shop:main.web*: boot timeouts: did not start within 300 s \
             (+14 more: 1 disk_low, 1 resolved, 12 other)",
        ),
        (
            subject::subject(&digest_message(), "grid", &TimeZone::UTC),
            "[grid] late: 57 older alerts of 3 appliances, 13:28 to 13:45",
        ),
        (
            subject::subject(&hostile(), "grid", &TimeZone::UTC),
            "[grid] fatal: shop:main.db1: \\u{202e}gpj.exe\\u{202c} <script>alert(1)</script>\\r\\n.\\r\\nBcc: \
             ... \\x1b[2J שלום <a href='x'>\\x00 größer 数据库 C:\\\\new",
        ),
    ];
    for (subject, expected) in cases {
        assert_eq!(subject, expected);
        let is_long = subject.contains(&long);
        assert!(is_long || subject.chars().count() <= subject::SUBJECT_CHARS_MAX, "{subject}");
    }
}

#[test]
fn the_gravest_open_one_is_in_the_subject_even_if_it_is_only_a_line() {
    let mut message = fatal_among_others();
    let fatal = message.notices.remove(5);
    message.briefs = vec![BriefNotice::from(&fatal)];
    message.omitted = 1;
    let of = |message: &MailMessage| subject::subject(message, "grid", &TimeZone::UTC);
    let subject = of(&message);
    assert!(subject.starts_with("[grid] fatal: shop:main.db1: raid:md0 (+10 more: "), "{subject}");
    message.briefs[0].is_resolved = true;
    let subject = of(&message);
    assert!(
        subject.starts_with("[grid] error: shop:main.web1: start failed: code 0 "),
        "{subject}"
    );
    assert!(subject.contains("1 resolved"), "{subject}");
    message.notices.iter_mut().for_each(|it| it.is_resolved = true);
    assert!(
        of(&message).starts_with("[grid] resolved: shop:main.db1: raid:md0 "),
        "{}",
        of(&message)
    );
}

#[test]
fn one_alert_kind_of_an_appliance_is_one_thread_and_message_ids_are_stable() {
    let of = |message: &MailMessage, name: &str| {
        let bytes = rendered(message);
        let line = bytes.lines().find(|line| line.starts_with(&format!("{name}: ")));
        line.map(|line| line[name.len() + 2..].to_owned())
    };
    let mut other = failed_start();
    other.number = MessageNumber(8);
    other.notices[0].is_resolved = true;
    assert_eq!(of(&failed_start(), "References"), of(&other, "References"));
    assert!(of(&other, "References").is_some_and(|thread| thread.starts_with("<alert-")));
    assert_eq!(of(&other, "References"), of(&other, "In-Reply-To"));
    let own = of(&other, "Message-ID").expect("an id");
    assert_eq!(own, "<mail-8.0123456789ab4def8123456789abcdef@grid-broker>");
    other.notices[0].subject = "shop:main.db2".into();
    assert_ne!(of(&failed_start(), "References"), of(&other, "References"));
    assert_eq!(of(&many_notices(), "References"), None, "several alert kinds are not one thread");
    assert_eq!(rendered(&failed_start()), rendered(&failed_start()), "a duplicate is identical");
}

#[test]
fn an_invalid_name_is_in_no_command() {
    assert_eq!(hints::commands("x", "$(reboot)"), hints::commands("x", ""));
    assert_eq!(hints::commands("x", "-a")[0], "gridctl appliance show -- -a");
}

#[test]
fn an_invalid_address_is_rejected_by_name() {
    let post = smtp_config();
    for invalid in ["", "alice", "a@b\r\nRCPT TO:<x@y>", "ä@example.org", "a b@c", "a@b>"] {
        let mut message = failed_start();
        message.recipient = invalid.into();
        let result = render(&message, &origin(), &post.from, &post.style);
        assert!(matches!(result, Err(RenderError::Address(_))), "{invalid}");
    }
}
