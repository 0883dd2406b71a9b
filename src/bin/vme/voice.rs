//! Says events for every command of vme alike, and what became of each.
//!
//! Guarantees one line for people and one exit code an event, whatever way it went. Does not know why
//! it is said.

use std::time::SystemTime;

use grid_broker::event_words::Spoken;
use grid_broker::exit_code::ExitCode;
use grid_broker::wire::proto::ReportRequest;
use uuid::Uuid;

use crate::answer::Answer;
use crate::boot::{BootDoubt, BootError};
use crate::report;
use crate::speaker::Speaker;

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// For people, without `vme: `; one line.
    pub(crate) line: String,
    /// For scripts.
    pub(crate) exit_code: ExitCode,
}

/// Says events as one speaker.
#[derive(Debug)]
pub(crate) struct Voice {
    speaker: Speaker,
}

impl Voice {
    pub(crate) fn new(speaker: Speaker) -> Self {
        Self { speaker }
    }

    /// Who speaks.
    pub(crate) fn speaker(&self) -> &Speaker {
        &self.speaker
    }

    /// Says one event, and waits for what becomes of it as long as the speaker's patience lasts.
    pub(crate) async fn say(&self, spoken: &Spoken) -> Said {
        let (request, doubt) = match self.request(spoken) {
            Ok(request) => request,
            Err(error) => return Said { line: error.to_string(), exit_code: ExitCode::Failed },
        };
        if let Some(doubt) = doubt {
            crate::tell(&doubt.to_string());
        }
        let subject = format!("{} of {}", spoken.name, self.speaker.way.appliance);
        match report::report(&self.speaker.way, request).await {
            Ok(response) => {
                let Answer { words, exit_code } = Answer::new(&response);
                Said { line: format!("{subject} {words}"), exit_code }
            }
            Err(failure) => {
                let words = failure.to_string();
                let words: Vec<&str> = words.lines().map(str::trim).collect();
                let line = format!("{subject} not acknowledged: {}", words.join("; "));
                Said { line, exit_code: failure.exit_code() }
            }
        }
    }

    /// The event as it is sent, numbered, so that sending it again never makes it two.
    fn request(&self, spoken: &Spoken) -> Result<(ReportRequest, Option<BootDoubt>), BootError> {
        let boot = &self.speaker.boot;
        let (boot_id, doubt) = boot.id(spoken.is_about_the_start())?;
        let mut event = spoken.event.clone();
        event.boot_id = boot_id.map_or_else(String::new, |id| id.to_string());
        event.uptime_ms = boot.uptime_ms();
        event.event_time = Some(wall_clock().into());
        event.sequence = 1;
        let spool_id = Uuid::new_v4().as_u64_pair().1;
        Ok((ReportRequest { event: Some(event), spool_id }, doubt))
    }
}

#[expect(clippy::disallowed_methods, reason = "the event's own time")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use grid_broker::event_words;

    use super::*;
    use crate::boot::Boot;
    use crate::speaker::Way;

    #[test]
    fn the_event_is_numbered_timed_and_of_the_named_boot() {
        let boot = Uuid::from_u128(7);
        let way = Way {
            broker: "127.0.0.1:1".to_owned(),
            appliance: "db1".to_owned(),
            timeout: std::time::Duration::from_secs(1),
        };
        let voice = Voice::new(Speaker { way, boot: Boot::Named(boot), state: "state".into() });
        let spoken = event_words::parse(["id=log", "msg=x"]).unwrap();
        let (request, doubt) = voice.request(&spoken).unwrap();
        assert_eq!(doubt, None);
        let (again, _) = voice.request(&spoken).unwrap();
        assert_ne!(request.spool_id, again.spool_id);
        let event = request.event.unwrap();
        assert_eq!((event.boot_id, event.sequence, event.uptime_ms), (boot.to_string(), 1, 0));
        assert!(event.event_time.is_some());
    }
}
