//! Somebody who looks at an engine all the time, so that it is known what was there when.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Result;
use bollard::Docker;
use futures::future::join_all;
use tokio::task::JoinHandle;

use super::{dump, evidence::Look, history::History};

/// Between two looks.
pub const EVERY: Duration = Duration::from_secs(1);

/// Looks at an engine until it is dropped.
#[derive(Debug)]
pub struct Looker {
    looks: Arc<Mutex<Vec<Look>>>,
    task: JoinHandle<()>,
}

impl Looker {
    /// Begins to look at the engine at that address.
    ///
    /// # Errors
    /// When that is no address.
    pub fn begin(host: &str, history: History) -> Result<Self> {
        Self::begin_at(&[host.to_owned()], history)
    }

    /// The same of several: what those have that answer is one look.
    ///
    /// # Errors
    /// When one of them is no address.
    pub fn begin_at(hosts: &[String], history: History) -> Result<Self> {
        let connected = hosts.iter().map(|host| Docker::connect_with_host(host));
        let engines: Vec<Docker> = connected.collect::<Result<_, _>>()?;
        let looks = Arc::<Mutex<Vec<Look>>>::default();
        let taken = Arc::clone(&looks);
        let task = tokio::spawn(async move {
            loop {
                // Begun before it is asked: what is there was there then, or came since.
                let at = history.now();
                let (mut objects, mut answered) = (Vec::new(), false);
                for found in join_all(engines.iter().map(dump::objects)).await.into_iter().flatten()
                {
                    answered = true;
                    objects.extend(found);
                }
                if answered {
                    taken.lock().unwrap_or_else(PoisonError::into_inner).push(Look { at, objects });
                }
                tokio::time::sleep(EVERY).await;
            }
        });
        Ok(Self { looks, task })
    }

    /// What was seen so far.
    #[must_use]
    pub fn looks(&self) -> Vec<Look> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether something of that worker's was there at the last look.
    #[must_use]
    pub fn sees(&self, worker: &str) -> bool {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.last().is_some_and(|look| look.objects.iter().any(|one| one.worker == worker))
    }
}

impl Drop for Looker {
    fn drop(&mut self) {
        self.task.abort();
    }
}
