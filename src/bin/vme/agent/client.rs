//! Sends an event of a call through the agent.
//!
//! Guarantees to distinguish three results: the agent delivered the broker's reply, it has the
//! event in its spool, or it did not accept the event, so another way may be tried. Does not know
//! other ways.

use std::path::{Path, PathBuf};

use grid_broker::wire::proto::{AckException, Event};
use prost::Message;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout_at};

use super::wire::{self, AgentTold, Ask, Word};
use crate::speaker::Speaker;

/// The result of a request to the agent.
#[derive(Debug)]
pub(crate) enum Asked {
    /// The broker's reply; `None`: stored.
    Answered(Option<AckException>),
    /// It waits in the spool; the reason, if the agent knows one.
    Spooled(String),
    /// It cannot be sent; the reason.
    SetAside(String),
    /// There is no agent (`None`), or it did not accept the event, and why.
    NotTaken(Option<NotTaken>),
}

/// Why an agent did not accept an event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// It cannot spool the event.
    NotSpooled(String),
    /// It serves another broker or appliance.
    NotMine(String),
    /// It cannot be reached, or the connection failed.
    Broken(String),
}

/// The socket of the agent that serves the folder `state`.
pub(crate) fn socket(state: &Path) -> PathBuf {
    state.join("agent.sock")
}

/// Sends the event to the agent, if there is one, and waits for the reply until `deadline`.
pub(crate) async fn ask(speaker: &Speaker, event: &Event, call: u64, deadline: Instant) -> Asked {
    let Ok(mut stream) = UnixStream::connect(socket(&speaker.state)).await else {
        return Asked::NotTaken(None);
    };
    let given =
        |is_given: bool, value: &str| if is_given { value.to_owned() } else { String::new() };
    let ask = Ask {
        event: event.encode_to_vec().into(),
        broker: given(speaker.is_broker_given, &speaker.way.broker),
        appliance: given(speaker.is_appliance_given, &speaker.way.appliance),
        call,
    };
    let broken = |error: std::io::Error| Asked::NotTaken(Some(NotTaken::Broken(error.to_string())));
    match timeout_at(deadline, wire::write(&mut stream, &ask)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return broken(error),
        Err(_) => return broken(std::io::Error::other("it does not read")),
    }
    let mut spooled: Option<String> = None;
    loop {
        let told = timeout_at(deadline, wire::read::<AgentTold>(&mut stream)).await;
        let word = match (told, spooled.take()) {
            (Ok(Ok(Some(told))), _) => told.word,
            // An event that was reported as spooled is spooled, even if the agent ends.
            (Err(_), Some(why)) => return Asked::Spooled(or_else(why, "no reply in time")),
            (_, Some(why)) => return Asked::Spooled(or_else(why, "the agent stopped")),
            (Ok(Err(error)), None) => return broken(error),
            (Ok(Ok(None)), None) => {
                return broken(std::io::Error::other("it closed the connection"));
            }
            (Err(_), None) => return broken(std::io::Error::other("it does not reply")),
        };
        match word {
            Some(Word::Spooled(why)) if why.is_empty() => spooled = Some(why),
            // Do not wait for a broker that is known to be away.
            Some(Word::Spooled(why)) => return Asked::Spooled(why),
            Some(Word::Answered(answer)) if answer.is_empty() => return Asked::Answered(None),
            Some(Word::Answered(answer)) => {
                let answer = AckException::decode(answer).unwrap_or_default();
                return Asked::Answered(Some(answer));
            }
            Some(Word::SetAside(why)) => return Asked::SetAside(why),
            Some(Word::NotSpooled(why)) => return Asked::NotTaken(Some(NotTaken::NotSpooled(why))),
            Some(Word::NotMine(why)) => return Asked::NotTaken(Some(NotTaken::NotMine(why))),
            None => return broken(std::io::Error::other("it sent an unknown message")),
        }
    }
}

fn or_else(why: String, otherwise: &str) -> String {
    if why.is_empty() { otherwise.to_owned() } else { why }
}
