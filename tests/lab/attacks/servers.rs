//! Servers that an attacker runs: a name server whose answers change, one that delegates anywhere, and a web server that redirects
//! anywhere. Each is a thread of its own, so that it can live in a namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

/// What the name servers say now.
#[derive(Clone, Debug, Default)]
pub(super) struct Zone {
    /// One address an answer; the last one stays.
    pub names: BTreeMap<String, Vec<IpAddr>>,
    /// Where a delegation leads.
    pub glue: Option<Ipv4Addr>,
    /// The addresses that were given.
    pub given: BTreeSet<IpAddr>,
}

const A: u16 = 1;
const AAAA: u16 = 28;
const NO_SUCH_NAME: u8 = 3;

/// Answers by the zone's names.
pub(super) fn serve_names(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    answer_each(socket, move |question| {
        let mut zone = zone.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(addresses) = zone.names.get_mut(&question.name) else { return question.reply(NO_SUCH_NAME, &[], &[]) };
        let now = addresses.first().copied().filter(|address| address.is_ipv4() == (question.kind == A));
        // A question for the other family does not move the answer on.
        if addresses.len() > 1 && now.is_some() {
            addresses.remove(0);
        }
        let now = now.filter(|_| matches!(question.kind, A | AAAA));
        zone.given.extend(now);
        let record = now.map(|address| question.address(0xc00c, address));
        question.reply(0, &record.into_iter().collect::<Vec<_>>(), &[])
    });
}

/// Delegates every name to a server whose address it gives along.
pub(super) fn serve_delegations(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    answer_each(socket, move |question| {
        let glue = zone.lock().unwrap_or_else(PoisonError::into_inner).glue;
        let Some(glue) = glue else { return question.reply(NO_SUCH_NAME, &[], &[]) };
        let owner = question.last_label();
        // `ns` below the owner, by a pointer.
        let target = [&[2, b'n', b's'][..], &owner.to_be_bytes()].concat();
        let place = question.answers_at() + 12;
        let server = [&owner.to_be_bytes()[..], &[0, 2, 0, 1, 0, 0, 0, 60, 0, target.len() as u8], &target].concat();
        let address = question.address(0xc000 | place as u16, glue.into());
        question.reply(0, &[], &[server, address])
    });
}

struct Question {
    bytes: Vec<u8>,
    name: String,
    kind: u16,
    end: usize,
}

impl Question {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut labels = Vec::new();
        let mut at = 12;
        loop {
            let length = usize::from(*bytes.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            labels.push(String::from_utf8_lossy(bytes.get(at..at + length)?).to_lowercase());
            at += length;
        }
        let kind = u16::from_be_bytes(*bytes.get(at..at + 2)?.first_chunk()?);
        Some(Self { bytes: bytes.to_vec(), name: labels.join("."), kind, end: at + 4 })
    }

    fn answers_at(&self) -> usize {
        self.end
    }

    /// A pointer to the last label, which is the zone.
    fn last_label(&self) -> u16 {
        let last = self.name.rsplit('.').next().unwrap_or_default().len();
        // Before the end: the type, the class, the root's zero, and the label with its length.
        0xc000 | self.end.saturating_sub(4 + 1 + last + usize::from(last > 0)) as u16
    }

    fn address(&self, owner: u16, address: IpAddr) -> Vec<u8> {
        let (kind, data) = match address {
            IpAddr::V4(v4) => (A, v4.octets().to_vec()),
            IpAddr::V6(v6) => (AAAA, v6.octets().to_vec()),
        };
        // For no time at all.
        [&owner.to_be_bytes()[..], &kind.to_be_bytes(), &[0, 1, 0, 0, 0, 0, 0, data.len() as u8], &data].concat()
    }

    fn reply(&self, code: u8, answers: &[Vec<u8>], referral: &[Vec<u8>]) -> Vec<u8> {
        let authoritative = if referral.is_empty() { 4 } else { 0 };
        let counts = [0, 1, 0, answers.len() as u8, 0, referral.len().min(1) as u8, 0, referral.len().saturating_sub(1) as u8];
        let question = self.bytes.get(12..self.end).unwrap_or_default();
        [&self.bytes[..2], &[0x81 | authoritative, 0x80 | code], &counts, question, &answers.concat(), &referral.concat()]
            .concat()
    }
}

fn answer_each(socket: UdpSocket, answer: impl Fn(&Question) -> Vec<u8> + Send + 'static) {
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if let Some(question) = buffer.get(..length).and_then(Question::read) {
                // Who no longer listens misses nothing.
                let _ = socket.send_to(&answer(&question), from);
            }
        }
    });
}

/// `/bytes/NUMBER` answers with so many; `/to/URL` redirects to that URL; anything else says hello.
pub(super) fn serve_redirects(listener: TcpListener) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || drop(redirect(stream)));
        }
    });
}

fn redirect(mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let path = line.split(' ').nth(1).unwrap_or_default();
    if let Some(count) = path.strip_prefix("/bytes/").and_then(|count| count.parse::<u64>().ok()) {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {count}\r\nConnection: close\r\n\r\n")?;
        return std::io::copy(&mut std::io::repeat(b'x').take(count), &mut stream).map(drop);
    }
    let (status, location) = match path.strip_prefix("/to/") {
        Some(url) => ("302 Found", format!("Location: {url}\r\n")),
        None => ("200 OK", String::new()),
    };
    write!(stream, "HTTP/1.1 {status}\r\n{location}Content-Length: 6\r\nConnection: close\r\n\r\nhello\n")
}

/// Accepts, reads, and says nothing.
pub(super) fn serve_silence(listener: TcpListener) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut swallowed = [0; 512];
                while matches!(stream.read(&mut swallowed), Ok(1..)) {}
            });
        }
    });
}
