//! Reloads the configuration file on SIGHUP and applies the settings that can change at run time.
//!
//! Guarantees that everything is validated before anything is recorded or changed: a file with an
//! error, or one that contradicts the settings that need a restart, changes nothing; that flags and
//! environment of the start still override the file; and that every change is traced and recorded.
//! Settings that need a restart are reported and keep their old values. Does not know what the
//! settings mean.

use std::collections::BTreeMap;

use tokio::signal::unix::Signal;
use tokio::sync::watch;

use super::tls::TlsKeeper;
use crate::broker::{BrokerHandle, Reconfiguration};
use crate::config::error::ConfigErrors;
use crate::config::key::ReloadPolicy;
use crate::config::{Settings, SettingsSources};
use crate::grid::Grid;
use crate::grid::model::settings::DEFAULT_CLASS;
use crate::grid::values::id::ApplianceIndex;
use crate::service_manager::ServiceManager;
use crate::tasks;
use crate::tracing_lines::LogFilterHandle;

/// What a reload needs.
#[derive(Debug)]
pub struct Reload {
    /// Flags and environment of the start, and the path of the file.
    pub sources: SettingsSources,
    /// Applies a new filter of tracing.
    pub log_filter: LogFilterHandle,
}

/// The signals, and the service manager to notify.
#[derive(Debug)]
pub(super) struct ReloadContext {
    pub(super) sighup: Signal,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) manager: ServiceManager,
    /// The status sent to the manager after a reload.
    pub(super) status: String,
    /// The certificates, which are read again too.
    pub(super) tls: Option<TlsKeeper>,
}

/// Why the old settings stay in effect.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error("the new settings have the errors above")]
    Invalid(ConfigErrors),
    #[error(transparent)]
    Unavailable(#[from] crate::broker::Unavailable),
    #[error("reading the settings panicked")]
    Panicked,
}

/// Reloads the settings at each SIGHUP, until the broker stops; `effective` has the current ones.
pub(super) async fn reload_on_sighup(
    context: ReloadContext,
    reload: Reload,
    effective: watch::Sender<Settings>,
    broker: BrokerHandle,
) {
    let ReloadContext { mut sighup, mut stopping, manager, status, tls } = context;
    let at_start = effective.borrow().clone();
    warn_of_classes(&broker, &at_start).await;
    loop {
        tokio::select! {
            signal = sighup.recv() => if signal.is_none() { return },
            // A closed channel also means that the broker stops.
            _ = stopping.wait_for(|is_stopping| *is_stopping) => return,
        }
        if let Some(tls) = &tls {
            tracing::info!("SIGHUP: reading the certificates again");
            manager.reloading();
            tls.reload().await;
        }
        if reload.sources.config.is_none() {
            if tls.is_none() {
                tracing::warn!("SIGHUP: no configuration file to reload; --config names one");
            } else {
                manager.ready(status.clone());
            }
            continue;
        }
        tracing::info!("SIGHUP: reloading the settings");
        manager.reloading();
        let before = effective.borrow().clone();
        match reload_once(&reload, &before, &broker).await {
            Ok(new) => drop(effective.send_replace(new)),
            Err(error) => {
                if let ReloadError::Invalid(errors) = &error {
                    errors.0.iter().for_each(|error| tracing::error!("{error}"));
                }
                tracing::error!("the settings stay unchanged: {error}");
            }
        }
        if *stopping.borrow() {
            return;
        }
        manager.ready(status.clone());
    }
}

/// Reads, validates and applies the settings once; returns the new effective ones.
async fn reload_once(
    reload: &Reload,
    before: &Settings,
    broker: &BrokerHandle,
) -> Result<Settings, ReloadError> {
    let (sources, old) = (reload.sources.clone(), before.clone());
    let read = tasks::spawn_blocking("read settings", move || {
        Settings::new(&sources).and_then(|new| old.reload(new))
    });
    let read = read.await.map_err(|_| ReloadError::Panicked)?;
    let (new, changes) = read.map_err(ReloadError::Invalid)?;
    if changes.is_empty() {
        tracing::info!("no setting has changed");
        return Ok(new);
    }
    let record = broker
        .reconfigure(Reconfiguration {
            settings: new.grid.clone(),
            journal: new.journal.clone(),
            applied: new.applied_at_reload(&changes),
        })
        .await?;
    if new.tracing != before.tracing
        && let Err(error) = reload.log_filter.set(&new.tracing)
    {
        tracing::error!("the filter of tracing is unchanged: {error}");
    }
    for change in &changes {
        match change.policy {
            ReloadPolicy::Live => tracing::info!(record, "{change}"),
            ReloadPolicy::Restart => tracing::warn!(record, "{change}"),
        }
    }
    new.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    warn_of_classes(broker, &new).await;
    Ok(new)
}

/// Warns of classes that no appliance uses, and of classes of appliances that are not in the settings.
async fn warn_of_classes(broker: &BrokerHandle, settings: &Settings) {
    // A broker that is stopping needs no warnings.
    let Ok(used) = broker.query(|grid, _| used_classes(grid)).await else { return };
    // Before the first appliance registers, no class can be in use.
    let names = settings.grid.class_names().filter(|_| !used.is_empty());
    for name in names.filter(|name| *name != DEFAULT_CLASS) {
        if !used.contains_key(name) {
            let origin = settings.class_origin(name);
            tracing::warn!(
                "{origin}: class.{name}: no appliance has this class; `gridctl appliance set NAME \
                 --class {name}` assigns it"
            );
        }
    }
    for (name, count) in used.iter().filter(|(name, _)| settings.grid.class(name).is_none()) {
        tracing::warn!(
            "class.{name}: not in the settings; class.{DEFAULT_CLASS} applies to the appliances of \
             this class ({count})"
        );
    }
}

/// The number of appliances of each class.
fn used_classes(grid: &Grid) -> BTreeMap<String, u32> {
    let state = grid.state();
    let numbers = (1..state.next_number().0).map(ApplianceIndex);
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for appliance in numbers.filter_map(|number| state.appliance(number)) {
        *counts.entry(&appliance.class).or_default() += 1;
    }
    counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}
