//! `--watch`: a list that goes on with what changes, over any number of broker restarts.
//!
//! Guarantees that what is shown again has changed in what is shown of it, and that every outage is
//! told once, on stderr. Does not know when to stop: whoever runs it drops it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use grid_broker::client::ClientError;
use grid_broker::wire::proto::{Appliance, ApplianceFilter, WatchAppliancesRequest};

use crate::broker::Broker;
use crate::failure::Failure;
use crate::follow::{Outage, passing};
use crate::form::Form;
use crate::json;
use crate::listing::Listing;
use crate::table::Cell;

/// How often a list is asked for of which the broker does not tell by itself.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Shows appliances, and each again when it changes.
///
/// # Errors
///
/// As [`crate::follow::Tail::follow`].
pub(crate) async fn appliances(
    broker: &Broker,
    filter: ApplianceFilter,
    listing: &mut Listing<'_, Appliance>,
    first_delay: Duration,
) -> Result<(), Failure> {
    let mut outage = Outage::new(broker, first_delay);
    let mut known = HashMap::new();
    let mut is_first = true;
    loop {
        // What there is already makes one table.
        let mut there = Some(Vec::new());
        let request = WatchAppliancesRequest { filter: Some(filter.clone()) };
        let opened = broker.appliances().watch_appliances(broker.lasting(request)).await;
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
                                let name = Cell::new(&appliance.name).shown(false);
                                listing.note(&format!("{name} was removed"))?;
                            } else if is_news(&appliance, &mut known) {
                                match &mut there {
                                    Some(there) => there.push(appliance),
                                    None => listing.add(&[appliance])?,
                                }
                            }
                        }
                        Ok(None) => break "it ended the watch".to_owned(),
                        Err(status) => break passing(&broker.address, status)?,
                    }
                }
            }
            Err(status) if is_first => return Err(status.into()),
            Err(status) => passing(&broker.address, status)?,
        };
        outage.wait(&why).await;
    }
}

/// What is shown of an appliance that does not pass by itself, as its explanation's seconds do.
type Seen = (i32, Option<prost_types::Timestamp>, String, String, u32, Vec<String>, bool);

fn seen(it: &Appliance) -> Seen {
    let held_back = it.suppression.is_some();
    let (class, text, alerts) = (it.class.clone(), it.text.clone(), it.open_alerts.clone());
    (it.state, it.state_since, class, text, it.progress, alerts, held_back)
}

/// Whether there is something to show that was not shown yet.
fn is_news(appliance: &Appliance, known: &mut HashMap<String, Seen>) -> bool {
    let seen = seen(appliance);
    known.insert(appliance.name.clone(), seen.clone()) != Some(seen)
}

/// Shows what `list` gives, and again what is new or changed in it.
///
/// # Errors
///
/// When the output can't be written, the first question fails, or waiting does not mend it.
pub(crate) async fn polled<T: Default + Clone>(
    broker: &Broker,
    listing: &mut Listing<'_, T>,
    form: fn(&T) -> Form,
    mut list: impl AsyncFnMut() -> Result<Vec<T>, Failure>,
) -> Result<(), Failure> {
    let mut outage = Outage::new(broker, LOOK_EVERY);
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut is_first = true;
    loop {
        let things = match list().await {
            Ok(things) => things,
            Err(Failure::Broker(ClientError::Status(status))) if !is_first => {
                outage.wait(&passing(&broker.address, *status)?).await;
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
            listing.note(&format!("{} is over", Cell::new(name).shown(false)))?;
        }
        listing.add(&changed)?;
        known = now;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
