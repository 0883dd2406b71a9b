//! `--watch`: a list that goes on with what changes, over any number of broker restarts.
//!
//! Guarantees that what is shown again has changed in what is shown of it, and that every outage is
//! told once, on stderr. Does not know when to stop: whoever runs it drops it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use grid_broker::client::ClientError;
use grid_broker::contract::proto::{Appliance, ApplianceFilter, WatchAppliancesRequest};

use crate::connection::Connection;
use crate::error::CliError;
use crate::fields::FieldObject;
use crate::follow::{Outage, is_transient};
use crate::json;
use crate::output::ListWriter;
use crate::table::TableCell;

/// How often a list is asked for of which the broker does not tell by itself.
const POLL_EVERY: Duration = Duration::from_secs(2);

/// Shows appliances, and each again when it changes.
///
/// # Errors
///
/// As [`crate::follow::FollowedLog::follow`].
pub(crate) async fn appliances(
    broker: &Connection,
    filter: ApplianceFilter,
    listing: &mut ListWriter<'_, Appliance>,
    first_delay: Duration,
) -> Result<(), CliError> {
    let mut outage = Outage::new(broker, first_delay);
    let mut known = HashMap::new();
    let mut is_first = true;
    loop {
        // What there is already makes one table.
        let mut there = Some(Vec::new());
        let request = WatchAppliancesRequest { filter: Some(filter.clone()) };
        let opened = broker.appliances().watch_appliances(broker.streaming(request)).await;
        let why = match opened {
            Ok(answer) => {
                is_first = false;
                let mut stream = answer.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(change)) => {
                            outage.is_over();
                            let round = if change.complete { there.take() } else { None };
                            listing.add(&round.unwrap_or_default())?;
                            let Some(appliance) = change.appliance else { continue };
                            if change.removed {
                                known.remove(&appliance.name);
                                let name = TableCell::new(&appliance.name).shown(false);
                                listing.note(&format!("{name} was removed"))?;
                            } else if has_changed(&appliance, &mut known) {
                                match &mut there {
                                    Some(there) => there.push(appliance),
                                    None => listing.add(&[appliance])?,
                                }
                            }
                        }
                        Ok(None) => break "it ended the watch".to_owned(),
                        Err(status) => break is_transient(&broker.address, status)?,
                    }
                }
            }
            Err(status) if is_first => return Err(status.into()),
            Err(status) => is_transient(&broker.address, status)?,
        };
        outage.wait(&why).await;
    }
}

/// What is shown of an appliance that does not pass by itself, as its explanation's seconds do.
type SeenAppliances = (i32, Option<prost_types::Timestamp>, String, String, u32, Vec<String>, bool);

fn observe(it: &Appliance) -> SeenAppliances {
    let held_back = it.suppression.is_some();
    let (class, text, alerts) = (it.class.clone(), it.text.clone(), it.open_alerts.clone());
    (it.state, it.state_since, class, text, it.progress, alerts, held_back)
}

/// Whether there is something to show that was not shown yet.
fn has_changed(appliance: &Appliance, known: &mut HashMap<String, SeenAppliances>) -> bool {
    let seen = observe(appliance);
    known.insert(appliance.name.clone(), seen.clone()) != Some(seen)
}

/// Shows what `list` gives, and again what is new or changed in it.
///
/// # Errors
///
/// When the output can't be written, the first question fails, or waiting does not mend it.
pub(crate) async fn polled<T: Default + Clone>(
    broker: &Connection,
    listing: &mut ListWriter<'_, T>,
    form: fn(&T) -> FieldObject,
    mut list: impl AsyncFnMut() -> Result<Vec<T>, CliError>,
) -> Result<(), CliError> {
    let mut outage = Outage::new(broker, POLL_EVERY);
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut is_first = true;
    loop {
        let things = match list().await {
            Ok(things) => things,
            Err(CliError::Broker(ClientError::Status(status))) if !is_first => {
                outage.wait(&is_transient(&broker.address, *status)?).await;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        outage.is_over();
        is_first = false;
        let mut now = BTreeMap::new();
        let mut changed = Vec::new();
        for thing in things {
            let form = form(&thing);
            let value = json::object(&form).map_err(std::io::Error::from)?;
            if known.get(&form.name) != Some(&value) {
                changed.push(thing);
            }
            now.insert(form.name, value);
        }
        for name in known.keys().filter(|name| !now.contains_key(*name)) {
            listing.note(&format!("{} is over", TableCell::new(name).shown(false)))?;
        }
        listing.add(&changed)?;
        known = now;
        tokio::time::sleep(POLL_EVERY).await;
    }
}
