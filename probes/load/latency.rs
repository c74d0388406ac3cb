use super::own;
use crate::context::{Context, NotMeasurable};
use crate::icmp;
use crate::platform::tcp;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use netsonde_contract::kind::{IcmpParams, LatencyBy, LoadParams};
use netsonde_contract::observation::{Fact, LatencySeries};
use socket2::SockRef;
use std::net::SocketAddr;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The bound of the echo kind itself.
const MAX_ECHOES: u32 = 1_000;

/// Round trips with one address, and how many were tried.
#[derive(Default)]
struct Measured {
    sent: u32,
    rtts: Vec<Duration>,
}

/// Measures the delay at the interval for `time`, or until `stop`, and the machine's own delays beside it.
///
/// # Errors
/// Where the right to send echo requests is missing.
pub(super) async fn series(
    context: &Context,
    params: &LoadParams,
    address: SocketAddr,
    time: Duration,
    stop: &CancellationToken,
) -> Result<LatencySeries, NotMeasurable> {
    let interval = Duration::from_millis(params.interval_ms);
    let measured = async {
        let measured = match params.latency {
            LatencyBy::Connect => Ok(connects(context, params, address, time, stop).await),
            LatencyBy::Echo => echoes(context, params, address, time, stop).await,
        };
        stop.cancel();
        measured
    };
    let (measured, own) = tokio::join!(measured, own::delays(context, interval, time, stop));
    let Measured { sent, rtts } = measured?;
    Ok(LatencySeries {
        sent,
        answered: u32::try_from(rtts.len()).unwrap_or(u32::MAX),
        rtt: icmp::distribution(rtts),
        timer_late: icmp::distribution(own.late),
        loopback: icmp::distribution(own.loopback),
    })
}

/// A connection at every interval, whether or not the one before has been answered; each is closed at once.
async fn connects(
    context: &Context,
    params: &LoadParams,
    address: SocketAddr,
    time: Duration,
    stop: &CancellationToken,
) -> Measured {
    let (interval, timeout) = (Duration::from_millis(params.interval_ms), Duration::from_millis(params.timeout_ms));
    let began = context.clock.now();
    let mut measured = Measured::default();
    let mut running = FuturesUnordered::new();
    let mut sending = true;
    while sending || !running.is_empty() {
        let due = began + interval * measured.sent;
        let wait = due.saturating_sub(context.clock.now());
        tokio::select! {
            // However short the load was, one measurement is made.
            () = stop.cancelled(), if sending && measured.sent > 0 => sending = false,
            () = tokio::time::sleep(wait), if sending => {
                sending = due < began + time;
                if sending {
                    measured.sent += 1;
                    running.push(connect(context, address, timeout));
                }
            }
            Some(rtt) = running.next(), if !running.is_empty() => measured.rtts.extend(rtt),
        }
    }
    measured
}

/// The round trip of one handshake: as the kernel measured it where it tells (nothing that keeps this program waiting is in it),
/// else as it took here. A SYN that had to be sent again has no kernel measurement (RFC 6298 section 3), and counts with its wait.
async fn connect(context: &Context, address: SocketAddr, timeout: Duration) -> Option<Duration> {
    context.gate.packet(address).await.ok()?;
    let began = context.clock.now();
    let stream = tokio::time::timeout(timeout, context.connect(address)).await.ok()?.ok()?;
    let took = context.clock.now().saturating_sub(began);
    let kernel = tcp::info(&SockRef::from(&stream)).map(|info| info.state);
    let kernel = kernel.filter(|state| state.rtt_us > 0 && state.retransmits == 0);
    Some(kernel.map_or(took, |state| Duration::from_micros(state.rtt_us.into())))
}

/// The echo series of its own kind, recorded apart, as far as it got when the load ended.
async fn echoes(
    context: &Context,
    params: &LoadParams,
    address: SocketAddr,
    time: Duration,
    stop: &CancellationToken,
) -> Result<Measured, NotMeasurable> {
    let apart = context.aside();
    let count = time.as_millis() / u128::from(params.interval_ms.max(1));
    let echo = IcmpParams {
        count: u32::try_from(count).unwrap_or(u32::MAX).clamp(1, MAX_ECHOES),
        interval_ms: params.interval_ms,
        timeout_ms: params.timeout_ms,
        ..IcmpParams::of(address.ip().to_string())
    };
    tokio::select! {
        result = icmp::run(&apart, &echo) => drop(result?),
        () = stop.cancelled() => {}
    }
    let mut measured = Measured::default();
    for observation in apart.recorder.observations() {
        if let Fact::Echo(echo) = observation.fact {
            measured.sent += echo.sent;
            measured.rtts.extend(echo.replies.iter().map(|reply| Duration::from_micros(reply.rtt_us)));
        }
    }
    Ok(measured)
}
