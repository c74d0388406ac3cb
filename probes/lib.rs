//! The measuring: one file or folder a probe kind.
//!
//! A probe records observations and never decides what is wrong. [`run`] is the one dispatch, from checked parameters to the
//! kind that measures them. Every packet passes [`gate::Gate`]; every clock reading comes from [`clock::Clock`].

/// What this process may see on this machine.
pub mod capability;
/// The run's own packets, as a file.
pub mod capture;
/// The only place that reads a clock.
pub mod clock;
/// The cloud's services next to the machine.
mod cloud;
/// Connections whose flow is noted.
mod connecting;
/// What a probe gets: gate, clock, names, trust, and the place to record what it sees.
pub mod context;
/// Connections whose bytes count against the run's budget.
mod counted;
/// DNS questions, raw and through the system.
mod dns;
/// Servers that never come to an end.
#[cfg(test)]
mod endless;
/// Every parser of foreign bytes, for `tests/fuzz`.
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
/// What every packet passes: addresses, rate, budget.
pub mod gate;
/// The machine's own network.
mod host;
/// HTTP exchanges, phase by phase.
mod http;
/// Echo series.
mod icmp;
/// The delay while idle and under load.
mod load;
/// The largest packet that passes.
mod mtu;
/// Host names to addresses, once a run.
pub mod names;
/// How long a router looks for a machine.
mod neighbour_search;
/// Time servers.
mod ntp;
/// Whose an address is, by the user's file.
pub mod origins;
/// Packets below the sockets' own: to and from bytes, and the connections that they are slipped into.
mod packet;
/// System calls that need `unsafe`, and facts that each system tells in its own way.
pub mod platform;
/// Whether the proxy lets this machine out.
mod proxy;
/// QUIC handshakes.
mod quic;
/// Each direction by itself, with a reflector at the other end.
mod reflect;
/// Services of many protocols, before anybody signs in.
mod service;
/// Turns that many machines take at one address.
pub mod slots;
/// Connections to TCP ports.
mod tcp;
/// TLS handshakes with a verifier that records.
mod tls;
/// The routers on the way.
mod traceroute;
/// On which link a link-local address is.
mod zone;

pub use context::{Context, Ending, NotMeasurable, Recorder};
pub use host::{closing_reading, environment, system_resolvers};
pub use http::{proxy_of, proxy_url_of};
pub use icmp::of_requests;
pub use reflect::{Reflector, ReflectorKey, ReflectorRules, ReflectorSession, ReflectorSummary};
pub use tls::trust::{Trust, TrustError};

use netsonde_contract::kind::Params;

/// Measures one check. Facts go to the context's recorder as they come, so that a deadline keeps what was seen.
///
/// # Errors
/// Where nothing could be measured: a missing right or facility. A network failure is an [`Ending`], not an error.
pub async fn run(context: &Context, params: &Params) -> Result<Ending, NotMeasurable> {
    match params {
        Params::Dns(params) => dns::run(context, params).await,
        Params::Tcp(params) => tcp::run(context, params).await,
        Params::Icmp(params) => icmp::run(context, params).await,
        Params::Traceroute(params) => traceroute::run(context, params).await,
        Params::Tls(params) => tls::run(context, params).await,
        Params::Http(params) => http::run(context, params).await,
        Params::Proxy(params) => proxy::run(context, params).await,
        Params::Load(params) => load::run(context, params).await,
        Params::Mtu(params) => mtu::run(context, params).await,
        Params::Ntp(params) => ntp::run(context, params).await,
        Params::Quic(params) => quic::run(context, params).await,
        Params::Reflect(params) => reflect::run(context, params).await,
        Params::Cloud(params) => cloud::run(context, params).await,
        Params::Service(params) => service::run(context, params).await,
        Params::Host(params) => host::run(context, params).await,
    }
}
