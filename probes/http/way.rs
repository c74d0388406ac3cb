use super::connection::Link;
use super::exchange::reach;
use super::proxy::Proxy;
use super::request::Request;
use super::socks;
use crate::clock::microseconds;
use crate::tls::draft::Draft;
use crate::tls::{handshake, is_healthy, trust};
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::observation::{Exchange, ProxyProtocol};

/// What is spoken to a proxy in TLS is HTTP/1.1: CONNECT of HTTP/2 (RFC 9113 section 8.5) is rare among proxies.
const ALPN: &str = "http/1.1";

/// A connection on which the request can be written: to the host itself, to an HTTP proxy, within TLS to an https proxy, or through a
/// SOCKS proxy to the host.
pub(super) async fn open(request: &Request<'_>, draft: &mut Draft<Exchange>) -> Result<Link, Failure> {
    let link = Link::of(reach(request, draft).await?);
    draft.local = link.local;
    let Some(proxy) = &request.route.proxy else { return Ok(link) };
    let clock = request.context.clock;
    let began = clock.now();
    let passed = match proxy.protocol {
        ProxyProtocol::Http => return Ok(link),
        ProxyProtocol::Https => secured(request, proxy, link, draft).await,
        _ => socks::pass(request, proxy, link, draft).await,
    };
    draft.phases.proxy_us = Some(microseconds(clock.now().saturating_sub(began)));
    passed
}

/// Makes the handshake with the proxy itself. Its certificate is judged as any other; where it is not trusted, the proxy's password is
/// kept back, and so nothing is asked.
async fn secured(request: &Request<'_>, proxy: &Proxy, link: Link, draft: &mut Draft<Exchange>) -> Result<Link, Failure> {
    draft.step = Step::Handshake;
    let name = trust::server_name(&proxy.host)
        .map_err(|text| Failure::new(FailureCode::Other("name_invalid".into()), Step::Handshake, text))?;
    let aside = request.context.aside();
    let mut handshake = Draft::begin(&aside, Step::Handshake, handshake::blank(&proxy.host, link.address, &name));
    handshake.connect_us = draft.phases.connect_us.unwrap_or(0);
    let Link { wire, address, local, socket, .. } = link;
    let secured = handshake::shake(&aside, wire, &name, &[ALPN.to_owned()], request.timeout(), &mut handshake).await;
    let handshake = handshake.finish();
    let trusted = is_healthy(&handshake);
    let failure = handshake.failure.clone();
    draft.proxy_tls = Some(Box::new(handshake));
    match (secured, failure) {
        (Some(_), None) if !trusted && proxy.authorization.is_some() => Err(Failure::new(
            FailureCode::Other("proxy_untrusted".into()),
            Step::Handshake,
            "the proxy's certificate is not trusted, so that its password is kept back",
        )),
        (Some(secured), None) => Ok(Link { wire: Box::new(secured.stream), address, local, socket, trusted }),
        (_, failure) => Err(failure
            .unwrap_or_else(|| Failure::new(FailureCode::ProtocolError, Step::Handshake, "the handshake with the proxy failed"))),
    }
}
