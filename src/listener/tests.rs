//! A listener with connections made by hand: what it answers, and what it closes by itself.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::first_bytes::PREFACE;
use super::guard::PANIC_MESSAGE;
use super::*;
use crate::test_timeout;

/// A listener of a test, until this is dropped.
struct Served {
    address: SocketAddr,
    counted: Connections,
    /// Requests for the page that waits.
    busy: Arc<AtomicUsize>,
    _stop: watch::Sender<bool>,
}

impl Served {
    async fn start(port: Port, connections_max: usize) -> Self {
        let busy = Arc::new(AtomicUsize::new(0));
        let waits = Arc::clone(&busy);
        let routes = Router::new()
            .route("/", get(|| async { "a page\n" }))
            .route("/waits", get(move || waiting_page(Arc::clone(&waits))))
            .route("/panics", get(panicking_page));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (stop, stopping) = watch::channel(false);
        let counted = Connections::default();
        let rules = Rules {
            port,
            hosts: Arc::default(),
            connections_max,
            counted: counted.clone(),
            other: "127.0.0.1:7480".parse().expect("an address"),
        };
        drop(tasks::spawn("server", serve(listener, routes, rules, stopping)));
        Self { address, counted, busy, _stop: stop }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }

    /// What comes until the end of a connection that sent so much.
    async fn ended(&self, sent: &[u8]) -> String {
        let mut client = self.connect().await;
        client.write_all(sent).await.expect("taken");
        let mut answer = Vec::new();
        // A reset is an end, too.
        let ended =
            tokio::time::timeout(test_timeout::timeout(), client.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "it is still open: {sent:?}");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Until so many requests wait for their answer.
    async fn waits_for(&self, count: usize) {
        let all = async {
            while self.busy.load(Ordering::Relaxed) < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(test_timeout::timeout(), all).await.expect("they come");
    }

    fn metrics(&self) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        self.counted.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
        text
    }
}

async fn waiting_page(busy: Arc<AtomicUsize>) -> &'static str {
    busy.fetch_add(1, Ordering::Relaxed);
    std::future::pending().await
}

async fn panicking_page() -> &'static str {
    tokio::task::yield_now().await;
    panic!("on purpose")
}

fn asks(path: &str, content_type: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: {content_type}\r\n\r\n"
    )
}

#[tokio::test]
async fn a_call_whose_code_panics_is_answered_with_internal() {
    let http = Served::start(Port::Http, 8).await;
    let page = http.ended(asks("/panics", "text/html").as_bytes()).await;
    assert!(page.starts_with("HTTP/1.1 500 "), "{page}");
    assert!(page.ends_with(&format!("\r\n\r\n{PANIC_MESSAGE}\n")), "{page}");
    let call = http.ended(asks("/panics", "application/grpc").as_bytes()).await;
    assert!(call.starts_with("HTTP/1.1 200 "), "{call}");
    assert!(call.contains("\r\ngrpc-status: 13\r\n"), "{call}");
}

#[tokio::test]
async fn whoever_says_nothing_whole_is_closed_by_one_deadline() {
    let (grpc, http) = (Served::start(Port::Grpc, 64).await, Served::start(Port::Http, 64).await);
    let half_of_header = &b"GET / HTTP/1.1\r\nHost: loc"[..];
    let (grpc_at, http_at) = (&grpc, &http);
    let ends = |served: &'static str, sent: &'static [u8]| async move {
        let served = if served == "grpc" { grpc_at } else { http_at };
        served.ended(sent).await
    };
    let all = tokio::join!(
        ends("grpc", b""),
        ends("grpc", b"P"),
        ends("grpc", &PREFACE[..20]),
        ends("http", b""),
        ends("http", b"P"),
        ends("http", &PREFACE[..20]),
        ends("http", half_of_header),
        // A browser that opens a connection for later.
        ends("http", PREFACE),
    );
    let silent = ["", "", "", "", "", "", ""];
    assert_eq!([&all.0, &all.1, &all.2, &all.3, &all.4, &all.5, &all.6], silent);
    for (listener, count) in [("grpc", 3), ("http", 5)] {
        let line = format!("{{listener=\"{listener}\",reason=\"silent\"}} {count}\n");
        assert!(served_metrics(listener, &grpc, &http).contains(&line), "{line}");
    }
}

fn served_metrics(listener: &str, grpc: &Served, http: &Served) -> String {
    if listener == "grpc" { grpc.metrics() } else { http.metrics() }
}

#[tokio::test]
async fn whoever_takes_one_port_for_the_other_is_told_and_closed() {
    let grpc = Served::start(Port::Grpc, 8).await;
    let answer = grpc.ended(asks("/", "application/grpc").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 505 HTTP Version Not Supported\r\n"), "{answer}");
    let words = "this is gridd's gRPC port, which speaks HTTP/2 alone; pages are on http://127.0.0.1:7480\n";
    assert!(answer.ends_with(words), "{answer}");
    assert_eq!(grpc.ended(&[0x16, 3, 1, 2, 0, 1]).await, "", "TLS is not spoken here");
    assert!(grpc.metrics().contains("{listener=\"grpc\",reason=\"not_http2\"} 1\n"));
}

#[tokio::test]
async fn idle_connections_keep_nobody_out_and_busy_ones_stay() {
    let http = Served::start(Port::Http, 4).await;
    // One address may take three of four.
    let mut busy = http.connect().await;
    busy.write_all(asks("/waits", "a/b").as_bytes()).await.expect("taken");
    http.waits_for(1).await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(http.connect().await);
        let mut half = http.connect().await;
        half.write_all(b"GET / HTTP/1.1\r\n").await.expect("taken");
        idle.push(half);
        let page = http.ended(asks("/", "a/b").as_bytes()).await;
        assert!(page.ends_with("\r\n\r\na page\n"), "{page}");
    }
    let mut byte = [0];
    assert!(busy.try_read(&mut byte).is_err_and(|it| it.kind() == io::ErrorKind::WouldBlock));
}

#[tokio::test]
async fn when_all_places_are_busy_a_newcomer_is_told_so() {
    let http = Served::start(Port::Http, 4).await;
    let mut busy = Vec::new();
    for count in 1..=3 {
        let mut client = http.connect().await;
        client.write_all(asks("/waits", "a/b").as_bytes()).await.expect("taken");
        busy.push(client);
        http.waits_for(count).await;
    }
    let answer = http.ended(b"").await;
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    assert!(http.metrics().contains("{listener=\"http\",reason=\"address_full\"} 1\n"));
}
