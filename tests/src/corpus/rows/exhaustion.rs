//! A: what is finite.

use serde_json::json;

use crate::corpus::row::{
    Expected::{Achieved, Exited, Failed, Passed},
    ORDINARY, Row,
    Rules::{Default, Patient, Short},
    STRICT,
};

pub(super) const ROWS: &[Row] = &[
    Row::graded("A01", "fork bomb", Short, Failed("not_listening"), |s| s.hostile("forkbomb")),
    Row::graded("A01", "counts its forks", Patient, Achieved("forks=127", "forks=62"), |s| {
        s.hostile("forks")
    }),
    Row::graded("A02", "thread bomb", Patient, Achieved("threads=127", "threads=62"), |s| {
        s.hostile("threads")
    }),
    Row::graded("A03", "memory bomb", Short, Failed("oom_killed"), |s| s.hostile("mem")),
    Row::graded("A05", "fills /tmp", Patient, Achieved("ENOSPC 16", "ENOSPC 16"), |s| {
        Ok(s.hostile("fill")?.env("HOSTILE_PATH", "/tmp"))
    }),
    Row::graded("A06", "fills the root", Patient, Failed("disk_limit"), |s| {
        let recipe = s.hostile("fill")?.env("HOSTILE_PATH", "/").env("HOSTILE_MIB", "400");
        Ok(recipe.env("HOSTILE_WAIT_MS", "20000"))
    })
    .under(ORDINARY),
    Row::graded("A06", "writes to the root", Patient, Achieved("", "EROFS 0"), |s| {
        Ok(s.hostile("fill")?.env("HOSTILE_PATH", "/").env("HOSTILE_MIB", "400"))
    })
    .under(STRICT),
    Row::graded("A08", "files in /tmp", Patient, Achieved("ENOSPC 1023", "ENOSPC 1023"), |s| {
        Ok(s.hostile("inodes")?.env("HOSTILE_PATH", "/tmp"))
    }),
    Row::graded("A09", "fills a volume", Patient, Achieved("ENOSPC 64", "ENOSPC 16"), |s| {
        let recipe = s.hostile("fill")?.config("Volumes", json!({ "/data": {} }));
        Ok(recipe.env("HOSTILE_PATH", "/data"))
    }),
    Row::graded("A09", "files in a volume", Patient, Achieved("ENOSPC 4095", "ENOSPC 4095"), |s| {
        let recipe = s.hostile("inodes")?.config("Volumes", json!({ "/data": {} }));
        Ok(recipe.env("HOSTILE_PATH", "/data"))
    }),
    Row::graded("A10", "fills /dev/shm", Patient, Achieved("ENOSPC 1", "ENOSPC 1"), |s| {
        Ok(s.hostile("fill")?.env("HOSTILE_PATH", "/dev/shm"))
    }),
    Row::graded("A10", "fills /dev", Patient, Achieved("ENOSPC 64", "EACCES 0"), |s| {
        Ok(s.hostile("fill")?.env("HOSTILE_PATH", "/dev"))
    }),
    Row::graded("A11", "log flood", Short, Passed, |s| s.hostile("logflood")),
    Row::graded("A13", "spins on 16 threads", Short, Passed, |s| s.hostile("cpu")),
    Row::graded("A14", "open files", Patient, Achieved("fds=1021", "fds=253"), |s| {
        s.hostile("fds")
    }),
    Row::graded("A15", "holds inotify", Patient, Achieved("", "inotify=128"), |s| {
        s.hostile("inotify-hold")
    })
    .under(STRICT)
    .together("A15"),
    Row::graded("A15", "holds inotify too", Patient, Achieved("", "inotify=128"), |s| {
        s.hostile("inotify-hold")
    })
    .under(STRICT)
    .together("A15"),
    Row::graded("A16", "System V memory", Short, Failed("oom_killed"), |s| s.hostile("shm")),
    Row::graded(
        "A16",
        "semaphores and queues",
        Patient,
        Achieved(
            "semaphores=32000 queues=32000 mq_open=EPERM",
            "semaphores=32000 queues=32000 mq_open=EPERM",
        ),
        |s| s.hostile("ipc"),
    ),
    Row::graded(
        "A17",
        "kernel keyrings",
        Patient,
        Achieved("add_key=EPERM keyctl=EPERM", "add_key=EPERM keyctl=EPERM"),
        |s| s.hostile("keys"),
    ),
    Row::graded("A18", "half-open flows", Short, Passed, |s| s.hostile("connflood")),
    Row::graded("A19", "datagrams at the prober", Short, Passed, |s| s.hostile("flood")),
    // Nobody else may feel it. How far it is slowed down is tests/tests/corpus_controls.rs.
    Row::graded("A20", "disk-read storm", Short, Passed, |s| s.hostile("readstorm")),
    Row::graded("A21", "crashes with cores", Short, Failed("not_listening"), |s| {
        s.hostile("segvloop")
    }),
    Row::graded("A22", "ends at once", Short, Exited(1), |s| {
        Ok(s.hostile("exit")?.env("HOSTILE_EXIT", "1"))
    }),
    Row::graded("B23", "listens after 3.2 s of 4", Short, Passed, |s| {
        Ok(s.hostile("late")?.env("HOSTILE_WAIT_MS", "3200"))
    }),
    Row::graded("B23", "listens after 4.8 s of 4", Short, Failed("not_listening"), |s| {
        Ok(s.hostile("late")?.env("HOSTILE_WAIT_MS", "4800"))
    }),
    Row::graded("A23", "sleeps for ever", Default, Failed("not_listening"), |s| {
        s.hostile("nothing")
    })
    .under(ORDINARY),
];
