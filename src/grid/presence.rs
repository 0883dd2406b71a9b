//! Who is in a session at this moment? Volatile on purpose: it begins empty at every start.
//!
//! Guarantees a bounded number of seats per appliance. Not part of the state: only what is decided
//! from it ("no contact", "two machines") leaves a record.

use std::collections::HashMap;

use super::name::{ApplianceNumber, BootId};
use super::record::SessionId;
use super::time::Timestamp;

/// Sessions of one name that are told apart; more are open but not looked at.
const SEATS_MAX: usize = 8;

/// Open sessions and what they imply for later.
#[derive(Clone, Debug, Default)]
pub struct Presence {
    rows: HashMap<ApplianceNumber, Seats>,
    open: u32,
}

#[derive(Clone, Debug, Default)]
struct Seats {
    taken: Vec<(SessionId, BootId)>,
    /// When silence without a session is a loss of contact.
    contact_until: Option<Timestamp>,
    /// When two sessions of different boots, still open, are two machines.
    twins_at: Option<Timestamp>,
}

impl Presence {
    /// Sessions open.
    pub fn open(&self) -> u32 {
        self.open
    }

    /// Sessions of that appliance that are open.
    pub fn sessions(&self, number: ApplianceNumber) -> usize {
        self.rows.get(&number).map_or(0, |seats| seats.taken.len())
    }

    /// Whether a session of `boot` is open.
    pub fn speaks(&self, number: ApplianceNumber, boot: BootId) -> bool {
        self.rows
            .get(&number)
            .is_some_and(|seats| seats.taken.iter().any(|(_, seat)| *seat == boot))
    }

    /// Whether sessions of different boots are open.
    pub fn has_twins(&self, number: ApplianceNumber) -> bool {
        let Some(seats) = self.rows.get(&number) else { return false };
        let mut boots = seats.taken.iter().map(|(_, boot)| boot);
        let first = boots.next();
        boots.any(|boot| Some(boot) != first)
    }

    /// A session opened; should two boots speak, they are judged at `twins_at`.
    pub fn opened(
        &mut self,
        number: ApplianceNumber,
        session: SessionId,
        boot: BootId,
        twins_at: Timestamp,
    ) {
        self.open += 1;
        let seats = self.rows.entry(number).or_default();
        seats.contact_until = None;
        if seats.taken.len() < SEATS_MAX {
            seats.taken.push((session, boot));
        }
        if self.has_twins(number) {
            self.rows.entry(number).or_default().twins_at = Some(twins_at);
        }
    }

    /// A session ended; without another one contact is lost at `contact_until`.
    pub fn closed(
        &mut self,
        number: ApplianceNumber,
        session: SessionId,
        contact_until: Option<Timestamp>,
    ) {
        self.open = self.open.saturating_sub(1);
        let Some(seats) = self.rows.get_mut(&number) else { return };
        seats.taken.retain(|(seat, _)| *seat != session);
        if seats.taken.is_empty() {
            seats.contact_until = contact_until;
        }
        if !self.has_twins(number)
            && let Some(seats) = self.rows.get_mut(&number)
        {
            seats.twins_at = None;
        }
        self.forget_if_empty(number);
    }

    /// Contact without a session (a report, or a start of the broker) holds until then.
    pub fn expect_until(&mut self, number: ApplianceNumber, contact_until: Option<Timestamp>) {
        let seats = self.rows.entry(number).or_default();
        if seats.taken.is_empty() {
            seats.contact_until = contact_until;
        }
        self.forget_if_empty(number);
    }

    /// When presence of that appliance is to be judged.
    pub fn deadline(&self, number: ApplianceNumber) -> Option<Timestamp> {
        let seats = self.rows.get(&number)?;
        match (seats.contact_until, seats.twins_at) {
            (Some(contact), Some(twins)) => Some(contact.min(twins)),
            (one, other) => one.or(other),
        }
    }

    /// Whether contact is lost at `now`; said once.
    pub fn takes_contact_lost(&mut self, number: ApplianceNumber, now: Timestamp) -> bool {
        let Some(seats) = self.rows.get_mut(&number) else { return false };
        let lost = seats.contact_until.is_some_and(|until| until <= now);
        if lost {
            seats.contact_until = None;
            self.forget_if_empty(number);
        }
        lost
    }

    /// Whether two machines speak at `now`; said once.
    pub fn takes_twins(&mut self, number: ApplianceNumber, now: Timestamp) -> bool {
        let Some(seats) = self.rows.get_mut(&number) else { return false };
        let due = seats.twins_at.is_some_and(|at| at <= now);
        if due {
            seats.twins_at = None;
        }
        due && self.has_twins(number)
    }

    fn forget_if_empty(&mut self, number: ApplianceNumber) {
        let is_empty = self
            .rows
            .get(&number)
            .is_some_and(|seats| seats.taken.is_empty() && seats.contact_until.is_none());
        if is_empty {
            self.rows.remove(&number);
        }
    }
}
