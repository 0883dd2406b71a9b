//! `--watch`: keeps a list running and prints changes, across any number of broker restarts.
//!
//! Guarantees that an item is printed again only if its visible content changed, and that each
//! outage is reported once, on stderr. Does not know when to stop: the caller drops it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use grid_broker::client::ClientError;
use grid_broker::contract::proto::{Appliance, ApplianceFilter, WatchAppliancesRequest};

use crate::connection::Connection;
use crate::error::CliError;
use crate::fields::OutputObject;
use crate::follow::{Outage, transient_error};
use crate::json;
use crate::output::ListWriter;
use crate::table::TableCell;

/// How often a list is fetched for which the broker has no watch.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Shows appliances, and each one again when it changes.
///
/// # Errors
///
/// As [`crate::follow::LogTail::run`].
pub(crate) async fn watch_appliances(
    broker: &Connection,
    filter: ApplianceFilter,
    listing: &mut ListWriter<'_, Appliance>,
    first_delay: Duration,
) -> Result<(), CliError> {
    let mut outage = Outage::new(broker, first_delay);
    let mut known = HashMap::new();
    let mut is_first = true;
    loop {
        // The existing appliances make one table.
        let mut initial = Some(Vec::new());
        let request = WatchAppliancesRequest { filter: Some(filter.clone()) };
        let opened = broker.appliances().watch_appliances(broker.streaming(request)).await;
        let why = match opened {
            Ok(reply) => {
                is_first = false;
                let mut stream = reply.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(change)) => {
                            outage.clear();
                            let round = if change.complete { initial.take() } else { None };
                            listing.add(&round.unwrap_or_default())?;
                            let Some(appliance) = change.appliance else { continue };
                            if change.removed {
                                known.remove(&appliance.name);
                                let name = TableCell::new(&appliance.name).render(false);
                                listing.note(&format!("{name} was removed"))?;
                            } else if is_changed(&appliance, &mut known) {
                                match &mut initial {
                                    Some(initial) => initial.push(appliance),
                                    None => listing.add(&[appliance])?,
                                }
                            }
                        }
                        Ok(None) => break "it closed the stream".to_owned(),
                        Err(status) => break transient_error(&broker.address, status)?,
                    }
                }
            }
            Err(status) if is_first => return Err(status.into()),
            Err(status) => transient_error(&broker.address, status)?,
        };
        outage.wait(&why).await;
    }
}

/// The shown state of an appliance, without parts that change by themselves, such as seconds in its
/// explanation.
type ShownState =
    (i32, Option<prost_types::Timestamp>, String, String, u32, Vec<String>, bool, bool);

fn shown_state(it: &Appliance) -> ShownState {
    let (is_suppressed, is_locked) = (it.suppression.is_some(), it.lock.is_some());
    let (class, text, alerts) = (it.class.clone(), it.text.clone(), it.open_alerts.clone());
    (it.state, it.state_since, class, text, it.progress, alerts, is_suppressed, is_locked)
}

/// Whether the appliance differs from what was shown.
fn is_changed(appliance: &Appliance, known: &mut HashMap<String, ShownState>) -> bool {
    let seen = shown_state(appliance);
    known.insert(appliance.name.clone(), seen.clone()) != Some(seen)
}

/// Shows the items of `list`, then new and changed ones.
///
/// # Errors
///
/// If the output cannot be written, the first request fails, or an error is not transient.
pub(crate) async fn poll<T: Default + Clone>(
    broker: &Connection,
    listing: &mut ListWriter<'_, T>,
    form: fn(&T) -> OutputObject,
    mut list: impl AsyncFnMut() -> Result<Vec<T>, CliError>,
) -> Result<(), CliError> {
    let mut outage = Outage::new(broker, POLL_INTERVAL);
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut is_first = true;
    loop {
        let items = match list().await {
            Ok(items) => items,
            Err(CliError::Broker(ClientError::Status(status))) if !is_first => {
                outage.wait(&transient_error(&broker.address, *status)?).await;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        outage.clear();
        is_first = false;
        let mut now = BTreeMap::new();
        let mut changed = Vec::new();
        for item in items {
            let form = form(&item);
            let value = json::object(&form).map_err(std::io::Error::from)?;
            if known.get(&form.name) != Some(&value) {
                changed.push(item);
            }
            now.insert(form.name, value);
        }
        for name in known.keys().filter(|name| !now.contains_key(*name)) {
            listing.note(&format!("{} is gone", TableCell::new(name).render(false)))?;
        }
        listing.add(&changed)?;
        known = now;
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
