//! Tests a listener with hand-made connections: its responses, and which connections it closes.

mod tls;
mod tls_broker;

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;
use crate::listener::panic_guard::PANIC_MESSAGE;
use crate::listener::protocol::PREFACE;
use crate::test_timeout;

/// A listener of a test; dropping it stops the listener.
struct TestListener {
    address: SocketAddr,
    metrics: Connections,
    /// Requests of the page that waits.
    waiting_requests: Arc<AtomicUsize>,
    _stop: watch::Sender<bool>,
}

impl TestListener {
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
        let rules = ListenerConfig {
            port,
            hosts: Arc::default(),
            connections_max,
            metrics: counted.clone(),
            other_address: "127.0.0.1:7480".parse().expect("an address"),
            is_other_tls: false,
            tls: None,
        };
        drop(tasks::spawn("server", serve(listener, routes, rules, stopping)));
        Self { address, metrics: counted, waiting_requests: busy, _stop: stop }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }

    /// Sends bytes, and returns all that arrives until the connection ends.
    async fn read_to_end(&self, sent: &[u8]) -> String {
        let mut client = self.connect().await;
        client.write_all(sent).await.expect("taken");
        let mut answer = Vec::new();
        // A reset also counts as the end.
        let ended =
            tokio::time::timeout(test_timeout::timeout(), client.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "it is still open: {sent:?}");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Waits until this many requests wait for their response.
    async fn wait_for_requests(&self, count: usize) {
        let all = async {
            while self.waiting_requests.load(Ordering::Relaxed) < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(test_timeout::timeout(), all).await.expect("they come");
    }

    fn metrics(&self) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        self.metrics.register(&mut registry);
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

fn request_text(path: &str, content_type: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: {content_type}\r\n\r\n"
    )
}

#[tokio::test]
async fn a_call_whose_code_panics_is_answered_with_internal() {
    let http = TestListener::start(Port::Http, 8).await;
    let page = http.read_to_end(request_text("/panics", "text/html").as_bytes()).await;
    assert!(page.starts_with("HTTP/1.1 500 "), "{page}");
    assert!(page.ends_with(&format!("\r\n\r\n{PANIC_MESSAGE}\n")), "{page}");
    let call = http.read_to_end(request_text("/panics", "application/grpc").as_bytes()).await;
    assert!(call.starts_with("HTTP/1.1 200 "), "{call}");
    assert!(call.contains("\r\ngrpc-status: 13\r\n"), "{call}");
}

#[tokio::test]
async fn a_connection_without_a_whole_request_is_closed_by_one_deadline() {
    let (grpc, http) =
        (TestListener::start(Port::Grpc, 64).await, TestListener::start(Port::Http, 64).await);
    let half_of_header = &b"GET / HTTP/1.1\r\nHost: loc"[..];
    let (grpc_at, http_at) = (&grpc, &http);
    let ends = |served: &'static str, sent: &'static [u8]| async move {
        let served = if served == "grpc" { grpc_at } else { http_at };
        served.read_to_end(sent).await
    };
    let all = tokio::join!(
        ends("grpc", b""),
        ends("grpc", b"P"),
        ends("grpc", &PREFACE[..20]),
        ends("http", b""),
        ends("http", b"P"),
        ends("http", &PREFACE[..20]),
        ends("http", half_of_header),
        // As a browser that opens a connection for later.
        ends("http", PREFACE),
    );
    let silent = ["", "", "", "", "", "", ""];
    assert_eq!([&all.0, &all.1, &all.2, &all.3, &all.4, &all.5, &all.6], silent);
    for (listener, count) in [("grpc", 3), ("http", 5)] {
        let line = format!("{{listener=\"{listener}\",reason=\"silent\"}} {count}\n");
        assert!(metrics_of(listener, &grpc, &http).contains(&line), "{line}");
    }
}

fn metrics_of(listener: &str, grpc: &TestListener, http: &TestListener) -> String {
    if listener == "grpc" { grpc.metrics() } else { http.metrics() }
}

#[tokio::test]
async fn a_client_on_the_wrong_port_is_told_and_closed() {
    let grpc = TestListener::start(Port::Grpc, 8).await;
    let answer = grpc.read_to_end(request_text("/", "application/grpc").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 505 HTTP Version Not Supported\r\n"), "{answer}");
    let message = "this is the gRPC port of gridd, which accepts only HTTP/2; pages are on http://127.0.0.1:7480\n";
    assert!(answer.ends_with(message), "{answer}");
    assert_eq!(grpc.read_to_end(&[0x16, 3, 1, 2, 0, 1]).await, "", "TLS is not spoken here");
    assert!(grpc.metrics().contains("{listener=\"grpc\",reason=\"not_http2\"} 1\n"));
}

#[tokio::test]
async fn idle_connections_are_closed_for_new_ones_and_busy_ones_stay() {
    let http = TestListener::start(Port::Http, 4).await;
    // One address may take three of four.
    let mut busy = http.connect().await;
    busy.write_all(request_text("/waits", "a/b").as_bytes()).await.expect("taken");
    http.wait_for_requests(1).await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(http.connect().await);
        let mut half = http.connect().await;
        half.write_all(b"GET / HTTP/1.1\r\n").await.expect("taken");
        idle.push(half);
        let page = http.read_to_end(request_text("/", "a/b").as_bytes()).await;
        assert!(page.ends_with("\r\n\r\na page\n"), "{page}");
    }
    let mut byte = [0];
    assert!(busy.try_read(&mut byte).is_err_and(|it| it.kind() == io::ErrorKind::WouldBlock));
}

#[tokio::test]
async fn when_all_slots_are_busy_a_new_connection_is_rejected() {
    let http = TestListener::start(Port::Http, 4).await;
    let mut busy = Vec::new();
    for count in 1..=3 {
        let mut client = http.connect().await;
        client.write_all(request_text("/waits", "a/b").as_bytes()).await.expect("taken");
        busy.push(client);
        http.wait_for_requests(count).await;
    }
    let answer = http.read_to_end(b"").await;
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    assert!(http.metrics().contains("{listener=\"http\",reason=\"address_full\"} 1\n"));
}
