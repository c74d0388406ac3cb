use super::sample::Agent;
use super::server::{Server, problem};
use netsonde_contract::api::{CaseDetail, CaseSummary, ProblemCode, TicketRequest, TicketState, TicketStateName, path};
use netsonde_contract::finding::State;
use netsonde_contract::id::CaseId;

fn request(case: &str, set: &str, target: &str) -> TicketRequest {
    TicketRequest { case: case.into(), set: set.into(), targets: vec![target.into()], parameters: [].into(), valid_for_s: None }
}

#[tokio::test]
async fn nothing_of_the_desk_is_given_without_its_token() {
    let server = Server::start().await;
    let (issued, _) = server.ticket("web").await;
    let ticket = path::ticket(&issued.id);
    for (method, path) in
        [("GET", "/v1/cases"), ("GET", "/v1/cases/4711"), ("POST", "/v1/tickets"), ("GET", &*ticket), ("DELETE", &*ticket)]
    {
        for token in [None, Some("wrong"), Some("")] {
            let request = server.client.request(method.parse().unwrap(), format!("{}{path}", server.url));
            let request = match token {
                Some(token) => request.bearer_auth(token),
                None => request,
            };
            let refused = request.send().await.unwrap();
            assert_eq!(refused.headers()["www-authenticate"], "Bearer");
            assert_eq!(problem(refused).await.known_code(), Some(ProblemCode::Unauthorized), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_ticket_for_what_does_not_exist_is_refused_with_a_hint() {
    let server = Server::start().await;
    let cases = [
        (request("4711", "wbe", "https://shop.example/"), ProblemCode::UnknownSet, "web"),
        (request("4711", "web", "https://a b/"), ProblemCode::InvalidTarget, ""),
        (TicketRequest { targets: vec![], ..request("4711", "web", "") }, ProblemCode::InvalidTarget, ""),
        (request("47 11", "web", "shop.example"), ProblemCode::InvalidParameter, ""),
        (TicketRequest { valid_for_s: Some(0), ..request("4711", "web", "shop.example") }, ProblemCode::InvalidParameter, ""),
        (
            TicketRequest { valid_for_s: Some(31 * 86_400), ..request("4711", "web", "shop.example") },
            ProblemCode::InvalidParameter,
            "",
        ),
        (
            TicketRequest { parameters: [("cuont".into(), "1".into())].into(), ..request("4711", "path", "shop.example") },
            ProblemCode::InvalidParameter,
            "",
        ),
    ];
    for (wrong, code, hint) in cases {
        let refused = server.post(path::TICKETS).bearer_auth(&server.desk_token).json(&wrong).send().await.unwrap();
        let refused = problem(refused).await;
        assert_eq!(refused.known_code(), Some(code), "{wrong:?}: {refused:?}");
        assert!(refused.next_step.unwrap_or_default().contains(hint), "{wrong:?}");
    }
    let cases = server.get(path::CASES).bearer_auth(&server.desk_token).send().await.unwrap();
    assert!(cases.json::<Vec<CaseSummary>>().await.unwrap().is_empty(), "a refused ticket opens no case");
}

#[tokio::test]
async fn a_tickets_state_is_told_to_whoever_knows_its_id() {
    let server = Server::start().await;
    let (issued, ticket) = server.ticket("web").await;
    assert_eq!(issued.page, format!("{}/t/{}", server.url, issued.id));
    assert_eq!((ticket.backend.as_str(), ticket.expires), (server.url.as_str(), issued.expires));
    let state =
        async || -> TicketState { server.get(&path::ticket_state(&issued.id)).send().await.unwrap().json().await.unwrap() };
    let before = state().await;
    assert_eq!((before.state, before.set_sha256), (TicketStateName::Open, ticket.set_sha256.clone()));
    let agent = Agent::new(1);
    let bundle = agent.bundle(&ticket);
    assert_eq!(server.upload_whole(&agent, &ticket, &bundle).await.status(), 200);
    assert_eq!(state().await.state, TicketStateName::Used);
    for unknown in ["aaaaaaaaaaaaaaaa", "x", "%2f..%2f"] {
        let refused = server.get(&format!("/v1/tickets/{unknown}/state")).send().await.unwrap();
        assert_eq!(problem(refused).await.known_code(), Some(ProblemCode::TicketUnknown));
    }
}

#[tokio::test]
async fn a_case_shows_what_the_backend_concluded_of_the_agents_facts() {
    let server = Server::start().await;
    let (agent, (_, ticket)) = (Agent::new(1), server.ticket("web").await);
    let bundle = agent.bundle(&ticket);
    assert_eq!(server.upload_whole(&agent, &ticket, &bundle).await.status(), 200);
    let detail = server.get(&path::case(&CaseId::new("4711"))).bearer_auth(&server.desk_token).send().await.unwrap();
    let detail: CaseDetail = detail.json().await.unwrap();
    assert_eq!((detail.case.bundles, detail.bundles.len(), detail.tickets.len()), (1, 1, 1));
    // The agent said that all was as expected; the refused connection that it recorded says otherwise.
    assert_ne!(detail.bundles[0].state, State::AsExpected);
    assert_eq!(detail.case.state, Some(detail.bundles[0].state));
    assert_eq!(detail.case.cause.as_ref(), detail.bundles[0].causes.first());
    assert!(detail.bundles[0].known);
    assert_eq!(detail.tickets[0].state, TicketStateName::Used);
    let unknown = server.get("/v1/cases/none").bearer_auth(&server.desk_token).send().await.unwrap();
    assert_eq!(problem(unknown).await.known_code(), Some(ProblemCode::NotFound));
}
