//! Who is in a session at this moment? Volatile on purpose: it begins empty at every start.
//!
//! Guarantees a bounded number of seats per appliance. Not part of the state: only what is decided
//! from it ("no contact", "two machines") leaves a record.

use std::collections::HashMap;
use std::time::Duration;

use crate::grid::decide::SessionConflict;
use crate::grid::log::record::SessionId;
use crate::grid::values::id::{ApplianceIndex, BootId};
use crate::grid::values::time::{Offset, Timestamp};

/// Sessions of one name that are told apart; more are open but not looked at.
const TRACKED_MAX: usize = 8;

/// Open sessions and what they imply for later.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    appliances: HashMap<ApplianceIndex, ApplianceSessions>,
    open_count: u32,
}

#[derive(Clone, Debug, Default)]
struct ApplianceSessions {
    tracked: Vec<(SessionId, BootId)>,
    /// Sessions open beyond [`TRACKED_MAX`].
    untracked: u32,
    /// When silence without a session is a loss of contact.
    contact_deadline: Option<Timestamp>,
    /// When sessions of different boots, if still open, are two machines; `None` while they are
    /// open: they are known to be.
    conflict_deadline: Option<Timestamp>,
}

impl ApplianceSessions {
    fn is_empty(&self) -> bool {
        self.tracked.is_empty() && self.untracked == 0
    }

    fn has_conflict(&self) -> bool {
        let mut boots = self.tracked.iter().map(|(_, boot)| boot);
        let first = boots.next();
        boots.any(|boot| Some(boot) != first)
    }
}

impl Sessions {
    /// Sessions open.
    pub fn open_count(&self) -> u32 {
        self.open_count
    }

    /// Sessions of that appliance that are open.
    pub fn session_count(&self, number: ApplianceIndex) -> usize {
        self.appliances.get(&number).map_or(0, |seats| seats.tracked.len())
    }

    /// Whether a session of `boot` may be open: those beyond `SEATS_MAX` are of any boot.
    pub fn may_have_boot(&self, number: ApplianceIndex, boot: BootId) -> bool {
        self.appliances.get(&number).is_some_and(|seats| {
            seats.untracked > 0 || seats.tracked.iter().any(|(_, seat)| *seat == boot)
        })
    }

    /// Whether sessions of different boots are open.
    pub fn has_conflict(&self, number: ApplianceIndex) -> bool {
        self.appliances.get(&number).is_some_and(ApplianceSessions::has_conflict)
    }

    /// How many machines speak at `now`.
    pub fn conflict(&self, number: ApplianceIndex, now: Timestamp) -> SessionConflict {
        match self.appliances.get(&number).filter(|seats| seats.has_conflict()) {
            None => SessionConflict::Absent,
            Some(seats) if seats.conflict_deadline.is_some_and(|at| at > now) => {
                SessionConflict::Possible
            }
            Some(_) => SessionConflict::Confirmed,
        }
    }

    /// A session opened; should two boots speak, they are judged at `twins_at`.
    pub fn opened(
        &mut self,
        number: ApplianceIndex,
        session: SessionId,
        boot: BootId,
        twins_at: Timestamp,
    ) {
        self.open_count += 1;
        let seats = self.appliances.entry(number).or_default();
        seats.contact_deadline = None;
        let had_twins = seats.has_conflict();
        if seats.tracked.len() < TRACKED_MAX {
            seats.tracked.push((session, boot));
        } else {
            seats.untracked += 1;
        }
        // A third session does not put the verdict on two others off.
        if seats.has_conflict() && !had_twins {
            seats.conflict_deadline = Some(twins_at);
        }
    }

    /// A session ended; without another one contact is lost at `contact_until`.
    pub fn closed(
        &mut self,
        number: ApplianceIndex,
        session: SessionId,
        contact_until: Option<Timestamp>,
    ) {
        self.open_count = self.open_count.saturating_sub(1);
        let Some(seats) = self.appliances.get_mut(&number) else { return };
        match seats.tracked.iter().position(|(seat, _)| *seat == session) {
            Some(at) => drop(seats.tracked.remove(at)),
            None => seats.untracked = seats.untracked.saturating_sub(1),
        }
        if seats.is_empty() {
            seats.contact_deadline = contact_until;
        }
        if !seats.has_conflict() {
            seats.conflict_deadline = None;
        }
        self.remove_if_idle(number);
    }

    /// Contact without a session (a report, or a start of the broker) holds until then.
    pub fn set_contact_deadline(
        &mut self,
        number: ApplianceIndex,
        contact_until: Option<Timestamp>,
    ) {
        let seats = self.appliances.entry(number).or_default();
        if seats.is_empty() {
            seats.contact_deadline = contact_until;
        }
        self.remove_if_idle(number);
    }

    /// Moves the end of an appliance's contact, if one is awaited.
    pub fn map_contact_deadline(
        &mut self,
        number: ApplianceIndex,
        to: impl Fn(Timestamp) -> Timestamp,
    ) {
        if let Some(seats) = self.appliances.get_mut(&number) {
            seats.contact_deadline = seats.contact_deadline.map(to);
        }
    }

    /// Whether one machine or two speak is to be judged then, though nobody is there at this time.
    pub fn set_conflict_deadline(&mut self, number: ApplianceIndex, at: Timestamp) {
        self.appliances.entry(number).or_default().conflict_deadline = Some(at);
    }

    /// What waits for that appliance waits so much longer.
    pub fn extend(&mut self, number: ApplianceIndex, by: Duration) {
        if let Some(seats) = self.appliances.get_mut(&number) {
            seats.contact_deadline = seats.contact_deadline.map(|until| until.after(by));
            seats.conflict_deadline = seats.conflict_deadline.map(|at| at.after(by));
        }
    }

    /// Told time was moved: what waits moves along.
    pub fn shift(&mut self, by: Offset) {
        for seats in self.appliances.values_mut() {
            seats.contact_deadline = seats.contact_deadline.map(|until| until.shifted_by(by));
            seats.conflict_deadline = seats.conflict_deadline.map(|at| at.shifted_by(by));
        }
    }

    /// When contact with that appliance is lost, if it is in no session, and when its two sessions
    /// count as two machines.
    pub fn deadlines(&self, number: ApplianceIndex) -> (Option<Timestamp>, Option<Timestamp>) {
        let sessions = self.appliances.get(&number);
        sessions.map_or((None, None), |it| (it.contact_deadline, it.conflict_deadline))
    }

    /// Whether contact is lost at `now`; said once.
    pub fn poll_contact_lost(&mut self, number: ApplianceIndex, now: Timestamp) -> bool {
        let Some(seats) = self.appliances.get_mut(&number) else { return false };
        let lost = seats.contact_deadline.is_some_and(|until| until <= now);
        if lost {
            seats.contact_deadline = None;
            self.remove_if_idle(number);
        }
        lost
    }

    /// How many machines speak at `now`; judged once, unless asked again.
    pub fn poll_conflict(&mut self, number: ApplianceIndex, now: Timestamp) -> SessionConflict {
        let voices = self.conflict(number, now);
        if let Some(seats) = self.appliances.get_mut(&number)
            && seats.conflict_deadline.is_some_and(|at| at <= now)
        {
            seats.conflict_deadline = None;
            self.remove_if_idle(number);
        }
        voices
    }

    fn remove_if_idle(&mut self, number: ApplianceIndex) {
        let is_empty = self.appliances.get(&number).is_some_and(|seats| {
            seats.is_empty()
                && seats.contact_deadline.is_none()
                && seats.conflict_deadline.is_none()
        });
        if is_empty {
            self.appliances.remove(&number);
        }
    }
}
