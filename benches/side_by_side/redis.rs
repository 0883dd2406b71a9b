//! Appends events to Redis Streams: XADD, pipelined, over four keys.
//!
//! Guarantees that the streams have as many entries as were acknowledged, or fails.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Failure;
use crate::peer_load::{PeerLoad, Protocol};

/// Streams that the connections share.
const KEYS: usize = 4;

/// A connection that appends to one stream.
struct RedisStream {
    /// The request up to the length of the event.
    head: Vec<u8>,
}

impl RedisStream {
    fn new(number: usize) -> Self {
        let key = key(number % KEYS);
        let head =
            format!("*5\r\n$4\r\nXADD\r\n${}\r\n{key}\r\n$1\r\n*\r\n$1\r\ne\r\n$", key.len());
        Self { head: head.into_bytes() }
    }
}

fn key(number: usize) -> String {
    format!("events:{number}")
}

impl Protocol for RedisStream {
    fn write_request(&mut self, into: &mut Vec<u8>, event: &[u8]) {
        into.extend_from_slice(&self.head);
        into.extend_from_slice(event.len().to_string().as_bytes());
        into.extend_from_slice(b"\r\n");
        into.extend_from_slice(event);
        into.extend_from_slice(b"\r\n");
    }

    fn read_replies(&mut self, replies: &[u8]) -> Result<(u64, usize), Failure> {
        // `$15\r\n1700000000000-0\r\n`: an entry's id.
        let (mut count, mut at) = (0, 0);
        while let Some((line, after)) = line(&replies[at..]) {
            let Some(length) = line.strip_prefix(b"$") else {
                return Err(format!("Redis: {}", String::from_utf8_lossy(line)).into());
            };
            let length: usize = std::str::from_utf8(length)?.parse()?;
            let end = at + after + length + 2;
            if end > replies.len() {
                break;
            }
            (count, at) = (count + 1, end);
        }
        Ok((count, at))
    }
}

/// The first line, and where the next one begins.
pub(crate) fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]), end + 1))
}

/// Runs the load; gives the figures.
pub(crate) async fn run(load: &PeerLoad) -> Result<serde_json::Value, Failure> {
    let before = entries(load).await?;
    let mut connections = Vec::new();
    for number in 0..usize::try_from(load.connections)? {
        connections.push((load.connect().await?, RedisStream::new(number)));
    }
    let mut figures = load.run(connections).await?;
    figures["stored"] = (entries(load).await? - before).into();
    Ok(figures)
}

/// The entries of all streams.
async fn entries(load: &PeerLoad) -> Result<u64, Failure> {
    let mut stream = load.connect().await?;
    let mut all = 0;
    for number in 0..KEYS {
        all += length(&mut stream, &key(number)).await?;
    }
    Ok(all)
}

async fn length(stream: &mut TcpStream, key: &str) -> Result<u64, Failure> {
    let request = format!("*2\r\n$4\r\nXLEN\r\n${}\r\n{key}\r\n", key.len());
    stream.write_all(request.as_bytes()).await?;
    let mut reply = Vec::new();
    loop {
        if let Some((line, _)) = line(&reply) {
            let number = line.strip_prefix(b":").ok_or("XLEN has another reply")?;
            return Ok(std::str::from_utf8(number)?.parse()?);
        }
        if stream.read_buf(&mut reply).await? == 0 {
            return Err("Redis closed the connection".into());
        }
    }
}
