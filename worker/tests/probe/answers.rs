//! What a well-meaning server says, in each way that HTTP allows, and what is asked of it.

use portcall_worker::probe::{
    ask::ask,
    wire::{AskFailure, AskLimits, Method, Observation, Question},
};
use rstest::rstest;
use tokio::{io::AsyncWriteExt, net::TcpListener, time::timeout};

use crate::server::{OK, PATIENCE, Then, asked, body, failure, question, read_request, server};

#[tokio::test]
async fn an_answer_comes_back_whole() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX: \u{e9}\r\nContent-Length: 2\r\n\r\n{}";
    let server = server(answer, Then::Close).await;
    let observation = ask(question(server.address)).await;
    let Observation::Answer { status: 200, headers, body, .. } = observation else {
        panic!("{observation:?}")
    };
    assert_eq!(body, b"{}");
    assert_eq!(headers[0], ("content-type".into(), "application/json".into()));
    assert_eq!(headers[1], ("x".into(), "\u{e9}".into()));
    assert_eq!(
        server.request.await.unwrap(),
        "GET /getconfig?x=1 HTTP/1.1\r\nHost: app\r\nUser-Agent: portcall-prober/1\r\nAccept: */*\r\n\
         Accept-Encoding: identity\r\nConnection: close\r\n\r\n"
    );
}

#[tokio::test]
async fn a_body_is_sent() {
    let server = server("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", Then::Close).await;
    let question = Question {
        method: Method::Post,
        headers: vec![
            ("Content-Type".into(), "text/plain".into()),
            ("accept".into(), "a/b".into()),
        ],
        body: Some("a body".into()),
        ..question(server.address)
    };
    assert_eq!(body(&ask(question).await), (201, &b""[..]));
    let request = server.request.await.unwrap();
    assert!(request.starts_with("POST /getconfig?x=1 HTTP/1.1\r\nHost: app\r\n"), "{request}");
    assert!(request.contains("\r\nContent-Length: 6\r\n"), "{request}");
    assert!(request.contains("\r\nAccept: a/b\r\n") && !request.contains("*/*"), "{request}");
    assert!(request.ends_with("\r\n\r\na body"), "{request}");
}

#[rstest]
#[case::content_length("Content-Length: 2\r\n\r\n{}")]
#[case::to_the_end("\r\n{}")]
#[case::chunked("Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;ext=1\r\n}\r\n0\r\n\r\n")]
#[case::trailers("Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: y\r\n\r\n")]
#[case::more_than_announced("Content-Length: 2\r\n\r\n{}HTTP/1.1 500 No\r\n\r\n")]
#[tokio::test]
async fn each_framing_is_read(#[case] rest: &str) {
    let observation = asked(format!("{OK}{rest}"), Then::Close, AskLimits::default()).await;
    assert_eq!(body(&observation), (200, &b"{}"[..]));
}

#[tokio::test]
async fn http_1_0_and_interim_answers_are_read() {
    let flask = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nServer: Werkzeug/0.11\r\n\r\n{}";
    assert_eq!(body(&asked(flask, Then::Close, AskLimits::default()).await), (200, &b"{}"[..]));
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(2);
    let answer = format!("{hints}{OK}Content-Length: 2\r\n\r\n{{}}");
    assert_eq!(body(&asked(answer, Then::Close, AskLimits::default()).await), (200, &b"{}"[..]));
    let answer = format!("{}{OK}\r\n", "HTTP/1.1 100 Continue\r\n\r\n".repeat(3));
    let observation = asked(answer, Then::Close, AskLimits::default()).await;
    assert_eq!(failure(&observation), AskFailure::NotHttp);
}

#[tokio::test]
async fn a_head_request_has_no_body() {
    let server = server(format!("{OK}Content-Length: 999\r\n\r\n"), Then::Hold).await;
    let question = Question { method: Method::Head, ..question(server.address) };
    assert_eq!(body(&ask(question).await), (200, &b""[..]));
    assert!(server.request.await.unwrap().starts_with("HEAD "));
}

/// B16, B17, B25: any status is an answer, and nobody follows it.
#[rstest]
#[case("302 Found\r\nLocation: http://169.254.169.254/", 302)]
#[case("301 Moved\r\nLocation: /getconfig?x=1", 301)]
#[case("500 Oops", 500)]
#[tokio::test]
async fn any_status_is_an_answer(#[case] line: &str, #[case] status: u16) {
    let answer = format!("HTTP/1.1 {line}\r\nContent-Length: 2\r\n\r\n{{}}");
    assert_eq!(body(&asked(answer, Then::Close, AskLimits::default()).await), (status, &b"{}"[..]));
}

#[tokio::test]
async fn no_content_is_an_answer_without_a_body() {
    let answer = "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(body(&asked(answer, Then::Close, AskLimits::default()).await), (204, &b""[..]));
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard() {
    for _ in 0..20 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let question = question(listener.local_addr().unwrap());
        let (observation, ()) = tokio::join!(ask(question), async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
            read_request(&mut stream).await;
        });
        assert_eq!(body(&observation), (200, &b"{}"[..]));
    }
}

#[tokio::test]
async fn b19_a_connection_that_is_held_open_is_dropped() {
    let answer = format!("{OK}Connection: keep-alive\r\nContent-Length: 2\r\n\r\n{{}}");
    let server = server(answer, Then::Hold).await;
    assert_eq!(body(&ask(question(server.address)).await), (200, &b"{}"[..]));
    timeout(PATIENCE, server.left).await.expect("the socket was dropped").unwrap();
}

#[rstest]
#[case(Question { path: "getconfig".into(), ..question(([127, 0, 0, 1], 1).into()) })]
#[case(Question { path: "/a b\r\nX: y".into(), ..question(([127, 0, 0, 1], 1).into()) })]
#[case(Question { host: "a\r\nX: y".into(), ..question(([127, 0, 0, 1], 1).into()) })]
#[case(Question { headers: vec![("X".into(), "a\r\nb".into())], ..question(([127, 0, 0, 1], 1).into()) })]
#[case(Question { headers: vec![("X Y".into(), "a".into())], ..question(([127, 0, 0, 1], 1).into()) })]
#[case(Question { headers: vec![("HOST".into(), "a".into())], ..question(([127, 0, 0, 1], 1).into()) })]
#[case(Question { headers: vec![("Connection".into(), "keep-alive".into())], ..question(([127, 0, 0, 1], 1).into()) })]
#[case(Question { headers: vec![("Transfer-Encoding".into(), "chunked".into())], ..question(([127, 0, 0, 1], 1).into()) })]
#[tokio::test]
async fn what_is_no_request_is_refused(#[case] question: Question) {
    let observation = ask(question).await;
    assert!(matches!(observation, Observation::Refused { id: 7, .. }), "{observation:?}");
}
