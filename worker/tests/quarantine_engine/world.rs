//! A registry and a database of the test's own, and the quarantine on them.

use std::{
    fs,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use portcall_shared::{
    domain::{
        image::{Digest, ImageRef, RegistryHost},
        submission::Pinned,
        verdict::Fault,
    },
    registry::{ImageLimits, Registry, push::OwnRegistry},
    store::Store,
};
use portcall_worker::{
    quarantine::{CopyLimits, Quarantine},
    settings::QuarantineSettings,
};
use tokio::time::Instant;

use crate::{image::Image, source::Source};

pub(crate) const MIB: u64 = 1024 * 1024;
/// Longer than anything takes here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) quarantine: Quarantine,
    pub(crate) own: OwnRegistry,
    pub(crate) store: Store,
    pub(crate) source: Source,
    host: RegistryHost,
    budget: u64,
    registry: Child,
    dir: PathBuf,
}

pub(crate) fn limits() -> CopyLimits {
    let image =
        ImageLimits { max_bytes: 64 * MIB, max_layers: 64, architecture: "amd64".to_owned() };
    CopyLimits::of(image, 128 * MIB)
}

impl World {
    pub(crate) async fn open() -> Self {
        Self::with(1024 * MIB, Duration::from_secs(3600)).await
    }

    /// With so many bytes of room, where what was used within `recent` stays.
    pub(crate) async fn with(budget: u64, recent: Duration) -> Self {
        portcall_shared::tls::install_provider();
        let name = format!("q-{}", uuid::Uuid::new_v4().simple());
        let dir = std::env::temp_dir().join(format!("portcall-{name}"));
        fs::create_dir_all(&dir).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test is told so where its server is")]
        let uri = std::env::var("PORTCALL_TEST_MONGODB_URI");
        let uri = uri.expect("PORTCALL_TEST_MONGODB_URI names a MongoDB replica set");
        let store = Store::open(&uri, &name[..30], "quarantine tests").await.unwrap();
        store.migrate().await.unwrap();
        let (registry, host) = serve(&dir).await;
        let own = OwnRegistry::new(&host, "strangers", &[]);
        let settings = QuarantineSettings { host: host.clone(), budget, unpacked: 2048 * MIB };
        let source = Registry::new(Vec::new());
        let quarantine = Quarantine::keeping(&settings, &[], source, store.clone(), recent);
        let source = Source::open().await;
        Self { quarantine, own, store, source, host, budget, registry, dir }
    }

    /// The quarantine as another process sees it.
    pub(crate) fn another(&self) -> Quarantine {
        let (host, budget) = (self.host.clone(), self.budget);
        let settings = QuarantineSettings { host, budget, unpacked: 2048 * MIB };
        let source = Registry::new(Vec::new());
        Quarantine::new(&settings, &[], source, self.store.clone())
    }

    pub(crate) async fn admit(&self, image: &Image) -> Result<String, Fault> {
        self.admit_within(image, &limits()).await
    }

    pub(crate) async fn admit_within(
        &self,
        image: &Image,
        limits: &CopyLimits,
    ) -> Result<String, Fault> {
        let by = Instant::now() + PATIENCE;
        let (name, pinned) = named(&self.source, image);
        self.quarantine.admit(&name, &pinned, limits, by).await
    }

    /// Whether everything of an image is there.
    pub(crate) async fn holds(&self, image: &Image) -> bool {
        let mut all = self.own.has_manifest(&image.digest()).await.unwrap();
        for blob in blobs(image) {
            all &= self.own.has_blob(&blob).await.unwrap();
        }
        all
    }

    /// Fails if anything of an image is there, or any upload.
    pub(crate) async fn holds_nothing_of(&self, image: &Image) {
        assert!(!self.own.has_manifest(&image.digest()).await.unwrap(), "its manifest is there");
        for blob in blobs(image) {
            assert!(!self.own.has_blob(&blob).await.unwrap(), "{blob} is there");
        }
        self.no_uploads();
    }

    /// Fails if anything of an upload is left. (The registry keeps a note of a cancelled one,
    /// without data, until the sweep.)
    pub(crate) fn no_uploads(&self) {
        let mut left = self.uploads();
        left.retain(|upload| upload.join("data").exists());
        assert!(left.is_empty(), "uploads are left: {left:?}");
    }

    /// The folders of uploads.
    pub(crate) fn uploads(&self) -> Vec<PathBuf> {
        let uploads = self.files().join("repositories/strangers/_uploads");
        let found = fs::read_dir(uploads).into_iter().flatten().flatten();
        found.map(|upload| upload.path()).collect()
    }

    pub(crate) fn files(&self) -> PathBuf {
        self.dir.join("docker/registry/v2")
    }

    /// The registry's note that it has a blob in the repository.
    pub(crate) fn link(&self, blob: &Digest) -> PathBuf {
        let hex = blob.as_str().trim_start_matches("sha256:");
        self.files().join("repositories/strangers/_layers/sha256").join(hex).join("link")
    }

    /// Whether a blob's bytes are on the disk.
    pub(crate) fn has_bytes(&self, blob: &Digest) -> bool {
        let hex = blob.as_str().trim_start_matches("sha256:");
        self.files().join("blobs/sha256").join(&hex[..2]).join(hex).join("data").exists()
    }

    /// Runs the script that gives disk back.
    pub(crate) async fn sweep(&self) {
        let script = checkout().join("infra/quarantine/sweep");
        let mut sweep = Command::new(script);
        sweep.env("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", &self.dir);
        let swept = tokio::task::spawn_blocking(move || sweep.output()).await.unwrap().unwrap();
        assert!(swept.status.success(), "{}", String::from_utf8_lossy(&swept.stderr));
    }

    /// Ends the registry as a crash would.
    pub(crate) fn crash(&mut self) {
        self.registry.kill().unwrap();
        self.registry.wait().unwrap();
    }

    pub(crate) async fn end(self) {
        self.store.drop_database().await.unwrap();
        self.store.close(Duration::from_secs(5)).await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.registry.kill();
        let _ = self.registry.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The name of an image at a source, pinned.
pub(crate) fn named(source: &Source, image: &Image) -> (ImageRef, Pinned) {
    let pinned = Pinned {
        digest: image.digest(),
        platform: "linux/amd64".to_owned(),
        size: image.layers.iter().map(|layer| layer.size).sum(),
        layers: u32::try_from(image.layers.len()).unwrap(),
    };
    (format!("{}/u/app:1", source.host).parse().unwrap(), pinned)
}

fn blobs(image: &Image) -> Vec<Digest> {
    let layers = image.layers.iter().map(|layer| layer.digest());
    layers.chain([image.config_digest()]).collect()
}

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// What an image takes of the registry's disk, in bytes.
pub(crate) fn bytes(image: &Image) -> u64 {
    image.layers.iter().map(|layer| layer.size).sum::<u64>() + image.config.len() as u64
}

/// Starts a registry on a port of its own; it dies with the test.
async fn serve(dir: &Path) -> (Child, RegistryHost) {
    for _ in 0..5 {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut registry = Command::new("docker-registry")
            .arg("serve")
            .arg(checkout().join("infra/quarantine/config.yml"))
            .env("REGISTRY_HTTP_ADDR", free.to_string())
            .env("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.join("log")).unwrap())
            .process_group(0)
            .spawn()
            .expect("docker-registry is on the path");
        let host: RegistryHost = free.to_string().parse().unwrap();
        let own = OwnRegistry::new(&host, "strangers", &[]);
        let nobody = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
        for _ in 0..300 {
            if own.has_blob(&nobody).await.is_ok_and(|there| !there) {
                return (registry, host);
            }
            if registry.try_wait().unwrap().is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let _ = registry.kill();
        let _ = registry.wait();
    }
    panic!("no registry: {}", fs::read_to_string(dir.join("log")).unwrap());
}
