use super::sample::Agent;
use super::server::{Options, Server, offset, problem};
use crate::limits::Limits;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use netsonde_contract::api::{DRAFT_INTEROP_VERSION, PARTIAL_UPLOAD, ProblemCode, header, path};
use netsonde_contract::bundle::Packed;
use netsonde_contract::id::BundleId;
use netsonde_contract::receipt::{self, Receipt};
use netsonde_contract::ticket::Ticket;
use reqwest::{Method, RequestBuilder, Response};
use sha2::{Digest, Sha256};

impl Server {
    pub(super) fn begin(&self, agent: &Agent, ticket: &Ticket, id: &BundleId, length: usize) -> RequestBuilder {
        self.post(path::UPLOADS)
            .header(header::DRAFT_INTEROP, DRAFT_INTEROP_VERSION)
            .header(header::UPLOAD_LENGTH, length)
            .header(header::UPLOAD_COMPLETE, "?0")
            .header(header::BUNDLE, id.as_str())
            .header(header::TICKET, ticket.id.as_str())
            .header(header::KEY, STANDARD.encode(agent.key.verifying_key().as_bytes()))
            .header(header::PROOF, agent.proof(ticket))
    }

    /// Where the upload of a bundle continues.
    pub(super) async fn begun(&self, agent: &Agent, ticket: &Ticket, bundle: &Packed) -> String {
        let begun = self.begin(agent, ticket, &bundle.id, bundle.bytes.len()).send().await.unwrap();
        assert_eq!((begun.status().as_u16(), offset(&begun)), (201, 0));
        begun.headers()["location"].to_str().unwrap().to_owned()
    }

    pub(super) fn part(&self, upload: &str, offset: usize, part: &[u8], complete: bool) -> RequestBuilder {
        self.client
            .request(Method::PATCH, format!("{}{upload}", self.url))
            .header(header::DRAFT_INTEROP, DRAFT_INTEROP_VERSION)
            .header("content-type", PARTIAL_UPLOAD)
            .header(header::UPLOAD_OFFSET, offset)
            .header(header::UPLOAD_COMPLETE, if complete { "?1" } else { "?0" })
            .header(header::CONTENT_DIGEST, format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(part))))
            .body(part.to_vec())
    }

    pub(super) async fn upload_whole(&self, agent: &Agent, ticket: &Ticket, bundle: &Packed) -> Response {
        let upload = self.begun(agent, ticket, bundle).await;
        self.part(&upload, 0, &bundle.bytes, true).send().await.unwrap()
    }

    async fn at(&self, upload: &str) -> Response {
        self.client.head(format!("{}{upload}", self.url)).send().await.unwrap()
    }
}

#[tokio::test]
async fn a_whole_upload_is_answered_with_a_receipt_and_the_same_one_when_asked_again() {
    let server = Server::start().await;
    let (agent, (_, ticket)) = (Agent::new(1), server.ticket("web").await);
    let bundle = agent.bundle(&ticket);
    let done = server.upload_whole(&agent, &ticket, &bundle).await;
    assert_eq!(done.status(), 200);
    assert_eq!(done.headers()["content-type"], receipt::MEDIA_TYPE);
    let envelope = done.bytes().await.unwrap();
    let receipt = Receipt::verify(&envelope, &ticket.receipt_key).unwrap();
    assert_eq!((&receipt.bundle, receipt.size_bytes), (&bundle.id, bundle.bytes.len() as u64));
    assert_eq!((receipt.case, receipt.ticket), (Some(ticket.case.clone()), Some(ticket.id.clone())));
    assert_eq!(receipt.case_url, Some(format!("{}/cases/4711", server.url)));

    let again = server.begin(&agent, &ticket, &bundle.id, bundle.bytes.len()).send().await.unwrap();
    assert_eq!(again.status(), 200);
    assert_eq!(again.bytes().await.unwrap(), envelope);
    assert_eq!(server.files(), (1, 0));
    let fetched = server.get(&path::bundle(&bundle.id)).bearer_auth(&server.desk_token).send().await.unwrap();
    assert_eq!(fetched.bytes().await.unwrap(), bundle.bytes);
}

#[tokio::test]
async fn an_upload_in_parts_goes_on_after_a_restart_where_it_stopped() {
    let server = Server::start().await;
    let (agent, (_, ticket)) = (Agent::new(1), server.ticket("web").await);
    let bundle = agent.bundle(&ticket);
    let (first, rest) = bundle.bytes.split_at(700);
    let upload = server.begun(&agent, &ticket, &bundle).await;
    let sent = server.part(&upload, 0, first, false).send().await.unwrap();
    assert_eq!((sent.status().as_u16(), offset(&sent)), (204, 700));

    let server = server.restart().await;
    let here = server.at(&upload).await;
    assert_eq!((here.status().as_u16(), offset(&here)), (204, 700));
    assert_eq!(here.headers()[header::UPLOAD_COMPLETE], "?0");
    assert_eq!(here.headers()["cache-control"], "no-store");
    let (second, third) = rest.split_at(300);
    assert_eq!(server.part(&upload, 700, second, false).send().await.unwrap().status(), 204);
    assert_eq!(server.part(&upload, 1000, third, true).send().await.unwrap().status(), 200);
    assert_eq!(server.at(&upload).await.status(), 404);
    assert_eq!(server.files(), (1, 0));
}

#[tokio::test]
async fn a_wrong_offset_is_told_the_right_one() {
    let server = Server::start().await;
    let (agent, (_, ticket)) = (Agent::new(1), server.ticket("web").await);
    let bundle = agent.bundle(&ticket);
    let upload = server.begun(&agent, &ticket, &bundle).await;
    assert_eq!(server.part(&upload, 0, &bundle.bytes[..9], false).send().await.unwrap().status(), 204);
    for wrong in [0, 5, 10] {
        let refused = server.part(&upload, wrong, &bundle.bytes[wrong..20], false).send().await.unwrap();
        assert_eq!(offset(&refused), 9);
        assert_eq!(problem(refused).await.known_code(), Some(ProblemCode::UploadOffsetMismatch));
    }
}

#[tokio::test]
async fn a_part_that_changed_on_its_way_is_not_kept() {
    let server = Server::start().await;
    let (agent, (_, ticket)) = (Agent::new(1), server.ticket("web").await);
    let bundle = agent.bundle(&ticket);
    let upload = server.begun(&agent, &ticket, &bundle).await;
    let refused = server.part(&upload, 0, &bundle.bytes[..9], false).body("changed!!").send().await.unwrap();
    assert_eq!(problem(refused).await.known_code(), Some(ProblemCode::UploadDigestMismatch));
    assert_eq!(offset(&server.at(&upload).await), 0);
    assert_eq!(server.files(), (0, 0));
}

#[tokio::test]
async fn a_newer_part_takes_over_from_one_that_hangs() {
    let server = Server::start().await;
    let (agent, (_, ticket)) = (Agent::new(1), server.ticket("web").await);
    let bundle = agent.bundle(&ticket);
    let upload = server.begun(&agent, &ticket, &bundle).await;
    let (_never_sent, silence) = tokio::io::duplex(1);
    let hanging = reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::new(silence));
    let hanging = tokio::spawn(server.part(&upload, 0, &bundle.bytes[..9], false).body(hanging).send());
    // The hanging request holds a permit for its body once it has its turn.
    let all = server.app.limits.parts;
    while server.app.parts.available_permits() == all {
        tokio::task::yield_now().await;
    }
    let newer = server.part(&upload, 0, &bundle.bytes, true).send().await.unwrap();
    assert_eq!(newer.status(), 200);
    let fenced = problem(hanging.await.unwrap().unwrap()).await;
    assert_eq!(fenced.known_code(), Some(ProblemCode::UploadFenced));
}

#[tokio::test]
async fn an_end_before_the_length_and_bytes_beyond_it_are_refused() {
    let server = Server::start().await;
    let (agent, (_, ticket)) = (Agent::new(1), server.ticket("web").await);
    let bundle = agent.bundle(&ticket);
    let upload = server.begun(&agent, &ticket, &bundle).await;
    let short = server.part(&upload, 0, &bundle.bytes[..9], true).send().await.unwrap();
    assert_eq!(problem(short).await.known_code(), Some(ProblemCode::UploadIncomplete));
    let long = [bundle.bytes.as_slice(), b"more"].concat();
    let long = server.part(&upload, 0, &long, true).send().await.unwrap();
    assert_eq!(problem(long).await.known_code(), Some(ProblemCode::TooLarge));
    assert_eq!(server.part(&upload, 0, &bundle.bytes, true).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_with_a_problem_document() {
    let server = Server::start().await;
    let (agent, (_, ticket)) = (Agent::new(1), server.ticket("web").await);
    let bundle = agent.bundle(&ticket);
    let huge = server.begin(&agent, &ticket, &bundle.id, (64 << 20) + 1).send().await.unwrap();
    assert_eq!(problem(huge).await.known_code(), Some(ProblemCode::TooLarge));
    let upload = server.begun(&agent, &ticket, &bundle).await;
    let huge = server.part(&upload, 0, &vec![0; (4 << 20) + 1], false).send().await.unwrap();
    assert_eq!(problem(huge).await.known_code(), Some(ProblemCode::TooLarge));
    assert_eq!(server.files(), (0, 0));
}

#[tokio::test]
async fn too_many_parts_at_once_are_asked_to_come_again() {
    let limits = Limits { parts: 0, ..Limits::default() };
    let server = Server::with(Options { limits, ..Options::default() }).await;
    let (agent, (_, ticket)) = (Agent::new(1), server.ticket("web").await);
    let bundle = agent.bundle(&ticket);
    let upload = server.begun(&agent, &ticket, &bundle).await;
    let refused = server.part(&upload, 0, &bundle.bytes, true).send().await.unwrap();
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(problem(refused).await.known_code(), Some(ProblemCode::Unavailable));
}
