use super::organisation::{Machine, documents, key, root, signed};
use super::server::{Server, problem};
use jiff::SignedDuration;
use netsonde_contract::api::fleet::{
    AgentSummary, CheckIn, CheckedIn, Introduce, Introduced, Labels, ReceiptKey, TrustDocuments,
};
use netsonde_contract::api::protocol::Protocol;
use netsonde_contract::api::{ProblemCode, path};
use netsonde_contract::enrolment::{CodeProof, Introduction};
use reqwest::Method;
use std::time::Duration;

impl Server {
    async fn agents(&self) -> Vec<AgentSummary> {
        self.get(path::AGENTS).bearer_auth(&self.desk_token).send().await.unwrap().json().await.unwrap()
    }
}

#[tokio::test]
async fn an_agent_enrols_with_a_code_that_is_counted() {
    let server = Server::start().await;
    server.publish(&documents(1)).await;
    let code = server.code(2).await;
    let (first, second, third) = (Machine::new(1), Machine::new(2), Machine::new(3));
    let answer = first.enrol(&server, &code).await;
    assert_eq!(answer.status(), 201);
    let introduced: Introduced = answer.json().await.unwrap();
    assert_eq!((introduced.agent, introduced.trust), (first.id(), documents(1)));
    assert_eq!(first.enrol(&server, &code).await.status(), 201, "the answer may have been lost");
    assert_eq!(second.enrol(&server, &code).await.status(), 201);
    let refused = problem(third.enrol(&server, &code).await).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::EnrolmentUsed));
    let agents = server.agents().await;
    assert_eq!(agents.len(), 2);
    assert!(agents.iter().all(|agent| agent.labels["site"] == "oslo" && !agent.online && !agent.revoked));
    server.advance(Duration::from_secs(73 * 3600));
    let code = server.code(1).await;
    server.advance(Duration::from_secs(73 * 3600));
    let refused = problem(third.enrol(&server, &code).await).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::EnrolmentExpired));
}

#[tokio::test]
async fn the_desk_hands_in_what_a_machine_signed_and_only_with_its_token_and_a_code() {
    let server = Server::start().await;
    server.publish(&documents(1)).await;
    let (machine, code) = (Machine::new(1), server.code(1).await);
    let body = |proof| Introduce {
        introduction: String::from_utf8(machine.introduction(1, proof).sign(&machine.bundle).to_json()).unwrap(),
        check_in: machine.check_in(),
    };
    let hand_in =
        async |token: &str, body: &Introduce| server.post(path::AGENTS).bearer_auth(token).json(body).send().await.unwrap();
    let whole = body(Some(machine.proof(&server, &code)));
    let refused = problem(hand_in("nobody's", &whole).await).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::Unauthorized));
    let refused = problem(hand_in(&server.desk_token, &body(None)).await).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::MalformedRequest), "the token alone enrols nobody");
    let answer = hand_in(&server.desk_token, &whole).await;
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.json::<Introduced>().await.unwrap().agent, machine.id());
    let told: ReceiptKey = server.get(path::RECEIPT_KEY).send().await.unwrap().json().await.unwrap();
    assert_eq!(*told.key.key(), server.app.receipt_key.verifying_key());
}

/// The agent would find no root, take the backend for another one, and have spent its code.
#[tokio::test]
async fn before_the_organisation_is_published_nobody_is_enrolled_and_no_code_is_spent() {
    let server = Server::start().await;
    let (machine, code) = (Machine::new(1), server.code(1).await);
    let refused = problem(machine.enrol(&server, &code).await).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::NotPublished));
    assert!(refused.next_step.is_some_and(|step| step.contains("org publish") && step.contains("same string")));
    assert!(server.agents().await.is_empty());
    server.publish(&documents(1)).await;
    assert_eq!(machine.enrol(&server, &code).await.status(), 201);
}

#[tokio::test]
async fn a_wrong_proof_or_a_foreign_signature_enrols_nobody() {
    let server = Server::start().await;
    let (code, other) = (server.code(9).await, server.code(9).await);
    let machine = Machine::new(1);
    let mixed = netsonde_contract::api::fleet::EnrolmentCodeIssued { id: code.id.clone(), ..other };
    let refused = problem(machine.enrol(&server, &mixed).await).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::EnrolmentWrongProof));
    let unknown = CodeProof { id: netsonde_contract::id::TicketId::from_bytes([9; 10]), proof: String::new() };
    let envelope = machine.introduction(1, Some(unknown.clone())).sign(&machine.bundle);
    let refused = problem(machine.introduce(&server, path::AGENTS, envelope).await).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::EnrolmentUnknown));
    let forged = machine.introduction(1, Some(unknown)).sign(&key(9));
    let refused = problem(machine.introduce(&server, path::AGENTS, forged).await).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::MalformedRequest), "its bundle key did not sign it");
    let without = machine.introduction(1, None).sign(&machine.bundle);
    let refused = problem(machine.introduce(&server, path::OWN_AGENT, without).await).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::AgentUnknown));
    assert!(server.agents().await.is_empty());
}

#[tokio::test]
async fn a_request_counts_once_for_its_agent_at_about_its_time() {
    let server = Server::start().await;
    let [machine] = server.enrolled([1]).await;
    let now = server.app.clock.now();
    let target = (Method::GET, "/v1/work?after=0&wait=0&root=1&list=1");
    let at = |machine: &Machine, created, nonce: &str| machine.request_at(&server, target.clone(), Vec::new(), created, nonce);
    assert_eq!(at(&machine, now, "nonce-of-16-chars-1").send().await.unwrap().status(), 200);
    let replayed = problem(at(&machine, now, "nonce-of-16-chars-1").send().await.unwrap()).await;
    assert_eq!(replayed.known_code(), Some(ProblemCode::NonceUsed));
    for minutes in [-6, 6] {
        let skewed = at(&machine, now + SignedDuration::from_mins(minutes), "nonce-of-16-chars-2");
        let skewed = problem(skewed.send().await.unwrap()).await;
        assert_eq!((skewed.known_code(), skewed.server_time), (Some(ProblemCode::ClockSkew), Some(now)));
    }
    let stolen = Machine { transport: key(9), ..machine.clone() };
    let refused = problem(at(&stolen, now, "nonce-of-16-chars-3").send().await.unwrap()).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::AgentUnknown));
    let moved = machine.request_at(&server, (Method::GET, "/v1/work?after=1"), Vec::new(), now, "nonce-of-16-chars-4").build();
    let mut moved = moved.unwrap();
    moved.url_mut().set_query(Some("after=2"));
    let refused = problem(server.client.execute(moved).await.unwrap()).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::AgentUnknown), "the query is covered");
    let refused = problem(server.get("/v1/work").send().await.unwrap()).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::AgentUnknown), "not signed at all");
    let server = server.restart().await;
    let replayed = machine.request_at(&server, target, Vec::new(), now, "nonce-of-16-chars-1");
    // The restarted server listens on another port, which the signature covers; the nonce is looked at after it.
    let replayed = problem(replayed.send().await.unwrap()).await;
    assert_eq!(replayed.known_code(), Some(ProblemCode::NonceUsed), "a restart forgets no nonce");
}

#[tokio::test]
async fn a_revoked_agent_and_a_copy_of_one_are_told_apart() {
    let server = Server::start().await;
    let [mut original, revoked] = server.enrolled([1, 2]).await;
    let mut copy = original.clone();
    let check_in = async |machine: &mut Machine| {
        let answer = machine.request(&server, Method::POST, path::OWN_AGENT, &machine.check_in()).send().await.unwrap();
        if answer.status() == 200 {
            machine.link = Some(answer.json::<CheckedIn>().await.unwrap().link);
            return None;
        }
        problem(answer).await.known_code()
    };
    assert_eq!(check_in(&mut original).await, None);
    assert_eq!(check_in(&mut original).await, None);
    assert_eq!(check_in(&mut copy).await, Some(ProblemCode::IdentityTwice));
    let refused = original.get(&server, "/v1/work").send().await.unwrap();
    assert_eq!(problem(refused).await.known_code(), Some(ProblemCode::IdentityTwice), "which of them would run an order?");
    let desk = |path: String| server.post(&path).bearer_auth(&server.desk_token).send();
    assert!(server.agents().await.iter().any(|agent| agent.id == original.id() && agent.cloned));
    assert_eq!(desk(path::agent_single(&original.id())).await.unwrap().status(), 204);
    assert_eq!(check_in(&mut original).await, None);

    let held = tokio::spawn(revoked.get(&server, "/v1/work?wait=50&root=1&list=1").send());
    server.until_listening(&revoked).await;
    assert_eq!(desk(path::agent_revoke(&revoked.id())).await.unwrap().status(), 204);
    let ended = tokio::time::timeout(Duration::from_secs(5), async { held.await.unwrap().unwrap().bytes().await.unwrap() });
    assert!(!ended.await.expect("a request that is held ends").is_empty());
    let refused = problem(revoked.get(&server, "/v1/work").send().await.unwrap()).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::AgentRevoked));
    let mut revoked = revoked;
    assert_eq!(check_in(&mut revoked).await, Some(ProblemCode::AgentRevoked));
}

#[tokio::test]
async fn an_agent_that_lost_its_link_is_no_copy_and_of_two_machines_one_is_found_out_all_the_same() {
    let server = Server::start().await;
    let [mut original] = server.enrolled([1]).await;
    let check_in = async |machine: &mut Machine| {
        let answer = machine.request(&server, Method::POST, path::OWN_AGENT, &machine.check_in()).send().await.unwrap();
        if answer.status() == 200 {
            machine.link = Some(answer.json::<CheckedIn>().await.unwrap().link);
            return None;
        }
        problem(answer).await.known_code()
    };
    assert_eq!(check_in(&mut original).await, None);
    let mut lost = Machine { link: None, ..original.clone() };
    assert_eq!(check_in(&mut lost).await, None, "an absent link says nothing");
    assert_eq!(check_in(&mut lost).await, None);
    assert_eq!(check_in(&mut original).await, Some(ProblemCode::IdentityTwice));
}

#[tokio::test]
async fn a_new_transport_key_and_a_new_bundle_key_are_introduced_by_the_former() {
    let server = Server::start().await;
    let [machine] = server.enrolled([1]).await;
    let mut next = Machine { transport: key(50), ..machine.clone() };
    // As agents do it, who say their host's name when they enrol.
    let nameless = |introduction: Introduction| Introduction { host_name: None, ..introduction };
    let answer = next.introduce(&server, path::OWN_AGENT, nameless(next.introduction(2, None)).sign(&next.bundle)).await;
    assert_eq!(answer.status(), 201);
    next.link = Some(answer.json::<Introduced>().await.unwrap().link);
    assert_eq!(next.get(&server, "/v1/work?root=1&list=1").send().await.unwrap().status(), 200);
    let refused = machine.get(&server, "/v1/work").send().await.unwrap();
    assert_eq!(problem(refused).await.known_code(), Some(ProblemCode::AgentUnknown), "the former key signs nothing any more");

    let replaced = Machine { bundle: key(51), transport: key(52), ..next.clone() };
    let introduction = Introduction { replaces: Some(next.id()), ..nameless(replaced.introduction(3, None)) };
    let unsigned = introduction.sign(&replaced.bundle);
    let refused = problem(replaced.introduce(&server, path::OWN_AGENT, unsigned.clone()).await).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::MalformedRequest), "the former key did not sign it");
    let mut envelope = unsigned;
    let signature = ed25519_dalek::Signer::sign(&next.bundle, &envelope.to_be_signed()).to_bytes();
    envelope.add_signature(&next.bundle.verifying_key(), signature);
    assert_eq!(replaced.introduce(&server, path::OWN_AGENT, envelope.clone()).await.status(), 201);
    assert_eq!(replaced.introduce(&server, path::OWN_AGENT, envelope).await.status(), 201, "the answer may have been lost");
    assert_eq!(replaced.get(&server, "/v1/work?root=1&list=1").send().await.unwrap().status(), 200);
    let listed: Vec<_> = server.agents().await.into_iter().map(|agent| (agent.id, agent.labels, agent.host_name)).collect();
    let labels = Labels::from([("site".to_owned(), "oslo".to_owned())]);
    assert_eq!(listed, [(replaced.id(), labels, Some("vm<b>1</b>".to_owned()))]);
}

#[tokio::test]
async fn documents_are_published_forward_only_and_wake_whoever_listens() {
    let server = Server::start().await;
    let unknown = server.get(path::TRUST).send().await.unwrap();
    assert_eq!(problem(unknown).await.known_code(), Some(ProblemCode::NotFound));
    let [machine] = server.enrolled([1]).await;
    let held = machine.hold(&server, "/v1/work?wait=50&root=1&list=1");
    server.until_listening(&machine).await;
    assert_eq!(server.publish(&documents(2)).await.status(), 204);
    let work = held.await.unwrap();
    assert_eq!(work.trust, Some(documents(2)));
    let nothing = TrustDocuments::default();
    let unsigned = TrustDocuments { roots: vec![signed(root().envelope(), &[9])], list: None };
    let no_list = TrustDocuments { list: None, ..documents(2) };
    for (wrong, reason) in
        [(documents(1), "rolled_back"), (nothing, "malformed"), (unsigned, "too_few_signatures"), (no_list, "rolled_back")]
    {
        let refused = problem(server.publish(&wrong).await).await;
        assert_eq!((refused.known_code(), refused.reason.as_deref()), (Some(ProblemCode::TrustRefused), Some(reason)));
    }
    let server = server.restart().await;
    let read: TrustDocuments = server.get(path::TRUST).send().await.unwrap().json().await.unwrap();
    assert_eq!(read, documents(2));
}

#[tokio::test]
async fn an_agent_of_the_version_before_is_served_and_an_older_one_is_told_to_update() {
    let server = Server::start().await;
    server.publish(&documents(1)).await;
    let [mut machine] = server.enrolled([1]).await;
    let newest = Protocol::NEWEST.number();
    let mut say = async |protocol: u32| {
        let about = CheckIn { protocol: Protocol::new(protocol), ..machine.check_in() };
        let answer = machine.request(&server, Method::POST, path::OWN_AGENT, &about).send().await.unwrap();
        let answer = if answer.status() == 200 {
            let heard: CheckedIn = answer.json().await.unwrap();
            machine.link = Some(heard.link);
            Ok(heard.protocol.number())
        } else {
            Err(problem(answer).await)
        };
        (answer, machine.get(&server, "/v1/work?wait=0&root=1&list=1").send().await.unwrap())
    };
    for (theirs, spoken) in [(newest, newest), (newest - 1, newest - 1), (newest + 5, newest)] {
        let (answer, work) = say(theirs).await;
        assert_eq!((answer.ok(), work.status().as_u16()), (Some(spoken), 200), "{theirs}");
    }
    let (refused, work) = say(newest - 2).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.known_code(), Some(ProblemCode::ProtocolTooOld));
    assert!(refused.next_step.as_deref().is_some_and(|step| step.contains("Install a newer netsonde")), "{refused:?}");
    assert_eq!(problem(work).await.known_code(), Some(ProblemCode::ProtocolTooOld), "nor is it given work");
    let (answer, work) = say(newest).await;
    assert_eq!((answer.ok(), work.status().as_u16()), (Some(newest), 200), "once it is updated it goes on");
}

#[tokio::test]
async fn an_agent_from_before_versions_were_named_speaks_the_first() {
    let server = Server::start().await;
    let [machine] = server.enrolled([1]).await;
    let mut about = serde_json::to_value(machine.check_in()).unwrap();
    about.as_object_mut().unwrap().remove("protocol");
    let answer = machine.request(&server, Method::POST, path::OWN_AGENT, &about).send().await.unwrap();
    let heard: serde_json::Value = answer.json().await.unwrap();
    assert!(heard.get("link").is_some() && heard.get("protocol").is_none(), "it is answered in words that it knows: {heard}");
}
