//! HTTP/2 as a hostile client speaks it: frames that are made by hand, over TCP or TLS.
//!
//! Guarantees that what the broker sends is read while something is sent, so that its last words are
//! not lost, and that every wait has a deadline. Does not know what is an attack.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::broker::Broker;
use crate::support::soon;

/// The first bytes of a connection.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Kinds of frames, and their flags.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GO_AWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

// Codes of errors.
pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const COMPRESSION_ERROR: u32 = 9;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// The longest payload that a peer takes without being asked.
pub(crate) const PAYLOAD_BYTES: usize = 16_384;

/// TCP, or TLS above it.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// A frame that was received.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// Whether it is the last of its stream.
    pub(crate) fn is_end(&self) -> bool {
        matches!(self.kind, HEADERS | DATA) && self.flags & END_STREAM != 0
    }

    /// The code of a RST_STREAM.
    pub(crate) fn reset_code(&self) -> Option<u32> {
        (self.kind == RST_STREAM).then(|| number(&self.payload, 0))
    }
}

fn number(payload: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(payload[at..at + 4].try_into().expect("four bytes"))
}

/// What ended a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// GOAWAY with a code and a text, then the close.
    GoAway(u32, String),
    /// The close alone.
    Closed,
}

impl End {
    /// GOAWAY with that code and text.
    pub(crate) fn go_away(code: u32, text: &str) -> Self {
        Self::GoAway(code, text.to_owned())
    }
}

/// A frame as bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// HEADERS, and CONTINUATION as often as it needs.
pub(crate) fn header_frames(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    let count = block.chunks(PAYLOAD_BYTES).count();
    let of_part = |(at, part): (usize, &[u8])| {
        let kind = if at == 0 { HEADERS } else { CONTINUATION };
        let first = if at == 0 { flags } else { 0 };
        let last = if at + 1 == count { END_HEADERS } else { 0 };
        frame(kind, first | last, stream, part)
    };
    block.chunks(PAYLOAD_BYTES).enumerate().flat_map(of_part).collect()
}

/// A header as a literal; its first byte says whether it is indexed.
pub(crate) fn literal(first: u8, name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![first];
    for text in [name, value] {
        match text.len() {
            short @ 0..127 => block.push(u8::try_from(short).expect("short")),
            long => {
                let mut rest = long - 127;
                block.push(127);
                while rest >= 128 {
                    block.push(u8::try_from(rest % 128).expect("seven bits") | 128);
                    rest /= 128;
                }
                block.push(u8::try_from(rest).expect("seven bits"));
            }
        }
        block.extend(text.as_bytes());
    }
    block
}

/// A gRPC message in a frame that ends its stream.
pub(crate) fn last_message(stream: u32, message: &[u8]) -> Vec<u8> {
    frame(DATA, END_STREAM, stream, &message_bytes(message))
}

/// A gRPC message.
pub(crate) fn message_bytes(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("short").to_be_bytes();
    [&[0][..], &length, message].concat()
}

/// A connection whose frames are made by hand.
pub(crate) struct Connection {
    reads: ReadHalf<Box<dyn Transport>>,
    writes: WriteHalf<Box<dyn Transport>>,
    authority: String,
    /// Bytes that are no whole frame yet.
    unparsed: Vec<u8>,
    /// Frames received so far.
    pub(crate) frames: Vec<Frame>,
    is_closed: bool,
}

impl Connection {
    /// Connects, over TLS without a certificate if the broker has TLS, and sends nothing.
    pub(crate) async fn silent(broker: &Broker) -> Self {
        let stream = soon("a connection", TcpStream::connect(&broker.gridd.grpc)).await;
        let stream = stream.expect("connects");
        let transport: Box<dyn Transport> = match broker.is_tls() {
            true => Box::new(stranger(broker, stream).await),
            false => Box::new(stream),
        };
        let (reads, writes) = tokio::io::split(transport);
        let (unparsed, frames) = (Vec::new(), Vec::new());
        let authority = broker.gridd.grpc.clone();
        Self { reads, writes, authority, unparsed, frames, is_closed: false }
    }

    /// Connects, and begins HTTP/2 with these settings.
    pub(crate) async fn begin(broker: &Broker, settings: &[(u16, u32)]) -> Self {
        let mut connection = Self::silent(broker).await;
        let of_setting =
            |(name, value): &(u16, u32)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
        let settings: Vec<u8> = settings.iter().flat_map(of_setting).collect();
        let begin = [PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat();
        connection.round_trip(&begin).await;
        connection
    }

    /// The headers of a call, each a literal that is not indexed.
    pub(crate) fn call(&self, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
        let common = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", &self.authority),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ];
        common.iter().chain(more).flat_map(|(name, value)| literal(0, name, value)).collect()
    }

    /// Sends these bytes.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        soon("all is taken", self.exchange(bytes, |_| true)).await;
    }

    /// Sends these bytes and reads nothing; returns whether they were taken.
    pub(crate) async fn send_unread(&mut self, bytes: &[u8]) -> bool {
        let sending = async {
            self.writes.write_all(bytes).await?;
            self.writes.flush().await
        };
        soon("all is taken", sending).await.is_ok()
    }

    /// Reads until the connection ends, and says nothing.
    pub(crate) async fn end(&mut self) -> End {
        self.end_after(b"").await
    }

    /// Sends these bytes, and reads until the connection ends.
    pub(crate) async fn end_after(&mut self, bytes: &[u8]) -> End {
        soon("the end of the connection", self.exchange(bytes, |_| false)).await;
        assert!(self.is_closed);
        let last = self.frames.iter().rfind(|it| it.kind == GO_AWAY);
        last.map_or(End::Closed, |it| {
            let text = String::from_utf8_lossy(&it.payload[8..]).into_owned();
            End::GoAway(number(&it.payload, 4), text)
        })
    }

    /// Sends these bytes and a PING, and reads until it is answered. The connection must stay.
    pub(crate) async fn round_trip(&mut self, bytes: &[u8]) {
        let answers = self.frames.iter().filter(|it| is_answer(it)).count();
        let sent = [bytes, &frame(PING, 0, 0, b"answer!!")].concat();
        let is_answered =
            |frames: &[Frame]| frames.iter().filter(|it| is_answer(it)).count() > answers;
        soon("the answer to a PING", self.exchange(&sent, is_answered)).await;
        assert!(!self.is_closed, "it stays open: {:?}", self.frames);
    }

    /// Reads until the frames fulfil `condition`. The connection must stay.
    pub(crate) async fn until(&mut self, what: &str, condition: impl Fn(&[Frame]) -> bool) {
        soon(what, self.exchange(b"", condition)).await;
        assert!(!self.is_closed, "{what}, and it stays open: {:?}", self.frames);
    }

    /// Sends these bytes, and reads until the connection ends or `condition` holds and all is sent.
    async fn exchange(&mut self, bytes: &[u8], condition: impl Fn(&[Frame]) -> bool) {
        let Self { reads, writes, unparsed, frames, is_closed, .. } = self;
        let sending = async {
            writes.write_all(bytes).await?;
            writes.flush().await
        };
        tokio::pin!(sending);
        let mut is_sent = false;
        while !is_sent || !condition(frames) {
            tokio::select! {
                // Whoever is cut off does not get everything said.
                _ = sending.as_mut(), if !is_sent => is_sent = true,
                count = reads.read_buf(unparsed) => {
                    if count.unwrap_or(0) == 0 {
                        *is_closed = true;
                        return;
                    }
                    parse(unparsed, frames);
                }
            }
        }
    }
}

fn is_answer(frame: &Frame) -> bool {
    frame.kind == PING && frame.flags & ACK != 0 && frame.payload == b"answer!!"
}

/// Moves whole frames from the bytes to `frames`.
fn parse(bytes: &mut Vec<u8>, frames: &mut Vec<Frame>) {
    let mut rest = &bytes[..];
    while let [a, b, c, kind, flags, s0, s1, s2, s3, behind @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some((payload, next)) = behind.split_at_checked(length) else { break };
        let stream = u32::from_be_bytes([*s0, *s1, *s2, *s3]);
        frames.push(Frame { kind: *kind, flags: *flags, stream, payload: payload.to_vec() });
        rest = next;
    }
    let parsed = bytes.len() - rest.len();
    bytes.drain(..parsed);
}

/// TLS that trusts the broker's CA, and shows no certificate.
async fn stranger(
    broker: &Broker,
    stream: TcpStream,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let pem = std::fs::read(broker.gridd.data().join("ca/ca.pem")).expect("the CA");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).expect("a certificate")).expect("is taken");
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let address = stream.peer_addr().expect("an address").ip();
    let connecting =
        TlsConnector::from(Arc::new(config)).connect(ServerName::from(address), stream);
    soon("a TLS connection", connecting).await.expect("is accepted")
}
