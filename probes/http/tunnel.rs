use super::connection::{Connection, Link};
use super::exchange::{converse, foreign, reach};
use super::failure;
use super::payload::Payload;
use super::proxy::Proxy;
use super::request::{AGENT, Request};
use crate::tls::draft::Draft;
use http::header::{HOST, PROXY_AUTHORIZATION, USER_AGENT};
use http::{Method, Version};
use hyper_util::rt::TokioIo;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::observation::Exchange;
use netsonde_contract::target::bracketed;

/// Asks the proxy to connect (RFC 9110 section 9.3.6). The CONNECT is an exchange of its own. The address of the link is the proxy's,
/// which is all that this machine knows of the way.
///
/// # Errors
/// The exchange that did not lead to a tunnel, not recorded yet.
pub(super) async fn open(request: &Request<'_>, proxy: &Proxy) -> Result<Link, Draft<Exchange>> {
    let mut draft = request.begin(Method::CONNECT.as_str());
    match connect(request, proxy, &mut draft).await {
        Ok(Some(tunnel)) => {
            draft.finish();
            Ok(tunnel)
        }
        Ok(None) => Err(draft),
        Err(failure) => {
            draft.failure = Some(failure);
            Err(draft)
        }
    }
}

async fn connect(request: &Request<'_>, proxy: &Proxy, draft: &mut Draft<Exchange>) -> Result<Option<Link>, Failure> {
    let invalid = |error: http::Error| Failure::new(FailureCode::Other("request_invalid".into()), Step::Send, error.to_string());
    let message = message(request, proxy).map_err(invalid)?;
    let connected = reach(request, draft).await?;
    let Link { wire, address, local, socket } = Link::of(connected);
    draft.local = local;
    draft.step = Step::Send;
    let (connection, notes) = Connection::open(wire, Version::HTTP_11, request.context.clock).await;
    let mut connection = connection.map_err(|error| foreign(&error, &notes, draft))?;
    let head = converse(request, &mut connection, &notes, message, draft).await?;
    draft.expected = head.response.status().is_success();
    if !draft.expected {
        return Ok(None);
    }
    let upgraded = hyper::upgrade::on(head.response).await.map_err(|error| failure::from_hyper(&error, &notes))?;
    Ok(Some(Link { wire: Box::new(TokioIo::new(upgraded)), address, local, socket }))
}

fn message(request: &Request<'_>, proxy: &Proxy) -> Result<http::Request<Payload>, http::Error> {
    let authority = format!("{}:{}", bracketed(&request.host()), request.port());
    let mut message = http::Request::connect(&authority).header(HOST, &authority).header(USER_AGENT, AGENT);
    if let Some(authorization) = &proxy.authorization {
        message = message.header(PROXY_AUTHORIZATION, authorization);
    }
    message.body(Payload::none())
}
