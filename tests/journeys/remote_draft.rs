use super::remote::{ALLOW, founded, machine};
use netsonde_contract::api::fleet::DeliveryState as State;
use netsonde_contract::id::OrderId;
use netsonde_tests::remote;
use netsonde_tests::stage::Backend;
use reqwest::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use reqwest::{Client, Url, redirect};
use tokio::net::TcpListener;

/// A browser, as far as the pages need one: it keeps cookies and sends forms.
struct Browser<'a> {
    client: Client,
    backend: &'a Backend,
    cookies: Vec<String>,
}

impl<'a> Browser<'a> {
    fn open(backend: &'a Backend) -> Self {
        // A provider that is there already is the same one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::builder().redirect(redirect::Policy::none()).danger_accept_invalid_certs(true).no_proxy();
        Self { client: client.build().unwrap(), backend, cookies: Vec::new() }
    }

    async fn page(&mut self, path: &str, form: Option<&[(&str, &str)]>) -> String {
        let url = Url::parse(&format!("{}{path}", self.backend.url)).unwrap();
        let request = match form {
            Some(fields) => {
                let body = Url::parse_with_params("http://form/", fields).unwrap().query().unwrap().to_owned();
                self.client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
            }
            None => self.client.get(url),
        };
        let response = request.header(COOKIE, self.cookies.join("; ")).send().await.unwrap();
        assert!(response.status().is_success() || response.status().is_redirection(), "{path}: {}", response.status());
        let set = response.headers().get_all(SET_COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        self.cookies.extend(set.filter_map(|value| value.split(';').next()).map(str::to_owned));
        response.text().await.unwrap()
    }

    async fn sign_in(&mut self) {
        let token = form_token(&self.page("/sign-in", None).await);
        let password = self.backend.password.clone();
        let fields = [("form_token", token.as_str()), ("next", "/"), ("user", "engineer"), ("password", &password)];
        self.page("/sign-in", Some(&fields)).await;
    }
}

fn form_token(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"form_token\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_drafts_a_desk_signs_and_the_page_shows_it_run() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let (world, backend) = founded("D-1", std::slice::from_ref(&target)).await;
    let agent = machine(&world, &backend, "oslo", ALLOW).await;
    let mut browser = Browser::open(&backend);
    browser.sign_in().await;
    // The page has the sign-out's form first; all forms of one session carry the same token.
    let token = form_token(&browser.page("/orders/new?case=D-1", None).await);
    let fields = [
        ("form_token", token.as_str()),
        ("case", "D-1"),
        ("set", "port"),
        ("targets", &target),
        ("agents", agent.id.as_str()),
        ("requester", "Erika"),
        ("reason", "drafted on the page"),
    ];
    let kept = browser.page("/orders/new", Some(&fields)).await;
    let draft: String = kept
        .split_once("netsonde-desk sign ")
        .expect("the next step")
        .1
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    assert!(browser.page("/orders", None).await.contains(&draft), "the draft waits on the page");

    let key = remote::key(&world.stage).to_string_lossy().into_owned();
    let arguments = ["sign", &draft, "--key", &key, "--yes", "--no-follow"];
    let said = remote::desk(&world.stage, &backend, &arguments).await.unwrap();
    let id = said.split_whitespace().find_map(OrderId::parse).unwrap();
    remote::until(&world.stage, &backend, &id, State::Uploaded).await.unwrap();
    let page = browser.page(&format!("/orders/{id}"), None).await;
    for words in ["Nothing changes here any more", "drafted on the page", "Erika", "what was found"] {
        assert!(page.contains(words), "{words} in {page}");
    }
    assert!(!browser.page("/orders", None).await.contains(&draft), "a signed draft is over");
    assert!(browser.page("/cases/D-1", None).await.contains(id.short()), "the case has the order");
    let shown = agent.netsonde(&world.stage, &["orders", "show", id.short()]).await.unwrap();
    assert!(shown.contains("Erika"), "{shown}");
}
