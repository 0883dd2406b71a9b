//! `vme spool`: shows the events that wait on this appliance, and which process sends them.
//!
//! Guarantees a result whatever agent and broker do: it reads the folder only. Like every access to
//! a spool it creates a missing folder, and repairs and reports damage. Does not know the broker.

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

/// The status of a spool.
struct Status {
    folder: String,
    /// Waiting events by kind.
    kinds: BTreeMap<String, u64>,
    waiting: usize,
    /// When the oldest was spooled.
    oldest: Option<jiff::Timestamp>,
    /// `agent 4711`, `drainer 812`; `None`: the next call sends the waiting events.
    sender: Option<String>,
    set_aside: usize,
    /// Dropped events that the waiting events report.
    lost: u64,
    /// A copy of a damaged spool exists.
    is_damage_kept: bool,
}

/// Prints the status.
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
        let label = words::event_kind((*kind).into()).unwrap_or_else(|| "other".to_owned());
        *kinds.entry(label).or_default() += 1;
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
                let kinds = self.kinds.iter().map(|(label, count)| format!("{count} {label}"));
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
                "no process sends them; the next call of vme does, or `vme agent`".to_owned()
            }
            None => "no agent is running; each call of vme sends by itself".to_owned(),
        });
        if self.lost > 0 {
            lines.push(match self.lost {
                1 => "1 event was dropped; the waiting events report this".to_owned(),
                lost => format!("{lost} events were dropped; the waiting events report this"),
            });
        }
        if self.set_aside > 0 {
            lines.push(format!("{} quarantined in {folder}/aside", self.set_aside));
        }
        if self.is_damage_kept {
            lines.push(format!("a damaged spool was found earlier: {folder}/spool.damaged"));
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
            empty.ends_with("\nno agent is running; each call of vme sends by itself"),
            "{empty}"
        );
        let event = |kind| Event { kind: Some(kind), ..Event::default() };
        let events = vec![event(Kind::StartedOk(StartedOk {})), event(Kind::Log(Log {}))];
        let keys = spool.append(events, State::Waiting).unwrap();
        let mut held = spool.try_drainer().unwrap().unwrap();
        held.leave_word("agent 4711").unwrap();
        let status = look(&spool).unwrap();
        let text = status.as_words();
        assert!(text.starts_with("2 events wait in /"), "{text}");
        assert!(text.contains("Z: 1 log, 1 started_ok\nagent 4711 sends as soon"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&status.as_json()).unwrap();
        assert_eq!((&json["waiting"], &json["kinds"]["log"]), (&json!(2), &json!(1)));
        drop(held);
        spool.set_aside(keys[1], "it ended two sessions").unwrap();
        let text = look(&spool).unwrap().as_words();
        assert!(text.contains("no process sends them; the next call of vme does"), "{text}");
        assert!(text.contains("1 quarantined in /"), "{text}");
    }
}
