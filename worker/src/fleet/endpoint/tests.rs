//! Addresses, versions and moving on, against small fakes that note what they were asked; that real
//! engines speak so is shown by the suites that start some.

use std::sync::atomic::AtomicU32;

use tokio::net::TcpSocket;

use self::fake::{Fake, Says, locked};
use super::*;

pub(in crate::fleet) mod fake;

fn endpoint(fakes: &[&Fake]) -> Endpoint {
    let hosts: Vec<String> = fakes.iter().map(|fake| fake.address.clone()).collect();
    Endpoint::new(&hosts, None).unwrap()
}

/// For whoever answers: a machine may be busy.
const PATIENT: Duration = Duration::from_secs(20);

async fn ask(endpoint: &Endpoint) -> Result<String, FleetError> {
    ask_within(endpoint, PATIENT).await
}

async fn ask_within(endpoint: &Endpoint, limit: Duration) -> Result<String, FleetError> {
    let info = |docker: Docker| async move { docker.info().await };
    let info = endpoint.ask(limit, "asking", info).await?;
    Ok(info.name.unwrap_or_default())
}

#[test]
fn only_addresses_of_engines_are_taken() {
    for good in ["unix:///run/docker.sock", "tcp://127.0.0.1:2375", "http://node:2375/"] {
        assert!(Address::parse(good, None).is_ok(), "{good}");
    }
    for bad in ["", "unix://", "tcp://", "/run/docker.sock", "ssh://node", "https://node"] {
        assert!(matches!(Address::parse(bad, None), Err(FleetError::Address(_))), "{bad}");
    }
    assert!(matches!(Endpoint::new(&[], None), Err(FleetError::Address(_))));
}

#[test]
fn certificates_that_are_none_are_refused_before_anything_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let refused = || match Address::parse("tcp://node:2376", Some(folder.path())) {
        Err(FleetError::Certificates { detail, .. }) => detail,
        other => panic!("{other:?}"),
    };
    assert!(refused().contains("ca.pem"));
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        std::fs::write(folder.path().join(name), "no certificate").unwrap();
    }
    assert_eq!(refused(), "ca.pem holds no certificate");
    // A socket of this machine needs none.
    assert!(Address::parse("unix:///run/docker.sock", Some(folder.path())).is_ok());
}

#[tokio::test]
async fn paths_name_a_version_only_where_the_engines_newest_is_not_known_here() {
    for (api, oldest, path) in [
        ("1.41", "1.12", "/info"),
        ("1.47", "1.24", "/info"),
        ("1.48", "1.24", "/v1.47/info"),
        ("1.60", "1.47", "/v1.47/info"),
    ] {
        let fake = Fake::new(api, oldest, Says::Answer).await;
        let endpoint = endpoint(&[&fake]);
        assert_eq!(ask(&endpoint).await.unwrap(), "answer");
        assert_eq!(fake.asked(), ["/version", path], "{api}");
        let read = endpoint.read(PATIENT, "reading", "/tasks?x=1").await.unwrap();
        assert_eq!(read["Name"], "answer");
        assert_eq!(fake.asked(), [path.replace("/info", "/tasks?x=1")], "greeted once");
    }
    for (api, oldest) in [("1.40", "1.12"), ("1.60", "1.48")] {
        let fake = Fake::new(api, oldest, Says::Answer).await;
        let error = ask(&endpoint(&[&fake])).await.unwrap_err();
        assert!(matches!(error, FleetError::Unfit(_)), "{error}");
        assert_eq!(fake.asked(), ["/version"], "nothing more is asked of it");
    }
}

#[tokio::test]
async fn whoever_answers_is_asked_first_from_then_on() {
    let no_leader = "rpc error: code = Unknown desc = The swarm does not have a leader.";
    for silent in [
        Says::Silence,
        Says::Refusal(503, "This node is not a swarm manager. Use docker swarm init"),
        Says::Refusal(500, no_leader),
        Says::Refusal(500, "rpc error: code = Unavailable desc = connection error"),
    ] {
        // Only silence is waited out.
        let limit = if matches!(silent, Says::Silence) { Duration::from_secs(1) } else { PATIENT };
        let first = Fake::new("1.41", "1.12", silent).await;
        let second = Fake::new("1.41", "1.12", Says::Answer).await;
        let endpoint = endpoint(&[&first, &second]);
        assert_eq!(ask_within(&endpoint, limit).await.unwrap(), "answer");
        assert_eq!(endpoint.last(), 1);
        assert_eq!(first.asked(), ["/version", "/info"]);
        assert_eq!(ask(&endpoint).await.unwrap(), "answer");
        assert_eq!(first.asked(), [""; 0]);
        // And back, when that one goes.
        *locked(&first.says) = Says::Answer;
        *locked(&second.says) = Says::Refusal(503, "not a swarm manager");
        assert_eq!(ask(&endpoint).await.unwrap(), "answer");
        assert_eq!(endpoint.last(), 0);
    }
}

#[tokio::test]
async fn a_refusal_of_the_request_is_nobody_elses_to_answer() {
    for (status, words) in [
        (404, "service x not found"),
        (409, "name conflicts with an existing object"),
        (400, "invalid reference format"),
        (500, "rpc error: code = Unknown desc = update out of sequence"),
    ] {
        let first = Fake::new("1.41", "1.12", Says::Refusal(status, words)).await;
        let second = Fake::new("1.41", "1.12", Says::Answer).await;
        let endpoint = endpoint(&[&first, &second]);
        let error = ask(&endpoint).await.unwrap_err();
        let told = matches!(&error, FleetError::Refused { status: s, message, .. }
            if *s == status && message == words);
        assert!(told, "{error}");
        assert_eq!(second.asked(), [""; 0], "{words}");
    }
}

#[tokio::test]
async fn an_address_where_nobody_is_costs_no_more_than_the_next_one() {
    let there = Fake::new("1.41", "1.12", Says::Answer).await;
    // Bound and not listened on, so that nobody else has it meanwhile.
    let gone = TcpSocket::new_v4().unwrap();
    gone.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = format!("tcp://{}", gone.local_addr().unwrap());
    let hosts = ["unix:///nonexistent/docker.sock".to_owned(), nobody, there.address.clone()];
    let endpoint = Endpoint::new(&hosts, None).unwrap();
    assert_eq!(ask(&endpoint).await.unwrap(), "answer");
    assert_eq!(endpoint.last(), 2);
    // With nobody at all, it is the platform's fault and no endless search.
    let endpoint = Endpoint::new(&hosts[..2], None).unwrap();
    assert!(matches!(ask(&endpoint).await, Err(FleetError::Unreachable { .. })));
}

#[tokio::test]
async fn a_swarm_without_a_leader_is_waited_for_and_not_for_ever() {
    let hosts = ["unix:///a".to_owned(), "unix:///b".to_owned()];
    let mut endpoint = Endpoint::new(&hosts, None).unwrap();
    let leaderless = || FleetError::Refused {
        doing: "asking",
        status: 500,
        message: "The swarm does not have a leader".to_owned(),
    };
    let asked = AtomicU32::new(0);
    let elected = endpoint.move_on(|_| async {
        match asked.fetch_add(1, Ordering::Relaxed) {
            0..5 => Err(leaderless()),
            _ => Ok(()),
        }
    });
    elected.await.unwrap();
    assert_eq!(asked.into_inner(), 6, "two rounds, and half of the third");
    // As is one whose managers fall silent over it; who is not even greeted is not there.
    let silent = |doing| FleetError::Deadline { doing, after: Duration::from_secs(1) };
    let asked = AtomicU32::new(0);
    let elected = endpoint.move_on(|_| async {
        match asked.fetch_add(1, Ordering::Relaxed) {
            0..3 => Err(silent("asking")),
            _ => Ok(()),
        }
    });
    elected.await.unwrap();
    assert_eq!(asked.into_inner(), 4);
    let asked = AtomicU32::new(0);
    let gone = endpoint.move_on(|_| async {
        asked.fetch_add(1, Ordering::Relaxed);
        Err::<(), _>(silent(address::GREETS))
    });
    assert!(matches!(gone.await, Err(FleetError::Deadline { .. })));
    assert_eq!(asked.into_inner(), 2, "one round");
    endpoint.patience = Duration::ZERO;
    let never = endpoint.move_on(|_| async { Err::<(), _>(leaderless()) }).await;
    assert!(matches!(never, Err(FleetError::Refused { .. })));
}
