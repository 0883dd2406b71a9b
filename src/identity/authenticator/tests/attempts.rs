//! Tests what is counted of tokens: failed attempts, and the first use of a day.

use super::*;

#[test]
fn guesses_are_limited_by_address_and_token_and_lock_out_nobody_else() {
    let mut gate = Gate::with(Role::Admin);
    let token = gate.token(access_of_ann(), None);
    let other = gate.token(access_of_ann(), None);
    let guess = || {
        let guess = NewToken::with_id(TokenKind::Administrator, token.parsed.id, None);
        guess.expect("random bytes")
    };
    for _ in 0..TOKEN_FAILURES_BURST.get() {
        assert_eq!(gate.by_token(guess().text(), ADMIN), Err(Denied::BadToken));
    }
    let denied = gate.by_token(guess().text(), ADMIN).expect_err("too many");
    assert_eq!((&denied, denied.reason()), (&Denied::TooManyFailures, "TOO_MANY_FAILURES"));
    assert!(gate.by_token(token.text(), ADMIN).is_err(), "of this address not even the right one");
    assert!(gate.by_token(other.text(), ADMIN).is_ok(), "another token");
    gate.address = "192.0.2.2".parse().expect("an address");
    assert!(gate.by_token(token.text(), ADMIN).is_ok(), "another address");
    for _ in 0..ADDRESS_FAILURES_BURST.get() {
        let unknown = NewToken::generate(TokenKind::Administrator, None).expect("random bytes");
        assert_eq!(gate.by_token(unknown.text(), ADMIN), Err(Denied::BadToken));
    }
    // One more is allowed in each second.
    let limited = (0..ADDRESS_FAILURES_BURST.get()).any(|_| {
        let unknown = NewToken::generate(TokenKind::Administrator, None).expect("random bytes");
        gate.by_token(unknown.text(), ADMIN) == Err(Denied::TooManyFailures)
    });
    assert!(limited, "whatever the token");
    gate.address = "2001:db8::1".parse().expect("an address");
    assert!(gate.by_token(token.text(), ADMIN).is_ok());
}

#[test]
fn the_first_use_of_a_token_on_a_day_is_recorded_once() {
    let mut gate = Gate::with(Role::Admin);
    let token = gate.token(access_of_ann(), None);
    assert!(gate.by_token(token.text(), ADMIN).is_ok());
    assert!(gate.incidents.try_recv().is_err(), "it was used today");
    let mut stored = gate.authenticator.credentials().read(|it| it.token(token.parsed.id).cloned());
    let stored = stored.as_mut().expect("a token");
    stored.last_used_at = Some(wall_now().before(seconds(86_400)));
    gate.apply(IdentityEffect::Token { token: stored.clone() });
    for _ in 0..3 {
        assert!(gate.by_token(token.text(), ADMIN).is_ok());
    }
    let used = SecurityIncident::TokenUsed { id: token.parsed.id };
    assert_eq!(gate.incidents.try_recv().ok(), Some(used));
    assert!(gate.incidents.try_recv().is_err());
}
