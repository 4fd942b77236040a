//! The anchor: our process on the strangers' side of a slot whose prober is on another machine. As
//! long as it runs, the engine there keeps the slot's network; and once a second it says how the
//! machine is, which is also how it is seen to be there.
//!
//! It opens no port and reads nothing that is sent. Its lines go to its output, which the worker
//! follows; they are bounded where they are read, since strangers run beside it.

use std::{io, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::{MissedTickBehavior, interval},
};

use super::wire::DiskSpace;

/// Between two lines.
pub const EVERY: Duration = Duration::from_secs(1);
/// The longest line, in bytes.
pub const LINE_BYTES: usize = 512;

/// What an anchor says of its machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// How full the disk is that holds the engine's data.
    pub disk: DiskSpace,
    /// How much the machine may swap out, in bytes.
    pub swap_bytes: u64,
    /// Whose ids containers have.
    pub users: Users,
    /// Which cgroup interface there is.
    pub cgroup: Cgroup,
}

/// Whose user ids containers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Users {
    /// The machine's: root inside is root outside.
    Initial,
    /// Others: root inside is nobody outside.
    Remapped,
}

/// Which interface the kernel limits resources by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cgroup {
    /// Version 1, or the hybrid of both.
    V1,
    /// Version 2.
    V2,
}

impl Word {
    fn now() -> io::Result<Self> {
        let mapped = std::fs::read_to_string("/proc/self/uid_map")?;
        let unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        Ok(Self {
            disk: super::serve::disk()?,
            swap_bytes: swap(&std::fs::read_to_string("/proc/meminfo")?),
            users: users(&mapped),
            cgroup: if unified { Cgroup::V2 } else { Cgroup::V1 },
        })
    }
}

/// `SwapTotal:  2097148 kB`; where the kernel does not say, there may be some.
fn swap(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("SwapTotal:"));
    let kib = total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(u64::MAX, |kib| kib.saturating_mul(1024))
}

/// Every id stands for itself where the whole range begins at 0 on both sides.
fn users(mapped: &str) -> Users {
    let mut numbers = mapped.split_whitespace();
    let identity = ["0", "0", "4294967295"].iter().all(|want| numbers.next() == Some(want));
    if identity { Users::Initial } else { Users::Remapped }
}

/// Speaks until nobody takes it any more.
///
/// # Errors
/// When the machine cannot be looked at, or the output is closed.
pub async fn stay<W: AsyncWrite + Unpin>(mut writer: W) -> io::Result<()> {
    let mut beat = interval(EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let mut line = serde_json::to_vec(&Word::now()?)?;
        line.push(b'\n');
        writer.write_all(&line).await?;
        writer.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, BufReader};

    use super::*;

    #[tokio::test]
    async fn it_says_how_the_machine_is_until_nobody_listens() {
        let (near, far) = tokio::io::duplex(64);
        let staying = tokio::spawn(stay(far));
        let mut lines = BufReader::new(near).lines();
        for _ in 0..2 {
            let line = lines.next_line().await.unwrap().unwrap();
            assert!(line.len() < LINE_BYTES, "{line}");
            let word: Word = serde_json::from_str(&line).unwrap();
            let kernel = rustix::fs::statvfs("/").unwrap();
            assert_eq!(word.disk.total_bytes, kernel.f_blocks * kernel.f_frsize);
        }
        drop(lines);
        assert!(staying.await.unwrap().is_err());
    }

    #[test]
    fn swap_is_what_the_kernel_counts_and_not_denied_where_it_does_not() {
        assert_eq!(swap("MemTotal: 8 kB\nSwapTotal:       0 kB\nSwapFree: 1 kB\n"), 0);
        assert_eq!(swap("SwapTotal:    2097148 kB\n"), 2_097_148 * 1024);
        assert_eq!(swap("MemTotal: 8 kB\n"), u64::MAX);
    }

    #[test]
    fn users_are_the_machines_only_where_every_id_is_itself() {
        assert_eq!(users("         0          0 4294967295\n"), Users::Initial);
        assert_eq!(users("         0     100000      65536\n"), Users::Remapped);
        assert_eq!(users("         0          0          1\n"), Users::Remapped);
        assert_eq!(users(""), Users::Remapped);
    }
}
