//! A client under whom things fail: it posts submissions with keys at a rate, tries again once
//! with the same key when it was told to, and follows what was taken to its end. What it sees
//! is in the history. After a second failure, which the history holds as [`What::GaveUp`], it still
//! insists, as people do: so that what becomes of everybody is known in the end.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::{sync::watch, task::JoinSet};

use super::{
    follow::{Follower, follow_submission},
    history::{History, Truth, What},
};
use crate::parts::client::{Answer, Client, Submission};

/// After which pause it is tried again where nothing says when.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause that is kept.
const LONGEST: Duration = Duration::from_secs(30);
/// Between two looks at a submission, and for how many it is that much longer.
const LOOK: Duration = Duration::from_millis(400);
const LOOKED_AT: u32 = 20;
/// How many submissions are also followed by a live stream.
const STREAMS: usize = 2;
/// How long a submission is insisted on.
const INSISTS: Duration = Duration::from_mins(10);

/// The apis that a client may ask, as a balancer has them: a broken connection leads to the next.
#[derive(Clone, Debug, Default)]
pub struct Targets(Arc<Mutex<Vec<Client>>>);

impl Targets {
    /// These, from now on.
    pub fn set(&self, clients: Vec<Client>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = clients;
    }

    /// One of them, in turn; none when there is none at all.
    #[must_use]
    pub fn pick(&self, turn: usize) -> Option<Client> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(turn % all.len().max(1)).cloned()
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Client> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What is to be posted.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The submission, with its key.
    pub submission: Submission,
    /// The key.
    pub key: String,
    /// What it deserves.
    pub truth: Truth,
}

impl Planned {
    /// Of the n-th person of a row, at a place far enough from the others to be a pin of its own.
    #[must_use]
    pub fn nth(n: usize, row: &str, image: &str, truth: Truth) -> Self {
        let key = format!("{row}-{n}");
        let degrees = |n: usize| f64::from(u32::try_from(n).unwrap_or_default());
        let submission = Submission::of(&format!("Gordon {n}"))
            .reference(image)
            .key(&key)
            .with("/place/lat", (degrees(n / 80) * 1.5 - 60.0).into())
            .with("/place/lng", (degrees(n % 80) * 4.0 - 160.0).into());
        Self { submission, key, truth }
    }
}

/// The load of a row. When it is dropped, it ends.
#[derive(Debug)]
pub struct Load {
    /// What it saw.
    pub history: History,
    targets: Targets,
    tasks: JoinSet<()>,
    followers: Vec<Follower>,
    on_way: Arc<AtomicUsize>,
    streams: Arc<AtomicUsize>,
    followed: Arc<AtomicUsize>,
    ends: watch::Sender<bool>,
}

impl Load {
    /// None yet, by these apis.
    #[must_use]
    pub fn new(targets: Targets) -> Self {
        Self {
            history: History::default(),
            targets,
            tasks: JoinSet::new(),
            followers: Vec::new(),
            on_way: Arc::default(),
            streams: Arc::default(),
            followed: Arc::default(),
            ends: watch::Sender::new(false),
        }
    }

    /// Follows the event on its map from now on, by a stream of its own.
    pub fn follow_map(&mut self, name: &str, turn: usize) {
        let (targets, history) = (self.targets.clone(), self.history.clone());
        self.followers.push(Follower::begin(name, turn, targets, history));
    }

    /// Those who follow the map.
    #[must_use]
    pub fn followers(&self) -> &[Follower] {
        &self.followers
    }

    /// Posts these at that rate from now on, in the background, and follows each to its end.
    pub fn post(&mut self, planned: Vec<Planned>, per_second: f64) {
        let begun = Instant::now();
        for (n, planned) in planned.into_iter().enumerate() {
            let at = begun + Duration::from_secs_f64(n as f64 / per_second);
            self.on_way.fetch_add(1, Ordering::Relaxed);
            let poster = Poster {
                history: self.history.clone(),
                targets: self.targets.clone(),
                turn: n,
                ends: self.ends.subscribe(),
            };
            let (on_way, streams) = (Arc::clone(&self.on_way), Arc::clone(&self.streams));
            let followed = Arc::clone(&self.followed);
            self.tasks.spawn(async move {
                tokio::time::sleep_until(at.into()).await;
                let id = poster.post(&planned).await;
                on_way.fetch_sub(1, Ordering::Relaxed);
                let Some(id) = id else { return };
                followed.fetch_add(1, Ordering::Relaxed);
                if streams.fetch_add(1, Ordering::Relaxed) < STREAMS {
                    let stream = follow_submission(&id, n, &poster.targets, &poster.history);
                    tokio::join!(stream, poster.follow(&id, &followed));
                } else {
                    poster.follow(&id, &followed).await;
                }
                followed.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }

    /// How many posts have not been answered yet, or not even begun.
    #[must_use]
    pub fn on_way(&self) -> usize {
        self.on_way.load(Ordering::Relaxed)
    }

    /// Reads everything that was acknowledged once more, by every api.
    pub async fn read_again(&self) {
        let ids = self.history.accepted();
        for turn in 0..self.targets.all().len() {
            for id in &ids {
                let (history, targets) = (self.history.clone(), self.targets.clone());
                let poster = Poster { history, targets, turn, ends: self.ends.subscribe() };
                poster.look(id).await;
            }
        }
    }

    /// Ends what still runs of it.
    pub async fn end(&mut self) {
        self.ends.send_replace(true);
        self.followers.clear();
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Whoever posts one submission.
struct Poster {
    history: History,
    targets: Targets,
    turn: usize,
    ends: watch::Receiver<bool>,
}

/// What came of one try.
enum Tried {
    Answered(Box<Answer>),
    Nothing(String),
}

impl Poster {
    /// Posts it until it is taken or refused for good; its id.
    async fn post(&self, planned: &Planned) -> Option<String> {
        let (key, truth) = (planned.key.clone(), planned.truth);
        let op = self.history.begin(What::Post { key, truth });
        let begun = Instant::now();
        for n in 0.. {
            let tried = match self.targets.pick(self.turn + n) {
                Some(client) => client.post(&planned.submission).await.into(),
                None => Tried::Nothing("there is no api".to_owned()),
            };
            if let Tried::Answered(answer) = &tried
                && answer.status.is_success()
            {
                let id = answer.json["id"].as_str().unwrap_or_default().to_owned();
                self.history.note(op, What::Accepted { id: id.clone() });
                return Some(id);
            }
            let (what, pause) = tried.told();
            self.history.note(op, what);
            if n == 1 {
                self.history.note(op, What::GaveUp);
            }
            // What is wrong with the request itself does not become right.
            let refused = matches!(&tried, Tried::Answered(answer)
                if answer.status.is_client_error() && answer.status.as_u16() != 429);
            if refused && n > 0 || begun.elapsed() > INSISTS || *self.ends.borrow() {
                return None;
            }
            tokio::time::sleep(pause).await;
        }
        None
    }

    /// Looks at it until it has ended.
    async fn follow(&self, id: &str, followed: &AtomicUsize) {
        while !self.look(id).await && !*self.ends.borrow() {
            let others = u32::try_from(followed.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
            tokio::time::sleep(LOOK * (1 + others / LOOKED_AT)).await;
        }
    }

    /// Looks at it once, and once more where that failed; whether it has ended.
    async fn look(&self, id: &str) -> bool {
        let op = self.history.begin(What::Read { id: id.to_owned() });
        for n in 0..2 {
            let tried = match self.targets.pick(self.turn + n) {
                Some(client) => client.get(&format!("/api/v1/submissions/{id}")).await.into(),
                None => Tried::Nothing("there is no api".to_owned()),
            };
            if let Tried::Answered(answer) = &tried {
                match answer.status.as_u16() {
                    200 => {
                        let seen = super::follow::seen(&answer.json, None);
                        let ended = super::history::is_final(&seen.state);
                        self.history.note(op, What::Saw(seen));
                        return ended;
                    }
                    404 => {
                        self.history.note(op, What::Absent { id: id.to_owned() });
                        return false;
                    }
                    _ => {}
                }
            }
            let (what, pause) = tried.told();
            self.history.note(op, what);
            tokio::time::sleep(pause).await;
        }
        self.history.note(op, What::GaveUp);
        false
    }
}

impl From<Result<Answer>> for Tried {
    fn from(answer: Result<Answer>) -> Self {
        match answer {
            Ok(answer) => Self::Answered(Box::new(answer)),
            Err(error) => Self::Nothing(format!("{error:#}")),
        }
    }
}

impl Tried {
    /// How it is noted, and after which pause it is tried again.
    fn told(&self) -> (What, Duration) {
        match self {
            Self::Answered(answer) => {
                let after = answer.header("retry-after").parse().map(Duration::from_secs);
                let (status, code) = (answer.status.as_u16(), answer.problem().0);
                (What::Refused { status, code }, after.unwrap_or(PAUSE).min(LONGEST))
            }
            Self::Nothing(why) => (What::Unknown { why: why.clone() }, PAUSE),
        }
    }
}
