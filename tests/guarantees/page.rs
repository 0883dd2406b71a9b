//! One page over HTTP, as a browser or a probe asks for it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::soon;

/// Asks `address` for `path`; gives the status, the headers and the body.
pub(crate) async fn page(address: &str, path: &str) -> (u16, String, String) {
    let mut stream = soon("a connection", TcpStream::connect(address)).await.expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut answer = String::new();
    soon("the page", stream.read_to_string(&mut answer)).await.expect("reads");
    let (head, body) = answer.split_once("\r\n\r\n").expect("headers and a body");
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|it| it.get(..3)).expect("a status");
    (status.parse().expect("a number"), head.to_owned(), body.to_owned())
}
