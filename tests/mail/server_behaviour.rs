//! Whatever a server does, each order is answered once, in time, and with the right word.

use std::sync::Arc;
use std::time::Duration;

use grid_broker::clock::wall_now;
use grid_broker::config::mail::MailSecurity;
use grid_broker::grid::model::mail_message::{Delivery, REPLY_BYTES_MAX};
use grid_broker::mail::{SmtpConfig, send_test_mail};
use grid_broker::tasks;
use mail_parser::MessageParser;

use crate::mail_sender::{Courier, JOURNAL, PASSWORD, message, settings};
use crate::script::{At, Begins, Does, Server, Turn};

/// How long each step may last: a good server answers in time on any machine.
pub(crate) const STEP: Duration = Duration::from_mins(1);

/// How long each step may last with a server that lets it pass.
const SHORT_STEP: Duration = Duration::from_secs(2);

const EVERY_STEP: [At; 9] = [
    At::Greeting,
    At::Ehlo,
    At::Starttls,
    At::Handshake,
    At::Auth,
    At::Mail,
    At::Rcpt,
    At::Data,
    At::End,
];

/// What comes of one mail to a server that does so at its first connection, and is good after that.
pub(crate) async fn once(turn: Turn) -> Delivery {
    let server = Server::start(Begins::Clear, &[turn, None]).await;
    let passes = [Does::Hangs, Does::Drips, Does::Drones, Does::Chatters];
    let is_slow = turn.is_some_and(|(_, does)| passes.contains(&does));
    let step = if is_slow { SHORT_STEP } else { STEP };
    let mut courier = Courier::start(Some(&settings(server.port, server.folder(), step)));
    let delivery = courier.bring(1, "alice@example.org").await;
    courier.stop().await;
    delivery
}

/// The same for many at once, each with a server of its own.
async fn each(turns: Vec<Turn>) -> Vec<(Turn, Delivery)> {
    let all: Vec<_> =
        turns.into_iter().map(|turn| (turn, tasks::spawn("a case", once(turn)))).collect();
    let mut came = Vec::new();
    assert!(!all.is_empty(), "no case was given");
    for (turn, one) in all {
        came.push((turn, one.await.expect("no panic")));
    }
    came
}

#[track_caller]
pub(crate) fn assert_deferred(delivery: &Delivery, turn: Turn, parts: &[&str]) {
    let Delivery::Deferred(why) = delivery else { panic!("{turn:?}: {delivery:?}") };
    assert!(why.len() <= REPLY_BYTES_MAX && !why.contains(char::is_control), "{turn:?}: {why}");
    assert!(why.starts_with("localhost:"), "{turn:?}: the server is named: {why}");
    for part in parts {
        assert!(why.contains(part), "{turn:?}: {why}");
    }
}

#[tokio::test]
async fn a_good_server_gets_what_was_rendered_and_says_so() {
    let server = Server::start(Begins::Clear, &[None]).await;
    let mut courier = Courier::start(Some(&settings(server.port, server.folder(), STEP)));
    let sent = courier.bring(7, "alice@example.org").await;
    assert_eq!(sent, Delivery::Sent("250 2.0.0 queued as 4711".into()));
    courier.stop().await;

    let [mail] = &server.mails()[..] else { panic!("one mail") };
    let mail = MessageParser::default().parse(mail.as_bytes()).expect("is a mail");
    assert_eq!(mail.message_id(), Some("mail-7.0123456789ab4def8123456789abcdef@grid-broker"));
    assert!(mail.body_text(0).expect("text").contains(r"größer\r\n.\r\nMAIL FROM:<x@y.z>"));
    let lines = server.lines();
    assert_eq!(lines[..2], ["EHLO broker.example.org", "STARTTLS"]);
    assert_eq!(lines[2], "EHLO broker.example.org");
    assert_eq!(
        lines[4..],
        ["MAIL FROM:<grid@example.org>", "RCPT TO:<alice@example.org>", "DATA", "QUIT"]
    );
}

#[tokio::test]
async fn a_server_that_hangs_at_any_step_defers_the_mail_in_time() {
    let names = [
        "greeting",
        "EHLO",
        "STARTTLS",
        "TLS handshake",
        "AUTH",
        "MAIL FROM",
        "RCPT TO",
        "DATA",
        "end of the mail",
    ];
    let came = each(EVERY_STEP.map(|at| Some((at, Does::Hangs))).to_vec()).await;
    assert_eq!(came.len(), names.len());
    for ((turn, delivery), name) in came.iter().zip(names) {
        let waited = if name.starts_with("end") { "waited 10 s" } else { "waited 2 s" };
        assert_deferred(delivery, *turn, &[&format!(" at {name}: no answer"), waited]);
    }
}

#[tokio::test]
async fn a_server_that_dies_at_any_step_defers_the_mail() {
    let came = each(EVERY_STEP.map(|at| Some((at, Does::Dies))).to_vec()).await;
    for (turn, delivery) in came {
        let handshake = turn == Some((At::Handshake, Does::Dies));
        let said = if handshake { "TLS handshake" } else { "the server closed the connection" };
        assert_deferred(&delivery, turn, &[said]);
    }
}

#[tokio::test]
async fn a_mail_whose_end_was_not_answered_is_brought_again_and_known_by_its_id() {
    let turns = [Some((At::End, Does::Dies)), None];
    let server = Server::start(Begins::Clear, &turns).await;
    let mut courier = Courier::start(Some(&settings(server.port, server.folder(), STEP)));
    let lost = courier.bring(7, "alice@example.org").await;
    assert_deferred(&lost, turns[0], &["end of the mail", "closed the connection"]);
    assert!(matches!(courier.bring(7, "alice@example.org").await, Delivery::Sent(_)));
    courier.stop().await;
    let mails = server.mails();
    assert_eq!((mails.len(), &mails[0]), (2, &mails[1]), "the same, byte by byte");
}

#[tokio::test]
async fn a_server_that_never_ends_is_cut_off() {
    let steps = [At::Greeting, At::Ehlo, At::Auth, At::Rcpt, At::End];
    for (does, said) in [
        // Whichever bound is reached first, on a machine that is busy.
        (Does::Chatters, "reply"),
        (Does::Drones, "longer than 16 KiB"),
        (Does::Drips, "no answer: waited"),
    ] {
        for (turn, delivery) in each(steps.map(|at| Some((at, does))).to_vec()).await {
            assert_deferred(&delivery, turn, &[said]);
        }
    }
}

#[tokio::test]
async fn a_server_that_talks_nonsense_gets_no_mail() {
    let steps = [At::Greeting, At::Ehlo, At::Starttls, At::Auth, At::Mail, At::Rcpt, At::Data];
    for nonsense in ["\0\u{1b}[2J", "HTTP/1.1 400 Bad Request", "999 x", "250-a\r\n251 b"] {
        let turns = steps.map(|at| Some((at, Does::Says(nonsense))));
        for (turn, delivery) in each(turns.to_vec()).await {
            assert_deferred(&delivery, turn, &[]);
        }
    }
    // A yes where content must be asked for: else the mail would be taken for commands.
    let turn = Some((At::Data, Does::Says("250 ok")));
    assert_deferred(&once(turn).await, turn, &["DATA", "is not allowed here"]);
    let turn = Some((At::End, Does::Says("354 more")));
    assert_deferred(&once(turn).await, turn, &["end of the mail", "is not allowed here"]);
}

#[tokio::test]
async fn later_is_later_and_greylisting_ends() {
    let greylists = Some((At::Rcpt, Does::Says("450 4.2.0 greylisted")));
    let server = Server::start(Begins::Clear, &[greylists, greylists, None]).await;
    let mut courier = Courier::start(Some(&settings(server.port, server.folder(), STEP)));
    for _ in 0..2 {
        let later = courier.bring(1, "alice@example.org").await;
        assert_deferred(&later, greylists, &["450 4.2.0 greylisted"]);
    }
    assert!(matches!(courier.bring(1, "alice@example.org").await, Delivery::Sent(_)));
    courier.stop().await;
}

#[tokio::test]
async fn connections_are_few_and_used_again() {
    let server = Server::start(Begins::Clear, &[None]).await;
    let mut settings = settings(server.port, server.folder(), Duration::from_secs(10));
    settings.connections = 2;
    let mut courier = Courier::start(Some(&settings));
    for number in 1..=30 {
        courier.order(message(number, "alice@example.org")).await;
    }
    let mut numbers = Vec::new();
    for _ in 1..=30 {
        let answer = courier.answer().await;
        assert!(matches!(answer.delivery, Delivery::Sent(_)), "{answer:?}");
        numbers.push(answer.number.0);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=30).collect::<Vec<_>>());
    courier.stop().await;
    assert_eq!((server.mails().len(), server.most_open()), (30, 2));
    assert!(server.connections() <= 4, "{} connections for 30 mails", server.connections());
}

#[tokio::test]
async fn a_kept_connection_that_ended_costs_no_mail() {
    // The first one serves one mail, and ends at the second; the next one is good.
    let turns = [Some((At::End, Does::Says("250 2.0.0 queued\r\n421 4.4.2 idle"))), None];
    let server = Server::start(Begins::Clear, &turns).await;
    let mut courier = Courier::start(Some(&settings(server.port, server.folder(), STEP)));
    assert!(matches!(courier.bring(1, "alice@example.org").await, Delivery::Sent(_)));
    let second = courier.bring(2, "alice@example.org").await;
    assert!(matches!(second, Delivery::Sent(_)), "{second:?}");
    courier.stop().await;
    assert_eq!(server.mails().len(), 2);
}

#[tokio::test]
async fn new_settings_hold_from_the_next_mail_on() {
    let (old, new) =
        (Server::start(Begins::Clear, &[None]).await, Server::start(Begins::Tls, &[None]).await);
    let mut courier = Courier::start(None);
    let none = courier.bring(1, "alice@example.org").await;
    assert_eq!(none, Delivery::Deferred("mail is not configured: mail.server is not set".into()));

    let post = SmtpConfig::new(&settings(old.port, old.folder(), STEP)).expect("is right");
    courier.post.send_replace(Some(Arc::new(post)));
    assert!(matches!(courier.bring(2, "alice@example.org").await, Delivery::Sent(_)));
    let mut tls = settings(new.port, new.folder(), STEP);
    tls.security = MailSecurity::Tls;
    courier.post.send_replace(Some(Arc::new(SmtpConfig::new(&tls).expect("is right"))));
    assert!(matches!(courier.bring(3, "alice@example.org").await, Delivery::Sent(_)));
    courier.stop().await;
    assert_eq!((old.mails().len(), new.mails().len()), (1, 1));
}

#[tokio::test]
async fn a_stop_waits_for_no_hanging_server() {
    let server = Server::start(Begins::Clear, &[Some((At::Rcpt, Does::Hangs))]).await;
    let mut settings = settings(server.port, server.folder(), Duration::from_mins(10));
    settings.connections = 1;
    let courier = Courier::start(Some(&settings));
    for number in 1..=3 {
        courier.order(message(number, "alice@example.org")).await;
    }
    // The step's own ten minutes are longer than any test waits.
    courier.stop().await;
}

#[tokio::test]
async fn whoever_can_not_be_believed_gets_neither_password_nor_mail() {
    let (server, other) =
        (Server::start(Begins::Tls, &[None]).await, Server::start(Begins::Clear, &[None]).await);
    // Another one's certificate, in both ways to begin TLS.
    for (port, security) in [(server.port, MailSecurity::Tls), (other.port, MailSecurity::Starttls)]
    {
        let stranger = if port == server.port { &other } else { &server };
        let mut settings = settings(port, stranger.folder(), STEP);
        settings.security = security;
        let mut courier = Courier::start(Some(&settings));
        let delivery = courier.bring(1, "alice@example.org").await;
        assert_deferred(&delivery, None, &["TLS handshake"]);
        courier.stop().await;
    }
    // A server that offers no TLS, though it is asked for.
    let plain =
        Server::start(Begins::Clear, &[Some((At::Ehlo, Does::Says("250 mail.test")))]).await;
    let mut courier = Courier::start(Some(&settings(plain.port, plain.folder(), STEP)));
    let delivery = courier.bring(1, "alice@example.org").await;
    assert_deferred(&delivery, None, &["STARTTLS: the server does not offer it", "mail.security"]);
    courier.stop().await;
    for server in [server, other, plain] {
        let said = server.lines().join("\n");
        assert!(!said.contains("AUTH") && !said.contains("MAIL"), "{said}");
        assert!(server.mails().is_empty());
    }
}

#[tokio::test]
async fn what_is_said_in_clear_behind_starttls_counts_for_nothing() {
    // Answers to EHLO and AUTH of the encrypted part, said before it by whoever stands in between.
    let injected = "220 go ahead\r\n250-x\r\n250 AUTH PLAIN\r\n535 5.7.8 injected";
    let turn = Some((At::Starttls, Does::Says(injected)));
    let server = Server::start(Begins::Clear, &[turn]).await;
    let mut courier = Courier::start(Some(&settings(server.port, server.folder(), STEP)));
    let delivery = courier.bring(1, "alice@example.org").await;
    if let Delivery::Deferred(why) = &delivery {
        assert!(!why.contains("injected"), "{why}");
    }
    courier.stop().await;
}

#[tokio::test]
async fn the_dialogue_of_a_test_is_told_whole_and_without_the_password() {
    let server = Server::start(Begins::Clear, &[None]).await;
    let post = SmtpConfig::new(&settings(server.port, server.folder(), STEP)).expect("is right");
    let test = send_test_mail(&post, JOURNAL, "alice@example.org", wall_now()).await;
    assert_eq!(test.delivery, Delivery::Sent("250 2.0.0 queued as 4711".into()));
    let mut lines = test.transcript;
    assert!(lines[0].starts_with("* connected with localhost:"), "{}", lines[0]);
    let mail = lines.iter().position(|line| line.starts_with("* the mail, ")).expect("the mail");
    lines.remove(mail);
    assert_eq!(
        lines[1..],
        [
            "< 220 mail.test ESMTP",
            "> EHLO broker.example.org",
            "< 250-mail.test",
            "< 250-8BITMIME",
            "< 250 STARTTLS",
            "> STARTTLS",
            "< 220 go ahead",
            "* the connection is encrypted from here on, the certificate is trusted",
            "> EHLO broker.example.org",
            "< 250-mail.test",
            "< 250-8BITMIME",
            "< 250 AUTH PLAIN LOGIN",
            "> AUTH PLAIN ***",
            "< 235 2.7.0 welcome",
            "> MAIL FROM:<grid@example.org>",
            "< 250 2.1.0 ok",
            "> RCPT TO:<alice@example.org>",
            "< 250 2.1.5 ok",
            "> DATA",
            "< 354 go ahead",
            "< 250 2.0.0 queued as 4711",
            "> QUIT",
            "< 221 bye",
        ]
    );
}

#[tokio::test]
async fn a_server_that_repeats_the_password_makes_nobody_tell_it() {
    let said = "535 5.7.8 `s3cr3t-of-grid` is wrong, so is AGdyaWQAczNjcjN0LW9mLWdyaWQ=";
    let server = Server::start(Begins::Clear, &[Some((At::Auth, Does::Says(said)))]).await;
    let post = SmtpConfig::new(&settings(server.port, server.folder(), STEP)).expect("is right");
    let test = send_test_mail(&post, JOURNAL, "alice@example.org", wall_now()).await;
    let told = format!("{test:?}");
    assert!(server.lines().iter().any(|line| line.contains("AGdyaWQAczNjcjN0LW9mLWdyaWQ=")));
    assert!(!told.contains(PASSWORD) && !told.contains("czNjcjN0"), "{told}");
    assert!(told.contains("535 5.7.8 `***` is wrong, so is ***"), "{told}");
}

#[test]
fn every_command_in_a_mail_is_one_that_gridctl_understands() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mail/rendered");
    let mut commands = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("rendered mails") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|it| it == "txt") {
            let text = std::fs::read_to_string(path).expect("a mail");
            let lines = text.lines().filter_map(|line| line.strip_prefix("  gridctl "));
            commands.extend(lines.map(str::to_owned));
        }
    }
    assert!(commands.len() > 4, "{commands:?}");
    for command in commands {
        let mut gridctl = std::process::Command::new(env!("CARGO_BIN_EXE_gridctl"));
        gridctl.env("GRID_BROKER", "127.0.0.1:1").args(command.split(' '));
        let output = gridctl.output().expect("gridctl runs");
        // Understood, and nobody there to answer.
        assert_eq!(output.status.code(), Some(6), "gridctl {command}: {output:?}");
    }
}
