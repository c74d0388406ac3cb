//! Single requests that other kinds make.

use super::chain::{self, Way};
use super::proxy::Route;
use super::request::Request;
use super::{exchange, first_url};
use crate::context::{Context, NotMeasurable};
use netsonde_contract::kind::{HttpParams, ProxyParams};
use netsonde_contract::observation::{Exchange, ExchangePurpose, ProxyReason};
use url::Url;

/// Asks for the URL once. Nothing is recorded: it is part of another measurement.
pub(crate) async fn get_once(context: &Context, params: &HttpParams, url: &Url, route: &Route) -> Exchange {
    let apart = context.aside();
    let request = Request::new(&apart, params, url, route.clone());
    exchange::ask(&request).await.draft.finish()
}

/// Fetches a proxy auto-configuration script, directly as programs do. It is never run: its status, type, size and digest are the facts,
/// exchanges by their form. True where a script came.
///
/// # Errors
/// Where the URL cannot be asked for.
pub(crate) async fn script(context: &Context, text: &str, timeout_ms: u64) -> Result<bool, NotMeasurable> {
    let url = first_url(text)?;
    let params = HttpParams { timeout_ms, max_body_bytes: ProxyParams::MAX_SCRIPT_BYTES, ..HttpParams::of(text) };
    let way = Way::Fixed(Route { proxy: None, reason: ProxyReason::Script });
    let leg = chain::follow(context, &params, &url, ExchangePurpose::ProxyScript, &way).await?;
    Ok(leg.as_expected())
}
