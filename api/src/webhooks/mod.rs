//! Webhooks: organisers' own addresses are told how submissions ended.
//!
//! ```text
//!   change feed ──► outbox ──► deliveries (in the store) ──► sender ──► the receiver
//!   every minute ─►   (each change becomes one              (any process that
//!                      delivery to each webhook)              finds it due)
//! ```
//!
//! The feed is a hint: what it missed is found once a minute by looking at what has changed lately.
//! What is sent is a message of the Standard Webhooks specification ([`sign`]); its body is read from
//! the store when it is sent, so that nothing goes out that was erased or has been superseded.

mod message;
mod outbox;
pub mod schedule;
mod send;
pub mod sign;

use std::sync::{Arc, Mutex, PoisonError};

use portcall_shared::{domain::submission::Submission, outbound::Outbound};
use tokio::sync::{Notify, mpsc};

pub use self::message::PING;
pub(crate) use self::send::purpose;
use crate::state::AppState;

/// How many changes may wait to be taken in. What finds no room is found by looking.
const WAITING: usize = 1024;

/// The process's part in telling webhooks.
#[derive(Debug)]
pub struct Webhooks {
    /// Calls receivers.
    pub outbound: Outbound,
    changes: mpsc::Sender<Submission>,
    changed: Mutex<Option<mpsc::Receiver<Submission>>>,
    /// Something was missed.
    gap: Notify,
    /// Something is due.
    due: Arc<Notify>,
}

impl Default for Webhooks {
    fn default() -> Self {
        let (changes, changed) = mpsc::channel(WAITING);
        let (gap, due) = (Notify::new(), Arc::default());
        Self { outbound: Outbound::new(), changes, changed: Mutex::new(Some(changed)), gap, due }
    }
}

impl Webhooks {
    /// Takes note of a change, if it is one that webhooks are told of.
    pub fn observe(&self, submission: &Submission) {
        let ended = submission.life.state.is_final() && submission.marks.trial_of.is_none();
        if ended && self.changes.try_send(submission.clone()).is_err() {
            self.missed_something();
        }
    }

    /// Has it looked at what has changed lately.
    pub fn missed_something(&self) {
        self.gap.notify_one();
    }

    /// Has it looked at what is due.
    pub fn something_is_due(&self) {
        self.due.notify_one();
    }

    fn take_changes(&self) -> Option<mpsc::Receiver<Submission>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Tells webhooks until the process closes.
pub async fn run(app: AppState) {
    let Some(changed) = app.webhooks.take_changes() else { return };
    tokio::join!(outbox::run(&app, changed), send::run(&app));
}
