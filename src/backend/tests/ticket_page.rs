use super::sample::Agent;
use super::server::{Server, hung_post};
use reqwest::Response;
use std::time::Duration;

impl Server {
    /// Sends a file as a browser's form does.
    async fn send_form(&self, page: &str, field: &str, file: &[u8]) -> Response {
        const BOUNDARY: &str = "----netsonde-test";
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"netsonde.tar.gz\"\r\nContent-Type: application/gzip\r\n\r\n"
        );
        let body = [head.as_bytes(), file, format!("\r\n--{BOUNDARY}--\r\n").as_bytes()].concat();
        let request = self
            .post(page)
            .header("accept", "text/html")
            .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"));
        request.body(body).send().await.unwrap()
    }
}

#[tokio::test]
async fn a_browser_without_sign_in_hands_in_the_file_and_gets_a_receipt() {
    let server = Server::start().await;
    let (agent, (issued, ticket)) = (Agent::new(1), server.ticket("web").await);
    let page = format!("/t/{}", issued.id);
    let shown = server.get(&page).send().await.unwrap().text().await.unwrap();
    assert!(shown.contains("netsonde run --ticket") && shown.contains("https://shop.example/"));
    let bundle = agent.bundle(&ticket);
    let received = server.send_form(&page, "bundle", &bundle.bytes).await;
    assert_eq!(received.status(), 200);
    let received = received.text().await.unwrap();
    assert!(received.contains(bundle.id.as_str()) && received.contains("payload"));
    let again = server.send_form(&page, "bundle", &bundle.bytes).await;
    assert_eq!(again.status(), 409, "the ticket is used");
    let again = again.text().await.unwrap();
    assert!(again.contains("already received"), "{again}");
    assert_eq!(server.files(), (1, 0));
    assert!(server.get(&page).send().await.unwrap().text().await.unwrap().contains("We have your file"));
}

#[tokio::test]
async fn one_ticket_has_one_place_for_its_file_and_others_have_theirs() {
    let server = Server::start().await;
    let (agent, (issued, ticket), (other, _)) = (Agent::new(1), server.ticket("web").await, server.ticket("web").await);
    let page = format!("/t/{}", issued.id);
    let form = "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000000";
    let mut hanging = Vec::new();
    // Each place is taken before the next form comes.
    for (page, free) in [(page.clone(), 3), (format!("/t/{}", other.id), 2)] {
        hanging.push(hung_post(&server, &page, form).await);
        while server.app.forms.available_permits() > free {
            tokio::task::yield_now().await;
        }
    }
    let bundle = agent.bundle(&ticket);
    let refused = server.send_form(&page, "bundle", &bundle.bytes).await;
    assert_eq!((refused.status().as_u16(), refused.headers().contains_key("retry-after")), (503, true));
    hanging.clear();
    while server.app.forms.available_permits() < 4 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.send_form(&page, "bundle", &bundle.bytes).await.status(), 200);
}

#[tokio::test]
async fn a_refused_file_is_told_why_and_leaves_nothing() {
    let server = Server::start().await;
    let (agent, (issued, ticket)) = (Agent::new(1), server.ticket("web").await);
    let page = format!("/t/{}", issued.id);
    let bundle = agent.bundle(&ticket);
    let (_, other) = server.ticket("web").await;
    let cases: [(&str, Vec<u8>, u16, &str); 6] = [
        ("bundle", bundle.bytes[..200].to_vec(), 422, "bundle_truncated"),
        ("bundle", b"holiday.jpg".to_vec(), 422, "bundle_not_gzip"),
        ("bundle", Vec::new(), 400, "No file was chosen"),
        ("file", bundle.bytes.clone(), 400, "no file named bundle"),
        ("bundle", agent.bundle(&other).bytes, 403, "ticket_proof_invalid"),
        ("bundle", vec![0; (64 << 20) + 100_000], 413, "too_large"),
    ];
    for (field, file, status, words) in cases {
        let refused = server.send_form(&page, field, &file).await;
        assert_eq!(refused.status(), status, "{words}");
        let refused = refused.text().await.unwrap();
        assert!(refused.contains(words) && refused.contains(&page), "{words}: {refused}");
        assert_eq!(server.files(), (0, 0));
    }
    server.advance(Duration::from_secs(7 * 24 * 3600));
    assert_eq!(server.send_form(&page, "bundle", &bundle.bytes).await.status(), 410);
    assert_eq!(server.send_form("/t/aaaaaaaaaaaaaaaa", "bundle", &bundle.bytes).await.status(), 404);
}
