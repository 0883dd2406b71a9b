//! Tests of options, environment, and the identity of a host.

use clap::Parser;

use grid_broker::client;
use grid_broker::grid::values::identity::KeyHash;

use super::*;
use crate::appliance_access::ApplianceLogin;
use crate::arguments::VmeArguments;
use crate::identity::folder::{IdentityFolder, StoredIdentity};

fn config(line: &[&str], variables: &[(&str, &str)]) -> Result<ClientConfig, Vec<String>> {
    let arguments = VmeArguments::parse_from(std::iter::once(&"vme").chain(line));
    let environment = |name: &str| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
    };
    ClientConfig::new(&arguments.options, &environment)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

#[test]
fn an_option_overrides_the_environment_and_an_empty_variable_is_unset() {
    let variables = [("VME_APPLIANCE", "db2"), ("GRID_BROKER", "b2:2"), ("VME_BOOT_ID", "")];
    let by_variable = config(&["id=started_ok"], &variables).unwrap();
    assert_eq!(by_variable.target.appliance, "db2");
    assert_eq!(by_variable.target.broker, "b2:2");
    assert_eq!(by_variable.target.timeout, DEFAULT_TIMEOUT);

    let line = ["--appliance=db1", "--broker=b1:1", "--timeout=1m", "id=started_ok"];
    let by_option = config(&line, &variables).unwrap();
    assert_eq!(by_option.target.appliance, "db1");
    assert_eq!(by_option.target.broker, "b1:1");
    assert_eq!(by_option.target.timeout, Duration::from_secs(60));

    let empty = [("GRID_BROKER", ""), ("VME_APPLIANCE", "db3")];
    assert_eq!(config(&["id=started_ok"], &empty).unwrap().target.broker, client::DEFAULT_BROKER);
}

#[test]
fn errors_of_options_and_environment_are_reported_together() {
    let line = ["--appliance=", "--timeout=10", "--broker=nowhere", "--state="];
    let errors = config(&line, &[("VME_BOOT_ID", "b00t")]).unwrap_err();
    assert_eq!(
        errors,
        [
            "--appliance `` is not 1 to 128 letters, digits, `.`, `_`, `-` or `:`, the first a letter or digit",
            "--broker: broker address `nowhere` is not host:port, for instance 127.0.0.1:7443",
            "--timeout `10` is not a time from 100ms to 24h",
            "--state is empty; it is the folder of sequence numbers and spool",
            "VME_BOOT_ID `b00t` is not a UUID of 36 characters",
        ]
    );
}

/// A state folder of a host that is enrolled as db1.
fn enrolled_state() -> (tempfile::TempDir, String) {
    let state = tempfile::TempDir::new().unwrap();
    std::fs::create_dir(state.path().join("identity")).unwrap();
    let at = grid_broker::clock::wall_now();
    let stored = StoredIdentity {
        address: "https://controller:7443".to_owned(),
        pin: KeyHash([7; 32]),
        appliance: "db1".to_owned(),
        token: "aaaaaaaa".to_owned(),
        issued_at: at,
        renew_at: at,
        expires_at: at,
    };
    IdentityFolder::of_state(state.path()).store("", "", &stored).unwrap();
    let option = format!("--state={}", state.path().display());
    (state, option)
}

#[test]
fn an_identity_gives_broker_and_name_unless_they_are_given() {
    let (_state, option) = enrolled_state();
    let target = |line: &[&str], variables: &[(&str, &str)]| {
        let line: Vec<_> = line.iter().copied().chain([option.as_str(), "id=log"]).collect();
        config(&line, variables).map(|config| config.target)
    };
    let own = target(&[], &[]).unwrap();
    assert_eq!((own.broker.as_str(), own.appliance.as_str()), ("https://controller:7443", "db1"));
    assert!(own.access.identity_folder().is_some());
    assert_eq!(own.name_for("host"), "db1");
    let moved = target(&["--broker=b:1", "--appliance=db1"], &[]).unwrap();
    assert_eq!((moved.broker.as_str(), moved.name_for("host")), ("https://b:1", "db1"));
    assert!(moved.access.identity_folder().is_some());
    // Without TLS, or with another credential, it is not used.
    for (line, variables, broker) in [
        (&["--broker=http://127.0.0.1:1"][..], &[][..], "http://127.0.0.1:1"),
        (&["--broker=b:1", "--token-file=/t"], &[], "b:1"),
        (&["--broker=b:1"], &[("VME_TOKEN_FILE", "/t")], "b:1"),
    ] {
        let other = target(&[line, &["--appliance=x"]].concat(), variables).unwrap();
        assert_eq!((other.broker.as_str(), other.appliance.as_str()), (broker, "x"));
        assert!(other.access.identity_folder().is_none());
        let has_credential = !matches!(other.access.login, ApplianceLogin::NameOnly);
        assert_eq!(other.name_for("host"), if has_credential { "x" } else { "host" });
    }
    for (line, variables, source_name) in [
        (&["--appliance=db2"][..], &[][..], "--appliance"),
        (&[], &[("VME_APPLIANCE", "db2")], "VME_APPLIANCE"),
    ] {
        assert_eq!(
            target(line, variables).unwrap_err(),
            [format!(
                "{source_name} is `db2`, and the certificate of this host is for `db1`; leave \
                 {source_name} out, or enrol this host as `db2` (`vme enrol --force`)"
            )]
        );
    }
}

#[test]
fn options_of_trust_and_credential_are_checked_together() {
    let pin = "ab".repeat(32);
    let pin = format!("--pin={pin}");
    for (line, expected) in [
        (&["--pin=ab"][..], "--pin `ab` is not a pin, which is 64 hexadecimal digits"),
        (&[&pin, "--ca-file=/ca"], "--ca-file and --pin are given; one of them is possible"),
        (&["--key=/k"], "--key is given without --certificate"),
        (&["--certificate=/c"], "--certificate is given without --key"),
        (
            &["--token-file=/t", "--certificate=/c", "--key=/k"],
            "--token-file and --certificate are given; one of them is possible",
        ),
        (
            &[&pin, "--broker=http://b:1"],
            "http://b:1 is an address without TLS, and a CA file or a pin is given; write \
             https:// before it",
        ),
        (
            &["--certificate=/c", "--key=/k", "--broker=b:1"],
            "the certificate /c cannot be used without TLS; write https:// before b:1, or give \
             the broker's CA file or pin",
        ),
    ] {
        let line: Vec<_> = line.iter().copied().chain(["--appliance=a", "id=log"]).collect();
        assert_eq!(config(&line, &[]).unwrap_err(), [expected]);
    }
    let line = [&pin, "--token-file=t", "--broker=b:1", "--appliance=a", "id=log"];
    let given = config(&line, &[]).unwrap();
    assert_eq!(given.target.broker, "https://b:1");
    // Processes that vme starts get them too.
    let variables: Vec<_> = given.access_options.iter().map(|it| it.variable).collect();
    assert_eq!(variables, ["VME_TOKEN_FILE", "VME_PIN"]);
    assert!(std::path::Path::new(&given.access_options[0].value).is_absolute());
}
