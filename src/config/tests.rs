//! What is wrong is told by key and value; what is shipped is what holds without it.

use super::*;

fn wrong(given: Given) -> String {
    Settings::new(given).expect_err("is taken").to_string()
}

fn file(text: &str) -> (tempfile::NamedTempFile, Given) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("writes");
    let given = Given { config: Some(file.path().to_owned()), ..Given::default() };
    (file, given)
}

#[test]
fn the_shipped_file_is_the_defaults_and_names_every_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/gridd.toml");
    let given = Given { config: Some(path.clone()), ..Given::default() };
    let shipped = Settings::new(given).expect("the shipped file is right");
    let defaults = Settings::new(Given::default()).expect("the defaults are right");
    assert_eq!(format!("{shipped:?}"), format!("{defaults:?}"));
    let text = std::fs::read_to_string(path).expect("reads");
    for key in [
        "data",
        "grpc",
        "http",
        "tracing",
        "commit_file",
        "span",
        "checkpoint_records",
        "disk_low_water",
        "ballast",
        "age",
        "bytes",
        "managed",
        "boot_timeout",
        "maintenance_silence",
        "promise_max",
        "hung_waits_for_boot_deadline",
        "stuck_progress",
        "on_stuck",
        "ignore_reboots",
        "lost_contact",
        "dump_timeout",
    ] {
        let is_there = text.lines().any(|line| line.starts_with(&format!("{key} = ")));
        assert!(is_there, "{key} is not in the shipped file");
    }
}

#[test]
fn listeners_off_loopback_are_refused() {
    let given = Given { grpc: Some("0.0.0.0:7443".into()), ..Given::default() };
    assert_eq!(
        wrong(given),
        "grpc: 0.0.0.0:7443 is not on loopback; there is no TLS yet, so gridd listens on \
         127.0.0.1 or [::1] only"
    );
}

#[test]
fn a_flag_goes_before_the_file() {
    let (_file, mut given) = file("grpc = \"127.0.0.1:1\"\nhttp = \"[::1]:2\"\n");
    given.grpc = Some("localhost:3".into());
    let settings = Settings::new(given).expect("is right");
    assert_eq!((settings.grpc.port(), settings.http.port()), (3, 2));
}

#[test]
fn all_wrong_values_are_told_at_once() {
    let (_file, given) = file(
        "grpc = \"here\"\n[class.web]\nboot_timeout = \"0s\"\non_stuck = \"ask\"\n\
         [class.slow]\nboot_timeout = \"infinite\"\n",
    );
    assert_eq!(
        wrong(given),
        "grpc: \"here\" is not an address with a port, such as 127.0.0.1:7443\n\
         class.web.boot_timeout: \"0s\" is not a time from 1s to 12h, such as 90s or 5m\n\
         class.web.on_stuck: \"ask\" is not `warn` or `fail`"
    );
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let (_file, given) = file("grpc = \"127.0.0.1:1\"\n[class.web]\nboot_time = \"5m\"\n");
    let text = wrong(given);
    assert!(text.contains("line 3") && text.contains("boot_time"), "{text}");
}

#[test]
fn sizes_and_days_of_the_journal_are_taken_and_nonsense_is_refused() {
    let (_file, given) = file(
        "disk_low_water = \"1GiB\"\nballast = \"16 MiB\"\n\
         [retention]\nage = \"30d\"\nbytes = \"512KiB\"\n",
    );
    assert_eq!(
        wrong(given),
        "retention.bytes: \"512KiB\" is not a size of at least 1MiB, such as 10GiB"
    );
    let (_file, given) = file("disk_low_water = \"1GiB\"\n[retention]\nage = \"1d12h\"\n");
    let journal = Settings::new(given).expect("is right").journal;
    assert_eq!(journal.retention.age, Duration::from_secs(36 * 3_600));
    assert_eq!((journal.low_water, journal.ballast_bytes), (1 << 30, 8 << 20));
    let (_file, given) = file("ballast = \"8\"\n[retention]\nage = \"0d\"\n");
    assert_eq!(
        wrong(given),
        "retention.age: \"0d\" is not a time from 1s to 36500d, such as 90d or 12h\n\
         ballast: \"8\" is not a size of at least 1MiB, such as 8MiB"
    );
}

#[test]
fn sizes_of_the_journal_have_units_and_bounds() {
    let (_file, given) = file("[journal]\nspan = \"64KiB\"\ncommit_file = \"2 MiB\"\n");
    let journal = Settings::new(given).expect("is right").journal;
    assert_eq!((journal.span_bytes, journal.commit_file_bytes), (64 << 10, 2 << 20));
    let (_file, given) =
        file("[journal]\nspan = \"1MB\"\ncommit_file = \"5GiB\"\ncheckpoint_records = 999\n");
    assert_eq!(
        wrong(given),
        "journal.commit_file: \"5GiB\" is not a size from 64KiB to 4GiB, such as 32MiB\n\
         journal.span: \"1MB\" is not a size from 64KiB to 4GiB, such as 32MiB\n\
         journal.checkpoint_records: 999 is too few, 1000 is the least"
    );
}
