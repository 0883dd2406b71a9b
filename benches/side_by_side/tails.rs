//! Opens live tails of the grid log, each of one appliance, and counts what they receive until stdin ends.

use std::collections::BTreeSet;

use grid_broker::client::connect;
use grid_broker::contract::proto::grid_log_service_client::GridLogServiceClient;
use grid_broker::contract::proto::{RecordFilter, TailRecordsRequest};
use grid_broker::tasks;
use tokio::sync::watch;

use crate::Failure;

/// Tails on one connection.
const PER_CONNECTION: u64 = 50;

/// The appliances that a load of 64 sessions has.
const APPLIANCES: u64 = 64;

/// Reads `count` tails; gives how many messages arrived.
pub(crate) async fn run(port: u16, count: u64) -> Result<serde_json::Value, Failure> {
    let (stop, stopped) = watch::channel(false);
    let mut running = Vec::new();
    let address = format!("127.0.0.1:{port}");
    let mut client = GridLogServiceClient::new(connect(&address).await?);
    for number in 0..count {
        if number % PER_CONNECTION == 0 {
            client = GridLogServiceClient::new(connect(&address).await?);
        }
        let appliances = vec![format!("bench:main.a{}", number % APPLIANCES + 1)];
        let filter = Some(RecordFilter { appliances, ..RecordFilter::default() });
        let request = TailRecordsRequest { filter, ..TailRecordsRequest::default() };
        let mut tail = client.tail_records(request).await?.into_inner();
        let mut stopped = stopped.clone();
        running.push(tasks::spawn("tail", async move {
            let mut received: u64 = 0;
            loop {
                tokio::select! {
                    _ = stopped.changed() => return Ok::<_, tonic::Status>(received),
                    message = tail.message() => match message? {
                        Some(_) => received += 1,
                        None => return Ok(received),
                    },
                }
            }
        }));
    }
    println!("{}", serde_json::json!({ "open": count }));
    let _ = tasks::spawn_blocking("wait for the end of stdin", || {
        std::io::read_to_string(std::io::stdin())
    })
    .await?;
    stop.send_replace(true);
    let (mut received, mut failures) = (0, BTreeSet::new());
    for tail in running {
        match tail.await? {
            Ok(count) => received += count,
            Err(status) => drop(failures.insert(status.to_string())),
        }
    }
    Ok(serde_json::json!({ "received": received, "failures": failures }))
}
