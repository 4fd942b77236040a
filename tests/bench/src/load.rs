//! Several who do the same again and again, each the next as soon as the last is done.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

/// One who does it.
pub trait Act: Send + 'static {
    /// Does it once; the number is nobody else's.
    fn act(&mut self, number: usize) -> impl Future<Output = Result<()>> + Send;
}

/// How much is to be done.
#[derive(Clone, Copy, Debug)]
pub enum Much {
    /// As much as goes in this time.
    For(Duration),
    /// So often, all together.
    Times(usize),
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Done {
    /// How long each took, in milliseconds.
    pub each_ms: Vec<f64>,
    /// From the first to the end of the last.
    pub wall: Duration,
}

impl Done {
    /// How many there were in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
        let count = self.each_ms.len() as f64;
        count / self.wall.as_secs_f64()
    }
}

/// Has all of them do it at once, as long or as often as is said; they are given back.
///
/// # Errors
/// When one fails.
pub async fn closed_loop<A: Act>(actors: Vec<A>, much: Much) -> Result<(Done, Vec<A>)> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let left = Arc::new(AtomicUsize::new(match much {
        Much::For(_) => usize::MAX,
        Much::Times(times) => times,
    }));
    let began = Instant::now();
    let until = match much {
        Much::For(time) => Some(began + time),
        Much::Times(_) => None,
    };
    let mut tasks = Vec::new();
    for mut actor in actors {
        let left = Arc::clone(&left);
        tasks.push(tokio::spawn(async move {
            let mut each = Vec::new();
            let take = |left: usize| left.checked_sub(1);
            while until.is_none_or(|until| Instant::now() < until)
                && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
            {
                let asked = Instant::now();
                actor.act(NEXT.fetch_add(1, Ordering::Relaxed)).await?;
                each.push(asked.elapsed().as_secs_f64() * 1000.0);
            }
            anyhow::Ok((each, actor))
        }));
    }
    let (mut each_ms, mut actors) = (Vec::new(), Vec::new());
    for task in tasks {
        let (each, actor) = task.await??;
        each_ms.extend(each);
        actors.push(actor);
    }
    ensure!(!each_ms.is_empty(), "nothing was done");
    Ok((Done { each_ms, wall: began.elapsed() }, actors))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count(Vec<usize>);

    impl Act for Count {
        async fn act(&mut self, number: usize) -> Result<()> {
            self.0.push(number);
            tokio::task::yield_now().await;
            Ok(())
        }
    }

    #[tokio::test]
    async fn all_together_do_it_so_often_with_numbers_of_their_own() {
        let actors = (0..4).map(|_| Count(Vec::new())).collect();
        let (done, actors) = closed_loop(actors, Much::Times(100)).await.unwrap();
        let mut numbers: Vec<usize> = actors.into_iter().flat_map(|count| count.0).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!((done.each_ms.len(), numbers.len()), (100, 100));
        assert!(done.rate().is_finite());
    }

    #[tokio::test]
    async fn or_so_long() {
        let much = Much::For(Duration::from_millis(5));
        let (done, _) = closed_loop(vec![Count(Vec::new())], much).await.unwrap();
        assert!(done.wall >= Duration::from_millis(5));
    }
}
