//! Holds the open sessions of appliances. Volatile on purpose: empty after every start.
//!
//! Guarantees a bounded number of tracked sessions per appliance. Not part of the state: only
//! decisions from it (lost contact, duplicate names) have records.

use std::time::Duration;

use crate::grid::values::id::{ApplianceIndex, BootId, SessionId};
use crate::grid::values::time::{Offset, Timestamp};

/// The most sessions tracked per name; more are open but only counted.
const TRACKED_MAX: usize = 8;

/// Open sessions and their deadlines.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    /// By the index of the appliance: every event asks for one.
    appliances: Vec<Option<Box<ApplianceSessions>>>,
    open_count: u32,
}

#[derive(Clone, Debug, Default)]
struct ApplianceSessions {
    tracked: Vec<(SessionId, BootId)>,
    /// Sessions open beyond [`TRACKED_MAX`].
    untracked: u32,
    /// When contact without a session is lost.
    contact_deadline: Option<Timestamp>,
    /// When sessions of different boots, if still open, count as two machines; `None` while they
    /// are open: that is known already.
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
    /// The number of open sessions.
    pub fn open_count(&self) -> u32 {
        self.open_count
    }

    /// The number of tracked sessions of that appliance.
    pub fn session_count(&self, number: ApplianceIndex) -> usize {
        self.get(number).map_or(0, |seats| seats.tracked.len())
    }

    /// Whether a session of `boot` may be open: those beyond `TRACKED_MAX` may be of any boot.
    pub fn may_have_boot(&self, number: ApplianceIndex, boot: BootId) -> bool {
        self.get(number).is_some_and(|seats| {
            seats.untracked > 0 || seats.tracked.iter().any(|(_, seat)| *seat == boot)
        })
    }

    /// Whether a session of that boot is open.
    pub fn has_boot(&self, number: ApplianceIndex, boot: BootId) -> bool {
        self.get(number).is_some_and(|seats| seats.tracked.iter().any(|(_, seat)| *seat == boot))
    }

    /// Whether sessions of different boots are open.
    pub fn has_conflict(&self, number: ApplianceIndex) -> bool {
        self.get(number).is_some_and(ApplianceSessions::has_conflict)
    }

    /// Whether two machines use the name at `now`.
    pub fn conflict(&self, number: ApplianceIndex, now: Timestamp) -> SessionConflict {
        match self.get(number).filter(|seats| seats.has_conflict()) {
            None => SessionConflict::Absent,
            Some(seats) if seats.conflict_deadline.is_some_and(|at| at > now) => {
                SessionConflict::Possible
            }
            Some(_) => SessionConflict::Confirmed,
        }
    }

    /// Adds a session. If it is of a second boot, the conflict is decided at `twins_at`.
    pub fn opened(
        &mut self,
        number: ApplianceIndex,
        session: SessionId,
        boot: BootId,
        twins_at: Timestamp,
    ) {
        self.open_count += 1;
        let seats = self.get_or_insert(number);
        seats.contact_deadline = None;
        let had_twins = seats.has_conflict();
        if seats.tracked.len() < TRACKED_MAX {
            // Nearly always the only one.
            seats.tracked.reserve_exact(1);
            seats.tracked.push((session, boot));
        } else {
            seats.untracked += 1;
        }
        // A third session does not postpone the decision on two others.
        if seats.has_conflict() && !had_twins {
            seats.conflict_deadline = Some(twins_at);
        }
    }

    /// Removes a session. Without another one contact is lost at `contact_until`.
    pub fn closed(
        &mut self,
        number: ApplianceIndex,
        session: SessionId,
        contact_until: Option<Timestamp>,
    ) {
        self.open_count = self.open_count.saturating_sub(1);
        let Some(seats) = self.get_mut(number) else { return };
        match seats.tracked.iter().position(|(seat, _)| *seat == session) {
            Some(at) => {
                seats.tracked.remove(at);
                seats.tracked.shrink_to_fit();
            }
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

    /// Sets when contact without a session ends (after a report, or a start of the broker).
    pub fn set_contact_deadline(
        &mut self,
        number: ApplianceIndex,
        contact_until: Option<Timestamp>,
    ) {
        if contact_until.is_none() && self.get(number).is_none() {
            return;
        }
        let seats = self.get_or_insert(number);
        if seats.is_empty() {
            seats.contact_deadline = contact_until;
        }
        self.remove_if_idle(number);
    }

    /// Maps the contact deadline of an appliance, if there is one.
    pub fn map_contact_deadline(
        &mut self,
        number: ApplianceIndex,
        to: impl Fn(Timestamp) -> Timestamp,
    ) {
        if let Some(seats) = self.get_mut(number) {
            seats.contact_deadline = seats.contact_deadline.map(to);
        }
    }

    /// Sets when a conflict is decided, even without a session now.
    pub fn set_conflict_deadline(&mut self, number: ApplianceIndex, at: Timestamp) {
        self.get_or_insert(number).conflict_deadline = Some(at);
    }

    /// Extends the deadlines of that appliance.
    pub fn extend(&mut self, number: ApplianceIndex, by: Duration) {
        if let Some(seats) = self.get_mut(number) {
            seats.contact_deadline = seats.contact_deadline.map(|until| until.after(by));
            seats.conflict_deadline = seats.conflict_deadline.map(|at| at.after(by));
        }
    }

    /// Shifts all deadlines with broker time.
    pub fn shift(&mut self, by: Offset) {
        for seats in self.appliances.iter_mut().flatten() {
            seats.contact_deadline = seats.contact_deadline.map(|until| until.shifted_by(by));
            seats.conflict_deadline = seats.conflict_deadline.map(|at| at.shifted_by(by));
        }
    }

    /// When contact with that appliance is lost, if it is in no session, and when its two sessions
    /// count as two machines.
    pub fn deadlines(&self, number: ApplianceIndex) -> (Option<Timestamp>, Option<Timestamp>) {
        let sessions = self.get(number);
        sessions.map_or((None, None), |it| (it.contact_deadline, it.conflict_deadline))
    }

    /// Whether contact is lost at `now`; returned once.
    pub fn poll_contact_lost(&mut self, number: ApplianceIndex, now: Timestamp) -> bool {
        let Some(seats) = self.get_mut(number) else { return false };
        let lost = seats.contact_deadline.is_some_and(|until| until <= now);
        if lost {
            seats.contact_deadline = None;
            self.remove_if_idle(number);
        }
        lost
    }

    /// Whether two machines use the name at `now`; decided once, unless set again.
    pub fn poll_conflict(&mut self, number: ApplianceIndex, now: Timestamp) -> SessionConflict {
        let conflict = self.conflict(number, now);
        if let Some(seats) = self.get_mut(number)
            && seats.conflict_deadline.is_some_and(|at| at <= now)
        {
            seats.conflict_deadline = None;
            self.remove_if_idle(number);
        }
        conflict
    }

    fn remove_if_idle(&mut self, number: ApplianceIndex) {
        let is_empty = self.get(number).is_some_and(|seats| {
            seats.is_empty()
                && seats.contact_deadline.is_none()
                && seats.conflict_deadline.is_none()
        });
        if is_empty && let Some(slot) = self.appliances.get_mut(number.0 as usize) {
            *slot = None;
        }
    }

    fn get(&self, number: ApplianceIndex) -> Option<&ApplianceSessions> {
        self.appliances.get(number.0 as usize)?.as_deref()
    }

    fn get_mut(&mut self, number: ApplianceIndex) -> Option<&mut ApplianceSessions> {
        self.appliances.get_mut(number.0 as usize)?.as_deref_mut()
    }

    fn get_or_insert(&mut self, number: ApplianceIndex) -> &mut ApplianceSessions {
        let at = number.0 as usize;
        if at >= self.appliances.len() {
            self.appliances.resize_with(at + 1, || None);
        }
        self.appliances[at].get_or_insert_default()
    }
}

/// Whether two machines use one name, by the boots of its open sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionConflict {
    /// At most one machine.
    #[default]
    Absent,
    /// Sessions of two boots. One of them may be dead and not yet detected.
    Possible,
    /// Sessions of two boots, for too long.
    Confirmed,
}
