//! `vme spool`: shows the events that wait on this appliance, and which process sends them.
//!
//! Guarantees a result whatever agent and broker do: it reads the folder only. Like every access to
//! a spool it creates a missing folder, and repairs and reports damage. Does not know the broker.

use std::collections::BTreeMap;

use bytes::Bytes;
use grid_broker::contract::proto::Event;
use grid_broker::exit_code::ExitCode;
use grid_broker::show::labels;
use grid_broker::spool::{Spool, SpoolError, WaitingEvent};
use grid_broker::stdout;
use prost::Message;
use serde_json::json;

use crate::config::ClientConfig;

/// The status of a spool.
struct SpoolStatus {
    folder: String,
    /// Waiting events by kind.
    kinds: BTreeMap<String, u64>,
    waiting: usize,
    /// When the oldest was spooled.
    oldest: Option<jiff::Timestamp>,
    /// `agent 4711`, `drainer 812`; `None`: the next call sends the waiting events.
    sender: Option<String>,
    quarantined: usize,
    /// Dropped events that the waiting events report.
    dropped: u64,
    /// A copy of a damaged spool exists.
    has_damaged_copy: bool,
}

/// Prints the status.
pub(crate) fn run(config: &ClientConfig, as_json: bool) -> ExitCode {
    let status = match config.spool().and_then(|spool| read_status(&spool)) {
        Ok(status) => status,
        Err(error) => {
            crate::print_line(&error.to_string());
            return ExitCode::Failed;
        }
    };
    let text = if as_json { status.to_json() } else { status.to_text() };
    stdout::finish("vme", stdout::write(&format!("{text}\n")), ExitCode::Done)
}

fn read_status(spool: &Spool) -> Result<SpoolStatus, SpoolError> {
    let waiting = spool.waiting()?;
    let mut kinds = BTreeMap::new();
    for WaitingEvent { kind, .. } in &waiting {
        let label = labels::event_kind((*kind).into()).unwrap_or_else(|| "other".to_owned());
        *kinds.entry(label).or_default() += 1;
    }
    let events = waiting.iter().map(|it| Event::decode(it.event.clone()).unwrap_or_default());
    let lost = events.flat_map(|event| event.lost_before).map(|lost| lost.count).sum();
    let oldest = waiting.iter().map(|it| it.spooled_at_us).min();
    let aside = std::fs::read(spool.folder().join("aside")).unwrap_or_default();
    Ok(SpoolStatus {
        folder: spool.folder().display().to_string(),
        kinds,
        waiting: waiting.len(),
        oldest: oldest.and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok()),
        sender: spool.current_drainer()?,
        dropped: lost,
        quarantined: grid_broker::spool::parse(&Bytes::from(aside)).entries.len(),
        has_damaged_copy: spool.folder().join("spool.damaged").exists(),
    })
}

impl SpoolStatus {
    fn to_text(&self) -> String {
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
        if self.dropped > 0 {
            lines.push(match self.dropped {
                1 => "1 event was dropped; the waiting events report this".to_owned(),
                lost => format!("{lost} events were dropped; the waiting events report this"),
            });
        }
        if self.quarantined > 0 {
            lines.push(format!("{} quarantined in {folder}/aside", self.quarantined));
        }
        if self.has_damaged_copy {
            lines.push(format!("a damaged spool was found earlier: {folder}/spool.damaged"));
        }
        lines.join("\n")
    }

    fn to_json(&self) -> String {
        json!({
            "folder": self.folder,
            "waiting": self.waiting,
            "kinds": self.kinds,
            "oldest": self.oldest.map(|oldest| oldest.to_string()),
            "sender": self.sender,
            "lost": self.dropped,
            "set_aside": self.quarantined,
            "damage_kept": self.has_damaged_copy,
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use grid_broker::contract::proto::event::Kind;
    use grid_broker::contract::proto::{Log, StartedOk};
    use grid_broker::spool::{EntryState, SenderId, SpoolLimits};

    use super::*;

    #[test]
    fn waiting_events_and_the_sender_are_shown() {
        let folder = tempfile::tempdir().unwrap();
        let sender = SenderId { appliance: "db1".to_owned(), boot: None };
        let spool = Spool::open(folder.path(), SpoolLimits::default(), sender).unwrap();
        let empty = read_status(&spool).unwrap().to_text();
        assert!(empty.starts_with("nothing waits in /"), "{empty}");
        assert!(
            empty.ends_with("\nno agent is running; each call of vme sends by itself"),
            "{empty}"
        );
        let event = |kind| Event { kind: Some(kind), ..Event::default() };
        let events = vec![event(Kind::StartedOk(StartedOk {})), event(Kind::Log(Log {}))];
        let keys = spool.append(events, EntryState::Waiting).unwrap();
        let mut lock = spool.try_lock_drainer().unwrap().unwrap();
        lock.set_note("agent 4711").unwrap();
        let status = read_status(&spool).unwrap();
        let text = status.to_text();
        assert!(text.starts_with("2 events wait in /"), "{text}");
        assert!(text.contains("Z: 1 log, 1 started_ok\nagent 4711 sends as soon"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&status.to_json()).unwrap();
        assert_eq!((&json["waiting"], &json["kinds"]["log"]), (&json!(2), &json!(1)));
        drop(lock);
        spool.quarantine(keys[1], "it ended two sessions").unwrap();
        let text = read_status(&spool).unwrap().to_text();
        assert!(text.contains("no process sends them; the next call of vme does"), "{text}");
        assert!(text.contains("1 quarantined in /"), "{text}");
    }
}
