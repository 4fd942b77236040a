//! How much of something a connection may cost: an amount at once, and so much more with time.

use tokio::time::Instant;

/// A token bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    left: f64,
    most: f64,
    per_second: f64,
    at: Instant,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(most: u32, per_second: u32) -> Self {
        let most = f64::from(most);
        Self { left: most, most, per_second: f64::from(per_second), at: Instant::now() }
    }

    /// Puts something back.
    pub(super) fn give(&mut self, amount: u32) {
        self.left = (self.left + f64::from(amount)).min(self.most);
    }

    /// Takes something out; whether there was enough.
    pub(super) fn take(&mut self, amount: usize) -> bool {
        let now = Instant::now();
        let since = now.duration_since(self.at).as_secs_f64();
        self.at = now;
        self.left = (self.left + since * self.per_second).min(self.most);
        self.left -= amount as f64;
        self.left >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_holds_what_it_holds_and_fills_with_time() {
        let mut bucket = Bucket::new(10, 2);
        assert!(bucket.take(10), "all of it");
        assert!(!bucket.take(1), "and no more");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(bucket.take(1), "two a second, of which one was owed");
        assert!(!bucket.take(1));
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!(bucket.take(10) && !bucket.take(1), "never more than it holds");
        bucket.give(3);
        assert!(bucket.take(2) && !bucket.take(1), "one was owed");
    }
}
