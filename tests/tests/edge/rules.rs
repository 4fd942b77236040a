//! The rules of an event, as its organisers change them: as a new version, never to the harm of
//! others, and not without end.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use mongodb::Collection;
use portcall_tests::wait;
use serde_json::{Value, json};

use super::organisers::{OTHER, OWN, Organisers, Token};

const PATIENCE: Duration = Duration::from_secs(20);

/// A version of the rules holds at once at every api; mistakes name their lines; nothing is changed
/// by what is only tried.
#[tokio::test(flavor = "multi_thread")]
async fn rules_are_changed_as_a_new_version() -> Result<()> {
    let all = Organisers::with(2).await?;
    let path = format!("/events/{OWN}/rules");
    let rules = all.ask(Some(&all.own), "GET", &path, None).await?.good(200)?;
    let (source, first) = (rules.text("/source")?, rules.json["version"].as_i64().context("n")?);
    let put = async |query: &str, source: &str| {
        let body = json!({ "source": source });
        all.ask(Some(&all.own), "PUT", &format!("{path}{query}"), Some(&body)).await
    };
    let changed = source.replace("Birthday", "Anniversary");
    let tried = put("?dry_run=true", &changed).await?.good(200)?;
    ensure!(tried.json["outcome"] == "valid" && tried.json["version"] == first, "{}", tried.json);
    let title = async |api| {
        let shown = all.ask_with(api, "GET", &format!("/api/v1/events/{OWN}"), &[], None).await?;
        shown.text("/title")
    };
    ensure!(title(1).await?.contains("Birthday"), "only tried");
    let applied = put("", &changed).await?.good(200)?;
    ensure!(applied.json["outcome"] == "applied" && applied.json["version"] == first + 1);
    ensure!(title(0).await?.contains("Anniversary") && title(1).await?.contains("Anniversary"));
    let same = put("", &changed).await?.good(200)?;
    ensure!(same.json["outcome"] == "unchanged" && same.json["version"] == first + 1);
    let posted = all.stage.apis.client(1)?.submit(&all.stage.submission("New")).await?;
    let seen = all.ask(Some(&all.own), "GET", &format!("/submissions/{}", posted.id), None).await?;
    ensure!(seen.json["event_version"] == first + 1, "{}", seen.json);

    let versions = all.ask(Some(&all.own), "GET", &format!("{path}/versions"), None).await?;
    let items = versions.json["items"].as_array().context("items")?;
    let numbers: Vec<i64> = items.iter().filter_map(|v| v["version"].as_i64()).collect();
    ensure!(numbers.first() == Some(&(first + 1)) && numbers.contains(&first), "{numbers:?}");
    let old = all.ask(Some(&all.own), "GET", &format!("{path}?version={first}"), None).await?;
    ensure!(old.text("/source")? == source);
    all.ask(Some(&all.own), "GET", &format!("{path}?version=999"), None).await?.good(404)?;

    let line = source.lines().count() + 1;
    let wrong = put("", &format!("{}\nnothing = 1\n", source.trim_end())).await?.good(422)?;
    let (pointer, detail) = (wrong.text("/errors/0/pointer")?, wrong.text("/errors/0/detail")?);
    ensure!(pointer == "/source" && detail.starts_with(&format!("Line {line}")), "{}", wrong.json);
    let other = put("", &source.replace(OWN, OTHER)).await?.good(422)?;
    ensure!(other.code() == "slug_mismatch", "{}", other.json);
    // As long as a file may be, and longer: more than others may send, and not without end.
    let padding = |bytes: usize| format!("{source}\n# {}", "é".repeat(bytes / 2));
    put("?dry_run=true", &padding(250 * 1024 - source.len())).await?.good(200)?;
    put("?dry_run=true", &padding(260 * 1024)).await?.good(422)?;
    let long = put("", &padding(600 * 1024)).await?.good(413)?;
    ensure!(long.text("/detail")?.contains("525312"), "{}", long.json);
    let lines: Vec<Value> =
        all.audit(OWN).await?.into_iter().filter(|line| line["what"] == "rules").collect();
    ensure!(lines.len() == 2, "what was only tried and what was not valid is no act: {lines:?}");
    ensure!(lines[1]["detail"]["from"] == first && lines[1]["outcome"] == "done", "{lines:?}");
    all.end().await
}

/// Events as they are stored.
async fn events(all: &Organisers) -> Result<Collection<Document>> {
    let (uri, database) = all.stage.apis.database();
    Ok(mongodb::Client::with_uri_str(uri).await?.database(database).collection("events"))
}

/// What an organiser writes into a file keeps nobody: it is refused at once, whatever stands in it.
#[tokio::test(flavor = "multi_thread")]
async fn rules_that_would_keep_the_api_are_refused_at_once() -> Result<()> {
    let all = Organisers::with(1).await?;
    let path = format!("/events/{OWN}/rules");
    let source = all.ask(Some(&all.own), "GET", &path, None).await?.text("/source")?;
    let filters = |n: usize| format!("${}{}", "[?@".repeat(n), "]".repeat(n));
    for (json, said) in [
        (format!("$[?{}", "(".repeat(200_000)), "at most 200 bytes"),
        (filters(45), "filters"),
        (filters(20), "filters"),
    ] {
        let check = "[[checks]]\nname = \"long\"\nget = \"/\"\njson = ";
        let rule = format!("[{{ path = \"{json}\", exists = true }}]\n");
        let (began, body) =
            (Instant::now(), json!({ "source": format!("{source}\n{check}{rule}") }));
        let refused = all.ask(Some(&all.own), "PUT", &path, Some(&body)).await?.good(422)?;
        ensure!(refused.json.to_string().contains(said), "{}", refused.json);
        ensure!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    let closes = format!("closes = 9999-12-31T23:59:59-01:00\n{source}");
    let body = json!({ "source": closes });
    let refused = all.ask(Some(&all.own), "PUT", &path, Some(&body)).await?.good(422)?;
    ensure!(refused.json.to_string().contains("out of range"), "{}", refused.json);
    // One that is stored already, from before it was refused, keeps its own event only.
    let events = events(&all).await?;
    let set = doc! { "$set": { "source": closes } };
    ensure!(events.update_many(doc! { "slug": OWN }, set).await?.matched_count > 0);
    wait::until("the list goes on without it", PATIENCE, || async {
        let listed = all.ask(None, "GET", "/api/v1/events", None).await?.good(200)?;
        let events = listed.json["events"].as_array().context("events")?;
        let slugs: Vec<_> = events.iter().filter_map(|event| event["slug"].as_str()).collect();
        Ok((slugs == [OTHER]).then_some(()))
    })
    .await?;
    let body = json!({ "source": source });
    all.ask(Some(&all.operator), "PUT", &path, Some(&body)).await?.good(200)?;
    all.ask(Some(&all.own), "GET", &path, None).await?.good(200)?;
    all.end().await
}

/// The guard against calls into our own networks is the operator's to lift.
#[tokio::test(flavor = "multi_thread")]
async fn organisers_bring_in_no_registry_of_ours() -> Result<()> {
    let all = Organisers::with(1).await?;
    let path = format!("/events/{OWN}/rules");
    let source = all.ask(Some(&all.own), "GET", &path, None).await?.text("/source")?;
    let put = async |token: &Token, source: &str| {
        all.ask(Some(token), "PUT", &path, Some(&json!({ "source": source }))).await
    };
    let with_registry =
        |host: &str| source.replacen("registries = [", &format!("registries = [\"{host}\", "), 1);
    let with_service =
        |host: &str| format!("{source}\n[[services]]\nalias = \"spy\"\nimage = \"{host}/a/b\"\n");
    ensure!(source.contains("registries = [") && source.contains("\"127.0.0.1:"), "{source}");
    for host in ["127.0.0.1:9", "10.0.0.1:5000", "localhost", "127.1:80"] {
        for file in [with_registry(host), with_service(host)] {
            for query in ["", "?dry_run=true"] {
                let (path, body) = (format!("{path}{query}"), json!({ "source": file }));
                let refused =
                    all.ask(Some(&all.own), "PUT", &path, Some(&body)).await?.good(422)?;
                ensure!(refused.code() == "registry_denied", "{host}: {}", refused.json);
                ensure!(refused.text("/errors/0/pointer")? == "/source", "{}", refused.json);
                ensure!(refused.text("/errors/0/detail")?.contains(host), "{}", refused.json);
            }
        }
    }
    put(&all.own, &with_registry("ghcr.io")).await?.good(200)?;
    // What is there already stays, whoever changes the rest.
    put(&all.own, &source.replace("Birthday", "Anniversary")).await?.good(200)?;
    for file in [with_service("127.0.0.1:9"), with_registry("127.0.0.1:9")] {
        put(&all.operator, &file).await?.good(200)?;
        put(&all.own, &file.replace("Birthday", "Anniversary")).await?.good(200)?;
    }
    put(&all.own, &source).await?.good(200)?;
    put(&all.own, &with_registry("127.0.0.1:9")).await?.good(422)?;
    all.end().await
}

/// As many versions as there may be, and one more.
#[tokio::test(flavor = "multi_thread")]
async fn the_versions_of_rules_have_an_end() -> Result<()> {
    let all = Organisers::with(1).await?;
    let path = format!("/events/{OWN}/rules");
    let source = all.ask(Some(&all.own), "GET", &path, None).await?.text("/source")?;
    let events = events(&all).await?;
    let set = doc! { "$set": { "version": 499 } };
    events.update_one(doc! { "slug": OWN }, set).await?;
    let put = async |title: &str| {
        let body = json!({ "source": source.replace("Birthday", title) });
        all.ask(Some(&all.own), "PUT", &path, Some(&body)).await
    };
    let last = put("Last").await?.good(200)?;
    ensure!(last.json["version"] == 500, "{}", last.json);
    let refused = put("One more").await?;
    ensure!(refused.status == 409, "{} {}", refused.status, refused.json);
    ensure!(refused.code() == "too_many_versions", "{} {}", refused.status, refused.json);
    ensure!(put("Last").await?.good(200)?.json["outcome"] == "unchanged");
    let shown = all.ask(Some(&all.own), "GET", &path, None).await?.good(200)?;
    ensure!(shown.json["version"] == 500 && shown.text("/source")?.contains("Last"));
    all.end().await
}
