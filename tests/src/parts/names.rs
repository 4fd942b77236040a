//! A name server on loopback: names and addresses that a test gives and takes, over UDP. It stands
//! where an engine's own resolver does, behind which processes come and go.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use tokio::{net::UdpSocket, task::JoinHandle};

/// Length of a message's head (RFC 1035 §4.1.1), in bytes.
const HEAD: usize = 12;
/// The type of addresses, and the class of the internet.
const ADDRESS: u16 = 1;
const INTERNET: u16 = 1;
/// How long an answer holds, in seconds.
const HOLDS: u32 = 1;
/// An answer, of somebody who knows, to a question that asked for recursion and gets it.
const ANSWER: u16 = 0x8580;
const NO_SUCH_NAME: u16 = 3;
/// Where the question's name stands in the answer.
const NAME_OF_QUESTION: u16 = 0xC00C;

/// A name server.
#[derive(Debug)]
pub struct Names {
    address: SocketAddr,
    known: Arc<Mutex<Known>>,
    task: JoinHandle<()>,
}

type Known = BTreeMap<String, BTreeSet<Ipv4Addr>>;

impl Names {
    /// One that knows nothing yet.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start() -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = socket.local_addr()?;
        let known = Arc::new(Mutex::new(Known::new()));
        let asked = Arc::clone(&known);
        let task = tokio::spawn(async move {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                let answer = answer(&question[..length], &lock(&asked));
                if let Some(answer) = answer {
                    // Whoever asked asks again.
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        });
        Ok(Self { address, known, task })
    }

    /// Where it answers.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// One more address of a name.
    pub fn add(&self, name: &str, address: Ipv4Addr) {
        lock(&self.known).entry(name.to_owned()).or_default().insert(address);
    }

    /// One address less.
    pub fn remove(&self, name: &str, address: Ipv4Addr) {
        if let Some(addresses) = lock(&self.known).get_mut(name) {
            addresses.remove(&address);
        }
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The answer to one question; none to what is no question.
fn answer(message: &[u8], known: &Known) -> Option<Vec<u8>> {
    let id = message.get(..2)?;
    let (name, length) = read_name(message.get(HEAD..)?)?;
    let end = HEAD + length + 4;
    let question = message.get(HEAD..end)?;
    let kind = u16::from_be_bytes([question[length], question[length + 1]]);
    let found = known.get(&name);
    let addresses: Vec<Ipv4Addr> = match (kind, found) {
        (ADDRESS, Some(addresses)) => addresses.iter().copied().collect(),
        _ => Vec::new(),
    };
    let nobody = if found.is_none_or(BTreeSet::is_empty) { NO_SUCH_NAME } else { 0 };
    let mut out = id.to_vec();
    let mut put = |number: u16| out.extend(number.to_be_bytes());
    put(ANSWER | nobody);
    put(1);
    put(u16::try_from(addresses.len()).ok()?);
    put(0);
    put(0);
    out.extend(question);
    for address in addresses {
        out.extend(NAME_OF_QUESTION.to_be_bytes());
        out.extend(ADDRESS.to_be_bytes());
        out.extend(INTERNET.to_be_bytes());
        out.extend(HOLDS.to_be_bytes());
        out.extend(4_u16.to_be_bytes());
        out.extend(address.octets());
    }
    Some(out)
}

/// A name as it stands in a question, and how many bytes it takes there.
fn read_name(bytes: &[u8]) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    let mut at = 0;
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join(".").to_lowercase(), at));
        }
        labels.push(std::str::from_utf8(bytes.get(at..at + length)?).ok()?.to_owned());
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0xAB, 0xCD, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            message.push(u8::try_from(label.len()).unwrap());
            message.extend(label.as_bytes());
        }
        message.push(0);
        message.extend(kind.to_be_bytes());
        message.extend(INTERNET.to_be_bytes());
        message
    }

    #[tokio::test]
    async fn addresses_come_and_go() {
        let names = Names::start().await.unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let ask = async |name: &str, kind| {
            socket.send_to(&question(name, kind), names.address()).await.unwrap();
            let mut answer = [0; 512];
            let (length, _) = socket.recv_from(&mut answer).await.unwrap();
            assert_eq!(answer[..2], [0xAB, 0xCD]);
            (answer[3] & 15, u16::from_be_bytes([answer[6], answer[7]]), answer[..length].to_vec())
        };
        assert_eq!(ask("tasks.api", ADDRESS).await.0, 3, "nobody has that name");
        let (one, other) = (Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3));
        names.add("tasks.api", one);
        names.add("tasks.api", other);
        let (code, count, answer) = ask("Tasks.API", ADDRESS).await;
        assert_eq!((code, count), (0, 2));
        assert!(answer.ends_with(&other.octets()));
        assert_eq!(ask("tasks.api", 28).await.1, 0, "it has no address of another kind");
        names.remove("tasks.api", other);
        let (code, count, answer) = ask("tasks.api", ADDRESS).await;
        assert_eq!((code, count), (0, 1));
        assert!(answer.ends_with(&one.octets()));
    }

    #[test]
    fn what_is_no_question_is_not_answered() {
        let whole = question("tasks.api", ADDRESS);
        for length in 0..whole.len() {
            assert_eq!(answer(&whole[..length], &Known::new()), None, "{length} bytes");
        }
        assert!(answer(&whole, &Known::new()).is_some());
    }
}
