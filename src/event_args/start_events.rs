//! Builds the events about a start for vme's own commands, without parsing arguments.
//!
//! Guarantees the same events as parsed arguments, plus the mark that a report is repeated, which
//! arguments cannot set. Does not know when they are sent.

use std::time::Duration;

use crate::contract::proto::event::Kind;
use crate::contract::proto::{Event, Maintenance, StartFailed, StartedOk};

use super::{EventCommand, SENT_TEXT_BYTES_MAX};

impl EventCommand {
    /// The start is complete; `text` may be empty.
    pub fn started_ok(text: &str) -> Self {
        Self::build("started_ok", Kind::StartedOk(StartedOk {}), text)
    }

    /// The start failed, and why.
    pub fn start_failed(reason: &str) -> Self {
        Self::build("start_failed", Kind::StartFailed(StartFailed {}), reason)
    }

    /// The start takes long; the report deadline is `next` from now.
    pub fn maintenance(progress: Option<u8>, text: &str, next: Duration, repeated: bool) -> Self {
        let progress = progress.map(u32::from);
        let kind = Kind::Maintenance(Maintenance { progress });
        let mut command = Self::build("maintenance", kind, text);
        command.event.next_report_within_ms = u32::try_from(next.as_millis()).unwrap_or(u32::MAX);
        command.event.repeated = repeated;
        command
    }

    fn build(name: &'static str, kind: Kind, text: &str) -> Self {
        let text = text[..text.floor_char_boundary(SENT_TEXT_BYTES_MAX)].to_owned();
        let event = Event { kind: Some(kind), text, ..Event::default() };
        Self { event, name, corrections: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_args::parse;

    #[test]
    fn it_equals_the_parsed_arguments() {
        let arguments = ["id=maintenance", "msg=fsck", "progress=30", "next_report_within=20s"];
        let second = Duration::from_secs(20);
        assert_eq!(
            parse(arguments).unwrap(),
            EventCommand::maintenance(Some(30), "fsck", second, false)
        );
        assert_eq!(parse(["id=started_ok"]).unwrap(), EventCommand::started_ok(""));
        assert_eq!(
            parse(["id=start_failed", "msg=no DNS"]).unwrap(),
            EventCommand::start_failed("no DNS")
        );
        assert!(EventCommand::maintenance(None, "", second, true).event.repeated);
        assert_eq!(
            EventCommand::started_ok(&"é".repeat(40_000)).event.text.len(),
            SENT_TEXT_BYTES_MAX
        );
    }
}
