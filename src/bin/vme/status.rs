//! `vme spool`: what waits on this appliance, and who is going to send it.
//!
//! Asks neither the agent nor the broker, so it answers whatever they do. Changes nothing but what every
//! look at a spool does: a folder that is not there is made, damage is mended and told.

use std::collections::BTreeMap;

use bytes::Bytes;
use grid_broker::exit_code::ExitCode;
use grid_broker::show::words;
use grid_broker::spool::{Spool, SpoolError, Waiting};
use grid_broker::stdout;
use grid_broker::wire::proto::Event;
use prost::Message;
use serde_json::json;

use crate::speaker::Speaker;

/// What can be seen.
struct Status {
    folder: String,
    /// How many wait of each kind.
    kinds: BTreeMap<String, u64>,
    waiting: usize,
    /// When the oldest came here.
    oldest: Option<jiff::Timestamp>,
    /// `agent 4711`, `drainer 812`; none: the next call sends what waits.
    sender: Option<String>,
    set_aside: usize,
    /// Events that went for want of room, and of which those that wait tell.
    lost: u64,
    /// A damaged spool was found once.
    is_damage_kept: bool,
}

/// Shows it.
pub(crate) fn run(speaker: &Speaker, as_json: bool) -> ExitCode {
    let status = match speaker.spool().and_then(|spool| look(&spool)) {
        Ok(status) => status,
        Err(error) => {
            crate::tell(&error.to_string());
            return ExitCode::Failed;
        }
    };
    let text = if as_json { status.as_json() } else { status.as_words() };
    stdout::end("vme", stdout::write(&format!("{text}\n")), ExitCode::Done)
}

fn look(spool: &Spool) -> Result<Status, SpoolError> {
    let waiting = spool.waiting()?;
    let mut kinds = BTreeMap::new();
    for Waiting { kind, .. } in &waiting {
        let word = words::event_kind((*kind).into()).unwrap_or_else(|| "other".to_owned());
        *kinds.entry(word).or_default() += 1;
    }
    let events = waiting.iter().map(|it| Event::decode(it.event.clone()).unwrap_or_default());
    let lost = events.flat_map(|event| event.lost_before).map(|lost| lost.count).sum();
    let oldest = waiting.iter().map(|it| it.spooled_at_us).min();
    let aside = std::fs::read(spool.folder().join("aside")).unwrap_or_default();
    Ok(Status {
        folder: spool.folder().display().to_string(),
        kinds,
        waiting: waiting.len(),
        oldest: oldest.and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok()),
        sender: spool.who_sends()?,
        lost,
        set_aside: grid_broker::spool::read(&Bytes::from(aside)).entries.len(),
        is_damage_kept: spool.folder().join("spool.damaged").exists(),
    })
}

impl Status {
    fn as_words(&self) -> String {
        let Self { folder, .. } = self;
        let mut lines = Vec::new();
        match (self.waiting, self.oldest) {
            (0, _) | (_, None) => lines.push(format!("nothing waits in {folder}")),
            (count, Some(oldest)) => {
                let kinds = self.kinds.iter().map(|(word, count)| format!("{count} {word}"));
                let kinds: Vec<_> = kinds.collect();
                let events = if count == 1 { "event waits" } else { "events wait" };
                let since = oldest.strftime("%Y-%m-%d %H:%M:%SZ");
                lines.push(format!(
                    "{count} {events} in {folder} since {since}: {}",
                    kinds.join(", ")
                ));
            }
        }
        lines.push(match &self.sender {
            Some(sender) => format!("{sender} sends as soon as the broker can be reached"),
            None if self.waiting > 0 => {
                "nobody sends; the next call of vme does, or `vme agent`".to_owned()
            }
            None => "there is no agent; each call of vme sends by itself".to_owned(),
        });
        if self.lost > 0 {
            lines.push(format!("{} are lost, which those that wait tell of", self.lost));
        }
        if self.set_aside > 0 {
            lines.push(format!("{} set aside in {folder}/aside", self.set_aside));
        }
        if self.is_damage_kept {
            lines.push(format!("a damaged spool was found once: {folder}/spool.damaged"));
        }
        lines.join("\n")
    }

    fn as_json(&self) -> String {
        json!({
            "folder": self.folder,
            "waiting": self.waiting,
            "kinds": self.kinds,
            "oldest": self.oldest.map(|oldest| oldest.to_string()),
            "sender": self.sender,
            "lost": self.lost,
            "set_aside": self.set_aside,
            "damage_kept": self.is_damage_kept,
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use grid_broker::spool::{Limits, State, Teller};
    use grid_broker::wire::proto::event::Kind;
    use grid_broker::wire::proto::{Log, StartedOk};

    use super::*;

    #[test]
    fn what_waits_and_who_sends_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let teller = Teller { appliance: "db1".to_owned(), boot: None };
        let spool = Spool::open(folder.path(), Limits::default(), teller).unwrap();
        let empty = look(&spool).unwrap().as_words();
        assert!(empty.starts_with("nothing waits in /"), "{empty}");
        assert!(
            empty.ends_with("\nthere is no agent; each call of vme sends by itself"),
            "{empty}"
        );
        let event = |kind| Event { kind: Some(kind), ..Event::default() };
        let events = vec![event(Kind::StartedOk(StartedOk {})), event(Kind::Log(Log {}))];
        let keys = spool.append(events, State::Waiting).unwrap();
        let mut held = spool.try_drainer().unwrap().unwrap();
        held.leave_word("agent 4711").unwrap();
        let status = look(&spool).unwrap();
        let words = status.as_words();
        assert!(words.starts_with("2 events wait in /"), "{words}");
        assert!(words.contains("Z: 1 log, 1 started_ok\nagent 4711 sends as soon"), "{words}");
        let json: serde_json::Value = serde_json::from_str(&status.as_json()).unwrap();
        assert_eq!((&json["waiting"], &json["kinds"]["log"]), (&json!(2), &json!(1)));
        drop(held);
        spool.set_aside(keys[1], "it ended two sessions").unwrap();
        let words = look(&spool).unwrap().as_words();
        assert!(words.contains("nobody sends; the next call of vme does"), "{words}");
        assert!(words.contains("1 set aside in /"), "{words}");
    }
}
