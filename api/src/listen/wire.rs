//! The bytes of one connection on their way to hyper and back: the pulse is told of them, the end
//! of the connection waits for what is still coming, and the bare answers that hyper gives to
//! broken heads become problems like any other.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{heads, pulse::Pulse};

/// How much of what nobody will read is taken off the line at the end, so that the answer before it
/// is not lost with it.
const LEFT_OVER: usize = 256 * 1024;
/// How a connection in HTTP/2 begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";
/// A bare answer of hyper is shorter than this.
const BARE: usize = 256;

/// A stream with its pulse.
#[derive(Debug)]
pub(super) struct Wire<S> {
    inner: S,
    pulse: Arc<Pulse>,
    tls: bool,
    begun: bool,
    /// How long the first line of the head is so far; none once it has ended.
    line: Option<usize>,
    /// What stands for a bare answer and has not left yet.
    instead: Bytes,
    shut: bool,
    left_over: usize,
}

impl<S> Wire<S> {
    /// Puts a pulse to a stream.
    pub(super) fn new(inner: S, pulse: Arc<Pulse>, tls: bool) -> Self {
        Self {
            inner,
            pulse,
            tls,
            begun: false,
            line: Some(0),
            instead: Bytes::new(),
            shut: false,
            left_over: LEFT_OVER,
        }
    }

    fn note(&mut self, came: &[u8]) {
        if came.is_empty() {
            return;
        }
        if !self.begun {
            self.begun = true;
            let length = came.len().min(PREFACE.len());
            if came[..length] == PREFACE[..length] {
                self.pulse.speaks_two();
            }
        }
        if !self.pulse.in_head() {
            self.line = Some(0);
        }
        self.pulse.came(came.len());
        if let Some(length) = self.line {
            let ended = came.contains(&b'\n');
            self.line = (!ended).then_some(length + came.len());
        }
    }

    fn went<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &result {
            Poll::Pending => self.pulse.blocked(),
            Poll::Ready(_) => self.pulse.went(),
        }
        result
    }

    /// What is written instead of the bare answer that this is, if it is one.
    fn replaced(&self, bytes: &[u8]) -> Option<Bytes> {
        if bytes.len() > BARE || !bytes.starts_with(b"HTTP/1.1 4") || self.pulse.answering() {
            return None;
        }
        let status = bare(bytes)?;
        Some(heads::answer(status, self.line.is_some_and(heads::is_long_path), self.tls))
    }
}

/// The status of an answer that hyper gave by itself: it has nothing but what every answer has.
fn bare(bytes: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (first, rest) = text.strip_suffix("\r\n\r\n")?.split_once("\r\n")?;
    let plain = |line: &str| {
        matches!(line, "connection: close" | "content-length: 0") || line.starts_with("date: ")
    };
    let status = first.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    rest.split("\r\n").all(plain).then_some(status)
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// Writes what stands for a bare answer.
    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.instead.has_remaining() {
            let result = Pin::new(&mut self.inner).poll_write(cx, &self.instead);
            let written = ready!(self.went(result))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.instead.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> Wire<S> {
    /// Takes off the line what nobody will read, until the other end has closed; the pulse ends it
    /// if that takes too long.
    fn poll_left_over(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [MaybeUninit::uninit(); 8 * 1024];
        while self.left_over > 0 {
            let mut buffer = ReadBuf::uninit(&mut space);
            match ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    self.left_over = self.left_over.saturating_sub(buffer.filled().len());
                }
                // Whatever is wrong with it now, it has ended.
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        self.note(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(cx))?;
        if let Some(instead) = self.replaced(bytes) {
            self.instead = instead;
            self.pulse.leaves_unread();
            return Poll::Ready(Ok(bytes.len()));
        }
        let result = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.went(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut full = slices.iter().filter(|slice| !slice.is_empty());
        if let (Some(only), None) = (full.next(), full.next()) {
            return self.poll_write(cx, only);
        }
        ready!(self.poll_instead(cx))?;
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.went(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.went(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        if !self.shut {
            self.pulse.leave();
            ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
            self.shut = true;
        }
        if self.pulse.unread() { self.poll_left_over(cx) } else { Poll::Ready(Ok(())) }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const BARE_400: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
        content-length: 0\r\ndate: Sat, 21 Nov 2026 13:00:00 GMT\r\n\r\n";

    async fn through(bytes: &[u8], pulse: &Arc<Pulse>) -> String {
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        let mut wire = Wire::new(near, pulse.clone(), true);
        wire.write_all(bytes).await.unwrap();
        wire.flush().await.unwrap();
        drop(wire);
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_bare_answer_becomes_a_problem() {
        let text = through(BARE_400, &Arc::new(Pulse::new())).await;
        assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
        assert!(text.contains("content-security-policy: ") && text.contains("\"code\":"), "{text}");
        assert!(text.contains("strict-transport-security: "), "{text}");
    }

    #[tokio::test]
    async fn any_other_answer_stays_as_it_is() {
        let pulse = Arc::new(Pulse::new());
        let own = String::from_utf8(BARE_400.to_vec()).unwrap().replace("date:", "x-date:");
        assert_eq!(through(own.as_bytes(), &pulse).await, own);
        // While a request is being answered, whatever is written is its answer.
        pulse.begins(http::Version::HTTP_11);
        assert_eq!(through(BARE_400, &pulse).await.as_bytes(), BARE_400);
    }

    #[tokio::test]
    async fn what_is_left_over_is_taken_off_the_line_up_to_a_limit() {
        for (unread, sent, taken) in [
            (true, LEFT_OVER / 2, LEFT_OVER / 2),
            (true, LEFT_OVER * 4, LEFT_OVER),
            (false, LEFT_OVER, 0),
        ] {
            let (near, mut far) = tokio::io::duplex(LEFT_OVER * 8);
            far.write_all(&vec![0; sent]).await.unwrap();
            far.shutdown().await.unwrap();
            let pulse = Arc::new(Pulse::new());
            if unread {
                pulse.leaves_unread();
            }
            let mut wire = Wire::new(near, pulse, false);
            wire.shutdown().await.unwrap();
            let mut rest = Vec::new();
            wire.inner.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest.len(), sent - taken, "{sent} were sent");
        }
    }
}
