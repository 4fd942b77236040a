//! A manager that stands in this process: it says what it is told to say, and notes what it was asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A status and a body, by the method and path of a request.
pub(in crate::fleet) type Tell = dyn Fn(&str) -> (u16, String) + Send + Sync;

/// What a fake answers with to whatever it is asked but its version.
#[derive(Clone)]
pub(in crate::fleet) enum Says {
    Answer,
    Refusal(u16, &'static str),
    Silence,
    /// What follows from the request.
    Told(Arc<Tell>),
}

pub(in crate::fleet) struct Fake {
    pub(in crate::fleet) address: String,
    asked: Arc<Mutex<Vec<String>>>,
    pub(in crate::fleet) says: Arc<Mutex<Says>>,
}

impl Fake {
    pub(in crate::fleet) async fn new(api: &'static str, oldest: &'static str, says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let says = Arc::new(Mutex::new(says));
        let (noted, said) = (Arc::clone(&asked), Arc::clone(&says));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (noted, said) = (Arc::clone(&noted), locked(&said).clone());
                tokio::spawn(async move {
                    let _ = serve(stream, api, oldest, said, &noted).await;
                });
            }
        });
        Self { address, asked, says }
    }

    /// The paths that it was asked for since the last time.
    pub(in crate::fleet) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *locked(&self.asked))
    }
}

pub(in crate::fleet) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(
    mut stream: TcpStream,
    api: &str,
    oldest: &str,
    says: Says,
    noted: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let (request, _) = head.split_once(" HTTP/").unwrap_or_default();
    let (_, path) = request.split_once(' ').unwrap_or_default();
    locked(noted).push(path.to_owned());
    let (status, body) = if path.ends_with("/version") {
        let body = format!(
            "{{\"Version\":\"x\",\"ApiVersion\":\"{api}\",\"MinAPIVersion\":\"{oldest}\"}}"
        );
        (200, body)
    } else {
        match says {
            Says::Answer => (200, "{\"Name\":\"answer\"}".to_owned()),
            Says::Refusal(status, words) => (status, format!("{{\"message\":\"{words}\"}}")),
            Says::Silence => return std::future::pending().await,
            Says::Told(answer) => answer(request),
        }
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await
}
