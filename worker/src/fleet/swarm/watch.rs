//! What an anchor says, followed: how the grader node's disk is, and that the node is there.
//!
//! One stream for each slot, kept in memory as its last line; so looking costs nothing, and a node
//! that is cut off is noticed within seconds, long before the swarm gives it up.

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

/// What was heard last, and when.
pub(super) type Heard = Option<(Word, Instant)>;

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
        let (say, heard) = watch::channel(None);
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
        believed(*self.0.heard.borrow(), &broken)
    }

    /// Waits for a word that comes after now.
    pub(super) async fn next(&self, within: Duration) -> Option<Word> {
        let mut heard = self.0.heard.clone();
        heard.mark_unchanged();
        match timeout(within, heard.changed()).await {
            Ok(Ok(())) => heard.borrow().map(|(word, _)| word),
            _ => None,
        }
    }
}

fn believed(heard: Heard, broken: &Broken) -> Result<Word, String> {
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
                        say.send_replace(Some((word, Instant::now())));
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

    #[test]
    fn a_word_is_believed_for_a_while_and_longer_while_no_manager_could_tell() {
        let disk = DiskSpace { free_bytes: 1, total_bytes: 2, free_inodes: 1, total_inodes: 2 };
        let word = Word { disk, swap_bytes: 0, users: Users::Remapped, cgroup: Cgroup::V1 };
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
}
