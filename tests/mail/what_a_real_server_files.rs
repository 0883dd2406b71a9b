//! A real Postfix takes mails by STARTTLS and login, and files what was rendered.

use std::time::Duration;

use grid_broker::clock::wall_now;
use grid_broker::config::secret::Secret;
use grid_broker::grid::mail::Delivery;
use grid_broker::mail::{Post, dialogue};
use mail_parser::MessageParser;

use crate::postfix::Postfix;
use crate::support::{Courier, JOURNAL, settings};
use crate::test_timeout::wait_for;

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
    let post = Post::new(&right).expect("is right");
    let test = dialogue(&post, JOURNAL, "alice@example.org", wall_now()).await;
    assert!(matches!(test.delivery, Delivery::Sent(_)), "{test:?}\n{}", postfix.said());
    for line in
        ["> STARTTLS", "> AUTH PLAIN ***", "< 235 2.7.0 Authentication successful", "> DATA"]
    {
        assert!(test.lines.iter().any(|it| it == line), "{line} is missing: {:#?}", test.lines);
    }
    assert_eq!(filed(&postfix, 1).len(), 1);

    let mut wrong = right;
    wrong.password = Some(Secret::of_environment("PASSWORD", "wrong").expect("a secret"));
    let post = Post::new(&wrong).expect("is right");
    let test = dialogue(&post, JOURNAL, "alice@example.org", wall_now()).await;
    let Delivery::Deferred(why) = &test.delivery else { panic!("{test:?}") };
    assert!(why.contains(" at AUTH: 535 5.7.8 "), "{why}");
}
