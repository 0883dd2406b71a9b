//! Access tokens: made, shown once, rotated, revoked, and what a bad one gets.

use std::time::Duration;

use grid_broker::client::ClientCredential;
use grid_broker::contract::proto;
use grid_broker::contract::proto::create_token_request::Subject;
use grid_broker::identity::token::TokenKind;
use tonic::Code;

use crate::broker::{Broker, forged, reason};
use crate::support::{Hellos, holds, soon};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_administrator_has_a_token_in_a_file_of_its_own() {
    use std::os::unix::fs::PermissionsExt;

    let mut broker = Broker::plain().await;
    let file = broker.gridd.data().join("admin-token");
    let mode = std::fs::metadata(&file).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let secret = broker.admin.expose()[13..].to_owned();
    for said in [broker.gridd.stdout(), broker.gridd.stderr()] {
        assert!(!said.contains(&secret), "no log has the token: {said}");
    }
    let who = broker.as_admin().await.who_am_i(proto::WhoAmIRequest {}).await.expect("who");
    let who = who.into_inner();
    assert_eq!((who.name.as_str(), who.role()), ("admin", proto::Role::Admin));
    assert_eq!(who.credential_id, broker.admin.parsed().id.as_str());
    // There is one now: the next start makes none.
    std::fs::remove_file(&file).expect("is deleted");
    assert_eq!(broker.gridd.terminate().await, Some(0));
    broker.gridd.start_again().await;
    assert!(!file.exists());
    broker.as_admin().await.who_am_i(proto::WhoAmIRequest {}).await.expect("the token holds");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_gets_one_answer_and_the_record_says_which_it_was() {
    let broker = Broker::plain().await;
    let rotated = broker.administrator("ann", proto::Role::Viewer).await;
    let id = rotated.parsed().id.to_string();
    let request = proto::RotateTokenRequest { id: id.clone() };
    broker.as_admin().await.rotate_token(request).await.expect("is rotated");
    let revoked = broker.administrator("bob", proto::Role::Viewer).await;
    let request = proto::RevokeTokenRequest { id: revoked.parsed().id.to_string() };
    broker.as_admin().await.revoke_token(request).await.expect("is revoked");
    let name = Subject::Administrator("ann".to_owned());
    let short = broker.create_token(name, Some(Duration::from_secs(1))).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let unknown = forged(TokenKind::Administrator);
    for token in [rotated, revoked, short, unknown] {
        let mut client = broker.identity(ClientCredential::Token(token.clone())).await;
        let denied = client.who_am_i(proto::WhoAmIRequest {}).await.expect_err("is refused");
        assert_eq!(
            (denied.code(), denied.message()),
            (Code::Unauthenticated, "the token is not valid: unknown, expired, revoked or rotated"),
            "{token:?}"
        );
        broker.security_record(&["WhoAmI of token", token.parsed().id.as_str()]).await;
    }
    let enrolment = ClientCredential::Token(broker_enrolment(&broker).await);
    let denied = broker.identity(enrolment).await.who_am_i(proto::WhoAmIRequest {}).await;
    assert_eq!(reason(&denied.expect_err("is refused")), "ENROLMENT_TOKEN");
}

/// An enrolment token; without TLS no broker makes one.
async fn broker_enrolment(_: &Broker) -> grid_broker::client::TokenText {
    forged(TokenKind::Enrolment)
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slowed_for_the_guesser_and_locks_nobody_out() {
    let broker = Broker::plain().await;
    let victim = broker.administrator("ann", proto::Role::Viewer).await;
    // The right id with wrong secrets, as who has seen the list could try.
    let guess = grid_broker::identity::token::NewToken::with_id(
        TokenKind::Administrator,
        victim.parsed().id,
        None,
    );
    let guess = grid_broker::client::TokenText::new(guess.expect("a token").text());
    let credential = ClientCredential::Token(guess.expect("a token"));
    let mut guesser = broker.identity(credential).await;
    let mut codes = Vec::new();
    for _ in 0..40 {
        let denied = guesser.who_am_i(proto::WhoAmIRequest {}).await.expect_err("is refused");
        codes.push(denied.code());
    }
    assert_eq!(codes[..30], [Code::Unauthenticated; 30]);
    assert_eq!(codes[35..], [Code::ResourceExhausted; 5]);
    // Another token from the same address works, and so does the administration.
    let other = broker.create_token(Subject::Administrator("ann".to_owned()), None).await;
    let mut ann = broker.identity(ClientCredential::Token(other)).await;
    ann.who_am_i(proto::WhoAmIRequest {}).await.expect("ann is not locked out");
    let refused = broker.records(proto::RecordKind::Security).await;
    let refused = refused.iter().filter(|it| it.contains("refused")).count();
    assert!((1..=12).contains(&refused), "{refused} records of 40 refusals");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_ends_its_streams_at_once() {
    let broker = Broker::plain().await;
    let token = broker.administrator("vera", proto::Role::Viewer).await;
    let channel = broker.channel(ClientCredential::Token(token.clone())).await;
    let mut log = proto::grid_log_service_client::GridLogServiceClient::new(channel);
    let request = proto::TailRecordsRequest::default();
    let mut tail = log.tail_records(request).await.expect("a tail").into_inner();
    let (sender, mut ended) = tokio::sync::mpsc::channel(1);
    let reading = grid_broker::tasks::spawn("tail", async move {
        let end = loop {
            match tail.message().await {
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(status) => break Some(status),
            }
        };
        sender.send(end).await.expect("is waited for");
    });
    assert!(ended.try_recv().is_err(), "it goes on");
    let request = proto::RevokeTokenRequest { id: token.parsed().id.to_string() };
    broker.as_admin().await.revoke_token(request).await.expect("is revoked");
    let end = soon("the end of the tail", ended.recv()).await.expect("an end").expect("a status");
    reading.await.expect("no panic");
    assert_eq!((end.code(), reason(&end).as_str()), (Code::Unauthenticated, "CREDENTIAL_REVOKED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_a_revoked_token_ends_although_its_client_is_silent() {
    let broker = Broker::plain().await;
    let token = broker.appliance("db1").await;
    let channel = broker.channel(ClientCredential::Token(token.clone())).await;
    let mut events = proto::event_service_client::EventServiceClient::new(channel);
    let (sender, requests) = tokio::sync::mpsc::channel(1);
    let hello = proto::session_request::Message::Hello(Hellos::of(1, 1));
    sender.send(proto::SessionRequest { message: Some(hello) }).await.expect("is sent");
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let _replies = events.session(requests).await.expect("a session");
    let admin = ClientCredential::Token(broker.admin.clone());
    let mut service =
        proto::broker_service_client::BrokerServiceClient::new(broker.channel(admin).await);
    let mut sessions = async || {
        let status = service.get_status(proto::GetStatusRequest {}).await.expect("a status");
        status.into_inner().sessions
    };
    holds("the session is open", async || sessions().await == 1).await;
    let request = proto::RevokeTokenRequest { id: token.parsed().id.to_string() };
    broker.as_admin().await.revoke_token(request).await.expect("is revoked");
    // Neither end reads or sends anything more.
    holds("the session has ended", async || sessions().await == 0).await;
    drop(sender);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_begun_before_a_revocation_is_not_executed_after_it() {
    let broker = Broker::plain().await;
    let token = broker.administrator("eve", proto::Role::Admin).await;
    // The headers are sent, the message is not: it comes after the revocation.
    let (message, body) = tokio::sync::mpsc::channel::<proto::CreateAdministratorRequest>(1);
    let channel = broker.channel(ClientCredential::Token(token)).await;
    let calling = grid_broker::tasks::spawn("late call", async move {
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.expect("is ready");
        let path = "/grid.events.v1.IdentityService/CreateAdministrator".parse().expect("a path");
        let codec = tonic_prost::ProstCodec::<_, proto::CreateAdministratorResponse>::default();
        let body = tokio_stream::wrappers::ReceiverStream::new(body);
        client.client_streaming(tonic::Request::new(body), path, codec).await
    });
    let admin = ClientCredential::Token(broker.admin.clone());
    let mut reports =
        proto::broker_service_client::BrokerServiceClient::new(broker.channel(admin).await);
    holds("a report lists the call", async || {
        let report = reports.get_report(proto::GetReportRequest::default()).await;
        let report = report.expect("a report").into_inner().report;
        report.contains("/grid.events.v1.IdentityService/CreateAdministrator")
    })
    .await;
    let request = proto::RemoveAdministratorRequest { name: "eve".to_owned() };
    broker.as_admin().await.remove_administrator(request).await.expect("is removed");
    let (name, role) = ("mallory".to_owned(), proto::Role::Admin.into());
    let late = proto::CreateAdministratorRequest { name, role };
    message.send(late).await.expect("the call waits");
    drop(message);
    let denied = soon("the end of the call", calling).await.expect("no panic");
    assert_eq!(denied.expect_err("eve is removed").code(), Code::Unauthenticated);
    let mut admin = broker.as_admin().await;
    let list = admin.list_administrators(proto::ListAdministratorsRequest {}).await;
    let list = list.expect("a list").into_inner().administrators;
    assert!(list.iter().all(|it| it.name != "mallory"), "{list:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_listed_without_secrets_and_their_use_is_noted() {
    let broker = Broker::plain().await;
    let token = broker.appliance("db1").await;
    let mut client = broker.identity(ClientCredential::Token(token.clone())).await;
    client.who_am_i(proto::WhoAmIRequest {}).await.expect("who");
    holds("the use of the token is noted", async || {
        let list = broker.as_admin().await.list_tokens(proto::ListTokensRequest {}).await;
        let tokens = list.expect("tokens").into_inner().tokens;
        let mut own = tokens.iter().filter(|it| it.id == token.parsed().id.as_str());
        own.next().is_some_and(|it| it.last_used_at.is_some() && it.created_by.contains("admin"))
    })
    .await;
    // Neither a report nor the process shows one.
    let channel = broker.channel(ClientCredential::Token(broker.admin.clone())).await;
    let mut service = proto::broker_service_client::BrokerServiceClient::new(channel);
    let report = service.get_report(proto::GetReportRequest::default()).await.expect("a report");
    let mut shown = vec![report.into_inner().report];
    for name in ["cmdline", "environ"] {
        let path = format!("/proc/{}/{name}", broker.gridd.pid());
        shown.push(String::from_utf8_lossy(&std::fs::read(path).expect("reads")).into_owned());
    }
    for token in [&token, &broker.admin] {
        for text in &shown {
            assert!(!text.contains(&token.expose()[13..56]), "it has a secret: {text}");
        }
    }
    // Nothing on disk has a secret.
    let secret = &token.expose()[13..];
    for file in crate::support::files_below(&broker.gridd.data()) {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{} has the secret", file.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_admin_stays() {
    let broker = Broker::plain().await;
    let mut admin = broker.as_admin().await;
    let name = "admin".to_owned();
    let request = proto::RemoveAdministratorRequest { name: name.clone() };
    let denied = admin.remove_administrator(request.clone()).await.expect_err("the last one");
    assert_eq!((denied.code(), reason(&denied).as_str()), (Code::FailedPrecondition, "LAST_ADMIN"));
    let role = proto::Role::Viewer.into();
    let demote = proto::SetAdministratorRequest { name, role };
    let denied = admin.set_administrator(demote).await.expect_err("the last one");
    assert_eq!(reason(&denied), "LAST_ADMIN");
    broker.administrator("eve", proto::Role::Admin).await;
    admin.remove_administrator(request).await.expect("there is another one");
    let denied = admin.who_am_i(proto::WhoAmIRequest {}).await.expect_err("the token is gone");
    assert_eq!(denied.code(), Code::Unauthenticated);
}
