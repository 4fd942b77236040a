//! What an engine says while it pulls an image: lines of JSON, cut anywhere into chunks; or a
//! refusal; or what it says of the image afterwards. The words in it come from registries and
//! images, so from strangers.
//!
//! The fleet is the real one, and asks an engine that stands in this process on a socket.

use std::{
    cell::RefCell,
    fs, process,
    rc::Rc,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use portcall_shared::domain::ids::WorkerId;
use portcall_worker::fleet::{
    Came, EngineSettings, Fleet, FleetError, Images, LabelKey, NodeSettings, PullFailure, Pulled,
    SubnetPool,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    runtime::{Builder, Runtime},
    task::LocalSet,
};

use crate::property::is_a_sentence;

const IMAGE: &str =
    "r.test/u/app@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// Far more than anything here takes: nothing may wait for it.
const LIMIT: Duration = Duration::from_secs(30);
/// The most characters of an engine's words that are kept, with the sign that some were cut.
const KEPT: usize = 401;

static ENGINE: LazyLock<Mutex<Engine>> = LazyLock::new(|| Mutex::new(Engine::new()));

/// What the engine in this process answers.
#[derive(Default)]
struct Script {
    /// The status of the answer to the pull, and its body in chunks.
    pull: (u16, Vec<Vec<u8>>),
    /// What it says of the image once it was pulled; else, that it is there.
    image: Option<Vec<u8>>,
    pulled: bool,
}

struct Engine {
    runtime: Runtime,
    fleet: Fleet,
    listener: UnixListener,
}

/// Every pull ends, in an image that is there or in a failure with an owner; an error in the
/// stream is never overlooked; what is kept of an engine's words is one short line.
pub fn check(input: &[u8]) {
    let [kind, cuts, words @ ..] = input else { return };
    let whole = || vec![words.to_vec()];
    let script = match kind % 4 {
        0 | 1 => Script { pull: (200, chunks(words, *cuts)), ..Script::default() },
        2 => Script {
            pull: ([404, 500, 403, 429][usize::from(cuts % 4)], whole()),
            ..Script::default()
        },
        _ => Script { image: Some(words.to_vec()), ..Script::default() },
    };
    let streamed = matches!(script.pull, (200, _));
    let engine = ENGINE.lock().unwrap_or_else(PoisonError::into_inner);
    let outcome = engine.pull(script);
    match outcome.as_ref().map(|pulled| pulled.came) {
        Ok(Came::Fetched) => {
            assert!(kind % 4 != 2, "a refusal was taken for an image");
            assert!(
                !(streamed && kind % 4 < 2 && tells_an_error(words)),
                "an error was overlooked"
            );
        }
        Ok(Came::AlreadyThere) => panic!("it was not there before"),
        Ok(Came::WhenStarted) => panic!("an engine fetches it at once"),
        Err(PullFailure::Slow { .. }) => panic!("it hangs"),
        Err(failure) => said(failure),
    }
}

/// Whether every line is an object as engines write them, and one of them is an error.
fn tells_an_error(words: &[u8]) -> bool {
    let lines = words.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let lines: Vec<Option<Value>> = lines.map(|line| serde_json::from_slice(line).ok()).collect();
    let error = |line: &Value| line["errorDetail"]["message"].is_string();
    lines.iter().all(|line| line.as_ref().is_some_and(Value::is_object))
        && lines.iter().flatten().any(error)
}

fn said(failure: &PullFailure) {
    is_a_sentence(&failure.to_string());
    let words = match failure {
        PullFailure::NotFound { detail }
        | PullFailure::Denied { detail }
        | PullFailure::Broken { detail }
        | PullFailure::WrongPlatform { detail }
        | PullFailure::Limited { detail }
        | PullFailure::RegistryDown { detail }
        | PullFailure::Engine(
            FleetError::Unreachable { detail, .. } | FleetError::Answer { detail, .. },
        ) => detail,
        PullFailure::Engine(FleetError::Refused { message, .. }) => message,
        PullFailure::Slow { .. } | PullFailure::Engine(_) => return,
    };
    assert!(words.chars().count() <= KEPT, "{} characters are kept", words.chars().count());
}

/// Cuts words into two to nine pieces of about the same length; with no cuts, one.
fn chunks(words: &[u8], cuts: u8) -> Vec<Vec<u8>> {
    let size = words.len() / (usize::from(cuts % 9) + 1) + 1;
    words.chunks(size).map(<[u8]>::to_vec).collect()
}

impl Engine {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let path = std::env::temp_dir().join(format!("fuzz-engine-{}.sock", process::id()));
        drop(fs::remove_file(&path));
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(&path).expect("a socket")
        };
        let settings = EngineSettings {
            host: format!("unix://{}", path.display()),
            certs: None,
            worker: WorkerId::new(),
            key: LabelKey([7; 32]),
            prober: "/nonexistent".into(),
            canary: "/nonexistent".into(),
            pool: SubnetPool::default(),
            node: NodeSettings::default(),
            images: Images::Pinned,
        };
        Self { runtime, fleet: Fleet::engine(settings).expect("an address"), listener }
    }

    fn pull(&self, script: Script) -> Result<Pulled, PullFailure> {
        let script = Rc::new(RefCell::new(script));
        let accept = async {
            loop {
                let (stream, _) = self.listener.accept().await.expect("a connection");
                tokio::task::spawn_local(answer(stream, Rc::clone(&script)));
            }
        };
        let asked = async {
            tokio::select! {
                outcome = self.fleet.pull(IMAGE, LIMIT) => outcome,
                () = accept => unreachable!("it accepts for ever"),
            }
        };
        LocalSet::new().block_on(&self.runtime, asked)
    }
}

/// Answers one request, and closes. A client that has gone away is no fault of the engine's.
async fn answer(mut stream: UnixStream, script: Rc<RefCell<Script>>) {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    let (status, body) = script.borrow_mut().answer(&request);
    let mut answer = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for chunk in body.iter().filter(|chunk| !chunk.is_empty()) {
        answer.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        answer.extend_from_slice(chunk);
        answer.extend_from_slice(b"\r\n");
        // A write of its own for each chunk, so that each is a read of its own.
        if stream.write_all(&answer).await.is_err() {
            return;
        }
        answer.clear();
        tokio::task::yield_now().await;
    }
    answer.extend_from_slice(b"0\r\n\r\n");
    drop(stream.write_all(&answer).await);
}

impl Script {
    fn answer(&mut self, request: &[u8]) -> (u16, Vec<Vec<u8>>) {
        let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let json = |value: Value| vec![value.to_string().into_bytes()];
        if line.contains("/images/create") {
            self.pulled = true;
            return (self.pull.0.max(200), std::mem::take(&mut self.pull.1));
        }
        if line.contains("/images/") && !self.pulled {
            return (404, json(json!({ "message": "No such image" })));
        }
        let said = if line.contains("/images/") {
            match self.image.clone() {
                Some(words) => return (200, vec![words]),
                None => json!({ "Id": "sha256:00", "Os": "linux", "Architecture": "amd64" }),
            }
        } else if line.contains("/version") {
            json!({ "Version": "20.10.24", "ApiVersion": "1.41", "Os": "linux", "Arch": "amd64" })
        } else {
            json!({ "NCPU": 2, "MemTotal": 1 << 30, "CgroupVersion": "2", "DefaultRuntime": "runc",
                "MemoryLimit": true, "SwapLimit": true, "PidsLimit": true, "CpuCfsQuota": true,
                "SecurityOptions": ["name=seccomp,profile=default"] })
        };
        (200, json(said))
    }
}
