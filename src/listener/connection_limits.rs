//! How many connections there are at one time, and who goes when there is no place for another.
//!
//! Guarantees a bound in all and for one address, so that nobody alone can take all places. Whoever
//! comes when all are taken gets that of the connection that has been idle longest (nothing under way
//! on it, or nothing whole said yet): idle connections keep nobody out. Only if none is idle is the
//! newcomer refused. Closes nothing itself: whoever serves a connection is told.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::metrics::OpenConnections;

/// Of four places one address may take so many.
const QUARTERS_OF_ADDRESS: usize = 3;

/// A connection that has to go is gone within this time, on a machine that is busy.
const GONE_WITHIN: Duration = Duration::from_secs(1);

/// The places of one listener. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(super) struct ConnectionPermits(Arc<LimitsShared>);

#[derive(Debug)]
struct LimitsShared {
    most: usize,
    most_of_address: usize,
    book: Mutex<ConnectionTable>,
    /// A place became free.
    freed: Notify,
    open: OpenConnections,
}

#[derive(Debug, Default)]
struct ConnectionTable {
    next: u64,
    taken: HashMap<u64, OpenConnection>,
    /// Idle connections, the one that has been so longest first: when, and which.
    idle: BTreeMap<u64, u64>,
    of_address: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct OpenConnection {
    address: IpAddr,
    /// Requests under way.
    busy: u32,
    /// Its key among the idle ones.
    idle_since: Option<u64>,
    leave: Arc<Notify>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitReached {
    /// All are taken, and so many connections are open.
    All {
        /// How many.
        open: usize,
    },
    /// One address has as many as it may.
    Address,
}

impl LimitReached {
    /// For metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::All { .. } => "full",
            Self::Address => "address_full",
        }
    }

    /// For people.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::All { .. } => {
                "as many connections are open as this broker may have; come back later"
            }
            Self::Address => "as many connections of this address are open as one may have",
        }
    }
}

impl ConnectionPermits {
    /// So many places, of which none is taken.
    pub(super) fn new(most: usize, open: OpenConnections) -> Self {
        let most_of_address = (most * QUARTERS_OF_ADDRESS / 4).max(1);
        let (book, freed) = (Mutex::default(), Notify::new());
        Self(Arc::new(LimitsShared { most, most_of_address, book, freed, open }))
    }

    /// A place for a connection from `address`; one that is idle may have to go for it.
    pub(super) async fn acquire(&self, address: IpAddr) -> Result<ConnectionPermit, LimitReached> {
        let address = network(address);
        let within = tokio::time::timeout(GONE_WITHIN, async {
            loop {
                // Asked for before the look, so that no place that becomes free is missed.
                let freed = self.0.freed.notified();
                match self.try_acquire(address) {
                    Ok(place) => return Ok(place),
                    Err((_, true)) => freed.await,
                    Err((full, false)) => return Err(full),
                }
            }
        });
        within.await.unwrap_or_else(|_| Err(LimitReached::All { open: self.0.book().taken.len() }))
    }

    /// Tells the connection that has been idle longest to go.
    pub(super) fn free_one(&self) {
        self.0.book().free_one(|_| true);
    }

    /// A place, or why not and whether one will become free.
    fn try_acquire(&self, address: IpAddr) -> Result<ConnectionPermit, (LimitReached, bool)> {
        let mut book = self.0.book();
        let of_address = book.of_address.get(&address).copied().unwrap_or(0);
        if of_address >= self.0.most_of_address {
            return Err((LimitReached::Address, book.free_one(|taken| taken.address == address)));
        }
        let open = book.taken.len();
        if open >= self.0.most {
            return Err((LimitReached::All { open }, book.free_one(|_| true)));
        }
        let id = book.next();
        let (idle_since, leave) = (book.next(), Arc::new(Notify::new()));
        book.idle.insert(idle_since, id);
        let idle_since = Some(idle_since);
        book.taken
            .insert(id, OpenConnection { address, busy: 0, idle_since, leave: Arc::clone(&leave) });
        *book.of_address.entry(address).or_default() += 1;
        self.0.open.set(book.taken.len());
        Ok(ConnectionPermit { id, leave, shared: Arc::clone(&self.0) })
    }
}

impl LimitsShared {
    fn book(&self) -> MutexGuard<'_, ConnectionTable> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionTable {
    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Tells the first of the idle ones that fits to go; `false`: there is none.
    fn free_one(&mut self, fits: impl Fn(&OpenConnection) -> bool) -> bool {
        let fits = |id: &u64| self.taken.get(id).is_some_and(&fits);
        let Some((since, id)) = self.idle.iter().find(|(_, id)| fits(id)) else { return false };
        let (since, id) = (*since, *id);
        self.idle.remove(&since);
        if let Some(taken) = self.taken.get_mut(&id) {
            taken.idle_since = None;
            taken.leave.notify_one();
        }
        true
    }
}

/// A place that is taken; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    id: u64,
    leave: Arc<Notify>,
    shared: Arc<LimitsShared>,
}

impl ConnectionPermit {
    /// Ends when somebody else needs the place.
    pub(super) async fn is_evicted(&self) {
        self.leave.notified().await;
    }

    /// Something is under way on the connection until what is given is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        let mut book = self.shared.book();
        let ConnectionTable { taken, idle, .. } = &mut *book;
        if let Some(taken) = taken.get_mut(&self.id) {
            taken.busy += 1;
            if let Some(since) = taken.idle_since.take() {
                idle.remove(&since);
            }
        }
        drop(book);
        Busy(Arc::clone(self))
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut book = self.shared.book();
        if let Some(taken) = book.taken.remove(&self.id) {
            if let Some(since) = taken.idle_since {
                book.idle.remove(&since);
            }
            if let Some(count) = book.of_address.get_mut(&taken.address) {
                *count -= 1;
                if *count == 0 {
                    book.of_address.remove(&taken.address);
                }
            }
        }
        self.shared.open.set(book.taken.len());
        drop(book);
        self.shared.freed.notify_one();
    }
}

/// A request is under way.
#[derive(Debug)]
pub(super) struct Busy(Arc<ConnectionPermit>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut book = self.0.shared.book();
        let now = book.next();
        let ConnectionTable { taken, idle, .. } = &mut *book;
        if let Some(taken) = taken.get_mut(&self.0.id) {
            taken.busy -= 1;
            if taken.busy == 0 {
                taken.idle_since = Some(now);
                idle.insert(now, self.0.id);
            }
        }
    }
}

/// Who has one address of IPv6 has a /64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Connections;

    fn places(most: usize) -> ConnectionPermits {
        ConnectionPermits::new(most, Connections::default().open_gauge("http"))
    }

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[tokio::test]
    async fn one_address_can_not_take_all_places() {
        let places = places(8);
        let mut busy = Vec::new();
        for _ in 0..6 {
            let place = Arc::new(places.acquire(address(1)).await.expect("a place"));
            busy.push(place.busy());
        }
        assert_eq!(
            places.acquire(address(1)).await.expect_err("it has six of eight"),
            LimitReached::Address
        );
        let other = Arc::new(places.acquire(address(2)).await.expect("another has a place"));
        busy.push(other.busy());
        let last = Arc::new(places.acquire(address(3)).await.expect("the last"));
        busy.push(last.busy());
        let none = places.acquire(address(4)).await.expect_err("all are busy");
        assert_eq!(none, LimitReached::All { open: 8 });
        drop((busy.pop(), last));
        places.acquire(address(4)).await.expect("one is free");
    }

    #[tokio::test]
    async fn whoever_has_been_idle_longest_goes_for_a_newcomer() {
        let places = places(4);
        let mut taken = Vec::new();
        for last in 1..=4 {
            taken.push(Arc::new(places.acquire(address(last)).await.expect("a place")));
        }
        // The first was busy in between, so the second has been idle longest.
        drop(taken[0].busy());
        let second = taken.remove(1);
        let leaving = async {
            second.is_evicted().await;
            drop(second);
        };
        let (came, ()) = tokio::join!(places.acquire(address(9)), leaving);
        came.expect("its place");
        assert_eq!(taken.len(), 3);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1:2:3"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
