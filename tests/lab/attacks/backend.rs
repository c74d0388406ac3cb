//! A backend in an attacker's hands, as far as an agent can see it.

use super::case::{Behaviour, Trick};
use super::trust::{Organisation, key_of, receipt_key};
use crate::timestamp;
use crate::trial::Bench;
use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use netsonde_contract::api::fleet::MAX_DETAIL_CHARS;
use netsonde_contract::api::{PROBLEM_MEDIA_TYPE, Problem, ProblemCode};
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::harmless::is_clean;
use netsonde_contract::id::{AgentId, BundleId};
use netsonde_contract::order::Epoch;
use netsonde_contract::pin::Pin;
use netsonde_contract::receipt::{self, Receipt};
use netsonde_tests::certificates::Flaw;
use netsonde_tests::servers::server_config;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Several times what the agent reads of one answer.
const HUGE: usize = 96 << 20;

pub(super) struct Backend {
    server: Arc<Server>,
    /// The key that an agent is told to look for.
    pub pin: Pin,
}

pub(super) struct Server {
    state: Mutex<State>,
    changed: Condvar,
    /// The pinned one, and another.
    tls: [Arc<ServerConfig>; 2],
}

#[derive(Default)]
struct State {
    organisation: Option<Arc<Organisation>>,
    behaviour: Behaviour,
    /// Counts agents' processes: an answer for one that is gone must not be lost with it.
    generation: u64,
    queue: VecDeque<Value>,
    cursor: u64,
    seen: Seen,
    tricked: bool,
    uploads: BTreeMap<String, Vec<u8>>,
}

/// What the agent has said since the last reset.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub agent: Option<AgentId>,
    pub epoch: Option<Epoch>,
    /// Of the process that runs now.
    pub checked_in: bool,
    /// It asks for work.
    pub polled: bool,
    /// Order and report.
    pub reports: Vec<(String, Value)>,
    pub progress: Vec<String>,
    pub requests: Vec<String>,
    pub uploads: usize,
}

struct Request {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Backend {
    /// # Errors
    /// Where certificates cannot be made.
    pub(super) fn new(bench: &Bench) -> Result<Self> {
        let names = ["127.0.0.1".to_owned()];
        let identities = [bench.pki().identity(&names, Flaw::None)?, bench.pki().identity(&names, Flaw::None)?];
        let pin = Pin::of_certificate(&identities[0].chain[0]).context("a certificate has a key")?;
        let [own, other] = identities.map(|identity| {
            let mut config = ServerConfig::clone(&*server_config(identity)?);
            config.alpn_protocols.clear();
            anyhow::Ok(Arc::new(config))
        });
        let server = Server { state: Mutex::default(), changed: Condvar::new(), tls: [own?, other?] };
        Ok(Self { server: Arc::new(server), pin })
    }

    pub(super) fn server(&self) -> Arc<Server> {
        Arc::clone(&self.server)
    }

    /// Forgets everything and behaves so from now on.
    pub(super) fn reset(&self, organisation: &Arc<Organisation>, behaviour: &Behaviour) {
        let mut state = self.server.state();
        let generation = state.generation + 1;
        *state =
            State { organisation: Some(Arc::clone(organisation)), behaviour: behaviour.clone(), generation, ..State::default() };
        self.server.changed.notify_all();
    }

    /// From now on another process of the agent asks.
    pub(super) fn next_process(&self) {
        let mut state = self.server.state();
        state.generation += 1;
        (state.seen.checked_in, state.seen.polled) = (false, false);
        self.server.changed.notify_all();
    }

    /// Answers the next question for work with these orders and documents.
    pub(super) fn deliver(&self, orders: Vec<Value>, trust: Option<Value>) {
        self.deliver_beside(orders, trust, &[]);
    }

    /// The same, with these named as cancelled.
    pub(super) fn deliver_beside(&self, orders: Vec<Value>, trust: Option<Value>, cancelled: &[String]) {
        self.server.state().queue.push_back(json!({"orders": orders, "trust": trust, "cancelled": cancelled}));
        self.server.changed.notify_all();
    }

    pub(super) fn seen(&self) -> Seen {
        self.server.state().seen.clone()
    }

    /// Waits until what was seen fits, and for how long at most.
    pub(super) fn wait(&self, most: Duration, fits: impl Fn(&Seen) -> bool) -> bool {
        let (state, _) = self
            .server
            .changed
            .wait_timeout_while(self.server.state(), most, |state| !fits(&state.seen))
            .unwrap_or_else(PoisonError::into_inner);
        fits(&state.seen)
    }
}

impl Server {
    /// Serves until the program ends.
    pub(super) fn listen(self: &Arc<Self>, plain: TcpListener, tls: TcpListener) {
        let server = Arc::clone(self);
        std::thread::spawn(move || {
            for stream in plain.incoming().flatten() {
                let server = Arc::clone(&server);
                std::thread::spawn(move || drop(server.converse(stream)));
            }
        });
        let server = Arc::clone(self);
        std::thread::spawn(move || {
            for stream in tls.incoming().flatten() {
                let other = server.state().behaviour.trick == Trick::OtherTlsKey;
                let config = Arc::clone(&server.tls[usize::from(other)]);
                let server = Arc::clone(&server);
                std::thread::spawn(move || {
                    if let Ok(connection) = ServerConnection::new(config) {
                        // A client that does not like the key goes away.
                        let _ = server.converse(StreamOwned::new(connection, stream));
                    }
                });
            }
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request and its answer.
    fn converse(&self, mut stream: impl Read + Write) -> std::io::Result<()> {
        let request = read(&mut stream)?;
        let answer = self.answer(&request);
        write!(stream, "HTTP/1.1 {} X\r\nContent-Length: {}\r\nConnection: close\r\n", answer.status, answer.body.len())?;
        for (name, value) in &answer.headers {
            write!(stream, "{name}: {value}\r\n")?;
        }
        stream.write_all(b"\r\n")?;
        stream.write_all(&answer.body)?;
        stream.flush()
    }

    fn answer(&self, request: &Request) -> Answer {
        let path = request.path.split('?').next().unwrap_or_default().to_owned();
        self.state().seen.requests.push(format!("{} {path}", request.method));
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let answer = match (request.method.as_str(), parts.as_slice()) {
            ("POST", ["v1", "agents"]) => self.introduced(&request.body),
            ("POST", ["v1", "agents", "self"]) => self.checked_in(&request.body),
            ("GET", ["v1", "work"]) => self.work(),
            ("POST", ["v1", "work", id, "state"]) => {
                let report: Value = serde_json::from_slice(&request.body).unwrap_or_default();
                let fits = |text: &str| is_clean(text) && text.chars().count() <= MAX_DETAIL_CHARS;
                if !report["detail"].as_str().is_none_or(fits) {
                    return Answer::problem(Problem::new(ProblemCode::MalformedRequest, "the report's detail does not fit"));
                }
                self.state().seen.reports.push(((*id).to_owned(), report));
                Answer::json(&json!({}))
            }
            ("POST", ["v1", "work", _, "progress"]) => {
                self.state().seen.progress.push(String::from_utf8_lossy(&request.body).into_owned());
                Answer::json(&json!({}))
            }
            ("POST", ["v1", "uploads"]) => self.upload(request),
            ("PATCH", ["v1", "uploads", id]) => self.append(id, request),
            _ => Answer::problem(Problem::new(ProblemCode::NotFound, "there is nothing")),
        };
        self.changed.notify_all();
        answer
    }

    fn time(&self) -> Timestamp {
        timestamp() + SignedDuration::from_hours(24 * self.state().behaviour.clock_days)
    }

    fn introduced(&self, body: &[u8]) -> Answer {
        let introduce: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = introduce["introduction"].as_str().unwrap_or_default();
        let introduction = netsonde_contract::enrolment::Introduction::verify(text.as_bytes(), None);
        let time = self.time();
        let mut state = self.state();
        let (Ok(introduction), Some(organisation)) = (introduction, state.organisation.clone()) else {
            return Answer::problem(Problem::new(ProblemCode::MalformedRequest, "this is no introduction"));
        };
        state.seen.agent = Some(introduction.agent());
        let agent = match state.behaviour.trick {
            Trick::OtherAgent => AgentId::new("0".repeat(64)),
            _ => introduction.agent(),
        };
        let root = match state.behaviour.trick {
            Trick::OtherRoot => organisation.forged_root(super::case::ForgedRoot::Substituted),
            Trick::UnsignedRoot => organisation.unsigned_root_json(),
            _ => organisation.root_json(),
        };
        let trust = json!({"roots": [root], "list": organisation.list_json()});
        Answer::json(&json!({"agent": agent, "trust": trust, "server_time": time, "link": "link"}))
    }

    fn checked_in(&self, body: &[u8]) -> Answer {
        let said: Value = serde_json::from_slice(body).unwrap_or_default();
        let time = self.time();
        let mut state = self.state();
        state.seen.epoch = serde_json::from_value(said["epoch"].clone()).ok();
        state.seen.checked_in = true;
        if state.behaviour.trick == Trick::IdentityTwice {
            return Answer::problem(Problem::new(ProblemCode::IdentityTwice, "two machines"));
        }
        Answer::json(&json!({"server_time": time, "link": "link"}))
    }

    /// Holds the question until there is something, or another process asks.
    fn work(&self) -> Answer {
        let time = self.time();
        let mut state = self.state();
        let generation = state.generation;
        state.seen.polled = true;
        self.changed.notify_all();
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, Duration::from_secs(20), |state| state.queue.is_empty() && state.generation == generation)
            .unwrap_or_else(PoisonError::into_inner);
        if state.generation != generation {
            return Answer::json(&json!({"cursor": 0, "server_time": time}));
        }
        let trick = state.behaviour.trick;
        let is_first = !std::mem::replace(&mut state.tricked, true);
        if is_first {
            match trick {
                Trick::ClockSkew => {
                    let mut problem = Problem::new(ProblemCode::ClockSkew, "the clock is wrong");
                    problem.server_time = Some(time);
                    return Answer::problem(problem);
                }
                Trick::NoJson => {
                    state.queue.clear();
                    return Answer { status: 200, headers: vec![("Content-Type", "text/html".into())], body: b"<html>".to_vec() };
                }
                Trick::RedirectPoll => {
                    state.queue.clear();
                    let elsewhere = "http://10.99.0.1:8080/v1/work".to_owned();
                    return Answer { status: 307, headers: vec![("Location", elsewhere)], body: Vec::new() };
                }
                _ => {}
            }
        }
        state.cursor += 1;
        let mut work = state.queue.pop_front().unwrap_or_else(|| json!({}));
        (work["cursor"], work["server_time"]) = (state.cursor.into(), json!(time));
        let mut answer = Answer::json(&work);
        if is_first && trick == Trick::HugeAnswer {
            // Whoever read all of it would find an order that is in order.
            answer.body.splice(..0, std::iter::repeat_n(b' ', HUGE));
        }
        answer
    }

    fn upload(&self, request: &Request) -> Answer {
        let bundle = request.headers.get("netsonde-bundle").cloned().unwrap_or_default();
        let mut state = self.state();
        state.uploads.insert(bundle.clone(), Vec::new());
        let location = match state.behaviour.trick {
            Trick::UploadElsewhere => format!("http://10.99.0.1:8080/v1/uploads/{bundle}"),
            _ => format!("/v1/uploads/{bundle}"),
        };
        Answer { status: 201, headers: vec![("Location", location), ("Upload-Offset", "0".into())], body: Vec::new() }
    }

    fn append(&self, id: &str, request: &Request) -> Answer {
        let mut state = self.state();
        let Some(stored) = state.uploads.get_mut(id) else {
            return Answer::problem(Problem::new(ProblemCode::NotFound, "there is no such upload"));
        };
        stored.extend_from_slice(&request.body);
        let (length, digest) = (stored.len(), hexadecimal(&Sha256::digest(&*stored)));
        if request.headers.get("upload-complete").is_none_or(|complete| complete != "?1") {
            return Answer { status: 204, headers: vec![("Upload-Offset", length.to_string())], body: Vec::new() };
        }
        state.seen.uploads += 1;
        let trick = state.behaviour.trick;
        let receipt = Receipt {
            bundle: BundleId::new(id),
            file_sha256: if trick == Trick::ReceiptOfAnother { "0".repeat(64) } else { digest },
            size_bytes: length as u64,
            ticket: None,
            case: None,
            received: timestamp(),
            case_url: None,
            audit: None,
        };
        let mallory = if trick == Trick::ForgedReceipt { key_of("mallory").ok() } else { None };
        let envelope = receipt.sign(&mallory.unwrap_or_else(receipt_key)).to_json();
        Answer { status: 200, headers: vec![("Content-Type", receipt::MEDIA_TYPE.into())], body: envelope }
    }
}

impl Answer {
    fn json(value: &Value) -> Self {
        Self { status: 200, headers: vec![("Content-Type", "application/json".into())], body: value.to_string().into_bytes() }
    }

    fn problem(problem: Problem) -> Self {
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        Self { status: problem.status, headers: vec![("Content-Type", PROBLEM_MEDIA_TYPE.into())], body }
    }
}

fn read(stream: &mut impl Read) -> std::io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.trim().to_lowercase(), value.trim().to_owned());
        }
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Request { method, path, headers, body })
}
