//! One session with the broker: opens it, sends and receives its messages.
//!
//! Guarantees that opening ends in bounded time. Does not know what to do about events.

use std::time::Duration;

use grid_broker::client::{APPLIANCE_METADATA, ClientError};
use grid_broker::contract::proto::event_service_client::EventServiceClient;
use grid_broker::contract::proto::session_request::Message as Outbound;
use grid_broker::contract::proto::session_response::Message as Inbound;
use grid_broker::contract::proto::{Event, Hello, SessionRequest, SessionResponse, Welcome};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Request, Status, Streaming};

use crate::appliance_access::ApplianceAccess;
use crate::sender::in_flight::SendWindow;

/// Most events in flight, whatever the broker advises.
const EVENTS_IN_FLIGHT_MAX: usize = 1_024;

/// The same in bytes.
const BYTES_IN_FLIGHT_MAX: usize = 256 << 10;

/// Room for other messages than events.
const CONTROL_MESSAGES: usize = 16;

/// Within this time the broker must accept the call and send its welcome.
const WELCOME_WITHIN: Duration = Duration::from_secs(20);

/// An open session.
pub(crate) struct Session {
    outbound: mpsc::Sender<SessionRequest>,
    inbound: Streaming<SessionResponse>,
    /// The broker's first message.
    pub(crate) welcome: Welcome,
}

/// Opens a session at `broker` as `appliance`.
pub(crate) async fn open(
    access: &ApplianceAccess,
    broker: &str,
    appliance: &str,
    hello: Hello,
) -> Result<Session, ClientError> {
    let late = || ClientError::Unreachable {
        address: broker.to_owned(),
        reason: format!("no welcome within {} s", WELCOME_WITHIN.as_secs()),
    };
    let opened = timeout(WELCOME_WITHIN, connect_and_greet(access, broker, appliance, hello)).await;
    match opened.unwrap_or_else(|_| Err(late())) {
        Ok(session) => Ok(session),
        Err(error) => Err(error.diagnose().await),
    }
}

async fn connect_and_greet(
    access: &ApplianceAccess,
    broker: &str,
    appliance: &str,
    hello: Hello,
) -> Result<Session, ClientError> {
    let (outbound, messages) = mpsc::channel(EVENTS_IN_FLIGHT_MAX + CONTROL_MESSAGES);
    let hello = SessionRequest { message: Some(Outbound::Hello(hello)) };
    // A new channel has room for it.
    let _ = outbound.try_send(hello);
    let mut request = Request::new(ReceiverStream::new(messages));
    let name = AsciiMetadataValue::try_from(appliance)
        .map_err(|_| Status::invalid_argument("the appliance's name is not printable ASCII"))?;
    request.metadata_mut().insert(APPLIANCE_METADATA, name);
    let mut client = EventServiceClient::new(access.connect(broker).await?);
    let of_call = |status| ClientError::from_status(broker, status);
    let mut inbound = client.session(request).await.map_err(of_call)?.into_inner();
    match inbound.message().await.map_err(of_call)? {
        Some(SessionResponse { message: Some(Inbound::Welcome(welcome)) }) => {
            Ok(Session { outbound, inbound, welcome })
        }
        Some(_) => Err(Status::internal("the broker's first message is not a welcome").into()),
        None => Err(Status::unavailable("the broker closed the session at once").into()),
    }
}

impl Session {
    /// How much may be in flight.
    pub(crate) fn window(&self) -> SendWindow {
        let bound = |advised: u32, max: usize| match usize::try_from(advised).unwrap_or(max) {
            0 => max,
            advised => advised.min(max),
        };
        SendWindow {
            events: bound(self.welcome.window_events, EVENTS_IN_FLIGHT_MAX),
            bytes: bound(self.welcome.window_bytes, BYTES_IN_FLIGHT_MAX),
        }
    }

    /// Sends an event; within the window there is always room for it. `false`: there was none.
    pub(crate) fn send_event(&self, event: Event) -> bool {
        self.outbound.try_send(SessionRequest { message: Some(Outbound::Event(event)) }).is_ok()
    }

    /// Sends another message. If the session has ended, the next receive shows it.
    pub(crate) fn send_message(&self, message: Outbound) {
        let _ = self.outbound.try_send(SessionRequest { message: Some(message) });
    }

    /// The broker's next message; `None`: it closed the session.
    pub(crate) async fn next_message(&mut self) -> Result<Option<Inbound>, Status> {
        let message = self.inbound.message().await?;
        // An unknown message is ignored, as an empty notice is.
        Ok(message.map(|it| it.message.unwrap_or_else(|| Inbound::Notice(Default::default()))))
    }
}
