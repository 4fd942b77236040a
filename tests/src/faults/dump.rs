//! What lies in the database, on an engine and in logs, in the checker's words.

use anyhow::Result;
use bollard::{
    Docker,
    models::ContainerSummaryStateEnum,
    query_parameters::{ListContainersOptions, ListNetworksOptions},
};
use bson::{Bson, Document};

use super::evidence::{Fenced, Object, Stored, StoredAttempt};
use crate::parts::{mongo, service::Service};

/// The line of a log by which a late write that was kept out is known.
const FENCED: &str = "this worker no longer holds the lease";

/// Every submission of a database.
///
/// # Errors
/// When it does not answer.
pub async fn stored(uri: &str, database: &str) -> Result<Vec<Stored>> {
    let all = mongo::dump(uri, database).await?;
    let submissions = all.iter().filter(|(collection, _)| collection == "submissions");
    Ok(submissions.map(|(_, document)| submission(document)).collect())
}

/// A submission, as it lies there.
#[must_use]
pub fn submission(document: &Document) -> Stored {
    let attempts = document.get_array("attempts").ok();
    let attempts = attempts.into_iter().flatten().filter_map(Bson::as_document).map(attempt);
    let verdict = document.get_document("verdict").ok();
    let idempotency = document.get_document("idempotency").ok();
    let audited = document.get_array("regraded").is_ok_and(|regraded| !regraded.is_empty());
    Stored {
        id: id(document.get("_id")),
        key: idempotency.and_then(|it| text(it, "key")),
        state: text(document, "state").unwrap_or_default(),
        generation: number(document, "generation"),
        attempts: attempts.collect(),
        outcome: verdict.and_then(|verdict| text(verdict, "outcome")),
        reason: verdict
            .and_then(|verdict| verdict.get_document("reason").ok())
            .and_then(|reason| text(reason, "code")),
        by_attempt: verdict.map(|verdict| number(verdict, "attempt")),
        created_ms: time(document, "created_at"),
        regraded: audited,
    }
}

fn attempt(document: &Document) -> StoredAttempt {
    StoredAttempt {
        number: number(document, "number"),
        worker: id(document.get("worker")),
        generation: number(document, "generation"),
        outcome: text(document, "outcome"),
        started_ms: time(document, "started_at"),
    }
}

/// What of ours is on an engine, whoever made it.
///
/// # Errors
/// When the engine does not answer.
pub async fn objects(docker: &Docker) -> Result<Vec<Object>> {
    let mut found = Vec::new();
    let all = ListContainersOptions { all: true, ..Default::default() };
    for container in docker.list_containers(Some(all)).await? {
        let runs = container.state == Some(ContainerSummaryStateEnum::RUNNING);
        let name = container.names.unwrap_or_default().join(" ");
        found.extend(object(container.labels.unwrap_or_default(), name, runs));
    }
    for network in docker.list_networks(None::<ListNetworksOptions>).await? {
        let name = network.name.unwrap_or_default();
        found.extend(object(network.labels.unwrap_or_default(), name, false));
    }
    Ok(found)
}

fn object(
    mut labels: std::collections::HashMap<String, String>,
    name: String,
    runs: bool,
) -> Option<Object> {
    let worker = labels.remove("portcall.worker")?;
    let generation = labels.remove("portcall.generation").and_then(|text| text.parse().ok());
    let tenant = labels.remove("portcall.submission").zip(generation);
    Some(Object {
        kind: labels.remove("portcall.kind").unwrap_or_default(),
        name,
        worker,
        tenant,
        runs,
    })
}

/// How many late writes of a worker were kept out, as its log says: it may be dead by now.
#[must_use]
pub fn fenced(service: &Service) -> Fenced {
    let log = service.process.log();
    let writes = log.lines().filter(|line| line.contains(FENCED)).count() as u64;
    Fenced { worker: service.process.name().to_owned(), writes }
}

/// What no process may write into its log.
#[must_use]
pub fn wrong(service: &Service) -> Vec<String> {
    let log = service.process.log();
    let panics = log.match_indices("panicked at").map(|(at, _)| {
        let told: Vec<&str> = log[at..].lines().take(3).collect();
        format!("{} {}", service.process.name(), told.join(" | "))
    });
    panics.collect()
}

/// The first id of a submission in a text, such as a line of a log.
#[must_use]
pub fn submission_in(text: &str) -> Option<String> {
    let of_id = |c: char| c.is_ascii_hexdigit() || c == '-';
    let words = text.split(|c: char| !of_id(c));
    words.filter_map(uuid).next()
}

/// The id at the end of a word or within it, as in `portcall-<id>-1-0`.
fn uuid(word: &str) -> Option<String> {
    const LENGTHS: [usize; 5] = [8, 4, 4, 4, 12];
    let parts: Vec<&str> = word.split('-').collect();
    let id = parts
        .windows(LENGTHS.len())
        .find(|window| window.iter().zip(LENGTHS).all(|(part, length)| part.len() == length))?;
    Some(id.join("-"))
}

fn id(value: Option<&Bson>) -> String {
    match value {
        Some(Bson::Binary(binary)) => {
            binary.to_uuid().map(|uuid| uuid.to_string()).unwrap_or_default()
        }
        _ => String::new(),
    }
}

fn text(document: &Document, field: &str) -> Option<String> {
    document.get_str(field).ok().map(str::to_owned)
}

fn number(document: &Document, field: &str) -> i64 {
    match document.get(field) {
        Some(Bson::Int32(number)) => i64::from(*number),
        Some(Bson::Int64(number)) => *number,
        _ => 0,
    }
}

fn time(document: &Document, field: &str) -> i64 {
    document.get_datetime(field).map_or(0, |at| at.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_in_whatever_it_stands() {
        let id = "0199a1f2-3c4d-7e5f-8a9b-0c1d2e3f4a5b";
        for text in [
            format!("WARN grading{{submission.id={id} submission.generation=1}}: holding"),
            format!("POST /v1.41/containers/create?name=portcall-{id}-1-0 HTTP/1.1"),
            id.to_owned(),
        ] {
            assert_eq!(submission_in(&text).as_deref(), Some(id), "{text}");
        }
        assert_eq!(submission_in("DELETE /containers/portcall-ab-0-7-prober"), None);
    }
}
