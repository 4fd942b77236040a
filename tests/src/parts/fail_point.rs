//! What a `mongod` is told to do wrong: the server's own fail point `failCommand`.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use bson::{Bson, Document, doc};

use super::mongo::ask;

const FAIL_COMMAND: &str = "failCommand";

/// What happens to commands.
#[derive(Clone, Debug)]
pub struct FailPoint {
    commands: Vec<&'static str>,
    data: Document,
    mode: Bson,
}

/// What goes wrong with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It is refused with this code.
    Code(i32),
    /// It is done, and the server does not know whether a majority has it: with this code.
    Unconfirmed(i32),
    /// The connection is closed before it is done.
    Closed,
    /// It is begun after so long.
    Late(Duration),
}

impl FailPoint {
    /// Of these commands, each time.
    #[must_use]
    pub fn on(commands: &[&'static str], wrong: Wrong) -> Self {
        let data = match wrong {
            Wrong::Code(code) => doc! { "errorCode": code },
            Wrong::Unconfirmed(code) => {
                doc! { "writeConcernError": { "code": code, "errmsg": "a test's own" } }
            }
            Wrong::Closed => doc! { "closeConnection": true },
            Wrong::Late(by) => {
                let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
                doc! { "blockConnection": true, "blockTimeMS": ms }
            }
        };
        Self { commands: commands.to_vec(), data, mode: "alwaysOn".into() }
    }

    /// So often.
    #[must_use]
    pub fn times(self, times: i32) -> Self {
        Self { mode: doc! { "times": times }.into(), ..self }
    }

    /// By chance, with this probability.
    #[must_use]
    pub fn sometimes(self, probability: f64) -> Self {
        Self { mode: doc! { "activationProbability": probability }.into(), ..self }
    }

    /// Only those of clients that call themselves so.
    #[must_use]
    pub fn of(mut self, app: &str) -> Self {
        self.data.insert("appName", app);
        self
    }

    /// Only those on this collection, `database.collection`.
    #[must_use]
    pub fn at(mut self, namespace: &str) -> Self {
        self.data.insert("namespace", namespace);
        self
    }

    /// From now on, at this member.
    ///
    /// # Errors
    /// When the member does not answer or was not started for tests.
    pub async fn arm(&self, member: SocketAddr) -> Result<()> {
        let mut data = self.data.clone();
        data.insert("failCommands", self.commands.clone());
        let command =
            doc! { "configureFailPoint": FAIL_COMMAND, "mode": self.mode.clone(), "data": data };
        ask(member, command).await.map(drop)
    }
}

/// All is well again at a member; how often its fail point was met since it started.
///
/// # Errors
/// When the member does not answer.
pub async fn disarm(member: SocketAddr) -> Result<i64> {
    let answer = ask(member, doc! { "configureFailPoint": FAIL_COMMAND, "mode": "off" }).await?;
    Ok(match answer.get("count") {
        Some(Bson::Int32(count)) => i64::from(*count),
        Some(Bson::Int64(count)) => *count,
        _ => 0,
    })
}
