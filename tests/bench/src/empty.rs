//! Servers of the bench's own on runtimes of their own, as processes beside it would have: an empty
//! route behind the api's own listener, and a registry that has one image and answers at once.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result, anyhow};
use axum::{
    Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use http::{StatusCode, header};
use portcall_api::{
    listen::{self, Side, Way},
    settings::Settings,
};
use portcall_shared::{settings::Reader, shutdown::Stop};
use portcall_tests::image::{MANIFEST_TYPE, Recipe, digest};
use tokio::{net::TcpListener, sync::oneshot};

/// A server that ends with this.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

/// What a registry with one image answers.
#[derive(Clone, Debug)]
struct Shelf {
    manifest: Bytes,
    digest: String,
    blobs: BTreeMap<String, Bytes>,
}

/// The settings that an api has by itself, with room for everybody who measures.
fn settings() -> Result<Settings> {
    let given = [
        ("PORTCALL_MONGODB_URI", "mongodb://127.0.0.1:1/"),
        ("PORTCALL_API_ADDR", "127.0.0.1:1"),
        ("PORTCALL_API_OPS_ADDR", "127.0.0.1:2"),
        ("PORTCALL_PUBLIC_URL", "http://127.0.0.1:1"),
        ("PORTCALL_API_CONNECTIONS_PER_ADDRESS", "1000000"),
    ];
    let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(Settings::read(Reader::from_map(given.into()))?.0)
}

impl Server {
    /// One that answers `GET /` with nothing, behind the api's own listener with its settings.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn empty() -> Result<Self> {
        Self::start(Router::new().route("/", get(async || StatusCode::OK))).await
    }

    /// A registry with this image, under any name and tag; what it lacks are the layers.
    ///
    /// # Errors
    /// When it cannot listen, or the image cannot be packed.
    pub async fn registry(recipe: &Recipe) -> Result<Self> {
        let packed = recipe.pack()?;
        let mut blobs = BTreeMap::new();
        for blob in &packed.blobs {
            blobs.insert(blob.digest.clone(), Bytes::from(blob.read().await?));
        }
        let shelf =
            Shelf { digest: digest(&packed.manifest), manifest: packed.manifest.into(), blobs };
        let routes = Router::new()
            .route("/v2/", get(async || StatusCode::OK))
            .route("/v2/{name}/manifests/{tag}", get(manifest))
            .route("/v2/{name}/blobs/{digest}", get(blob));
        Self::start(routes.with_state(shelf)).await
    }

    async fn start(router: Router) -> Result<Self> {
        let (settings, stop) = (settings()?, Stop::default());
        let (tell, told) = oneshot::channel();
        let closing = stop.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            let served = runtime.map(|runtime| {
                runtime.block_on(async {
                    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                    // Whoever started it waits for this.
                    let _ = tell.send(listener.local_addr()?);
                    let way = Way::new(Side::Public { router, tls: None }, &settings, closing);
                    listen::serve(listener, way).await;
                    anyhow::Ok(())
                })
            });
            drop(served);
        });
        let address = told.await.map_err(|_| anyhow!("it does not listen"))?;
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// Ends it, once nobody is connected any more.
    ///
    /// # Errors
    /// When it ended in a panic.
    pub async fn end(mut self) -> Result<()> {
        self.stop.closing.cancel();
        let thread = self.thread.take().context("it ends once")?;
        let ended = tokio::task::spawn_blocking(move || thread.join()).await?;
        ended.map_err(|_| anyhow!("a server ended in a panic"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.closing.cancel();
    }
}

async fn manifest(State(shelf): State<Shelf>) -> Response {
    let headers = [
        (header::CONTENT_TYPE.as_str(), MANIFEST_TYPE.to_owned()),
        ("docker-content-digest", shelf.digest.clone()),
    ];
    (headers, shelf.manifest).into_response()
}

async fn blob(State(shelf): State<Shelf>, Path((_, digest)): Path<(String, String)>) -> Response {
    match shelf.blobs.get(&digest) {
        Some(bytes) => bytes.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
