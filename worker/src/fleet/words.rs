//! What engines say when something does not start, and whose fault it is. The same words come from a
//! plain engine and, for a node of a swarm, with a task.

use super::error::{FleetError, StartFailure, cut};

/// How much of a log is looked at to see why a command was not executed.
pub(super) const WHY_BYTES: usize = 2048;

/// Whose fault it is that a container was not made or started: what the engine says of the
/// image's command, user and directory is the participant's.
pub(super) fn sort(error: FleetError, index: usize) -> StartFailure {
    let FleetError::Refused { message, .. } = &error else { return error.into() };
    // Messages quote the image's own words in their middle: what is ours stands at an end.
    let begins = ["exec: \"docker-init\"", "No such image"];
    let ends = ["no space left on device", "cannot allocate memory", "disk quota exceeded"];
    let rest = message.trim_end().trim_end_matches(": unknown");
    if begins.iter().any(|words| message.starts_with(words))
        || ends.iter().any(|words| rest.ends_with(words))
    {
        return error.into();
    }
    let participant = [
        "exec format error",
        "executable file not found",
        "No command specified",
        "no command specified",
        "unable to find user",
        "unable to find group",
        "no matching entries in passwd file",
        "no matching entries in group file",
        "chdir to cwd",
        "mkdir cwd",
        "Cannot mkdir",
        "not a directory",
        "exec: ",
        // Every container is given the same mounts: where one does not fit, the image lies in its
        // way, with a link or a folder.
        "error mounting",
        "error closing exec fds",
        "open /proc/sys/net/",
    ];
    if !participant.iter().any(|words| message.contains(words)) {
        return error.into();
    }
    // "failed to create shim task: OCI runtime create failed: container_linux.go:380: starting
    // container process caused: exec: …": only the end is about the image.
    let start = ["caused: ", "process: ", "create failed: "]
        .iter()
        .filter_map(|noise| message.rfind(noise).map(|at| at + noise.len()))
        .max()
        .unwrap_or(0);
    StartFailure::StartFailed { index, detail: cut(&message[start..]) }
}

/// Some commands turn out not to be executable only when everything else is set up; then the
/// engine's runtime, or the init of a strict container, says so where the command would have
/// written: `exec /app: exec format error`, `[FATAL tini (7)] exec /app failed: No such file or
/// directory`. Whoever writes such a line himself says no more than that his own image is broken.
pub(super) fn why_not_executed(log: &str) -> Option<String> {
    let mut lines = log.lines().filter(|line| !line.trim().is_empty());
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    let by_init = line.split_once("[FATAL tini (").and_then(|(_, said)| said.split_once(")] "));
    if let Some((_, said)) = by_init {
        return said.starts_with("exec ").then(|| cut(said));
    }
    let by_runtime = line.starts_with("exec ") && line.contains(": ")
        || line.contains("exec user process caused");
    let errors = ["exec format error", "no such file or directory", "permission denied"];
    let known = errors.iter().any(|error| line.trim_end().trim_matches('"').ends_with(error));
    (by_runtime && known).then(|| cut(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_words_about_an_image_are_the_participants() {
        let sorted = |message: &str| {
            let message = message.to_owned();
            sort(FleetError::Refused { doing: "starting a container", status: 400, message }, 1)
        };
        for (message, shown) in [
            (
                "OCI runtime create failed: runc create failed: unable to start container process: \
                 exec: \"/app\": stat /app: no such file or directory: unknown",
                "exec: \"/app\": stat /app: no such file or directory: unknown",
            ),
            (
                "unable to find user web: no matching entries in passwd file",
                "unable to find user web: no matching entries in passwd file",
            ),
            ("No command specified", "No command specified"),
            (
                "OCI runtime create failed: runc create failed: unable to start container process: \
                 exec: \"/no space left on device\": stat /no space left on device: no such file or \
                 directory: unknown",
                "exec: \"/no space left on device\": stat /no space left on device: no such file or \
                 directory: unknown",
            ),
        ] {
            let StartFailure::StartFailed { index: 1, detail } = sorted(message) else {
                panic!("{message}")
            };
            assert_eq!(detail, shown);
        }
        for message in [
            "exec: \"docker-init\": executable file not found in $PATH",
            "network 0123 not found",
            "OCI runtime create failed: write cgroup.procs: no space left on device: unknown",
            "something new",
        ] {
            assert!(matches!(sorted(message), StartFailure::Engine(_)), "{message}");
        }
    }

    #[test]
    fn the_last_words_of_init_and_runtime_are_found() {
        for (log, why) in [
            (
                "[FATAL tini (7)] exec /app failed: Exec format error\n",
                Some("exec /app failed: Exec format error"),
            ),
            ("exec /app: exec format error\n", Some("exec /app: exec format error")),
            (
                "standard_init_linux.go:228: exec user process caused: exec format error",
                Some("standard_init_linux.go:228: exec user process caused: exec format error"),
            ),
            ("", None),
            ("exec /app failed", None),
            ("hello\nexec /app: exec format error\n", None),
            ("[FATAL tini (7)] something else", None),
            ("open /config: no such file or directory", None),
        ] {
            assert_eq!(why_not_executed(log).as_deref(), why, "{log}");
        }
    }
}
