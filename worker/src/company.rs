//! Who is graded beside whom: most are in company, on all of a worker's nodes; one at a time may be
//! alone.
//!
//! ```text
//!   enter ─► in company ── alone: nobody enters, those inside end ─► alone ─► over: all enter again
//! ```

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

#[derive(Debug, Default)]
struct Inside {
    /// How many are graded.
    members: usize,
    /// Whether one of them is alone, or is to be.
    alone: bool,
}

/// Whom a worker grades. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Company(Arc<watch::Sender<Inside>>);

/// One who is graded, until it is dropped.
#[derive(Debug)]
pub struct Member(Company);

/// Nobody enters until this is dropped.
#[derive(Debug)]
pub struct Alone(Company);

impl Company {
    /// Begins to grade one; none while another is alone.
    #[must_use]
    pub fn enter(&self) -> Option<Member> {
        let entered = self.0.send_if_modified(|inside| {
            inside.members += usize::from(!inside.alone);
            !inside.alone
        });
        entered.then(|| Member(self.clone()))
    }

    /// Completes when somebody may enter.
    pub async fn open(&self) {
        // The sender is here, so it is there.
        _ = self.0.subscribe().wait_for(|inside| !inside.alone).await;
    }

    /// Has one who is inside alone there, when the others have ended; none if they do not in that
    /// time, or another one is alone.
    pub async fn alone(&self, within: Duration) -> Option<Alone> {
        let first = self.0.send_if_modified(|inside| !std::mem::replace(&mut inside.alone, true));
        let alone = first.then(|| Alone(self.clone()))?;
        let mut inside = self.0.subscribe();
        let left = inside.wait_for(|inside| inside.members <= 1);
        tokio::time::timeout(within, left).await.ok().map(|_| alone)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.0.send_modify(|inside| inside.members -= 1);
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.0.0.send_modify(|inside| inside.alone = false);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn whoever_is_alone_waits_for_the_others_and_keeps_new_ones_out() {
        let company = Company::default();
        let (own, other) = (company.enter().unwrap(), company.enter().unwrap());
        let waiting = tokio::spawn({
            let company = company.clone();
            async move { company.alone(LONG).await }
        });
        tokio::task::yield_now().await;
        assert!(company.enter().is_none(), "nobody new from then on");
        assert!(company.open().now_or_never().is_none());
        assert!(!waiting.is_finished(), "the other one has not ended");
        assert!(company.alone(LONG).await.is_none(), "one at a time");
        drop(other);
        let alone = waiting.await.unwrap().unwrap();
        assert!(company.enter().is_none());
        drop((alone, own));
        company.open().await;
        assert!(company.enter().is_some());
    }

    #[tokio::test]
    async fn whoever_cannot_be_alone_lets_others_in_again() {
        let company = Company::default();
        let _inside = (company.enter().unwrap(), company.enter().unwrap());
        assert!(company.alone(Duration::from_millis(1)).await.is_none());
        assert!(company.enter().is_some());
    }
}
