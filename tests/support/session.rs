//! The session client: a session from the appliance's side, whose messages may be any bytes.
//!
//! The generated client cannot send what is no message of the contract; this one can. What the
//! broker sends is read by the generated types. Guarantees that a test that waits for the broker
//! fails after the timeout; whoever expects a broker that hangs, or is gone, has the `try_` functions.

use bytes::{Buf, BufMut, Bytes};
use grid_broker::client::APPLIANCE_METADATA;
use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::session_response::Message;
use grid_broker::contract::proto::{
    Ack, AckException, Event, Goodbye, Hello, Notice, SessionRequest, SessionResponse, Welcome,
    session_request,
};
use http::uri::PathAndQuery;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use uuid::Uuid;

use super::{Gridd, soon, timeout};

/// Events and other messages that may wait to be sent.
const WAITING: usize = 2_048;

/// The path of the stream.
const SESSION: &str = "/grid.events.v1.EventService/Session";

/// The field of `SessionRequest` that holds an event.
const EVENT_FIELD: u32 = 2;

/// A session that is open.
pub(crate) struct Session {
    says: mpsc::Sender<Bytes>,
    hears: Streaming<SessionResponse>,
    /// The first message of the broker.
    pub(crate) welcome: Welcome,
    /// Notices that came while acks were waited for.
    pub(crate) notices: Vec<Notice>,
}

/// The broker does not listen any more.
#[derive(Debug)]
pub(crate) struct Closed;

/// A session of which nothing is expected yet.
pub(crate) struct Raw {
    says: mpsc::Sender<Bytes>,
    hears: Streaming<SessionResponse>,
}

/// The Hellos of tests.
pub(crate) struct Hellos;

impl Hellos {
    /// A right one.
    pub(crate) fn of(boot: u128, spool: u64) -> Hello {
        Hello {
            protocol_revision: 1,
            tool_version: "tests 1".to_owned(),
            boot_id: Uuid::from_u128(boot).to_string(),
            uptime_ms: 1,
            spool_id: spool,
            next_sequence: u64::from(spool > 0),
            ..Hello::default()
        }
    }
}

impl Session {
    /// Sends a Hello as `name`, and receives the Welcome.
    pub(crate) async fn open(gridd: &Gridd, name: &str, boot: u128, spool: u64) -> Self {
        let opened = Self::try_open(gridd.channel().await, name, Hellos::of(boot, spool)).await;
        opened.expect("a session")
    }

    /// The same on a connection, with any Hello; fails if there is no Welcome within the timeout.
    pub(crate) async fn try_open(
        channel: Channel,
        name: &str,
        hello: Hello,
    ) -> Result<Self, Status> {
        let opening = async {
            let mut raw = Raw::try_call(channel, name, SESSION).await?;
            let message = Some(session_request::Message::Hello(hello));
            let hello = SessionRequest { message }.encode_to_vec();
            raw.send(hello.into()).await.map_err(|Closed| Status::unavailable("no session"))?;
            match received(&mut raw.hears).await? {
                Some(Message::Welcome(welcome)) => {
                    Ok(Self { says: raw.says, hears: raw.hears, welcome, notices: Vec::new() })
                }
                other => Err(Status::unknown(format!("a welcome was expected, not {other:?}"))),
            }
        };
        let late = |_| Status::deadline_exceeded("no session within the timeout");
        tokio::time::timeout(timeout(), opening).await.map_err(late)?
    }

    /// Sends an event.
    pub(crate) async fn say(&self, event: &Event) {
        self.say_bytes(&event.encode_to_vec()).await;
    }

    /// Sends an event if the broker still listens.
    pub(crate) async fn try_say(&self, event: &Event) -> Result<(), Closed> {
        self.send(&event.encode_to_vec()).await
    }

    /// Sends what may or may not be an event.
    pub(crate) async fn say_bytes(&self, event: &[u8]) {
        self.send(event).await.expect("the session is open");
    }

    async fn send(&self, event: &[u8]) -> Result<(), Closed> {
        let mut message = Vec::with_capacity(event.len() + 8);
        encode_key(EVENT_FIELD, WireType::LengthDelimited, &mut message);
        encode_varint(event.len() as u64, &mut message);
        message.extend_from_slice(event);
        self.says.send(message.into()).await.map_err(|_| Closed)
    }

    /// The next message of the broker; `None`: it ended the session.
    pub(crate) async fn next(&mut self) -> Result<Option<Message>, Status> {
        next(&mut self.hears).await
    }

    /// The same, however long it takes. Nothing is lost if nobody waits for it any more.
    pub(crate) async fn try_next(&mut self) -> Result<Option<Message>, Status> {
        received(&mut self.hears).await
    }

    /// The next ack.
    pub(crate) async fn ack(&mut self) -> Ack {
        loop {
            match self.next().await {
                Ok(Some(Message::Ack(ack))) => return ack,
                Ok(Some(Message::Notice(notice))) => self.notices.push(notice),
                other => panic!("an ack was expected, not {other:?}"),
            }
        }
    }

    /// All acks until the first `through` events are answered.
    pub(crate) async fn acked(&mut self, through: u64) -> Vec<Ack> {
        let mut acks = Vec::<Ack>::new();
        while acks.last().is_none_or(|ack| ack.through < through) {
            acks.push(self.ack().await);
        }
        acks
    }

    /// Sends a Goodbye and waits for the end.
    pub(crate) async fn goodbye(mut self) {
        self.try_goodbye().await.expect("the session is open");
        match self.next().await {
            Ok(None) => {}
            other => panic!("the end was expected, not {other:?}"),
        }
    }

    /// Sends a Goodbye if the broker still listens.
    pub(crate) async fn try_goodbye(&self) -> Result<(), Closed> {
        let message = session_request::Message::Goodbye(Goodbye { reason: "done".to_owned() });
        let request = SessionRequest { message: Some(message) };
        self.says.send(request.encode_to_vec().into()).await.map_err(|_| Closed)
    }
}

impl Raw {
    /// Opens the stream and sends nothing.
    pub(crate) async fn open(gridd: &Gridd, name: &str) -> Self {
        Self::call(gridd, name, SESSION).await.expect("the call begins")
    }

    /// Calls the stream at `path`.
    pub(crate) async fn call(
        gridd: &Gridd,
        name: &str,
        path: &'static str,
    ) -> Result<Self, Status> {
        soon("the call", Self::try_call(gridd.channel().await, name, path)).await
    }

    async fn try_call(channel: Channel, name: &str, path: &'static str) -> Result<Self, Status> {
        let (says, said) = mpsc::channel(WAITING);
        let mut request = Request::new(ReceiverStream::new(said));
        let name = name.parse().expect("a name that fits into metadata");
        request.metadata_mut().insert(APPLIANCE_METADATA, name);
        let mut grpc = tonic::client::Grpc::new(channel);
        let broken = |error| Status::unavailable(format!("the connection: {error}"));
        grpc.ready().await.map_err(broken)?;
        let call = grpc.streaming(request, PathAndQuery::from_static(path), AnyBytes);
        Ok(Self { says, hears: call.await?.into_inner() })
    }

    /// Sends a Hello.
    pub(crate) async fn hello(&self, hello: Hello) {
        let message = Some(session_request::Message::Hello(hello));
        self.say(&SessionRequest { message }.encode_to_vec()).await;
    }

    /// Sends any bytes as one message.
    pub(crate) async fn say(&self, message: &[u8]) {
        self.send(Bytes::copy_from_slice(message)).await.expect("the stream is open");
    }

    async fn send(&self, message: Bytes) -> Result<(), Closed> {
        self.says.send(message).await.map_err(|_| Closed)
    }

    /// The next message of the broker; `None`: it ended the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<Message>, Status> {
        next(&mut self.hears).await
    }
}

async fn next(hears: &mut Streaming<SessionResponse>) -> Result<Option<Message>, Status> {
    soon("the broker's next message", received(hears)).await
}

async fn received(hears: &mut Streaming<SessionResponse>) -> Result<Option<Message>, Status> {
    let received = hears.message().await?;
    Ok(received.map(|it| it.message.expect("a message that is known")))
}

/// The exceptions of all these acks, in order.
pub(crate) fn ack_exceptions(acks: &[Ack]) -> Vec<AckException> {
    acks.iter().flat_map(|ack| ack.exceptions.clone()).collect()
}

/// An event with a number (0: none) and a text.
pub(crate) fn event(kind: Kind, sequence: u64, text: &str) -> Event {
    Event { kind: Some(kind), sequence, text: text.to_owned(), ..Event::default() }
}

/// Sends bytes as they are, reads messages of the contract.
struct AnyBytes;

impl Codec for AnyBytes {
    type Encode = Bytes;
    type Decode = SessionResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for AnyBytes {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for AnyBytes {
    type Item = SessionResponse;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<SessionResponse>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        let said = SessionResponse::decode(bytes).expect("the broker speaks the contract");
        Ok(Some(said))
    }
}
