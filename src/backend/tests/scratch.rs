#[path = "/work/main/src/report/sample.rs"]
mod sample;
use super::pages::Browser;
use super::sample::{Agent, reference};
use super::server::Server;
#[tokio::test(flavor = "multi_thread")]
#[ignore]
async fn show() {
    let server = Server::start().await;
    let agent = Agent::new(1);
    for (name, doc) in sample::all() {
        let set = doc.run.set.name.clone();
        let request = netsonde_contract::api::TicketRequest {
            case: format!("CASE-{name}"),
            set: set.clone(),
            targets: vec!["https://shop.example/".into()],
            parameters: [].into(),
            valid_for_s: None,
        };
        let request = if set == "port" {
            netsonde_contract::api::TicketRequest { targets: vec!["shop.example:443".into()], ..request }
        } else {
            request
        };
        let r = server.post("/v1/tickets").bearer_auth(&server.desk_token).json(&request).send().await.unwrap();
        let issued: netsonde_contract::api::TicketIssued = r.json().await.unwrap();
        let ticket = netsonde_contract::ticket::Ticket::parse(&issued.ticket).unwrap();
        let bundle = agent.packed(&ticket, |d, p| {
            let mut doc = doc;
            doc.run.set = reference(&set);
            doc.bundle = None;
            *d = doc;
            p.set = reference(&set);
        });
        let r = server.upload_whole(&agent, &ticket, &bundle).await;
        eprintln!("{name} {} {}", r.status(), r.text().await.unwrap_or_default().chars().take(200).collect::<String>());
    }
    let (issued, _) = server.ticket("web").await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&server.password.clone()).await;
    std::fs::write("/tmp/ns-be/cookie", format!("{}\n{}\n{}\n", server.url, browser.cookie_header(), issued.id)).unwrap();
    while std::path::Path::new("/tmp/ns-be/cookie").exists() {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}
