//! Latency under load: the delay of a path while idle, and while it carries as much as it can, within hard bounds of bytes and time.
//!
//! The load is HTTP bodies over a few connections. The delay is that of the kernel's handshakes (or of echo requests) with the same
//! address, so that it takes the same way and waits in the same queues. Beside every measurement stand the machine's own delays: a
//! machine that is too busy to read its own clock in time would else be taken for a path with long queues.

/// Requests that fill the path.
mod carrying;
/// The delay at an interval.
mod latency;
/// The machine's own delays.
mod own;
#[cfg(test)]
mod tests;

use crate::context::{Context, Ending, NotMeasurable};
use crate::http::first_url;
use crate::http::meter::Ledger;
use crate::http::proxy::{self, Route};
use crate::tls::connect;
use crate::tls::draft::{Draft, Drafted};
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::{LoadDirection, LoadParams};
use netsonde_contract::observation::{Fact, LatencySeries, Load, LoadedPhase};
use netsonde_contract::target::bracketed;
use std::net::SocketAddr;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use url::Url;

/// One direction to load.
struct Direction {
    way: LoadDirection,
    url: Url,
    route: Route,
}

/// Measures idle, then under load. Ends as expected where every part could be measured; how much the delay grew is no judgement here.
///
/// # Errors
/// Where a URL or proxy cannot be used, the host gives no address, or the right to send echo requests is missing.
pub(crate) async fn run(context: &Context, params: &LoadParams) -> Result<Ending, NotMeasurable> {
    let directions = directions(context, params)?;
    let Some(first) = directions.first() else { return Err(NotMeasurable::new("there is no direction to load")) };
    let (host, port) = match &first.route.proxy {
        Some(proxy) => (proxy.host.clone(), proxy.port),
        None => {
            let host = first.url.host_str().unwrap_or_default();
            (host.trim_matches(['[', ']']).to_owned(), first.url.port_or_known_default().unwrap_or(80))
        }
    };
    let resolved = context.names.resolve(&context.gate, &host).await;
    let addresses = resolved.map_err(|failure| NotMeasurable::unresolved(&bracketed(&host), &failure))?;
    let blank = Load {
        url: first.url.to_string(),
        address: None,
        connect_us: None,
        proxy: first.route.proxy.as_ref().map(|proxy| proxy.shown.clone()),
        latency: params.latency,
        idle: None,
        loaded: Vec::new(),
        bytes: 0,
        failure: None,
    };
    let mut draft = Draft::begin(context, Step::Connect, blank);
    // Which of the addresses answers is not measured: the series that follow are.
    let reached = connect::first(context, &addresses, port, Duration::from_millis(params.timeout_ms)).await;
    let address = match reached {
        Ok(connected) => {
            draft.connect_us = Some(connected.took_us);
            connected.address
        }
        Err(not_connected) => {
            draft.connect_us = Some(not_connected.took_us);
            (draft.address, draft.failure) = (Some(not_connected.address), Some(not_connected.failure));
            draft.finish();
            return Ok(Ending::Failed);
        }
    };
    draft.address = Some(address);
    draft.step = Step::Receive;
    let idle = idle(context, params, address).await;
    draft.idle = Some(match idle {
        Ok(idle) => idle,
        Err(reason) => {
            draft.failure = Some(Failure::new(FailureCode::PermissionDenied, Step::Open, reason.0.why.clone()));
            draft.finish();
            return Err(reason);
        }
    });
    let share = params.max_bytes / directions.len() as u64;
    for direction in &directions {
        let phase = loaded(context, params, address, direction, share, draft.idle.as_ref()).await?;
        draft.bytes += phase.transfer.bytes;
        draft.loaded.push(phase);
    }
    let load = draft.finish();
    Ok(if is_whole(&load) { Ending::AsExpected } else { Ending::Failed })
}

fn directions(context: &Context, params: &LoadParams) -> Result<Vec<Direction>, NotMeasurable> {
    let direction = |way, url: &str| {
        let url = first_url(url)?;
        Ok(Direction { way, route: proxy::choose(&context.proxy, &url)?, url })
    };
    let up = params.upload_url.as_deref().unwrap_or(&params.url);
    let down = || direction(LoadDirection::Download, &params.url);
    match params.direction {
        LoadDirection::Download => Ok(vec![down()?]),
        LoadDirection::Upload => Ok(vec![direction(LoadDirection::Upload, up)?]),
        LoadDirection::Both => Ok(vec![down()?, direction(LoadDirection::Upload, up)?]),
    }
}

async fn idle(context: &Context, params: &LoadParams, address: SocketAddr) -> Result<LatencySeries, NotMeasurable> {
    let time = Duration::from_secs(params.idle_s);
    latency::series(context, params, address, time, &CancellationToken::new()).await
}

/// Loads one direction, and measures meanwhile in a task of its own, so that the load's own work delays no measurement.
async fn loaded(
    context: &Context,
    params: &LoadParams,
    address: SocketAddr,
    direction: &Direction,
    bytes: u64,
    idle: Option<&LatencySeries>,
) -> Result<LoadedPhase, NotMeasurable> {
    let time = Duration::from_secs(params.load_s);
    let ledger = Ledger::open(context.clock, bytes, time);
    let stop = CancellationToken::new();
    let watching = {
        let (context, params, stop) = (context.clone(), params.clone(), stop.clone());
        let series = async move { latency::series(&context, &params, address, time, &stop).await };
        tokio_util::task::AbortOnDropHandle::new(tokio::spawn(series))
    };
    let carried = carrying::carry(context, params, direction, &ledger).await;
    let transfer = ledger.transfer(carried.ended());
    stop.cancel();
    let latency = watching.await.map_err(|error| NotMeasurable::new(format!("the measuring of the delay ended: {error}")))??;
    let medians = idle.and_then(|idle| idle.rtt.as_ref()).zip(latency.rtt.as_ref());
    let grown = |idle_us: u64, loaded_us: u64| i64::try_from(loaded_us).ok()?.checked_sub(i64::try_from(idle_us).ok()?);
    Ok(LoadedPhase {
        direction: direction.way,
        connections: params.connections,
        requests: carried.requests,
        increase_us: medians.and_then(|(idle, loaded)| grown(idle.median_us, loaded.median_us)),
        increase_p95_us: medians.and_then(|(idle, loaded)| grown(idle.p95_us, loaded.p95_us)),
        transfer,
        latency,
        at_close: carried.at_close,
        failure: carried.failure,
    })
}

fn is_whole(load: &Load) -> bool {
    let answered = |series: &LatencySeries| series.answered > 0;
    load.failure.is_none()
        && load.idle.as_ref().is_some_and(answered)
        && load.loaded.iter().all(|phase| phase.failure.is_none() && phase.transfer.bytes > 0 && answered(&phase.latency))
}

impl Drafted for Load {
    fn cut_off(&mut self, failure: Failure, _after_us: u64) {
        self.failure.get_or_insert(failure);
    }

    fn into_fact(self) -> Fact {
        Fact::Load(Box::new(self))
    }
}
