//! One session with the broker: opening it, and what is said and heard in it.
//!
//! Guarantees that opening ends in bounded time. Decides nothing about events.

use std::time::Duration;

use grid_broker::client::{self, APPLIANCE_METADATA, ClientError};
use grid_broker::wire::proto::event_service_client::EventServiceClient;
use grid_broker::wire::proto::session_request::Message as Says;
use grid_broker::wire::proto::session_response::Message as Hears;
use grid_broker::wire::proto::{Event, Hello, SessionRequest, SessionResponse, Welcome};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Request, Status, Streaming};

use super::flow::Window;

/// Most events under way, whatever the broker advises.
const EVENTS_UNDER_WAY_MAX: usize = 1_024;

/// The same in bytes.
const BYTES_UNDER_WAY_MAX: usize = 256 << 10;

/// Messages that are no events, besides.
const OTHER_MESSAGES: usize = 16;

/// The broker takes the call and says welcome within that.
const WELCOME_WITHIN: Duration = Duration::from_secs(20);

/// A session that is open.
pub(crate) struct Session {
    says: mpsc::Sender<SessionRequest>,
    hears: Streaming<SessionResponse>,
    /// What the broker said first.
    pub(crate) welcome: Welcome,
}

/// Opens a session at `broker` as `appliance`.
pub(crate) async fn open(
    broker: &str,
    appliance: &str,
    hello: Hello,
) -> Result<Session, ClientError> {
    let late = || ClientError::Unreachable {
        address: broker.to_owned(),
        reason: format!("no welcome within {} s", WELCOME_WITHIN.as_secs()),
    };
    let opened = timeout(WELCOME_WITHIN, opened(broker, appliance, hello)).await;
    match opened.unwrap_or_else(|_| Err(late())) {
        Ok(session) => Ok(session),
        Err(error) => Err(error.looked_into().await),
    }
}

async fn opened(broker: &str, appliance: &str, hello: Hello) -> Result<Session, ClientError> {
    let (says, said) = mpsc::channel(EVENTS_UNDER_WAY_MAX + OTHER_MESSAGES);
    let hello = SessionRequest { message: Some(Says::Hello(hello)) };
    // It has room for one.
    let _ = says.try_send(hello);
    let mut request = Request::new(ReceiverStream::new(said));
    let name = AsciiMetadataValue::try_from(appliance)
        .map_err(|_| Status::invalid_argument("the appliance's name is not printable ASCII"))?;
    request.metadata_mut().insert(APPLIANCE_METADATA, name);
    let mut client = EventServiceClient::new(client::connect(broker).await?);
    let of_call = |status| ClientError::of_call(broker, status);
    let mut hears = client.session(request).await.map_err(of_call)?.into_inner();
    match hears.message().await.map_err(of_call)? {
        Some(SessionResponse { message: Some(Hears::Welcome(welcome)) }) => {
            Ok(Session { says, hears, welcome })
        }
        Some(_) => Err(Status::internal("the broker's first word is no welcome").into()),
        None => Err(Status::unavailable("the broker ended the session at once").into()),
    }
}

impl Session {
    /// How much may be under way.
    pub(crate) fn window(&self) -> Window {
        let bound = |advised: u32, max: usize| match usize::try_from(advised).unwrap_or(max) {
            0 => max,
            advised => advised.min(max),
        };
        Window {
            events: bound(self.welcome.window_events, EVENTS_UNDER_WAY_MAX),
            bytes: bound(self.welcome.window_bytes, BYTES_UNDER_WAY_MAX),
        }
    }

    /// Says an event; within the window there is always room for it. `false`: there was none.
    pub(crate) fn say(&self, event: Event) -> bool {
        self.says.try_send(SessionRequest { message: Some(Says::Event(event)) }).is_ok()
    }

    /// Says something else. A session that has ended shows when it is listened to.
    pub(crate) fn send(&self, message: Says) {
        let _ = self.says.try_send(SessionRequest { message: Some(message) });
    }

    /// The next thing the broker says; `None`: it ended the session.
    pub(crate) async fn hear(&mut self) -> Result<Option<Hears>, Status> {
        let heard = self.hears.message().await?;
        // What is not known here is nothing to us, so it is passed over as a notice without words.
        Ok(heard.map(|it| it.message.unwrap_or_else(|| Hears::Notice(Default::default()))))
    }
}
