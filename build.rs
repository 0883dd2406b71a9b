//! Compiles the protos without a system `protoc`.
//!
//! Two passes over the contract: messages, clients and the administrators' services as the
//! generator makes them; and the server side of `EventService`, whose two requests are replaced by
//! our own types that keep the event as bytes (`wire::received`), so that one malformed event
//! cannot end a stream.

use std::path::Path;

type Failure = Box<dyn std::error::Error>;

const CONTRACT: [&str; 8] = [
    "grid/events/v1/event.proto",
    "grid/events/v1/event_service.proto",
    "grid/events/v1/grid_log_service.proto",
    "grid/events/v1/appliance_service.proto",
    "grid/events/v1/broker_service.proto",
    "grid/events/v1/journal_service.proto",
    "grid/events/v1/alert_service.proto",
    "grid/events/v1/mail_service.proto",
];
const JOURNAL: [&str; 1] = ["grid/journal/v1/journal.proto"];

fn main() -> Result<(), Failure> {
    println!("cargo::rerun-if-changed=proto");
    let out = std::env::var("OUT_DIR")?;
    let out = Path::new(&out);

    let contract = protox::compile(CONTRACT, ["proto"])?;
    let journal = protox::compile(JOURNAL, ["proto"])?;
    std::fs::write(out.join("grid_events_v1.fds"), prost::Message::encode_to_vec(&contract))?;

    tonic_prost_build::configure().build_server(false).compile_fds(journal)?;

    let served_as_generated = administrators_services(&contract);
    let received = out.join("received");
    std::fs::create_dir_all(&received)?;

    tonic_prost_build::configure().build_server(false).compile_fds(contract.clone())?;

    let servers = out.join("servers");
    std::fs::create_dir_all(&servers)?;
    tonic_prost_build::configure()
        .build_client(false)
        .out_dir(&servers)
        .extern_path(".grid.events.v1", "crate::wire::proto")
        .compile_fds(served_as_generated)?;
    tonic_prost_build::configure()
        .build_client(false)
        .out_dir(&received)
        .extern_path(".grid.events.v1", "crate::wire::proto")
        .extern_path(".grid.events.v1.ReportRequest", "crate::wire::received::ReportRequest")
        .extern_path(".grid.events.v1.SessionRequest", "crate::wire::received::SessionRequest")
        .compile_fds(only_event_service(contract))?;
    Ok(())
}

type Descriptors = prost_types::FileDescriptorSet;

fn administrators_services(contract: &Descriptors) -> Descriptors {
    let mut kept = contract.clone();
    for file in &mut kept.file {
        file.service.retain(|service| service.name() != "EventService");
    }
    kept
}

fn only_event_service(mut contract: Descriptors) -> Descriptors {
    for file in &mut contract.file {
        file.service.retain(|service| service.name() == "EventService");
    }
    contract
}
