use super::proxy::Proxy;
use crate::context::Context;
use crate::tls::draft::Draft;
use bytes::Bytes;
use http::header::{ACCEPT, HOST, PROXY_AUTHORIZATION, USER_AGENT};
use http::{Uri, Version};
use http_body_util::Empty;
use netsonde_contract::failure::Step;
use netsonde_contract::kind::{HttpMethod, HttpParams};
use netsonde_contract::observation::{Exchange, Phases};
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
    pub(super) proxy: Option<Proxy>,
}

impl Request<'_> {
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.params.timeout_ms)
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
        match self.params.method {
            HttpMethod::Get => "GET",
            HttpMethod::Head => "HEAD",
        }
    }

    pub(super) fn begin(&self, method: &str) -> Draft<Exchange> {
        let shown = self.proxy.as_ref().map(|proxy| proxy.shown.clone());
        Draft::begin(self.context, Step::Resolve, blank(self.url.as_str(), method, self.redirect, shown))
    }

    /// The request as it is written: a path to the server itself over HTTP/1.1, the whole URL to a proxy (RFC 9112 section 3.2.2)
    /// and, in parts, over HTTP/2.
    pub(super) fn message(&self, version: Version) -> Result<http::Request<Empty<Bytes>>, http::Error> {
        let plain_proxy = self.proxy.as_ref().filter(|_| self.url.scheme() == "http");
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
        message.header(USER_AGENT, AGENT).header(ACCEPT, "*/*").body(Empty::new())
    }
}

/// An exchange that has not begun.
pub(super) fn blank(url: &str, method: &str, redirect: u32, proxy: Option<String>) -> Exchange {
    Exchange {
        url: url.to_owned(),
        method: method.to_owned(),
        redirect,
        address: None,
        proxy,
        version: None,
        status: None,
        expected: false,
        headers: Vec::new(),
        location: None,
        redirect_stopped: None,
        phases: Phases::default(),
        body_bytes: 0,
        body_cut: false,
        body_sha256: None,
        plain_reply: None,
        failure: None,
    }
}
