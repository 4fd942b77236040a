//! A connection that lets an HTTP library see an answer only after its head passed the check.
//!
//! Until the head is complete the bytes are held here (at most the head's limit and one read);
//! interim answers are taken out; a fault comes out of `poll_read` as an `io::Error` around an
//! [`AskFault`]. Nothing is read before the first byte of the request was written, so that a
//! server that speaks first always meets the same code.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, BytesMut};
use hyper::rt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    ask::AskFault,
    head::{HeadCheck, Progress},
    wire::{AskFailure, AskLimits},
};

/// How much one read may bring, in bytes.
const READ: usize = 8 * 1024;

pub(super) struct Gate<S> {
    stream: S,
    limits: AskLimits,
    stage: Stage,
    held: BytesMut,
    scratch: Box<[u8]>,
}

enum Stage {
    /// Nothing was asked yet; somebody may wait to read.
    Silent(Option<Waker>),
    /// The head is not complete.
    Head(HeadCheck),
    /// The head was let through.
    Open,
}

impl<S> Gate<S> {
    pub(super) fn new(stream: S, limits: AskLimits) -> Self {
        let scratch = vec![0; READ].into_boxed_slice();
        Self { stream, limits, stage: Stage::Silent(None), held: BytesMut::new(), scratch }
    }

    /// The request is on its way: from now on its answer may be read.
    fn asked(&mut self) {
        if let Stage::Silent(waker) = &mut self.stage {
            if let Some(waker) = waker.take() {
                waker.wake();
            }
            self.stage = Stage::Head(HeadCheck::new(self.limits));
        }
    }
}

impl<S: AsyncRead + Unpin> Gate<S> {
    /// Reads once into the scratch space; how many bytes.
    fn poll_scratch(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<usize>> {
        let most = most.min(self.scratch.len());
        let mut buffer = ReadBuf::new(&mut self.scratch[..most]);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Reads until the head is complete and drops what was before it.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while matches!(self.stage, Stage::Head(_)) {
            let count = ready!(self.poll_scratch(cx, READ))?;
            if count == 0 {
                return Poll::Ready(Err(io::Error::other(ended(self.held.is_empty()))));
            }
            self.held.extend_from_slice(&self.scratch[..count]);
            let Stage::Head(check) = &mut self.stage else {
                break;
            };
            if let Progress::Whole { from } = check.advance(&self.held).map_err(io::Error::other)? {
                self.held.advance(from);
                self.stage = Stage::Open;
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn ended(nothing_came: bool) -> AskFault {
    let detail = match nothing_came {
        true => "the connection was closed without an answer",
        false => "the connection was closed within the head of the answer",
    };
    AskFault { failure: AskFailure::Truncated, detail: detail.into() }
}

impl<S: AsyncRead + Unpin> rt::Read for Gate<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        if let Stage::Silent(waker) = &mut gate.stage {
            *waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        ready!(gate.poll_head(cx))?;
        if gate.held.is_empty() {
            let count = ready!(gate.poll_scratch(cx, buffer.remaining()))?;
            buffer.put_slice(&gate.scratch[..count]);
        } else {
            let count = gate.held.len().min(buffer.remaining());
            buffer.put_slice(&gate.held[..count]);
            gate.held.advance(count);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> rt::Write for Gate<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let gate = self.get_mut();
        let count = ready!(Pin::new(&mut gate.stream).poll_write(cx, bytes))?;
        gate.asked();
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
