//! The engine does what it is asked and the answer is lost, or the engine goes away for a while.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context, Result};
use portcall_worker::fleet::{FleetError, Profile, SlotHealth};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream, UnixStream},
    task::{JoinHandle, JoinSet},
};

use crate::world::{World, ask, engine_host, fleet_at};

/// Stands before the engine and loses some of its answers.
struct Wire {
    address: SocketAddr,
    /// How many answers to "make a container" are still to be lost.
    to_lose: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl Wire {
    async fn new() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let to_lose = Arc::new(AtomicU32::new(0));
        let task = carry_all(listener, engine_host()?, Arc::clone(&to_lose));
        Ok(Self { address, to_lose, task })
    }

    fn host(&self) -> String {
        format!("tcp://{}", self.address)
    }

    /// Breaks every connection, and refuses new ones.
    async fn cut(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    async fn mend(&mut self) -> Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        self.task = carry_all(listener, engine_host()?, Arc::clone(&self.to_lose));
        Ok(())
    }
}

fn carry_all(listener: TcpListener, engine: String, lose: Arc<AtomicU32>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut carried = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let (engine, lose) = (engine.clone(), Arc::clone(&lose));
            carried.spawn(async move { carry(client, &engine, &lose).await });
        }
    })
}

trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Stream for T {}

async fn carry(mut client: TcpStream, engine: &str, lose: &AtomicU32) -> Result<()> {
    let mut engine: Box<dyn Stream> = match engine.strip_prefix("unix://") {
        Some(path) => Box::new(UnixStream::connect(PathBuf::from(path)).await?),
        None => {
            let (_, address) = engine.split_once("://").context("no scheme")?;
            Box::new(TcpStream::connect(address).await?)
        }
    };
    let mut first = vec![0; 16 * 1024];
    let length = client.read(&mut first).await?;
    engine.write_all(&first[..length]).await?;
    let one_less = |left: u32| left.checked_sub(1);
    if first.starts_with(b"POST /containers/create")
        && lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
    {
        // Until the engine has answered; then the connection breaks.
        let (mut hear, mut say) = tokio::io::split(engine);
        tokio::select! {
            heard = hear.read_u8() => { heard?; }
            sent = tokio::io::copy(&mut client, &mut say) => { sent?; }
        }
        return Ok(());
    }
    copy_bidirectional(&mut client, &mut engine).await?;
    Ok(())
}

#[tokio::test]
async fn a_container_whose_answer_was_lost_is_found_by_its_name() -> Result<()> {
    let world = World::new()?;
    let wire = Wire::new().await?;
    let fleet = fleet_at(&wire.host(), world.worker)?;
    let slot = fleet.open_slot(0).await?;
    let image = world.image(&["serve", "found"]).await?;
    let specs = [world.spec("app", &image, Profile::Ordinary).await?];
    for lost in [1, 2] {
        wire.to_lose.store(lost, Ordering::SeqCst);
        let workload = fleet.start(&slot, &world.owner(), &specs).await?;
        assert_eq!(wire.to_lose.load(Ordering::SeqCst), 0, "{lost} answers were to be lost");
        assert_eq!(ask(&slot, &workload, 0, "/").await?, "found");
        workload.remove().await?;
    }
    fleet.close_slot(slot).await?;
    world.end().await
}

#[tokio::test]
async fn an_engine_that_was_away_is_found_again() -> Result<()> {
    let world = World::new()?;
    let mut wire = Wire::new().await?;
    let fleet = fleet_at(&wire.host(), world.worker)?;
    let slot = fleet.open_slot(0).await?;
    let image = world.image(&["serve", "back"]).await?;
    let specs = [world.spec("app", &image, Profile::Ordinary).await?];
    let workload = fleet.start(&slot, &world.owner(), &specs).await?;
    assert_eq!(ask(&slot, &workload, 0, "/").await?, "back");

    wire.cut().await;
    let failure = fleet.facts().await.unwrap_err();
    assert!(matches!(failure, FleetError::Unreachable { .. }), "{failure:?}");
    let failure = fleet.states(&workload).await.unwrap_err();
    assert!(matches!(failure, FleetError::Unreachable { .. }), "{failure:?}");
    assert!(matches!(fleet.slot_alive(&slot).await, SlotHealth::Lost { .. }));

    wire.mend().await?;
    assert!(fleet.states(&workload).await?[0].is_running());
    workload.remove().await?;
    // Its prober ended with the connection, so the slot is replaced.
    assert!(matches!(fleet.slot_alive(&slot).await, SlotHealth::Lost { .. }));
    fleet.close_slot(slot).await?;
    let slot = fleet.open_slot(0).await?;
    assert_eq!(fleet.slot_alive(&slot).await, SlotHealth::Alive);
    fleet.close_slot(slot).await?;
    world.end().await
}
