use super::connection::{Connection, Link};
use super::exchange::{converse, foreign};
use super::failure;
use super::payload::Payload;
use super::proxy::Proxy;
use super::request::{AGENT, Request};
use super::way;
use crate::context::Context;
use crate::tls::draft::Draft;
use crate::tls::entropy;
use http::header::{HOST, PROXY_AUTHORIZATION, USER_AGENT};
use http::{Method, Version};
use hyper_util::rt::TokioIo;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::HttpParams;
use netsonde_contract::observation::Exchange;
use netsonde_contract::target::bracketed;
use url::Url;

/// Asks the proxy to connect (RFC 9110 section 9.3.6). The CONNECT is an exchange of its own. The address of the link is the proxy's,
/// which is all that this machine knows of the way.
///
/// # Errors
/// The exchange that did not lead to a tunnel, not recorded yet.
pub(super) async fn open(request: &Request<'_>, proxy: &Proxy) -> Result<Link, Draft<Exchange>> {
    match attempt(request, proxy).await {
        (draft, Some(tunnel)) => {
            draft.finish();
            Ok(tunnel)
        }
        (draft, None) => Err(draft),
    }
}

/// Has a proxy connect to the URL's host, and lets go of the connection. Nothing is recorded: it is part of another measurement.
pub(crate) async fn try_once(context: &Context, params: &HttpParams, url: &Url, route: &super::proxy::Route) -> Exchange {
    let apart = context.aside();
    let request = Request::new(&apart, params, url, route.clone());
    if request.is_in_tls() {
        entropy::ready(context).await;
    }
    match &request.route.proxy {
        Some(proxy) if proxy.protocol.is_http() => attempt(&request, proxy).await.0.finish(),
        _ => {
            let mut draft = request.begin("SOCKS");
            draft.failure = way::open(&request, &mut draft).await.err();
            draft.finish()
        }
    }
}

async fn attempt(request: &Request<'_>, proxy: &Proxy) -> (Draft<Exchange>, Option<Link>) {
    let mut draft = request.begin(Method::CONNECT.as_str());
    match connect(request, proxy, &mut draft).await {
        Ok(tunnel) => (draft, tunnel),
        Err(failure) => {
            draft.failure = Some(failure);
            (draft, None)
        }
    }
}

async fn connect(request: &Request<'_>, proxy: &Proxy, draft: &mut Draft<Exchange>) -> Result<Option<Link>, Failure> {
    let invalid = |error: http::Error| Failure::new(FailureCode::Other("request_invalid".into()), Step::Send, error.to_string());
    let message = message(request, proxy).map_err(invalid)?;
    let Link { wire, address, local, socket, trusted } = way::open(request, draft).await?;
    draft.step = Step::Send;
    let (connection, notes) = Connection::open(wire, Version::HTTP_11, request.context.clock).await;
    let mut connection = connection.map_err(|error| foreign(&error, &notes, draft))?;
    let head = converse(request, &mut connection, &notes, message, draft).await?;
    draft.expected = head.response.status().is_success();
    if !draft.expected {
        return Ok(None);
    }
    let upgraded = hyper::upgrade::on(head.response).await.map_err(|error| failure::from_hyper(&error, &notes))?;
    Ok(Some(Link { wire: Box::new(TokioIo::new(upgraded)), address, local, socket, trusted }))
}

fn message(request: &Request<'_>, proxy: &Proxy) -> Result<http::Request<Payload>, http::Error> {
    let authority = format!("{}:{}", bracketed(&request.host()), request.port());
    let mut message = http::Request::connect(&authority).header(HOST, &authority).header(USER_AGENT, AGENT);
    if let Some(authorization) = &proxy.authorization {
        message = message.header(PROXY_AUTHORIZATION, authorization);
    }
    message.body(Payload::none())
}
