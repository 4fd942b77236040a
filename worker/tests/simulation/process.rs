//! A process of the simulation: it may stand still, be cut off, be killed, and its clock may be wrong.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures::FutureExt;
use portcall_shared::domain::ids::WorkerId;
use time::OffsetDateTime;
use tokio::{task::JoinHandle, time::Instant};

/// A process. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Process(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: WorkerId,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_frozen: bool,
    has_no_store: bool,
    has_no_fleet: bool,
    clock: i64,
    asleep: Vec<Waker>,
    tasks: Vec<JoinHandle<()>>,
}

impl Process {
    /// One in a world that began then, with its clock so many seconds off.
    pub(crate) fn new(id: WorkerId, began: Instant, clock: i64) -> Self {
        let state = Mutex::new(State { clock, ..State::default() });
        Self(Arc::new(Inner { id, began, state }))
    }

    pub(crate) fn id(&self) -> WorkerId {
        self.0.id
    }

    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What time it takes it to be.
    pub(crate) fn wall(&self) -> OffsetDateTime {
        let epoch = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        epoch + self.0.began.elapsed() + time::Duration::seconds(self.state(|state| state.clock))
    }

    pub(crate) fn set_clock(&self, seconds: i64) {
        self.state(|state| state.clock = seconds);
    }

    pub(crate) fn cut_store(&self, is_cut: bool) {
        self.state(|state| state.has_no_store = is_cut);
    }

    pub(crate) fn cut_fleet(&self, is_cut: bool) {
        self.state(|state| state.has_no_fleet = is_cut);
    }

    pub(crate) fn reaches_store(&self) -> bool {
        self.state(|state| !state.has_no_store)
    }

    pub(crate) fn reaches_fleet(&self) -> bool {
        self.state(|state| !state.has_no_fleet)
    }

    /// Stops all of its tasks where they are, until it is thawed.
    pub(crate) fn freeze(&self) {
        self.state(|state| state.is_frozen = true);
    }

    /// Has its tasks go on, in this order of all that there may be.
    pub(crate) fn thaw(&self, mix: impl FnOnce(&mut Vec<Waker>)) {
        let mut asleep = self.state(|state| {
            state.is_frozen = false;
            std::mem::take(&mut state.asleep)
        });
        mix(&mut asleep);
        asleep.into_iter().for_each(Waker::wake);
    }

    /// Ends all of its tasks where they are.
    pub(crate) fn kill(&self) {
        self.state(|state| state.tasks.drain(..).for_each(|task| task.abort()));
    }

    /// Has it do something, beside whatever else it does.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.run(task);
        self.state(|state| state.tasks.push(task));
    }

    /// The same, for whoever ends it.
    pub(crate) fn run(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        tokio::spawn(Scheduled { process: self.clone(), task: task.boxed() })
    }
}

thread_local! {
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a task of this thread's processes panicked since this was asked last.
pub(crate) fn panicked() -> bool {
    PANICKED.replace(false)
}

/// A task that goes on only while its process does.
struct Scheduled {
    process: Process,
    task: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Future for Scheduled {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let is_frozen = self.process.state(|state| {
            if state.is_frozen {
                state.asleep.push(context.waker().clone());
            }
            state.is_frozen
        });
        if is_frozen {
            return Poll::Pending;
        }
        let polled = catch_unwind(AssertUnwindSafe(|| self.task.as_mut().poll(context)));
        polled.unwrap_or_else(|_| {
            PANICKED.set(true);
            Poll::Ready(())
        })
    }
}
