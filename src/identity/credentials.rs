//! Holds the copy of the credentials that listeners and services read.
//!
//! Guarantees that it has only what is durable, and that readers wait for nobody: the broker loop
//! applies the changes of a commit after it is synced. Every change wakes the connections, which look
//! whether their own credential still holds. Decides nothing.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use crate::grid::log::identity::IdentityEffect;
use crate::grid::state::identities::Identities;

/// The credentials. Cheap to clone; all clones share them.
#[derive(Clone, Debug)]
pub struct Credentials {
    identities: Arc<RwLock<Identities>>,
    generation: watch::Sender<u64>,
}

impl Credentials {
    /// The credentials at the start.
    pub fn new(identities: Identities) -> Self {
        let identities = Arc::new(RwLock::new(identities));
        Self { identities, generation: watch::Sender::new(0) }
    }

    /// Reads them; `read` should be quick.
    pub fn read<T>(&self, read: impl FnOnce(&Identities) -> T) -> T {
        read(&self.identities.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Applies durable changes.
    pub fn apply(&self, changes: &[IdentityEffect]) {
        if changes.is_empty() {
            return;
        }
        let mut identities = self.identities.write().unwrap_or_else(PoisonError::into_inner);
        changes.iter().for_each(|change| identities.apply_effect(change));
        drop(identities);
        self.announce();
    }

    /// Replaces all of them, after a shift of broker time.
    pub fn replace(&self, new: Identities) {
        *self.identities.write().unwrap_or_else(PoisonError::into_inner) = new;
        self.announce();
    }

    /// Changes whenever a credential may have ended before its time.
    pub fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    fn announce(&self) {
        self.generation.send_modify(|generation| *generation = generation.wrapping_add(1));
    }
}
