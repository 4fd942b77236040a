//! The operator's command: it makes and removes machines; what is wanted it reads in its environment.
//!
//! | variable | what it says |
//! | --- | --- |
//! | `SCALER_WANTED` | how many grader nodes there are to be, those counted that are not drained yet |
//! | `SCALER_PRESENT` | how many there are now: the difference is how many are to be made |
//! | `SCALER_REMOVE` | names of nodes that nothing runs on and that may go, with spaces between them |
//! | `SCALER_REASON` | why, in a few words |
//!
//! Only plain host names come to `SCALER_REMOVE`, each of one word: a node says itself what it is called,
//! and one that was taken over may say what a shell or another machine would answer to.
//!
//! It removes nothing but what `SCALER_REMOVE` names: a node that is not seen for a while is not
//! counted, and a command that only made the number true would take one away that works.
//!
//! It is never run twice at the same time, has a time limit, and is run again when it fails, with
//! growing pauses. It is ended with all that it started.

use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};

use portcall_shared::{domain::host_name::HostName, retry::Policy};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// After a failure.
pub(crate) const AGAIN: Policy =
    Policy { first: Duration::from_secs(5), longest: Duration::from_secs(300), give_up: None };

/// What the command is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// How many nodes there are to be.
    pub(crate) wanted: u32,
    /// How many there are.
    pub(crate) present: u32,
    /// Which of them may go.
    pub(crate) remove: Vec<HostName>,
    /// Why.
    pub(crate) reason: String,
}

impl Call {
    /// The names of those that may go, with spaces between them.
    pub(crate) fn removes(&self) -> String {
        self.remove.iter().map(HostName::as_str).collect::<Vec<_>>().join(" ")
    }

    /// Whether there is anything to do for it.
    pub(crate) fn is_due(&self) -> bool {
        self.wanted > self.present || !self.remove.is_empty()
    }

    /// Whether it would ask for the same.
    pub(crate) fn asks_as(&self, other: &Self) -> bool {
        (self.wanted, &self.remove) == (other.wanted, &other.remove)
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HookError {
    /// The shell could not be started.
    #[error("the hook cannot be started: {0}")]
    Start(#[source] std::io::Error),
    /// It ended badly.
    #[error("the hook failed: {0}")]
    Failed(ExitStatus),
    /// It took too long.
    #[error("the hook did not end within {} s and was ended", .0.as_secs())]
    TooSlow(Duration),
}

/// Runs the command once. What it prints goes to our stderr.
pub(crate) async fn run(command: &str, call: &Call, limit: Duration) -> Result<(), HookError> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("SCALER_WANTED", call.wanted.to_string())
        .env("SCALER_PRESENT", call.present.to_string())
        .env("SCALER_REMOVE", call.removes())
        .env("SCALER_REASON", &call.reason)
        .stdin(Stdio::null())
        .stdout(Stdio::from(std::io::stderr()))
        .process_group(0)
        .spawn()
        .map_err(HookError::Start)?;
    let ended = tokio::time::timeout(limit, child.wait()).await;
    let result = match ended {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(HookError::Failed(status)),
        Ok(Err(error)) => Err(HookError::Start(error)),
        Err(_) => Err(HookError::TooSlow(limit)),
    };
    if matches!(result, Err(HookError::TooSlow(_))) {
        end(&mut child).await;
    }
    result
}

/// Ends the command with all that it started.
async fn end(child: &mut Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(group) = pid
        && let Err(error) = kill_process_group(group, Signal::KILL)
    {
        tracing::warn!(%error, "cannot end the hook");
    }
    if let Err(error) = child.wait().await {
        tracing::warn!(%error, "the hook's end is not known");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(wanted: u32, remove: &[&str]) -> Call {
        let remove = remove.iter().map(|name| name.parse().unwrap()).collect();
        Call { wanted, present: 2, remove, reason: "a test's".to_owned() }
    }

    #[test]
    fn it_is_due_for_more_and_for_what_may_go() {
        for (wanted, remove, due) in
            [(3, vec![], true), (2, vec![], false), (1, vec![], false), (1, vec!["n2"], true)]
        {
            assert_eq!(call(wanted, &remove).is_due(), due, "{wanted} {remove:?}");
        }
    }

    #[tokio::test]
    async fn it_is_told_what_is_wanted_and_its_end_is_told() {
        let told = r#"[ "$SCALER_WANTED $SCALER_PRESENT $SCALER_REMOVE $SCALER_REASON" = \
                      "1 2 n2 n3 a test's" ]"#;
        let limit = Duration::from_secs(30);
        run(told, &call(1, &["n2", "n3"]), limit).await.unwrap();
        assert!(run(told, &call(1, &["n2"]), limit).await.is_err(), "the test can fail");
        let failed = run("exit 3", &call(3, &[]), limit).await.unwrap_err();
        assert_eq!(failed.to_string(), "the hook failed: exit status: 3");
    }

    #[tokio::test]
    async fn one_that_hangs_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let command = format!("sleep 1000 & echo $! >{}; wait", pid.display());
        let mut number = None;
        // A machine that is busy may not have begun it within the first limit.
        for limit in [500, 5_000, 30_000].map(Duration::from_millis) {
            let error = run(&command, &call(3, &[]), limit).await.unwrap_err();
            assert!(matches!(error, HookError::TooSlow(_)), "{error}");
            let written = std::fs::read_to_string(&pid).unwrap_or_default();
            number = written.trim().parse::<u32>().ok();
            if number.is_some() {
                break;
            }
        }
        let status = format!("/proc/{}/stat", number.expect("it was begun"));
        // Its parent is gone: whoever takes it over may not have looked at it yet.
        let runs = || {
            let stat = std::fs::read_to_string(&status).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z")
        };
        for _ in 0..500 {
            if !runs() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it still runs");
    }
}
