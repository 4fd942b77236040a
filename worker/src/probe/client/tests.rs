//! A test takes the prober's place at the other end of the streams.

use tokio::io::{
    AsyncBufReadExt, BufReader, DuplexStream, Lines as TextLines, ReadHalf, WriteHalf,
};

use super::*;
use crate::probe::wire::{AskFailure, Method};

/// The prober's place, taken by the test.
struct Prober {
    requests: TextLines<BufReader<ReadHalf<DuplexStream>>>,
    answers: WriteHalf<DuplexStream>,
}

impl Prober {
    async fn request(&mut self) -> Request {
        let line = self.requests.next_line().await.unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    }

    async fn say(&mut self, observation: &Observation) {
        let line = serde_json::to_string(observation).unwrap();
        self.answers.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }
}

fn conversation() -> (ProberClient, Prober) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (reader, writer) = tokio::io::split(near);
    let slot = |address| address == IpAddr::from([10, 213, 4, 2]);
    let client = ProberClient::new(reader, writer, slot);
    let (requests, answers) = tokio::io::split(far);
    (client, Prober { requests: BufReader::new(requests).lines(), answers })
}

fn question(id: u64, total_ms: u64) -> Question {
    Question {
        id,
        address: ([10, 213, 4, 2], 80).into(),
        host: "app".into(),
        method: Method::Get,
        path: "/".into(),
        headers: Vec::new(),
        body: None,
        limits: AskLimits { total_ms, ..AskLimits::default() },
    }
}

fn answer(id: u64, body: &[u8]) -> Observation {
    let (status, headers, body) = (200, Vec::new(), body.to_vec());
    Observation::Answer { id, status, headers, body, body_ms: 0, ms: 1 }
}

fn own_id(request: &Request) -> u64 {
    match request {
        Request::Ask(Question { id, .. })
        | Request::Knock { id, .. }
        | Request::Path { id, .. }
        | Request::Ping { id }
        | Request::Disk { id } => *id,
    }
}

#[tokio::test]
async fn answers_find_their_questions_in_any_order() {
    let (client, mut prober) = conversation();
    let (first, second, ()) =
        tokio::join!(client.ask(question(7, 5_000)), client.ask(question(7, 5_000)), async {
            let ids = [own_id(&prober.request().await), own_id(&prober.request().await)];
            prober.say(&answer(ids[1], b"second")).await;
            prober.say(&answer(ids[0], b"first")).await;
        },);
    assert_eq!(first, Ok(answer(7, b"first")));
    assert_eq!(second, Ok(answer(7, b"second")));
    assert_eq!(client.over(), None);
}

#[tokio::test]
async fn an_id_that_nobody_waits_for_helps_nobody() {
    let (client, mut prober) = conversation();
    let asked = tokio::join!(client.ask(question(1, 0)), async {
        let id = own_id(&prober.request().await);
        for stray in [0, id + 1, u64::MAX] {
            prober.say(&answer(stray, b"stray")).await;
        }
    })
    .0;
    assert!(matches!(asked, Err(ProberError::Garbled { .. })), "{asked:?}");
}

#[tokio::test]
async fn a_way_is_clear_if_the_prober_says_so_and_only_within_the_slot() {
    let (client, mut prober) = conversation();
    let (there, within) = (IpAddr::from([10, 213, 4, 2]), Duration::from_secs(60));
    for said in [true, false] {
        let (clear, request) = tokio::join!(client.is_clear(there, within), async {
            let request = prober.request().await;
            prober.say(&Observation::Path { id: own_id(&request), clear: said }).await;
            request
        });
        assert_eq!(clear, Ok(said));
        assert!(matches!(request, Request::Path { within_ms: KNOCK_MS, .. }), "{request:?}");
    }
    let elsewhere = client.is_clear([10, 213, 4, 3].into(), within).await;
    assert!(matches!(elsewhere, Err(ProberError::Refused { .. })), "{elsewhere:?}");
    let (other, ()) = tokio::join!(client.is_clear(there, within), async {
        let id = own_id(&prober.request().await);
        prober.say(&Observation::Pong { id }).await;
    });
    assert!(matches!(other, Err(ProberError::Garbled { .. })), "{other:?}");
}

#[tokio::test]
async fn no_more_is_heard_than_was_asked() {
    let (client, mut prober) = conversation();
    for round in 0..20 {
        // One that is given up is still owed an answer, which then is late and no offence.
        tokio::select! {
            biased;
            _ = client.ask(question(1, 5_000)) => panic!(),
            request = prober.request() => prober.say(&answer(own_id(&request), b"late")).await,
        }
        assert_eq!(client.over(), None, "{round}");
    }
    let (ping, ()) = tokio::join!(client.ping(), async {
        let id = own_id(&prober.request().await);
        prober.say(&Observation::Pong { id }).await;
    });
    assert_eq!((ping, client.over()), (Ok(()), None), "as many as were asked");
    let (ping, ()) = tokio::join!(client.ping(), async {
        let id = own_id(&prober.request().await);
        prober.say(&answer(id + 7, b"one")).await;
        prober.say(&Observation::Pong { id }).await;
    });
    let Err(ProberError::Garbled { detail }) = ping else { panic!("{ping:?}") };
    assert_eq!(detail, "there are more answers than requests");
}

#[tokio::test]
async fn a_flood_ends_the_conversation_and_is_no_longer_read() {
    let (client, mut prober) = conversation();
    let pong = serde_json::to_string(&Observation::Pong { id: 1 << 40 }).unwrap() + "\n";
    let flood = async {
        let mut lines = 0_u64;
        // A pipe that nobody reads is full after 64 KiB, one whose reader is gone is broken.
        while let Ok(Ok(())) =
            timeout(Duration::from_millis(200), prober.answers.write_all(pong.as_bytes())).await
        {
            lines += 1;
            assert!(lines < 100_000, "the flood is read without end");
        }
    };
    let (ping, ()) = tokio::join!(client.ping(), flood);
    assert!(matches!(ping, Err(ProberError::Garbled { .. })), "{ping:?}");
}

#[tokio::test]
async fn an_address_outside_the_slot_is_never_sent() {
    let (client, mut prober) = conversation();
    let outside = Question { address: ([10, 213, 4, 3], 80).into(), ..question(1, 5_000) };
    assert!(matches!(client.ask(outside).await, Err(ProberError::Refused { .. })));
    let knocked = client.knock([127, 0, 0, 1].into(), vec![80], Duration::ZERO).await;
    assert!(matches!(knocked, Err(ProberError::Refused { .. })));
    let (ping, ()) = tokio::join!(client.ping(), async {
        let request = prober.request().await;
        assert!(matches!(request, Request::Ping { .. }), "{request:?}");
        prober.say(&Observation::Pong { id: own_id(&request) }).await;
    });
    assert_eq!(ping, Ok(()));
}

#[tokio::test]
async fn when_the_stream_ends_everybody_is_told() {
    let (client, mut prober) = conversation();
    let (ask, ping, ()) = tokio::join!(client.ask(question(1, 5_000)), client.ping(), async move {
        prober.request().await;
        prober.request().await;
    });
    assert_eq!((ask, ping), (Err(ProberError::Gone), Err(ProberError::Gone)));
    assert_eq!(client.ping().await, Err(ProberError::Gone));
}

#[tokio::test]
async fn what_is_no_observation_ends_the_conversation() {
    let endless = vec![b'x'; LINE_BYTES + 1];
    let lines =
        [&b"{\"kind\":\"\x1b[2J\"}"[..], b"[]", b"", b"\xff", b"{\"kind\":\"pong\"}", &endless];
    for line in lines {
        let (client, mut prober) = conversation();
        let (asked, ()) = tokio::join!(client.ask(question(1, 5_000)), async {
            prober.request().await;
            prober.answers.write_all(line).await.unwrap();
            prober.answers.write_all(b"\n").await.unwrap();
        });
        let Err(ProberError::Garbled { detail }) = asked else { panic!("{asked:?}") };
        assert!(!detail.contains(char::is_control), "{detail:?}");
        assert!(matches!(client.ping().await, Err(ProberError::Garbled { .. })));
    }
}

#[tokio::test]
async fn an_answer_beyond_the_limits_is_not_believed() {
    let limits = AskLimits::default();
    let many = vec![(String::new(), String::new()); limits.header_fields + 1];
    let wide = vec![("x".repeat(3 * limits.head_bytes + 1), String::new())];
    let fat = vec![0; limits.body_bytes + 1];
    for (status, headers, body) in [
        (99, Vec::new(), Vec::new()),
        (600, Vec::new(), Vec::new()),
        (200, many, Vec::new()),
        (200, wide, Vec::new()),
        (200, Vec::new(), fat),
    ] {
        let (client, mut prober) = conversation();
        let (asked, ()) = tokio::join!(client.ask(question(1, 5_000)), async {
            let id = own_id(&prober.request().await);
            prober.say(&Observation::Answer { id, status, headers, body, body_ms: 0, ms: 0 }).await;
        });
        assert!(matches!(asked, Err(ProberError::Garbled { .. })), "{asked:?}");
        assert_eq!(client.over(), asked.err(), "it is not asked again");
    }
}

#[tokio::test]
async fn an_answer_of_another_kind_is_garbled_and_a_refusal_is_passed_on() {
    let (client, mut prober) = conversation();
    let (asked, ()) = tokio::join!(client.ask(question(1, 5_000)), async {
        let id = own_id(&prober.request().await);
        prober.say(&Observation::Pong { id }).await;
    });
    assert!(matches!(asked, Err(ProberError::Garbled { .. })), "{asked:?}");
    let (client, mut prober) = conversation();
    let (asked, ()) = tokio::join!(client.ask(question(1, 5_000)), async {
        let id = own_id(&prober.request().await);
        prober.say(&Observation::Refused { id, detail: "no".into() }).await;
    });
    assert_eq!(asked, Err(ProberError::Refused { detail: "no".into() }));
}

#[tokio::test]
async fn a_failure_and_a_knock_come_through() {
    let (client, mut prober) = conversation();
    let (asked, ()) = tokio::join!(client.ask(question(3, 5_000)), async {
        let id = own_id(&prober.request().await);
        let (failure, detail) = (AskFailure::NotHttp, "d\u{202e}".repeat(DETAIL_CHARS));
        prober.say(&Observation::Failed { id, failure, detail, ms: 2 }).await;
    });
    let detail = "d\u{fffd}".repeat(DETAIL_CHARS / 2);
    let failure = AskFailure::NotHttp;
    assert_eq!(asked, Ok(Observation::Failed { id: 3, failure, detail, ms: 2 }));
    let address = [10, 213, 4, 2].into();
    let knock = client.knock(address, vec![80, 8080, 3000], Duration::from_millis(100));
    let (open, ()) = tokio::join!(knock, async {
        let id = own_id(&prober.request().await);
        prober.say(&Observation::Knocked { id, open: vec![3000, 22, 8080] }).await;
    });
    assert_eq!(open, Ok(vec![8080, 3000]), "22 was not asked for");
}

#[tokio::test]
async fn a_silent_prober_times_out_and_a_dropped_question_leaves_nothing() {
    let (client, mut prober) = conversation();
    let asked = client.ask(question(1, 0)).await;
    assert_eq!(asked, Err(ProberError::Timeout { waited_ms: 1_000 }));
    let late = own_id(&prober.request().await);
    tokio::select! {
        biased;
        _ = client.ask(question(1, 5_000)) => panic!(),
        () = async { prober.request().await; } => {}
    }
    assert!(client.shared.lock().waiters.is_empty());
    assert_eq!(client.room.available_permits(), AT_ONCE);
    prober.say(&answer(late, b"late")).await;
    let (ping, ()) = tokio::join!(client.ping(), async {
        let id = own_id(&prober.request().await);
        prober.say(&Observation::Pong { id }).await;
    });
    assert_eq!(ping, Ok(()));
}

#[tokio::test]
async fn no_more_than_eight_questions_are_under_way() {
    let (client, mut prober) = conversation();
    let client = Arc::new(client);
    let ask = |id| {
        let client = Arc::clone(&client);
        tokio::spawn(async move { client.ask(question(id, 5_000)).await })
    };
    let asked: Vec<_> = (0..9).map(ask).collect();
    let mut ids = Vec::new();
    for _ in 0..AT_ONCE {
        ids.push(own_id(&prober.request().await));
    }
    assert_eq!(client.room.available_permits(), 0);
    // A ping does not wait for room, so it is the next line although a ninth question waits.
    let (ping, ()) = tokio::join!(client.ping(), async {
        let request = prober.request().await;
        assert!(matches!(request, Request::Ping { .. }), "{request:?}");
        prober.say(&Observation::Pong { id: own_id(&request) }).await;
    });
    assert_eq!(ping, Ok(()));
    prober.say(&answer(ids[0], b"")).await;
    ids.push(own_id(&prober.request().await));
    for id in &ids[1..] {
        prober.say(&answer(*id, b"")).await;
    }
    for (id, asked) in (0..9).zip(asked) {
        assert_eq!(asked.await.unwrap(), Ok(answer(id, b"")));
    }
}
