//! Tests credentials that are presented in OpenStack's ways.

use super::*;

fn token_of<'a>(text: &'a str, owner: Option<&'a str>) -> Presented<'a> {
    Presented::Token { text, owner }
}

impl Gate {
    fn present(&self, presented: Presented<'_>) -> Result<Principal, Denied> {
        self.authenticator.authenticate(&self.peer(None), presented, "GET /v2.1/servers")
    }
}

#[test]
fn a_name_or_id_beside_a_token_must_be_its_own() {
    let mut gate = Gate::with(Role::Operator);
    let token = gate.token(access_of_ann(), None);
    let id = token.parsed.id.as_str().to_owned();
    for owner in [None, Some("ann"), Some(id.as_str())] {
        let principal = gate.present(token_of(token.text(), owner));
        let principal = principal.expect("is let in");
        assert_eq!(
            gate.authenticator.subject_token(token_of(token.text(), owner), &principal),
            token.text()
        );
        assert_eq!(administrator_principal(Ok(principal)), ("ann".into(), Role::Operator));
    }
    assert_eq!(gate.recorded(), None);
    for owner in ["bob", "Ann", "", "aaaaaaaa"] {
        assert_eq!(gate.present(token_of(token.text(), Some(owner))), Err(Denied::BadToken));
        let (who, why) = gate.recorded().expect("a record");
        assert_eq!((who, why), (format!("token {id}"), Denied::BadToken.to_string()));
    }
    let refused = gate.present(token_of("secret", Some("ann"))).expect_err("no token");
    assert_eq!(refused, Denied::NotAToken(token::InvalidToken::Prefix));
    assert_eq!(gate.recorded().expect("a record").0, "somebody with an unreadable token");
    assert!(!format!("{:?}", token_of(token.text(), Some("ann"))).contains(token.text()));
}

#[test]
fn names_that_are_guessed_for_a_token_are_limited() {
    let gate = Gate::with(Role::Admin);
    let token = gate.token(access_of_ann(), None);
    for _ in 0..TOKEN_FAILURES_BURST.get() {
        assert_eq!(gate.present(token_of(token.text(), Some("bob"))), Err(Denied::BadToken));
    }
    let limited = gate.present(token_of(token.text(), Some("ann")));
    assert_eq!(limited, Err(Denied::TooManyFailures));
}

#[test]
fn nobody_but_administrators_gets_in() {
    let mut gate = Gate::with(Role::Viewer);
    let appliance = gate.token(TokenPurpose::Access(db1()), None);
    let denied = gate.present(token_of(appliance.text(), None)).expect_err("an appliance");
    assert!(matches!(denied, Denied::Forbidden { .. }), "{denied:?}");
    assert!(gate.recorded().expect("a record").1.contains("appliance db1 may not do this"));
    assert_eq!(gate.present(Presented::Unreadable), Err(Denied::BadHeader));
    let stranger = gate.present(Presented::Nothing).expect_err("a stranger");
    assert!(matches!(stranger, Denied::NoCredential { .. }), "{stranger:?}");
    let by = |gate: &Gate, subject: Subject| {
        let certificate = certificate(subject.clone(), KEY, true);
        gate.enrol(subject, KEY);
        gate.authenticator.authenticate(&gate.peer(Some(&certificate)), Presented::Nothing, "x")
    };
    let found = by(&gate, Subject::Administrator(ann()));
    assert_eq!(administrator_principal(found), ("ann".into(), Role::Viewer));
    let denied = by(&gate, db1()).expect_err("an appliance");
    assert!(matches!(denied, Denied::Forbidden { .. }), "{denied:?}");
}

#[test]
fn what_a_role_does_not_permit_is_refused_and_recorded() {
    let mut gate = Gate::with(Role::Viewer);
    let token = gate.token(access_of_ann(), None);
    let ann = gate.present(token_of(token.text(), None)).expect("is let in");
    let permit =
        |gate: &Gate, role| gate.authenticator.permit(&ann, Access::Role(role), "an action");
    assert_eq!(permit(&gate, Role::Viewer), Ok(()));
    assert_eq!(gate.recorded(), None);
    assert!(permit(&gate, Role::Operator).is_err());
    let (who, why) = gate.recorded().expect("a record");
    assert!(who == "ann (viewer)" && why.contains("the role operator or admin"), "{who}: {why}");
}

#[test]
fn a_broker_on_loopback_takes_the_name_that_is_sent() {
    let mut gate = Gate::new(AuthenticationMode::Off);
    for (presented, expected) in [
        (Presented::Nothing, UNNAMED_ADMINISTRATOR),
        (Presented::Unreadable, UNNAMED_ADMINISTRATOR),
        (token_of("notused", None), UNNAMED_ADMINISTRATOR),
        (token_of("x", Some("ann")), "ann"),
        (token_of("x", Some(" ")), UNNAMED_ADMINISTRATOR),
        (token_of("x", Some("a\nb")), UNNAMED_ADMINISTRATOR),
        (token_of("trusted:ann", None), "ann"),
        (token_of("trusted:", None), UNNAMED_ADMINISTRATOR),
    ] {
        let principal = gate.present(presented).expect("is let in");
        let again = gate.authenticator.subject_token(presented, &principal);
        let (name, role) = administrator_principal(Ok(principal));
        assert_eq!((&*name, role), (expected, Role::Admin), "{presented:?}");
        let again = administrator_principal(gate.present(token_of(&again, None)));
        assert_eq!(&*again.0, expected, "the token of a login names the same");
    }
    assert_eq!(gate.recorded(), None);
}
