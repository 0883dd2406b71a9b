//! A server on loopback that answers as it is told, for tests: one script for each connection.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::config::http_target::{HttpCredentials, HttpTarget};
use crate::tasks;

/// What the server does with one connection after it read the request.
#[derive(Clone, Debug)]
pub(in crate::webhook) enum Script {
    /// Sends these bytes and closes.
    Answers(String),
    /// Sends these bytes and never another.
    Hangs(&'static str),
    /// Closes without reading.
    Closes,
}

/// An answer with a body.
pub(in crate::webhook) fn answers(status: &str, headers: &str, body: &str) -> Script {
    let length = body.len();
    Script::Answers(format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}"))
}

/// The server, with the requests that it got.
pub(in crate::webhook) struct TestServer {
    pub(in crate::webhook) port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl TestServer {
    /// Runs the scripts one after the other, the last one for ever.
    pub(in crate::webhook) async fn start(scripts: Vec<Script>) -> Self {
        Self::start_with(scripts, None).await
    }

    /// The same, over TLS.
    pub(in crate::webhook) async fn start_with(
        scripts: Vec<Script>,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let port = listener.local_addr().expect("an address").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        drop(tasks::spawn("test server", async move {
            let mut at = 0;
            while let Ok((socket, _)) = listener.accept().await {
                let script = scripts[at.min(scripts.len() - 1)].clone();
                at += 1;
                let (tls, seen) = (tls.clone(), Arc::clone(&seen));
                drop(tasks::spawn("test connection", async move {
                    match tls {
                        None => serve(socket, script, seen).await,
                        // A client that does not trust the certificate leaves.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(socket).await {
                                serve(stream, script, seen).await;
                            }
                        }
                    }
                }));
            }
        }));
        Self { port, requests }
    }

    /// A target at this server.
    pub(in crate::webhook) fn target(&self) -> HttpTarget {
        let url = format!("http://127.0.0.1:{}/hook", self.port);
        HttpTarget::new(&url, "", HttpCredentials::None).expect("a good URL")
    }

    /// All requests so far, head and body.
    pub(in crate::webhook) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The bodies of all requests so far, as JSON.
    pub(in crate::webhook) fn bodies(&self) -> Vec<serde_json::Value> {
        let body = |it: &String| it.split_once("\r\n\r\n").expect("a body").1.to_owned();
        self.requests()
            .iter()
            .map(body)
            .map(|it| serde_json::from_str(&it).expect("JSON"))
            .collect()
    }
}

async fn serve<S>(mut socket: S, script: Script, seen: Arc<Mutex<Vec<String>>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if matches!(script, Script::Closes) {
        return;
    }
    let request = read_request(&mut socket).await;
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    match script {
        Script::Answers(bytes) => {
            // A client that has read enough may be gone.
            let _ = socket.write_all(bytes.as_bytes()).await;
            let _ = socket.shutdown().await;
        }
        Script::Hangs(bytes) => {
            socket.write_all(bytes.as_bytes()).await.expect("writes");
            std::future::pending::<()>().await;
        }
        Script::Closes => {}
    }
}

async fn read_request(socket: &mut (impl AsyncRead + Unpin)) -> String {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4_096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |it| it.parse().expect("a number")) {
                return text;
            }
        }
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return text,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}
