//! Many targets, each of whose ports is tried once: who of a site listens where.

use super::ports::{self, Sweep};
use crate::context::Context;
use futures_util::stream::{self, StreamExt};
use netsonde_contract::kind::{TargetSpan, TcpParams};
use netsonde_contract::observation::PortSweep;
use std::collections::HashSet;
use std::net::IpAddr;

/// Names resolved at once: the system's resolver takes a thread for each.
const NAMES_AT_ONCE: usize = 16;

/// Tries the check's port and every further one of each further target, at the rate that the parameters give for all together. Port by
/// port, so that no target gets many packets in a row.
///
/// True where a port of each host and address that was given is open, of a name at any of its addresses, and of each range at any: whoever
/// lists hosts wants them all, and nobody expects every address of a range to be in use.
pub(super) async fn sweep(context: &Context, params: &TcpParams) -> bool {
    let ports: Vec<u16> = params.ports_of_targets().into_iter().collect();
    let (aims, groups) = resolve(context, params).await;
    let asked = u32::try_from(ports.len()).unwrap_or(u32::MAX);
    let blank =
        |(host, address): (String, IpAddr)| PortSweep { host, address, asked, ports: Vec::new(), took_us: 0, failure: None };
    let sweeps: Vec<Sweep<'_>> = aims.into_iter().map(|aim| Sweep::begin(context, blank(aim))).collect();
    let pairs: Vec<(usize, u16)> =
        ports.iter().flat_map(|port| (0..sweeps.len()).map(move |place| (place, *port))).take(TcpParams::MAX_PAIRS).collect();
    let open = ports::try_all(context, params, sweeps, pairs).await;
    groups.iter().all(|group| group.iter().any(|address| open.contains(address)))
}

/// Every address that the targets stand for, each once, with the host that it was given for. Names that do not resolve are left out, as
/// are addresses that may not be probed, unless they were named one by one: the gate's refusal is then the fact.
///
/// Beside them what each target stands for; a range of which nothing may be probed is left out there too.
async fn resolve(context: &Context, params: &TcpParams) -> (Vec<(String, IpAddr)>, Vec<Vec<IpAddr>>) {
    let spans = params.spans().unwrap_or_default();
    let is_one: Vec<bool> = spans.iter().map(|span| matches!(span, TargetSpan::Name(_)) || span.len() == 1).collect();
    let found: Vec<Vec<(String, IpAddr)>> =
        stream::iter(spans).map(|span| aims(context, span)).buffered(NAMES_AT_ONCE).collect().await;
    let groups = found.iter().zip(is_one).filter(|(group, is_one)| *is_one || !group.is_empty());
    let groups = groups.map(|(group, _)| group.iter().map(|(_, address)| *address).collect()).collect();
    let mut known = HashSet::new();
    let mut all: Vec<(String, IpAddr)> = found.into_iter().flatten().filter(|(_, address)| known.insert(*address)).collect();
    all.truncate(TcpParams::MAX_TARGETS);
    (all, groups)
}

async fn aims(context: &Context, span: TargetSpan) -> Vec<(String, IpAddr)> {
    if let TargetSpan::Name(host) = &span {
        let addresses = context.names.resolve(&context.gate, host).await.unwrap_or_default();
        return addresses.into_iter().map(|address| (host.clone(), address)).collect();
    }
    let is_one = span.len() == 1;
    let allowed = |address: &IpAddr| is_one || context.gate.address(*address).is_ok();
    span.addresses().filter(allowed).map(|address| (address.to_string(), address)).collect()
}
