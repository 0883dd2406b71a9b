//! Tests a listener with TLS: which clients it accepts, which connections it closes, and reloads.

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{HandshakeKind, SupportedProtocolVersion, version};
use uuid::Uuid;

use super::super::*;
use super::tls_broker::{
    HOUR, TestBroker, TestClient, authority_in, certificate, configs, connect, read_to_end, request,
};
use crate::clock::wall_now;
use crate::identity::refusal::RefusalKind;
use crate::identity::server_tls::ClientCertificates;
use crate::listener::protocol::PREFACE;
use crate::test_timeout;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

#[tokio::test]
async fn both_versions_know_the_peer_with_and_without_a_certificate() {
    let broker = TestBroker::start(ClientCertificates::Optional).await;
    for version in VERSIONS {
        let nobody = TestClient { version, ..broker.client() };
        let page = nobody.peer_page(broker.http).await.expect("a page");
        assert!(page.ends_with("\r\n\r\n127.0.0.1 true None"), "{page}");
        let client = TestClient { version, ..broker.valid_client("shop:main.db1") };
        let page = client.peer_page(broker.http).await.expect("a page");
        let owner = "127.0.0.1 true Some((\"appliance shop:main.db1\", true))";
        assert!(page.ends_with(owner), "{page}");
        let without_protocol = TestClient { protocol: None, ..client };
        let page = without_protocol.peer_page(broker.http).await.expect("a page");
        assert!(page.ends_with(owner), "{page}");
        let other_protocol = TestClient { protocol: Some("smtp"), ..broker.client() };
        let error = other_protocol.connect(broker.http).await.expect_err("no common protocol");
        assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
        let http1 = TestClient { protocol: Some("http/1.1"), ..broker.client() };
        http1.connect(broker.grpc).await.expect_err("gRPC is HTTP/2");
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_accepted_ends_the_handshake_with_a_reason() {
    let mut broker = TestBroker::start(ClientCertificates::Optional).await;
    let now = wall_now();
    let (other_folder, foreign_folder) = (TempDir::new().expect("ok"), TempDir::new().expect("ok"));
    let other = authority_in(&other_folder, Uuid::nil());
    // The CA of this journal was made anew: it has the same name.
    let of_other = certificate(&other, "db1", (now, now.after(HOUR)));
    let foreign = authority_in(&foreign_folder, Uuid::max());
    let of_foreign = certificate(&foreign, "db1", (now, now.after(HOUR)));
    let expired = broker.client_of("db1", now.before(2 * HOUR), now.before(HOUR));
    let future = broker.client_of("db1", now.after(3 * HOUR), now.after(4 * HOUR));
    let revoked = broker.valid_client("db2");
    broker.revoke("db2");
    let unknown = TestClient { certificate: Some(of_other), ..broker.client() };
    let foreign = TestClient { certificate: Some(of_foreign), ..broker.client() };
    for version in VERSIONS {
        for (client, alert, reason) in [
            (&expired, "CertificateExpired", "the certificate ended at "),
            (&future, "CertificateExpired", "the certificate is valid from "),
            (&revoked, "CertificateRevoked", "appliance db2 is revoked"),
            (&unknown, "UnknownCA", "no CA that this broker trusts has signed the certificate"),
            (&foreign, "UnknownCA", "no CA that this broker trusts has signed the certificate"),
        ] {
            for (at, listener) in [(broker.grpc, "grpc"), (broker.http, "http")] {
                let protocol = if listener == "grpc" { "h2" } else { "http/1.1" };
                let client = TestClient { version, protocol: Some(protocol), ..client.clone() };
                let before = broker.count(listener, "certificate");
                let error = client.peer_page(at).await.expect_err("is refused");
                assert!(error.to_string().contains(alert), "{error}");
                let refused = broker.refusal().await;
                assert!(refused.reason.starts_with(reason), "{refused:?}");
                assert_eq!((refused.listener, refused.kind), (listener, RefusalKind::Certificate));
                assert!(refused.names.is_some_and(|names| names.contains("/appliance/db")));
                assert_eq!(broker.count(listener, "certificate"), before + 1);
            }
        }
    }
}

#[tokio::test]
async fn where_a_certificate_is_required_nobody_is_served_without() {
    let mut broker = TestBroker::start(ClientCertificates::Required).await;
    for version in VERSIONS {
        let nobody = TestClient { version, ..broker.client() };
        let error = nobody.peer_page(broker.http).await.expect_err("is refused");
        assert!(!error.to_string().is_empty());
        assert_eq!(broker.refusal().await.kind, RefusalKind::NoCertificate);
        let client = TestClient { version, ..broker.valid_client("db1") };
        client.peer_page(broker.http).await.expect("a page");
    }
    assert_eq!(broker.count("http", "no_certificate"), 2);
}

#[tokio::test]
async fn no_session_is_resumed() {
    let broker = TestBroker::start(ClientCertificates::Optional).await;
    for version in VERSIONS {
        for client in [broker.client(), broker.valid_client("db1")] {
            let connector = TestClient { version, ..client }.connector();
            for _ in 0..3 {
                let mut stream = connect(&connector, broker.http).await.expect("accepted");
                request(&mut stream, "/peer", "close").await.expect("sent");
                read_to_end(&mut stream).await;
                assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
            }
        }
    }
}

#[tokio::test]
async fn silence_half_a_preface_and_plain_text_close_the_connection() {
    let broker = TestBroker::start(ClientCertificates::Optional).await;
    let grpc_client = TestClient { protocol: Some("h2"), ..broker.client() };
    let over_tls = |sent: &'static [u8]| async {
        let mut stream = grpc_client.connect(broker.grpc).await.expect("accepted");
        stream.write_all(sent).await.expect("sent");
        stream.flush().await.expect("sent");
        read_to_end(&mut stream).await
    };
    let over_tcp = |at, sent: &'static [u8]| async move {
        let mut stream = TcpStream::connect(at).await.expect("it listens");
        stream.write_all(sent).await.expect("sent");
        let mut all = Vec::new();
        let ended =
            tokio::time::timeout(test_timeout::timeout(), stream.read_to_end(&mut all)).await;
        assert!(ended.is_ok(), "it is still open: {sent:?}");
        String::from_utf8_lossy(&all).into_owned()
    };
    let (silent, half, nothing, hello, garbage, page, call) = tokio::join!(
        over_tls(b""),
        over_tls(&PREFACE[..20]),
        over_tcp(broker.grpc, b""),
        over_tcp(broker.http, &[0x16, 3, 1, 2, 0, 1]),
        over_tcp(broker.http, &[0x99; 64]),
        over_tcp(broker.http, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        over_tcp(broker.grpc, PREFACE),
    );
    assert_eq!((silent.as_slice(), half.as_slice()), (&[][..], &[][..]));
    assert_eq!((nothing.as_str(), hello.as_str()), ("", ""));
    assert!(garbage.len() < 10, "an alert at most: {garbage:?}");
    assert!(page.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{page}");
    for told in [page, call] {
        assert!(told.contains("this port accepts only TLS: write https://"), "{told}");
    }
    assert_eq!((broker.count("grpc", "silent"), broker.count("http", "silent")), (3, 1));
    assert_eq!((broker.count("grpc", "not_tls"), broker.count("http", "not_tls")), (1, 1));
    assert_eq!(broker.count("http", "handshake"), 1);
}

#[tokio::test]
async fn a_protocol_that_was_not_agreed_on_is_refused() {
    let broker = TestBroker::start(ClientCertificates::Off).await;
    let h2 = TestClient { protocol: Some("h2"), ..broker.client() };
    let mut stream = h2.connect(broker.http).await.expect("accepted");
    request(&mut stream, "/peer", "close").await.expect("sent");
    assert_eq!(read_to_end(&mut stream).await, b"");
    let mut stream = broker.client().connect(broker.http).await.expect("accepted");
    stream.write_all(PREFACE).await.expect("sent");
    stream.flush().await.expect("sent");
    assert_eq!(read_to_end(&mut stream).await, b"");
    assert_eq!(broker.count("http", "not_http"), 2);
}

/// Opens a session of HTTP/2: preface and empty settings.
async fn open_http2(client: &TestClient, at: SocketAddr) -> TlsStream<TcpStream> {
    let client = TestClient { protocol: Some("h2"), ..client.clone() };
    let mut stream = client.connect(at).await.expect("accepted");
    stream.write_all(&[&PREFACE[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat()).await.expect("sent");
    stream.flush().await.expect("sent");
    stream
}

/// The next frame: its type, and its payload.
async fn read_frame(stream: &mut TlsStream<TcpStream>) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    stream.read_exact(&mut payload).await?;
    Ok((head[3], payload))
}

/// The settings that the server sends: value by id.
async fn server_settings(client: &TestClient, at: SocketAddr) -> Vec<(u16, u32)> {
    let mut stream = open_http2(client, at).await;
    let (kind, payload) = read_frame(&mut stream).await.expect("settings");
    assert_eq!(kind, 4);
    let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
    let pairs = payload.chunks(6);
    pairs.map(|it| (u16::try_from(number(&it[..2])).expect("an id"), number(&it[2..]))).collect()
}

#[tokio::test]
async fn a_peer_without_a_certificate_has_lower_limits() {
    let broker = TestBroker::start(ClientCertificates::Optional).await;
    let (streams_max, window) = (3, 4);
    for (client, expected) in
        [(broker.client(), [16, 65_536]), (broker.valid_client("db1"), [200, 524_288])]
    {
        let settings = server_settings(&client, broker.grpc).await;
        let value = |id| settings.iter().find(|(it, _)| *it == id).map(|(_, value)| *value);
        assert_eq!([value(streams_max), value(window)], expected.map(Some));
    }
}

#[tokio::test]
async fn a_connection_ends_with_its_certificate() {
    let broker = TestBroker::start(ClientCertificates::Optional).await;
    let now = wall_now();
    let short = broker.client_of("db1", now, now.after(Duration::from_secs(3)));
    let long = broker.valid_client("db2");
    let mut idle = open_http2(&short, broker.grpc).await;
    let mut busy = short.connect(broker.http).await.expect("accepted");
    request(&mut busy, "/waits", "keep-alive").await.expect("sent");
    let mut other = long.connect(broker.http).await.expect("accepted");
    let frames = async {
        let mut kinds = Vec::new();
        while let Ok((kind, _)) = read_frame(&mut idle).await {
            kinds.push(kind);
        }
        kinds
    };
    let frames = tokio::time::timeout(test_timeout::timeout(), frames);
    let (frames, page) = tokio::join!(frames, read_to_end(&mut busy));
    assert!(frames.expect("it ends").contains(&7), "GOAWAY comes before the end");
    assert_eq!(page, b"");
    assert!(wall_now() >= now.after(Duration::from_secs(2)), "not before its time");
    assert_eq!(broker.count("grpc", "certificate_ended"), 1);
    assert_eq!(broker.count("http", "certificate_ended"), 1);
    request(&mut other, "/peer", "close").await.expect("sent");
    assert!(!read_to_end(&mut other).await.is_empty(), "another's is in force");
}

#[tokio::test]
async fn a_revocation_ends_the_connections_of_its_owner_alone() {
    let broker = TestBroker::start(ClientCertificates::Optional).await;
    let (one, other) = (broker.valid_client("db1"), broker.valid_client("db2"));
    let mut idle = open_http2(&one, broker.grpc).await;
    let mut busy = one.connect(broker.http).await.expect("accepted");
    request(&mut busy, "/waits", "keep-alive").await.expect("sent");
    let mut of_other = other.connect(broker.http).await.expect("accepted");
    // A change that is not about any of them.
    broker.revoke("db3");
    request(&mut of_other, "/peer", "keep-alive").await.expect("sent");
    let mut begin = [0; 8];
    of_other.read_exact(&mut begin).await.expect("a page");
    broker.revoke("db1");
    tokio::join!(read_to_end(&mut idle), read_to_end(&mut busy));
    assert_eq!(broker.count("grpc", "certificate_revoked"), 1);
    assert_eq!(broker.count("http", "certificate_revoked"), 1);
    request(&mut of_other, "/peer", "close").await.expect("sent");
    let rest = read_to_end(&mut of_other).await;
    assert!(String::from_utf8_lossy(&rest).contains("appliance db2"));
}

#[tokio::test]
async fn a_reload_ends_no_connection_and_both_listeners_show_the_new_certificate() {
    let broker = TestBroker::start(ClientCertificates::Optional).await;
    let client = broker.valid_client("db1");
    let h2 = TestClient { protocol: Some("h2"), ..client.clone() };
    let shown = |stream: &TlsStream<TcpStream>| {
        stream.get_ref().1.peer_certificates().expect("a chain")[0].to_vec()
    };
    let mut live = Vec::new();
    for _ in 0..20 {
        live.push(client.connect(broker.http).await.expect("accepted"));
    }
    let mut session = open_http2(&client, broker.grpc).await;
    let old = shown(&session);
    assert_eq!(shown(&live[0]), old);
    let new = configs(&broker.authority, ClientCertificates::Optional, "new.example");
    broker.configs.send_replace(Arc::new(new));
    let [on_http, on_grpc] = [(&client, broker.http), (&h2, broker.grpc)].map(|(client, at)| {
        let client = client.clone();
        async move { client.connect(at).await.expect("accepted") }
    });
    let (on_http, on_grpc) = tokio::join!(on_http, on_grpc);
    assert_ne!(shown(&on_http), old);
    assert_eq!(shown(&on_http), shown(&on_grpc));
    for stream in &mut live {
        request(stream, "/peer", "close").await.expect("sent");
        let page = read_to_end(stream).await;
        assert!(String::from_utf8_lossy(&page).contains("appliance db1"));
    }
    // A ping of the old session is answered.
    session.write_all(&[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]).await.expect("sent");
    session.flush().await.expect("sent");
    let answered = async {
        loop {
            let (kind, payload) = read_frame(&mut session).await.expect("it is open");
            if kind == 6 && payload == [1, 2, 3, 4, 5, 6, 7, 8] {
                return;
            }
        }
    };
    tokio::time::timeout(test_timeout::timeout(), answered).await.expect("an answer");
    assert!(broker.folder.path().join("ca/server.pem").exists());
}
