//! The participant's secret: take back, withdraw, erase. What is erased leaves the document, the map
//! and what is open on it, searches, exports and the audit log.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use portcall_tests::{
    parts::client::{Answer, Client},
    wait,
};
use reqwest::Method;
use serde_json::json;

use super::{
    regrades::Office,
    stage::{Stage, problem},
};

const PATIENCE: Duration = Duration::from_secs(30);
/// Until what was erased is off every map: by the news of it, since what is compared by itself is so every 15 s.
const OFF: Duration = Duration::from_secs(10);
const PINS: &str = "/api/v1/events/birthday-3/pins?bbox=-180,-85,180,85&zoom=14";
const PLANTED: [&str; 7] = [
    "planted-name",
    "planted-handle",
    "planted-contact",
    "planted-place",
    "planted-answer",
    "planted-key",
    "planted-note",
];

/// Somebody's submission, with all that is personal in it.
struct Own {
    id: String,
    secret: String,
}

impl Own {
    async fn post(stage: &Stage) -> Result<Self> {
        let submission = stage
            .submission(PLANTED[0])
            .with("/participant/handle", PLANTED[1].into())
            .with("/participant/contact", PLANTED[2].into())
            .with("/place/label", PLANTED[3].into())
            .with("/answers/why", PLANTED[4].into())
            .key(PLANTED[5]);
        Self::sent(&stage.client()?, &submission).await
    }

    async fn sent(client: &Client, submission: &portcall_tests::Submission) -> Result<Self> {
        let accepted = client.submit(submission).await?;
        let secret = accepted.document["secret"].as_str().context("a secret")?.to_owned();
        Ok(Self { id: accepted.id, secret })
    }

    async fn take_back(&self, client: &Client, query: &str) -> Result<Answer> {
        take_back(client, &self.id, query, Some(&format!("Bearer {}", self.secret))).await
    }
}

async fn take_back(
    client: &Client,
    id: &str,
    query: &str,
    authorization: Option<&str>,
) -> Result<Answer> {
    let path = format!("/api/v1/submissions/{id}{query}");
    let headers: Vec<_> = authorization.map(|value| ("authorization", value)).into_iter().collect();
    client.request(Method::DELETE, &path, &headers, None).await
}

/// What of the planted words the database, and what organisers are shown, still has.
async fn left(office: &Office) -> Result<Vec<&'static str>> {
    let (uri, database) = office.stage.apis.database();
    let mut all = format!("{:?}", portcall_tests::parts::mongo::dump(uri, database).await?);
    for path in ["submissions", "export?format=json", "export?format=csv", "audit"] {
        let path = format!("/api/v1/admin/events/birthday-3/{path}");
        let answer = office.ask(Method::GET, &path, None).await?;
        ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.text);
        all += &answer.text;
    }
    Ok(PLANTED.into_iter().filter(|word| all.contains(word)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_that_is_withdrawn_leaves_everything() -> Result<()> {
    let office = Office::open(&["--operator"]).await?;
    let client = office.stage.client()?;
    let own = Own::post(&office.stage).await?;
    let other = client.submit(&office.stage.submission("p2")).await?.id;
    office.settle(|_| true).await?;
    client.wait_pin(&own.id, PATIENCE).await?;
    let hide = format!("/api/v1/admin/submissions/{}/hide", own.id);
    for act in [&hide, &hide.replace("hide", "unhide")] {
        let answer = office.ask(Method::POST, act, Some(json!({ "note": PLANTED[6] }))).await?;
        ensure!(answer.status.is_success(), "{act}: {} {}", answer.status, answer.text);
    }
    client.wait_pin(&own.id, PATIENCE).await?;
    ensure!(left(&office).await? == PLANTED, "the control: {:?}", left(&office).await?);

    // Somebody has the map open meanwhile.
    let follower = client.clone();
    let open = tokio::spawn(async move {
        let told = |text: &str| text.contains("event: reset");
        follower.live("/api/v1/events/birthday-3/live", PATIENCE, told).await
    });
    wait::until("the stream is open", PATIENCE, || async {
        let metrics = format!("http://{}/metrics", office.stage.apis.all[0].ops);
        Ok(client.get(&metrics).await?.text.contains("portcall_live_streams 1").then_some(()))
    })
    .await?;
    let asked = Instant::now();
    let answer = own.take_back(&client, "").await?;
    ensure!(answer.status == 204, "{} {}", answer.status, answer.text);
    wait::until("off the map", PATIENCE, || async {
        let map = client.get(PINS).await?;
        Ok((!map.text.contains(&own.id)).then_some(()))
    })
    .await?;
    let off = asked.elapsed();
    ensure!(open.await??.contains("event: reset"), "who has the map open is told");
    let told = asked.elapsed();
    println!("off the map after {off:?}, told after {told:?}");
    ensure!(off < OFF && told < OFF, "{off:?} {told:?}");

    ensure!(left(&office).await?.is_empty(), "{:?}", left(&office).await?);
    ensure!(client.get(PINS).await?.text.contains(&other), "what is another's stays");
    let document = client.document(&own.id).await?;
    ensure!(document["participant"]["name"] == "(erased)", "{document:#}");
    ensure!(document["state"] == "passed" && document["answers"] == json!({ "vote": "Cats" }));
    ensure!(document["images"][0]["digest"].is_string(), "{document:#}");
    let text = document.to_string();
    ensure!(!text.contains("what it wrote") && !text.contains("good"), "{document:#}");
    // To ask again is the same, also for less; for others it is as ever.
    for query in ["", "?erase=true"] {
        ensure!(own.take_back(&client, query).await?.status == 204);
    }
    let wrong = take_back(&client, &own.id, "", Some("Bearer wrong")).await?;
    problem(&wrong, 403, "secret_wrong")?;
    // The key that it was sent under is free.
    let again = Own::post(&office.stage).await?;
    ensure!(again.id != own.id, "a new submission");
    office.stage.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_secret_takes_back_and_only_as_far_as_is_said() -> Result<()> {
    let office = Office::open(&["--operator"]).await?;
    let client = office.stage.client()?;
    let state = async |own: &Own| {
        let document = client.document(&own.id).await?;
        let erased = document["participant"]["name"] == "(erased)";
        Ok::<_, anyhow::Error>((document["state"].as_str().unwrap_or_default().to_owned(), erased))
    };
    let own = Own::post(&office.stage).await?;
    let stranger = Own::sent(&client, &office.stage.submission("p2")).await?;
    problem(&take_back(&client, &own.id, "", None).await?, 401, "secret_needed")?;
    for bearer in ["Bearer x".to_owned(), format!("Bearer {}", stranger.secret)] {
        let answer = take_back(&client, &own.id, "?erase=true", Some(&bearer)).await?;
        problem(&answer, 403, "secret_wrong")?;
    }
    for query in ["?erase=yes", "?erase=true&erase=true", "?secret=x"] {
        let answer = own.take_back(&client, query).await?;
        ensure!(answer.status.is_client_error(), "{query}: {}", answer.status);
    }
    let nobody = "01890a5d-ac96-774b-bcce-b302099a8057";
    problem(&take_back(&client, nobody, "", Some("Bearer x")).await?, 404, "not_found")?;
    ensure!(state(&own).await? == ("queued".to_owned(), false), "{:?}", state(&own).await?);

    // One that waits is cancelled, and asked again for the same nothing more is done.
    for _ in 0..2 {
        ensure!(own.take_back(&client, "").await?.status == 204);
        ensure!(state(&own).await? == ("cancelled".to_owned(), false));
    }
    ensure!(own.take_back(&client, "?erase=false").await?.status == 204);
    ensure!(own.take_back(&client, "?erase=true").await?.status == 204);
    ensure!(state(&own).await? == ("cancelled".to_owned(), true));
    ensure!(left(&office).await?.is_empty(), "{:?}", left(&office).await?);

    // One that waits is cancelled and erased at once, if that is said.
    let another = Own::post(&office.stage).await?;
    ensure!(another.take_back(&client, "?erase=true").await?.status == 204);
    ensure!(state(&another).await? == ("cancelled".to_owned(), true));
    ensure!(left(&office).await?.is_empty(), "{:?}", left(&office).await?);

    // One that has ended stays if it was only to be cancelled.
    office.settle(|_| false).await?;
    let answer = stranger.take_back(&client, "?erase=false").await?;
    problem(&answer, 409, "already_final")?;
    ensure!(state(&stranger).await? == ("failed".to_owned(), false));
    ensure!(stranger.take_back(&client, "").await?.status == 204);
    ensure!(state(&stranger).await? == ("failed".to_owned(), true));
    office.stage.end().await
}

/// A participant who has lost the secret asks an organiser.
#[tokio::test(flavor = "multi_thread")]
async fn organisers_erase_on_request() -> Result<()> {
    let office = Office::open(&["--event", "birthday-3"]).await?;
    let client = office.stage.client()?;
    let own = Own::post(&office.stage).await?;
    let hide = format!("/api/v1/admin/submissions/{}/hide", own.id);
    office.ask(Method::POST, &hide, Some(json!({ "note": PLANTED[6] }))).await?;
    let erase = hide.replace("hide", "erase");
    for _ in 0..2 {
        let answer = office.ask(Method::POST, &erase, Some(json!({ "note": "request 7" }))).await?;
        ensure!(answer.status == 204, "{} {}", answer.status, answer.text);
    }
    ensure!(left(&office).await?.is_empty(), "{:?}", left(&office).await?);
    ensure!(client.document(&own.id).await?["state"] == "cancelled");
    let log = office.ask(Method::GET, "/api/v1/admin/events/birthday-3/audit", None).await?;
    ensure!(log.text.matches("request 7").count() == 2, "why it was erased stays: {}", log.text);
    let requeue = hide.replace("hide", "requeue");
    problem(&office.ask(Method::POST, &requeue, None).await?, 409, "not_undetermined")?;
    // Who sent it may still be told so.
    ensure!(own.take_back(&client, "?erase=true").await?.status == 204);
    office.stage.end().await
}
