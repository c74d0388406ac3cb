//! The routers on the way to a host: the first address of each family, both at once.

/// The parsers here, for `tests/fuzz`.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
/// Names of hops.
mod hop_names;
/// What to send and when, and what the answers mean.
mod machine;
/// Which probe an answer is to.
mod matching;
/// ICMP probes by the datagram sockets of macOS.
#[cfg(any(target_os = "macos", all(test, target_os = "linux")))]
mod ping;
/// Probes of every protocol from raw sockets.
mod raw;
/// What counts of answers allow to say.
mod statistics;
/// SYN probes from ordinary sockets.
mod syn;
/// ICMP probes by the interface of Windows.
#[cfg(windows)]
mod system;
/// The machine's commands carried out on a wire.
mod trace;
/// UDP probes from an ordinary socket.
mod udp;
/// What a way of sending probes has to offer.
mod wire;

use crate::capability::rights;
use crate::context::{Context, Ending, NotMeasurable};
use crate::packet::session::Session;
use crate::zone;
use futures_util::future::join_all;
use matching::Manner;
use netsonde_contract::capability::{Rights, Sight, System, TRACEROUTE_ICMP, TRACEROUTE_SESSION, TRACEROUTE_TCP, TRACEROUTE_UDP};
use netsonde_contract::failure::{Failure, Step};
use netsonde_contract::kind::{FlowChoice, TracerouteParams, TracerouteProtocol};
use netsonde_contract::observation::TraceProtocol;
use std::net::IpAddr;
use trace::Tracing;
use wire::Wire;

/// How to send: the protocol, and whether from raw sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    protocol: TraceProtocol,
    raw: bool,
}

/// Ends as expected where the target answered in any family.
///
/// # Errors
/// Where the host gives no address, raw sockets are needed and not allowed, or the system offers no way to trace.
pub(crate) async fn run(context: &Context, params: &TracerouteParams) -> Result<Ending, NotMeasurable> {
    let rights = rights();
    let system = System::here();
    let raw = rights.raw_sockets && !knows_icmp_alone(system);
    if system == System::Windows && (params.dscp != 0 || params.ecn) {
        return Err(NotMeasurable::new("the ICMP interface of Windows sends every probe unmarked: leave dscp and ecn out"));
    }
    if system == System::Macos && params.hop_mtu {
        let why = "the ICMP sockets of macOS let routers cut what is too large, so that no size is found: leave hop_mtu out";
        return Err(NotMeasurable::new(why));
    }
    let way = way(by_default(params, system, raw), system, rights)?;
    let addresses = context.names.resolve(&context.gate, &params.host).await;
    let addresses = addresses.map_err(|failure| NotMeasurable::unresolved(&params.host, &failure))?;
    let of_family = |v4: bool| addresses.iter().copied().find(|address| address.is_ipv4() == v4);
    let traces = [true, false].into_iter().filter_map(of_family).map(|target| async move {
        if trace(context, params, target, way).await {
            return true;
        }
        for (protocol, multipath) in further(params, way) {
            let params = TracerouteParams { multipath, ..params.clone() };
            if trace(context, &params, target, Way { protocol, raw }).await {
                return true;
            }
        }
        false
    });
    let arrived = join_all(traces).await.into_iter().any(|arrived| arrived);
    Ok(if arrived { Ending::AsExpected } else { Ending::Failed })
}

/// What `auto` stands for beyond [`way`]. Routers tell flows apart by their ports, and ICMP has none: Linux sends all of it one way where
/// it hashes ports (`fib_multipath_hash_policy` 1), so that branches would stay hidden behind a certainty that is none. Targets answer
/// UDP with ICMP errors, of which they send few, and TCP with resets and SYN-ACKs, which they do not limit; without raw sockets TCP's flows
/// cannot be told apart.
fn by_default(params: &TracerouteParams, system: System, raw: bool) -> TracerouteProtocol {
    match params.protocol {
        given if knows_icmp_alone(system) => given,
        TracerouteProtocol::Auto if params.multipath && (raw || params.names_tcp_port()) => TracerouteProtocol::Tcp,
        TracerouteProtocol::Auto if params.multipath => TracerouteProtocol::Udp,
        given => given,
    }
}

/// What is tried where `auto` chose a protocol that the target did not answer, and whether for all paths. Hosts that drop packets to
/// closed ports may answer pings: then the way is known, if not all of its branches.
fn further(params: &TracerouteParams, way: Way) -> Vec<(TraceProtocol, bool)> {
    let chosen = params.protocol == TracerouteProtocol::Auto && way.raw;
    let udp = chosen && params.multipath && way.protocol == TraceProtocol::Tcp && !params.names_tcp_port();
    let icmp = chosen && way.protocol != TraceProtocol::Icmp;
    let tries = [(udp, TraceProtocol::Udp, true), (icmp, TraceProtocol::Icmp, false)];
    tries.into_iter().filter(|(wanted, ..)| *wanted).map(|(_, protocol, multipath)| (protocol, multipath)).collect()
}

/// Windows traces by its own interface, which shows hops that its packet filter hides from raw sockets, and macOS by datagram sockets, which get the
/// errors that belong to their requests: neither needs a right, and both know echo requests alone.
fn knows_icmp_alone(system: System) -> bool {
    system != System::Linux
}

fn way(wanted: TracerouteProtocol, system: System, rights: Rights) -> Result<Way, NotMeasurable> {
    let without = |sight: &Sight| Err(unmeasurable(sight, system, rights));
    if knows_icmp_alone(system) {
        return match wanted {
            TracerouteProtocol::Auto | TracerouteProtocol::Icmp => Ok(Way { protocol: TraceProtocol::Icmp, raw: false }),
            TracerouteProtocol::Udp => without(&TRACEROUTE_UDP),
            TracerouteProtocol::Tcp => without(&TRACEROUTE_TCP),
            TracerouteProtocol::TcpSession => without(&TRACEROUTE_SESSION),
        };
    }
    let raw = rights.raw_sockets;
    let with = |protocol| Ok(Way { protocol, raw });
    match (wanted, raw) {
        (TracerouteProtocol::Icmp | TracerouteProtocol::Auto, true) => with(TraceProtocol::Icmp),
        (TracerouteProtocol::Udp, _) | (TracerouteProtocol::Auto, false) => with(TraceProtocol::Udp),
        (TracerouteProtocol::Tcp, _) => with(TraceProtocol::Tcp),
        (TracerouteProtocol::TcpSession, true) => with(TraceProtocol::TcpSession),
        (TracerouteProtocol::Icmp, false) => without(&TRACEROUTE_ICMP),
        (TracerouteProtocol::TcpSession, false) => without(&TRACEROUTE_SESSION),
    }
}

fn unmeasurable(sight: &Sight, system: System, rights: Rights) -> NotMeasurable {
    let note = sight.missing(system, rights);
    note.map_or_else(|| NotMeasurable::new(format!("{} is not possible here", sight.what)), NotMeasurable)
}

async fn trace(context: &Context, params: &TracerouteParams, target: IpAddr, way: Way) -> bool {
    let mut tracing = Tracing::begin(context, params, target, way.protocol);
    let class = params.dscp << 2 | if params.ecn { ECT_0 } else { 0 };
    let each_flow = params.flow == FlowChoice::Each;
    match (way.protocol, way.raw) {
        #[cfg(windows)]
        (TraceProtocol::Icmp, false) => {
            let timeout = std::time::Duration::from_millis(params.timeout_ms);
            trace_on(tracing, Ok(system::open(target, timeout, context.clock))).await
        }
        #[cfg(target_os = "macos")]
        (TraceProtocol::Icmp, false) => {
            let manner = Manner { protocol: way.protocol, target, port: 0, each_flow, class };
            let wire = raw::source_towards(target).and_then(|source| ping::open(manner, source, socket2::Type::DGRAM));
            trace_on(tracing, wire).await
        }
        (TraceProtocol::Udp, false) => trace_on(tracing, udp::open(target, params.first_port, each_flow, class)).await,
        (TraceProtocol::Tcp, false) => trace_on(tracing, Ok(syn::open(target, params.tcp_port, class))).await,
        (protocol, _) => {
            let session = match protocol {
                TraceProtocol::TcpSession => match Session::connect(context, zone::socket(target, params.tcp_port)).await {
                    Ok(session) => Some(session),
                    Err(failure) => {
                        tracing.fail(failure);
                        return false;
                    }
                },
                _ => None,
            };
            let port = if protocol == TraceProtocol::Udp { params.first_port } else { params.tcp_port };
            let source = session.as_ref().map_or_else(|| raw::source_towards(target), |session| Ok(session.source()));
            let manner = Manner { protocol, target, port, each_flow, class };
            trace_on(tracing, source.and_then(|source| raw::open(manner, source, session))).await
        }
    }
}

/// ECT(0) of RFC 3168 section 5.
const ECT_0: u8 = 2;

/// A wire that cannot be opened, as where the system lacks the family, is a fact about this target; the other family goes on.
async fn trace_on(mut tracing: Tracing<'_>, wire: std::io::Result<impl Wire>) -> bool {
    match wire {
        Ok(wire) => tracing.run(wire).await,
        Err(error) => {
            tracing.fail(Failure::from_io(&error, Step::Open));
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::context::{ProxyChoice, Recorder};
    use crate::gate::{Gate, Limits};
    use netsonde_contract::id::CheckId;
    use netsonde_contract::kind::{Kind, Params};
    use netsonde_contract::observation::{Fact, ReplyKind};
    use serde_json::json;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn what_needs_raw_sockets_is_not_measured_without_and_says_what_would_help() {
        use TracerouteProtocol as P;
        for (wanted, raw, protocol) in [
            (P::Auto, true, TraceProtocol::Icmp),
            (P::Auto, false, TraceProtocol::Udp),
            (P::Udp, true, TraceProtocol::Udp),
            (P::Tcp, false, TraceProtocol::Tcp),
            (P::TcpSession, true, TraceProtocol::TcpSession),
        ] {
            let rights = Rights { raw_sockets: raw, ..Rights::NONE };
            assert_eq!(way(wanted, System::Linux, rights).unwrap(), Way { protocol, raw });
        }
        for (wanted, instead) in [(P::Icmp, "udp"), (P::TcpSession, "tcp")] {
            let missing = way(wanted, System::Linux, Rights::NONE).unwrap_err();
            assert!(missing.0.grant.is_some_and(|grant| grant.contains(instead)));
        }
    }

    #[test]
    fn windows_and_macos_trace_with_icmp_whatever_the_right_and_say_that_they_know_nothing_else() {
        use TracerouteProtocol as P;
        for system in [System::Windows, System::Macos] {
            for rights in [Rights::NONE, Rights { raw_sockets: true, ..Rights::NONE }] {
                for wanted in [P::Auto, P::Icmp] {
                    assert_eq!(way(wanted, system, rights).unwrap(), Way { protocol: TraceProtocol::Icmp, raw: false });
                }
                for wanted in [P::Udp, P::Tcp, P::TcpSession] {
                    let missing = way(wanted, system, rights).unwrap_err();
                    assert!(missing.0.why.contains(system.name()) && missing.0.grant.is_none(), "{missing:?}");
                }
            }
        }
    }

    #[test]
    fn the_search_for_parallel_ways_takes_what_routers_hash() {
        let chosen = |given: serde_json::Value| {
            let Params::Traceroute(params) = Params::parse(Kind::Traceroute, given).unwrap() else { panic!() };
            [(System::Linux, true), (System::Linux, false), (System::Macos, false)]
                .map(|(system, raw)| by_default(&params, system, raw))
        };
        use TracerouteProtocol as P;
        assert_eq!(chosen(json!({"host": "h"})), [P::Auto, P::Auto, P::Auto]);
        assert_eq!(chosen(json!({"host": "h", "multipath": true})), [P::Tcp, P::Udp, P::Auto]);
        assert_eq!(chosen(json!({"host": "h", "multipath": true, "tcp_port": 8443})), [P::Tcp, P::Tcp, P::Auto]);
        assert_eq!(chosen(json!({"host": "h", "multipath": true, "protocol": "icmp"})), [P::Icmp, P::Icmp, P::Icmp]);
    }

    /// The second round would begin after 500 ms.
    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn a_deadline_in_the_midst_keeps_the_hops_and_the_trace() {
        let clock = Clock::start();
        let context = Context {
            gate: Arc::new(Gate::new(Limits::PERSON, clock)),
            clock,
            names: Arc::default(),
            trust: Arc::default(),
            proxy: ProxyChoice::None,
            recorder: Recorder::new(CheckId::new("path")),
            max_segment_bytes: None,
        };
        let given = json!({"host": "127.0.0.1", "protocol": "udp"});
        let Params::Traceroute(params) = Params::parse(Kind::Traceroute, given).unwrap() else { panic!() };
        let cut_off = tokio::time::timeout(Duration::from_millis(100), run(&context, &params)).await;
        assert!(cut_off.is_err());
        let observations = context.recorder.observations();
        let [Fact::Hop(hop), Fact::Trace(trace)] = [&observations[0].fact, &observations[1].fact] else {
            panic!("{observations:?}")
        };
        assert_eq!(hop.probes[0].reply.as_ref().unwrap().kind, ReplyKind::Arrived);
        assert!(trace.arrived && trace.distance == Some(1));
    }
}
