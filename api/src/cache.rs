//! Answers that stay good for a moment, so that a crowd asks the store once.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long one waits for what somebody else fetches when it must not be older than the question.
const TOGETHER: Duration = Duration::from_millis(100);

/// The value, and who is fetching it.
#[derive(Debug)]
struct Slot<V> {
    value: Mutex<Option<Held<V>>>,
    fetch: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Held<V> {
    /// When it began to be fetched, where that is known.
    began: Option<Instant>,
    at: Instant,
    value: V,
}

impl<V: Clone> Slot<V> {
    fn held(&self) -> MutexGuard<'_, Option<Held<V>>> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn good(&self, for_so_long: Duration) -> Option<V> {
        let held = self.held();
        held.as_ref().filter(|it| it.at.elapsed() < for_so_long).map(|it| it.value.clone())
    }

    /// What was begun to be fetched at this time or later.
    fn since(&self, asked: Instant) -> Option<V> {
        let held = self.held();
        let is_theirs = |it: &&Held<V>| it.began.is_some_and(|began| began >= asked);
        held.as_ref().filter(is_theirs).map(|it| it.value.clone())
    }

    fn keep(&self, began: Option<Instant>, value: V) {
        *self.held() = Some(Held { began, at: Instant::now(), value });
    }
}

/// Values by key, each good for the same time. Whoever asks while a value is being fetched waits
/// for it instead of fetching it again.
#[derive(Debug)]
pub struct Brief<K, V> {
    good_for: Duration,
    slots: Mutex<HashMap<K, Arc<Slot<V>>>>,
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
        if let Some(value) = slot.good(self.good_for) {
            return Ok(value);
        }
        let _fetching = slot.fetch.lock().await;
        if let Some(value) = slot.good(self.good_for) {
            return Ok(value);
        }
        let began = Some(Instant::now());
        let value = fetch.await?;
        slot.keep(began, value.clone());
        Ok(value)
    }

    /// The value of a key as it is: one whose fetch began after this was asked. All who ask while it is
    /// being fetched wait for the next fetch together; where that takes long, everybody fetches.
    ///
    /// # Errors
    /// The error of the fetch.
    pub async fn now<E>(&self, key: &K, fetch: impl Future<Output = Result<V, E>>) -> Result<V, E> {
        let (slot, asked) = (self.slot(key), Instant::now());
        let fetching = tokio::time::timeout(TOGETHER, slot.fetch.lock()).await;
        if let Some(value) = slot.since(asked) {
            return Ok(value);
        }
        let began = Some(Instant::now());
        let value = fetch.await?;
        slot.keep(began, value.clone());
        drop(fetching);
        Ok(value)
    }

    /// Keeps a value that was fetched otherwise.
    pub fn keep(&self, key: &K, value: V) {
        self.slot(key).keep(None, value);
    }

    /// The value of a key, however old, if there is one. Whoever fetches it is not waited for.
    pub fn last(&self, key: &K) -> Option<V> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.get(key).and_then(|slot| slot.held().as_ref().map(|it| it.value.clone()))
    }

    fn slot(&self, key: &K) -> Arc<Slot<V>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= Self::MOST && !slots.contains_key(key) {
            slots.clear();
        }
        let empty =
            || Arc::new(Slot { value: Mutex::default(), fetch: tokio::sync::Mutex::default() });
        Arc::clone(slots.entry(key.clone()).or_insert_with(empty))
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

    /// The first fetch began before the others asked: it is not theirs, and the next is all of theirs.
    #[tokio::test(start_paused = true)]
    async fn a_crowd_that_wants_it_as_it_is_fetches_twice() {
        let cache = Brief::new(Duration::from_secs(60));
        let fetched = AtomicU32::new(0);
        let get = || {
            cache.now(&"key", async {
                let number = fetched.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(TOGETHER / 10).await;
                Ok::<_, ()>(number)
            })
        };
        let later = async || {
            tokio::task::yield_now().await;
            get().await
        };
        let (a, b, c) = tokio::join!(get(), later(), later());
        assert_eq!((a, b, c), (Ok(0), Ok(1), Ok(1)));
        assert_eq!(get().await, Ok(2), "what is kept is older than the question");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_long_for_what_another_fetches() {
        let cache = Brief::new(Duration::from_secs(60));
        let never = cache.now(&1, std::future::pending::<Result<u8, ()>>());
        let own = async {
            tokio::task::yield_now().await;
            let asked = tokio::time::Instant::now();
            let own = cache.now(&1, async { Ok::<_, ()>(7) }).await;
            (own, asked.elapsed())
        };
        tokio::select! {
            biased;
            _ = never => unreachable!("it is never fetched"),
            (own, waited) = own => assert_eq!((own, waited), (Ok(7), TOGETHER)),
        }
    }

    #[tokio::test]
    async fn the_last_value_is_there_however_old() {
        let cache = Brief::new(Duration::ZERO);
        assert_eq!(cache.last(&1), None);
        cache.keep(&1, 7);
        assert_eq!(cache.last(&1), Some(7));
        let never = cache.get(&1, std::future::pending::<Result<u8, ()>>());
        let asked = async { cache.last(&1) };
        tokio::select! {
            biased;
            _ = never => unreachable!("it is never fetched"),
            last = asked => assert_eq!(last, Some(7), "who fetches it is not waited for"),
        }
    }

    #[tokio::test]
    async fn a_failed_fetch_is_not_kept() {
        let cache = Brief::new(Duration::from_secs(60));
        assert_eq!(cache.get(&1, async { Err::<u8, _>("down") }).await, Err("down"));
        assert_eq!(cache.get(&1, async { Ok::<_, &str>(7) }).await, Ok(7));
    }
}
