//! Negative controls: the same attacks with a protection of the platform's switched off by an
//! event, whose limits it raises. Each must then come to something else, or its row shows nothing.

use serde_json::json;

use crate::corpus::row::{
    Expected::{Achieved, Passed},
    Row,
    Rules::Generous,
};

const TOLD: &str = "found=1 env=HOME,HOSTNAME,PATH,PLANTED host=app secrets=0";

/// The rows that they are the controls of, under the same ids.
pub const ROWS: &[Row] = &[
    Row::graded(
        "A01",
        "counts its forks, of 200",
        Generous,
        Achieved("forks=199", "forks=198"),
        |s| s.hostile("forks"),
    ),
    Row::graded(
        "A02",
        "thread bomb, of 200",
        Generous,
        Achieved("threads=199", "threads=198"),
        |s| s.hostile("threads"),
    ),
    Row::graded("A03", "512 MiB, of 1024", Generous, Achieved("mem=512", "mem=512"), |s| {
        Ok(s.hostile("mem")?.env("HOSTILE_MIB", "512"))
    }),
    Row::graded(
        "A16",
        "512 MiB of System V, of 1024",
        Generous,
        Achieved("DONE 512", "DONE 512"),
        |s| Ok(s.hostile("shm")?.env("HOSTILE_MIB", "512")),
    ),
    Row::graded("F10", "8 volumes", Generous, Passed, |s| {
        let paths = (0..8).map(|n| (format!("/v{n}"), json!({})));
        let volumes = serde_json::Value::Object(paths.collect());
        Ok(s.hostile("serve")?.config("Volumes", volumes))
    }),
    Row::graded("F24", "a mark in its own environment", Generous, Achieved(TOLD, TOLD), |s| {
        let mark = super::image::DATABASE_MARK;
        Ok(s.hostile("environ")?.env("HOSTILE_MARKS", &super::image::marks()).env("PLANTED", mark))
    }),
    Row::graded("F03", "64 layers", Generous, Passed, |s| Ok(s.hostile("serve")?.repeat_layer(63))),
    Row::graded("F27", "64 words to run", Generous, Passed, |s| {
        Ok(s.hostile("serve")?.cmd(&["x"; 63]))
    }),
];
