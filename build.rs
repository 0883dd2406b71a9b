//! Compiles the protos without a system `protoc`.
//!
//! Two passes over the contract: messages, clients and the administrators' services as the
//! generator makes them; and the server side of `EventService`, whose two requests are replaced by
//! our own types that keep the event as bytes (`contract::raw`), so that one malformed event
//! cannot end a stream. The server of exports sends messages that are encoded already
//! (`contract::encoded`).
//!
//! Says of the build what reports tell under Package. The commit is told of release builds only, where
//! every change of the sources runs this again; `GRID_COMMIT` says it where there is no git.

use std::path::Path;
use std::process::Command;

type Failure = Box<dyn std::error::Error>;

const CONTRACT: [&str; 10] = [
    "grid/events/v1/event.proto",
    "grid/events/v1/event_service.proto",
    "grid/events/v1/grid_log_service.proto",
    "grid/events/v1/appliance_service.proto",
    "grid/events/v1/broker_service.proto",
    "grid/events/v1/journal_service.proto",
    "grid/events/v1/alert_service.proto",
    "grid/events/v1/mail_service.proto",
    "grid/events/v1/identity_service.proto",
    "grid/events/v1/crash_dump_service.proto",
];
const JOURNAL: [&str; 1] = ["grid/journal/v1/journal.proto"];

fn main() -> Result<(), Failure> {
    say_how_it_is_built()?;
    compress_debug_information();
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
        .extern_path(".grid.events.v1", "crate::contract::proto")
        .extern_path(
            ".grid.events.v1.ExportRecordsResponse",
            "crate::contract::encoded::EncodedExport",
        )
        .compile_fds(served_as_generated)?;
    tonic_prost_build::configure()
        .build_client(false)
        .out_dir(&received)
        .codec_path("crate::contract::event_codec::EventCodec")
        .extern_path(".grid.events.v1", "crate::contract::proto")
        .extern_path(".grid.events.v1.ReportRequest", "crate::contract::raw::RawReportRequest")
        .extern_path(".grid.events.v1.SessionRequest", "crate::contract::raw::RawSessionRequest")
        .extern_path(
            ".grid.events.v1.SessionResponse",
            "crate::contract::raw_response::RawSessionResponse",
        )
        .compile_fds(only_event_service(contract))?;
    Ok(())
}

fn say_how_it_is_built() -> Result<(), Failure> {
    let profile = std::env::var("PROFILE")?;
    let features = std::env::var("CARGO_CFG_FEATURE").unwrap_or_default();
    let rustc = said(&std::env::var("RUSTC")?, &["--version"]);
    println!("cargo::rerun-if-env-changed=GRID_COMMIT");
    let commit = match std::env::var("GRID_COMMIT") {
        Ok(commit) => Some(commit),
        Err(_) if profile == "release" => git_commit(),
        Err(_) => None,
    };
    for (name, value) in [
        ("PROFILE", Some(profile)),
        ("FEATURES", Some(features)),
        ("RUSTC", rustc),
        ("COMMIT", commit),
        ("TARGET", std::env::var("TARGET").ok()),
    ] {
        println!("cargo::rustc-env=GRID_BUILT_{name}={}", value.unwrap_or_default());
    }
    Ok(())
}

/// Release programs have debug information for reports; compressed, it takes a third of the disk.
fn compress_debug_information() {
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|it| it == value);
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") {
        println!("cargo::rustc-link-arg-bins=-Wl,--compress-debug-sections=zlib");
    }
}

/// The commit, marked if the sources differ from it.
fn git_commit() -> Option<String> {
    for path in ["src", "Cargo.toml", "Cargo.lock", ".git/logs/HEAD"] {
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    said("git", &["describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+changes"])
}

fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
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
