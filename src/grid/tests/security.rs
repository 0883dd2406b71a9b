//! Tests administrators, and incidents that are no commands.

use super::super::Grid;
use super::driver::*;
use super::identity::*;
use crate::grid::decide::Reply;
use crate::grid::decide::identity::{IdentityRejection as R, IdentityReply};
use crate::grid::log::identity::{IdentityCommand, Refusal, SecurityIncident};
use crate::grid::log::input::Input;
use crate::grid::log::record_kind::RecordKind;
use crate::grid::model::finding::FindingKind;
use crate::grid::model::identity::TokenPurpose;
use crate::grid::model::settings::GridSettings;
use crate::grid::values::event::Severity;
use crate::grid::values::id::ApplianceName;
use crate::grid::values::identity::{AdministratorName, Role, Subject};
use crate::grid::values::record_flags::RecordFlags;

#[test]
fn one_administrator_with_the_role_admin_remains() {
    let mut timeline = Timeline::administrators();
    let (ann, otto) = (administrator("ann"), administrator("otto"));
    let set = |name: &AdministratorName, role| IdentityCommand::SetAdministrator {
        name: name.clone(),
        role,
    };
    let remove =
        |name: &AdministratorName| IdentityCommand::RemoveAdministrator { name: name.clone() };
    let last = R::LastAdmin { name: ann.clone() };
    for command in [set(&ann, Role::Operator), set(&ann, Role::Viewer), remove(&ann)] {
        assert_eq!(timeline.rejected(command), last);
    }
    timeline.done(set(&ann, Role::Admin));
    timeline.at(60).done(set(&otto, Role::Admin));
    assert_eq!(timeline.said(), "administrator otto has the role admin now");
    timeline.done(set(&ann, Role::Viewer));
    assert_eq!(timeline.rejected(remove(&otto)), R::LastAdmin { name: otto.clone() });
    timeline.done(remove(&ann));
    assert_eq!(timeline.said(), "administrator ann removed, with all credentials");
    assert_eq!(timeline.rejected(remove(&ann)), R::NoAdministrator { name: ann.clone() });
    assert_eq!(timeline.rejected(set(&ann, Role::Admin)), R::NoAdministrator { name: ann });
    let identities = timeline.grid().state().identities();
    assert_eq!(identities.admin_count(), 1);
    assert_eq!(
        identities.administrator(&otto).map(|it| (it.role, it.created_at)),
        Some((Role::Admin, at(0)))
    );
}

#[test]
fn an_administrator_is_removed_with_all_credentials_and_the_next_of_that_name_has_none() {
    let mut timeline = Timeline::administrators();
    let otto = administrator("otto");
    let subject = Subject::Administrator(otto.clone());
    timeline.token(1, TokenPurpose::Access(subject.clone()), None);
    timeline.token(2, one(subject.clone()), Some(1));
    timeline.granted(enrol_by(2, 2, None));
    timeline.token(3, TokenPurpose::Access(Subject::Administrator(administrator("ann"))), None);
    let create = IdentityCommand::CreateAdministrator { name: otto.clone(), role: Role::Viewer };
    let exists = R::AdministratorExists { name: otto.clone() };
    assert_eq!(timeline.rejected(create.clone()), exists);
    timeline.done(IdentityCommand::RemoveAdministrator { name: otto });
    timeline.done(create);
    assert_eq!(timeline.said(), "administrator otto created, role viewer");
    let left: Vec<_> = (1..=3).filter(|token| timeline.has_token(*token)).collect();
    assert_eq!(left, [3]);
    assert_eq!(timeline.grid().state().identities().key(&subject), None);
    assert_eq!(timeline.rejected(renewal(2, 2)), R::KeyUnknown);
}

#[test]
fn administrators_have_a_limit() {
    use crate::grid::decide::identity::ADMINISTRATORS_MAX;
    let mut grid = Grid::new(Default::default(), GridSettings::default(), at(0));
    let mut create = |number: usize| {
        let (name, role) = (administrator(&format!("a{number}")), Role::Viewer);
        let command = IdentityCommand::CreateAdministrator { name, role };
        grid.handle(Input::Identity { by: "ann".into(), command }, at(0)).reply
    };
    for number in 0..ADMINISTRATORS_MAX {
        assert_eq!(create(number), Reply::Identity(Ok(IdentityReply::Done).into()));
    }
    let too_many = Reply::Identity(Err(R::TooManyAdministrators).into());
    assert_eq!(create(ADMINISTRATORS_MAX), too_many);
}

pub(super) fn refused(reused: bool, omitted: u64) -> SecurityIncident {
    SecurityIncident::Refused(Refusal {
        who: "somebody without a credential".into(),
        from: "192.0.2.7".into(),
        what: "Enrol".into(),
        why: "it may not".into(),
        omitted,
        reused_token_of: reused.then(|| ApplianceName::new("db1").expect("a name")),
    })
}

#[test]
fn a_token_with_two_keys_is_an_alert_until_somebody_acts() {
    for end in [revoke("db1"), IdentityCommand::RevokeToken { id: token_id(1) }] {
        let mut timeline = Timeline::enrolled();
        let reused = |timeline: &Timeline| {
            timeline.grid().state().finding(Some(DB1), FindingKind::TokenReused).cloned()
        };
        timeline.at(5).handle(Input::Security(refused(true, 0)));
        let alert = reused(&timeline).expect("an alert");
        assert_eq!((alert.severity, alert.since), (Severity::Error, at(5)));
        assert_eq!(
            timeline.said(),
            "Enrol of somebody without a credential from 192.0.2.7 refused: it may not; the \
             enrolment token of db1 was used with two keys, the second time from 192.0.2.7: one of \
             them may be an intruder's; `gridctl appliance revoke db1` revokes what was enrolled"
        );
        timeline.at(9).handle(Input::Security(refused(true, 0)));
        assert_eq!(reused(&timeline).map(|alert| alert.since), Some(at(5)));
        timeline.granted(enrol_by(1, 1, None));
        assert!(reused(&timeline).is_some(), "a repetition by the first key proves nothing");
        timeline.done(end);
        assert_eq!(reused(&timeline), None);
    }
}

#[test]
fn security_incidents_are_records_of_their_own_kind() {
    let mut timeline = Timeline::new();
    timeline.token(1, TokenPurpose::Access(appliance("db1")), None);
    let problem = |text: &str| SecurityIncident::ServerCertificate { problem: Some(text.into()) };
    for (incident, severity, said) in [
        (
            refused(false, 3),
            Severity::Warn,
            "Enrol of somebody without a credential from 192.0.2.7 refused: it may not (3 refusals \
             before it have no record)",
        ),
        (
            SecurityIncident::Accessed { by: "ann".into(), what: "backup made".into() },
            Severity::Info,
            "backup made",
        ),
        (
            SecurityIncident::TokenUsed { id: token_id(1) },
            Severity::Debug,
            "token t0000001 of appliance db1 used, for the first time on this day",
        ),
        (problem("it ends in 3d"), Severity::Error, "it ends in 3d"),
        (problem("it has ended"), Severity::Error, "it has ended"),
        (
            SecurityIncident::ServerCertificate { problem: None },
            Severity::Info,
            "the server certificate is in order again",
        ),
    ] {
        timeline.later(60).handle(Input::Security(incident));
        let record = timeline.records.last().expect("a record");
        assert_eq!((record.kind(), record.flags), (RecordKind::Security, RecordFlags::NONE));
        assert_eq!((record.severity(), timeline.said().as_str()), (severity, said));
    }
    let token = timeline.grid().state().identities().token(token_id(1)).cloned();
    assert_eq!(token.and_then(|token| token.last_used_at), Some(at(180)));
    assert_eq!(timeline.grid().state().finding(None, FindingKind::ServerCertificate), None);
}

#[test]
fn what_is_known_of_the_server_certificate_or_of_no_token_has_no_record() {
    let mut timeline = Timeline::new();
    let problem = SecurityIncident::ServerCertificate { problem: Some("it has ended".into()) };
    for (incident, count) in [
        (SecurityIncident::ServerCertificate { problem: None }, 0),
        (SecurityIncident::TokenUsed { id: token_id(1) }, 0),
        (problem.clone(), 1),
        (problem, 0),
    ] {
        let before = timeline.records.len();
        timeline.handle(Input::Security(incident));
        assert_eq!(timeline.records.len() - before, count);
    }
}
