use super::server::{Server, problem};
use netsonde_contract::api::fleet::{DeliveryState as State, StateReport};
use netsonde_contract::api::{ProblemCode, path};
use netsonde_contract::id::{CaseId, OrderId};
use reqwest::Method;

#[tokio::test]
async fn a_stolen_transport_key_reads_no_other_agents_work_and_no_bundle() {
    let server = Server::start().await;
    let [robbed, other] = server.enrolled([1, 2]).await;
    let (own, foreign) = (OrderId::from_bytes([1; 16]), OrderId::from_bytes([2; 16]));
    assert_eq!(server.submit(&server.order(1, &[&robbed])).await.status(), 201);
    assert_eq!(server.submit(&server.order(2, &[&other])).await.status(), 201);
    let bundle = other.bundle(&server, Some(&foreign)).await;
    assert_eq!(other.upload(&server, &bundle).await.status(), 200);
    // What the thief gets is what the agent itself was asked, and nothing of anybody else.
    let work = robbed.work(&server, 0, 0).await;
    assert_eq!(work.orders.iter().map(|item| &item.id).collect::<Vec<_>>(), [&own]);
    assert!(!work.orders[0].envelope.contains(foreign.as_str()));
    // Who signs by the stolen key and names the other agent is nobody.
    let posing = super::organisation::Machine { transport: robbed.transport.clone(), ..other.clone() };
    let refused = problem(posing.get(&server, "/v1/work?root=1&list=1").send().await.unwrap()).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::AgentUnknown));
    // No word of another's order is taken, and none is said.
    let report = StateReport { state: State::Failed, code: None, detail: None, bundle: None };
    let refused = robbed.request(&server, Method::POST, &path::work_state(&foreign), &report).send().await.unwrap();
    assert_eq!(problem(refused).await.known_code(), Some(ProblemCode::OrderUnknown));
    // Bundles, cases, orders and agents are read with the desk's token only, also the agent's own.
    let theirs = robbed.bundle(&server, Some(&own)).await;
    assert_eq!(robbed.upload(&server, &theirs).await.status(), 200);
    for target in [
        path::bundle(&bundle.id),
        path::bundle(&theirs.id),
        path::case(&CaseId::new("4711")),
        path::CASES.to_owned(),
        path::order(&foreign),
        path::order(&own),
        path::ORDERS.to_owned(),
        path::AGENTS.to_owned(),
        path::DRAFTS.to_owned(),
        path::AUDIT.to_owned(),
    ] {
        let answer = robbed.get(&server, &target).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{target}");
        let body = answer.text().await.unwrap();
        assert!(!body.contains("shop.example") && !body.contains(other.id().as_str()), "{target}: {body}");
        assert_eq!(
            server.get(&target).bearer_auth(&server.desk_token).send().await.unwrap().status(),
            200,
            "{target}: the control"
        );
    }
}
