//! Connections to a TCP port: every address of the host at once, the attempts at one address one after the other.

/// One attempt at one address.
mod attempt;

use crate::context::{Context, Ending, NotMeasurable};
use futures_util::future::join_all;
use netsonde_contract::kind::TcpParams;
use netsonde_contract::observation::{Connect, Fact};
use std::net::SocketAddr;
use std::time::Duration;

/// Ends as expected where any attempt connected.
///
/// # Errors
/// Where the host gives no address to connect to.
pub(crate) async fn run(context: &Context, params: &TcpParams) -> Result<Ending, NotMeasurable> {
    let addresses = context.names.resolve(&context.gate, &params.host).await;
    let addresses = addresses.map_err(|failure| NotMeasurable::unresolved(&params.host, &failure))?;
    let series = addresses.iter().map(|address| connect_repeatedly(context, params, SocketAddr::new(*address, params.port)));
    let connected = join_all(series).await.into_iter().any(|connected| connected);
    Ok(if connected { Ending::AsExpected } else { Ending::Failed })
}

/// Makes every attempt at one address and records each. Says whether any of them connected.
async fn connect_repeatedly(context: &Context, params: &TcpParams, address: SocketAddr) -> bool {
    let mut connected = false;
    for attempt in 1..=params.attempts {
        let refusal = context.gate.packet(address.ip()).await.err();
        let refused = refusal.is_some();
        let at_us = context.clock.now_us();
        let seen = match refusal {
            Some(failure) => attempt::Seen::failed(failure),
            None => attempt::connect(address, Duration::from_millis(params.timeout_ms)).await,
        };
        connected |= seen.failure.is_none();
        let connect = Connect {
            host: params.host.clone(),
            address,
            attempt,
            local: seen.local,
            took_us: context.clock.now_us().saturating_sub(at_us),
            kernel_rtt_us: seen.kernel_rtt_us,
            syn_retransmits: seen.syn_retransmits,
            failure: seen.failure,
        };
        context.recorder.record(at_us, Fact::Connect(connect));
        if refused {
            break;
        }
    }
    connected
}
