//! The real agent against a backend that is a few threads on loopback: what goes over the wire, and what is on the disk afterwards.

use super::*;
use crate::identity::Enrolling;
use crate::orders::Answer;
use crate::rounds::Files;
use crate::standing::{Shelf, Shelved};
use ed25519_dalek::Signer;
use jiff::SignedDuration;
use netsonde_contract::api::fleet::{Introduce, Introduced, PolicySummary, Progress, WorkItem};
use netsonde_contract::api::health::{HealthHeard, HealthReport};
use netsonde_contract::api::protocol::Protocol;
use netsonde_contract::api::{PROBLEM_MEDIA_TYPE, Problem, ProblemCode};
use netsonde_contract::bundle;
use netsonde_contract::dsse::Envelope;
use netsonde_contract::enrolment::{Enrolment, EnrolmentCode, Introduction};
use netsonde_contract::id::{CaseId, TicketId};
use netsonde_contract::order::{Addressee, Addressees, Epoch, Order};
use netsonde_contract::policy::Policy;
use netsonde_contract::receipt::{self, Receipt};
use netsonde_contract::request_signature::{Covered, Headers, content_digest};
use netsonde_contract::trust::{KeyList, PublicKey, RoleKeys, RootStatement};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Condvar, Mutex};
use tokio_util::sync::CancellationToken;

const ROOT: u8 = 1;
const ENGINEER: u8 = 10;
const RECEIPT: u8 = 20;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    PublicKey::new(key(seed).verifying_key(), "")
}

fn signed(mut envelope: Envelope, seed: u8) -> String {
    let signature = key(seed).sign(&envelope.to_be_signed()).to_bytes();
    envelope.add_signature(&key(seed).verifying_key(), signature);
    String::from_utf8(envelope.to_json()).unwrap()
}

fn now() -> Timestamp {
    Clock::start().wall()
}

fn root() -> RootStatement {
    let issued = Timestamp::from_second(1_700_000_000).unwrap();
    RootStatement { name: "Contoso".into(), organisation: None, version: 1, issued, keys: vec![public(ROOT)], threshold: 1 }
}

fn trust() -> TrustDocuments {
    let envelope = root().envelope();
    let fingerprint = RootStatement::fingerprint(envelope.unverified());
    let root = signed(envelope, ROOT);
    let anchor = Anchor::pinned(root.as_bytes(), &fingerprint).unwrap();
    let list = KeyList {
        organisation: anchor.organisation().clone(),
        root: 1,
        version: 1,
        issued: now() - SignedDuration::from_hours(1),
        expires: now() + SignedDuration::from_hours(24),
        order: RoleKeys { threshold: 1, keys: vec![public(ENGINEER)] },
        receipt: RoleKeys { threshold: 1, keys: vec![public(RECEIPT)] },
        revoked: Vec::new(),
    };
    TrustDocuments { roots: vec![root], list: Some(signed(list.envelope(), ROOT)) }
}

/// What the backend was told, and what it is to say.
#[derive(Default)]
pub(crate) struct Told {
    transport: Option<PublicKey>,
    epoch: Option<Epoch>,
    policy: Option<PolicySummary>,
    states: Vec<(String, StateReport)>,
    progress: Vec<Progress>,
    /// Each with the cursor that comes after it.
    queue: Vec<(u64, WorkItem)>,
    cancelled: Vec<OrderId>,
    cursor: u64,
    uploads: BTreeMap<String, Vec<u8>>,
    pub(crate) bundles: Vec<Vec<u8>>,
    unsigned: Vec<String>,
    /// Answers to the next requests for work, in place of work.
    problems: Vec<Problem>,
    /// Takes no report that says why.
    refuses_details: bool,
    /// Takes no report on these orders.
    refuses: Vec<OrderId>,
    asked: usize,
    checked_in: usize,
    /// Takes no check-in that shows a link.
    refuses_links: bool,
    /// The version that it speaks; none for the newest.
    protocol: Option<u32>,
    /// Uploads are begun, and never come to an end.
    holds_uploads: bool,
    held_uploads: usize,
    pub(crate) health: Vec<HealthReport>,
}

impl Told {
    /// Requests without a signature that holds.
    pub(crate) fn unsigned(&self) -> Vec<String> {
        self.unsigned.clone()
    }
}

struct Request {
    method: String,
    target: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// A backend in threads; it ends with the test.
pub(crate) struct Backend {
    base: String,
    pub(crate) told: Mutex<Told>,
    changed: Condvar,
}

impl Backend {
    fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let backend = Arc::new(Self { base, told: Mutex::default(), changed: Condvar::new() });
        let served = Arc::clone(&backend);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = Arc::clone(&served);
                std::thread::spawn(move || served.serve(&stream));
            }
        });
        backend
    }

    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some(request) = read_request(&mut reader) {
            self.check_signature(&request);
            let answer = self.answer(&request);
            if (&mut &*stream).write_all(&answer).is_err() {
                return;
            }
        }
    }

    fn check_signature(&self, request: &Request) {
        let mut told = self.told.lock().unwrap();
        let Some(transport) = told.transport.clone() else { return };
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let digest = content_digest(&request.body);
        let covered = Covered {
            method: &request.method,
            authority: self.base.strip_prefix("http://").unwrap(),
            path,
            query,
            content_digest: &digest,
        };
        let text = |name: &str| request.headers.get(name).cloned().unwrap_or_default();
        let headers = Headers { input: text("signature-input"), signature: text("signature") };
        if headers.verify(&covered, transport.key(), now()).is_err() {
            told.unsigned.push(format!("{} {}", request.method, request.target));
        }
    }

    fn answer(&self, request: &Request) -> Vec<u8> {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let json = |value: serde_json::Value| answer("200 OK\r\nContent-Type: application/json", value.to_string().as_bytes());
        let parts: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("POST", ["agents"]) => {
                let body: Introduce = serde_json::from_slice(&request.body).unwrap();
                let introduction = Introduction::verify(body.introduction.as_bytes(), None).unwrap();
                let mut told = self.told.lock().unwrap();
                told.transport = Some(introduction.transport_key.clone());
                told.epoch = Some(body.check_in.epoch);
                let introduced = Introduced {
                    agent: introduction.agent(),
                    trust: trust(),
                    server_time: now(),
                    link: "first".into(),
                    protocol: Protocol::NEWEST,
                };
                json(serde_json::to_value(introduced).unwrap())
            }
            ("POST", ["agents", "self"]) => {
                let body: CheckIn = serde_json::from_slice(&request.body).unwrap();
                let mut told = self.told.lock().unwrap();
                if told.refuses_links && body.link.is_some() {
                    return problem(&Problem::new(ProblemCode::MalformedRequest, "it does not fit"));
                }
                (told.epoch, told.policy, told.checked_in) = (Some(body.epoch), Some(body.policy), told.checked_in + 1);
                self.changed.notify_all();
                let protocol = told.protocol.map_or(body.protocol, Protocol::new);
                json(serde_json::to_value(CheckedIn { server_time: now(), link: "next".into(), protocol }).unwrap())
            }
            ("POST", ["agents", "self", "health"]) => {
                let report: HealthReport = serde_json::from_slice(&request.body).unwrap();
                let heard = report.changes.last().map_or(0, |change| change.number);
                self.told.lock().unwrap().health.push(report);
                self.changed.notify_all();
                json(serde_json::to_value(HealthHeard { heard, server_time: now() }).unwrap())
            }
            ("GET", ["work"]) => self.work(query),
            ("POST", ["work", order, "state"]) => {
                let report: StateReport = serde_json::from_slice(&request.body).unwrap();
                let mut told = self.told.lock().unwrap();
                let is_known = told.refuses.iter().all(|refused| refused.as_str() != *order);
                if !is_known || told.refuses_details && report.detail.is_some() {
                    let code = if is_known { ProblemCode::MalformedRequest } else { ProblemCode::InvalidParameter };
                    return problem(&Problem::new(code, "it does not fit"));
                }
                told.states.push(((*order).to_owned(), report));
                self.changed.notify_all();
                json(serde_json::json!({}))
            }
            ("POST", ["work", _, "progress"]) => {
                self.told.lock().unwrap().progress.push(serde_json::from_slice(&request.body).unwrap());
                self.changed.notify_all();
                json(serde_json::json!({}))
            }
            ("POST", ["uploads"]) => {
                self.told.lock().unwrap().uploads.insert(request.headers["netsonde-bundle"].clone(), Vec::new());
                answer(
                    &format!("201 Created\r\nLocation: /v1/uploads/{}\r\nUpload-Offset: 0", request.headers["netsonde-bundle"]),
                    b"",
                )
            }
            ("PATCH", ["uploads", bundle]) => self.append(bundle, request),
            _ => answer("404 Not Found", b""),
        }
    }

    /// Holds the request until there is work, as the real one does.
    fn work(&self, query: &str) -> Vec<u8> {
        let number = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.parse::<u64>().ok()).unwrap();
        let (after, wait) = (number("after="), number("wait="));
        let mut told = self.told.lock().unwrap();
        told.asked += 1;
        self.changed.notify_all();
        if let Some(next) = told.problems.pop() {
            return problem(&next);
        }
        let idle = |told: &mut Told| told.cursor <= after && told.problems.is_empty();
        let (mut told, _) = self.changed.wait_timeout_while(told, Duration::from_secs(wait), idle).unwrap();
        let orders = told.queue.iter().filter(|(cursor, _)| *cursor > after).map(|(_, item)| item.clone()).collect();
        let work = Work {
            cursor: told.cursor,
            orders,
            cancelled: std::mem::take(&mut told.cancelled),
            trust: None,
            because: None,
            server_time: now(),
        };
        answer("200 OK\r\nContent-Type: application/json", &serde_json::to_vec(&work).unwrap())
    }

    fn append(&self, bundle: &str, request: &Request) -> Vec<u8> {
        let mut told = self.told.lock().unwrap();
        if told.holds_uploads {
            told.held_uploads += 1;
            self.changed.notify_all();
            drop(self.changed.wait_timeout_while(told, Duration::from_secs(60), |told| told.holds_uploads).unwrap());
            return answer("503 Service Unavailable", b"");
        }
        let bytes = told.uploads.get_mut(bundle).unwrap();
        bytes.extend(&request.body);
        let bytes = bytes.clone();
        if request.headers["upload-complete"] != "?1" {
            return answer(&format!("204 No Content\r\nUpload-Offset: {}", bytes.len()), b"");
        }
        let receipt = Receipt {
            bundle: netsonde_contract::id::BundleId::new(bundle),
            file_sha256: hexadecimal(&Sha256::digest(&bytes)),
            size_bytes: bytes.len() as u64,
            ticket: None,
            case: CaseId::parse("4711"),
            received: now(),
            case_url: None,
            audit: None,
        };
        told.bundles.push(bytes);
        answer(&format!("200 OK\r\nContent-Type: {}", receipt::MEDIA_TYPE), &receipt.sign(&key(RECEIPT)).to_json())
    }

    /// Puts something before the agent.
    fn give(&self, change: impl FnOnce(&mut Told)) {
        let mut told = self.told.lock().unwrap();
        change(&mut told);
        told.cursor += 1;
        self.changed.notify_all();
    }

    fn deliver(&self, order: &Order, seed: u8) {
        let item = WorkItem { id: order.id.clone(), envelope: signed(order.envelope(), seed), proof: None };
        self.give(|told| told.queue.push((told.cursor + 1, item)));
    }

    /// Waits until the backend was told it.
    pub(crate) fn wait_for<T>(&self, what: &str, mut found: impl FnMut(&Told) -> Option<T>) -> T {
        let mut told = self.told.lock().unwrap();
        let began = Clock::start();
        loop {
            if let Some(found) = found(&told) {
                return found;
            }
            assert!(began.now() < Duration::from_secs(30), "the agent never told of {what}: {:?}", told.states);
            told = self.changed.wait_timeout(told, Duration::from_millis(200)).unwrap().0;
        }
    }

    /// The report of `state` on the order.
    fn wait_state(&self, order: &Order, state: DeliveryState) -> StateReport {
        self.wait_for(state.name(), |told| {
            told.states
                .iter()
                .find(|(id, report)| *id == order.id.as_str() && report.state == state)
                .map(|(_, report)| report.clone())
        })
    }
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length: u64 = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body).ok()?;
    Some(Request { method, target, headers, body })
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn problem(problem: &Problem) -> Vec<u8> {
    let head = format!("{} Problem\r\nContent-Type: {PROBLEM_MEDIA_TYPE}", problem.status);
    answer(&head, &serde_json::to_vec(problem).unwrap())
}

/// An enrolled machine, its policy, and its backend.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) backend: Arc<Backend>,
    pub(crate) target: TcpListener,
}

/// An agent at work in a thread of its own.
pub(crate) struct Agent {
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<Result<(), Stop>>>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.cancel();
        let ended = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

impl World {
    pub(crate) fn new(remote: &str) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let backend = Backend::start();
        let folder = tempfile::tempdir().unwrap();
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let world = Self { folder, backend, target };
        world.policy(&format!("[orders]\nremote = \"{remote}\"\n[targets]\nnetworks = [\"127.0.0.0/8\"]\n"));
        world.enrol();
        world
    }

    pub(crate) fn policy(&self, text: &str) {
        std::fs::write(self.policy_path(), text).unwrap();
    }

    fn policy_path(&self) -> PathBuf {
        self.folder.path().join("policy.toml")
    }

    pub(crate) fn files(&self) -> Files {
        Files { config: self.folder.path().join("agent.toml"), policy: self.policy_path() }
    }

    pub(crate) fn state(&self) -> StateDirectory {
        StateDirectory::open(Some(&self.folder.path().join("state"))).unwrap()
    }

    /// Whatever the agent makes stands in the list by which it is removed.
    fn made_by_list(&self) {
        let made = crate::service_control::removal::others(self.state().path(), crate::state_names::in_state);
        assert_eq!(made.unwrap(), Vec::<PathBuf>::new());
    }

    /// As `netsonde enroll` does.
    fn enrol(&self) {
        let fingerprint = RootStatement::fingerprint(root().envelope().unverified());
        let enrolment = Enrolment {
            id: TicketId::from_bytes([7; 10]),
            backend: self.backend.base.clone(),
            tls_pin: None,
            organisation: "Contoso".into(),
            root: fingerprint,
            receipt_key: key(RECEIPT).verifying_key(),
            expires: now(),
            code: EnrolmentCode::from_bytes([9; 16]),
        };
        let state = self.state();
        let home = Home::of(&state);
        let enrolling = Enrolling::begin(&home, &enrolment, &state.signing_key().unwrap(), None).unwrap();
        let again = Enrolling::begin(&home, &enrolment, &state.signing_key().unwrap(), None).unwrap();
        assert_eq!(again.introduction, enrolling.introduction, "a lost answer is asked for in the same words");
        let client = Client::new(&enrolling.identity, Clock::start()).unwrap();
        let epochs = current_epochs(&home, &UpTime::read()).unwrap();
        let body = enrolling.body(check_in(&home, &epochs.current, None, "instance"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let introduced = runtime.block_on(client.introduce(&body)).unwrap();
        let elsewhere =
            TrustDocuments { roots: vec![signed(RootStatement { name: "Evil".into(), ..root() }.envelope(), ROOT)], list: None };
        let stop = again.finish(&home, &Introduced { trust: elsewhere, ..introduced.clone() }).err().unwrap();
        assert!(stop.message.contains("root_substituted") && home.identity().unwrap().is_none(), "{stop:?}");
        enrolling.finish(&home, &introduced).unwrap();
    }

    fn agent(&self) -> Agent {
        let stop = CancellationToken::new();
        let (token, state, files) = (stop.clone(), self.state(), self.files());
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(crate::service::run(state, files, None, &Interruption::of(token)))
        };
        Agent { stop, thread: Some(std::thread::spawn(work)) }
    }

    /// An order for one connection to the world's own port.
    fn order(&self, number: u8) -> Order {
        let set = "name = \"one\"\nquestion = \"Does it answer?\"\ntarget = \"endpoint\"\nbudget = \"20s\"\n[[check]]\nid = \"connect\"\nkind = \"tcp\"\nrequired = true\n[check.with]\nhost = \"{target.host}\"\nport = \"{target.port}\"\n";
        self.order_of(number, set, &self.target.local_addr().unwrap().to_string())
    }

    /// The same every minute for an hour, as it lies on the shelf.
    pub(crate) fn shelved(&self, number: u8) -> Shelved {
        let repeat = Some(netsonde_contract::order::Repeat { every_seconds: 60, life_seconds: 3_600 });
        let order = Order { repeat, ..self.order(number) };
        let envelope = signed(order.envelope(), ENGINEER);
        Shelved { id: order.id, envelope, taken: now(), approved: false, began_ms: Some(0) }
    }

    fn order_of(&self, number: u8, set: &str, target: &str) -> Order {
        let state = self.state();
        let epoch = self.backend.told.lock().unwrap().epoch.clone().unwrap();
        let home = Home::of(&state);
        Order {
            organisation: home.anchor().unwrap().unwrap().organisation().clone(),
            id: OrderId::from_bytes([number; 16]),
            set: set.into(),
            targets: vec![target.into()],
            parameters: [].into(),
            agents: Addressees::Listed(vec![Addressee { agent: home.enrolled().unwrap().agent, epoch }]),
            not_before: now() - SignedDuration::from_mins(1),
            expires: now() + SignedDuration::from_hours(1),
            case: CaseId::new("4711"),
            requester: "Asha".into(),
            reason: String::new(),
            signatures: 1,
            serve: None,
            repeat: None,
            bytes: None,
            deep: None,
            spread_seconds: None,
        }
    }

    /// Whether anybody connected to the target.
    fn was_measured(&self) -> bool {
        self.target.set_nonblocking(true).unwrap();
        self.target.accept().is_ok()
    }

    fn audit(&self) -> String {
        Audit::of(&self.state()).verify().unwrap();
        String::from_utf8(Audit::of(&self.state()).export().unwrap()).unwrap()
    }
}

#[test]
fn an_order_that_the_policy_allows_runs_once_and_its_bundle_proves_it() {
    let world = World::new("allow");
    let order = world.order(1);
    {
        let _agent = world.agent();
        world.backend.deliver(&order, ENGINEER);
        let report = world.backend.wait_state(&order, DeliveryState::Uploaded);
        let told = world.backend.told.lock().unwrap();
        assert_eq!(told.unsigned, Vec::<String>::new(), "every request is signed");
        let states: Vec<&str> = told.states.iter().map(|(_, report)| report.state.name()).collect();
        assert!(
            states.ends_with(&["running", "running", "uploaded"]) || states.ends_with(&["running", "uploaded"]),
            "{states:?}"
        );
        assert_eq!(told.progress.iter().map(|progress| progress.outcomes.len()).sum::<usize>(), 1);
        assert!(told.progress[0].checks_planned > 0, "how many checks there are is told from the first");
        let bundle = bundle::verify(&told.bundles[0]).unwrap();
        assert_eq!((bundle.predicate.order.as_ref(), report.bundle.as_ref()), (Some(&order.id), Some(&bundle.id)));
        assert_eq!(bundle.files["order.dsse.json"], signed(order.envelope(), ENGINEER).into_bytes());
        assert_eq!(bundle.files["policy.toml"], std::fs::read(world.policy_path()).unwrap());
        assert!(bundle.predicate.audit_head.is_some() && bundle.predicate.policy_sha256.is_some());
    }
    assert!(world.was_measured());
    // The same order after a restart, from a backend that delivers it once more.
    world.backend.told.lock().unwrap().states.clear();
    let agent = world.agent();
    let report = world.backend.wait_state(&order, DeliveryState::Refused);
    assert_eq!(report.code.as_deref(), Some("replayed"));
    assert!(!world.was_measured());
    assert!(world.audit().contains("replayed"));
    drop(agent);
    world.made_by_list();
}

#[test]
fn what_is_not_allowed_is_refused_with_its_code_and_sends_nothing() {
    let world = World::new("allow");
    let _agent = world.agent();
    let stranger = world.order(1);
    world.backend.deliver(&stranger, 66);
    assert_eq!(world.backend.wait_state(&stranger, DeliveryState::Refused).code.as_deref(), Some("signer_unknown"));
    let elsewhere = world.order_of(2, &world.order(2).set, "10.9.9.9:443");
    world.backend.deliver(&elsewhere, ENGINEER);
    assert_eq!(world.backend.wait_state(&elsewhere, DeliveryState::Refused).code.as_deref(), Some("address_not_allowed"));
    let order = world.order(3);
    let stale = Addressee { agent: Home::of(&world.state()).enrolled().unwrap().agent, epoch: Epoch::from_bytes([0; 16]) };
    let stale = Order { agents: Addressees::Listed(vec![stale]), ..order };
    world.backend.deliver(&stale, ENGINEER);
    assert_eq!(world.backend.wait_state(&stale, DeliveryState::Refused).code.as_deref(), Some("stale_epoch"));
    Home::of(&world.state()).set_paused(true).unwrap();
    let paused = world.order(4);
    world.backend.deliver(&paused, ENGINEER);
    assert_eq!(world.backend.wait_state(&paused, DeliveryState::Refused).code.as_deref(), Some("paused"));
    Home::of(&world.state()).set_paused(false).unwrap();
    world.policy("[orders]\nremote = \"alow\"\n");
    let broken = world.order(5);
    world.backend.deliver(&broken, ENGINEER);
    assert_eq!(world.backend.wait_state(&broken, DeliveryState::Refused).code.as_deref(), Some("orders_off"));
    assert!(!world.was_measured());
}

/// What is refused chooses some of the refusal's words.
#[test]
fn a_refusal_is_heard_whatever_hides_in_its_words_and_whatever_the_backend_takes() {
    let world = World::new("allow");
    let _agent = world.agent();
    let hidden = Order { parameters: [("\u{202e}".repeat(2), "x".into())].into(), ..world.order(1) };
    world.backend.deliver(&hidden, ENGINEER);
    world.backend.wait_state(&hidden, DeliveryState::Refused);
    let quoted = world.order_of(2, &format!("name = \"\u{202e}{}\"\n", "long".repeat(500)), "127.0.0.1:1");
    world.backend.deliver(&quoted, ENGINEER);
    let report = world.backend.wait_state(&quoted, DeliveryState::Refused);
    assert_eq!(report.code.as_deref(), Some("unusable_set"));
    assert_eq!(report.clone().harmless(), report, "a backend takes it as it is");
    world.backend.told.lock().unwrap().refuses_details = true;
    let wordless = world.order_of(3, "name = 1", "127.0.0.1:1");
    world.backend.deliver(&wordless, ENGINEER);
    let report = world.backend.wait_state(&wordless, DeliveryState::Refused);
    assert_eq!((report.code.as_deref(), report.detail), (Some("unusable_set"), None));
    let refused = world.order_of(4, "name = 1", "127.0.0.1:1");
    world.backend.told.lock().unwrap().refuses.push(refused.id.clone());
    world.backend.deliver(&refused, ENGINEER);
    let order = world.order(5);
    world.backend.deliver(&order, ENGINEER);
    world.backend.wait_state(&order, DeliveryState::Uploaded);
    let book = Book::open(&world.state()).unwrap();
    assert!(!book.get(&refused.id).unwrap().is_reported(), "it is told again");
}

/// A backend that sends thousands of orders in one answer does not keep the agent from what it says next.
#[test]
fn a_cancellation_behind_thousands_of_orders_is_acted_on_within_a_second() {
    const MANY: usize = 1_000;
    let world = World::new("allow");
    let _agent = world.agent();
    let set = LONG.replace("PORT", &world.target.local_addr().unwrap().port().to_string());
    let (order, last) = (world.order_of(1, &set, "127.0.0.1"), world.order(2));
    world.backend.deliver(&order, ENGINEER);
    world.backend.wait_state(&order, DeliveryState::Running);
    let asked = world.backend.told.lock().unwrap().asked;
    world.backend.give(|told| {
        let junk =
            (0..MANY).map(|number| WorkItem { id: OrderId::new(format!("{number:032x}")), envelope: "{}".into(), proof: None });
        let cursor = told.cursor + 1;
        told.queue.extend(junk.map(|item| (cursor, item)));
    });
    world.backend.wait_for("more work", |told| (told.asked > asked).then_some(()));
    let began = Clock::start();
    world.backend.give(|told| told.cancelled.push(order.id.clone()));
    world.backend.wait_state(&order, DeliveryState::Cancelled);
    // As without them: a second, and what a busy machine adds.
    assert!(began.now() < Duration::from_millis(1_900), "{:?}", began.now());
    let refused = world.backend.told.lock().unwrap().states.iter().filter(|(_, one)| one.state == DeliveryState::Refused).count();
    assert!(refused < MANY, "none of it was to be waited for");
    world.backend.deliver(&last, ENGINEER);
    world.backend.wait_state(&last, DeliveryState::Uploaded);
}

#[test]
fn a_person_is_asked_and_their_answer_decides() {
    let world = World::new("ask");
    let _agent = world.agent();
    let (first, second) = (world.order(1), world.order(2));
    world.backend.deliver(&first, ENGINEER);
    world.backend.deliver(&second, ENGINEER);
    world.backend.wait_state(&first, DeliveryState::Asked);
    world.backend.wait_state(&second, DeliveryState::Asked);
    assert!(!world.was_measured());
    let answers = Answers::of(&world.state());
    answers.give(&first.id, &Answer { approved: false, words: "not today".into() }).unwrap();
    let report = world.backend.wait_state(&first, DeliveryState::Refused);
    assert_eq!((report.code.as_deref(), report.detail.as_deref()), (Some("declined"), Some("not today")));
    answers.give(&second.id, &Answer { approved: true, words: String::new() }).unwrap();
    world.backend.wait_state(&second, DeliveryState::Uploaded);
    assert!(world.was_measured());
}

/// Echo requests to loopback, one a second, for a minute.
const LONG: &str = "name = \"long\"\nquestion = \"Does it answer?\"\ntarget = \"host\"\nbudget = \"90s\"\n[[check]]\nid = \"echo\"\nkind = \"tcp\"\nrequired = true\nsamples = 60\nevery = \"1s\"\n[check.with]\nhost = \"{target.host}\"\nport = PORT\n";

#[test]
fn an_order_that_is_spread_begins_at_the_agents_own_moment_and_can_be_cancelled_before() {
    let world = World::new("allow");
    let agent = Home::of(&world.state()).enrolled().unwrap().agent;
    // Of those that the id makes, one whose moment comes soon, and one whose does not.
    let spread = |number: u8| Order { spread_seconds: Some(1_000), ..world.order(number) };
    let after = |order: &Order| order.begins_after(&agent, Duration::from_secs(3_000)).unwrap();
    // Not so soon that it runs before anybody has told of it.
    let is_later = |order: &Order| after(order) >= Duration::from_secs(3);
    let (soon, late) = (
        (1..=u8::MAX).map(spread).filter(is_later).min_by_key(after).unwrap(),
        (1..=u8::MAX).map(spread).max_by_key(after).unwrap(),
    );
    let wait = after(&soon);
    assert!(wait < Duration::from_secs(30) && after(&late) > Duration::from_secs(900), "{wait:?}");
    let _agent = world.agent();
    let began = Clock::start();
    world.backend.deliver(&late, ENGINEER);
    world.backend.deliver(&soon, ENGINEER);
    let report = world.backend.wait_state(&soon, DeliveryState::Accepted);
    assert_eq!(report.code.as_deref(), Some("spread"));
    assert!(report.detail.unwrap().contains("own moment of the order's spread"));
    world.backend.wait_state(&soon, DeliveryState::Uploaded);
    assert!(began.now() >= wait, "{:?}", began.now());
    world.backend.give(|told| told.cancelled.push(late.id.clone()));
    world.backend.wait_state(&late, DeliveryState::Cancelled);
    assert_eq!(world.backend.told.lock().unwrap().bundles.len(), 1);
}

#[test]
fn a_person_refuses_an_order_that_waits_for_its_moment() {
    let world = World::new("allow");
    let agent = Home::of(&world.state()).enrolled().unwrap().agent;
    let spread = |number: u8| Order { spread_seconds: Some(1_000), ..world.order(number) };
    let after = |order: &Order| order.begins_after(&agent, Duration::from_secs(3_000)).unwrap();
    let late = (1..=u8::MAX).map(spread).max_by_key(after).unwrap();
    let _agent = world.agent();
    world.backend.deliver(&late, ENGINEER);
    world.backend.wait_state(&late, DeliveryState::Accepted);
    let no = Answer { approved: false, words: "not today".into() };
    Answers::of(&world.state()).give(&late.id, &no).unwrap();
    let report = world.backend.wait_state(&late, DeliveryState::Refused);
    assert_eq!((report.code.as_deref(), report.detail.as_deref()), (Some("declined"), Some("not today")));
    assert!(!world.was_measured());
}

/// A boot draws an epoch, and two of them end the one that the order was made for.
#[test]
fn an_order_that_was_fresh_when_it_was_taken_is_approved_after_two_boots() {
    let world = World::new("ask");
    let order = world.order(1);
    {
        let _agent = world.agent();
        world.backend.deliver(&order, ENGINEER);
        world.backend.wait_state(&order, DeliveryState::Asked);
    }
    let state = world.state();
    for boot in ["one", "two"] {
        current_epochs(&Home::of(&state), &UpTime { boot: Some(boot.into()), now: Duration::ZERO }).unwrap();
    }
    let _agent = world.agent();
    Answers::of(&state).give(&order.id, &Answer { approved: true, words: String::new() }).unwrap();
    world.backend.wait_state(&order, DeliveryState::Uploaded);
    assert!(Book::open(&state).unwrap().get(&order.id).unwrap().epochs.is_none(), "what is over is forgotten");
}

#[test]
fn an_order_that_was_refused_as_early_does_not_run_when_its_time_comes() {
    let world = World::new("allow");
    // As far ahead as a clock may be off, and a moment.
    let early = SignedDuration::from_mins(5) + SignedDuration::from_millis(1_500);
    let order = Order { not_before: now() + early, ..world.order(1) };
    let _agent = world.agent();
    world.backend.deliver(&order, ENGINEER);
    assert_eq!(world.backend.wait_state(&order, DeliveryState::Refused).code.as_deref(), Some("not_yet_valid"));
    while now() < order.not_before - SignedDuration::from_mins(5) {
        std::thread::yield_now();
    }
    world.backend.deliver(&order, ENGINEER);
    world.backend.wait_for("the second refusal", |told| {
        let replayed = |(_, report): &(String, StateReport)| report.code.as_deref() == Some("replayed");
        told.states.iter().any(replayed).then_some(())
    });
    assert!(!world.was_measured());
}

#[tokio::test]
async fn an_answer_cancels_so_many_orders_at_most_and_what_is_not_there_leaves_no_trace() {
    let world = tokio::task::spawn_blocking(|| World::new("ask")).await.unwrap();
    let scheduled = Scheduled {
        words: tokio::sync::mpsc::unbounded_channel().1,
        file_checks: Arc::default(),
        uplink: Arc::default(),
        reshelved: Arc::default(),
    };
    let mut daemon = Daemon::open(world.state(), world.policy_path(), &scheduled).unwrap();
    let id = OrderId::from_bytes([1; 16]);
    daemon.book.put(crate::orders::Record::new(&id, DeliveryState::Asked, now())).unwrap();
    let work = |cancelled: Vec<OrderId>| Work {
        cursor: 1,
        orders: Vec::new(),
        cancelled,
        trust: None,
        because: Some("\u{202e}long".repeat(1 << 20)),
        server_time: now(),
    };
    let state = |daemon: &Daemon| daemon.book.get(&id).unwrap().state;
    let strangers = (0..MAX_CANCELLED).map(|number| OrderId::new(format!("{number:032x}")));
    daemon.take(work(strangers.chain([id.clone()]).collect()));
    assert_eq!(state(&daemon), DeliveryState::Asked);
    assert!(!world.audit().contains("order_ended"));
    // What is no id names neither a file nor a line of the log, however it came here.
    let identity = world.state().path().join("identity");
    daemon.cancel(&OrderId::new(identity.to_str().unwrap()));
    daemon.end(&OrderId::new("../x"), DeliveryState::Cancelled, "cancelled", "");
    assert!(identity.with_extension("json").exists() && !world.audit().contains("order_ended"));
    daemon.take(work(vec![id.clone()]));
    daemon.take(work(vec![id.clone()]));
    assert_eq!(state(&daemon), DeliveryState::Cancelled);
    assert_eq!(world.audit().matches("order_ended").count(), 1);
}

#[test]
fn a_link_that_no_backend_takes_ends_no_check_in() {
    let world = World::new("allow");
    let (state, state_of_link) = (world.state(), || Home::of(&world.state()).link());
    let home = Home::of(&state);
    assert_eq!(state_of_link().as_deref(), Some("first"));
    for unfit in ["x".repeat(129), "\u{202e}".to_owned(), String::new()] {
        home.save_link(&unfit).unwrap();
        assert_eq!(state_of_link().as_deref(), Some("first"), "the last one that fits stays");
        // As an older version kept it.
        std::fs::write(state.path().join("link.json"), serde_json::to_string(&unfit).unwrap()).unwrap();
        assert_eq!(state_of_link(), None);
        home.save_link("first").unwrap();
    }
    world.backend.told.lock().unwrap().refuses_links = true;
    let _agent = world.agent();
    let order = world.order(1);
    world.backend.deliver(&order, ENGINEER);
    world.backend.wait_state(&order, DeliveryState::Uploaded);
}

#[test]
fn a_schedule_that_the_policy_lets_run_no_more_is_told_with_its_reason_and_so_is_that_it_runs_again() {
    let world = World::new("allow");
    let (open, rest) = (
        "[orders]\nremote = \"allow\"\n",
        "[targets]\nnetworks = [\"127.0.0.0/8\"]\n[schedules]\nlife = \"2h\"\nevery = \"10s\"\n",
    );
    world.policy(&format!("{open}{rest}"));
    let _agent = world.agent();
    let repeat = Some(netsonde_contract::order::Repeat { every_seconds: 10, life_seconds: 3_600 });
    let order = world.order(1);
    let order = Order { repeat, set: order.set.replace("20s", "5s"), ..order };
    world.backend.deliver(&order, ENGINEER);
    let told = |what: &str, code: &str| {
        let last = |told: &Told| {
            let (_, report) = told.states.iter().rfind(|(id, _)| id == order.id.as_str())?;
            (report.state == DeliveryState::Running && report.code.as_deref() == Some(code)).then(|| report.clone())
        };
        world.backend.wait_for(what, last).detail.unwrap()
    };
    assert_eq!(told("the schedule", "repeated"), "it runs every 10s for 1h");
    world.policy(&format!("{open}kinds = [\"dns\"]\n{rest}"));
    assert!(told("the refusal", "kind_not_allowed").starts_with("it does not run now: "));
    world.policy(&format!("{open}{rest}"));
    told("the schedule again", "repeated");
}

#[test]
fn a_schedule_with_more_checks_than_there_is_room_for_is_refused_with_the_reason() {
    let world = World::new("allow");
    world.policy(
        "[orders]\nremote = \"allow\"\n[targets]\nnetworks = [\"127.0.0.0/8\"]\n[schedules]\nlife = \"2h\"\nevery = \"10s\"\n",
    );
    let targets: Vec<String> = (1..=32).map(|port| format!("\"127.0.0.1:{port}\"")).collect();
    let (targets, set) = (targets.join(", "), world.files().config.with_file_name("one.toml"));
    std::fs::write(set, world.order(1).set).unwrap();
    let own =
        |number| format!("[[schedule]]\nname = \"s{number}\"\nset = \"./one.toml\"\ntargets = [{targets}]\nevery = \"24h\"\n");
    std::fs::write(world.files().config, (0..32).map(own).collect::<String>()).unwrap();
    let _agent = world.agent();
    let repeat = Some(netsonde_contract::order::Repeat { every_seconds: 60, life_seconds: 3_600 });
    let order = Order { repeat, ..world.order(1) };
    world.backend.deliver(&order, ENGINEER);
    let report = world.backend.wait_state(&order, DeliveryState::Refused);
    let detail = report.detail.unwrap_or_default();
    assert_eq!(report.code.as_deref(), Some("over_budget"));
    assert!(detail.contains("1025 checks on this machine, more than the 1024"), "{detail}");
}

/// An order in which this agent answers another one.
fn serving(world: &World, number: u8, port: u16) -> Order {
    let set = netsonde_contract::set::find_built_in("reflect").unwrap().text;
    let order = world.order_of(number, set, &format!("127.0.0.1:{port}"));
    let Addressees::Listed(mut agents) = order.agents.clone() else { panic!() };
    let own = agents[0].agent.clone();
    agents.push(Addressee { agent: netsonde_contract::id::AgentId::new("f".repeat(64)), epoch: Epoch::from_bytes([9; 16]) });
    let peers = vec!["127.0.0.1".parse().unwrap()];
    let serve = netsonde_contract::order::Serve { agent: own, port, peers, seconds: 30, key: "0f".repeat(32) };
    Order { agents: Addressees::Listed(agents), serve: Some(serve), ..order }
}

#[test]
fn an_agent_answers_another_only_where_the_policy_names_it_and_lets_go_when_cancelled() {
    let world = World::new("allow");
    let _agent = world.agent();
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listens = || std::net::UdpSocket::bind(("0.0.0.0", port)).is_err();
    let refused = serving(&world, 1, port);
    world.backend.deliver(&refused, ENGINEER);
    let report = world.backend.wait_state(&refused, DeliveryState::Refused);
    assert_eq!(report.code.as_deref(), Some("serving_not_allowed"), "the targets' networks are no word about it");
    world.policy("[orders]\nremote = \"allow\"\n[serve]\npeers = [\"127.0.0.1\"]\ntime = \"10s\"\n");
    let long = serving(&world, 2, port);
    world.backend.deliver(&long, ENGINEER);
    assert_eq!(world.backend.wait_state(&long, DeliveryState::Refused).code.as_deref(), Some("over_budget"));
    assert!(!listens());
    world.policy("[orders]\nremote = \"allow\"\n[serve]\npeers = [\"127.0.0.1\"]\ntime = \"1m\"\n");
    let order = serving(&world, 3, port);
    world.backend.deliver(&order, ENGINEER);
    let report = world.backend.wait_state(&order, DeliveryState::Running);
    assert_eq!(report.code.as_deref(), Some(netsonde_contract::order::SERVING));
    assert!(report.detail.unwrap().contains(&format!("answering 127.0.0.1 at UDP port {port} for at most 30 s")));
    assert!(listens(), "whoever hears of it can send");
    world.backend.give(|told| told.cancelled.push(order.id.clone()));
    world.backend.wait_state(&order, DeliveryState::Cancelled);
    assert!(!listens());
}

#[test]
fn a_run_that_is_cancelled_ends_within_a_second_and_sends_no_bundle() {
    let world = World::new("allow");
    let _agent = world.agent();
    let set = LONG.replace("PORT", &world.target.local_addr().unwrap().port().to_string());
    let (order, next) = (world.order_of(1, &set, "127.0.0.1"), world.order(2));
    world.backend.deliver(&order, ENGINEER);
    world.backend.wait_state(&order, DeliveryState::Running);
    world.backend.deliver(&next, ENGINEER);
    world.backend.wait_state(&next, DeliveryState::Accepted);
    let began = Clock::start();
    world.backend.give(|told| told.cancelled.push(order.id.clone()));
    world.backend.wait_state(&order, DeliveryState::Cancelled);
    assert!(began.now() < Duration::from_millis(1_900), "{:?}", began.now());
    // The one that waited for its turn runs now.
    world.backend.wait_state(&next, DeliveryState::Uploaded);
    assert_eq!(world.backend.told.lock().unwrap().bundles.len(), 1);
}

/// Somebody at the machine has the last word, over what runs too.
#[test]
fn a_pause_and_a_refusal_at_the_machine_end_the_run_that_goes_on() {
    let world = World::new("allow");
    let _agent = world.agent();
    let set = LONG.replace("PORT", &world.target.local_addr().unwrap().port().to_string());
    let (one, two, three) = (world.order_of(1, &set, "127.0.0.1"), world.order_of(2, &set, "127.0.0.1"), world.order(3));
    let ended = |order: &Order, code: &str| {
        let began = Clock::start();
        let report = world.backend.wait_state(order, DeliveryState::Cancelled);
        assert_eq!(report.code.as_deref(), Some(code));
        // A second to the next look, and one to let go.
        assert!(began.now() < Duration::from_millis(3_000), "{:?}", began.now());
        report.detail.unwrap_or_default()
    };
    world.backend.deliver(&one, ENGINEER);
    world.backend.wait_state(&one, DeliveryState::Running);
    let words = "not during the sale".to_owned();
    Answers::of(&world.state()).give(&one.id, &Answer { approved: false, words }).unwrap();
    assert_eq!(ended(&one, "declined"), "not during the sale");
    world.backend.deliver(&two, ENGINEER);
    world.backend.wait_state(&two, DeliveryState::Running);
    Home::of(&world.state()).set_paused(true).unwrap();
    ended(&two, "paused");
    Home::of(&world.state()).set_paused(false).unwrap();
    world.backend.deliver(&three, ENGINEER);
    world.backend.wait_state(&three, DeliveryState::Uploaded);
    assert_eq!(world.backend.told.lock().unwrap().bundles.len(), 1, "only that of the one that nobody ended");
}

/// What a customer writes into the policy holds for what runs, too.
#[test]
fn a_policy_that_is_changed_ends_the_run_that_goes_by_the_old_one_and_a_comment_does_not() {
    let world = World::new("allow");
    let _agent = world.agent();
    let set = LONG.replace("PORT", &world.target.local_addr().unwrap().port().to_string());
    let order = world.order_of(1, &set, "127.0.0.1");
    world.backend.deliver(&order, ENGINEER);
    world.backend.wait_state(&order, DeliveryState::Running);
    let rules = "[orders]\nremote = \"allow\"\n[targets]\nnetworks = [\"127.0.0.0/8\"]\n";
    let (before, now_denied) = (Policy::parse("before", rules).unwrap(), format!("{rules}deny_networks = [\"127.0.0.2\"]\n"));
    assert!(before.rules_as(&Policy::parse("comment", &format!("# of today\n{rules}")).unwrap()));
    assert!(!before.rules_as(&Policy::parse("denied", &now_denied).unwrap()));
    world.policy(&now_denied);
    let report = world.backend.wait_state(&order, DeliveryState::Cancelled);
    assert_eq!(report.code.as_deref(), Some("policy_changed"));
    assert!(world.backend.told.lock().unwrap().bundles.is_empty());
}

/// The enrolment is ended while a run goes on and another order waits for a person.
#[test]
fn an_enrolment_that_is_forgotten_ends_what_was_ordered_and_the_next_one_begins_anew() {
    let world = World::new("allow");
    let _agent = world.agent();
    let set = LONG.replace("PORT", &world.target.local_addr().unwrap().port().to_string());
    let (running, waiting) = (world.order_of(1, &set, "127.0.0.1"), world.order(2));
    world.backend.deliver(&running, ENGINEER);
    world.backend.wait_state(&running, DeliveryState::Running);
    world.backend.deliver(&waiting, ENGINEER);
    world.backend.wait_state(&waiting, DeliveryState::Accepted);
    Home::of(&world.state()).forget().unwrap();
    let began = Clock::start();
    while !Book::open(&world.state()).unwrap().open_but(None).is_empty() {
        assert!(began.now() < Duration::from_secs(10), "what was ordered goes on");
        std::thread::yield_now();
    }
    let book = Book::open(&world.state()).unwrap();
    for order in [&running, &waiting] {
        let record = book.get(&order.id).unwrap();
        assert_eq!((record.state, record.code.as_deref()), (DeliveryState::Cancelled, Some("forgotten")));
    }
    assert!(world.state().spool().scan(crate::spool::Depth::Entries).ready.is_empty());
    world.backend.told.lock().unwrap().transport = None;
    world.enrol();
    let next = world.order(3);
    world.backend.deliver(&next, ENGINEER);
    world.backend.wait_state(&next, DeliveryState::Uploaded);
    let told = world.backend.told.lock().unwrap();
    assert!(told.unsigned().is_empty(), "the old enrolment's key was used");
    assert_eq!(told.bundles.len(), 1, "only that of the new enrolment");
}

#[test]
fn an_agent_that_support_took_off_their_list_runs_nothing_of_theirs_any_more() {
    let world = World::new("allow");
    let agent = world.agent();
    let set = LONG.replace("PORT", &world.target.local_addr().unwrap().port().to_string());
    let order = world.order_of(1, &set, "127.0.0.1");
    let schedule = OrderId::from_bytes([9; 16]);
    world.backend.deliver(&order, ENGINEER);
    world.backend.wait_state(&order, DeliveryState::Running);
    let shelf = Shelf::of(&world.state());
    let kept = Shelved { id: schedule.clone(), envelope: "{}".into(), taken: now(), approved: false, began_ms: None };
    shelf.put(&kept).unwrap();
    let revoked = Problem::new(ProblemCode::AgentRevoked, "its enrolment was ended");
    world.backend.give(|told| told.problems = vec![revoked]);
    let over = || Book::open(&world.state()).unwrap().get(&order.id).is_some_and(|record| record.state.is_final());
    let began = Clock::start();
    while !over() || shelf.has(&schedule) {
        assert!(began.now() < Duration::from_secs(10), "what was ordered goes on");
        std::thread::yield_now();
    }
    assert_eq!(Book::open(&world.state()).unwrap().get(&order.id).unwrap().code.as_deref(), Some("agent_revoked"));
    drop(agent);
    assert!(world.audit().contains("agent_revoked"));
}

#[test]
fn an_enrolment_that_is_forgotten_while_no_agent_runs_leaves_no_order_to_the_next_one() {
    let world = World::new("allow");
    let (order, state) = (world.order(1), world.state());
    Book::open(&state).unwrap().put(crate::orders::Record::new(&order.id, DeliveryState::Accepted, now())).unwrap();
    end_orders_at_rest(&state).unwrap();
    assert_eq!(Book::open(&state).unwrap().get(&order.id).unwrap().state, DeliveryState::Cancelled);
}

#[tokio::test]
async fn a_schedules_bundle_that_was_to_stay_is_sent_on_a_persons_word() {
    let world = tokio::task::spawn_blocking(|| World::new("deny")).await.unwrap();
    let scheduled = Scheduled {
        words: tokio::sync::mpsc::unbounded_channel().1,
        uplink: Arc::default(),
        reshelved: Arc::default(),
        file_checks: Arc::default(),
    };
    let bundle = netsonde_contract::id::BundleId::new(hexadecimal(&Sha256::digest(b"a bundle")));
    let entry = crate::spool::Entry {
        schedule: Some("shop".to_owned()),
        made: Some(now()),
        ..crate::spool::Entry::of(&bundle, "a.tar.gz".to_owned(), b"a bundle")
    };
    world.state().spool().put(&entry, b"a bundle").unwrap();
    let mut daemon = Daemon::open(world.state(), world.policy_path(), &scheduled).unwrap();
    daemon.recover().unwrap();
    daemon.look_for_released();
    assert_eq!(daemon.queue.next(now(), crate::spool::Link::default()), None);
    assert_eq!(crate::command::release_bundle(world.state().path(), bundle.as_str()), Ok(0));
    daemon.look_for_released();
    assert_eq!(daemon.queue.next(now(), crate::spool::Link::default()), Some(&bundle));
    assert!(world.audit().contains("bundle_released"));
}

/// The run packs in a thread of its own and may be done with it when the word comes that nobody wants it any more.
#[tokio::test]
async fn an_order_that_is_cancelled_while_its_bundle_is_packed_sends_none_and_leaves_none() {
    let world = tokio::task::spawn_blocking(|| World::new("allow")).await.unwrap();
    let scheduled = || Scheduled {
        words: tokio::sync::mpsc::unbounded_channel().1,
        uplink: Arc::default(),
        reshelved: Arc::default(),
        file_checks: Arc::default(),
    };
    let entry = |daemon: &Daemon, id: &OrderId| {
        let bundle = netsonde_contract::id::BundleId::new(hexadecimal(&Sha256::digest(b"a bundle")));
        let entry = crate::spool::Entry {
            order: Some(id.clone()),
            ..crate::spool::Entry::of(&bundle, "a.tar.gz".to_owned(), b"a bundle")
        };
        let _lock = daemon.state.lock().unwrap();
        daemon.state.spool().keep(&entry, b"a bundle", now()).unwrap();
        entry
    };
    for (number, is_stop) in [(1, false), (2, true)] {
        let id = OrderId::from_bytes([number; 16]);
        let mut daemon = Daemon::open(world.state(), world.policy_path(), &scheduled()).unwrap();
        daemon.book.put(crate::orders::Record::new(&id, DeliveryState::Running, now())).unwrap();
        let (running, tell) = Running::told_by(&id);
        daemon.running = Some(running);
        let entry = entry(&daemon, &id);
        let bundle = entry.bundle.clone();
        assert!(tell.send(RunEvent::Packed(Box::new(entry))).is_ok());
        if !is_stop {
            daemon.cancel(&id);
            let event = next_event(&mut daemon.running).await;
            daemon.heard_of_run(event);
            assert_eq!(daemon.book.get(&id).unwrap().state, DeliveryState::Cancelled);
            assert!(daemon.state.spool().find_ready(&bundle).is_none());
            assert!(daemon.next_bundle().is_none(), "nothing waits to be sent");
        } else {
            // An agent that stops keeps what it had, and sends it when it is back.
            daemon.stop(&mut Outbox::default()).await;
            let record = daemon.book.get(&id).unwrap();
            assert_eq!((record.state, record.bundle.as_ref()), (DeliveryState::Running, Some(&bundle)));
            assert!(daemon.state.spool().find_ready(&bundle).is_some());
        }
    }
}

#[test]
fn an_order_that_is_cancelled_while_its_bundle_is_on_its_way_ends_within_a_second() {
    let world = World::new("allow");
    world.backend.told.lock().unwrap().holds_uploads = true;
    let _agent = world.agent();
    let (order, next) = (world.order(1), world.order(2));
    world.backend.deliver(&order, ENGINEER);
    world.backend.wait_for("an upload", |told| (told.held_uploads > 0).then_some(()));
    let began = Clock::start();
    world.backend.give(|told| told.cancelled.push(order.id.clone()));
    let report = world.backend.wait_state(&order, DeliveryState::Cancelled);
    assert!(began.now() < Duration::from_secs(1), "{:?}", began.now());
    assert_eq!(report.code.as_deref(), Some("cancelled"));
    assert!(
        world.state().spool().scan(crate::spool::Depth::Entries).ready.is_empty(),
        "what was cancelled is sent by nobody later"
    );
    world.backend.give(|told| told.holds_uploads = false);
    world.backend.deliver(&next, ENGINEER);
    world.backend.wait_state(&next, DeliveryState::Uploaded);
    assert_eq!(world.backend.told.lock().unwrap().bundles.len(), 1, "only the other one's");
}

/// The request that is held would go on for fifty seconds.
#[test]
fn support_hears_within_seconds_that_the_policy_is_another_and_orders_are_paused() {
    let world = World::new("deny");
    let _agent = world.agent();
    let mut asked = 0;
    let mut says = |what: &str, is: fn(&PolicySummary) -> bool| {
        let held = |told: &Told| (told.asked > asked && told.policy.as_ref().is_some_and(is)).then_some(told.asked);
        asked = world.backend.wait_for(what, held);
    };
    says("the policy", |policy| policy.remote == "deny");
    world.policy("[orders]\nremote = \"ask\"\n");
    Home::of(&world.state()).set_paused(true).unwrap();
    says("the new policy and the pause", |policy| policy.remote == "ask" && policy.paused);
}

#[test]
fn a_wrong_clock_and_a_backend_in_trouble_are_lived_with() {
    let world = World::new("allow");
    let skewed = Problem { server_time: Some(now()), ..Problem::new(ProblemCode::ClockSkew, "an hour off") };
    let problems = vec![Problem::new(ProblemCode::Unavailable, "restarting"), skewed];
    world.backend.told.lock().unwrap().problems = problems;
    let _agent = world.agent();
    let order = world.order(1);
    world.backend.deliver(&order, ENGINEER);
    world.backend.wait_state(&order, DeliveryState::Uploaded);
}

#[test]
fn an_order_that_was_running_when_the_machine_died_has_failed_and_runs_no_more() {
    let world = World::new("allow");
    let order = world.order(1);
    let state = world.state();
    let mut book = Book::open(&state).unwrap();
    book.put(crate::orders::Record::new(&order.id, DeliveryState::Running, now())).unwrap();
    Taken::open(&state)
        .unwrap()
        .add(&order.id, order.expires, &current_epochs(&Home::of(&state), &UpTime::read()).unwrap(), now())
        .unwrap();
    let _agent = world.agent();
    assert_eq!(world.backend.wait_state(&order, DeliveryState::Failed).code.as_deref(), Some("agent_stopped"));
    // From then on it is news where the backend does not know of it.
    let began = Clock::start();
    while !Book::open(&state).unwrap().get(&order.id).is_some_and(crate::orders::Record::is_reported) {
        assert!(began.now() < Duration::from_secs(10), "the backend's answer is not noted");
        std::thread::yield_now();
    }
    world.backend.deliver(&order, ENGINEER);
    assert_eq!(world.backend.wait_state(&order, DeliveryState::Refused).code.as_deref(), Some("replayed"));
    assert!(!world.was_measured());
    let never = Interruption::of(CancellationToken::new());
    let second = crate::service::run(world.state(), world.files(), None, &never);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(runtime.block_on(second).unwrap_err().message.contains("another netsonde agent"));
}

#[test]
fn a_backend_of_the_version_before_is_asked_for_work_and_an_older_one_is_not() {
    for (protocol, asks) in [(Protocol::OLDEST.number(), true), (Protocol::OLDEST.number() - 1, false)] {
        let world = World::new("allow");
        world.backend.told.lock().unwrap().protocol = Some(protocol);
        let _agent = world.agent();
        if asks {
            world.backend.wait_for("work", |told| (told.asked > 0).then_some(()));
            continue;
        }
        world.backend.wait_for("itself", |told| (told.checked_in > 0).then_some(()));
        let waited = Clock::start();
        while waited.now() < Duration::from_millis(300) {
            assert_eq!(world.backend.told.lock().unwrap().asked, 0, "nobody knows what a backend means that speaks otherwise");
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_damaged_policy_refuses_every_order_says_why_and_stops_nothing_else() {
    let world = World::new("allow");
    let good = std::fs::read_to_string(world.policy_path()).unwrap();
    world.policy("[orders]\nremote =\n");
    let _agent = world.agent();
    let first = world.order(1);
    world.backend.deliver(&first, ENGINEER);
    let refused = world.backend.wait_state(&first, DeliveryState::Refused);
    assert_eq!(refused.code.as_deref(), Some("orders_off"));
    assert!(refused.detail.as_deref().is_some_and(|detail| detail.contains("policy.toml")), "{refused:?}");
    world.policy(&good);
    let second = world.order(2);
    world.backend.deliver(&second, ENGINEER);
    world.backend.wait_state(&second, DeliveryState::Running);
}
