//! Lets one task at a time talk to the back end of an appliance.
//!
//! A QMP socket serves one client at a time: a check must not get in the way of a trigger. Guarantees an
//! entry only while somebody waits or talks. Does not know drivers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

use crate::grid::values::id::ApplianceName;

/// The back ends in use. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct BackEnds {
    in_use: Arc<Mutex<BTreeMap<ApplianceName, Arc<tokio::sync::Mutex<()>>>>>,
}

/// The right to talk to a back end, until it is dropped.
pub(super) type BackEndGuard = OwnedMutexGuard<()>;

impl BackEnds {
    /// Waits until nobody else talks to the back end of that name: it is the same one for an appliance
    /// that was removed and added again.
    pub(super) async fn acquire(&self, name: &ApplianceName) -> BackEndGuard {
        let one = {
            let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
            in_use.retain(|_, one| Arc::strong_count(one) > 1);
            Arc::clone(in_use.entry(name.clone()).or_default())
        };
        one.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_no_entry_is_left() {
        let back_ends = BackEnds::default();
        let name = |name| ApplianceName::new(name).expect("a name");
        let (one, other) = (&name("db1"), &name("db2"));
        let first = back_ends.acquire(one).await;
        let second =
            tokio::time::timeout(std::time::Duration::from_millis(20), back_ends.acquire(one));
        assert!(second.await.is_err(), "the first has it");
        drop(back_ends.acquire(other).await);
        drop(first);
        drop(back_ends.acquire(one).await);
        drop(back_ends.acquire(other).await);
        let in_use = back_ends.in_use.lock().expect("no panic").len();
        assert_eq!(in_use, 1, "only what was asked for last");
    }
}
