//! Answers that stay good for a moment, so that a crowd asks the store once.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

type Slot<V> = Arc<tokio::sync::Mutex<Option<(Instant, V)>>>;

/// Values by key, each good for the same time. Whoever asks while a value is being fetched waits
/// for it instead of fetching it again.
#[derive(Debug)]
pub struct Brief<K, V> {
    good_for: Duration,
    slots: Mutex<HashMap<K, Slot<V>>>,
}

impl<K: Eq + Hash + Clone, V: Clone> Brief<K, V> {
    /// Most keys that are kept.
    const MOST: usize = 1024;

    /// An empty cache.
    #[must_use]
    pub fn new(good_for: Duration) -> Self {
        Self { good_for, slots: Mutex::default() }
    }

    /// The value of a key, fetched if the one that is there is too old.
    ///
    /// # Errors
    /// The error of the fetch.
    pub async fn get<E>(&self, key: &K, fetch: impl Future<Output = Result<V, E>>) -> Result<V, E> {
        let slot = self.slot(key);
        let mut held = slot.lock().await;
        if let Some((at, value)) = held.as_ref()
            && at.elapsed() < self.good_for
        {
            return Ok(value.clone());
        }
        let value = fetch.await?;
        *held = Some((Instant::now(), value.clone()));
        Ok(value)
    }

    /// The value of a key, fetched now, and kept for those who come after.
    ///
    /// # Errors
    /// The error of the fetch.
    pub async fn renew<E>(
        &self,
        key: &K,
        fetch: impl Future<Output = Result<V, E>>,
    ) -> Result<V, E> {
        let slot = self.slot(key);
        let mut held = slot.lock().await;
        let value = fetch.await?;
        *held = Some((Instant::now(), value.clone()));
        Ok(value)
    }

    /// Keeps a value that was fetched otherwise.
    pub async fn keep(&self, key: &K, value: V) {
        *self.slot(key).lock().await = Some((Instant::now(), value));
    }

    /// The value of a key, however old, if there is one.
    pub async fn last(&self, key: &K) -> Option<V> {
        let slot = self.slot(key);
        let held = slot.lock().await;
        held.as_ref().map(|(_, value)| value.clone())
    }

    fn slot(&self, key: &K) -> Slot<V> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= Self::MOST && !slots.contains_key(key) {
            slots.clear();
        }
        slots.entry(key.clone()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_crowd_fetches_once() {
        let cache = Brief::new(Duration::from_secs(60));
        let fetched = AtomicU32::new(0);
        let get = || {
            cache.get(&"key", async {
                tokio::task::yield_now().await;
                Ok::<_, ()>(fetched.fetch_add(1, Ordering::Relaxed))
            })
        };
        let (a, b, c) = tokio::join!(get(), get(), get());
        assert_eq!((a, b, c), (Ok(0), Ok(0), Ok(0)));
        assert_eq!(fetched.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn the_last_value_is_there_however_old() {
        let cache = Brief::new(Duration::ZERO);
        assert_eq!(cache.last(&1).await, None);
        cache.keep(&1, 7).await;
        assert_eq!(cache.last(&1).await, Some(7));
    }

    #[tokio::test]
    async fn a_failed_fetch_is_not_kept() {
        let cache = Brief::new(Duration::from_secs(60));
        assert_eq!(cache.get(&1, async { Err::<u8, _>("down") }).await, Err("down"));
        assert_eq!(cache.get(&1, async { Ok::<_, &str>(7) }).await, Ok(7));
    }
}
