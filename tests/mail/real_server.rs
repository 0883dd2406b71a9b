//! A real Postfix takes mails by STARTTLS and login, and files what was rendered.

use std::time::Duration;

use grid_broker::clock::wall_now;
use grid_broker::config::mail::MailSettings;
use grid_broker::config::secret::Secret;
use grid_broker::grid::model::mail_message::Delivery;
use grid_broker::mail::{SmtpConfig, send_test_mail};
use mail_parser::MessageParser;

use crate::mail_sender::{Courier, JOURNAL, settings};
use crate::postfix::Postfix;
use crate::support::wait_for;

/// How long each step may last; Postfix starts processes for each.
const STEP: Duration = Duration::from_secs(60);

fn filed(postfix: &Postfix, count: usize) -> Vec<Vec<u8>> {
    let filed = || Some(postfix.filed()).filter(|filed| filed.len() >= count);
    wait_for(&format!("{count} mails are filed"), filed)
}

#[tokio::test]
async fn postfix_files_each_mail_once_and_its_refusals_are_understood() {
    let postfix = Postfix::start();
    let settings = settings(postfix.port, &postfix.certificate(), STEP);
    let mut courier = Courier::start(Some(&settings));
    for number in 1..=5 {
        let delivery = courier.bring(number, "alice@example.org").await;
        let Delivery::Sent(reply) = &delivery else { panic!("{delivery:?}\n{}", postfix.said()) };
        assert!(reply.starts_with("250 2.0.0 Ok: queued as "), "{reply}");
    }
    let refused = courier.bring(6, "nobody@example.org").await;
    let Delivery::Refused(why) = &refused else { panic!("{refused:?}") };
    assert!(why.contains(" at RCPT TO: 550 5.1.1 <nobody@example.org>"), "{why}");
    let full = courier.bring(7, "full@example.org").await;
    let Delivery::Deferred(why) = &full else { panic!("{full:?}") };
    assert!(why.contains(" at RCPT TO: 452 4.2.2 <full@example.org>"), "{why}");
    courier.stop().await;

    let mut ids: Vec<_> = filed(&postfix, 5).iter().map(|mail| id(mail)).collect();
    ids.sort();
    let expected = (1..=5).map(|it| format!("mail-{it}.{}@grid-broker", JOURNAL.simple()));
    assert_eq!(ids, expected.collect::<Vec<_>>());
}

fn id(mail: &[u8]) -> String {
    let parsed = MessageParser::default().parse(mail).expect("is a mail");
    let header = |name: &str| parsed.header(name).and_then(|it| it.as_text()).map(str::to_owned);
    assert_eq!(header("Auto-Submitted").as_deref(), Some("auto-generated"));
    assert!(parsed.subject().is_some_and(|it| it.starts_with("[grid] fatal: shop:main.db1: grö")));
    assert!(parsed.body_text(0).is_some_and(|it| it.contains(r"größer\r\n.\r\nMAIL FROM")));
    assert!(parsed.body_html(0).is_some_and(|it| it.contains(r"\u{202e}&lt;b&gt;")));
    assert_eq!((parsed.parts.len(), parsed.header("Bcc").is_some()), (3, false));
    parsed.message_id().expect("an id").to_owned()
}

#[tokio::test]
async fn a_test_mail_tells_the_dialogue_with_postfix() {
    let postfix = Postfix::start();
    let right = settings(postfix.port, &postfix.certificate(), STEP);
    let post = SmtpConfig::new(&right).expect("is right");
    let test = send_test_mail(&post, JOURNAL, "alice@example.org", wall_now()).await;
    assert!(matches!(test.delivery, Delivery::Sent(_)), "{test:?}\n{}", postfix.said());
    for line in
        ["> STARTTLS", "> AUTH PLAIN ***", "< 235 2.7.0 Authentication successful", "> DATA"]
    {
        assert!(
            test.transcript.iter().any(|it| it == line),
            "{line} is missing: {:#?}",
            test.transcript
        );
    }
    assert_eq!(filed(&postfix, 1).len(), 1);

    let mut wrong = right;
    wrong.password = Some(Secret::from_environment("PASSWORD", "wrong").expect("a secret"));
    let post = SmtpConfig::new(&wrong).expect("is right");
    let test = send_test_mail(&post, JOURNAL, "alice@example.org", wall_now()).await;
    let Delivery::Deferred(why) = &test.delivery else { panic!("{test:?}") };
    assert!(why.contains(" at AUTH: 535 5.7.8 "), "{why}");
}

/// What becomes of a mail to a Postfix with that line, whose client has those settings.
async fn with_rule(lines: &str, change: impl FnOnce(&mut MailSettings), to: &str) -> Delivery {
    let postfix = Postfix::with(lines);
    let mut settings = settings(postfix.port, &postfix.certificate(), STEP);
    change(&mut settings);
    let mut courier = Courier::start(Some(&settings));
    let delivery = courier.bring(1, to).await;
    courier.stop().await;
    delivery
}

const ALICE: &str = "alice@example.org";

#[tokio::test]
async fn what_postfix_holds_against_us_loses_no_mail_though_it_says_so_at_the_recipient() {
    type Change = fn(&mut MailSettings);
    let cases: [(&str, Change, &str, &[&str]); 9] = [
        (
            "smtpd_helo_restrictions = reject_non_fqdn_helo_hostname",
            |it| it.ehlo_name = "vm".to_owned(),
            ALICE,
            &[" at RCPT TO: 504 5.5.2 <vm>: Helo command rejected", "; set mail.hello to"],
        ),
        (
            "smtpd_helo_restrictions = reject_non_fqdn_helo_hostname\nsmtpd_delay_reject = no",
            |it| it.ehlo_name = "vm".to_owned(),
            ALICE,
            &[" at EHLO: 504 5.5.2 <vm>: Helo command rejected", "; set mail.hello to"],
        ),
        (
            "smtpd_client_restrictions = reject",
            |_| {},
            ALICE,
            &[" at RCPT TO: 554 5.7.1 <localhost[", "Client host rejected: Access denied"],
        ),
        (
            "smtpd_sender_restrictions = reject_sender_login_mismatch\n\
             smtpd_sender_login_maps = inline:{grid@example.org=other}",
            |_| {},
            ALICE,
            &[" at RCPT TO: 553 5.7.1 <grid@example.org>: ", "not owned by user", "mail.from"],
        ),
        (
            "smtpd_sender_restrictions = reject_unlisted_sender",
            |_| {},
            ALICE,
            &[" at RCPT TO: 550 5.1.0 <grid@example.org>: Sender address rejected", "mail.from"],
        ),
        (
            "smtpd_relay_restrictions = reject_unauth_destination",
            |_| {},
            "somebody@elsewhere.example",
            &[" at RCPT TO: 554 5.7.1 <somebody@elsewhere.example>: Relay access denied"],
        ),
        (
            "smtpd_recipient_restrictions = check_recipient_access static:reject",
            |_| {},
            ALICE,
            &[" at RCPT TO: 554 5.7.1 ", "Access denied"],
        ),
        (
            "smtpd_data_restrictions = reject",
            |_| {},
            ALICE,
            &[" at DATA: 554 5.7.1 <DATA>: Data command rejected: Access denied"],
        ),
        (
            "smtpd_end_of_data_restrictions = reject",
            |_| {},
            ALICE,
            &[" at end of the mail: 554 5.7.1 ", "Access denied"],
        ),
    ];
    for (lines, change, to, parts) in cases {
        let delivery = with_rule(lines, change, to).await;
        let Delivery::Deferred(why) = &delivery else { panic!("{lines}: {delivery:?}") };
        for part in parts {
            assert!(why.contains(part), "{lines}: {why}");
        }
    }
}

#[tokio::test]
async fn what_postfix_holds_against_the_mail_is_final() {
    for (lines, to, part) in [
        ("", "nobody@example.org", " at RCPT TO: 550 5.1.1 <nobody@example.org>"),
        ("message_size_limit = 500", ALICE, " at end of the mail: 552 5.3.4 "),
        (
            "header_checks = regexp:{ {/^Subject:/ REJECT} }",
            ALICE,
            " at end of the mail: 550 5.7.1 message content rejected",
        ),
    ] {
        let delivery = with_rule(lines, |_| {}, to).await;
        let Delivery::Refused(why) = &delivery else { panic!("{lines}: {delivery:?}") };
        assert!(why.contains(part), "{lines}: {why}");
    }
}
