//! The routers on the way to a host: the first address of each family, both at once.

/// Echo requests from a raw socket.
mod icmp;
/// What to send and when, and what the answers mean.
mod machine;
/// ICMP messages from and to bytes.
mod packet;
/// The machine's commands carried out on a wire.
mod trace;
/// UDP probes from an ordinary socket.
mod udp;
/// What a way of sending probes has to offer.
mod wire;

use crate::context::{Context, Ending, NotMeasurable};
use crate::platform::raw_sockets;
use futures_util::future::join_all;
use netsonde_contract::failure::{Failure, Step};
use netsonde_contract::kind::{TracerouteParams, TracerouteProtocol};
use netsonde_contract::observation::TraceProtocol;
use std::net::IpAddr;
use trace::Tracing;
use wire::Wire;

/// Ends as expected where the target answered in any family.
///
/// # Errors
/// Where the host gives no address, raw sockets are asked for and not allowed, or the system offers no way to trace.
pub(crate) async fn run(context: &Context, params: &TracerouteParams) -> Result<Ending, NotMeasurable> {
    if cfg!(not(target_os = "linux")) {
        return Err(NotMeasurable::new("tracing the way is built for Linux only as yet"));
    }
    let protocol = protocol(params.protocol, raw_sockets())?;
    let addresses = context.names.resolve(&context.gate, &params.host).await;
    let addresses = addresses.map_err(|failure| NotMeasurable::unresolved(&params.host, &failure))?;
    let of_family = |v4: bool| addresses.iter().copied().find(|address| address.is_ipv4() == v4);
    let traces = [true, false].into_iter().filter_map(of_family).map(|target| trace(context, params, target, protocol));
    let arrived = join_all(traces).await.into_iter().any(|arrived| arrived);
    Ok(if arrived { Ending::AsExpected } else { Ending::Failed })
}

fn protocol(wanted: TracerouteProtocol, raw_sockets: bool) -> Result<TraceProtocol, NotMeasurable> {
    match (wanted, raw_sockets) {
        (TracerouteProtocol::Icmp | TracerouteProtocol::Auto, true) => Ok(TraceProtocol::Icmp),
        (TracerouteProtocol::Udp, _) | (TracerouteProtocol::Auto, false) => Ok(TraceProtocol::Udp),
        (TracerouteProtocol::Icmp, false) => Err(NotMeasurable::with_grant(
            "tracing with ICMP needs raw sockets, which this process may not open",
            "take protocol \"udp\", which needs no right, or run the same command with sudo",
        )),
    }
}

async fn trace(context: &Context, params: &TracerouteParams, target: IpAddr, protocol: TraceProtocol) -> bool {
    let tracing = Tracing::begin(context, params, target, protocol);
    match protocol {
        TraceProtocol::Icmp => trace_on(tracing, icmp::open(target)).await,
        TraceProtocol::Udp => trace_on(tracing, udp::open(target, params.first_port)).await,
    }
}

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
    use netsonde_contract::observation::{Fact, ReplyKind};
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn icmp_without_raw_sockets_is_not_measured_and_says_what_would_help() {
        assert_eq!(protocol(TracerouteProtocol::Auto, true).unwrap(), TraceProtocol::Icmp);
        assert_eq!(protocol(TracerouteProtocol::Auto, false).unwrap(), TraceProtocol::Udp);
        assert_eq!(protocol(TracerouteProtocol::Udp, true).unwrap(), TraceProtocol::Udp);
        let missing = protocol(TracerouteProtocol::Icmp, false).unwrap_err();
        assert!(missing.0.grant.is_some_and(|grant| grant.contains("udp")));
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
        };
        let params = TracerouteParams {
            host: "127.0.0.1".into(),
            protocol: TracerouteProtocol::Udp,
            max_ttl: 30,
            rounds: 2,
            timeout_ms: 1_000,
            first_port: 33_434,
        };
        let cut_off = tokio::time::timeout(Duration::from_millis(100), run(&context, &params)).await;
        assert!(cut_off.is_err());
        let observations = context.recorder.observations();
        let [Fact::Hop(hop), Fact::Trace(trace)] = [&observations[0].fact, &observations[1].fact] else {
            panic!("{observations:?}")
        };
        assert_eq!(hop.probes[0].reply.as_ref().unwrap().kind, ReplyKind::Arrived);
        assert!(trace.arrived && trace.distance == Some(1) && !trace.privileged);
    }
}
