//! Lines of bounded length from a stream, used by both ends.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::wire::LINE_BYTES;

/// One line of the other side.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Without its end.
    Whole(Vec<u8>),
    /// More than [`LINE_BYTES`]; it is not kept, and said as soon as it is known, since such a
    /// line may never end. What is left of it is skipped.
    TooLong,
}

/// Cuts a stream into lines and never holds more than [`LINE_BYTES`] and one read.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    held: Vec<u8>,
    skipping: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader: BufReader::new(reader), held: Vec::new(), skipping: false }
    }

    /// The next line; `None` at the end of the stream. A line without an end is dropped with it.
    ///
    /// Cancel safe: what was read stays with `self`.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                return Ok(None);
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            let skipped = self.skipping;
            let too_long = !skipped && self.held.len() + part.len() >= LINE_BYTES;
            if too_long {
                self.held = Vec::new();
            } else if !skipped {
                self.held.extend_from_slice(part);
            }
            self.skipping = (skipped || too_long) && end.is_none();
            let taken = end.map_or(chunk.len(), |end| end + 1);
            self.reader.consume(taken);
            if too_long {
                return Ok(Some(Line::TooLong));
            }
            if end.is_some() && !skipped {
                return Ok(Some(Line::Whole(std::mem::take(&mut self.held))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_cut_and_bounded() {
        let longest = "x".repeat(LINE_BYTES - 1);
        let stream = format!("one\n\n{longest}\n{longest}y\ntwo\nunfinished");
        let mut lines = Lines::new(stream.as_bytes());
        let whole = |text: &str| Some(Line::Whole(text.as_bytes().to_vec()));
        assert_eq!(lines.next().await.unwrap(), whole("one"));
        assert_eq!(lines.next().await.unwrap(), whole(""));
        assert_eq!(lines.next().await.unwrap(), whole(&longest));
        assert_eq!(lines.next().await.unwrap(), Some(Line::TooLong));
        assert_eq!(lines.next().await.unwrap(), whole("two"));
        assert_eq!(lines.next().await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_endless_line_is_not_kept() {
        let mut lines = Lines::new(tokio::io::AsyncReadExt::take(tokio::io::repeat(b'x'), 1 << 24));
        assert_eq!(lines.next().await.unwrap(), Some(Line::TooLong), "before it ends");
        assert_eq!(lines.next().await.unwrap(), None);
        assert!(lines.held.capacity() < 2 * LINE_BYTES);
    }
}
