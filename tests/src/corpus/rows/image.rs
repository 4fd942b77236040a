//! F: images, their configurations and where they are kept.

use serde_json::{Value, json};

use crate::{
    corpus::row::{
        Expected::{Achieved, Exited, Failed, Passed, Refused},
        ORDINARY, Row,
        Rules::{Patient, Short},
        Stage, Submits,
    },
    image::{File, Layer, Recipe},
};

const TOLD: &str = "found=0 env=HOME,HOSTNAME,PATH host=app secrets=0";

/// Secrets that the worker is given: the setting, what it says with `{}` for the mark, and the mark.
pub const PLANTED: &[(&str, &str, &str)] = &[
    ("HTTPS_PROXY", "http://portcall:{}@127.0.0.1:9", "planted-4f1b7c0e"),
    ("AWS_SECRET_ACCESS_KEY", "{}", "planted-a93d52e8"),
    ("DOCKER_AUTH_CONFIG", r#"{"auths":{"127.0.0.1:5000":{"auth":"{}"}}}"#, "planted-06c8fb71"),
];
/// The mark in the address of the worker's database, as its `appName`.
pub const DATABASE_MARK: &str = "planted-d27e913a";

/// The marks backwards, so that whoever looks for them does not find what it looks with.
pub(super) fn marks() -> String {
    let marks = PLANTED.iter().map(|(_, _, mark)| *mark).chain([DATABASE_MARK]);
    marks.map(|mark| mark.chars().rev().collect::<String>()).collect::<Vec<_>>().join(",")
}

/// As often as an engine lets it be, with time enough to do harm.
#[must_use]
pub fn health_check() -> Value {
    json!({ "Test": ["CMD", "/hostile", "check"], "Interval": 1_000_000, "Timeout": 1_000_000_000 })
}

const CONFIG: &str = "image_config_refused";
const PLATFORM: &str = "image_wrong_platform";

pub(super) const ROWS: &[Row] = &[
    Row::refused("F01", "a layer of 40 GB", "image_too_large", |s| {
        Ok(s.hostile("nothing")?.declare_layer_size(40_000_000_000))
    }),
    Row::graded(
        "F02",
        "a layer that unpacks to 300 times its size",
        Short,
        Failed("image_bomb"),
        |s| Ok(s.hostile("nothing")?.layer(Layer::zeros(256)?)),
    )
    .under(ORDINARY),
    Row::refused("F03", "500 layers", "image_too_many_layers", |s| {
        Ok(s.hostile("nothing")?.repeat_layer(499))
    }),
    Row {
        id: "F05",
        what: "is not there",
        profiles: ORDINARY,
        rules: Short,
        stage: Stage::Any,
        submits: Submits::Reference(|s| Box::pin(async { Ok(s.scene.world.registry.missing()) })),
        expected: Refused("image_not_found"),
    },
    Row::refused("F08", "for s390x", PLATFORM, |s| {
        Ok(s.hostile("nothing")?.platform("linux", "s390x"))
    }),
    Row::refused("F10", "200 volumes", CONFIG, |s| {
        let paths = (0..200).map(|n| (format!("/v{n}"), json!({})));
        Ok(s.hostile("nothing")?.config("Volumes", Value::Object(paths.collect())))
    }),
    Row::refused("F10", "the volume /", CONFIG, |s| volume(s.hostile("nothing")?, "/")),
    Row::refused("F10", "the volume /proc", CONFIG, |s| volume(s.hostile("nothing")?, "/proc")),
    Row::refused("F10", "the volume /etc/../x", CONFIG, |s| {
        volume(s.hostile("nothing")?, "/etc/../x")
    }),
    Row::refused("F10", "a relative volume", CONFIG, |s| volume(s.hostile("nothing")?, "data")),
    Row::graded(
        "F11",
        "a health check each millisecond",
        Patient,
        Achieved("checks=0", "checks=0"),
        |s| Ok(s.hostile("checked")?.config("Healthcheck", health_check())),
    ),
    Row::graded("F12", "the stop signal SIGCONT", Short, Passed, |s| {
        Ok(s.hostile("immortal")?.config("StopSignal", json!("SIGCONT")))
    }),
    Row::graded("F12", "a stop signal that is none", Short, Passed, |s| {
        Ok(s.hostile("immortal")?.config("StopSignal", json!("SIGNOTHING")))
    }),
    Row::graded("F13", "ends well at once", Short, Exited(0), |s| s.hostile("exit")),
    Row::graded("F14", "exposes 8080 and listens on 80", Short, Passed, |s| {
        Ok(s.hostile("serve")?.config("ExposedPorts", json!({ "8080/tcp": {} })))
    }),
    Row::graded("F16", "ONBUILD, SHELL and a long history", Short, Passed, |s| {
        let recipe = s.hostile("serve")?.config("OnBuild", json!(["RUN /bin/false"]));
        Ok(recipe.config("Shell", json!(["/bin/false"])).history(3000))
    }),
    Row::refused("F16", "a history of 10,000 steps", CONFIG, |s| {
        Ok(s.hostile("nothing")?.history(10_000))
    }),
    Row::graded(
        "F24",
        "what it was told, and what the worker was",
        Patient,
        Achieved(TOLD, TOLD),
        |s| Ok(s.hostile("environ")?.env("HOSTILE_MARKS", &marks())),
    ),
    Row::graded("F26", "kills everybody", Short, Failed("exited"), |s| s.hostile("killall")),
    Row::refused("F27", "1 MB of environment", CONFIG, |s| {
        Ok(s.hostile("nothing")?.env("X", &"x".repeat(1_000_000)))
    }),
    Row::refused("F27", "10,000 labels", CONFIG, |s| {
        let labels = (0..10_000).map(|n| (format!("label-{n}"), json!("a value that fills it")));
        Ok(s.hostile("nothing")?.config("Labels", Value::Object(labels.collect())))
    }),
    Row::refused("F27", "65 words to run", CONFIG, |s| Ok(s.hostile("nothing")?.cmd(&["x"; 65]))),
    Row::refused("F28", "for windows", PLATFORM, |s| {
        Ok(s.hostile("nothing")?.platform("windows", "amd64"))
    }),
    Row::refused("F28", "for no system", PLATFORM, |s| {
        Ok(s.hostile("nothing")?.platform("", "amd64"))
    }),
    Row::refused("F28", "for a system that clears the screen", PLATFORM, |s| {
        Ok(s.hostile("nothing")?.platform("linux\u{1b}[2J\u{202e}", "amd64\r\n"))
    }),
    tarred("F31", "a file above its root", |s| {
        layered(s.hostile("nothing")?, &[File::text("../../etc/cron.d/x", "planted")])
    }),
    tarred("F31", "a link above its root", |s| {
        layered(s.hostile("nothing")?, &[File::hard_link("passwd", "../../../etc/passwd")])
    }),
    tarred("F31", "a device", |s| {
        layered(s.hostile("nothing")?, &[File::device("disk", 8, 0).mode(0o6666)])
    }),
    tarred("F31", "250,000 entries", |s| {
        let files: Vec<File> = (0..250_000).map(|n| File::folder(&format!("d{n}/"))).collect();
        layered(s.hostile("nothing")?, &files)
    }),
];

/// What is found out when the layers are looked through.
const fn tarred(
    id: &'static str,
    what: &'static str,
    image: fn(&crate::corpus::scene::Stand<'_>) -> anyhow::Result<Recipe>,
) -> Row {
    Row::graded(id, what, Short, Failed(CONFIG), image).under(ORDINARY)
}

fn volume(recipe: Recipe, path: &str) -> anyhow::Result<Recipe> {
    Ok(recipe.config("Volumes", json!({ path: {} })))
}

fn layered(recipe: Recipe, files: &[File]) -> anyhow::Result<Recipe> {
    Ok(recipe.layer(Layer::of(files)?))
}
