//! From a verdict to the pin on a map that is open: what a reader of the event's stream hears, beside what
//! a bare change stream hears of the same write.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bson::{Document, Uuid};
use futures::StreamExt as _;
use portcall_shared::{
    domain::{
        evidence::Evidence,
        ids::{SubmissionId, WorkerId},
        state::Pass,
    },
    store::{
        Store,
        queue::{Claimant, Lease, Queue as _, Record, Settlement, Write},
        submissions::{NewSubmission, Taken},
    },
};
use portcall_tests::{
    Event,
    parts::{apis::Apis, mongo},
};
use time::OffsetDateTime;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::{sleep, timeout},
};

use crate::{
    rounds::Pairs,
    stock::{EVENT, driver, submission},
};

/// Until something is heard that should be heard at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two verdicts: more than twenty within 200 ms are not told one by one.
const BETWEEN: Duration = Duration::from_millis(20);

/// A page that has the map open.
#[derive(Debug)]
pub struct OpenMap {
    lines: Lines<BufReader<OwnedReadHalf>>,
    /// The stream ends with it.
    _asking: OwnedWriteHalf,
}

impl OpenMap {
    /// Opens the event's stream, and reads its greeting.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn at(address: std::net::SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (reading, mut asking) = stream.into_split();
        let request = format!(
            "GET /api/v1/events/{EVENT}/live HTTP/1.1\r\nhost: {address}\r\n\
             accept: text/event-stream\r\n\r\n"
        );
        asking.write_all(request.as_bytes()).await?;
        let mut map = Self { lines: BufReader::new(reading).lines(), _asking: asking };
        map.hears("event: hello").await?;
        Ok(map)
    }

    /// Reads until a line with these words comes; when that was.
    ///
    /// # Errors
    /// When none does in time.
    pub async fn hears(&mut self, words: &str) -> Result<Instant> {
        let heard = async {
            while let Some(line) = self.lines.next_line().await? {
                if line.contains(words) {
                    return Ok(Instant::now());
                }
            }
            bail!("the stream ended")
        };
        timeout(PATIENCE, heard).await.with_context(|| format!("still not heard: {words}"))?
    }
}

/// Takes a submission in and claims it.
async fn claimed(store: &Store, claimant: &Claimant, n: usize) -> Result<Lease> {
    let new = NewSubmission {
        submission: submission(&format!("Ann {n}"))?,
        secret: "secret".to_owned(),
        idempotency: None,
        schema: 1,
    };
    let Taken::Stored(taken) = store.take(new).await? else { bail!("it was not taken") };
    let one = store.claim(claimant).await?.context("there is nothing to claim")?;
    ensure!(one.id == taken.id, "another one is in the line");
    Ok(Lease { submission: one.id, worker: claimant.id, generation: one.life.generation })
}

fn passed() -> Settlement {
    let record = Record {
        at: OffsetDateTime::now_utc(),
        node: Some("bench".to_owned()),
        grading_ms: 5,
        steps: Vec::new(),
        evidence: Evidence::default(),
    };
    Settlement { pass: Pass::Yes, reason: None, record }
}

/// Milliseconds from each verdict to the pin, and to what a change stream says of it.
///
/// # Errors
/// When a part does not do what it should.
pub(super) async fn pins_on_an_open_map(count: usize) -> Result<Pairs> {
    let uri = mongo::shared().await?;
    let mut apis = Apis::on(&uri, &Event::config(), &[]).await?;
    apis.start().await?;
    let address = apis.all[0].address.context("an api has an address")?;
    let database = apis.database().1.to_owned();
    let store = Store::open(&uri, &database, "portcall-bench").await?;
    let bare = driver(&uri).await?;
    let mut stream = bare.database(&database).collection::<Document>("submissions").watch().await?;
    let mut map = OpenMap::at(address).await?;
    let claimant = Claimant { id: WorkerId::new(), name: "bench".to_owned() };
    let mut pairs = Pairs::default();
    for n in 0..count {
        let lease = claimed(&store, &claimant, n).await?;
        let (id, words, verdict) = (lease.submission, lease.submission.to_string(), passed());
        sleep(BETWEEN).await;
        let began = Instant::now();
        let (written, pin, told) = tokio::join!(
            store.settle(lease, &verdict),
            map.hears(&words),
            timeout(PATIENCE, settled(&mut stream, id)),
        );
        ensure!(written? == Write::Applied, "the verdict was not written");
        let told = told.context("the change stream is silent")??;
        pairs.ours.push((pin? - began).as_secs_f64() * 1000.0);
        pairs.floor.push((told - began).as_secs_f64() * 1000.0);
    }
    drop((map, stream));
    store.close(PATIENCE).await;
    apis.end().await?;
    Ok(pairs)
}

type Changes = mongodb::change_stream::ChangeStream<
    mongodb::change_stream::event::ChangeStreamEvent<Document>,
>;

/// When the change stream tells of the verdict.
async fn settled(changes: &mut Changes, id: SubmissionId) -> Result<Instant> {
    let id = Uuid::from_bytes(*id.uuid().as_bytes());
    while let Some(change) = changes.next().await {
        let change = change?;
        let of_it = change.document_key.is_some_and(|key| key.get("_id") == Some(&id.into()));
        let updated = change.update_description.map(|update| update.updated_fields);
        if of_it && updated.is_some_and(|fields| fields.contains_key("verdict")) {
            return Ok(Instant::now());
        }
    }
    bail!("the change stream ended")
}
