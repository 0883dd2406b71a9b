//! Who is in a session at this moment? Volatile on purpose: it begins empty at every start.
//!
//! Guarantees a bounded number of seats per appliance. Not part of the state: only what is decided
//! from it ("no contact", "two machines") leaves a record.

use std::collections::HashMap;
use std::time::Duration;

use super::decide::Voices;
use super::name::{ApplianceNumber, BootId};
use super::record::SessionId;
use super::time::{Offset, Timestamp};

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
    /// Sessions open beyond [`SEATS_MAX`].
    standing: u32,
    /// When silence without a session is a loss of contact.
    contact_until: Option<Timestamp>,
    /// When sessions of different boots, if still open, are two machines; `None` while they are
    /// open: they are known to be.
    twins_at: Option<Timestamp>,
}

impl Seats {
    fn is_empty(&self) -> bool {
        self.taken.is_empty() && self.standing == 0
    }

    fn has_twins(&self) -> bool {
        let mut boots = self.taken.iter().map(|(_, boot)| boot);
        let first = boots.next();
        boots.any(|boot| Some(boot) != first)
    }
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

    /// Whether a session of `boot` may be open: those beyond `SEATS_MAX` are of any boot.
    pub fn speaks(&self, number: ApplianceNumber, boot: BootId) -> bool {
        self.rows.get(&number).is_some_and(|seats| {
            seats.standing > 0 || seats.taken.iter().any(|(_, seat)| *seat == boot)
        })
    }

    /// Whether sessions of different boots are open.
    pub fn has_twins(&self, number: ApplianceNumber) -> bool {
        self.rows.get(&number).is_some_and(Seats::has_twins)
    }

    /// How many machines speak at `now`.
    pub fn voices(&self, number: ApplianceNumber, now: Timestamp) -> Voices {
        match self.rows.get(&number).filter(|seats| seats.has_twins()) {
            None => Voices::One,
            Some(seats) if seats.twins_at.is_some_and(|at| at > now) => Voices::PerhapsTwo,
            Some(_) => Voices::Two,
        }
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
        let had_twins = seats.has_twins();
        if seats.taken.len() < SEATS_MAX {
            seats.taken.push((session, boot));
        } else {
            seats.standing += 1;
        }
        // A third session does not put the verdict on two others off.
        if seats.has_twins() && !had_twins {
            seats.twins_at = Some(twins_at);
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
        match seats.taken.iter().position(|(seat, _)| *seat == session) {
            Some(at) => drop(seats.taken.remove(at)),
            None => seats.standing = seats.standing.saturating_sub(1),
        }
        if seats.is_empty() {
            seats.contact_until = contact_until;
        }
        if !seats.has_twins() {
            seats.twins_at = None;
        }
        self.forget_if_empty(number);
    }

    /// Contact without a session (a report, or a start of the broker) holds until then.
    pub fn expect_until(&mut self, number: ApplianceNumber, contact_until: Option<Timestamp>) {
        let seats = self.rows.entry(number).or_default();
        if seats.is_empty() {
            seats.contact_until = contact_until;
        }
        self.forget_if_empty(number);
    }

    /// Moves the end of an appliance's contact, if one is awaited.
    pub fn relimit(&mut self, number: ApplianceNumber, to: impl Fn(Timestamp) -> Timestamp) {
        if let Some(seats) = self.rows.get_mut(&number) {
            seats.contact_until = seats.contact_until.map(to);
        }
    }

    /// Whether one machine or two speak is to be judged then, though nobody is there at this time.
    pub fn judge_voices_at(&mut self, number: ApplianceNumber, at: Timestamp) {
        self.rows.entry(number).or_default().twins_at = Some(at);
    }

    /// What waits for that appliance waits so much longer.
    pub fn credit(&mut self, number: ApplianceNumber, by: Duration) {
        if let Some(seats) = self.rows.get_mut(&number) {
            seats.contact_until = seats.contact_until.map(|until| until.after(by));
            seats.twins_at = seats.twins_at.map(|at| at.after(by));
        }
    }

    /// Told time was moved: what waits moves along.
    pub fn shift(&mut self, by: Offset) {
        for seats in self.rows.values_mut() {
            seats.contact_until = seats.contact_until.map(|until| until.moved(by));
            seats.twins_at = seats.twins_at.map(|at| at.moved(by));
        }
    }

    /// Until when that appliance, which is in no session, may be silent.
    pub fn contact_until(&self, number: ApplianceNumber) -> Option<Timestamp> {
        self.rows.get(&number)?.contact_until
    }

    /// When it is judged whether two machines speak under that name.
    pub fn twins_at(&self, number: ApplianceNumber) -> Option<Timestamp> {
        self.rows.get(&number)?.twins_at
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

    /// How many machines speak at `now`; judged once, unless asked again.
    pub fn takes_voices(&mut self, number: ApplianceNumber, now: Timestamp) -> Voices {
        let voices = self.voices(number, now);
        if let Some(seats) = self.rows.get_mut(&number)
            && seats.twins_at.is_some_and(|at| at <= now)
        {
            seats.twins_at = None;
            self.forget_if_empty(number);
        }
        voices
    }

    fn forget_if_empty(&mut self, number: ApplianceNumber) {
        let is_empty = self.rows.get(&number).is_some_and(|seats| {
            seats.is_empty() && seats.contact_until.is_none() && seats.twins_at.is_none()
        });
        if is_empty {
            self.rows.remove(&number);
        }
    }
}
