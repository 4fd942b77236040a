//! A MongoDB that goes wrong on demand: by the server's own fail point, or by a line in front of it that
//! breaks after a command was done and before its answer is through.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bson::{Document, doc};
use mongodb::Database;
use portcall_shared::store::{Store, replica_set};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::server::Server;

const DATABASE: &str = "portcall";
/// The store under test calls itself so; nobody else is troubled.
const APP: &str = "troubled";

/// What goes wrong with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is refused with this code.
    Code(i32),
    /// It is done, and the server cannot say whether a majority has it: with this code.
    Unconfirmed(i32),
    /// The connection ends before it is done.
    Closed,
    /// The connection ends after it is done.
    Torn,
    /// It is begun after this many milliseconds.
    Late(i32),
}

pub(crate) struct Troubled {
    server: Server,
    line: Line,
    /// How many commands are to go wrong.
    expected: u32,
    /// How often the fail point was met before.
    met: i64,
    /// The store under test.
    pub(crate) store: Store,
}

impl Troubled {
    pub(crate) async fn start() -> Self {
        let server = Server::start(|_| vec!["--setParameter=enableTestCommands=1".to_owned()]);
        let host = server.address.to_string();
        let uri = format!("mongodb://{host}/?directConnection=true");
        let within = Duration::from_secs(60);
        replica_set::initiate(&uri, &host, within).await.unwrap();
        let line = Line::to(server.address).await;
        let uri = format!("mongodb://{}/?directConnection=true", line.address);
        let store = Store::open(&uri, DATABASE, APP).await.unwrap();
        store.migrate().await.unwrap();
        Self { server, line, expected: 0, met: 0, store }
    }

    /// The troubled way to it.
    pub(crate) fn uri(&self) -> String {
        format!("mongodb://{}/?directConnection=true&appName={APP}", self.line.address)
    }

    /// The database past the store, and past all troubles.
    pub(crate) async fn database(&self) -> Database {
        let uri = format!("mongodb://{}/?directConnection=true", self.server.address);
        mongodb::Client::with_uri_str(uri).await.unwrap().database(DATABASE)
    }

    /// So many of the store's next commands of this name on submissions go wrong.
    pub(crate) async fn begin(&mut self, command: &'static str, trouble: Trouble, times: u32) {
        self.expected = times;
        let mut data = doc! {
            "failCommands": [command],
            "appName": APP,
            "namespace": format!("{DATABASE}.submissions"),
        };
        match trouble {
            Trouble::Torn => return self.line.tear(command, times),
            Trouble::Code(code) => drop(data.insert("errorCode", code)),
            Trouble::Closed => drop(data.insert("closeConnection", true)),
            Trouble::Unconfirmed(code) => {
                let error = doc! { "code": code, "errmsg": "a test's own" };
                data.insert("writeConcernError", error);
            }
            Trouble::Late(ms) => {
                data.extend(doc! { "blockConnection": true, "blockTimeMS": ms });
            }
        }
        let mode = doc! { "times": i64::from(times) };
        let on = doc! { "configureFailPoint": "failCommand", "mode": mode, "data": data };
        self.met = met(&self.admin(on).await);
    }

    /// All is well again; that as many went wrong as were to.
    pub(crate) async fn over(&self, trouble: Trouble) {
        let went_wrong = match trouble {
            Trouble::Torn => self.expected - self.line.left(),
            _ => {
                let off = doc! { "configureFailPoint": "failCommand", "mode": "off" };
                u32::try_from(met(&self.admin(off).await) - self.met).unwrap()
            }
        };
        assert_eq!(went_wrong, self.expected, "{trouble:?}: all that were to go wrong did");
    }

    async fn admin(&self, command: Document) -> Document {
        let uri = format!("mongodb://{}/?directConnection=true", self.server.address);
        let client = mongodb::Client::with_uri_str(uri).await.unwrap();
        client.database("admin").run_command(command).await.unwrap()
    }
}

/// How often a fail point was met since its server started, by the answer to its setting.
fn met(answer: &Document) -> i64 {
    answer.get_i64("count").or_else(|_| answer.get_i32("count").map(i64::from)).unwrap()
}

/// A line to a server.
struct Line {
    address: SocketAddr,
    tears: Arc<Tears>,
}

#[derive(Default)]
struct Tears {
    /// The name of the command as it begins a message.
    command: Mutex<Vec<u8>>,
    left: AtomicU32,
}

impl Line {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, tears) = (listener.local_addr().unwrap(), Arc::<Tears>::default());
        let shared = Arc::clone(&tears);
        tokio::spawn(async move {
            while let Ok((here, _)) = listener.accept().await {
                let Ok(there) = TcpStream::connect(server).await else { continue };
                tokio::spawn(pass(here, there, Arc::clone(&shared)));
            }
        });
        Self { address, tears }
    }

    fn tear(&self, command: &str, times: u32) {
        *self.tears.command.lock().unwrap() = [b"\x02", command.as_bytes(), b"\0"].concat();
        self.tears.left.store(times, Ordering::SeqCst);
    }

    fn left(&self) -> u32 {
        self.tears.left.load(Ordering::SeqCst)
    }
}

impl Tears {
    fn tears(&self, message: &[u8]) -> bool {
        let command = self.command.lock().unwrap();
        let meant = !command.is_empty() && message.windows(command.len()).any(|w| w == *command);
        let one_less = |left: u32| left.checked_sub(1);
        meant && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
    }
}

/// Passes on until an end hangs up, or until an answer comes that is not to get through.
async fn pass(mut here: TcpStream, mut there: TcpStream, tears: Arc<Tears>) {
    let (mut asked, mut answered) = (vec![0; 65536], vec![0; 65536]);
    let mut torn = false;
    loop {
        tokio::select! {
            read = here.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                torn |= tears.tears(&asked[..count]);
                if there.write_all(&asked[..count]).await.is_err() { return }
            }
            read = there.read(&mut answered) => {
                let Ok(count @ 1..) = read else { return };
                if torn || here.write_all(&answered[..count]).await.is_err() { return }
            }
        }
    }
}
