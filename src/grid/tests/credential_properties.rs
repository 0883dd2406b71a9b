//! States what holds of credentials whatever happens, and that random histories try it.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::driver::*;
use crate::grid::log::identity::IdentityCommand;
use crate::grid::log::input::Input;
use crate::grid::model::finding::FindingKind;
use crate::grid::tests::random_actions::actions;
use crate::grid::tests::simulation::Simulation;
use crate::grid::values::identity::{Role, Subject};

/// Each key has one owner, each owner exists, an admin remains, and an alert on a certificate has one.
pub(super) fn assert_credentials_are_sound(timeline: &Timeline) {
    let state = timeline.grid().state();
    let identities = state.identities();
    let exists = |owner: &Subject| match owner {
        Subject::Appliance(name) => state.find(name).is_some(),
        Subject::Administrator(name) => identities.administrator(name).is_some(),
    };
    let mut keys = BTreeSet::new();
    for (owner, key) in identities.keys() {
        assert!(keys.insert(key.key), "{key:?} has two owners");
        assert_eq!(identities.subject_of(key.key), Some(owner));
        assert!(exists(owner), "{owner} has a key and does not exist");
    }
    for token in identities.tokens() {
        let Some(owner) = token.purpose.owner() else { continue };
        assert!(exists(owner), "{owner} has a token and does not exist");
        assert!(identities.tokens_of(owner).any(|it| it == token));
        assert!(token.uses <= 1, "{token:?}");
    }
    let made = timeline.records.iter().any(|record| {
        let Input::Identity { command, .. } = &record.input else { return false };
        matches!(
            command,
            IdentityCommand::CreateAdministrator { role: Role::Admin, .. }
                | IdentityCommand::SetAdministrator { role: Role::Admin, .. }
        )
    });
    assert!(!made || identities.admin_count() > 0, "no admin is left");
    for appliance in state.appliances() {
        let alert = state.finding(Some(appliance.number), FindingKind::CertificateEnding);
        let key = identities.key(&Subject::Appliance(appliance.name.clone()));
        assert!(alert.is_none() || key.is_some(), "an alert without a certificate");
    }
}

/// Whoever changes the random commands sees here whether they still meet one another.
#[test]
fn random_histories_have_every_reply_to_commands_on_credentials() {
    let mut missing = BTreeSet::from([
        "AdministratorExists",
        "AlreadyEnrolled",
        "BadToken",
        "Command",
        "Done",
        "Granted",
        "KeyUnknown",
        "LastAdmin",
        "NameNotAllowed",
        "NameRequired",
        "NoAdministrator",
        "NoToken",
        "NotRotatable",
        "RecoveryEnded",
        "RevokedSince",
        "Token",
        "TokenExhausted",
        "TokenExists",
        "TokenReused",
    ]);
    let mut runner = TestRunner::deterministic();
    let histories = prop::collection::vec(actions(), 60..120);
    for _ in 0..500 {
        let mut play = Simulation::new(false);
        let history = histories.new_tree(&mut runner).expect("a history").current();
        history.into_iter().for_each(|deed| play.run(deed));
        missing.retain(|reply| !play.identity_replies.contains(*reply));
        if missing.is_empty() {
            return;
        }
    }
    panic!("none of 500 histories has {missing:?}");
}
