//! Runs random actions on three appliances, and counts outcomes as their senders do.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use super::driver::*;
use crate::grid::decide::identity::IdentityReply;
use crate::grid::log::alert_input::AlertInput;
use crate::grid::log::command::{AdminCommand, OverrideReset};
use crate::grid::log::crash_dump::DumpReport;
use crate::grid::log::identity::IdentityCommand;
use crate::grid::log::input::{BrokerPause, Input};
use crate::grid::model::settings::Overrides;
use crate::grid::model::usage::OutcomeKind;
use crate::grid::tests::random_actions::{APPLIANCES, SimulatedAction, settings};
use crate::grid::values::event::EventKind;
use crate::grid::values::id::{ApplianceIndex, SessionId};
use crate::grid::values::outcome::Outcome;

/// A timeline with its open sessions.
pub(super) struct Simulation {
    pub(super) timeline: Timeline,
    pub(super) sessions: Vec<(ApplianceIndex, u128, SessionId)>,
    /// The kinds of replies to commands on credentials.
    pub(super) identity_replies: BTreeSet<String>,
    last_event: Option<EventBuilder>,
    flood_count: u64,
    unacknowledged: Vec<(ApplianceIndex, EventKind, OutcomeKind)>,
    acknowledged: BTreeMap<(ApplianceIndex, EventKind, OutcomeKind), u64>,
}

impl Simulation {
    pub(super) fn new(tallies_late: bool) -> Self {
        let mut timeline = Timeline::empty(settings(0));
        timeline.are_tallies_deferred = tallies_late;
        (1..=APPLIANCES).for_each(|row| timeline.add(ApplianceIndex(row)));
        let overrides = Overrides::default();
        let (class, reset) = (Some("other".into()), OverrideReset::default());
        let other = AdminCommand::Set { name: name(ApplianceIndex(2)), class, overrides, reset };
        assert!(timeline.command(other).is_ok());
        let (sessions, said, flooded) = (Vec::new(), None, 0);
        let (unacknowledged, acknowledged) = (Vec::new(), BTreeMap::new());
        Self {
            timeline,
            sessions,
            identity_replies: BTreeSet::new(),
            last_event: said,
            flood_count: flooded,
            unacknowledged,
            acknowledged,
        }
    }

    pub(super) fn run(&mut self, deed: SimulatedAction) {
        self.run_action(deed);
        self.timeline.asks();
        self.acknowledge();
    }

    fn run_action(&mut self, deed: SimulatedAction) {
        match deed {
            SimulatedAction::Report(said) => {
                self.last_event = Some(said.clone());
                self.receive(said);
            }
            SimulatedAction::Flood(times) => {
                let Some(mut said) = self.last_event.clone() else { return };
                for ahead in 1..=times {
                    self.flood_count += 1;
                    said.0.sequence = NonZeroU64::new(1_000 + self.flood_count * 50 + ahead);
                    self.receive(said.clone());
                }
            }
            SimulatedAction::Tally => {
                self.timeline.tally();
            }
            SimulatedAction::Resend => {
                let Some(said) = self.last_event.clone() else { return };
                self.resend(said);
            }
            SimulatedAction::Hello { row, boot, uptime } => {
                let session = self.timeline.hello_of(row, boot, uptime);
                self.sessions.push((row, boot, session));
            }
            SimulatedAction::CloseSession(which) if which < self.sessions.len() => {
                let (row, boot, session) = self.sessions.remove(which);
                self.timeline.close_session_of(row, boot, session);
            }
            SimulatedAction::CloseSession(_) => {}
            SimulatedAction::Silence(input) => drop(self.timeline.handle(Input::Silence(input))),
            SimulatedAction::Alert(which, command) => {
                let id = self.timeline.grid().state().alerts().iter().nth(which).map(|it| it.id);
                let Some(id) = id else { return };
                let by = "anna".into();
                self.timeline.handle(Input::Alert(AlertInput::Command { by, id, command }));
            }
            SimulatedAction::Command(order) => drop(self.timeline.command(order)),
            SimulatedAction::DumpReport(row, result) => {
                let appliance = self.timeline.grid().state().appliance(row);
                let newest = appliance.and_then(|appliance| appliance.crash_dumps.first());
                let Some(request) = newest.map(|dump| dump.request) else { return };
                let (detail, output) = ("".into(), "".into());
                let report = DumpReport { appliance: row, request, result, detail, output };
                self.timeline.handle(Input::CrashDump(report));
            }
            SimulatedAction::Identity(command) => self.identity(command),
            SimulatedAction::Security(incident) => {
                self.timeline.handle(Input::Security(incident));
            }
            SimulatedAction::Wait(pause) => {
                self.timeline.advance_to(self.timeline.now.after(pause))
            }
            SimulatedAction::Pause(lasted) => {
                self.timeline.now = self.timeline.now.after(lasted);
                self.timeline
                    .handle(Input::BrokerPaused { lasted, cause: BrokerPause::ProcessPaused });
            }
            SimulatedAction::Restart(downtime, number) => {
                self.sessions.clear();
                self.last_event = None;
                // Counts without a tally are not acknowledged: a crash loses them.
                self.unacknowledged.clear();
                self.timeline.restart_with(downtime, settings(number));
            }
        }
    }

    /// Whoever enrols, or renews, has the key that the grid knows afterwards.
    fn identity(&mut self, command: IdentityCommand) {
        let sent = match &command {
            IdentityCommand::Enrol { key, .. } | IdentityCommand::Renew { key, .. } => Some(*key),
            IdentityCommand::CreateToken { .. }
            | IdentityCommand::RotateToken { .. }
            | IdentityCommand::RevokeToken { .. }
            | IdentityCommand::RevokeAppliance { .. }
            | IdentityCommand::CreateAdministrator { .. }
            | IdentityCommand::SetAdministrator { .. }
            | IdentityCommand::RemoveAdministrator { .. } => None,
        };
        let reply = self.timeline.identity(command);
        let text = reply.as_ref().map_or_else(|no| format!("{no:?}"), |yes| format!("{yes:?}"));
        let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
        self.identity_replies.insert(text[..end].to_owned());
        if let (Ok(IdentityReply::Granted(grant)), Some(sent)) = (reply, sent) {
            let identities = self.timeline.grid().state().identities();
            let known = identities.key(&grant.subject).expect("the owner has a key");
            assert_eq!((known.key, known.serial), (sent, grant.serial));
            assert_eq!((known.issued_at, known.expires_at), (grant.issued_at, grant.expires_at));
        }
    }

    /// An event sent twice in a row with one sequence is a duplicate, unless its appliance is
    /// unknown.
    fn resend(&mut self, said: EventBuilder) {
        let appliance = self.timeline.grid().state().appliance(said.0.appliance);
        let boot = said.0.boot.or(appliance.and_then(|appliance| appliance.boot_id()));
        let is_known = appliance.is_some_and(|appliance| {
            boot.zip(said.0.spool).zip(said.0.sequence).is_some_and(|((boot, spool), sequence)| {
                appliance.windows.contains(boot, spool, sequence)
            })
        });
        let records = self.timeline.records.len();
        let outcome = self.receive(said);
        assert_eq!(outcome == Outcome::Duplicate, is_known);
        let is_silent = self.timeline.records.len() == records;
        assert!(is_silent || !is_known, "a duplicate makes no record");
    }

    /// Sends it, and counts its outcome once it is acknowledged, as its sender does.
    pub(super) fn receive(&mut self, said: EventBuilder) -> Outcome {
        let (row, kind) = (said.0.appliance, said.0.event.body.kind());
        let records = self.timeline.records.len();
        let (outcome, _) = self.timeline.receive(said);
        let is_there = self.timeline.grid().state().appliance(row).is_some();
        if let Some(counted) = OutcomeKind::new(outcome).filter(|_| is_there) {
            let since = &self.timeline.records[records..];
            if since.iter().any(|record| matches!(record.input, Input::Event(_))) {
                *self.acknowledged.entry((row, kind, counted)).or_default() += 1;
            } else {
                self.unacknowledged.push((row, kind, counted));
            }
        }
        self.acknowledge();
        outcome
    }

    /// Counts as acknowledged what a tally contains.
    pub(super) fn acknowledge(&mut self) {
        let grid = self.timeline.grid();
        for counted in self.unacknowledged.extract_if(.., |it| !grid.has_pending_of(it.0)) {
            *self.acknowledged.entry(counted).or_default() += 1;
        }
    }

    /// Asserts that the senders' counts equal those of the grid.
    pub(super) fn assert_counts(&self) {
        for appliance in self.timeline.grid().state().appliances() {
            let own = self.acknowledged.iter().filter(|((row, ..), _)| *row == appliance.number);
            let own: Vec<_> = own.map(|((_, kind, outcome), n)| (*kind, *outcome, *n)).collect();
            assert_eq!(own, appliance.usage.counts.iter().collect::<Vec<_>>());
        }
    }
}
