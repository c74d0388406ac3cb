//! A small backend for tests: it speaks the bodies of `api::fleet` and keeps what it was sent.

use crate::backend::Backend;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use netsonde_contract::api::fleet::*;
use netsonde_contract::api::protocol::Protocol;
use netsonde_contract::api::{CaseDetail, CaseSummary, Problem, ProblemCode, TicketStateName, TicketSummary};
use netsonde_contract::desk_token::DeskToken;
use netsonde_contract::dsse::Envelope;
use netsonde_contract::enrolment::EnrolmentCode;
use netsonde_contract::id::{AgentId, CaseId, TicketId};
use netsonde_contract::kind::Kind;
use netsonde_contract::order::{Epoch, Order};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use zeroize::Zeroizing;

#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) agents: Vec<AgentSummary>,
    pub(crate) drafts: Vec<KeptDraft>,
    pub(crate) submitted: Vec<SubmitOrder>,
    pub(crate) trust: Option<TrustDocuments>,
    /// Enrolment codes that were made.
    pub(crate) codes: usize,
    pub(crate) labels: Option<Labels>,
    /// What becomes of every order at every agent.
    pub(crate) fate: Option<(DeliveryState, &'static str)>,
    /// It takes no order now.
    pub(crate) refuses: bool,
    /// What it answers with is everything, as a backend does that knows no narrower question.
    pub(crate) old: bool,
    /// Deliveries that changed, by their place: the state that they are in, and the number of the change.
    pub(crate) changed: BTreeMap<usize, (DeliveryState, u64)>,
    /// Agents that it told, and deliveries.
    pub(crate) agents_told: usize,
    pub(crate) deliveries_told: usize,
}

pub(crate) type Shared = Arc<Mutex<Kept>>;

/// The case that there is, and the target that a ticket of it is for.
pub(crate) const CASE: &str = "4711";
pub(crate) const TARGET: &str = "https://shop.example/";

pub(crate) fn agent(number: u16) -> AgentSummary {
    let epoch = Epoch::from_bytes([number as u8; 16]);
    let policy = PolicySummary { remote: "allow".into(), paused: false, sha256: None };
    AgentSummary {
        id: AgentId::new(format!("{number:064x}").chars().rev().collect::<String>()),
        host_name: Some(format!("vm{number}")),
        labels: BTreeMap::from([("site".to_owned(), if number.is_multiple_of(2) { "oslo" } else { "bergen" }.to_owned())]),
        enrolled: Timestamp::UNIX_EPOCH,
        last_seen: None,
        online: true,
        check_in: CheckIn {
            epoch,
            version: "0.1.0".into(),
            platform: "x86_64-unknown-linux-gnu".into(),
            policy,
            kinds: Kind::ALL.to_vec(),
            instance: "i".into(),
            protocol: Protocol::NEWEST,
            link: None,
        },
        cloned: false,
        revoked: false,
    }
}

pub(crate) async fn start(kept: Kept) -> (Backend, Shared) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let shared: Shared = Arc::new(Mutex::new(kept));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let state = Arc::clone(&shared);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let state = Arc::clone(&state);
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(Arc::clone(&state), request));
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    let token = DeskToken { backend: base, tls_pin: None, token: Zeroizing::new("secret".into()) };
    (Backend::new(&token).unwrap(), shared)
}

async fn answer(state: Shared, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    Ok(route(&mut state.lock().unwrap(), &method, (path.as_str(), query.as_str()), &body))
}

fn route(kept: &mut Kept, method: &Method, (path, query): (&str, &str), body: &[u8]) -> Response<Full<Bytes>> {
    let parts: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
    match (method.as_str(), parts.as_slice()) {
        ("GET", ["agents"]) => {
            let asked = reqwest::Url::parse(&format!("http://backend/?{query}")).unwrap();
            let asked: BTreeMap<String, String> = asked.query_pairs().into_owned().filter(|_| !kept.old).collect();
            let named = |agent: &&AgentSummary| {
                asked.get("named").is_none_or(|text| match AgentId::beginning(text) {
                    Some(digits) => agent.id.as_str().starts_with(&digits),
                    None => agent.host_name.as_ref() == Some(text),
                })
            };
            let wanted: Labels = asked.get("labels").map(|json| serde_json::from_str(json).unwrap()).unwrap_or_default();
            let told: Vec<&AgentSummary> =
                kept.agents.iter().filter(named).filter(|agent| crate::labels::fit(&agent.labels, &wanted)).collect();
            kept.agents_told += told.len();
            json(&told)
        }
        ("PUT", ["agents", _, "labels"]) => {
            kept.labels = Some(serde_json::from_slice(body).unwrap());
            empty()
        }
        ("PUT", ["trust"]) => {
            kept.trust = Some(serde_json::from_slice(body).unwrap());
            empty()
        }
        ("GET", ["trust"]) => kept.trust.as_ref().map_or_else(missing, json),
        ("POST", ["enrolments"]) => {
            kept.codes += 1;
            let code = EnrolmentCode::from_bytes([9; 16]).to_text().to_string();
            json(&EnrolmentCodeIssued {
                id: TicketId::from_bytes([7; 10]),
                code,
                expires: Timestamp::from_second(1_900_000_000).unwrap(),
            })
        }
        ("GET", ["cases"]) => json(&[case().case]),
        ("GET", ["cases", CASE]) => json(&case()),
        ("GET", ["drafts"]) => json(&kept.drafts),
        ("GET", ["drafts", id]) => kept.drafts.iter().find(|draft| draft.id == *id).map_or_else(missing, json),
        ("POST", ["orders"]) if kept.refuses => {
            let mut response = json(&Problem::new(ProblemCode::StorageFull, "The server's disk is full."));
            *response.status_mut() = StatusCode::INSUFFICIENT_STORAGE;
            response
        }
        ("POST", ["orders"]) => {
            let submitted: SubmitOrder = serde_json::from_slice(body).unwrap();
            let detail = detail(kept, &submitted);
            kept.submitted.push(submitted);
            json(&detail.order)
        }
        ("GET", ["orders", _]) => {
            let Some(submitted) = kept.submitted.last() else { return missing() };
            let mut detail = detail(kept, submitted);
            let since = query.strip_prefix("since=").filter(|_| !kept.old).map(|since| since.parse::<u64>().unwrap());
            if let Some(since) = since {
                let newest = kept.changed.values().map(|(_, number)| *number).max().unwrap_or(0);
                let number = |place: usize| kept.changed.get(&place).map_or(1, |(_, number)| *number);
                let mut place = 0;
                detail.deliveries.retain(|_| {
                    place += 1;
                    number(place - 1) > since
                });
                detail.changes = Some(Changes { cursor: newest.max(1), more: false });
            }
            kept.deliveries_told += detail.deliveries.len();
            json(&detail)
        }
        _ => missing(),
    }
}

fn detail(kept: &Kept, submitted: &SubmitOrder) -> OrderDetail {
    let order = Order::unverified(&Envelope::from_json(submitted.envelope.as_bytes()).unwrap()).unwrap();
    let (state, code) = kept.fate.unwrap_or((DeliveryState::Running, ""));
    let state_of = |place: usize| kept.changed.get(&place).map_or(state, |(state, _)| *state);
    let mut states: BTreeMap<String, u32> = BTreeMap::new();
    for place in 0..submitted.agents.len() {
        *states.entry(state_of(place).name().to_owned()).or_default() += 1;
    }
    let delivery = |(place, agent): (usize, &AgentId)| Delivery {
        agent: agent.clone(),
        state: state_of(place),
        changed: order.not_before,
        code: (!code.is_empty()).then(|| code.to_owned()),
        detail: (!code.is_empty()).then(|| "the policy does not name it".to_owned()),
        bundle: None,
        checks_planned: 4,
        checks_done: 1,
    };
    OrderDetail {
        spread_seconds: order.spread_seconds,
        deliveries: submitted.agents.iter().map(|one| &one.agent).enumerate().map(delivery).collect(),
        changes: None,
        order: OrderSummary {
            id: order.id.clone(),
            case: order.case.clone(),
            set: "web".into(),
            targets: order.targets.clone(),
            requester: order.requester.clone(),
            submitted: order.not_before,
            expires: order.expires,
            cancelled: false,
            stopped: false,
            states,
            codes: BTreeMap::new(),
        },
    }
}

fn case() -> CaseDetail {
    let at = Timestamp::UNIX_EPOCH;
    CaseDetail {
        case: CaseSummary { id: CaseId::new(CASE), opened: at, updated: at, bundles: 0, state: None, cause: None, watched: None },
        bundles: Vec::new(),
        tickets: vec![TicketSummary {
            id: TicketId::from_bytes([1; 10]),
            set: "web".into(),
            targets: vec![TARGET.to_owned()],
            issued: at,
            expires: at,
            state: TicketStateName::Open,
        }],
    }
}

fn json(value: &(impl Serialize + ?Sized)) -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::from(serde_json::to_vec(value).unwrap())))
}

fn empty() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn missing() -> Response<Full<Bytes>> {
    let mut response = json(&Problem::new(ProblemCode::NotFound, "There is nothing here."));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
