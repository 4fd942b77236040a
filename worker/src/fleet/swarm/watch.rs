//! What an anchor says, followed: how the grader node's disk is, and that the node is there.
//!
//! One stream for each slot, kept in memory as its last line and its last silence; so looking costs
//! nothing, a node that is cut off is noticed within seconds, long before the swarm gives it up, and
//! one that was is not forgotten when it is back.
//!
//! ```text
//!   word  word  word               word  word         [`Watch::word`]: is it there now?
//!   ──┴─────┴─────┴─── silence ──────┴─────┴──► now   [`Watch::silence`]: was it there all the time?
//! ```
//!
//! A silence is one whatever broke it off. A stream that a manager broke does not say that the node was
//! away, but nobody can say either that it was there, and what the prober did not hear in that time is
//! charged to nobody. So it is no proof, and it is used for nothing but another try.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bollard::{container::LogOutput, query_parameters::LogsOptionsBuilder};
use futures::StreamExt;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::Swarm;
use crate::{
    fleet::{endpoint::is_the_managers, error::FleetError},
    probe::anchor::{LINE_BYTES, Word},
};

/// For so long a word is believed. An anchor speaks every second.
pub(super) const FRESH: Duration = Duration::from_secs(6);
/// For so long it is believed while no manager has a leader, and so nobody could tell.
const LEADERLESS: Duration = Duration::from_secs(30);
/// Before a stream that ended is opened again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long a stream may be silent before another one is opened.
const SILENT: Duration = Duration::from_secs(4);
/// From here on a pause between two words is a silence: two of them are missing. A stream that only
/// broke is open again before.
const SILENCE: Duration = Duration::from_secs(3);
/// For so long what a silence did may outlast it. Engines take what is on a node that they do not hear
/// out of an overlay's tables, and put it back when they exchange them, which they do every 30 s.
const AFTERMATH: Duration = Duration::from_secs(30);

/// What was heard so far.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    /// The last word, and when it came.
    last: Option<(Word, Instant)>,
    /// The last silence that a word ended: whether there was one since some time, it alone tells.
    silence: Option<Silence>,
}

/// A time without a word.
#[derive(Clone, Copy, Debug)]
struct Silence {
    lasted: Duration,
    until: Instant,
}

impl Heard {
    fn hear(&mut self, word: Word, now: Instant) {
        if let Some((_, before)) = self.last {
            let lasted = now.duration_since(before);
            if lasted >= SILENCE {
                self.silence = Some(Silence { lasted, until: now });
            }
        }
        self.last = Some((word, now));
    }

    /// How long the silence lasts or lasted that may have touched what was done since then.
    fn silence(&self, since: Instant, now: Instant) -> Option<Duration> {
        let lasts = now.duration_since(self.last.map_or(since, |(_, at)| at));
        if lasts >= SILENCE {
            return Some(lasts);
        }
        let last = self.silence.filter(|silence| silence.until + AFTERMATH > since);
        last.map(|silence| silence.lasted)
    }
}

/// Follows one anchor until the last of its clones is dropped.
#[derive(Clone, Debug)]
pub(in crate::fleet) struct Watch(Arc<Following>);

#[derive(Debug)]
struct Following {
    heard: watch::Receiver<Heard>,
    task: JoinHandle<()>,
    /// Why the stream ended last.
    broken: Arc<Mutex<Broken>>,
}

/// Why a stream ended.
#[derive(Debug, Default)]
struct Broken {
    why: String,
    /// How long the last word is believed nevertheless.
    believed: Duration,
}

impl Broken {
    /// It says nothing, or what it says is of the service or its node.
    fn silent(why: String) -> Self {
        Self { why, believed: FRESH }
    }

    fn by(error: &FleetError) -> Self {
        let believed = if is_the_managers(error) { LEADERLESS } else { FRESH };
        Self { why: error.to_string(), believed }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// Begins to follow the output of a service.
    pub(super) fn follow(swarm: Arc<Swarm>, service: String) -> Self {
        let (say, heard) = watch::channel(Heard::default());
        let broken = Arc::<Mutex<Broken>>::default();
        let why = Arc::clone(&broken);
        let task = tokio::spawn(async move {
            loop {
                let ended = stream(&swarm, &service, &say).await;
                *why.lock().unwrap_or_else(PoisonError::into_inner) = ended;
                sleep(AGAIN).await;
            }
        });
        Self(Arc::new(Following { heard, task, broken }))
    }

    /// The last word, if it is fresh.
    pub(super) fn word(&self) -> Result<Word, String> {
        let broken = self.0.broken.lock().unwrap_or_else(PoisonError::into_inner);
        believed(self.0.heard.borrow().last, &broken)
    }

    /// Waits for a word that comes after now.
    pub(super) async fn next(&self, within: Duration) -> Option<Word> {
        let mut heard = self.0.heard.clone();
        heard.mark_unchanged();
        match timeout(within, heard.changed()).await {
            Ok(Ok(())) => heard.borrow().last.map(|(word, _)| word),
            _ => None,
        }
    }

    /// How long nothing was heard, if that was too long at some moment since then or shortly before.
    /// A word is waited for first: whoever asks within a silence would not know yet that it is one.
    pub(super) async fn silence(&self, since: Instant) -> Option<Duration> {
        // If none comes, the time without one tells.
        let _ = self.next(SILENCE).await;
        self.0.heard.borrow().silence(since, Instant::now())
    }
}

fn believed(heard: Option<(Word, Instant)>, broken: &Broken) -> Result<Word, String> {
    match heard {
        Some((word, at)) if at.elapsed() < FRESH.max(broken.believed) => Ok(word),
        Some((_, at)) => {
            let (silent, why) = (at.elapsed().as_secs(), &broken.why);
            Err(format!("nothing was heard from its node for {silent} s ({why})"))
        }
        None => Err("nothing was heard from its node yet".to_owned()),
    }
}

/// Follows until the stream ends or is silent; says why.
async fn stream(swarm: &Swarm, service: &str, say: &watch::Sender<Heard>) -> Broken {
    let docker = match swarm.endpoint.answering().await {
        Ok(docker) => docker,
        Err(error) => return Broken::by(&error),
    };
    // None of what it said before: that would be heard as if it were said now.
    let options = LogsOptionsBuilder::new().follow(true).stdout(true).tail("0").build();
    let mut pieces = docker.service_logs(service, Some(options)).boxed();
    let mut line = Vec::new();
    loop {
        let piece = match timeout(SILENT, pieces.next()).await {
            Ok(Some(Ok(LogOutput::StdOut { message }))) => message,
            Ok(Some(Ok(_))) => continue,
            Ok(Some(Err(error))) => {
                return Broken::by(&FleetError::from_client("following an anchor", error));
            }
            Ok(None) => return Broken::silent("its log ended".to_owned()),
            Err(_) => {
                let why = format!("its log is silent for {} s", SILENT.as_secs());
                return Broken::silent(why);
            }
        };
        for byte in piece {
            match byte {
                b'\n' => {
                    if let Some(word) = understood(&line) {
                        say.send_modify(|heard| heard.hear(word, Instant::now()));
                    }
                    line.clear();
                }
                // What is longer is no line of ours; its end is none either.
                _ if line.len() < LINE_BYTES => line.push(byte),
                _ => {}
            }
        }
    }
}

/// Strangers run beside it: it is believed no more than what can be.
fn understood(line: &[u8]) -> Option<Word> {
    let word: Word = serde_json::from_slice(line).ok()?;
    let disk = word.disk;
    (disk.free_bytes <= disk.total_bytes && disk.free_inodes <= disk.total_inodes).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::{
        anchor::{Cgroup, Users},
        wire::DiskSpace,
    };

    #[test]
    fn only_words_that_can_be_are_believed() {
        let word = |free: u64, inodes: u64| {
            format!(
                "{{\"disk\":{{\"free_bytes\":{free},\"total_bytes\":10,\"free_inodes\":{inodes},\
                 \"total_inodes\":10}},\"swap_bytes\":0,\"users\":\"remapped\",\"cgroup\":\"v1\"}}"
            )
        };
        assert!(understood(word(10, 10).as_bytes()).is_some());
        assert!(understood(word(11, 10).as_bytes()).is_none());
        assert!(understood(word(10, 11).as_bytes()).is_none());
        for bad in ["", "{}", "null", "[1]", "\u{1b}[31m"] {
            assert!(understood(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    fn a_word() -> Word {
        let disk = DiskSpace { free_bytes: 1, total_bytes: 2, free_inodes: 1, total_inodes: 2 };
        Word { disk, swap_bytes: 0, users: Users::Remapped, cgroup: Cgroup::V1 }
    }

    #[test]
    fn a_word_is_believed_for_a_while_and_longer_while_no_manager_could_tell() {
        let word = a_word();
        let refused = |status, words: &str| FleetError::Refused {
            doing: "following an anchor",
            status,
            message: words.to_owned(),
        };
        let leaderless = Broken::by(&refused(500, "The swarm does not have a leader"));
        let gone = Broken::by(&refused(404, "service x not found"));
        let silent = Broken::silent("its log ended".to_owned());
        for (ago, broken, is_believed) in [
            (0, &silent, true),
            (FRESH.as_secs(), &silent, false),
            (FRESH.as_secs(), &gone, false),
            (FRESH.as_secs(), &leaderless, true),
            (LEADERLESS.as_secs(), &leaderless, false),
        ] {
            let Some(at) = Instant::now().checked_sub(Duration::from_secs(ago)) else { return };
            let heard = believed(Some((word, at)), broken);
            assert_eq!(heard.is_ok(), is_believed, "{ago} s, {broken:?}");
        }
        assert!(believed(None, &leaderless).is_err());
    }

    /// A clock of its own: moments in seconds from one that is long ago.
    fn at(seconds: u64) -> Instant {
        thread_local!(static BEGAN: Instant = Instant::now());
        BEGAN.with(|began| *began) + Duration::from_secs(seconds)
    }

    /// What was heard when a word came at each of these moments.
    fn heard(moments: &[u64]) -> Heard {
        let mut heard = Heard::default();
        moments.iter().for_each(|moment| heard.hear(a_word(), at(*moment)));
        heard
    }

    #[test]
    fn a_silence_that_was_and_is_over_is_not_forgotten() {
        let cut = heard(&[1, 2, 3, 9, 10, 11]);
        let lasted = |since, now| cut.silence(at(since), at(now)).map(|it| it.as_secs());
        assert_eq!(lasted(0, 11), Some(6), "within");
        assert_eq!(lasted(5, 11), Some(6), "it had begun before");
        assert_eq!(lasted(10, 11), Some(6), "what it did may outlast it");
        // The control: nobody heard of it later, and nothing happens in between two words.
        let (mut later, moments) = (cut, 12..=50);
        moments.for_each(|moment| later.hear(a_word(), at(moment)));
        assert_eq!(later.silence(at(9 + AFTERMATH.as_secs()), at(50)), None);
        assert!(later.silence(at(8 + AFTERMATH.as_secs()), at(50)).is_some());
        assert_eq!(heard(&[1, 2, 3, 4, 5]).silence(at(0), at(6)), None);
    }

    #[test]
    fn a_word_that_is_late_is_no_silence_and_two_are() {
        let most = SILENCE.as_secs();
        assert_eq!(heard(&[1, most]).silence(at(0), at(most)), None);
        assert_eq!(heard(&[1, most + 1]).silence(at(0), at(most + 1)), Some(SILENCE));
    }

    #[test]
    fn a_silence_that_lasts_is_one_already() {
        let cut = heard(&[1, 2]);
        assert_eq!(cut.silence(at(0), at(4)), None);
        assert_eq!(cut.silence(at(0), at(5)), Some(SILENCE));
        assert_eq!(cut.silence(at(4), at(600)), Some(Duration::from_secs(598)));
        assert_eq!(Heard::default().silence(at(0), at(2)), None);
        assert_eq!(Heard::default().silence(at(0), at(3)), Some(SILENCE));
    }

    /// It takes no more room for it, and the one that counts is the last.
    #[test]
    fn of_many_silences_the_last_is_kept() {
        let mut flapping = Heard::default();
        (0..10_000).for_each(|n| flapping.hear(a_word(), at(n * 5)));
        flapping.hear(a_word(), at(50_002));
        assert_eq!(flapping.silence(at(0), at(50_003)), Some(Duration::from_secs(7)));
    }

    /// Asked within a pause, it waits for what ends it: that alone tells whether it was a silence.
    #[tokio::test]
    async fn whoever_asks_hears_the_next_word_first() {
        let now = Instant::now();
        for (ago, is_silence) in [(2, false), (4, true)] {
            let Some(before) = now.checked_sub(Duration::from_secs(ago)) else { return };
            let (say, heard) = watch::channel(Heard::default());
            say.send_modify(|heard| heard.hear(a_word(), before));
            let (task, broken) = (tokio::spawn(async {}), Arc::default());
            let watch = Watch(Arc::new(Following { heard, task, broken }));
            let word = async { say.send_modify(|heard| heard.hear(a_word(), now)) };
            let (silence, ()) = tokio::join!(watch.silence(now), word);
            assert_eq!(silence.is_some(), is_silence, "{ago} s: {silence:?}");
        }
    }
}
