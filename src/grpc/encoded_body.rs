//! Sends messages that are encoded already as the response of a streaming call.
//!
//! Guarantees that the bytes are sent as they are, without a copy per client, and that the response ends
//! with the status that the stream ended with. A handler passes the messages to the response in an
//! extension, since the generated server encodes each message itself. Does not know the messages.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Request};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;
use tonic::{Response, Status};

/// Messages with gRPC's framing, or the status that ends the stream.
pub(super) type EncodedMessages = ReceiverStream<Result<Bytes, Status>>;

/// Takes the messages from the handler to its response; extensions must be clonable.
#[derive(Clone)]
struct Handover(Arc<Mutex<Option<EncodedMessages>>>);

/// The response of a handler whose messages are encoded already; `nothing` is a stream without messages.
pub(super) fn respond<T>(messages: EncodedMessages, nothing: T) -> Response<T> {
    let mut response = Response::new(nothing);
    response.extensions_mut().insert(Handover(Arc::new(Mutex::new(Some(messages)))));
    response
}

/// A service whose handlers may [`respond`].
#[derive(Clone, Debug)]
pub(super) struct WithEncodedBodies<S>(pub(super) S);

impl<S: NamedService> NamedService for WithEncodedBodies<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for WithEncodedBodies<S>
where
    S: Service<Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let call = self.0.call(request);
        Box::pin(async move { call.await.map(with_encoded_body) })
    }
}

fn with_encoded_body(mut response: http::Response<Body>) -> http::Response<Body> {
    let Some(Handover(messages)) = response.extensions_mut().remove() else { return response };
    match messages.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(messages) => response.map(|_| Body::new(EncodedBody { messages, is_over: false })),
        None => response,
    }
}

/// The messages as the body of a response.
struct EncodedBody {
    messages: EncodedMessages,
    is_over: bool,
}

impl HttpBody for EncodedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let status = match ready!(Pin::new(&mut self.messages).poll_next(context)) {
            Some(Ok(messages)) => return Poll::Ready(Some(Ok(Frame::data(messages)))),
            Some(Err(status)) => status,
            None => Status::ok(""),
        };
        self.is_over = true;
        let mut trailers = HeaderMap::new();
        let added = status.add_header(&mut trailers);
        Poll::Ready(Some(added.map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
