//! Exports: what they hold, that no cell is a formula (row W23), that they cost no memory, and that
//! one which breaks off never looks complete.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bson::{Bson, DateTime, Document, doc};
use futures::future::try_join_all;
use portcall_tests::{parts::proxy::Proxy, wait};
use reqwest::Method;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::{
    organisers::{OWN, Organisers, is_ok},
    stage::Stage,
};

const PATIENCE: Duration = Duration::from_secs(60);
/// Submissions of a large export, and the size of each.
const MANY: usize = 2000;
const LARGE: usize = 12 * 1024;
/// What a process may grow by while it writes a file of many times that, in KiB.
const GROWTH_KIB: u64 = 12 * 1024;
/// Names and the like that spreadsheets would take for formulas.
const FORMULAS: [&str; 12] = [
    "=1+1",
    "+1",
    "-2+3",
    "@SUM(A1)",
    "=HYPERLINK(\"http://a\",\"b\")",
    "=cmd|' /C calc'!A0",
    "\u{ff1d}1+1",
    "\u{ff0b}1",
    "\u{ff0d}1",
    "\u{ff20}x",
    "x;=1+1",
    "+ADw-script+AD4-",
];

/// An export as text, with its headers.
async fn export(all: &Organisers, query: &str) -> Result<(String, Vec<(String, String)>)> {
    let base = all.stage.apis.all[0].address.context("an address")?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("http://{base}/api/v1/admin/events/{OWN}/export{query}");
    let request = client.request(Method::GET, url).bearer_auth(&all.own.text);
    let answer = request.send().await?;
    is_ok(answer.status())?;
    let header = |name: &str| {
        let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
        (name.to_owned(), value.unwrap_or_default().to_owned())
    };
    let names = ["content-type", "content-disposition", "x-content-type-options", "cache-control"];
    let headers = names.map(header).to_vec();
    Ok((answer.text().await?, headers))
}

/// Rows of a table by the names of their columns.
fn rows(table: &str) -> Result<Vec<Vec<(String, String)>>> {
    let mut reader = csv::ReaderBuilder::new().from_reader(table.as_bytes());
    let head = reader.headers()?.clone();
    let named = |row: csv::StringRecord| {
        head.iter().zip(&row).map(|(name, cell)| (name.to_owned(), cell.to_owned())).collect()
    };
    Ok(reader.records().map(|row| row.map(named)).collect::<Result<_, _>>()?)
}

fn cell<'a>(row: &'a [(String, String)], name: &str) -> &'a str {
    row.iter().find(|(column, _)| column == name).map_or("", |(_, cell)| cell)
}

/// Row W23, through the whole system.
#[tokio::test(flavor = "multi_thread")]
async fn no_cell_of_a_table_is_a_formula() -> Result<()> {
    let all = Organisers::with(1).await?;
    let mut ids = Vec::new();
    for text in FORMULAS {
        let fields = doc! {
            "participant.handle": text,
            "participant.contact": text,
            "place.label": text,
            "answers.why": text,
        };
        ids.push(all.plant_with(text, "failed", fields).await?);
    }
    let reason = doc! { "verdict.reason.message": "\t=1\r\n\u{0}a\u{1b}[2J, \"b\"" };
    ids.push(all.plant_with("Plain, \"quoted\"", "failed", reason).await?);
    for (query, bom) in [("", false), ("?format=csv&bom=true", true)] {
        let (table, headers) = export(&all, query).await?;
        ensure!(table.starts_with('\u{feff}') == bom, "{query}");
        let headers: std::collections::BTreeMap<_, _> = headers.into_iter().collect();
        ensure!(headers["content-type"].starts_with("text/csv; charset=utf-8"), "{headers:?}");
        let saved = &headers["content-disposition"];
        ensure!(saved.starts_with("attachment; filename=\"portcall-birthday-3-"), "{saved}");
        ensure!(saved.ends_with(".csv\""), "{saved}");
        ensure!(headers["x-content-type-options"] == "nosniff", "{headers:?}");
        ensure!(headers["cache-control"] == "no-store", "{headers:?}");
        let table = table.trim_start_matches('\u{feff}');
        ensure!(table.ends_with("\r\n") && !table.contains('\0'));
        let rows = rows(table)?;
        ensure!(rows.iter().map(|row| cell(row, "id")).eq(ids.iter()), "in the order of time");
        for (_, cell) in rows.iter().flatten() {
            let first = cell.chars().find(|c| !c.is_whitespace());
            let sign = first.is_some_and(|c| "=+-@\u{ff1d}\u{ff0b}\u{ff0d}\u{ff20}".contains(c));
            ensure!(!sign || cell.parse::<f64>().is_ok(), "{cell:?}");
            ensure!(!cell.chars().any(char::is_control), "{cell:?}");
        }
        for (row, text) in rows.iter().zip(FORMULAS) {
            for column in ["name", "handle", "contact", "place", "answer.why"] {
                let (kept, read) = (cell(row, column).replace('\'', ""), text.replace('\'', ""));
                ensure!(kept == read, "{column}: {text}: {:?}", cell(row, column));
            }
        }
        let last = rows.last().context("a last row")?;
        ensure!(cell(last, "name") == "Plain, \"quoted\"", "{last:?}");
        let detail = "'\\t=1\\r\\n\\u{0000}a\\u{001b}[2J, \"b\"";
        ensure!(cell(last, "reason_detail") == detail, "{last:?}");
        ensure!(cell(last, "lng") == "-122.42", "a number stays one: {last:?}");
    }
    all.end().await
}

/// All of the event and nothing else; what was erased is not told, whatever the database still holds.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_all_of_the_event_and_nothing_erased() -> Result<()> {
    let all = Organisers::with(1).await?;
    let mut ids = Vec::new();
    for state in ["queued", "passed", "failed", "undetermined", "cancelled"] {
        ids.push(all.plant(state, state).await?);
    }
    let erased = doc! { "erased_at": DateTime::now() };
    ids.push(all.plant_with("Erased", "cancelled", erased).await?);
    let hidden = doc! { "hidden_at": DateTime::now() };
    ids.push(all.plant_with("Hidden", "passed", hidden).await?);
    let unreadable = doc! { "state": "of a newer version" };
    ids.push(all.plant_with("Newer", "passed", unreadable).await?);
    let of = bson::Uuid::parse_str(&ids[0])?;
    all.plant_with("Trial", "passed", doc! { "trial_of": of }).await?;
    all.plant_with("Elsewhere", "passed", doc! { "event": "other" }).await?;

    let (table, _) = export(&all, "?format=csv").await?;
    let rows = rows(&table)?;
    ensure!(rows.iter().map(|row| cell(row, "id")).eq(ids.iter()), "{table}");
    ensure!(cell(&rows[1], "contact") == "passed <contact@example.org>", "{:?}", rows[1]);
    ensure!(cell(&rows[1], "answer.vote") == "Cats" && cell(&rows[6], "hidden") == "true");
    ensure!(cell(&rows[2], "reason") == "not_listening" && cell(&rows[2], "hidden") == "false");
    ensure!(cell(&rows[7], "state") == "unreadable" && cell(&rows[7], "name").is_empty());
    let personal =
        ["name", "handle", "contact", "place", "lat", "lng", "answer.vote", "answer.why"];
    ensure!(personal.iter().all(|column| cell(&rows[5], column).is_empty()), "{:?}", rows[5]);
    ensure!(!cell(&rows[5], "erased_at").is_empty() && !table.contains("Erased"), "{table}");

    let (text, headers) = export(&all, "?format=json").await?;
    ensure!(headers[0].1.starts_with("application/json"), "{headers:?}");
    ensure!(headers[1].1.ends_with(".json\""), "{headers:?}");
    let document: Value = serde_json::from_str(&text)?;
    ensure!(document["complete"] == true && document["count"] == ids.len(), "{document:#}");
    ensure!(document["event"] == OWN, "{document:#}");
    let entries = document["submissions"].as_array().context("submissions")?;
    ensure!(entries.iter().map(|entry| entry["id"].as_str()).eq(ids.iter().map(|id| Some(&**id))));
    ensure!(entries[1]["contact"] == "passed <contact@example.org>", "{}", entries[1]);
    ensure!(entries[1]["attempts"].is_array() && entries[6]["hidden"] == true, "{}", entries[6]);
    ensure!(entries[7]["state"] == "unreadable", "{}", entries[7]);
    ensure!(!text.contains("Erased") && !text.contains("Trial") && !text.contains("Elsewhere"));
    ensure!(!text.contains("\"secret\""), "{text}");
    for query in ["?format=xml", "?format=json&bom=true", "?bom=1", "?formats=csv"] {
        let path = format!("/events/{OWN}/export{query}");
        let answer = all.ask(Some(&all.own), "GET", &path, None).await?;
        ensure!([400, 422].contains(&answer.status), "{query}: {}", answer.status);
    }
    let lines = all.audit(OWN).await?;
    let taken = |format: &str| {
        let exported = |line: &&Value| line["what"] == "export" && line["by"] == "Ann";
        lines.iter().filter(exported).any(|line| line["detail"]["format"] == format)
    };
    ensure!(taken("csv") && taken("json"), "who took it out is noted: {lines:?}");
    all.end().await
}

/// An event without submissions has a table with its head, and a document that is complete.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_export_is_whole() -> Result<()> {
    let all = Organisers::with(1).await?;
    let (table, _) = export(&all, "").await?;
    ensure!(table.lines().count() == 1 && table.starts_with("\"id\",\"event\","), "{table}");
    let (text, _) = export(&all, "?format=json").await?;
    let document: Value = serde_json::from_str(&text)?;
    ensure!(document["count"] == 0 && document["complete"] == true, "{document}");
    all.end().await
}

/// Many large submissions.
async fn plant_many(all: &Organisers) -> Result<()> {
    let submissions = all.submissions().await?;
    let message = "x".repeat(LARGE);
    for _ in 0..MANY / 500 {
        let mut documents: Vec<Document> = Vec::new();
        for _ in 0..500 {
            let (_, mut document) = all.document("Many", "failed")?;
            let verdict = document.get_document_mut("verdict")?;
            verdict.get_document_mut("reason")?.insert("message", Bson::from(message.as_str()));
            documents.push(document);
        }
        submissions.insert_many(documents).await?;
    }
    Ok(())
}

/// Begins an export on a connection that takes little at a time.
async fn begin(all: &Organisers, format: &str) -> Result<TcpStream> {
    let address = all.stage.apis.all[0].address.context("an address")?;
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(16 * 1024)?;
    let mut stream = socket.connect(address).await?;
    let request = format!(
        "GET /api/v1/admin/events/{OWN}/export?format={format} HTTP/1.1\r\nhost: {address}\r\n\
         authorization: Bearer {}\r\nconnection: close\r\n\r\n",
        all.own.text
    );
    stream.write_all(request.as_bytes()).await?;
    let mut first = vec![0; 32 * 1024];
    stream.read_exact(&mut first).await?;
    ensure!(first.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&first[..200]));
    Ok(stream)
}

/// All that still comes; the number of bytes and the last of them.
async fn rest(mut stream: TcpStream) -> Result<(usize, Vec<u8>)> {
    let read = async {
        let (mut count, mut end, mut piece) = (0, Vec::new(), vec![0; 64 * 1024]);
        // A reset is an end as well.
        while let Ok(n @ 1..) = stream.read(&mut piece).await {
            count += n;
            end.extend_from_slice(&piece[..n]);
            end.drain(..end.len().saturating_sub(4096));
        }
        (count, end)
    };
    tokio::time::timeout(PATIENCE, read).await.context("it does not end")
}

/// Whether a body that was sent in chunks came to its end.
fn is_whole(end: &[u8]) -> bool {
    end.ends_with(b"\r\n0\r\n\r\n")
}

fn rss_kib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// The store dies while two files are under way: neither looks complete, to no reader. Before that,
/// the control: both come whole, and cost next to no memory however slowly they are read.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_breaks_off_does_not_look_complete() -> Result<()> {
    let mut stage = Stage::bare(&[]).await?;
    let uri = stage.apis.database().0.to_owned();
    let host = uri.trim_start_matches("mongodb://").split(['/', ',']).next().context("a host")?;
    let mut proxy = Proxy::tcp(host.parse()?).await?;
    let through = format!("mongodb://{}/?directConnection=true", proxy.address());
    stage.apis = stage.apis.setting("PORTCALL_MONGODB_URI", through);
    let all = Organisers::on(stage, 1).await?;
    plant_many(&all).await?;
    let pid = all.stage.apis.all[0].process.pid();
    // What it takes anyway is taken once.
    rest(begin(&all, "csv").await?).await?;
    let before = rss_kib(pid)?;
    let slow = [begin(&all, "csv").await?, begin(&all, "json").await?];
    tokio::time::sleep(Duration::from_secs(2)).await;
    let held = rss_kib(pid)?;
    // At once: who takes nothing for half a minute is given up.
    for (count, end) in try_join_all(slow.map(rest)).await? {
        ensure!(is_whole(&end) && count > MANY * LARGE, "{count} bytes");
    }
    let after = rss_kib(pid)?;
    println!(
        "{} MiB twice: {before} KiB before, {held} held back, {after} after",
        (MANY * LARGE) >> 20
    );
    ensure!(held < before + GROWTH_KIB && after < before + GROWTH_KIB, "it is held in memory");

    let broken = [begin(&all, "csv").await?, begin(&all, "json").await?];
    proxy.close().await;
    for stream in broken {
        let (count, end) = rest(stream).await?;
        ensure!(count < MANY * LARGE, "it was all on its way already: {count} bytes");
        let text = String::from_utf8_lossy(&end);
        ensure!(!is_whole(&end) && !text.contains("\"complete\""), "{count} bytes, {text}");
    }
    proxy.open().await?;
    let logged = ["an export broke off"];
    all.stage.apis.all[0].wait_log(&logged, PATIENCE).await?;
    wait::until("a whole export again", PATIENCE, || async {
        let stream = begin(&all, "json").await;
        let Ok(stream) = stream else { return Ok(None) };
        let (_, end) = rest(stream).await?;
        Ok(is_whole(&end).then_some(()))
    })
    .await?;
    all.end().await
}
