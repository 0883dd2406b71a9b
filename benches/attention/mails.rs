//! Defines a mail as its reader sees it, whoever wrote it.
//!
//! Knows neither the core nor the judge.

use grid_broker::grid::values::event::Severity;

use crate::timeline::{Match, Millis, Problem, Strand, Timeline};

/// The topic of a count of suppressed alerts, in gridd's mails.
pub(crate) const SUPPRESSED: &str = "suppressed";

/// The topic of the alert that a suppression goes on, in gridd's mails.
pub(crate) const SUPPRESSION: &str = "suppression";

/// A mail that arrived.
#[derive(Clone, Debug)]
pub(crate) struct ArrivedMail {
    /// When the server accepted it.
    pub(crate) at: Millis,
    /// When the first of its notices was queued.
    pub(crate) queued_at: Millis,
    pub(crate) subject: String,
    /// The bytes of its text and HTML.
    pub(crate) bytes: usize,
    /// Whether the first item of its text is a gravest one.
    pub(crate) is_gravest_first: bool,
    pub(crate) mentions: Vec<Mention>,
}

/// What a mail says of one alert.
#[derive(Clone, Debug)]
pub(crate) struct Mention {
    /// The appliance; empty: the notifier itself.
    pub(crate) name: String,
    pub(crate) topic: String,
    pub(crate) text: String,
    pub(crate) severity: Severity,
    pub(crate) is_resolved: bool,
    /// Why it is in the mail, for a trace.
    pub(crate) reason: String,
}

impl ArrivedMail {
    /// The gravest severity of what it says is open, or else of all.
    pub(crate) fn gravest(&self) -> Option<Severity> {
        let open = self.mentions.iter().filter(|it| !it.is_resolved).map(|it| it.severity).max();
        open.or_else(|| self.mentions.iter().map(|it| it.severity).max())
    }
}

impl Strand {
    /// Whether a mention is about it.
    pub(crate) fn is_told_by(&self, timeline: &Timeline, mention: &Mention) -> bool {
        if timeline.machines[self.machine].name != mention.name {
            return false;
        }
        let has = |marker: &str| mention.text.contains(marker) || mention.topic.contains(marker);
        match &self.matching {
            Match::Findings(topics) => topics.contains(&mention.topic.as_str()),
            Match::Marker(marker) => has(marker),
            Match::Fatal(marker) => mention.severity == Severity::Fatal && has(marker),
            Match::Everything => true,
        }
    }

    /// Whether it holds at some time from `from` to `to`.
    pub(crate) fn is_open_within(&self, from: Millis, to: Millis) -> bool {
        self.open.iter().any(|(since, until)| *since <= to && until.is_none_or(|it| it >= from))
    }
}

impl Problem {
    /// The mentions in a mail that are about it, each with its strand.
    pub(crate) fn mentions_in<'m>(
        &'m self,
        timeline: &'m Timeline,
        mail: &'m ArrivedMail,
    ) -> impl Iterator<Item = (&'m Strand, &'m Mention)> {
        mail.mentions.iter().filter_map(move |mention| {
            let strand = self.strands.iter().find(|it| it.is_told_by(timeline, mention))?;
            Some((strand, mention))
        })
    }

    /// Whether a mail tells of it.
    pub(crate) fn is_in(&self, timeline: &Timeline, mail: &ArrivedMail) -> bool {
        self.mentions_in(timeline, mail).next().is_some()
    }
}
