//! The channel to a broker: adds the token to each call, and explains calls that fail because of TLS.
//!
//! Guarantees that a token is marked as sensitive, so that no library prints it, and that a call whose
//! connection was refused because of a certificate fails with a [`SecurityFailure`] among its causes.
//! Does not know the calls.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::HeaderValue;
use http::header::AUTHORIZATION;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::transport::Channel;

use crate::client::security_failure::LastFailure;
use crate::client::token_text::TokenText;

#[cfg(doc)]
use crate::client::security_failure::SecurityFailure;

/// An error of a connection.
pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// A connection to a broker with our credential. Cheap to clone; takes the place of a [`Channel`] in
/// every generated client. Reconnects by itself, and reads certificate and key again then.
#[derive(Clone, Debug)]
pub struct BrokerChannel {
    channel: Channel,
    authorization: Option<HeaderValue>,
    last_failure: LastFailure,
}

impl BrokerChannel {
    pub(super) fn new(
        channel: Channel,
        token: Option<&TokenText>,
        last_failure: LastFailure,
    ) -> Self {
        let authorization = token.and_then(|token| {
            // A token has letters, digits and `_` only, so this is a header's value.
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose())).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Self { channel, authorization, last_failure }
    }
}

impl GrpcService<Body> for BrokerChannel {
    type ResponseBody = Body;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        GrpcService::poll_ready(&mut self.channel, context).map_err(Into::into)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        let last_failure = self.last_failure.clone();
        let response = GrpcService::call(&mut self.channel, request);
        Box::pin(async move {
            response.await.map_err(|error| match last_failure.get() {
                Some(failure) => failure.into(),
                None => error.into(),
            })
        })
    }
}
