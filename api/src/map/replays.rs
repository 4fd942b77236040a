//! Replays, kept ready: a crowd that asks for one has it made once.
//!
//! A replay of a large event takes a moment of a processor, in a thread that nobody else waits for. It
//! is made by one at a time for each event, and stays good while the map does not change; while it does,
//! pins come by themselves to those who look, and a replay may be [`GOOD`] old.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use portcall_shared::domain::ids::EventSlug;
use tokio::time::Instant;

use super::course::Course;
use crate::{etag, problem::ApiError, state::AppState, views::replay::ReplayView};

/// How long a replay stays good while its map changes.
const GOOD: Duration = Duration::from_secs(5);
/// How many lengths of one event's replay are kept.
const LENGTHS: usize = 4;

/// The replays of every event.
#[derive(Debug, Default)]
pub struct Replays(Mutex<HashMap<EventSlug, Slot>>);

type Slot = Arc<tokio::sync::Mutex<Kept>>;

#[derive(Debug, Default)]
struct Kept {
    course: Option<(Instant, Arc<Course>)>,
    /// The newest last.
    written: Vec<(u32, Written)>,
}

/// A replay as it is sent.
#[derive(Clone, Debug)]
pub struct Written {
    /// JSON.
    pub body: Bytes,
    /// Its entity tag.
    pub tag: String,
}

impl Replays {
    /// The replay of an event that there is, in so many steps.
    ///
    /// # Errors
    /// When it cannot be made, which is a fault of ours.
    pub async fn get(
        &self,
        app: &AppState,
        event: &EventSlug,
        steps: u32,
    ) -> Result<Written, ApiError> {
        let slot = self.slot(event);
        let mut kept = slot.lock().await;
        if let Some(course) = kept.good(app.map.revision(event)) {
            if let Some(written) = kept.written(steps) {
                return Ok(written);
            }
            let written = apart(written_of(event, course, steps)).await?;
            return Ok(kept.keep(steps, written));
        }
        let (began, from, slug) = (Instant::now(), app.clone(), event.clone());
        let course = apart(move || Arc::new(Course::of(&from.map.sketch(&slug)))).await?;
        *kept = Kept { course: Some((began, Arc::clone(&course))), written: Vec::new() };
        let written = apart(written_of(event, course, steps)).await?;
        Ok(kept.keep(steps, written))
    }

    fn slot(&self, event: &EventSlug) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(event.clone()).or_default())
    }
}

impl Kept {
    /// The course, if it may still be told.
    fn good(&self, revision: u64) -> Option<Arc<Course>> {
        let (made, course) = self.course.as_ref()?;
        (course.revision == revision || made.elapsed() < GOOD).then(|| Arc::clone(course))
    }

    fn written(&self, steps: u32) -> Option<Written> {
        self.written.iter().find(|(of, _)| *of == steps).map(|(_, written)| written.clone())
    }

    fn keep(&mut self, steps: u32, written: Written) -> Written {
        if self.written.len() >= LENGTHS {
            self.written.remove(0);
        }
        self.written.push((steps, written.clone()));
        written
    }
}

/// Has something worked out where nothing else waits for the processor.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| ApiError::Internal("a replay ended in a panic".into(), None))
}

fn written_of(
    event: &EventSlug,
    course: Arc<Course>,
    steps: u32,
) -> impl FnOnce() -> Written + use<> {
    let event = event.to_string();
    move || {
        let view = ReplayView::of(event, steps, course.replay(steps));
        // It has no keys but texts, and nothing in it writes itself.
        let body = Bytes::from(serde_json::to_vec(&view).unwrap_or_default());
        Written { tag: etag::of(&body), body }
    }
}

#[cfg(test)]
mod tests;
