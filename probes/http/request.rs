use super::block_page;
use super::meter::Ledger;
use super::payload::Payload;
use super::proxy::Route;
use super::sought::Sought;
use crate::context::Context;
use crate::tls::draft::Draft;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT};
use http::{Uri, Version};
use netsonde_contract::failure::Step;
use netsonde_contract::kind::{HttpMethod, HttpParams};
use netsonde_contract::observation::{Exchange, ExchangePurpose, Phases, ProxyProtocol};
use std::net::SocketAddr;
use std::time::Duration;
use url::{Host, Position, Url};

/// What every request says of its sender.
pub(super) const AGENT: &str = concat!("netsonde/", env!("CARGO_PKG_VERSION"));

/// One request of a chain.
pub(super) struct Request<'a> {
    pub(super) context: &'a Context,
    pub(super) params: &'a HttpParams,
    pub(super) url: &'a Url,
    /// Which of the chain, from 0.
    pub(super) redirect: u32,
    pub(super) route: Route,
    /// The only address to connect to, where the measurement that this is a part of chose one; else any that the name gives.
    pub(super) address: Option<SocketAddr>,
    pub(super) purpose: ExchangePurpose,
    /// Headers beside those that every request has.
    pub(super) extra: Vec<(HeaderName, HeaderValue)>,
    pub(super) post: Post,
    /// Counts the bytes of body, where they are not counted for this request alone.
    pub(super) ledger: Option<Ledger>,
    /// Bytes of the response's body to keep in memory while it is judged.
    pub(super) keep: usize,
}

/// Whether bytes are posted. Which ones is the ledger's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Post {
    Nothing,
    Exactly(u64),
}

impl<'a> Request<'a> {
    /// A request without any extras.
    pub(super) fn new(context: &'a Context, params: &'a HttpParams, url: &'a Url, route: Route) -> Self {
        let has_json = !params.expect_json.is_empty();
        let keep =
            if has_json { usize::try_from(HttpParams::MAX_JSON_BYTES).unwrap_or(usize::MAX) } else { block_page::READ_BYTES };
        let (purpose, extra, post) = (ExchangePurpose::Question, Vec::new(), Post::Nothing);
        Self { context, params, url, redirect: 0, route, address: None, purpose, extra, post, ledger: None, keep }
    }

    /// A handshake is part of it: with the server, or with the proxy itself.
    pub(super) fn is_in_tls(&self) -> bool {
        let proxy = self.route.proxy.as_ref().map(|proxy| proxy.protocol);
        self.url.scheme() == "https" || proxy == Some(ProxyProtocol::Https)
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.params.timeout_ms)
    }

    /// How long the answer's head may take: with what is posted before it.
    pub(super) fn patience(&self) -> Duration {
        let posting = self.ledger.as_ref().filter(|_| self.post != Post::Nothing);
        self.timeout() + posting.map_or(Duration::ZERO, Ledger::remaining)
    }

    /// What is looked for in the body.
    pub(super) fn sought(&self) -> Sought {
        Sought::new(&self.params.expect_body, self.keep)
    }

    /// The URL's host: a name, or an address without brackets.
    pub(super) fn host(&self) -> String {
        match self.url.host() {
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(Host::Domain(name)) => name.trim_end_matches('.').to_owned(),
            None => String::new(),
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(80)
    }

    pub(super) fn method(&self) -> &'static str {
        match (self.post, self.params.method) {
            (Post::Exactly(_), _) => "POST",
            (Post::Nothing, HttpMethod::Get) => "GET",
            (Post::Nothing, HttpMethod::Head) => "HEAD",
        }
    }

    pub(super) fn begin(&self, method: &str) -> Draft<Exchange> {
        let shown = self.route.proxy.as_ref().map(|proxy| proxy.shown.clone());
        let mut exchange = blank(self.url.as_str(), method, self.redirect, shown);
        (exchange.purpose, exchange.way) = (self.purpose, Some(self.route.reason));
        Draft::begin(self.context, Step::Resolve, exchange)
    }

    /// The request as it is written: a path to the server itself over HTTP/1.1, the whole URL to a proxy (RFC 9112 section 3.2.2)
    /// and, in parts, over HTTP/2.
    pub(super) fn message(&self, version: Version) -> Result<http::Request<Payload>, http::Error> {
        let plain_proxy = self.route.proxy.as_ref().filter(|proxy| self.url.scheme() == "http" && proxy.protocol.is_http());
        let uri = match (plain_proxy, version) {
            (None, Version::HTTP_11) => &self.url[Position::BeforePath..Position::AfterQuery],
            _ => &self.url[..Position::AfterQuery],
        };
        let mut message = http::Request::builder().method(self.method()).uri(Uri::try_from(uri)?);
        if version != Version::HTTP_2 {
            message = message.header(HOST, &self.url[Position::BeforeHost..Position::AfterPort]);
        }
        if let Some(authorization) = plain_proxy.and_then(|proxy| proxy.authorization.as_ref()) {
            message = message.header(PROXY_AUTHORIZATION, authorization);
        }
        message = message.header(USER_AGENT, AGENT).header(ACCEPT, "*/*");
        for (name, value) in &self.extra {
            message = message.header(name, value);
        }
        let payload = match (self.post, &self.ledger) {
            (Post::Exactly(bytes), Some(ledger)) => Payload::exactly(bytes, ledger.clone()),
            _ => return message.body(Payload::none()),
        };
        message.header(CONTENT_TYPE, "application/octet-stream").body(payload)
    }
}

/// An exchange that has not begun.
pub(super) fn blank(url: &str, method: &str, redirect: u32, proxy: Option<String>) -> Exchange {
    Exchange {
        url: url.to_owned(),
        method: method.to_owned(),
        redirect,
        purpose: ExchangePurpose::Question,
        address: None,
        local: None,
        proxy,
        proxy_tls: None,
        socks: None,
        way: None,
        version: None,
        status: None,
        expected: false,
        expectations: Vec::new(),
        headers: Vec::new(),
        location: None,
        redirect_stopped: None,
        phases: Phases::default(),
        attempts: Vec::new(),
        request_bytes: None,
        response_bytes: None,
        body_bytes: 0,
        body_cut: false,
        body_sha256: None,
        transfer: None,
        at_close: None,
        certificate_sha256: None,
        tls: None,
        server_timing: Vec::new(),
        alternatives: Vec::new(),
        strict_transport: None,
        range: None,
        echoed: None,
        block_page: None,
        plain_reply: None,
        failure: None,
    }
}
