use super::remote::{ALLOW, founded, machine};
use netsonde_contract::api::fleet::{DeliveryState as State, OrderSummary};
use netsonde_contract::id::OrderId;
use netsonde_tests::remote;
use netsonde_tests::stage::{Backend, Stage};
use reqwest::header::{CONTENT_TYPE, HOST, LOCATION, ORIGIN};
use reqwest::{Client, RequestBuilder, Response, Url, redirect};
use tokio::net::TcpListener;

async fn orders(stage: &Stage, backend: &Backend) -> Vec<OrderSummary> {
    serde_json::from_str(&remote::desk(stage, backend, &["orders", "list", "--format", "json"]).await.unwrap()).unwrap()
}

fn form(client: &Client, url: &str, fields: &[(&str, &str)]) -> RequestBuilder {
    let body = Url::parse_with_params("http://form/", fields).unwrap().query().unwrap().to_owned();
    client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
}

/// The id of the order that the page shows, before it is signed.
async fn shown(answer: Response) -> String {
    assert_eq!(answer.status(), 200);
    let page = answer.text().await.unwrap();
    let (_, rest) = page.split_once("name=\"order\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// What a browser sends for a page of somebody else's that knows all but the token, and for one that learnt even this.
#[tokio::test(flavor = "multi_thread")]
async fn another_page_neither_drafts_nor_signs_and_the_own_one_does() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let (world, backend) = founded("M-1", std::slice::from_ref(&target)).await;
    let stage = &world.stage;
    let agent = machine(&world, &backend, "oslo", ALLOW).await;
    let (address, _desk) = stage.desk_serve(&backend, &remote::key(stage)).await.unwrap();
    let client = Client::builder().redirect(redirect::Policy::none()).no_proxy().build().unwrap();
    let url = Url::parse(&address).unwrap();
    let (origin, token) = (url.origin().ascii_serialization(), url.path().trim_matches('/').to_owned());
    let port = url.port().unwrap();
    let fields = |token| {
        [
            ("token", token),
            ("set", "port"),
            ("targets", target.as_str()),
            ("agents", agent.id.as_str()),
            ("case", "M-1"),
            ("reason", ""),
        ]
    };
    let rebound = format!("evil.example:{port}");
    let own = format!("{address}orders");
    let wrong = "0".repeat(token.len());
    let foreign = format!("{origin}/{wrong}/orders");
    let attempts = [
        ("a form of another site", form(&client, &own, &fields(&token)).header(ORIGIN, "http://evil.example"), 403),
        ("a sandboxed frame", form(&client, &own, &fields(&token)).header(ORIGIN, "null"), 403),
        ("another port of the loopback", form(&client, &own, &fields(&token)).header(ORIGIN, "http://127.0.0.1:1"), 403),
        ("no origin at all", form(&client, &own, &fields(&token)), 403),
        (
            "a name that was rebound",
            form(&client, &own, &fields(&token)).header(HOST, &rebound).header(ORIGIN, format!("http://{rebound}")),
            421,
        ),
        (
            "a browser that says whence",
            form(&client, &own, &fields(&token)).header(ORIGIN, &origin).header("sec-fetch-site", "cross-site"),
            403,
        ),
        ("a guessed token", form(&client, &foreign, &fields(&wrong)).header(ORIGIN, &origin), 404),
        ("a form without the token", form(&client, &own, &fields("")).header(ORIGIN, &origin), 404),
        ("a script's JSON", client.post(&own).header(ORIGIN, &origin).header(CONTENT_TYPE, "text/plain").body("{}"), 415),
        ("an image of the start page", client.get(&address).header("sec-fetch-site", "cross-site"), 403),
        ("the start page by a rebound name", client.get(&address).header(HOST, &rebound), 421),
    ];
    for (what, request, status) in attempts {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{what}");
        let page = answer.text().await.unwrap();
        assert!(!page.contains(&token) && !page.contains("name=\"order\""), "{what}: {page}");
    }
    // Somebody at the desk looks at an order; another page cannot sign what they look at.
    let order = shown(form(&client, &own, &fields(&token)).header(ORIGIN, &origin).send().await.unwrap()).await;
    let sign = format!("{address}sign");
    let signed = [("token", token.as_str()), ("order", order.as_str())];
    for stranger in ["http://evil.example", "null"] {
        assert_eq!(form(&client, &sign, &signed).header(ORIGIN, stranger).send().await.unwrap().status(), 403, "{stranger}");
    }
    assert!(orders(stage, &backend).await.is_empty(), "nothing was signed");
    // The control: the own page signs it, once.
    let done = form(&client, &sign, &signed).header(ORIGIN, &origin).send().await.unwrap();
    assert_eq!(done.status(), 303);
    assert!(done.headers()[LOCATION].to_str().unwrap().ends_with(&order));
    remote::until(stage, &backend, &OrderId::parse(&order).unwrap(), State::Uploaded).await.unwrap();
    assert_eq!(form(&client, &sign, &signed).header(ORIGIN, &origin).send().await.unwrap().status(), 400, "once");
    assert_eq!(orders(stage, &backend).await.len(), 1);
}
