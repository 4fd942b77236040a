//! The prober's loop: requests in, observations out.
//!
//! ```text
//!  stdin ── Lines ── one request ──► at most 8 tasks ──► a channel of 8 ──► one writer ── stdout
//!                        └─ ping, refusal ──────────────────┘
//! ```
//!
//! When all tasks are busy, or the worker does not read, nothing more is read: memory is bounded
//! by the lines in flight. An address outside the slot is refused before a socket opens.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    task::JoinSet,
};

use super::{
    address::AddressSet,
    ask::ask,
    knock::knock,
    lines::{Line, Lines},
    path,
    wire::{AT_ONCE, DiskSpace, KNOCK_MS, KNOCK_PORTS, LINE_BYTES, Observation, Request},
};

/// Serves one worker until it closes its end; what is being asked then is still answered.
///
/// # Errors
/// When reading or writing fails, that is when the worker went away.
pub async fn serve<R, W>(reader: R, writer: W, allowed: AddressSet) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (answers, outbox) = mpsc::channel(AT_ONCE);
    tokio::try_join!(read(Lines::new(reader), answers, Arc::new(allowed)), write(writer, outbox))
        .map(|((), ())| ())
}

async fn read<R: AsyncRead + Unpin>(
    mut lines: Lines<R>,
    answers: mpsc::Sender<Observation>,
    allowed: Arc<AddressSet>,
) -> io::Result<()> {
    let mut tasks = JoinSet::new();
    while let Some(line) = lines.next().await? {
        while tasks.try_join_next().is_some() {}
        let request = match understand(&line).and_then(|request| admit(request, &allowed)) {
            Ok(request) => request,
            Err(refusal) => {
                let _ = answers.send(refusal).await;
                continue;
            }
        };
        if let Request::Ping { id } = request {
            let _ = answers.send(Observation::Pong { id }).await;
            continue;
        }
        if tasks.len() >= AT_ONCE {
            tasks.join_next().await;
        }
        let answers = answers.clone();
        tasks.spawn(async move {
            let _ = answers.send(observe(request).await).await;
        });
    }
    while tasks.join_next().await.is_some() {}
    Ok(())
}

async fn write<W: AsyncWrite + Unpin>(
    mut writer: W,
    mut outbox: mpsc::Receiver<Observation>,
) -> io::Result<()> {
    while let Some(observation) = outbox.recv().await {
        let mut line = serde_json::to_vec(&observation)?;
        line.push(b'\n');
        writer.write_all(&line).await?;
        writer.flush().await?;
    }
    writer.shutdown().await
}

async fn observe(request: Request) -> Observation {
    match request {
        Request::Ask(question) => ask(question).await,
        Request::Knock { id, address, ports, within_ms } => {
            let within = Duration::from_millis(within_ms.min(KNOCK_MS));
            Observation::Knocked { id, open: knock(address, &ports, within).await }
        }
        Request::Path { id, address, within_ms } => {
            let within = Duration::from_millis(within_ms.min(KNOCK_MS));
            Observation::Path { id, clear: path::is_clear(address, within).await }
        }
        Request::Ping { id } => Observation::Pong { id },
        Request::Disk { id } => match disk() {
            Ok(space) => Observation::Disk { id, space },
            Err(error) => Observation::Refused { id, detail: format!("the disk: {error}") },
        },
    }
}

/// How full the disk is that holds the prober's own root. An overlay answers for the one that its
/// writable layer lies on, which is the engine's.
pub(super) fn disk() -> io::Result<DiskSpace> {
    let found = rustix::fs::statvfs("/")?;
    Ok(DiskSpace {
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        free_inodes: found.f_favail,
        total_inodes: found.f_files,
    })
}

fn understand(line: &Line) -> Result<Request, Observation> {
    let refused = |detail| Observation::Refused { id: 0, detail };
    match line {
        Line::Whole(line) => serde_json::from_slice(line)
            .map_err(|error| refused(format!("the line is no request: {error}"))),
        Line::TooLong => Err(refused(format!("the line has more than {LINE_BYTES} bytes"))),
    }
}

fn admit(request: Request, allowed: &AddressSet) -> Result<Request, Observation> {
    let (id, address) = match &request {
        Request::Ask(question) => (question.id, question.address.ip()),
        Request::Knock { id, address, ports, .. } => {
            if ports.len() > KNOCK_PORTS {
                let detail = format!("a knock has at most {KNOCK_PORTS} ports");
                return Err(Observation::Refused { id: *id, detail });
            }
            (*id, *address)
        }
        Request::Path { id, address, .. } => (*id, *address),
        Request::Ping { .. } | Request::Disk { .. } => return Ok(request),
    };
    if allowed.allows(address) {
        return Ok(request);
    }
    Err(Observation::Refused { id, detail: format!("{address} is not within {allowed}") })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, BufReader};

    use super::*;

    async fn replies(requests: &str) -> Vec<Observation> {
        let allowed = "127.0.0.0/8".parse::<AddressSet>().unwrap();
        let allowed = allowed.except([127, 0, 0, 1].into());
        let (near, far) = tokio::io::duplex(64);
        let (replies, served) = tokio::join!(
            async {
                let mut lines = BufReader::new(near).lines();
                let mut replies = Vec::new();
                while let Some(line) = lines.next_line().await.unwrap() {
                    replies.push(serde_json::from_str(&line).unwrap());
                }
                replies
            },
            serve(requests.as_bytes(), far, allowed)
        );
        served.unwrap();
        replies
    }

    #[tokio::test]
    async fn a_ping_is_answered_and_the_end_is_the_end() {
        assert_eq!(replies("").await, []);
        assert_eq!(replies("{\"op\":\"ping\",\"id\":3}\n").await, [Observation::Pong { id: 3 }]);
    }

    #[tokio::test]
    async fn the_disk_under_the_root_is_told_as_the_kernel_counts_it() {
        let Observation::Disk { id: 4, space } =
            replies("{\"op\":\"disk\",\"id\":4}\n").await.remove(0)
        else {
            panic!()
        };
        let kernel = rustix::fs::statvfs("/").unwrap();
        assert_eq!(space.total_bytes, kernel.f_blocks * kernel.f_frsize);
        assert_eq!(space.total_inodes, kernel.f_files);
        assert!(space.free_bytes < space.total_bytes, "something is on it");
        assert!(space.free_inodes <= space.total_inodes);
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused_without_an_id() {
        let long = "x".repeat(LINE_BYTES);
        let requests = format!(
            "\n{{}}\n[1]\nnull\n\u{0}\n{long}\n{{\"op\":\"exec\",\"id\":1}}\n{{\"op\":\"ping\",\"id\":9}}\n"
        );
        let replies = replies(&requests).await;
        assert_eq!(replies.len(), 8);
        for reply in &replies[..7] {
            assert!(matches!(reply, Observation::Refused { id: 0, .. }), "{reply:?}");
        }
        assert_eq!(replies[7], Observation::Pong { id: 9 });
    }

    #[tokio::test]
    async fn an_address_outside_the_slot_is_refused() {
        for address in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0"] {
            let requests = format!(
                "{{\"op\":\"ask\",\"id\":1,\"address\":\"{address}:80\",\"host\":\"a\",\"method\":\"GET\",\"path\":\"/\"}}\n\
                 {{\"op\":\"knock\",\"id\":2,\"address\":\"{address}\",\"ports\":[80],\"within_ms\":10}}\n\
                 {{\"op\":\"path\",\"id\":3,\"address\":\"{address}\",\"within_ms\":10}}\n"
            );
            for (reply, id) in replies(&requests).await.iter().zip([1, 2, 3]) {
                let detail = format!("{address} is not within 127.0.0.0/8");
                assert_eq!(*reply, Observation::Refused { id, detail });
            }
        }
    }

    #[tokio::test]
    async fn a_knock_has_a_bounded_number_of_ports() {
        let ports: Vec<u16> = (1..=65).collect();
        let request = format!(
            "{{\"op\":\"knock\",\"id\":2,\"address\":\"127.0.0.2\",\"ports\":{ports:?},\"within_ms\":10}}\n"
        );
        assert!(matches!(replies(&request).await[..], [Observation::Refused { id: 2, .. }]));
    }

    #[tokio::test]
    async fn a_worker_that_went_away_is_an_error() {
        let (mut requests, reader) = tokio::io::duplex(64);
        let (replies, writer) = tokio::io::duplex(64);
        requests.write_all(b"{\"op\":\"ping\",\"id\":3}\n").await.unwrap();
        drop(replies);
        let allowed = "127.0.0.0/8".parse().unwrap();
        assert!(serve(reader, writer, allowed).await.is_err(), "though requests may still come");
    }
}
