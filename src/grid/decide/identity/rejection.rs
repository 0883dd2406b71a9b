//! Defines why a command on credentials is rejected.
//!
//! Guarantees that each text says what to do. Decides nothing.

use std::time::Duration;

use crate::grid::decide::CommandRejection;
use crate::grid::values::identity::{AdministratorName, Subject, TokenId};
use crate::grid::values::time::describe_duration;

use super::{ADMINISTRATORS_MAX, TOKENS_MAX};

/// Why a token does not authenticate. A client is not told which of these it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenProblem {
    /// There is none of that id.
    #[error(
        "no token has this id: it was revoked, or removed after its end, or is of another broker"
    )]
    Unknown,
    /// Its secret is another one.
    #[error("the secret is wrong: the token was rotated, or somebody guesses")]
    WrongSecret,
    /// It has expired.
    #[error("it has expired")]
    Expired,
    /// It is for another purpose.
    #[error("it is for another purpose: enrolment tokens enrol, others give access")]
    OtherPurpose,
}

/// Why a command on credentials is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityRejection {
    /// The token does not authenticate.
    #[error("the token is not valid: unknown, expired, revoked or rotated")]
    BadToken(TokenProblem),
    /// The enrolment token was used with another key.
    #[error(
        "the enrolment token of {subject} was used with another key before; an administrator creates \
         another one: `gridctl appliance enrol --replace`"
    )]
    TokenReused {
        /// Whose token.
        subject: Subject,
    },
    /// The appliance was revoked after the token for several names was created.
    #[error(
        "{subject} was revoked after this enrolment token was created; an administrator creates one \
         for it alone: `gridctl appliance enrol`"
    )]
    RevokedSince {
        /// Who was revoked.
        subject: Subject,
    },
    /// The enrolment token enrolled as many keys as it may.
    #[error("the enrolment token has enrolled all {count} keys that it may enrol")]
    TokenExhausted {
        /// How many.
        count: u32,
    },
    /// The owner has a key already.
    #[error(
        "{subject} has an enrolled key already; `--replace` enrols another one in its place, and \
         `gridctl appliance revoke` revokes it"
    )]
    AlreadyEnrolled {
        /// Whose key.
        subject: Subject,
    },
    /// The key is enrolled for another owner.
    #[error("this key is enrolled for {subject}; each appliance makes a key of its own")]
    KeyInUse {
        /// Whose key it is.
        subject: Subject,
    },
    /// The key was revoked.
    #[error(
        "this key was revoked or replaced, and is never accepted again: `vme enrol --force` makes a new one"
    )]
    KeyRevoked,
    /// The requested name is not one of the token.
    #[error("the enrolment token is not valid for this name: it enrols {allowed}")]
    NameNotAllowed {
        /// Whom it enrols.
        allowed: Box<str>,
    },
    /// A token for several names needs a name.
    #[error("the enrolment token is valid for {pattern}; say which name is enrolled")]
    NameRequired {
        /// The pattern.
        pattern: Box<str>,
    },
    /// The key is not enrolled.
    #[error("this key is not enrolled here: it was revoked, or enrolled at another broker")]
    KeyUnknown,
    /// The certificate ended too long ago.
    #[error(
        "its certificate ended more than {} ago, so it must be enrolled again",
        describe_duration(*.limit)
    )]
    RecoveryEnded {
        /// How long after the end a key may still renew.
        limit: Duration,
    },
    /// There is no such token.
    #[error("there is no token {id}; `gridctl token list` shows all of them")]
    NoToken {
        /// The id.
        id: TokenId,
    },
    /// Enrolment tokens are not rotated.
    #[error("{id} is an enrolment token, which is not rotated: create another one")]
    NotRotatable {
        /// The id.
        id: TokenId,
    },
    /// Another token has the id.
    #[error("another token has the id {id}, which was chosen at random: try again")]
    TokenExists {
        /// The id.
        id: TokenId,
    },
    /// There are too many tokens.
    #[error(
        "there are {TOKENS_MAX} tokens, which is the limit; `gridctl token revoke` removes some"
    )]
    TooManyTokens,
    /// There is no such administrator.
    #[error("there is no administrator {name}; `gridctl admin list` shows all of them")]
    NoAdministrator {
        /// The name.
        name: AdministratorName,
    },
    /// An administrator of that name exists.
    #[error("administrator {name} already exists; `gridctl admin set` changes the role")]
    AdministratorExists {
        /// The name.
        name: AdministratorName,
    },
    /// There are too many administrators.
    #[error(
        "there are {ADMINISTRATORS_MAX} administrators, which is the limit; `gridctl admin remove` \
         removes one"
    )]
    TooManyAdministrators,
    /// Nobody with the role admin would remain.
    #[error("{name} is the last administrator with the role admin, which must remain")]
    LastAdmin {
        /// The name.
        name: AdministratorName,
    },
    /// An appliance or class is unknown.
    #[error(transparent)]
    Command(#[from] CommandRejection),
}
