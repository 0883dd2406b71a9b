//! Publishes events to a JetStream stream, with an acknowledgement of each.
//!
//! Guarantees that the stream has as many messages as were acknowledged, or fails. A connection has one reply
//! subject, whose acknowledgements arrive in the order of its messages.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Failure;
use crate::peer_load::{PeerLoad, Protocol};
use crate::redis::line;

/// The stream.
const STREAM: &str = "EVENTS";

/// A connection that publishes.
struct JetStream {
    /// The request up to the length of the event.
    head: Vec<u8>,
}

impl Protocol for JetStream {
    fn write_request(&mut self, into: &mut Vec<u8>, event: &[u8]) {
        into.extend_from_slice(&self.head);
        into.extend_from_slice(event.len().to_string().as_bytes());
        into.extend_from_slice(b"\r\n");
        into.extend_from_slice(event);
        into.extend_from_slice(b"\r\n");
    }

    fn read_replies(&mut self, replies: &[u8]) -> Result<(u64, usize), Failure> {
        let (mut count, mut at) = (0, 0);
        while let Some((message, length)) = message(&replies[at..])? {
            at += length;
            match message {
                Message::Payload(payload) if payload.starts_with(b"{\"stream\"") => count += 1,
                Message::Payload(payload) => {
                    return Err(format!("JetStream: {}", String::from_utf8_lossy(payload)).into());
                }
                Message::Other => {}
            }
        }
        Ok((count, at))
    }
}

/// A message of the server.
enum Message<'a> {
    /// What was published to our subject.
    Payload(&'a [u8]),
    /// INFO, PING, PONG or +OK.
    Other,
}

/// The first message and its length; `None`: it is not complete.
fn message(bytes: &[u8]) -> Result<Option<(Message<'_>, usize)>, Failure> {
    let Some((head, after)) = line(bytes) else { return Ok(None) };
    if head.starts_with(b"-ERR") {
        return Err(format!("NATS: {}", String::from_utf8_lossy(head)).into());
    }
    if !head.starts_with(b"MSG ") && !head.starts_with(b"HMSG ") {
        return Ok(Some((Message::Other, after)));
    }
    let size = head.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let size: usize = std::str::from_utf8(size)?.parse()?;
    let end = after + size + 2;
    if end > bytes.len() {
        return Ok(None);
    }
    Ok(Some((Message::Payload(&bytes[after..after + size]), end)))
}

/// Runs the load; gives the figures.
pub(crate) async fn run(load: &PeerLoad) -> Result<serde_json::Value, Failure> {
    let config = serde_json::json!({
        "name": STREAM, "subjects": ["events.*"], "storage": "file", "num_replicas": 1,
    });
    let created = call(load, "STREAM.CREATE", &config.to_string()).await?;
    if created["error"].is_object() {
        return Err(format!("JetStream: {}", created["error"]).into());
    }
    let before = messages(load).await?;
    let mut connections = Vec::new();
    for number in 0..load.connections {
        let inbox = format!("_INBOX.load{number}");
        let stream = subscribed(load, &inbox).await?;
        let head = format!("PUB events.{} {inbox} ", number % 4).into_bytes();
        connections.push((stream, JetStream { head }));
    }
    let mut figures = load.run(connections).await?;
    figures["stored"] = (messages(load).await? - before).into();
    Ok(figures)
}

/// A connection that receives what is published to `inbox`.
async fn subscribed(load: &PeerLoad, inbox: &str) -> Result<TcpStream, Failure> {
    let mut stream = load.connect().await?;
    let hello = "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"bench\",\"version\":\"1\",\
                 \"headers\":true,\"no_responders\":true}\r\n";
    stream.write_all(format!("{hello}SUB {inbox} 1\r\nPING\r\n").as_bytes()).await?;
    let mut replies = Vec::new();
    while !replies.ends_with(b"PONG\r\n") {
        if stream.read_buf(&mut replies).await? == 0 {
            return Err("NATS closed the connection".into());
        }
    }
    Ok(stream)
}

async fn messages(load: &PeerLoad) -> Result<u64, Failure> {
    let info = call(load, "STREAM.INFO", "").await?;
    info["state"]["messages"].as_u64().ok_or_else(|| format!("JetStream: {info}").into())
}

async fn call(load: &PeerLoad, what: &str, body: &str) -> Result<serde_json::Value, Failure> {
    let inbox = "_INBOX.call";
    let mut stream = subscribed(load, inbox).await?;
    let request = format!("PUB $JS.API.{what}.{STREAM} {inbox} {}\r\n{body}\r\n", body.len());
    stream.write_all(request.as_bytes()).await?;
    let mut replies = Vec::new();
    loop {
        let mut at = 0;
        while let Some((message, length)) = message(&replies[at..])? {
            if let Message::Payload(payload) = message {
                return Ok(serde_json::from_slice(payload)?);
            }
            at += length;
        }
        if stream.read_buf(&mut replies).await? == 0 {
            return Err("NATS closed the connection".into());
        }
    }
}
