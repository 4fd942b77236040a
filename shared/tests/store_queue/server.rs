//! A `mongod` of a test's own: a replica set to be, with nothing in it.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

pub(crate) struct Server {
    mongod: Child,
    pub(crate) address: SocketAddr,
    dir: TempDir,
}

impl Server {
    /// With what `more` says beside the usual, given the folder of its own.
    pub(crate) fn start(more: impl FnOnce(&Path) -> Vec<String>) -> Self {
        portcall_shared::tls::install_provider();
        #[expect(clippy::disallowed_methods, reason = "a test is told so where its server is")]
        let program = std::env::var("PORTCALL_TEST_MONGOD");
        let program = program.expect("PORTCALL_TEST_MONGOD names the program mongod");
        let dir = tempfile::Builder::new().prefix("portcall-server-").tempdir().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let mongod = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", &program])
            .args(["--replSet=rs", "--bind_ip=127.0.0.1", "--nounixsocket"])
            .args(["--wiredTigerCacheSizeGB=0.25", "--oplogSize=64"])
            .arg("--setParameter=diagnosticDataCollectionEnabled=false")
            .arg(format!("--port={}", address.port()))
            .arg(format!("--dbpath={}", dir.path().join("data").display()))
            .args(more(dir.path()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { mongod, address, dir }
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.path().join("log")).unwrap()).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, and then that is why the test failed.
        let _ = self.mongod.kill();
        let _ = self.mongod.wait();
    }
}
