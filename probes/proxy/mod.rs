//! Whether the proxy in force lets this machine out, and with which sign-in.
//!
//! Which proxy that is, the person at the machine or its environment says; no parameter, set or ticket does. An HTTP proxy is asked
//! without a sign-in first, so that it tells which ones it takes, and then with the one that its setting holds. A SOCKS 5 proxy only
//! ever chooses among what it is offered, so that each way to sign in is offered by itself.

/// Reading the headers of a proxy's answers.
mod answer;
/// The parsers here, for `tests/fuzz`.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
#[cfg(test)]
mod tests;

use crate::context::{Context, Ending, NotMeasurable};
use crate::http::proxy::{self, Proxy as Chosen, Route};
use crate::http::{first_url, socks, through, tunnel};
use crate::tls::draft::{Draft, Drafted};
use netsonde_contract::failure::{Failure, Step};
use netsonde_contract::kind::{HttpParams, ProxyParams};
use netsonde_contract::observation::{Exchange, Fact, Proxy, ProxyMethod, ProxyProtocol, SocksAnswer};
use netsonde_contract::target::bracketed;
use std::time::Duration;
use url::Url;

/// Bytes that are read of an answer to plain HTTP: only its head is of interest.
const MAX_BODY_BYTES: u64 = 16_384;

/// The ways to sign in to SOCKS 5 (RFC 1928 section 3), as people call them.
const SOCKS_METHODS: [(u8, &str); 2] = [(socks::PASSWORD, "password"), (socks::GSSAPI, "GSSAPI")];

/// Ends as expected where the proxy lets this machine out to the URL, and a script that was named could be fetched.
///
/// # Errors
/// Where a URL or the proxy cannot be used, or there is no proxy.
pub(crate) async fn run(context: &Context, params: &ProxyParams) -> Result<Ending, NotMeasurable> {
    let url = first_url(&params.url)?;
    let route = proxy::choose(&context.proxy, &url)?;
    let script = match params.script_url.as_str() {
        "" => None,
        text => Some(through::script(context, text, params.timeout_ms).await?),
    };
    let Some(chosen) = route.proxy.clone() else {
        return script.map(ending).ok_or_else(|| {
            NotMeasurable::with_grant(
                "this machine uses no proxy for the URL",
                "run again with --proxy http://host:port, or set HTTPS_PROXY",
            )
        });
    };
    let mut asking =
        Asking { context, url: &url, route: &route, http: http_params(params), draft: begin(context, &url, &route, &chosen) };
    if chosen.protocol.is_http() {
        asking.by_http(&chosen, params.get).await;
    } else {
        asking.by_socks(&chosen, params.get).await;
    }
    let fact = asking.draft.finish();
    Ok(ending(fact.lets_out() && script.unwrap_or(true)))
}

fn ending(good: bool) -> Ending {
    if good { Ending::AsExpected } else { Ending::Failed }
}

fn http_params(params: &ProxyParams) -> HttpParams {
    HttpParams { timeout_ms: params.timeout_ms, follow: false, max_body_bytes: MAX_BODY_BYTES, ..HttpParams::of(&params.url) }
}

fn begin(context: &Context, url: &Url, route: &Route, chosen: &Chosen) -> Draft<Proxy> {
    let fact = Proxy {
        url: url.to_string(),
        proxy: chosen.shown.clone(),
        protocol: chosen.protocol,
        way: route.reason,
        address: None,
        resolve_us: None,
        connect_us: None,
        tls: None,
        lets_in_anybody: None,
        methods: Vec::new(),
        signed_in: false,
        connect: None,
        get: None,
        socks: None,
        product: None,
        failure: None,
    };
    Draft::begin(context, Step::Connect, fact)
}

/// The conversation with one proxy.
struct Asking<'a> {
    context: &'a Context,
    url: &'a Url,
    route: &'a Route,
    http: HttpParams,
    draft: Draft<Proxy>,
}

impl Asking<'_> {
    /// CONNECT for an https URL, and plain HTTP for an http URL or where it is wanted as well.
    async fn by_http(&mut self, chosen: &Chosen, get_as_well: bool) {
        let is_https = self.url.scheme() == "https";
        if is_https {
            let exchange = self.in_turn(chosen, true).await;
            self.draft.connect = Some(answer::of(&exchange, authority(self.url)));
        }
        let reached = self.draft.failure.is_none();
        if reached && (!is_https || get_as_well) {
            let exchange = self.in_turn(chosen, false).await;
            self.draft.get = Some(answer::of(&exchange, plain(self.url).to_string()));
        }
    }

    /// Asks without a sign-in, and where that is wanted and known, again with it.
    async fn in_turn(&mut self, chosen: &Chosen, by_connect: bool) -> Exchange {
        let anybody = Route { proxy: Some(chosen.without_sign_in()), reason: self.route.reason };
        let first = self.ask(&anybody, by_connect).await;
        let wants_sign_in = first.status == Some(407);
        if first.status.is_some() {
            self.draft.lets_in_anybody = Some(!wants_sign_in);
        }
        if wants_sign_in {
            self.draft.methods = answer::methods(&first.headers);
        }
        if wants_sign_in && chosen.has_sign_in() {
            self.draft.signed_in = true;
            return self.ask(&self.route.clone(), by_connect).await;
        }
        first
    }

    async fn ask(&mut self, route: &Route, by_connect: bool) -> Exchange {
        let exchange = match by_connect {
            true => tunnel::try_once(self.context, &self.http, self.url, route).await,
            false => through::get_once(self.context, &self.http, &plain(self.url), route).await,
        };
        self.note(&exchange);
        self.draft.product = self.draft.product.take().or_else(|| answer::product(&exchange.headers));
        exchange
    }

    async fn by_socks(&mut self, chosen: &Chosen, get_as_well: bool) {
        if matches!(chosen.protocol, ProxyProtocol::Socks5 | ProxyProtocol::Socks5h) {
            self.socks_methods().await;
        }
        let exchange = tunnel::try_once(self.context, &self.http, self.url, self.route).await;
        self.note(&exchange);
        self.draft.socks = exchange.socks;
        self.draft.signed_in = exchange.socks.is_some_and(|socks| socks.signed_in.is_some());
        let refused = exchange.socks.is_some_and(|socks| socks.reply.is_some() || socks.wants_sign_in());
        self.draft.failure = exchange.failure.clone().filter(|_| !refused);
        if self.draft.failure.is_none() && get_as_well && self.url.scheme() == "http" {
            let exchange = through::get_once(self.context, &self.http, self.url, self.route).await;
            self.draft.get = Some(answer::of(&exchange, self.url.to_string()));
        }
    }

    /// Offers each way to sign in by itself. A proxy that does not even answer is found out by the request that follows.
    async fn socks_methods(&mut self) {
        let timeout = Duration::from_millis(self.http.timeout_ms);
        let takes = async |method| socks::takes_method(self.context, self.route, timeout, method).await;
        let Ok(anybody) = takes(SocksAnswer::ANYBODY).await else { return };
        self.draft.lets_in_anybody = Some(anybody);
        for (method, name) in SOCKS_METHODS {
            if takes(method).await == Ok(true) {
                self.draft.methods.push(ProxyMethod { name: name.to_owned(), realm: None });
            }
        }
    }

    /// The way to the proxy, which every exchange with it takes anew: that of the first one stays.
    fn note(&mut self, exchange: &Exchange) {
        let draft = &mut *self.draft;
        draft.address = draft.address.or(exchange.address);
        draft.resolve_us = draft.resolve_us.or(exchange.phases.resolve_us);
        draft.connect_us = draft.connect_us.or(exchange.phases.connect_us);
        draft.tls = draft.tls.take().or_else(|| exchange.proxy_tls.clone());
        let before_any_word = |failure: &&Failure| {
            matches!(failure.during, Step::Open | Step::Resolve | Step::Connect) || failure.during == Step::Handshake
        };
        if exchange.status.is_none() {
            draft.failure = draft.failure.take().or_else(|| exchange.failure.as_ref().filter(before_any_word).cloned());
        }
    }
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    format!("{}:{}", bracketed(host), url.port_or_known_default().unwrap_or(443))
}

/// The same host in plain HTTP; of an https URL only its front page, as paths may be nobody's business in clear text.
fn plain(url: &Url) -> Url {
    let front = || Url::parse(&format!("http://{}/", url.host_str().unwrap_or_default())).ok();
    Some(url).filter(|url| url.scheme() == "https").and_then(|_| front()).unwrap_or_else(|| url.clone())
}

impl Drafted for Proxy {
    fn cut_off(&mut self, failure: Failure, _after_us: u64) {
        self.failure.get_or_insert(failure);
    }

    fn into_fact(self) -> Fact {
        Fact::Proxy(Box::new(self))
    }
}
