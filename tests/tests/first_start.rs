//! What a grader does at its first start (`infra/terraform/machines/prepare`): that it waits for m1, that
//! the engine comes after its disk, and that it can be run again. The machine is outside: its programs
//! write down what they were asked, in order.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output},
    thread,
};

use anyhow::{Context, Result, ensure};
use portcall_tests::parts::given;
use tempfile::TempDir;

/// Each notes its name and its words; some know what was done before.
const PROGRAMS: [(&str, &str); 9] = [
    (
        "apt-get",
        r#"case "$*" in *install*) for p; do echo "$p"; done >>"$STATE/installed" ;; esac"#,
    ),
    ("dpkg-query", r#"for p; do :; done; grep -qxF "$p" "$STATE/installed" && printf installed"#),
    ("systemctl", ":"),
    ("blkid", r#"[ -e "$STATE/formatted" ]"#),
    ("mkfs.xfs", r#": >"$STATE/formatted""#),
    ("mountpoint", r#"[ -e "$STATE/mounted" ]"#),
    ("mount", r#": >"$STATE/mounted""#),
    // Whoever waits is woken by the test.
    ("sleep", r#"read -r _ <"$STATE/wake""#),
    ("node", r#"[ -z "${NODE_FAILS:-}" ]"#),
];
const ASKS: [&str; 4] = ["dpkg-query", "blkid", "mountpoint", "sleep"];

struct Machine {
    dir: TempDir,
}

impl Machine {
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let machine = Self { dir };
        for folder in ["bin", "state", "root/etc", "home/infra/lib", "home/infra/nodes"] {
            fs::create_dir_all(machine.file(folder))?;
        }
        let checkout = given::checkout();
        fs::copy(checkout.join("infra/terraform/machines/prepare"), machine.file("home/prepare"))?;
        fs::copy(checkout.join("infra/lib/say.sh"), machine.file("home/infra/lib/say.sh"))?;
        for (name, text) in PROGRAMS {
            let folder = if name == "node" { "home/infra/nodes" } else { "bin" };
            let path = machine.file(folder).join(name);
            fs::write(&path, format!("#!/bin/sh\necho \"{name} $*\" >>\"$STATE/log\"\n{text}\n"))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        for (file, text) in [
            ("state/installed", ""),
            ("root/etc/hosts", "127.0.0.1 localhost\n10.9.9.9 quarantine\n"),
            ("root/etc/fstab", ""),
            ("home/daemon.json", "{}"),
            ("disk", ""),
        ] {
            fs::write(machine.file(file), text)?;
        }
        let settings = format!(
            "TRUSTED=127.0.0.1,10.110.0.12\nQUARANTINE_PORT=5001\nNETWORK=10.110.0.0/24\n\
             SLOT_POOL=10.213.0.0/16\nDISK={}\n",
            machine.file("disk").display()
        );
        fs::write(machine.file("home/machine.env"), settings)?;
        Ok(machine)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> Result<String> {
        fs::read_to_string(self.file(name)).with_context(|| name.to_owned())
    }

    fn command(&self, port: u16, words: &[&str]) -> Command {
        let mut command = Command::new(self.file("home/prepare"));
        let path = format!("{}:/usr/bin:/bin", self.file("bin").display());
        command.args(words).env_clear().env("PATH", path).env("STATE", self.file("state"));
        command.env("PREPARE_ROOT", self.file("root")).env("PREPARE_PORT", port.to_string());
        command.env("PREPARE_PATIENCE_S", "60");
        command
    }

    fn run(&self, port: u16, words: &[&str]) -> Result<Output> {
        Ok(self.command(port, words).output()?)
    }

    /// What it did since the last time, without what it only asked.
    fn did(&self) -> Result<Vec<String>> {
        let log = self.read("state/log")?;
        fs::write(self.file("state/log"), "")?;
        let asks = |line: &&str| ASKS.iter().any(|name| line.starts_with(name));
        Ok(log.lines().filter(|line| !asks(line)).map(str::to_owned).collect())
    }
}

fn done(output: &Output) -> Result<()> {
    let told = [&output.stdout[..], &output.stderr[..]].concat();
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&told));
    Ok(())
}

/// Where each of these comes first; all of them have to be there.
fn places(did: &[String], wanted: &[&str]) -> Result<Vec<usize>> {
    let place = |what: &&str| did.iter().position(|line| line.contains(what));
    wanted
        .iter()
        .map(|what| place(what).with_context(|| format!("no {what} in {did:#?}")))
        .collect()
}

#[test]
fn the_engine_comes_after_its_disk_and_the_settings_after_the_engine() -> Result<()> {
    let (machine, packages) = (Machine::new()?, TcpListener::bind("127.0.0.1:0")?);
    let port = packages.local_addr()?.port();
    done(&machine.run(port, &[])?)?;
    let did = machine.did()?;
    let steps = [
        "install chrony jq nftables xfsprogs",
        "mkfs.xfs -q -L portcall",
        "mount ",
        "install docker.io",
        "systemctl reset-failed docker.service docker.socket",
        "systemctl start docker.service",
        "node apply --restart --egress closed --quarantine 127.0.0.1:5001 \
         --clocks 127.0.0.1,10.110.0.12 --workers 127.0.0.1,10.110.0.12 \
         --nodes 10.110.0.0/24 --pool 10.213.0.0/16",
        "systemctl restart chrony",
    ];
    let places = places(&did, &steps)?;
    ensure!(places.is_sorted(), "{did:#?}");
    assert_eq!(machine.read("root/etc/docker/daemon.json")?, "{}\n");
    assert_eq!(machine.read("root/etc/hosts")?, "127.0.0.1 localhost\n127.0.0.1 quarantine\n");
    ensure!(machine.read("root/etc/fstab")?.contains(" xfs defaults,pquota "));
    let proxy = machine.read("root/etc/apt/apt.conf.d/95portcall")?;
    ensure!(proxy.contains(&format!("http::Proxy \"http://127.0.0.1:{port}\"")), "{proxy}");
    let clocks = machine.read("root/etc/chrony/conf.d/portcall.conf")?;
    assert_eq!(clocks, "server 127.0.0.1 iburst\nserver 10.110.0.12 iburst\n");

    // Again, with what runs there untouched, and without m1.
    drop(packages);
    done(&machine.run(port, &[])?)?;
    let again = machine.did()?;
    for word in ["stop", "mkfs", "mount ", "install"] {
        ensure!(!again.iter().any(|line| line.contains(word)), "{word}: {again:#?}");
    }
    assert_eq!(machine.read("root/etc/fstab")?.lines().count(), 1);
    Ok(())
}

#[test]
fn it_waits_for_m1_and_not_for_ever() -> Result<()> {
    let machine = Machine::new()?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let late = machine.command(port, &[]).env("PREPARE_PATIENCE_S", "0").output()?;
    let told = String::from_utf8_lossy(&late.stderr).into_owned();
    ensure!(late.status.code() == Some(69) && told.contains("serves no packages"), "{told}");
    assert_eq!(machine.did()?, [""; 0], "nothing was begun");

    let wake = machine.file("state/wake");
    ensure!(Command::new("mkfifo").arg(&wake).status()?.success());
    let comes = thread::spawn(move || -> Result<TcpListener> {
        // Somebody reads it once the script has found nobody there.
        let mut wake = fs::File::options().write(true).open(wake)?;
        let packages = TcpListener::bind(("127.0.0.1", port))?;
        wake.write_all(b"now\n")?;
        Ok(packages)
    });
    let output = machine.run(port, &[])?;
    let packages = comes.join().map_err(|_| anyhow::anyhow!("the thread"))??;
    done(&output)?;
    ensure!(String::from_utf8_lossy(&output.stdout).contains("waiting"));
    places(&machine.did()?, &["install docker.io", "node apply"])?;
    drop(packages);
    Ok(())
}

#[test]
fn trusted_machines_with_other_addresses_are_taken_over_and_kept() -> Result<()> {
    let (machine, packages) = (Machine::new()?, TcpListener::bind("127.0.0.1:0")?);
    let port = packages.local_addr()?.port();
    done(&machine.run(port, &[])?)?;
    machine.did()?;
    done(&machine.run(port, &["--trusted", "10.110.0.21,10.110.0.12"])?)?;
    let wanted = "--quarantine 10.110.0.21:5001 --clocks 10.110.0.21,10.110.0.12 \
                  --workers 10.110.0.21,10.110.0.12";
    places(&machine.did()?, &[wanted, "systemctl restart chrony"])?;
    assert_eq!(machine.read("root/etc/hosts")?, "127.0.0.1 localhost\n10.110.0.21 quarantine\n");
    done(&machine.run(port, &[])?)?;
    places(&machine.did()?, &[wanted])?;

    for words in [&["--trusted"][..], &["--trusted", "m1"], &["--quick"]] {
        assert_eq!(machine.run(port, words)?.status.code(), Some(64), "{words:?}");
    }
    assert_eq!(machine.run(port, &["--help"])?.status.code(), Some(0));
    // cloud-init is told when the settings of a node did not come.
    let failed = machine.command(port, &[]).env("NODE_FAILS", "1").output()?;
    ensure!(!failed.status.success());
    Ok(())
}
