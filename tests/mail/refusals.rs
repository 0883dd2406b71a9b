//! What a server's refusal is about decides whether a mail waits or fails; the code of a reply counts,
//! whatever its text is.

use grid_broker::grid::model::mail_message::Delivery;

use crate::mail_sender::{Courier, settings};
use crate::script::{At, Begins, Does, Server};
use crate::server_behaviour::{STEP, assert_deferred, once};

#[tokio::test]
async fn what_is_said_of_the_mail_is_refused_and_what_is_said_of_us_is_deferred() {
    for (at, said) in [
        (At::Rcpt, "550 5.1.1 no such user"),
        (At::Rcpt, "552 5.2.2 mailbox full"),
        (At::Data, "554 5.5.0 no valid recipients"),
        (At::End, "554 5.7.1 spam\x1b"),
        // Of a limit it may be told at once.
        (At::Mail, "552 5.3.4 Message size exceeds fixed limit"),
    ] {
        let refused = once(Some((at, Does::Says(said)))).await;
        let Delivery::Refused(why) = refused else { panic!("{said}: {refused:?}") };
        assert!(why.contains(&said.replace('\x1b', "\\x1b")), "{why}");
    }
    for (at, said) in [
        (At::Greeting, "554 5.7.1 your address is on a list"),
        (At::Greeting, "421 4.3.2 shutting down"),
        (At::Ehlo, "550 no"),
        (At::Starttls, "454 4.7.0 TLS not available"),
        (At::Starttls, "501 no"),
        (At::Auth, "535 5.7.8 authentication failed"),
        (At::Mail, "553 5.1.8 sender not allowed"),
        (At::Mail, "452 4.3.1 disk full"),
        (At::Rcpt, "530 5.7.0 authentication required"),
        // What Postfix holds against who connects, it says at RCPT.
        (At::Rcpt, "504 5.5.2 <vm>: Helo command rejected: need fully-qualified hostname"),
        (At::Rcpt, "554 5.7.1 <unknown[192.0.2.7]>: Client host rejected: Access denied"),
        (At::Rcpt, "553 5.7.1 <grid@example.org>: Sender address rejected: not owned by user x"),
        (At::Rcpt, "554 5.7.1 <alice@example.org>: Relay access denied"),
        (At::Rcpt, "571 Delivery not authorized"),
        (At::Data, "554 5.7.1 not from you"),
        (At::End, "554 5.7.1 <unknown[192.0.2.7]>: Client host rejected: Access denied"),
        (At::Rcpt, "450 4.2.0 greylisted, come back in 5 minutes"),
        (At::Rcpt, "452 4.2.2 mailbox full"),
        (At::Data, "451 4.3.0 later"),
        (At::End, "451 4.3.0 later"),
    ] {
        let turn = Some((at, Does::Says(said)));
        assert_deferred(&once(turn).await, turn, &[said]);
    }
}

#[tokio::test]
async fn the_code_of_a_reply_counts_whatever_its_text_is() {
    let yes: [(At, &[u8]); 7] = [
        (At::Greeting, b"220-mail.test gr\xfc\xdft\r\n220 \r\n"),
        (At::Ehlo, b"250-\r\n250-starttls\n250 auth=plain LOGIN\r\n"),
        (At::Starttls, b"220\r\n"),
        (At::Mail, b"250\r\n"),
        (At::Rcpt, b"250-2.1.5 Empf\xe4nger\r\nist da\r\n250 2.1.5 ok\r\n"),
        (At::Data, b"354\n"),
        (At::End, b"250 2.0.0 zugestellt f\xfcr Sie\n"),
    ];
    for (at, bytes) in yes {
        let turn = Some((at, Does::SaysBytes(bytes)));
        let delivery = once(turn).await;
        assert!(matches!(delivery, Delivery::Sent(_)), "{turn:?}: {delivery:?}");
    }
    let refused =
        once(Some((At::Rcpt, Does::SaysBytes(b"550 unbekannter Empf\xe4nger\r\n")))).await;
    let Delivery::Refused(why) = &refused else { panic!("{refused:?}") };
    assert!(why.contains(" at RCPT TO: 550 unbekannter Empf\u{fffd}nger"), "{why}");
    let turn = Some((At::Rcpt, Does::SaysBytes(b"450 sp\xe4ter\r\n")));
    assert_deferred(&once(turn).await, turn, &["450 sp"]);
}

#[tokio::test]
async fn what_a_server_refuses_in_its_greeting_is_told_as_of_the_greeting() {
    for said in ["554 5.7.1 your address is on a list", "421 4.3.2 too many connections"] {
        let turn = Some((At::Greeting, Does::Says(said)));
        assert_deferred(&once(turn).await, turn, &[&format!(" at greeting: {said}")]);
    }
    let turn = Some((At::Ehlo, Does::Says("550 no")));
    assert_deferred(&once(turn).await, turn, &[" at EHLO: 550 no"]);
}

#[tokio::test]
async fn who_has_no_full_name_says_its_address() {
    let server = Server::start(Begins::Clear, &[None]).await;
    let mut settings = settings(server.port, server.folder(), STEP);
    settings.ehlo_name = String::new();
    let mut courier = Courier::start(Some(&settings));
    assert!(matches!(courier.bring(1, "alice@example.org").await, Delivery::Sent(_)));
    courier.stop().await;
    let name = server.lines()[0].strip_prefix("EHLO ").expect("its first line").to_owned();
    assert!(name.contains('.') || name == "[IPv6:::1]", "{name}");
}
