//! Limits the number of open connections, in total and per address.
//!
//! Guarantees both limits, so that no single client can use all slots. When all slots are used, a
//! new connection replaces the one that has been idle longest (no request in flight, or no complete
//! request yet), so idle connections keep nobody out. Only if none is idle is the new one rejected.
//! Does not close connections itself: it signals their tasks.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::metrics::OpenConnections;

/// How many quarters of all slots one address may use.
const ADDRESS_QUARTERS: usize = 3;

/// How many quarters of all slots peers without a certificate may use, where certificates are asked
/// for.
const STRANGER_QUARTERS: usize = 3;

/// One address may have this part of all slots for peers without a certificate ...
const STRANGER_ADDRESS_PART: usize = 8;

/// ... and at least so many: machines with tokens may share an address.
const STRANGER_ADDRESS_MIN: usize = 64;

/// Timeout for a connection to close after the signal; enough for a busy machine.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The connection slots of one listener. Cheap to clone; all clones share one state.
#[derive(Clone, Debug)]
pub(super) struct ConnectionPermits(Arc<LimitShared>);

#[derive(Debug)]
struct LimitShared {
    limit: usize,
    address_limit: usize,
    stranger_limit: usize,
    slots: Mutex<SlotTable>,
    /// Signals that a slot was released.
    slot_freed: Notify,
    open: OpenConnections,
}

#[derive(Debug, Default)]
struct SlotTable {
    next: u64,
    entries: HashMap<u64, SlotEntry>,
    /// Idle connections, longest idle first: the tick since when, and the id.
    idle_entries: BTreeMap<u64, u64>,
    per_address: HashMap<IpAddr, AddressEntry>,
    strangers: usize,
}

/// What one address has open.
#[derive(Debug, Default)]
struct AddressEntry {
    connections: usize,
    /// Of these, peers without a certificate, where one is asked for.
    strangers: usize,
}

#[derive(Debug)]
struct SlotEntry {
    address: IpAddr,
    /// Requests in flight.
    requests: u32,
    /// Its key in the idle connections.
    idle_key: Option<u64>,
    /// It has no certificate, although it was asked for one.
    is_stranger: bool,
    close_signal: Arc<Notify>,
}

/// The limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitReached {
    /// All slots are used.
    Total {
        /// The number of open connections.
        open: usize,
    },
    /// The limit of one address.
    Address,
    /// The limit of peers without a certificate.
    Strangers,
}

impl LimitReached {
    /// The label of metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Total { .. } => "full",
            Self::Address => "address_full",
            Self::Strangers => "strangers_full",
        }
    }

    /// The message.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Total { .. } => {
                "the broker has reached its limit of open connections; try again later"
            }
            Self::Address => "this address has reached its limit of open connections",
            Self::Strangers => {
                "the broker has reached its limit of connections without a client certificate; try \
                 again later"
            }
        }
    }
}

impl ConnectionPermits {
    /// Creates `most` free slots.
    pub(super) fn new(most: usize, open: OpenConnections) -> Self {
        let most_of_address = (most * ADDRESS_QUARTERS / 4).max(1);
        let most_strangers = (most * STRANGER_QUARTERS / 4).max(1);
        let (book, freed) = (Mutex::default(), Notify::new());
        Self(Arc::new(LimitShared {
            limit: most,
            address_limit: most_of_address,
            stranger_limit: most_strangers,
            slots: book,
            slot_freed: freed,
            open,
        }))
    }

    /// Acquires a slot for a connection from `address`; an idle connection may be closed for it.
    pub(super) async fn acquire(&self, address: IpAddr) -> Result<ConnectionSlot, LimitReached> {
        let address = address_key(address);
        let within = tokio::time::timeout(CLOSE_TIMEOUT, async {
            loop {
                // Created before the attempt, so that no released slot is missed.
                let freed = self.0.slot_freed.notified();
                match self.try_acquire(address) {
                    Ok(place) => return Ok(place),
                    Err((_, true)) => freed.await,
                    Err((full, false)) => return Err(full),
                }
            }
        });
        within.await.unwrap_or_else(|_| {
            Err(LimitReached::Total { open: self.0.lock_slots().entries.len() })
        })
    }

    /// Signals the longest idle connection to close.
    pub(super) fn close_idle(&self) {
        self.0.lock_slots().close_idle(|_| true);
    }

    /// Acquires a slot, or returns the limit, and whether a slot will be released.
    fn try_acquire(&self, address: IpAddr) -> Result<ConnectionSlot, (LimitReached, bool)> {
        let mut book = self.0.lock_slots();
        let of_address = book.per_address.get(&address).map_or(0, |of| of.connections);
        if of_address >= self.0.address_limit {
            return Err((LimitReached::Address, book.close_idle(|taken| taken.address == address)));
        }
        let open = book.entries.len();
        if open >= self.0.limit {
            return Err((LimitReached::Total { open }, book.close_idle(|_| true)));
        }
        let id = book.next();
        let (idle_since, leave) = (book.next(), Arc::new(Notify::new()));
        book.idle_entries.insert(idle_since, id);
        let idle_since = Some(idle_since);
        book.entries.insert(
            id,
            SlotEntry {
                address,
                requests: 0,
                idle_key: idle_since,
                is_stranger: false,
                close_signal: Arc::clone(&leave),
            },
        );
        book.per_address.entry(address).or_default().connections += 1;
        self.0.open.set(book.entries.len());
        Ok(ConnectionSlot { id, close_signal: leave, shared: Arc::clone(&self.0) })
    }
}

impl LimitShared {
    fn lock_slots(&self) -> MutexGuard<'_, SlotTable> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SlotTable {
    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Signals the first idle connection that matches to close; `false`: there is none.
    fn close_idle(&mut self, matches: impl Fn(&SlotEntry) -> bool) -> bool {
        let matches = |id: &u64| self.entries.get(id).is_some_and(&matches);
        let Some((since, id)) = self.idle_entries.iter().find(|(_, id)| matches(id)) else {
            return false;
        };
        let (since, id) = (*since, *id);
        self.idle_entries.remove(&since);
        if let Some(taken) = self.entries.get_mut(&id) {
            taken.idle_key = None;
            taken.close_signal.notify_one();
        }
        true
    }
}

/// A used slot; dropping it releases the slot.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    id: u64,
    close_signal: Arc<Notify>,
    shared: Arc<LimitShared>,
}

impl ConnectionSlot {
    /// Completes when another connection needs the slot.
    pub(super) async fn close_requested(&self) {
        self.close_signal.notified().await;
    }

    /// Counts it among the peers without a certificate; an idle one of them may be closed for it.
    ///
    /// # Errors
    ///
    /// When there are too many of them, and none is idle.
    pub(super) fn count_stranger(&self) -> Result<(), LimitReached> {
        let mut book = self.shared.lock_slots();
        let Some(address) =
            book.entries.get(&self.id).filter(|taken| !taken.is_stranger).map(|it| it.address)
        else {
            return Ok(());
        };
        let most = (self.shared.limit / STRANGER_ADDRESS_PART).max(STRANGER_ADDRESS_MIN);
        if book.per_address.get(&address).is_some_and(|of| of.strangers >= most) {
            return Err(LimitReached::Address);
        }
        let is_full = book.strangers >= self.shared.stranger_limit;
        if is_full && !book.close_idle(|taken| taken.is_stranger) {
            return Err(LimitReached::Strangers);
        }
        let SlotTable { entries, strangers, per_address, .. } = &mut *book;
        if let Some(taken) = entries.get_mut(&self.id) {
            taken.is_stranger = true;
            *strangers += 1;
            per_address.entry(address).or_default().strangers += 1;
        }
        Ok(())
    }

    /// Marks a request in flight until the returned guard is dropped.
    pub(super) fn begin_request(self: &Arc<Self>) -> RequestInFlight {
        let mut book = self.shared.lock_slots();
        let SlotTable { entries, idle_entries, .. } = &mut *book;
        if let Some(taken) = entries.get_mut(&self.id) {
            taken.requests += 1;
            if let Some(since) = taken.idle_key.take() {
                idle_entries.remove(&since);
            }
        }
        drop(book);
        RequestInFlight(Arc::clone(self))
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut book = self.shared.lock_slots();
        if let Some(taken) = book.entries.remove(&self.id) {
            if let Some(since) = taken.idle_key {
                book.idle_entries.remove(&since);
            }
            book.strangers -= usize::from(taken.is_stranger);
            if let Some(of) = book.per_address.get_mut(&taken.address) {
                of.connections -= 1;
                of.strangers -= usize::from(taken.is_stranger);
                if of.connections == 0 {
                    book.per_address.remove(&taken.address);
                }
            }
        }
        self.shared.open.set(book.entries.len());
        drop(book);
        self.shared.slot_freed.notify_one();
    }
}

/// The guard of a request in flight.
#[derive(Debug)]
pub(super) struct RequestInFlight(Arc<ConnectionSlot>);

impl Drop for RequestInFlight {
    fn drop(&mut self) {
        let mut book = self.0.shared.lock_slots();
        let now = book.next();
        let SlotTable { entries, idle_entries, .. } = &mut *book;
        if let Some(taken) = entries.get_mut(&self.0.id) {
            taken.requests -= 1;
            if taken.requests == 0 {
                taken.idle_key = Some(now);
                idle_entries.insert(now, self.0.id);
            }
        }
    }
}

/// The key of an address: an IPv6 client usually has a whole /64.
pub(super) fn address_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
    }
}

#[cfg(test)]
mod tests;
