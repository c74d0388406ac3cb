//! The largest packet that passes to each address of a host.
//!
//! UDP packets which no router may cut go to ports where nothing listens: a host that gets one answers "port unreachable", so that
//! neither a server nor a right is needed. Hosts that answer no such packet are measured over TCP, with raw sockets: a segment of a
//! connection with data that the host has had already makes it acknowledge once more. On Windows, which tells a socket neither of a router's
//! error nor whose it is, echo requests take the place of both. [`search`] decides what to send next and what the answers mean, the same for
//! all; a [`wire`] sends and hears.

/// Echo requests by the system's own interface.
#[cfg(windows)]
mod echo;
/// What comes of them.
#[cfg(any(windows, test))]
mod echo_meaning;
/// The parsers here, for `tests/fuzz`.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
/// What is sent where, and when that told nothing.
mod means;
/// One address.
mod measuring;
/// Which size next, and what the answers mean.
mod search;
/// Segments of a connection.
mod tcp;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
/// UDP packets to closed ports.
mod udp;
/// What a way of sending packets has to offer.
mod wire;

use crate::capability::require;
use crate::context::{Context, Ending, NotMeasurable};
use crate::zone;
use futures_util::future::join_all;
use measuring::measure;
use netsonde_contract::capability::{MTU_ICMP, MTU_TCP, MTU_UDP, System};
use netsonde_contract::kind::MtuParams;
use netsonde_contract::observation::{Mtu, MtuLimit, MtuTransport};
use std::net::IpAddr;

/// Measures every address of the host, all at once. Ends as expected where any address answers, and none lies behind a path that
/// swallows large packets without a word: a router that tells its limit does what it should.
///
/// # Errors
/// Where the host gives no address, where the system cannot send packets that must not be cut, over TCP without raw sockets, and where the
/// host answers no echo request and nothing else is sent.
pub(crate) async fn run(context: &Context, params: &MtuParams) -> Result<Ending, NotMeasurable> {
    let params = &MtuParams { transport: means::chosen(params.transport, System::here()), ..params.clone() };
    require(match params.transport {
        MtuTransport::Udp => &MTU_UDP,
        MtuTransport::Tcp => &MTU_TCP,
        MtuTransport::Icmp => &MTU_ICMP,
    })?;
    let addresses = context.names.resolve(&context.gate, &params.host).await;
    let addresses = addresses.map_err(|failure| NotMeasurable::unresolved(&params.host, &failure))?;
    let facts = match params.transport {
        MtuTransport::Udp => over_udp(context, params, addresses).await,
        MtuTransport::Tcp => over_tcp(context, params, addresses).await,
        #[cfg(windows)]
        MtuTransport::Icmp => by_echoes(context, params, addresses).await,
        #[cfg(not(windows))]
        MtuTransport::Icmp => return Err(NotMeasurable(crate::capability::denied(&MTU_ICMP))),
    };
    if let Some(untold) = means::untold(&params.host, &facts) {
        return Err(untold);
    }
    let told = |fact: &&Mtu| fact.passed_bytes.is_some() && means::silence(fact).is_none();
    let mut answering = facts.iter().filter(told).peekable();
    let any = answering.peek().is_some();
    let swallowed = answering.any(|fact| matches!(fact.limit, MtuLimit::Untold | MtuLimit::Unknown));
    Ok(if any && !swallowed { Ending::AsExpected } else { Ending::Failed })
}

async fn over_udp(context: &Context, params: &MtuParams, addresses: Vec<IpAddr>) -> Vec<Mtu> {
    let mut measured = Vec::new();
    for address in addresses {
        let opened = udp::open(context, address, params.port());
        measured.push(measure(context, params, address, opened));
    }
    join_all(measured).await
}

async fn over_tcp(context: &Context, params: &MtuParams, addresses: Vec<IpAddr>) -> Vec<Mtu> {
    let measured = addresses.into_iter().map(|address| {
        let opened = tcp::open(context, zone::socket(address, params.port()));
        measure(context, params, address, opened)
    });
    join_all(measured).await
}

#[cfg(windows)]
async fn by_echoes(context: &Context, params: &MtuParams, addresses: Vec<IpAddr>) -> Vec<Mtu> {
    let timeout = std::time::Duration::from_millis(params.timeout_ms);
    let measured = addresses.into_iter().map(|address| {
        let opened = echo::open(address, timeout, context.clock);
        measure(context, params, address, opened)
    });
    join_all(measured).await
}
