//! What happens on SIGHUP? The file is read again, and what can change does.
//!
//! Guarantees that all is checked before anything is recorded or changed: a file with a mistake in it,
//! or one that does not go together with what stays until a restart, changes nothing, that flags and environment of the
//! start still go before the file, and that every change is traced and is a record. What needs a
//! restart is named and stays. Does not know what the settings mean.

use std::collections::BTreeMap;

use tokio::signal::unix::Signal;
use tokio::sync::watch;

use crate::broker::{Broker, Reconfiguration};
use crate::config::key::Changes;
use crate::config::mistake::Mistakes;
use crate::config::{Given, Settings};
use crate::grid::Grid;
use crate::grid::name::ApplianceNumber;
use crate::grid::settings::DEFAULT_CLASS;
use crate::service_manager::ServiceManager;
use crate::tasks;
use crate::tracing_lines::Told;

/// What reading the settings again needs.
#[derive(Debug)]
pub struct Reload {
    /// Flags and environment of the start, and the path of the file.
    pub given: Given,
    /// How another filter of tracing comes to hold.
    pub told: Told,
}

/// What is heard, and who hears of it.
#[derive(Debug)]
pub(super) struct Hearing {
    pub(super) hangups: Signal,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) manager: ServiceManager,
    /// What the manager is told when all is done.
    pub(super) status: String,
}

/// Why the settings stay as they were.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error("what was read has the mistakes above")]
    Mistakes(Mistakes),
    #[error(transparent)]
    Unavailable(#[from] crate::broker::Unavailable),
    #[error("reading them panicked")]
    Panicked,
}

/// Reads the settings again at each SIGHUP, until the broker stops; `held` has those that hold.
pub(super) async fn on_hangups(
    hearing: Hearing,
    reload: Reload,
    held: watch::Sender<Settings>,
    broker: Broker,
) {
    let Hearing { mut hangups, mut stopping, manager, status } = hearing;
    let at_start = held.borrow().clone();
    tell_classes(&broker, &at_start).await;
    loop {
        tokio::select! {
            heard = hangups.recv() => if heard.is_none() { return },
            // Whoever would tell of a stop has gone: that is one.
            _ = stopping.wait_for(|stops| *stops) => return,
        }
        if reload.given.config.is_none() {
            tracing::warn!("SIGHUP: there is no file to be read again; --config names one");
            continue;
        }
        tracing::info!("SIGHUP: the settings are read again");
        manager.reloading();
        let before = held.borrow().clone();
        match again(&reload, &before, &broker).await {
            Ok(new) => drop(held.send_replace(new)),
            Err(error) => {
                if let ReloadError::Mistakes(mistakes) = &error {
                    mistakes.0.iter().for_each(|mistake| tracing::error!("{mistake}"));
                }
                tracing::error!("the settings stay as they were: {error}");
            }
        }
        if *stopping.borrow() {
            return;
        }
        manager.ready(status.clone());
    }
}

/// The settings that hold from now on.
async fn again(reload: &Reload, held: &Settings, broker: &Broker) -> Result<Settings, ReloadError> {
    let (given, before) = (reload.given.clone(), held.clone());
    let read = tasks::spawn_blocking("read settings", move || {
        Settings::new(&given).and_then(|new| before.reloaded(new))
    });
    let read = read.await.map_err(|_| ReloadError::Panicked)?;
    let (new, changes) = read.map_err(ReloadError::Mistakes)?;
    if changes.is_empty() {
        tracing::info!("no setting has changed");
        return Ok(new);
    }
    let record = broker
        .reconfigure(Reconfiguration {
            grid: new.grid.clone(),
            journal: new.journal.clone(),
            record: new.at_change(&changes),
        })
        .await?;
    if new.tracing != held.tracing
        && let Err(error) = reload.told.set(&new.tracing)
    {
        tracing::error!("tracing stays as it was: {error}");
    }
    for change in &changes {
        match change.holds {
            Changes::AtOnce => tracing::info!(record, "{change}"),
            Changes::AtRestart => tracing::warn!(record, "{change}"),
        }
    }
    new.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    tell_classes(broker, &new).await;
    Ok(new)
}

/// Warns of classes that nothing uses, and of those that appliances have and the settings do not.
async fn tell_classes(broker: &Broker, settings: &Settings) {
    // A broker that stops has no use for warnings.
    let Ok(used) = broker.ask(|grid, _| used_classes(grid)).await else { return };
    // Before the first appliance comes no class can be in use.
    let names = settings.grid.class_names().filter(|_| !used.is_empty());
    for name in names.filter(|name| *name != DEFAULT_CLASS) {
        if !used.contains_key(name) {
            let origin = settings.origin_of_class(name);
            tracing::warn!(
                "{origin}: class.{name}: no appliance is of this class; `gridctl appliance set \
                 NAME --class {name}` makes one so"
            );
        }
    }
    for (name, count) in used.iter().filter(|(name, _)| settings.grid.class(name).is_none()) {
        tracing::warn!(
            "class.{name}: not in the settings; appliances of this class ({count}) are judged by \
             class.{DEFAULT_CLASS}"
        );
    }
}

/// How many appliances are of each class.
fn used_classes(grid: &Grid) -> BTreeMap<String, u32> {
    let state = grid.state();
    let rows = (1..state.next_row().0).map(ApplianceNumber);
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for appliance in rows.filter_map(|number| state.appliance(number)) {
        *counts.entry(&appliance.class).or_default() += 1;
    }
    counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}
