//! Whether what an image's configuration says has the types that engines read it into.
//!
//! Engines are written in Go, whose reader refuses a whole document for one value of another type:
//! that would come out at the pull, where it looks like a failure of the platform. So the types of
//! all keys that engines know are checked here. Null is what a key that is not there is, and other
//! keys may have anything.

use serde_json::Value;
use time::{Date, Month};

use super::strict::Object;

/// The texts of a configuration.
const TEXTS: [&str; 11] = [
    "architecture",
    "os",
    "variant",
    "os.version",
    "author",
    "comment",
    "container",
    "docker_version",
    "id",
    "parent",
    "created",
];
/// What else is in it.
const OTHERS: [&str; 5] = ["config", "container_config", "rootfs", "history", "os.features"];

/// The texts of what is to be run.
const RUN_TEXTS: [&str; 7] =
    ["User", "WorkingDir", "StopSignal", "Hostname", "Domainname", "Image", "MacAddress"];
/// Its lists of texts.
const RUN_LISTS: [&str; 5] = ["Entrypoint", "Cmd", "Env", "OnBuild", "Shell"];
/// What is true or false in it.
const RUN_FLAGS: [&str; 8] = [
    "ArgsEscaped",
    "AttachStderr",
    "AttachStdin",
    "AttachStdout",
    "NetworkDisabled",
    "OpenStdin",
    "StdinOnce",
    "Tty",
];
/// What else is in it.
const RUN_OTHERS: [&str; 5] = ["Volumes", "ExposedPorts", "Labels", "Healthcheck", "StopTimeout"];

/// The whole document, with every known type as it must be.
///
/// # Errors
/// Which key has another, as a part of a sentence.
pub(super) fn document(value: &Value) -> Result<Object<'_>, String> {
    let top = Object::of(value, "it", &[&TEXTS[..], &OTHERS].concat())?;
    for key in TEXTS {
        top.text(key)?;
    }
    created(top)?;
    top.texts("os.features")?;
    // In older images, what the last layer was built with: read, and never run.
    if let Some(built) = top.get("container_config") {
        run(built, "its `container_config`")?;
    }
    for step in top.list("history")?.unwrap_or_default().iter().filter(|step| !step.is_null()) {
        history(step)?;
    }
    Ok(top)
}

/// What is to be run.
///
/// # Errors
/// Which key has another type, as a part of a sentence.
pub(super) fn run<'a>(value: &'a Value, what: &str) -> Result<Object<'a>, String> {
    let own = [&RUN_TEXTS[..], &RUN_LISTS, &RUN_FLAGS, &RUN_OTHERS].concat();
    let run = Object::of(value, what, &own)?;
    for key in RUN_TEXTS {
        run.text(key)?;
    }
    for key in RUN_LISTS {
        run.texts(key)?;
    }
    for key in RUN_FLAGS {
        run.flag(key)?;
    }
    for key in ["Volumes", "ExposedPorts"] {
        run.keys(key)?;
    }
    run.words("Labels")?;
    run.whole("StopTimeout")?;
    if let Some(check) = run.get("Healthcheck") {
        health(check)?;
    }
    Ok(run)
}

fn health(value: &Value) -> Result<(), String> {
    let numbers = ["Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"];
    let own = [&["Test"][..], &numbers].concat();
    let health = Object::of(value, "its `Healthcheck`", &own)?;
    health.texts("Test").map_err(|why| format!("its `Healthcheck`: {why}"))?;
    for key in numbers {
        health.whole(key).map_err(|why| format!("its `Healthcheck`: {why}"))?;
    }
    Ok(())
}

fn history(value: &Value) -> Result<(), String> {
    let texts = ["author", "created_by", "comment"];
    let own = [&["created", "empty_layer"][..], &texts].concat();
    let step = Object::of(value, "its `history`", &own)?;
    let typed = || {
        for key in texts {
            step.text(key)?;
        }
        step.flag("empty_layer")?;
        created(step)
    };
    typed().map_err(|why: String| format!("its `history`: {why}"))
}

fn created(object: Object<'_>) -> Result<(), String> {
    match object.text("created")?.is_none_or(is_time) {
        true => Ok(()),
        false => Err("`created` is no time such as `2006-01-02T15:04:05Z`".to_owned()),
    }
}

/// Whether it is a time by RFC 3339, as Go's reader has it: large letters, no leap seconds.
fn is_time(text: &str) -> bool {
    let number = |from: usize, to: usize| -> Option<u16> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let is = |at: usize, byte: u8| text.as_bytes().get(at) == Some(&byte);
    let below = |from: usize, limit: u16| number(from, from + 2).is_some_and(|n| n < limit);
    let day = || {
        let month = Month::try_from(u8::try_from(number(5, 7)?).ok()?).ok()?;
        let day = u8::try_from(number(8, 10)?).ok()?;
        Date::from_calendar_date(number(0, 4)?.into(), month, day).ok()
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !marks.iter().all(|(at, byte)| is(*at, *byte)) || day().is_none() {
        return false;
    }
    if !(below(11, 24) && below(14, 60) && below(17, 60)) {
        return false;
    }
    let mut zone = 19;
    if is(zone, b'.') {
        let digits = text.bytes().skip(20).take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return false;
        }
        zone = 20 + digits;
    }
    let offset = || {
        (is(zone, b'+') || is(zone, b'-'))
            && below(zone + 1, 24)
            && is(zone + 3, b':')
            && below(zone + 4, 60)
            && text.len() == zone + 6
    };
    (is(zone, b'Z') && text.len() == zone + 1) || offset()
}

/// Whether it is Base64 (RFC 4648, section 4, with its padding); line breaks may stand in it.
pub(super) fn is_base64(text: &str) -> bool {
    let bytes: Vec<u8> = text.bytes().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
    let padding = bytes.iter().rev().take_while(|b| **b == b'=').count();
    let digit = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    bytes.len().is_multiple_of(4)
        && padding <= 2
        && bytes.iter().take(bytes.len() - padding).all(digit)
}

#[cfg(test)]
mod tests;
