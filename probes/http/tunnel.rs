use super::connection::Connection;
use super::exchange::{converse, foreign, reach};
use super::failure;
use super::proxy::Proxy;
use super::request::{AGENT, Request};
use crate::tls::draft::Draft;
use crate::tls::wire::Wire;
use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION, USER_AGENT};
use http::{Method, Version};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::observation::Exchange;
use netsonde_contract::target::bracketed;
use std::net::SocketAddr;

/// A way through a proxy to the URL's host.
pub(super) struct Tunnel {
    pub(super) wire: Wire,
    /// The proxy's, which is all that this machine knows of the way.
    pub(super) address: SocketAddr,
}

/// Asks the proxy to connect (RFC 9110 section 9.3.6). The CONNECT is an exchange of its own.
///
/// # Errors
/// The exchange that did not lead to a tunnel, not recorded yet.
pub(super) async fn open(request: &Request<'_>, proxy: &Proxy) -> Result<Tunnel, Draft<Exchange>> {
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

async fn connect(request: &Request<'_>, proxy: &Proxy, draft: &mut Draft<Exchange>) -> Result<Option<Tunnel>, Failure> {
    let invalid = |error: http::Error| Failure::new(FailureCode::Other("request_invalid".into()), Step::Send, error.to_string());
    let message = message(request, proxy).map_err(invalid)?;
    let connected = reach(request, draft).await?;
    draft.step = Step::Send;
    let (connection, notes) = Connection::open(Box::new(connected.stream), Version::HTTP_11, request.context.clock).await;
    let mut connection = connection.map_err(|error| foreign(&error, &notes, draft))?;
    let head = converse(request, &mut connection, &notes, message, draft).await?;
    draft.expected = head.response.status().is_success();
    if !draft.expected {
        return Ok(None);
    }
    let upgraded = hyper::upgrade::on(head.response).await.map_err(|error| failure::from_hyper(&error, &notes))?;
    Ok(Some(Tunnel { wire: Box::new(TokioIo::new(upgraded)), address: connected.address }))
}

fn message(request: &Request<'_>, proxy: &Proxy) -> Result<http::Request<Empty<Bytes>>, http::Error> {
    let authority = format!("{}:{}", bracketed(&request.host()), request.port());
    let mut message = http::Request::connect(&authority).header(HOST, &authority).header(USER_AGENT, AGENT);
    if let Some(authorization) = &proxy.authorization {
        message = message.header(PROXY_AUTHORIZATION, authorization);
    }
    message.body(Empty::new())
}
