//! Defines why a secure connection to a broker failed, and keeps the reason of the last failure.
//!
//! Guarantees one sentence that says what is wrong and what to do. A reason is kept beside the
//! connection, since the libraries between the socket and the caller pass on its text at most: under
//! TLS 1.3 a server refuses a certificate only after the handshake. Does not make the sentences.

use std::sync::{Arc, Mutex, PoisonError};

/// Whose part a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityFailureKind {
    /// The options contradict each other, or a file of ours cannot be used. Nothing was sent.
    Options,
    /// The broker is not the one that we trust, or does not speak TLS as we do. Nothing was sent.
    Server,
    /// The broker refused our certificate, or the lack of one.
    Refused,
}

/// Why a secure connection failed, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct SecurityFailure {
    /// Whose part it is.
    pub kind: SecurityFailureKind,
    text: Box<str>,
}

impl SecurityFailure {
    pub(super) fn new(kind: SecurityFailureKind, text: impl Into<Box<str>>) -> Self {
        Self { kind, text: text.into() }
    }

    pub(super) fn server(text: impl Into<Box<str>>) -> Self {
        Self::new(SecurityFailureKind::Server, text)
    }

    /// A file or an option of ours cannot be used; the text says which, why, and what to do.
    pub fn options(text: impl Into<Box<str>>) -> Self {
        Self::new(SecurityFailureKind::Options, text)
    }
}

/// The reason of the last failed connection of a channel. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct LastFailure(Arc<Mutex<Option<SecurityFailure>>>);

impl LastFailure {
    pub(super) fn set(&self, failure: Option<SecurityFailure>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    pub(super) fn get(&self) -> Option<SecurityFailure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
