use super::sample::Agent;
use super::server::{Server, hung_post, problem};
use netsonde_contract::api::{ProblemCode, header, path};
use serde_json::Value;
use tokio::io::AsyncReadExt;

#[tokio::test]
async fn an_unknown_address_and_a_wrong_method_are_problem_documents() {
    let server = Server::start().await;
    for (method, path, code) in [
        ("GET", "/nothing", ProblemCode::NotFound),
        ("GET", "/v1/nothing", ProblemCode::NotFound),
        ("DELETE", "/v1/cases", ProblemCode::MethodNotAllowed),
        ("PUT", "/healthz", ProblemCode::MethodNotAllowed),
        ("GET", "/v1/uploads/unknown", ProblemCode::MethodNotAllowed),
        ("GET", "/t/%ff", ProblemCode::MalformedRequest),
        ("GET", "/sign-in?next=a&next=b", ProblemCode::MalformedRequest),
    ] {
        let refused = server.client.request(method.parse().unwrap(), format!("{}{path}", server.url)).send().await.unwrap();
        assert_eq!(problem(refused).await.known_code(), Some(code), "{method} {path}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_what_it_should_be_is_a_problem_document() {
    let server = Server::start().await;
    let post = || server.post(path::TICKETS).bearer_auth(&server.desk_token);
    let cases = [
        (post().header("content-type", "application/json").body("{"), ProblemCode::MalformedRequest),
        (post().header("content-type", "application/json").body("{}"), ProblemCode::MalformedRequest),
        (post().header("content-type", "text/plain").body("{}"), ProblemCode::UnsupportedMediaType),
        (post().header("content-type", "application/json").body(vec![b' '; 65 * 1024]), ProblemCode::TooLarge),
    ];
    for (request, code) in cases {
        assert_eq!(problem(request.send().await.unwrap()).await.known_code(), Some(code));
    }
}

#[tokio::test]
async fn a_head_of_headers_is_a_problem_document() {
    let server = Server::start().await;
    let refused = server.get(path::HEALTH).header("x-long", "a".repeat(40 * 1024)).send().await.unwrap();
    assert_eq!(problem(refused).await.known_code(), Some(ProblemCode::TooLarge));
}

#[tokio::test]
async fn who_shows_no_ticket_is_answered_before_a_body_is_waited_for() {
    let server = Server::start().await;
    let (agent, (_, ticket)) = (Agent::new(1), server.ticket("web").await);
    let bundle = agent.bundle(&ticket);
    let (_never_sent, silence) = tokio::io::duplex(1);
    let hanging = reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::new(silence));
    let refused = server.part("/v1/uploads/unknown", 0, b"x", true).body(hanging).send().await.unwrap();
    assert_eq!(problem(refused).await.known_code(), Some(ProblemCode::NotFound));
    let refused = server.begin(&agent, &ticket, &bundle.id, 9).body("more").send().await.unwrap();
    assert_eq!(problem(refused).await.known_code(), Some(ProblemCode::MalformedRequest));
    let empty = server.begin(&agent, &ticket, &bundle.id, 0).send().await.unwrap();
    assert_eq!(problem(empty).await.known_code(), Some(ProblemCode::MalformedRequest));
    let form = "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000000";
    for headers in [form, "Content-Type: multipart/form-data; boundary=x\r\nTransfer-Encoding: chunked"] {
        let mut stream = hung_post(&server, "/t/aaaaaaaaaaaaaaaa", headers).await;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 404");
    }
}

#[tokio::test]
async fn an_upload_with_a_missing_or_damaged_header_is_a_problem_document() {
    let server = Server::start().await;
    let (agent, (_, ticket)) = (Agent::new(1), server.ticket("web").await);
    let bundle = agent.bundle(&ticket);
    let begin = |name: &'static str, value: Option<&str>| {
        let mut request = server.begin(&agent, &ticket, &bundle.id, bundle.bytes.len()).build().unwrap();
        request.headers_mut().remove(name);
        if let Some(value) = value {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        server.client.execute(request)
    };
    let malformed = ProblemCode::MalformedRequest;
    for (name, value, code) in [
        (header::DRAFT_INTEROP, Some("7"), malformed),
        (header::DRAFT_INTEROP, None, malformed),
        (header::UPLOAD_LENGTH, Some("-1"), malformed),
        (header::UPLOAD_COMPLETE, Some("?1"), malformed),
        (header::BUNDLE, Some("../../etc"), malformed),
        (header::KEY, Some("AAAA"), malformed),
        (header::TICKET, Some("x"), ProblemCode::TicketUnknown),
        (header::PROOF, Some("AAAA"), ProblemCode::TicketProofInvalid),
        (header::PROOF, None, malformed),
    ] {
        assert_eq!(problem(begin(name, value).await.unwrap()).await.known_code(), Some(code), "{name} {value:?}");
    }
    let full = server.begin(&agent, &ticket, &bundle.id, 3).body("abc").send().await.unwrap();
    assert_eq!(problem(full).await.known_code(), Some(malformed));
    let unknown = server.part("/v1/uploads/unknown", 0, b"x", false).send().await.unwrap();
    assert_eq!(problem(unknown).await.known_code(), Some(ProblemCode::NotFound));
}

#[tokio::test]
async fn a_browser_gets_a_page_for_the_same_refusal() {
    let server = Server::start().await;
    let page = server.get("/nothing").header("accept", "text/html,*/*;q=0.8").send().await.unwrap();
    assert_eq!((page.status().as_u16(), &page.headers()["content-type"]), (404, &"text/html; charset=utf-8".parse().unwrap()));
    assert!(page.text().await.unwrap().contains("not_found"));
}

#[tokio::test]
async fn health_is_the_databases_health() {
    let server = Server::start().await;
    let healthy = server.get(path::HEALTH).send().await.unwrap();
    assert_eq!(healthy.status(), 200);
    assert_eq!(healthy.json::<Value>().await.unwrap()["status"], "ok");
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let server = Server::start().await;
    for path in ["/", "/sign-in", "/style.css", "/icon.svg", "/healthz", "/nothing", "/v1/cases"] {
        let answer = server.get(path).send().await.unwrap();
        for name in ["content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy", "cache-control"] {
            assert!(answer.headers().contains_key(name), "{path} {name}");
        }
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    }
}
