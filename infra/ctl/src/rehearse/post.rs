//! Posting as participants do: by the clock and not by the answers, so that a platform that is slow is
//! not sent less (open loop), and each answer's time counts from when it should have been sent. And
//! whom it posts to: nobody but this machine and private networks, unless somebody insists.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use portcall_shared::domain::ids::SubmissionId;
use reqwest::{Client, StatusCode, Url, header::RETRY_AFTER, redirect};
use serde_json::Value;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::plan::{Half, Kind};
use crate::failure::{Failure, chain};

/// How many wait for an answer at once; who comes then waits, and that counts.
const AT_ONCE: usize = 256;
/// How often one is sent, with the same key, where no answer came or the api asks for patience.
const TRIES: u32 = 5;
/// The longest pause between two tries.
const PAUSE: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// Whether addresses of the internet may be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Only this machine and private networks.
    Private,
    /// Any: somebody insists.
    Anywhere,
}

/// The api, at addresses that were looked at.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    http: Client,
    submissions: Url,
    forwarded: Forwarded,
}

/// Whether each submission is said to come from an address of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forwarded {
    /// It is not.
    No,
    /// By `X-Forwarded-For`, from the range that is set apart for load tests (RFC 2544).
    Yes,
}

/// One submission that is to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) half: Half,
    pub(crate) kind: Kind,
    pub(crate) body: Value,
}

/// One that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) half: Half,
    pub(crate) kind: Kind,
    /// From when it should have been sent to the answer.
    pub(crate) took: Duration,
    /// How often it was sent.
    pub(crate) tries: u32,
    pub(crate) answer: Answer,
}

/// What the api said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is taken in.
    Accepted(SubmissionId),
    /// It is not, with this status and code.
    Refused(u16, String),
    /// Nothing that could be read, however often it was sent.
    None(String),
}

/// Whether an address is this machine's own or of a private network.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// The addresses of a host, if it may be loaded.
pub(crate) async fn addresses(
    host: &str,
    port: u16,
    reach: Reach,
) -> Result<Vec<SocketAddr>, Failure> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found: Vec<SocketAddr> = tokio::net::lookup_host((bare, port))
        .await
        .map_err(|error| Failure::Unavailable(format!("{host}: {error}")))?
        .collect();
    let foreign = found.iter().find(|address| !is_private(address.ip()));
    match foreign {
        Some(address) if reach == Reach::Private => Err(Failure::Usage(format!(
            "{host} is {}, which is neither this machine nor of a private network: load against \
             somebody else's machine is an attack; --yes-really if it is yours",
            address.ip()
        ))),
        _ if found.is_empty() => Err(Failure::Unavailable(format!("{host} has no address"))),
        _ => Ok(found),
    }
}

impl Api {
    /// The api at an address, for submissions to this event.
    pub(crate) async fn at(
        base: &str,
        event: &str,
        reach: Reach,
        forwarded: Forwarded,
    ) -> Result<Self, Failure> {
        let wrong =
            || Failure::Usage(format!("`{base}` is no address such as http://10.0.0.2:8080"));
        let mut url: Url = base.parse().map_err(|_| wrong())?;
        let is_web = matches!(url.scheme(), "http" | "https");
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(wrong());
        };
        if !is_web || !url.username().is_empty() || url.query().is_some() {
            return Err(wrong());
        }
        let host = host.to_owned();
        // What was looked at is what is dialled, whatever the name stands for later.
        let found = addresses(&host, port, reach).await?;
        let http = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .resolve_to_addrs(&host, &found)
            .timeout(ANSWER)
            .pool_max_idle_per_host(AT_ONCE)
            .user_agent(concat!("portcall-rehearse/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failure::Internal(chain(&error)))?;
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{path}/api/v1/events/{event}/submissions"));
        url.set_query(Some("again=true"));
        Ok(Self { http, submissions: url, forwarded })
    }

    /// Whether it is there and knows the event.
    pub(crate) async fn knows_the_event(&self) -> Result<(), Failure> {
        let mut url = self.submissions.clone();
        let path = url.path().trim_end_matches("/submissions").to_owned();
        url.set_path(&path);
        url.set_query(None);
        let answer = self.http.get(url.clone()).send().await;
        match answer {
            Ok(answer) if answer.status() == StatusCode::OK => Ok(()),
            Ok(answer) => {
                let status = answer.status().as_u16();
                let hint = "does the api use this database (PORTCALL_MONGODB_URI)?";
                Err(Failure::Unavailable(format!("{url} answers {status}: {hint}")))
            }
            Err(error) => Err(Failure::Unavailable(chain(&error))),
        }
    }

    /// Sends one, again with the same key where nobody knows what became of it.
    async fn send(&self, number: usize, body: &Value, key: &str) -> (u32, Answer) {
        let mut answer = Answer::None(String::new());
        for tries in 1..=TRIES {
            let mut request = self.http.post(self.submissions.clone()).json(body);
            request = request.header("idempotency-key", key);
            if self.forwarded == Forwarded::Yes {
                request = request.header("x-forwarded-for", from(number));
            }
            let pause;
            match request.send().await {
                Ok(response) => {
                    let status = response.status();
                    let after = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok());
                    let after = after.and_then(|after| after.parse().ok());
                    pause = after.map_or(Duration::from_secs(1), Duration::from_secs);
                    let told: Value = response.json().await.unwrap_or_default();
                    answer = read(status, &told);
                    if !status.is_server_error() {
                        return (tries, answer);
                    }
                }
                Err(error) => {
                    pause = Duration::from_secs(1);
                    answer = Answer::None(chain(&error));
                }
            }
            if tries < TRIES {
                sleep(pause.min(PAUSE)).await;
            }
        }
        (TRIES, answer)
    }
}

fn read(status: StatusCode, told: &Value) -> Answer {
    let id = told["id"].as_str().and_then(|id| id.parse().ok());
    match (status, id) {
        (StatusCode::ACCEPTED, Some(id)) => Answer::Accepted(id),
        (StatusCode::ACCEPTED, None) => Answer::None("202 without an id".to_owned()),
        _ => {
            let code = told["code"].as_str().unwrap_or("no code").to_owned();
            Answer::Refused(status.as_u16(), code)
        }
    }
}

/// An address of 198.18.0.0/15 for each.
fn from(number: usize) -> String {
    let number = number % (1 << 17);
    format!("198.{}.{}.{}", 18 + (number >> 16), (number >> 8) & 255, number & 255)
}

/// Sends them by the clock, until all are sent or somebody says stop. What is under way then is
/// waited for.
pub(crate) async fn send(
    api: &Api,
    drafts: Vec<Draft>,
    between: Duration,
    run: &str,
    stop: &CancellationToken,
    done: &Arc<AtomicUsize>,
) -> Vec<Sent> {
    let (room, mut posts) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    let began = Instant::now();
    for (number, draft) in drafts.into_iter().enumerate() {
        let due = began + between * u32::try_from(number).unwrap_or(u32::MAX);
        tokio::select! {
            () = sleep_until(due) => {}
            () = stop.cancelled() => break,
        }
        let (api, room, done) = (api.clone(), Arc::clone(&room), Arc::clone(done));
        let key = format!("{run}-{}-{number}", half_word(draft.half));
        posts.spawn(async move {
            let _turn = room.acquire_owned().await;
            let (tries, answer) = api.send(number, &draft.body, &key).await;
            done.fetch_add(1, Ordering::Relaxed);
            let Draft { half, kind, .. } = draft;
            Sent { half, kind, took: due.elapsed(), tries, answer }
        });
    }
    let mut sent = Vec::new();
    while let Some(post) = posts.join_next().await {
        sent.extend(post);
    }
    sent
}

fn half_word(half: Half) -> &'static str {
    match half {
        Half::Calm => "calm",
        Half::Hostile => "hostile",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::{io::AsyncReadExt as _, io::AsyncWriteExt as _, net::TcpListener};

    use super::*;

    #[test]
    fn this_machine_and_private_networks_may_be_loaded_and_nobody_else() {
        for (address, fits) in [
            ("127.0.0.1", true),
            ("10.0.0.1", true),
            ("9.255.255.255", false),
            ("172.16.0.1", true),
            ("172.15.255.255", false),
            ("172.31.255.255", true),
            ("172.32.0.0", false),
            ("192.168.1.1", true),
            ("192.169.0.0", false),
            ("169.254.169.254", false),
            ("8.8.8.8", false),
            ("0.0.0.0", false),
            ("100.64.0.1", false),
            ("::1", true),
            ("::", false),
            ("fd00::1", true),
            ("fe80::1", true),
            ("2001:db8::1", false),
            ("::ffff:8.8.8.8", false),
            ("::ffff:10.0.0.1", true),
        ] {
            assert_eq!(is_private(address.parse().unwrap()), fits, "{address}");
        }
    }

    #[tokio::test]
    async fn a_foreign_address_is_refused_until_somebody_insists() {
        let at = |base: &'static str, reach| Api::at(base, "e", reach, Forwarded::No);
        let refused = at("http://192.0.2.1:8080", Reach::Private).await;
        assert!(matches!(&refused, Err(Failure::Usage(why)) if why.contains("--yes-really")));
        assert!(at("http://192.0.2.1:8080", Reach::Anywhere).await.is_ok());
        assert!(at("http://127.0.0.1:8080/sub/", Reach::Private).await.is_ok());
        assert!(at("http://[::1]:8080", Reach::Private).await.is_ok());
        for wrong in ["ftp://127.0.0.1", "127.0.0.1:8080", "http://", "http://u:p@127.0.0.1", ""] {
            assert!(at(wrong, Reach::Private).await.is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_comes_from_an_address_of_its_own() {
        assert_eq!((from(0).as_str(), from(257).as_str()), ("198.18.0.0", "198.18.1.1"));
        assert_eq!(
            (from(65_536).as_str(), from(131_071).as_str()),
            ("198.19.0.0", "198.19.255.255")
        );
        assert_eq!(from(131_072), from(0));
    }

    #[test]
    fn an_answer_is_what_it_says() {
        let id = SubmissionId::new();
        let taken = read(StatusCode::ACCEPTED, &json!({ "id": id.to_string() }));
        assert_eq!(taken, Answer::Accepted(id));
        let refused = read(StatusCode::TOO_MANY_REQUESTS, &json!({ "code": "too_many_requests" }));
        assert_eq!(refused, Answer::Refused(429, "too_many_requests".to_owned()));
        assert!(matches!(read(StatusCode::ACCEPTED, &json!({})), Answer::None(_)));
    }

    /// A server that is slow is not sent less, and the time counts from when it was due.
    #[tokio::test]
    async fn posts_go_by_the_clock() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (came, seen) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let (counter, all) = (Arc::clone(&came), seen.clone());
        tokio::spawn(async move {
            loop {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let (counter, all) = (Arc::clone(&counter), all.clone());
                tokio::spawn(async move {
                    let mut head = [0; 4096];
                    let _ = stream.read(&mut head).await;
                    // Nobody is answered before all have come.
                    if counter.fetch_add(1, Ordering::SeqCst) == 9 {
                        all.cancel();
                    }
                    all.cancelled().await;
                    let answer =
                        "HTTP/1.1 429 No\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        let base = format!("http://{address}");
        let api = Api::at(&base, "e", Reach::Private, Forwarded::Yes).await.unwrap();
        let draft = Draft { half: Half::Calm, kind: Kind::Good, body: json!({}) };
        let (drafts, between) = (vec![draft; 10], Duration::from_millis(20));
        let stop = CancellationToken::new();
        let sent = send(&api, drafts, between, "run", &stop, &Arc::default()).await;
        assert_eq!((sent.len(), came.load(Ordering::SeqCst)), (10, 10));
        let longest = sent.iter().map(|sent| sent.took).max().unwrap();
        assert!(longest >= between * 9, "the first waited for the last: {longest:?}");
        assert!(sent.iter().all(|s| matches!(s.answer, Answer::Refused(429, _)) && s.tries == 1));

        stop.cancel();
        let draft = Draft { half: Half::Calm, kind: Kind::Good, body: json!({}) };
        let none = send(&api, vec![draft; 10], PAUSE, "run", &stop, &Arc::default()).await;
        assert!(none.len() <= 1, "{none:?}");
    }
}
