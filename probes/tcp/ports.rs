use super::answer::Answered;
use super::attempt;
use super::swept::Swept;
use crate::context::Context;
use crate::zone;
use futures_util::stream::{FuturesUnordered, StreamExt};
use netsonde_contract::failure::{Failure, FailureCode};
use netsonde_contract::kind::TcpParams;
use netsonde_contract::observation::{Fact, PortState, PortSweep};
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::time;

/// Connections under way at one address: each takes a descriptor, of which a process usually has 1,024.
const MAX_AT_ONCE: usize = 128;

/// A sweep as far as it has come; recorded when it is dropped, so that a deadline keeps what was seen.
pub(super) struct Sweep<'c> {
    context: &'c Context,
    began_us: u64,
    found: PortSweep,
}

impl<'c> Sweep<'c> {
    pub(super) fn begin(context: &'c Context, found: PortSweep) -> Self {
        Self { context, began_us: context.clock.now_us(), found }
    }
}

impl Drop for Sweep<'_> {
    fn drop(&mut self) {
        self.found.ports.sort_by_key(|state| state.port);
        self.found.took_us = self.context.clock.now_us().saturating_sub(self.began_us);
        self.context.recorder.record(self.began_us, Fact::PortSweep(self.found.clone()));
    }
}

/// Tries every further port of one address, at the rate that the parameters give, each port once.
pub(super) async fn sweep(context: &Context, params: &TcpParams, address: IpAddr) {
    let ports = params.further_ports();
    let asked = u32::try_from(ports.len()).unwrap_or(u32::MAX);
    let found = PortSweep { host: params.host.clone(), address, asked, ports: Vec::new(), took_us: 0, failure: None };
    let pairs = ports.into_iter().map(|port| (0, port)).collect();
    try_all(context, params, vec![Sweep::begin(context, found)], pairs).await;
}

/// Tries each pair of a sweep, by its place, and a port, in their order. Gives the addresses with a port that is open.
pub(super) async fn try_all(
    context: &Context,
    params: &TcpParams,
    mut sweeps: Vec<Sweep<'_>>,
    pairs: Vec<(usize, u16)>,
) -> HashSet<IpAddr> {
    let began = context.clock.now();
    let gap = Duration::from_secs(1) / params.rate.max(1);
    let timeout = Duration::from_millis(params.timeout_ms);
    let swept = Swept::of(sweeps.iter().map(|sweep| sweep.found.address));
    let mut under_way = FuturesUnordered::new();
    let mut turns = 0_u32;
    for (place, port) in pairs {
        let Some(address) = sweeps.get(place).filter(|sweep| sweep.found.failure.is_none()).map(|sweep| sweep.found.address)
        else {
            continue;
        };
        let due = began + gap * turns;
        turns += 1;
        let turn = async {
            time::sleep(due.saturating_sub(context.clock.now())).await;
            context.gate.packet(zone::socket(address, port), 0).await
        };
        tokio::pin!(turn);
        let admitted: Result<(), Failure> = loop {
            tokio::select! {
                admitted = &mut turn, if under_way.len() < MAX_AT_ONCE => break admitted,
                Some(state) = under_way.next() => note(&mut sweeps, state),
            }
        };
        if let Err(failure) = admitted {
            // One address that may not be probed costs the others nothing; a budget that is used up is used up for all.
            let ends = failure.code != FailureCode::NotAllowed;
            if let Some(sweep) = sweeps.get_mut(place) {
                sweep.found.failure = Some(failure);
            }
            if ends {
                break;
            }
            continue;
        }
        under_way.push(one(context, place, zone::socket(address, port), timeout, &swept));
    }
    while let Some(state) = under_way.next().await {
        note(&mut sweeps, state);
    }
    let is_open = |sweep: &&Sweep<'_>| sweep.found.ports.iter().any(|state| state.failure.is_none());
    sweeps.iter().filter(is_open).map(|sweep| sweep.found.address).collect()
}

fn note(sweeps: &mut [Sweep<'_>], (place, state): (usize, PortState)) {
    if let Some(sweep) = sweeps.get_mut(place) {
        sweep.found.ports.push(state);
    }
}

async fn one(context: &Context, place: usize, address: SocketAddr, timeout: Duration, swept: &Swept) -> (usize, PortState) {
    let began_us = context.clock.now_us();
    let seen = attempt::connect(context, address, timeout).await;
    let took_us = context.clock.now_us().saturating_sub(began_us);
    let answered = seen.local.map_or_else(Answered::default, |local| swept.take(address, local.port(), context.clock));
    let Answered { reset, syn_ack } = answered;
    (place, PortState { port: address.port(), took_us, reset, syn_ack, failure: seen.failure })
}
