use super::attempt;
use crate::context::Context;
use futures_util::stream::{FuturesUnordered, StreamExt};
use netsonde_contract::failure::Failure;
use netsonde_contract::kind::TcpParams;
use netsonde_contract::observation::{Fact, PortState, PortSweep};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::time;

/// Connections under way at one address: each takes a descriptor, of which a process usually has 1,024.
const MAX_AT_ONCE: usize = 128;

/// A sweep as far as it has come; recorded when it is dropped, so that a deadline keeps what was seen.
struct Sweep<'c> {
    context: &'c Context,
    began_us: u64,
    found: PortSweep,
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
    let mut sweep = Sweep { context, began_us: context.clock.now_us(), found };
    let began = context.clock.now();
    let gap = Duration::from_secs(1) / params.rate.max(1);
    let timeout = Duration::from_millis(params.timeout_ms);
    let mut under_way = FuturesUnordered::new();
    for (count, port) in (0_u32..).zip(ports) {
        let turn = async {
            time::sleep((began + gap * count).saturating_sub(context.clock.now())).await;
            context.gate.packet(SocketAddr::new(address, port)).await
        };
        tokio::pin!(turn);
        let admitted: Result<(), Failure> = loop {
            tokio::select! {
                admitted = &mut turn, if under_way.len() < MAX_AT_ONCE => break admitted,
                Some(state) = under_way.next() => sweep.found.ports.push(state),
            }
        };
        if let Err(failure) = admitted {
            sweep.found.failure = Some(failure);
            break;
        }
        under_way.push(one(context, SocketAddr::new(address, port), timeout));
    }
    while let Some(state) = under_way.next().await {
        sweep.found.ports.push(state);
    }
}

async fn one(context: &Context, address: SocketAddr, timeout: Duration) -> PortState {
    let began_us = context.clock.now_us();
    let failure = attempt::connect(context, address, timeout).await.failure;
    PortState { port: address.port(), took_us: context.clock.now_us().saturating_sub(began_us), failure }
}
