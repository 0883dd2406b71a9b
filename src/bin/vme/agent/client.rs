//! A call of vme asks the agent to say its event.
//!
//! Guarantees to say which of three it is: the agent answered, it has the event in its spool, or it
//! took nothing, so that another way may be tried. Does not know other ways.

use std::path::{Path, PathBuf};

use grid_broker::wire::proto::{AckException, Event};
use prost::Message;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout_at};

use super::wire::{self, AgentTold, Ask, Word};
use crate::speaker::Speaker;

/// What became of it.
#[derive(Debug)]
pub(crate) enum Asked {
    /// The broker's answer; `None`: simply kept.
    Answered(Option<AckException>),
    /// It waits in the spool; why, as far as the agent knows.
    Spooled(String),
    /// It can't be said.
    SetAside(String),
    /// There is no agent, or it did not take the event. Why, if there is one.
    NotTaken(Option<NotTaken>),
}

/// Why an agent did not take an event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// It can't keep it.
    NotSpooled(String),
    /// It speaks to another broker or as another appliance.
    NotMine(String),
    /// It can't be reached, or broke off.
    Broken(String),
}

/// The socket of the agent of the folder `state`.
pub(crate) fn socket(state: &Path) -> PathBuf {
    state.join("agent.sock")
}

/// Asks the agent, if there is one, and waits for the answer until `deadline`.
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
        Err(_) => return broken(std::io::Error::other("it does not listen")),
    }
    let mut spooled: Option<String> = None;
    loop {
        let told = timeout_at(deadline, wire::read::<AgentTold>(&mut stream)).await;
        let word = match (told, spooled.take()) {
            (Ok(Ok(Some(told))), _) => told.word,
            // What was told to be in the spool is there, whatever becomes of the agent.
            (Err(_), Some(why)) => return Asked::Spooled(or_else(why, "no answer in time")),
            (_, Some(why)) => return Asked::Spooled(or_else(why, "the agent stopped")),
            (Ok(Err(error)), None) => return broken(error),
            (Ok(Ok(None)), None) => return broken(std::io::Error::other("it hung up")),
            (Err(_), None) => return broken(std::io::Error::other("it says nothing")),
        };
        match word {
            Some(Word::Spooled(why)) if why.is_empty() => spooled = Some(why),
            // Nobody waits for a broker that is known to be away.
            Some(Word::Spooled(why)) => return Asked::Spooled(why),
            Some(Word::Answered(answer)) if answer.is_empty() => return Asked::Answered(None),
            Some(Word::Answered(answer)) => {
                let answer = AckException::decode(answer).unwrap_or_default();
                return Asked::Answered(Some(answer));
            }
            Some(Word::SetAside(why)) => return Asked::SetAside(why),
            Some(Word::NotSpooled(why)) => return Asked::NotTaken(Some(NotTaken::NotSpooled(why))),
            Some(Word::NotMine(why)) => return Asked::NotTaken(Some(NotTaken::NotMine(why))),
            None => return broken(std::io::Error::other("it says what this vme does not know")),
        }
    }
}

fn or_else(why: String, otherwise: &str) -> String {
    if why.is_empty() { otherwise.to_owned() } else { why }
}
