use super::own::{self, Own};
use crate::context::{Context, NotMeasurable};
use crate::icmp;
use crate::platform::tcp;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use netsonde_contract::kind::{IcmpParams, LatencyBy, LoadParams};
use netsonde_contract::observation::{Fact, LatencySeries};
use socket2::SockRef;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The bound of the echo kind itself.
const MAX_ECHOES: u32 = 1_000;

/// A series as far as it has come. Clones are the same series, so that whoever is cut off in the midst of it still has it.
#[derive(Clone, Default)]
pub(super) struct Series(Arc<Mutex<Measured>>);

#[derive(Default)]
struct Measured {
    /// Measurements that were answered, or that nobody answered in time; those under way are neither.
    sent: u32,
    rtts: Vec<Duration>,
    own: Own,
}

impl Series {
    /// What was measured until now.
    pub(super) fn fact(&self) -> LatencySeries {
        let measured = self.measured();
        LatencySeries {
            sent: measured.sent,
            answered: u32::try_from(measured.rtts.len()).unwrap_or(u32::MAX),
            rtt: icmp::distribution(measured.rtts.clone()),
            timer_late: icmp::distribution(measured.own.late.clone()),
            loopback: icmp::distribution(measured.own.loopback.clone()),
        }
    }

    pub(super) fn note_own(&self, late: Duration, loopback: Option<Duration>) {
        let mut measured = self.measured();
        measured.own.late.push(late);
        measured.own.loopback.extend(loopback);
    }

    fn note(&self, sent: u32, rtts: impl IntoIterator<Item = Duration>) {
        let mut measured = self.measured();
        measured.sent = measured.sent.saturating_add(sent);
        measured.rtts.extend(rtts);
    }

    fn measured(&self) -> MutexGuard<'_, Measured> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Measures the delay at the interval for `time`, or until `stop`, and the machine's own delays beside it, all into `series`.
///
/// # Errors
/// Where the right to send echo requests is missing.
pub(super) async fn measure(
    context: &Context,
    params: &LoadParams,
    address: SocketAddr,
    time: Duration,
    stop: &CancellationToken,
    series: &Series,
) -> Result<(), NotMeasurable> {
    let interval = Duration::from_millis(params.interval_ms);
    let measured = async {
        let measured = match params.latency {
            LatencyBy::Connect => {
                connects(context, params, address, time, stop, series).await;
                Ok(())
            }
            LatencyBy::Echo => echoes(context, params, address, time, stop, series).await,
        };
        stop.cancel();
        measured
    };
    tokio::join!(measured, own::delays(context, interval, time, stop, series)).0
}

/// A connection at every interval, whether or not the one before has been answered; each is closed at once.
async fn connects(
    context: &Context,
    params: &LoadParams,
    address: SocketAddr,
    time: Duration,
    stop: &CancellationToken,
    series: &Series,
) {
    let (interval, timeout) = (Duration::from_millis(params.interval_ms), Duration::from_millis(params.timeout_ms));
    let began = context.clock.now();
    let mut sent = 0;
    let mut running = FuturesUnordered::new();
    let mut sending = true;
    while sending || !running.is_empty() {
        let due = began + interval * sent;
        let wait = due.saturating_sub(context.clock.now());
        tokio::select! {
            // However short the load was, one measurement is made.
            () = stop.cancelled(), if sending && sent > 0 => sending = false,
            () = tokio::time::sleep(wait), if sending => {
                sending = due < began + time;
                if sending {
                    sent += 1;
                    running.push(connect(context, address, timeout));
                }
            }
            Some(rtt) = running.next(), if !running.is_empty() => series.note(1, rtt),
        }
    }
}

/// The round trip of one handshake: as the kernel measured it where it tells (nothing that keeps this program waiting is in it),
/// else as it took here. A SYN that had to be sent again has no kernel measurement (RFC 6298 section 3), and counts with its wait.
async fn connect(context: &Context, address: SocketAddr, timeout: Duration) -> Option<Duration> {
    context.gate.packet(address, 0).await.ok()?;
    let began = context.clock.now();
    let stream = tokio::time::timeout(timeout, context.connect(address)).await.ok()?.ok()?;
    let took = context.clock.now().saturating_sub(began);
    let kernel = tcp::info(&SockRef::from(&*stream)).map(|info| info.state);
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
    series: &Series,
) -> Result<(), NotMeasurable> {
    let apart = Apart { context: context.aside(), series };
    let count = time.as_millis() / u128::from(params.interval_ms.max(1));
    let echo = IcmpParams {
        count: u32::try_from(count).unwrap_or(u32::MAX).clamp(1, MAX_ECHOES),
        interval_ms: params.interval_ms,
        timeout_ms: params.timeout_ms,
        ..IcmpParams::of(address.ip().to_string())
    };
    tokio::select! {
        result = icmp::run(&apart.context, &echo) => drop(result?),
        () = stop.cancelled() => {}
    }
    Ok(())
}

/// Echo series record themselves when they are dropped; what they recorded becomes part of the series here, however they ended.
struct Apart<'s> {
    context: Context,
    series: &'s Series,
}

impl Drop for Apart<'_> {
    fn drop(&mut self) {
        for observation in self.context.recorder.observations() {
            if let Fact::Echo(echo) = observation.fact {
                self.series.note(echo.sent, echo.replies.iter().map(|reply| Duration::from_micros(reply.rtt_us)));
            }
        }
    }
}
