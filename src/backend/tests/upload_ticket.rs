use super::sample::{Agent, reference};
use super::server::{Server, problem};
use netsonde_contract::api::{ProblemCode, path};
use netsonde_contract::id::TicketId;
use netsonde_contract::ticket::{Ticket, TicketSecret};
use std::time::Duration;

#[tokio::test]
async fn every_state_of_a_ticket_but_open_is_refused_by_its_own_code() {
    let server = Server::start().await;
    let (agent, (_, used)) = (Agent::new(1), server.ticket("web").await);
    let bundle = agent.bundle(&used);
    assert_eq!(server.upload_whole(&agent, &used, &bundle).await.status(), 200);
    let second = agent.packed(&used, |_, predicate| predicate.sequence = 2);
    let refused = server.begin(&agent, &used, &second.id, second.bytes.len()).send().await.unwrap();
    assert_eq!(problem(refused).await.known_code(), Some(ProblemCode::TicketUsed));

    let (_, revoked) = server.ticket("web").await;
    let deleted = server.client.delete(format!("{}{}", server.url, path::ticket(&revoked.id)));
    assert_eq!(deleted.bearer_auth(&server.desk_token).send().await.unwrap().status(), 204);
    let refused = server.begin(&agent, &revoked, &bundle.id, 9).send().await.unwrap();
    assert_eq!(problem(refused).await.known_code(), Some(ProblemCode::TicketRevoked));

    let (_, expired) = server.ticket("web").await;
    server.advance(Duration::from_secs(7 * 24 * 3600));
    let refused = problem(server.begin(&agent, &expired, &bundle.id, 9).send().await.unwrap()).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::TicketExpired));
    assert_eq!(refused.server_time, Some(expired.expires));

    let unknown = Ticket { id: TicketId::from_bytes([9; 10]), ..expired };
    let refused = server.begin(&agent, &unknown, &bundle.id, 9).send().await.unwrap();
    assert_eq!(problem(refused).await.known_code(), Some(ProblemCode::TicketUnknown));
}

#[tokio::test]
async fn a_ticket_that_expires_during_the_upload_is_refused_and_leaves_nothing() {
    let server = Server::start().await;
    let (agent, (_, ticket)) = (Agent::new(1), server.ticket("web").await);
    let bundle = agent.bundle(&ticket);
    let upload = server.begun(&agent, &ticket, &bundle).await;
    server.advance(Duration::from_secs(7 * 24 * 3600));
    let refused = server.part(&upload, 0, &bundle.bytes, true).send().await.unwrap();
    assert_eq!(problem(refused).await.known_code(), Some(ProblemCode::TicketExpired));
    assert_eq!(server.files(), (0, 0));
}

#[tokio::test]
async fn a_bundle_of_another_key_ticket_or_set_is_refused_and_the_ticket_stays_open() {
    let server = Server::start().await;
    let (agent, other) = (Agent::new(1), Agent::new(2));
    let ((_, ticket), (_, path_ticket)) = (server.ticket("web").await, server.ticket("path").await);

    let stolen = Ticket { secret: TicketSecret::from_bytes([0; 16]), ..ticket.clone() };
    let refused = server.begin(&agent, &stolen, &agent.bundle(&ticket).id, 9).send().await.unwrap();
    assert_eq!(problem(refused).await.known_code(), Some(ProblemCode::TicketProofInvalid));

    let cases = [
        (other.bundle(&ticket), ProblemCode::UnknownKey),
        (agent.packed(&ticket, |_, predicate| predicate.ticket = None), ProblemCode::UnknownKey),
        (agent.bundle(&path_ticket), ProblemCode::TicketProofInvalid),
        (
            agent.packed(&ticket, |_, predicate| predicate.ticket.as_mut().unwrap().proof = "AAAA".into()),
            ProblemCode::TicketProofInvalid,
        ),
        (agent.packed(&ticket, |_, predicate| predicate.set = reference("quick")), ProblemCode::TicketWrongSet),
        (agent.packed(&ticket, |_, predicate| predicate.set.sha256 = "00".repeat(32)), ProblemCode::TicketWrongSet),
    ];
    for (bundle, code) in cases {
        let refused = problem(server.upload_whole(&agent, &ticket, &bundle).await).await;
        assert_eq!(refused.known_code(), Some(code), "{refused:?}");
        assert_eq!(server.files(), (0, 0), "{code}");
    }
    let good = agent.bundle(&ticket);
    assert_eq!(server.upload_whole(&agent, &ticket, &good).await.status(), 200);
}

#[tokio::test]
async fn a_file_that_is_not_the_announced_bundle_is_refused() {
    let server = Server::start().await;
    let (agent, (_, ticket)) = (Agent::new(1), server.ticket("web").await);
    let announced = agent.bundle(&ticket);
    let sent = agent.packed(&ticket, |_, predicate| predicate.sequence = 2);
    let begun = server.begin(&agent, &ticket, &announced.id, sent.bytes.len()).send().await.unwrap();
    let upload = begun.headers()["location"].to_str().unwrap().to_owned();
    let refused = server.part(&upload, 0, &sent.bytes, true).send().await.unwrap();
    assert_eq!(problem(refused).await.known_code(), Some(ProblemCode::MalformedRequest));
    assert_eq!(server.files(), (0, 0));
}
