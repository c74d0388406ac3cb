//! HTTP exchanges, phase by phase: resolve, connect, TLS, send, first byte, body. Every request has a connection of its own, so
//! that every phase of it is seen; redirects are followed as exchanges of their own.
//!
//! A certificate that is not trusted does not end the exchange: nothing but a GET or HEAD without credentials or cookies is ever
//! sent, and what the server answers is evidence. The handshake is recorded beside the exchange, and the check then fails.

/// What reaches this machine of a body, and when.
mod arrivals;
/// Questions beside the check's own: a known answer, an echo of headers, a part of the body, an upload.
mod beside;
/// Pages of filters.
mod block_page;
/// A response's body, bounded.
mod body;
/// Requests that carry load.
pub(crate) mod carry;
/// A URL and the redirects that lead on from it.
mod chain;
/// The answers of two ways.
mod compare;
/// A connection that speaks HTTP/1.1 or HTTP/2.
mod connection;
/// The request headers that an endpoint says it got.
mod echo;
/// One request and its response.
mod exchange;
/// What was expected, held against what came.
mod expect;
/// Errors of the HTTP library to failure codes.
mod failure;
/// The parsers here, for `tests/fuzz`.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
/// What single headers say.
mod header;
/// How bytes come in or go out over time.
pub(crate) mod meter;
/// What a request carries.
mod payload;
/// Which proxy a URL is asked through.
pub(crate) mod proxy;
/// Where a response sends the client, and whether to follow.
mod redirect;
/// What is asked, and how it is written.
mod request;
/// SOCKS proxies.
pub(crate) mod socks;
/// What is looked for in a body while it passes.
mod sought;
#[cfg(test)]
mod tests;
/// Single requests that other kinds make.
pub(crate) mod through;
/// CONNECT through a proxy.
pub(crate) mod tunnel;
/// From this machine to where the request can be written.
mod way;

use crate::context::{Context, Ending, NotMeasurable};
use crate::zone;
use beside::Beside;
use netsonde_contract::kind::HttpParams;
use netsonde_contract::observation::ExchangePurpose;
use netsonde_contract::target::{Target, TargetForm};
pub use proxy::{proxy_of, proxy_url_of};
use url::Url;

/// Asks for the URL and whatever the parameters ask beside it.
///
/// # Errors
/// Before anything is sent: where a URL or the proxy cannot be used, or there is no second way to compare with.
pub(crate) async fn run(context: &Context, params: &HttpParams) -> Result<Ending, NotMeasurable> {
    let context = &context.with_segments(params.max_segment_bytes);
    let url = first_url(&params.url)?;
    let route = proxy::choose(&context.proxy, &url)?;
    let other = if params.compare { Some(proxy::other(&context.proxy, &url, &route)?) } else { None };
    let beside = Beside::read(context, params, &url)?;
    let mut as_expected = beside.known_answer().await;
    let leg = chain::follow(context, params, &url, ExchangePurpose::Question, &chain::Way::Chosen).await?;
    as_expected &= leg.as_expected();
    if let Some(other) = other {
        // That the other way fails is no failure of the check: a proxy is often the only way out.
        compare::other_way(context, params, &url, (&route, &leg), other).await?;
    }
    // A server that does not answer at all says nothing more to further questions.
    let answers = leg.last.status.is_some();
    as_expected &= beside.after(answers).await;
    Ok(if as_expected { Ending::AsExpected } else { Ending::Failed })
}

pub(crate) fn first_url(text: &str) -> Result<Url, NotMeasurable> {
    // No reader of URLs takes a zone.
    let plain = zone::out_of_url(text).map_err(|failure| NotMeasurable::new(failure.text))?;
    let url = Url::parse(&plain).map_err(|error| NotMeasurable::new(format!("the URL cannot be read: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(NotMeasurable::new("the URL is neither http:// nor https:// with a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(NotMeasurable::new("the URL carries a user name or password, which netsonde neither needs nor sends"));
    }
    // A library reads `127.1` as an address and a browser may not; what the agent would refuse as a target is refused here, too.
    if let Err(error) = Target::parse(text, TargetForm::Url) {
        return Err(NotMeasurable::new(format!("the URL cannot be asked for: {}", error.reason)));
    }
    Ok(redirect::plain(url))
}
