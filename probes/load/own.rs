use super::latency::Series;
use crate::context::Context;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Within a machine a datagram takes microseconds; one that takes so long is as good as lost.
const LOOPBACK_WAIT: Duration = Duration::from_millis(500);

/// The machine's own delays at each interval.
#[derive(Default)]
pub(super) struct Own {
    /// How late the timer woke this program.
    pub(super) late: Vec<Duration>,
    /// Round trips of a datagram to this program itself.
    pub(super) loopback: Vec<Duration>,
}

/// Measures into `series` until `stop`, for `time` at most.
pub(super) async fn delays(context: &Context, interval: Duration, time: Duration, stop: &CancellationToken, series: &Series) {
    let pair = pair(context).await.ok();
    let began = context.clock.now();
    let mut due = began;
    while due < began + time {
        let wait = due.saturating_sub(context.clock.now());
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(wait) => {}
        }
        let now = context.clock.now();
        let loopback = match &pair {
            Some(pair) => round_trip(context, pair).await,
            None => None,
        };
        series.note_own(now.saturating_sub(due), loopback);
        // Ticks that were slept through are not made up for: they are in the lateness of the one that came.
        due = (due + interval).max(now);
    }
}

/// Two sockets that only hear each other.
async fn pair(context: &Context) -> io::Result<(UdpSocket, UdpSocket)> {
    context.gate.address(LOOPBACK).map_err(|failure| io::Error::other(failure.text))?;
    let (near, far) = (UdpSocket::bind((LOOPBACK, 0)).await?, UdpSocket::bind((LOOPBACK, 0)).await?);
    near.connect(far.local_addr()?).await?;
    far.connect(near.local_addr()?).await?;
    Ok((near, far))
}

async fn round_trip(context: &Context, (near, far): &(UdpSocket, UdpSocket)) -> Option<Duration> {
    // There and back are two datagrams.
    context.gate.packet(LOOPBACK, 1).await.ok()?;
    context.gate.packet(LOOPBACK, 1).await.ok()?;
    let began = context.clock.now();
    let trip = async {
        let mut byte = [0_u8; 1];
        near.send(&[1]).await?;
        far.recv(&mut byte).await?;
        far.send(&[1]).await?;
        near.recv(&mut byte).await?;
        io::Result::Ok(())
    };
    tokio::time::timeout(LOOPBACK_WAIT, trip).await.ok()?.ok()?;
    Some(context.clock.now().saturating_sub(began))
}
