//! A server that takes requests on a port that stays its own while it is down, and keeps what it got.

use std::sync::{Arc, Mutex, PoisonError};

use grid_broker::tasks;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// The server. It is down until [`Receiver::up`].
pub(crate) struct Receiver {
    pub(crate) port: u16,
    /// Holds the port while the server is down: bound, but not listening.
    holder: Option<TcpSocket>,
    serving: Option<JoinHandle<()>>,
    requests: Arc<Mutex<Vec<String>>>,
}

fn bound(port: u16) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("an option");
    socket.bind(([127, 0, 0, 1], port).into()).expect("binds");
    socket
}

impl Receiver {
    /// One that refuses connections.
    pub(crate) fn down() -> Self {
        let holder = bound(0);
        let port = holder.local_addr().expect("an address").port();
        Self { port, holder: Some(holder), serving: None, requests: Arc::default() }
    }

    /// From now on it answers each request by 200.
    pub(crate) fn up(&mut self) {
        let holder = self.holder.take().expect("it is down");
        let listener = holder.listen(64).expect("listens");
        let seen = Arc::clone(&self.requests);
        self.serving = Some(tasks::spawn("receiver", serve(listener, seen)));
    }

    /// The URL of one of its paths.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// All requests so far, head and body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The bodies of all requests so far.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        let parse = |request: &String| {
            let (_, body) = request.split_once("\r\n\r\n").expect("a head");
            serde_json::from_str(body).expect("JSON")
        };
        self.requests().iter().map(parse).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

async fn serve(listener: TcpListener, seen: Arc<Mutex<Vec<String>>>) {
    while let Ok((socket, _)) = listener.accept().await {
        drop(tasks::spawn("receiver connection", answer(socket, Arc::clone(&seen))));
    }
}

async fn answer(mut socket: TcpStream, seen: Arc<Mutex<Vec<String>>>) {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4_096]);
    let request = loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |it| it.parse().expect("a number")) {
                break text;
            }
        }
        match socket.read(&mut buffer).await {
            // gridd was killed.
            Ok(0) | Err(_) => return,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    };
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
}
