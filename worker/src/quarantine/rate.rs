//! Whether a registry delivers fast enough. Only the time counts in which it was waited for: what
//! our own side takes is not the registry's.

use std::{collections::VecDeque, time::Duration};

use super::limits::Rate;

/// What was seen of a registry that is waited for.
#[derive(Debug)]
pub(super) struct Watch {
    rate: Rate,
    waited: Duration,
    /// The bytes of each piece of the window, with the piece's number.
    window: VecDeque<(u128, u64)>,
}

/// How a registry delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Fast enough, or not for long enough to tell.
    Fine,
    /// Less than it must.
    Slow,
    /// Nothing any more.
    None,
}

/// Into how many pieces the window is cut.
const PIECES: u128 = 20;
/// How many of them are lately: a registry that was silent for longer has stopped.
const LATELY: u128 = 5;

impl Watch {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, waited: Duration::ZERO, window: VecDeque::new() }
    }

    fn piece(&self) -> u128 {
        let each = (self.rate.over.as_millis() / PIECES).max(1);
        self.waited.as_millis() / each
    }

    /// After so long a wait so many bytes came.
    pub(super) fn saw(&mut self, waited: Duration, bytes: u64) {
        self.waited += waited;
        let piece = self.piece();
        match self.window.back_mut() {
            Some((newest, sum)) if *newest == piece => *sum += bytes,
            _ => self.window.push_back((piece, bytes)),
        }
        while self.window.front().is_some_and(|(oldest, _)| *oldest + PIECES <= piece) {
            self.window.pop_front();
        }
    }

    pub(super) fn flow(&self) -> Flow {
        let bytes: u64 = self.window.iter().map(|(_, bytes)| bytes).sum();
        let least = self.rate.least as f64 * self.rate.over.as_secs_f64();
        match bytes {
            _ if self.waited < self.rate.over || bytes as f64 >= least => Flow::Fine,
            _ if self.drips() => Flow::Slow,
            _ => Flow::None,
        }
    }

    /// Whether anything came lately, however little.
    pub(super) fn drips(&self) -> bool {
        let now = self.piece();
        self.window.iter().any(|(piece, bytes)| *bytes > 0 && piece + LATELY > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(each: Duration, bytes: u64, times: usize) -> Flow {
        let rate = Rate { least: 64 * 1024, over: Duration::from_secs(20) };
        let mut watch = Watch::new(rate);
        for _ in 0..times {
            watch.saw(each, bytes);
        }
        watch.flow()
    }

    #[test]
    fn the_rate_has_two_sides() {
        let second = Duration::from_secs(1);
        assert_eq!(flow(second, 64 * 1024, 60), Flow::Fine);
        assert_eq!(flow(second, 64 * 1024 - 1, 60), Flow::Slow);
        assert_eq!(flow(second, 10, 19), Flow::Fine);
        assert_eq!(flow(second, 10, 20), Flow::Slow);
        assert_eq!(flow(second, 0, 20), Flow::None);
        assert_eq!(flow(Duration::from_millis(1), 1, 1_000_000), Flow::Slow);
        assert_eq!(flow(Duration::ZERO, 100, 1_000_000), Flow::Fine);
    }

    #[test]
    fn what_came_long_ago_does_not_count() {
        let rate = Rate { least: 1024, over: Duration::from_secs(20) };
        let mut watch = Watch::new(rate);
        watch.saw(Duration::from_secs(4), 1 << 30);
        watch.saw(Duration::from_secs(15), 1);
        assert_eq!(watch.flow(), Flow::Fine);
        watch.saw(Duration::from_secs(4), 0);
        assert_eq!(watch.flow(), Flow::Fine, "the much is still in the window");
        assert!(watch.drips());
        watch.saw(Duration::from_secs(1), 0);
        assert_eq!(watch.flow(), Flow::None);
        assert!(!watch.drips());
        watch.saw(Duration::ZERO, 1);
        assert_eq!(watch.flow(), Flow::Slow);
    }
}
