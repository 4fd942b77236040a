//! Calls on real connections, with names that stand for what the test says.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use super::*;
use crate::tls;

/// A server that says this to everybody; how often it was connected to.
struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn saying(words: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(&words).await;
            }
        });
        Self { address, asked, task }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// Every name stands for these; the second time for the last of them.
fn knowing(answers: &'static [&'static str]) -> Outbound {
    tls::install_provider();
    let asked = AtomicUsize::new(0);
    Outbound::with(Arc::new(move |_| {
        let time = asked.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1);
        let found = answers[time].split(' ').filter(|text| !text.is_empty());
        let found = found.map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect();
        Box::pin(std::future::ready(Ok(found)))
    }))
}

fn target(text: &str, own: &[&str]) -> Target {
    let own: Vec<OwnHost> = own.iter().map(|host| host.parse().unwrap()).collect();
    Target::parse(text, &own).unwrap()
}

#[tokio::test]
async fn what_stands_for_no_public_address_is_refused_before_and_at_the_call() {
    let server = Server::saying(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()).await;
    let port = server.address.port();
    let (name, literal) =
        (format!("https://hooks.test:{port}/"), format!("https://127.0.0.1:{port}/"));
    let loopback = knowing(&["127.0.0.1"]);
    for text in [&name, &literal] {
        let target = Target::at_a_port(text).unwrap();
        assert_eq!(loopback.check(&target).await, Err(Unsent::NotPublic), "{text}");
        let (answer, _) = loopback.post(&target, &[], Vec::new()).await;
        assert_eq!(answer, Err(Unsent::NotPublic), "{text}");
    }
    for text in ["https://[::1]/", "https://[64:ff9b::7f00:1]/", "https://169.254.169.254/"] {
        assert_eq!(loopback.check(&target(text, &[])).await, Err(Unsent::NotPublic), "{text}");
    }
    assert_eq!(server.asked(), 0);
    // The control: the operator's own host is called, by name and by address.
    for text in [name, literal] {
        let text = text.replace("https", "http");
        let host = text.trim_start_matches("http://").trim_end_matches('/');
        let target = target(&text, &[host]);
        assert_eq!(loopback.check(&target).await, Ok(()));
        let (answer, _) = loopback.post(&target, &[], Vec::new()).await;
        assert_eq!(answer.unwrap().status, 204, "{text}");
    }
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn a_name_that_stands_for_another_address_at_the_call_gains_nothing() {
    let server = Server::saying(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()).await;
    let rebinding = knowing(&["8.8.8.8", "127.0.0.1"]);
    let text = format!("https://hooks.test:{}/", server.address.port());
    let target = Target::at_a_port(&text).unwrap();
    assert_eq!(rebinding.check(&target).await, Ok(()));
    let (answer, _) = rebinding.post(&target, &[], Vec::new()).await;
    assert_eq!((answer, server.asked()), (Err(Unsent::NotPublic), 0));
}

#[tokio::test]
async fn one_public_address_is_enough_and_none_is_not() {
    let target = target("https://hooks.test/", &[]);
    assert_eq!(knowing(&["10.0.0.1 8.8.8.8"]).check(&target).await, Ok(()));
    assert_eq!(knowing(&["10.0.0.1 ::1"]).check(&target).await, Err(Unsent::NotPublic));
    assert_eq!(knowing(&[""]).check(&target).await, Err(Unsent::Unknown));
}

async fn answered(words: Vec<u8>) -> (Answer, usize) {
    let server = Server::saying(words).await;
    let host = server.address.to_string();
    let target = target(&format!("http://{host}/"), &[&host]);
    let (answer, _) = knowing(&["127.0.0.1"]).post(&target, &[], b"x".to_vec()).await;
    (answer.unwrap(), server.asked())
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_no_way() {
    let elsewhere = Server::saying(Vec::new()).await;
    let words = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{}/\r\nretry-after: 7\r\n\
         content-length: 0\r\n\r\n",
        elsewhere.address
    );
    let (answer, asked) = answered(words.into_bytes()).await;
    assert_eq!((answer.status, asked, elsewhere.asked()), (307, 1, 0));
    assert_eq!(answer.retry_after.as_deref(), Some("7"));
}

#[tokio::test]
async fn of_an_answer_so_much_is_read_and_nothing_unpacked() {
    let mut words = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n".to_vec();
    words.extend(vec![b'x'; ANSWER * 4]);
    let (answer, _) = answered(words).await;
    assert_eq!((answer.status, answer.body), (200, vec![b'x'; ANSWER]));
    let short = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello".to_vec();
    let (answer, _) = answered(short).await;
    assert_eq!(answer.body, b"hello", "what broke off after its status has answered");
}

#[tokio::test]
async fn whoever_does_not_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let target = target(&format!("http://{host}/"), &[&host]);
    let outbound = knowing(&["127.0.0.1"]);
    let deadline = Instant::now() + Duration::from_millis(200);
    let answer = outbound.post_by(&target, &[], Vec::new(), deadline).await;
    assert_eq!(answer, Err(Unsent::Late));
    // Bound and not listened on, so that nobody else has it meanwhile.
    let nobodys = tokio::net::TcpSocket::new_v4().unwrap();
    nobodys.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let host = nobodys.local_addr().unwrap().to_string();
    let target = self::target(&format!("http://{host}/"), &[&host]);
    let (answer, _) = outbound.post(&target, &[], Vec::new()).await;
    assert_eq!(answer, Err(Unsent::Broken));
}
