//! The end of what a container wrote, bounded while it is read.

use std::time::Duration;

use bollard::{container::LogOutput, errors::Error as Bollard};
use futures::{Stream, StreamExt};
use tokio::time::timeout;

use super::error::FleetError;

/// Lines of a log that are asked for, from the end.
pub(super) const LINES: &str = "2000";
/// What is read of a log at most, to find its end: more than the engine keeps of one.
const READ_BYTES: usize = 8 * 1024 * 1024;

/// The end of a log, with what is not UTF-8 replaced. What is read is bounded, not only what is kept.
pub(super) async fn end_of(
    pieces: impl Stream<Item = Result<LogOutput, Bollard>>,
    within: Duration,
    max_bytes: usize,
) -> Result<String, FleetError> {
    let doing = "reading a log";
    let mut pieces = std::pin::pin!(pieces);
    let (mut kept, mut read) = (Vec::new(), 0);
    let reading = async {
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| FleetError::from_client(doing, error))?;
            let piece = piece.into_bytes();
            read += piece.len();
            kept.extend_from_slice(&piece);
            if kept.len() > 2 * max_bytes {
                kept.drain(..kept.len() - max_bytes);
            }
            if read > READ_BYTES {
                break;
            }
        }
        Ok(())
    };
    match timeout(within, reading).await {
        // A log that goes on and on is shown as far as it was read.
        Err(_) | Ok(Ok(())) => {}
        Ok(Err(FleetError::Refused { status: 404, .. })) => return Ok(String::new()),
        Ok(Err(error)) => return Err(error),
    }
    kept.drain(..kept.len().saturating_sub(max_bytes));
    Ok(String::from_utf8_lossy(&kept).into_owned())
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};

    use super::*;

    fn said(text: &str) -> Result<LogOutput, Bollard> {
        Ok(LogOutput::StdOut { message: text.to_owned().into() })
    }

    #[tokio::test]
    async fn the_end_is_kept_and_no_more_than_some_is_read() {
        let end = async |pieces: Vec<&str>, most| {
            let pieces = stream::iter(pieces.into_iter().map(said).collect::<Vec<_>>());
            end_of(pieces, Duration::from_secs(5), most).await.unwrap()
        };
        assert_eq!(end(vec!["one\n", "two\n"], 100).await, "one\ntwo\n");
        assert_eq!(end(vec!["one\n", "two\n"], 4).await, "two\n");
        assert_eq!(end(vec![], 4).await, "");
        let piece = "x".repeat(1024);
        let endless = stream::repeat_with(|| said(&piece));
        let counted = std::cell::Cell::new(0);
        let endless = endless.inspect(|_| counted.set(counted.get() + 1024));
        let kept = end_of(endless, Duration::from_secs(60), 10).await.unwrap();
        assert_eq!(kept, "x".repeat(10));
        assert!(counted.get() <= READ_BYTES + 2048, "{} bytes were read", counted.get());
    }

    #[tokio::test]
    async fn a_log_that_does_not_end_is_shown_as_far_as_it_came() {
        let pieces = stream::iter([said("here")]).chain(stream::pending());
        let kept = end_of(pieces, Duration::from_millis(10), 100).await.unwrap();
        assert_eq!(kept, "here");
    }
}
