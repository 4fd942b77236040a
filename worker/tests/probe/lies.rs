//! A prober that was taken over and lies to its worker: each lie ends in a lost slot, what it
//! sends is read no further, and the worker's memory does not feel it.

use std::time::Duration;

use portcall_worker::probe::{
    client::{ProberClient, ProberError},
    wire::{LINE_BYTES, Observation, Question},
};
use rstest::rstest;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf},
    time::timeout,
};

use crate::server::question;

/// How much a liar would send, in bytes.
const FLOOD: usize = 256 << 20;

/// How much the worker may hold of it. The tests beside this one hold some, too.
const ROOM: u64 = 64 << 20;

/// How long nobody may read before a liar gives up.
const UNREAD: Duration = Duration::from_secs(2);

struct Liar {
    requests: BufReader<ReadHalf<DuplexStream>>,
    answers: WriteHalf<DuplexStream>,
}

fn conversation() -> (ProberClient, Liar) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (reader, writer) = tokio::io::split(near);
    let client = ProberClient::new(reader, writer, |address| address.is_loopback());
    let (requests, answers) = tokio::io::split(far);
    (client, Liar { requests: BufReader::new(requests), answers })
}

impl Liar {
    /// The id of the request that came.
    async fn asked(&mut self) -> u64 {
        let mut line = String::new();
        self.requests.read_line(&mut line).await.unwrap();
        let request: serde_json::Value = serde_json::from_str(&line).unwrap();
        request["id"].as_u64().unwrap()
    }

    /// Sends the first bytes once and the others over and over; how much was taken.
    async fn say(&mut self, first: &[u8], then: &[u8]) -> usize {
        let mut sent = 0;
        let mut piece = first;
        while sent < FLOOD {
            match timeout(UNREAD, self.answers.write_all(piece)).await {
                Ok(Ok(())) => sent += piece.len(),
                Ok(Err(_)) | Err(_) => break,
            }
            piece = then;
            if then.is_empty() {
                break;
            }
        }
        sent
    }
}

fn asked() -> Question {
    question(([127, 0, 0, 1], 80).into())
}

/// The memory of this process, in bytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[rstest]
#[case::a_line_without_end(b"", &[b'x'; 4096])]
#[case::json_without_end(
    b"{\"kind\":\"answer\",\"id\":1,\"status\":200,\"headers\":[",
    b"[\"a\",\"b\"],"
)]
#[case::answers_to_nobody(b"", b"{\"kind\":\"pong\",\"id\":99999}\n")]
#[case::empty_lines(b"", b"\n")]
#[case::nulls(b"", &[0; 4096])]
#[case::objects(b"", b"{}\n")]
#[case::requests(b"", b"{\"op\":\"ping\",\"id\":1}\n")]
#[case::no_utf8(b"", b"\xff\xfe\n")]
#[case::a_field_twice(b"", b"{\"kind\":\"pong\",\"id\":1,\"id\":2}\n")]
#[case::a_negative_id(b"", b"{\"kind\":\"pong\",\"id\":-1}\n")]
#[case::a_large_id(b"", b"{\"kind\":\"pong\",\"id\":99999999999999999999}\n")]
#[tokio::test]
async fn a_flood_of_lies_ends_the_conversation(#[case] first: &[u8], #[case] then: &[u8]) {
    let before = memory();
    let (client, mut liar) = conversation();
    let many = then.repeat((64 * 1024_usize).div_ceil(then.len()));
    let (asked, sent) = tokio::join!(client.ask(asked()), async {
        liar.asked().await;
        liar.say(first, &many).await
    });
    assert!(matches!(asked, Err(ProberError::Garbled { .. })), "{asked:?}");
    assert_eq!(client.over(), asked.err(), "the slot is lost");
    assert!(sent <= 2 * LINE_BYTES, "{sent} bytes were read");
    assert!(memory() < before + ROOM, "{before} became {}", memory());
}

/// Lines of the largest size that cost as much as they can.
#[rstest]
#[case::deep(|_| "[".repeat(LINE_BYTES - 2))]
#[case::deep_in_a_field(|id| format!("{{\"kind\":\"pong\",\"id\":{id},\"x\":{}", "[".repeat(900_000)))]
#[case::many_fields(|id| {
    let fields = "[\"\",\"\"],".repeat(100_000);
    format!("{{\"kind\":\"answer\",\"id\":{id},\"status\":200,\"headers\":[{fields}[\"\",\"\"]],\"body\":\"\",\"body_ms\":0,\"ms\":0}}")
})]
#[case::a_large_body(|id| {
    let body = "AAAA".repeat(250_000);
    format!("{{\"kind\":\"answer\",\"id\":{id},\"status\":200,\"headers\":[],\"body\":\"{body}\",\"body_ms\":0,\"ms\":0}}")
})]
#[case::no_base64(|id| format!("{{\"kind\":\"answer\",\"id\":{id},\"status\":200,\"headers\":[],\"body\":\"?\",\"body_ms\":0,\"ms\":0}}"))]
#[case::no_status(|id| format!("{{\"kind\":\"answer\",\"id\":{id},\"status\":65535,\"headers\":[],\"body\":\"\",\"body_ms\":0,\"ms\":0}}"))]
#[case::an_interim_status(|id| format!("{{\"kind\":\"answer\",\"id\":{id},\"status\":100,\"headers\":[],\"body\":\"\",\"body_ms\":0,\"ms\":0}}"))]
#[case::many_unknown_fields(|id| {
    let fields: String = (0..60_000).map(|n| format!(",\"x{n:x}\":0")).collect();
    format!("{{\"kind\":\"knocked\",\"id\":{id},\"open\":[]{fields}}}")
})]
#[tokio::test]
async fn a_costly_lie_ends_the_conversation(#[case] lie: fn(u64) -> String) {
    let before = memory();
    let (client, mut liar) = conversation();
    let (asked, _) = tokio::join!(client.ask(asked()), async {
        let line = lie(liar.asked().await) + "\n";
        assert!(line.len() <= LINE_BYTES, "{}", line.len());
        liar.say(line.as_bytes(), b"").await
    });
    assert!(matches!(asked, Err(ProberError::Garbled { .. })), "{asked:?}");
    assert_eq!(client.over(), asked.err(), "the slot is lost");
    assert!(memory() < before + ROOM, "{before} became {}", memory());
}

/// Ports that were not asked about, and the same one 150,000 times, help nobody.
#[tokio::test]
async fn a_knock_gives_only_what_was_asked() {
    let (client, mut liar) = conversation();
    let (open, _) = tokio::join!(
        client.knock([127, 0, 0, 1].into(), vec![80, 8080], Duration::from_secs(1)),
        async {
            let id = liar.asked().await;
            let open = vec![443_u16; 150_000];
            let line = serde_json::to_string(&Observation::Knocked { id, open }).unwrap();
            liar.say((line.replacen("443", "8080", 1) + "\n").as_bytes(), b"").await
        }
    );
    assert_eq!(open, Ok(vec![8080]));
}

/// The control: a reader without a limit would take all of it.
#[tokio::test]
async fn a_flood_is_a_flood() {
    let (near, mut far) = tokio::io::duplex(1 << 16);
    let sent = tokio::spawn(async move {
        let (mut sent, piece) = (0, vec![b'x'; 1 << 16]);
        while sent < 16 * LINE_BYTES {
            far.write_all(&piece).await.unwrap();
            sent += piece.len();
        }
    });
    let mut line = Vec::new();
    BufReader::new(near).read_until(b'\n', &mut line).await.unwrap();
    sent.await.unwrap();
    assert!(line.len() >= 16 * LINE_BYTES, "{}", line.len());
}
