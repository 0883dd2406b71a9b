//! Sends an event of a call through the agent.
//!
//! Guarantees to distinguish three results: the agent delivered the broker's reply, it has the
//! event in its spool, or it did not accept the event, so another way may be tried. Does not know
//! other ways.

use std::path::{Path, PathBuf};

use grid_broker::contract::proto::{AckException, Event};
use prost::Message;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout_at};

use crate::agent::protocol;
use crate::agent::protocol::{AgentRequest, AgentResponse, AgentUpdate};
use crate::config::ClientConfig;

/// The result of a request to the agent.
#[derive(Debug)]
pub(crate) enum AgentReply {
    /// The broker's reply; `None`: stored.
    Acknowledged(Option<AckException>),
    /// It waits in the spool; the reason, if the agent knows one.
    Spooled(String),
    /// It cannot be sent; the reason.
    Quarantined(String),
    /// There is no agent (`None`), or it did not accept the event, and why.
    NotAccepted(Option<AgentRejection>),
}

/// Why an agent did not accept an event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AgentRejection {
    /// It cannot spool the event.
    NotSpooled(String),
    /// It serves another broker or appliance.
    WrongTarget(String),
    /// It cannot be reached, or the connection failed.
    ConnectionFailed(String),
}

/// The socket of the agent that serves the folder `state`.
pub(crate) fn socket_path(state: &Path) -> PathBuf {
    state.join("agent.sock")
}

/// Sends the event to the agent, if there is one, and waits for the reply until `deadline`.
pub(crate) async fn send_via_agent(
    config: &ClientConfig,
    event: &Event,
    call: u64,
    deadline: Instant,
) -> AgentReply {
    let Ok(mut stream) = UnixStream::connect(socket_path(&config.state_folder)).await else {
        return AgentReply::NotAccepted(None);
    };
    let given =
        |is_given: bool, value: &str| if is_given { value.to_owned() } else { String::new() };
    let request = AgentRequest {
        event: event.encode_to_vec().into(),
        broker: given(config.is_broker_given, &config.target.broker),
        appliance: given(config.is_appliance_given, &config.target.appliance),
        call,
    };
    let broken = |error: std::io::Error| {
        AgentReply::NotAccepted(Some(AgentRejection::ConnectionFailed(error.to_string())))
    };
    match timeout_at(deadline, protocol::write_message(&mut stream, &request)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return broken(error),
        Err(_) => return broken(std::io::Error::other("it does not read")),
    }
    let mut spooled: Option<String> = None;
    loop {
        let response =
            timeout_at(deadline, protocol::read_message::<AgentResponse>(&mut stream)).await;
        let update = match (response, spooled.take()) {
            (Ok(Ok(Some(response))), _) => response.update,
            // An event that was reported as spooled is spooled, even if the agent ends.
            (Err(_), Some(why)) => {
                return AgentReply::Spooled(non_empty_or(why, "no reply in time"));
            }
            (_, Some(why)) => return AgentReply::Spooled(non_empty_or(why, "the agent stopped")),
            (Ok(Err(error)), None) => return broken(error),
            (Ok(Ok(None)), None) => {
                return broken(std::io::Error::other("it closed the connection"));
            }
            (Err(_), None) => return broken(std::io::Error::other("it does not reply")),
        };
        match update {
            Some(AgentUpdate::Spooled(why)) if why.is_empty() => spooled = Some(why),
            // Do not wait for a broker that is known to be away.
            Some(AgentUpdate::Spooled(why)) => return AgentReply::Spooled(why),
            Some(AgentUpdate::Acknowledged(answer)) if answer.is_empty() => {
                return AgentReply::Acknowledged(None);
            }
            Some(AgentUpdate::Acknowledged(answer)) => {
                let answer = AckException::decode(answer).unwrap_or_default();
                return AgentReply::Acknowledged(Some(answer));
            }
            Some(AgentUpdate::Quarantined(why)) => return AgentReply::Quarantined(why),
            Some(AgentUpdate::NotSpooled(why)) => {
                return AgentReply::NotAccepted(Some(AgentRejection::NotSpooled(why)));
            }
            Some(AgentUpdate::WrongTarget(why)) => {
                return AgentReply::NotAccepted(Some(AgentRejection::WrongTarget(why)));
            }
            None => return broken(std::io::Error::other("it sent an unknown message")),
        }
    }
}

fn non_empty_or(why: String, otherwise: &str) -> String {
    if why.is_empty() { otherwise.to_owned() } else { why }
}
