//! X: attacks that the specification does not list.

use serde_json::json;

use crate::{
    corpus::row::{
        Expected::{Failed, Passed},
        ORDINARY, Row,
        Rules::{Patient, Short},
        STRICT,
    },
    image::{File, Layer},
};

const REFUSED: crate::corpus::Expected = Failed("image_config_refused");
const NOT_STARTED: crate::corpus::Expected = Failed("start_failed");

pub(super) const ROWS: &[Row] = &[
    // The engine itself opens /etc/passwd and /etc/group of every container that it starts: a pipe
    // there makes it wait for ever, with the container's lock held, so that nothing removes it.
    Row::graded("X01", "/etc/passwd is a pipe", Short, REFUSED, |s| {
        Ok(s.hostile("serve")?.layer(Layer::of(&[File::fifo("etc/passwd")])?))
    })
    .under(ORDINARY),
    Row::graded("X01", "/etc/group is a pipe", Short, REFUSED, |s| {
        Ok(s.hostile("serve")?.layer(Layer::of(&[File::fifo("etc/group")])?))
    })
    .under(ORDINARY),
    Row::graded("X01", "/etc/passwd is a terminal", Short, REFUSED, |s| {
        Ok(s.hostile("serve")?.layer(Layer::of(&[File::device("etc/passwd", 5, 0)])?))
    })
    .under(ORDINARY),
    // The same with a file that never ends: it keeps a processor of the engine's busy for ever.
    Row::graded("X01", "/etc/passwd is a link to a /dev/urandom", Short, REFUSED, |s| {
        let files = [File::device("dev/urandom", 1, 9), File::link("etc/passwd", "../dev/urandom")];
        Ok(s.hostile("serve")?.layer(Layer::of(&files)?))
    })
    .under(ORDINARY),
    // One that is merely large is read whole, outside of any container's bounds.
    Row::graded("X01", "60 MiB of /etc/passwd", Short, REFUSED, |s| {
        let users = "a:x:1:1::/:/\n".repeat(60 * 1024 * 1024 / 13);
        Ok(s.hostile("serve")?.layer(Layer::of(&[File::text("etc/passwd", &users)])?))
    })
    .under(ORDINARY),
    Row::graded("X01", "1 MiB of /etc/passwd", Short, Passed, |s| {
        let users = "a:x:1:1::/:/\n".repeat(1024 * 1024 / 13);
        Ok(s.hostile("serve")?.layer(Layer::of(&[File::text("etc/passwd", &users)])?))
    }),
    // CVE-2024-21626 by a detour that the configuration does not show.
    Row::graded("X02", "starts in a link to /proc/self/fd/7", Short, NOT_STARTED, |s| {
        let link = File::link("w", "/proc/self/fd/7");
        Ok(s.hostile("serve")?.layer(Layer::of(&[link])?).config("WorkingDir", json!("/w")))
    }),
    Row::graded("X02", "starts in a link to /proc/self/fd/8", Short, NOT_STARTED, |s| {
        let link = File::link("w", "/proc/self/fd/8");
        Ok(s.hostile("serve")?.layer(Layer::of(&[link])?).config("WorkingDir", json!("/w")))
    }),
    // What is mounted into every container is mounted where the image says.
    Row::graded("X03", "a volume that is a link to /proc", Short, NOT_STARTED, |s| {
        let recipe = s.hostile("serve")?.layer(Layer::of(&[File::link("data", "/proc")])?);
        Ok(recipe.config("Volumes", json!({ "/data": {} })))
    }),
    Row::graded("X03", "/tmp is a link to /proc/self", Short, NOT_STARTED, |s| {
        Ok(s.hostile("serve")?.layer(Layer::of(&[File::link("tmp", "/proc/self")])?))
    }),
    Row::graded("X04", "/etc/resolv.conf is a link out", Short, Passed, |s| {
        let link = File::link("etc/resolv.conf", "../../../../../etc/shadow");
        Ok(s.hostile("serve")?.layer(Layer::of(&[link])?))
    }),
    Row::graded("X04", "/etc/hosts is a folder", Short, NOT_STARTED, |s| {
        Ok(s.hostile("serve")?.layer(Layer::of(&[File::folder("etc/hosts")])?))
    }),
    Row::graded("X05", "brings its own init", Short, Passed, |s| {
        let own = File::hostile("sbin/docker-init")?;
        Ok(s.hostile("serve")?.layer(Layer::of(&[own])?))
    }),
    // The platform finds its own by labels, and an image may declare any.
    Row::graded("X06", "labels like the platform's", Short, Passed, |s| {
        let labels = json!({
            "portcall.kind": "prober",
            "portcall.worker": "00000000-0000-7000-8000-000000000000",
            "portcall.submission": "00000000-0000-7000-8000-000000000001",
            "portcall.generation": "7",
            "portcall.mac": "00",
            "maintainer": "\u{1b}[2Jplanted",
        });
        Ok(s.hostile("serve")?.config("Labels", labels))
    }),
    Row::graded("X07", "last words for a terminal and a log", Short, Failed("exited"), |s| {
        s.hostile("spoof-log")
    }),
    Row::refused("X09", "a user beyond what a number holds", "image_config_refused", |s| {
        Ok(s.hostile("serve")?.config("User", json!("2147483648")))
    }),
    Row::graded("X09", "a user that nobody is", Short, NOT_STARTED, |s| {
        Ok(s.hostile("serve")?.config("User", json!("nobody-here")))
    })
    .under(ORDINARY),
    Row::graded("X09", "a user that nobody is", Short, Passed, |s| {
        Ok(s.hostile("serve")?.config("User", json!("nobody-here")))
    })
    .under(STRICT),
    Row::refused("X10", "a zero byte in its command", "image_config_refused", |s| {
        Ok(s.hostile("serve")?.cmd(&["a\0b"]))
    }),
    Row::refused("X10", "variables that are none", "image_config_refused", |s| {
        let name = format!("HOSTILE_NAME={}", s.participant);
        let variables =
            ["HOSTILE_MODE=serve", &name, "=x", "LD_PRELOAD=/x", "\u{1b}[2J=1", "A\nB=1"];
        Ok(s.hostile("serve")?.config("Env", json!(variables)))
    }),
    Row::graded("X11", "asks for a host's network", Short, Passed, |s| {
        let recipe = s.hostile("serve")?.config("NetworkDisabled", json!(true));
        let recipe = recipe.config("Hostname", json!("prober")).config("Domainname", json!("host"));
        Ok(recipe.config("MacAddress", json!("02:42:ac:11:00:02")).config("Tty", json!(true)))
    }),
    // Who counts a writable root cannot walk through this one, which is as bad as too much in it.
    Row::graded("X08", "fills the root below a deep tree", Patient, Failed("disk_limit"), |s| {
        let recipe = s.hostile("fill-deep")?.env("HOSTILE_PATH", "/");
        Ok(recipe.env("HOSTILE_MIB", "400").env("HOSTILE_WAIT_MS", "20000"))
    })
    .under(ORDINARY),
    // Between two looks; the last one is after its answers.
    Row::graded("X12", "fills the root and answers at once", Patient, Failed("disk_limit"), |s| {
        Ok(s.hostile("fill")?.env("HOSTILE_PATH", "/").env("HOSTILE_MIB", "400"))
    })
    .under(ORDINARY),
];

/// Attacks that nothing stops yet. They are shown with each run, run when they are named, and belong
/// into the table above once something does.
pub(super) const OPEN: &[Row] = &[
    // Who counts a writable root by walking through its names sees neither of these, and nobody is
    // charged for them. What they take is free again with their container; and before the node's disk
    // is full, the gradings on it end as the platform's fault (worker/src/grade/disk.rs).
    Row::graded("X08", "fills the root with a nameless file", Patient, Failed("disk_limit"), |s| {
        let recipe = s.hostile("fill-unlinked")?.env("HOSTILE_PATH", "/");
        Ok(recipe.env("HOSTILE_MIB", "400").env("HOSTILE_WAIT_MS", "20000"))
    })
    .under(ORDINARY),
    Row::graded("X08", "fills the root with empty files", Patient, Failed("disk_limit"), |s| {
        let recipe = s.hostile("inodes")?.env("HOSTILE_PATH", "/");
        Ok(recipe.env("HOSTILE_COUNT", "100000").env("HOSTILE_WAIT_MS", "20000"))
    })
    .under(ORDINARY),
];
