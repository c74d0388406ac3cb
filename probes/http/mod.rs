//! HTTP exchanges, phase by phase: resolve, connect, TLS, send, first byte, body. Every request has a connection of its own, so
//! that every phase of it is seen; redirects are followed as exchanges of their own.
//!
//! A certificate that is not trusted does not end the exchange: nothing but a GET or HEAD without credentials or cookies is ever
//! sent, and what the server answers is evidence. The handshake is recorded beside the exchange, and the check then fails.

/// A response's body, bounded.
mod body;
/// A connection that speaks HTTP/1.1 or HTTP/2.
mod connection;
/// One request and its response.
mod exchange;
/// Errors of the HTTP library to failure codes.
mod failure;
/// Which proxy a URL is asked through.
mod proxy;
/// Where a response sends the client, and whether to follow.
mod redirect;
/// What is asked, and how it is written.
mod request;
#[cfg(test)]
mod tests;
/// CONNECT through a proxy.
mod tunnel;

use crate::context::{Context, Ending, NotMeasurable};
use netsonde_contract::kind::HttpParams;
use netsonde_contract::target::{Target, TargetForm};
pub use proxy::proxy_of;
use redirect::{Chain, Next};
use request::Request;
use url::Url;

pub(crate) async fn run(context: &Context, params: &HttpParams) -> Result<Ending, NotMeasurable> {
    let mut url = first_url(&params.url)?;
    let mut chain = Chain::new(params.follow, params.max_redirects);
    let mut trusted = true;
    for redirect in 0.. {
        let proxy = proxy::choose(&context.proxy, &url)?;
        let mut asked = exchange::ask(&Request { context, params, url: &url, redirect, proxy }).await;
        trusted &= asked.trusted;
        match chain.next(&url, &asked.draft) {
            Next::Follow(next) => {
                asked.draft.finish();
                url = next;
                continue;
            }
            Next::Stop(why) => asked.draft.redirect_stopped = Some(why.to_owned()),
            Next::Unusable(failure) => asked.draft.failure = Some(failure),
            Next::End => {}
        }
        let last = asked.draft.finish();
        if trusted && last.expected && last.failure.is_none() && last.redirect_stopped.is_none() {
            return Ok(Ending::AsExpected);
        }
        break;
    }
    Ok(Ending::Failed)
}

fn first_url(text: &str) -> Result<Url, NotMeasurable> {
    let url = Url::parse(text).map_err(|error| NotMeasurable::new(format!("the URL cannot be read: {error}")))?;
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
