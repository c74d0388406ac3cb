//! Keeps a connection open and idle, then finds out whether it still stands.
//!
//! A firewall that forgets an idle connection tells nobody: the connection only looks alive. So after the wait the kernel is made to
//! send a keepalive probe, which carries no data (RFC 9293 section 3.8.4), and its acknowledgement is looked for.

use super::attempt;
use super::banner::receive;
use crate::clock::Clock;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::TcpParams;
use netsonde_contract::observation::Hold;
use socket2::{SockRef, TcpKeepalive};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time;

/// A server that goes on talking is read so far, and then no longer.
const MAX_READ: usize = 64 << 10;
/// How long probes are waited for: one a second, given up after three.
const PROBING: Duration = Duration::from_millis(4_500);
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
#[cfg(unix)]
const PROBES: u32 = 3;
/// How often the kernel is asked whether the acknowledgement came.
const LOOK: Duration = Duration::from_millis(20);

pub(super) async fn hold(stream: &TcpStream, params: &TcpParams, clock: Clock) -> Hold {
    let began = clock.now();
    let mut hold = Hold { asked_s: params.hold_s, keepalive_s: params.keepalive_s, idle_us: 0, answered: None, failure: None };
    if params.keepalive_s > 0 {
        let every = Duration::from_secs(params.keepalive_s.into());
        keep_alive(stream, every, every);
    }
    hold.failure = ended(stream, Duration::from_secs(params.hold_s.into())).await;
    hold.idle_us = crate::clock::microseconds(clock.now().saturating_sub(began));
    if hold.failure.is_none() && cfg!(target_os = "linux") {
        hold.failure = unanswered(stream, clock).await;
        hold.answered = Some(hold.failure.is_none());
    }
    hold
}

/// Waits, and says why the connection ended meanwhile, if it did.
async fn ended(stream: &TcpStream, wait: Duration) -> Option<Failure> {
    let reading = async {
        let mut buffer = [0; 4_096];
        let mut read = 0;
        while read < MAX_READ {
            match receive(stream, &mut buffer).await {
                Ok(0) => return Failure::new(FailureCode::Closed, Step::Receive, "the peer closed the connection"),
                Ok(count) => read += count,
                Err(error) => return Failure::from_io(&error, Step::Receive),
            }
        }
        std::future::pending().await
    };
    time::timeout(wait, reading).await.ok()
}

/// Has the kernel probe the peer at once; says why the peer counts as gone.
async fn unanswered(stream: &TcpStream, clock: Clock) -> Option<Failure> {
    let began = clock.now();
    keep_alive(stream, PROBE_INTERVAL, PROBE_INTERVAL);
    while clock.now().saturating_sub(began) < PROBING {
        if let Some(failure) = ended(stream, LOOK).await {
            return Some(failure);
        }
        let since = attempt::info(stream).and_then(|info| info.since_acknowledged)?;
        // To the millisecond, rounded down.
        if since + Duration::from_millis(1) < clock.now().saturating_sub(began) {
            return None;
        }
    }
    Some(Failure::new(FailureCode::TimedOut, Step::Receive, "the peer acknowledges nothing after the wait"))
}

fn keep_alive(stream: &TcpStream, first: Duration, interval: Duration) {
    let keepalive = TcpKeepalive::new().with_time(first).with_interval(interval);
    #[cfg(unix)]
    let keepalive = keepalive.with_retries(PROBES);
    // Without keepalive the connection is only waited for.
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
}
