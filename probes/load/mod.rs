//! Latency under load: the delay of a path while idle, and while it carries as much as it can, within hard bounds of bytes and time.
//!
//! The load is HTTP bodies over a few connections. The delay is that of the kernel's handshakes (or of echo requests) with the same
//! address, so that it takes the same way and waits in the same queues. Beside every measurement stand the machine's own delays: a
//! machine that is too busy to read its own clock in time would else be taken for a path with long queues.

/// Requests that fill the path.
mod carrying;
/// The delay at an interval.
mod latency;
/// The fact in the making.
mod measuring;
/// The machine's own delays.
mod own;
/// How much each request of an upload posts.
mod portion;
#[cfg(test)]
mod tests;

use crate::context::{Context, Ending, NotMeasurable};
use crate::http::first_url;
use crate::http::meter::Ledger;
use crate::http::proxy::{self, Route};
use crate::tls::connect;
use crate::tls::draft::Draft;
use carrying::Carried;
use latency::Series;
use measuring::{Measuring, UnderWay};
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::{LoadDirection, LoadParams};
use netsonde_contract::observation::{LatencySeries, Load};
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
    let blank = Measuring::of(&first.url, &first.route, params);
    let mut draft = Draft::begin(context, Step::Connect, blank);
    // Which of the addresses answers is not measured: the series that follow are, and all of them go to that one.
    let timeout = Duration::from_millis(params.timeout_ms);
    let reached = connect::first_noting(context, &addresses, port, timeout, &mut draft.load.attempts).await;
    let address = match reached {
        Ok(connected) => {
            draft.load.connect_us = Some(connected.took_us);
            connected.address
        }
        Err(not_connected) => {
            draft.load.connect_us = Some(not_connected.took_us);
            (draft.load.address, draft.load.failure) = (Some(not_connected.address), Some(not_connected.failure));
            draft.finish();
            return Ok(Ending::Failed);
        }
    };
    draft.load.address = Some(address);
    draft.step = Step::Receive;
    if let Err(reason) = idle(context, params, address, &mut draft).await {
        draft.load.failure = Some(Failure::new(FailureCode::PermissionDenied, Step::Open, reason.0.why.clone()));
        draft.finish();
        return Err(reason);
    }
    let share = params.max_bytes / directions.len() as u64;
    for direction in &directions {
        loaded(context, params, address, direction, share, &mut draft).await?;
    }
    let Measuring { load, .. } = draft.finish();
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

async fn idle(
    context: &Context,
    params: &LoadParams,
    address: SocketAddr,
    draft: &mut Draft<Measuring>,
) -> Result<(), NotMeasurable> {
    let time = Duration::from_secs(params.idle_s);
    let series = Series::default();
    draft.under_way = Some(UnderWay::Idle(series.clone()));
    let measured = latency::measure(context, params, address, time, &CancellationToken::new(), &series).await;
    match measured {
        Ok(()) => draft.settle(None),
        Err(_) => draft.under_way = None,
    }
    measured
}

/// Loads one direction, and measures meanwhile in a task of its own, so that the load's own work delays no measurement.
async fn loaded(
    context: &Context,
    params: &LoadParams,
    address: SocketAddr,
    direction: &Direction,
    bytes: u64,
    draft: &mut Draft<Measuring>,
) -> Result<(), NotMeasurable> {
    let time = Duration::from_secs(params.load_s);
    let carried = Carried::new(Ledger::open(context.clock, bytes, time).counting_waits());
    let series = Series::default();
    draft.under_way = Some(UnderWay::Loaded(direction.way, carried.clone(), series.clone()));
    let stop = CancellationToken::new();
    let watching = {
        let (context, params, stop) = (context.clone(), params.clone(), stop.clone());
        let measuring = async move { latency::measure(&context, &params, address, time, &stop, &series).await };
        tokio_util::task::AbortOnDropHandle::new(tokio::spawn(measuring))
    };
    carrying::carry(context, params, direction, address, &carried).await;
    // The load is over with its last answer, however long the last measurement takes.
    let transfer = carried.ledger.transfer(carried.ended());
    stop.cancel();
    watching.await.map_err(|error| NotMeasurable::new(format!("the measuring of the delay ended: {error}")))??;
    draft.settle(Some(transfer));
    Ok(())
}

fn is_whole(load: &Load) -> bool {
    let answered = |series: &LatencySeries| series.answered > 0;
    load.failure.is_none()
        && load.idle.as_ref().is_some_and(answered)
        && load.loaded.iter().all(|phase| phase.failure.is_none() && phase.transfer.bytes > 0 && answered(&phase.latency))
}
