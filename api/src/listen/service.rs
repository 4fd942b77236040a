//! A connection's requests on their way to the router: each knows which connection it came by, and
//! the pulse knows which of them are being answered, what of their bodies was left unread, and
//! whether the client takes the answers.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{Router, body::Body, response::Response};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Version, header};
use hyper::{
    body::{Body as HttpBody, Frame, Incoming, SizeHint},
    service::Service,
};
use tower::ServiceExt as _;

use super::pulse::Pulse;
use crate::peer::Connection;

/// What is said over TLS with every answer: for a year, do not come without.
pub(super) const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// What answers the requests of one connection.
#[derive(Debug)]
pub(super) struct Requests {
    /// Where they go.
    pub(super) router: Router,
    /// Which connection it is.
    pub(super) connection: Connection,
    /// Its clock.
    pub(super) pulse: Arc<Pulse>,
}

impl Service<Request<Incoming>> for Requests {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (router, connection, version) =
            (self.router.clone(), self.connection, request.version());
        let mut ticket = Ticket::new(self.pulse.clone(), version);
        let pulse = self.pulse.clone();
        Box::pin(async move {
            let mut request = request.map(|body| Body::new(Question::new(body, pulse)));
            request.extensions_mut().insert(connection);
            let mut response = match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            let headers = response.headers_mut();
            if version == Version::HTTP_2 {
                // There a connection is left by GOAWAY.
                headers.remove(header::CONNECTION);
            }
            if connection.tls {
                headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
            }
            ticket.answered = true;
            ticket.pulse.ready(ticket.number);
            Ok(response.map(|body| Answer { body, ticket }))
        })
    }
}

/// One request, for the pulse: from its head until its answer has been handed over.
#[derive(Debug)]
struct Ticket {
    pulse: Arc<Pulse>,
    number: u64,
    answered: bool,
}

impl Ticket {
    fn new(pulse: Arc<Pulse>, version: Version) -> Self {
        let number = pulse.begins(version);
        Self { pulse, number, answered: false }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.pulse.ends(self.number, self.answered);
    }
}

/// The body of a request.
#[derive(Debug)]
struct Question {
    body: Incoming,
    ended: bool,
    pulse: Arc<Pulse>,
}

impl Question {
    fn new(body: Incoming, pulse: Arc<Pulse>) -> Self {
        Self { ended: body.is_end_stream(), body, pulse }
    }
}

impl HttpBody for Question {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.ended = frame.is_none() || self.body.is_end_stream();
        if matches!(frame, Some(Err(_))) {
            self.pulse.breaks_off();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if !self.ended {
            self.pulse.leaves_unread();
        }
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    ticket: Ticket,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let number = self.ticket.number;
        // Whoever asks for more has taken what there was.
        self.ticket.pulse.taken(number);
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.ticket.pulse.ready(number);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
