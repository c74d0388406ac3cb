use super::proxy::{self, Route};
use super::redirect::{Chain, Next};
use super::request::Request;
use super::{block_page, exchange, expect};
use crate::clock::microseconds;
use crate::context::{Context, NotMeasurable};
use netsonde_contract::kind::HttpParams;
use netsonde_contract::observation::{Exchange, ExchangePurpose};
use url::Url;

/// Which way each request of a chain goes.
pub(super) enum Way {
    /// As the run's choice of a proxy says, URL by URL.
    Chosen,
    /// The same for all.
    Fixed(Route),
}

/// A chain that is over.
pub(super) struct Leg {
    pub(super) last: Exchange,
    /// No certificate was in the way.
    trusted: bool,
    pub(super) took_us: u64,
}

impl Leg {
    pub(super) fn as_expected(&self) -> bool {
        let Exchange { expected, failure, redirect_stopped, .. } = &self.last;
        self.trusted && *expected && failure.is_none() && redirect_stopped.is_none() && self.last.unmet().next().is_none()
    }
}

/// Asks for the URL and follows its redirects; what is expected is held against the last answer.
///
/// # Errors
/// Where the proxy for a URL cannot be used.
pub(super) async fn follow(
    context: &Context,
    params: &HttpParams,
    first: &Url,
    purpose: ExchangePurpose,
    way: &Way,
) -> Result<Leg, NotMeasurable> {
    let began = context.clock.now();
    let mut url = first.clone();
    let mut chain = Chain::new(params.follow, params.max_redirects);
    let mut trusted = true;
    let mut redirect = 0;
    loop {
        let route = match way {
            Way::Chosen => proxy::choose(&context.proxy, &url)?,
            Way::Fixed(route) => route.clone(),
        };
        let request = Request { redirect, purpose, ..Request::new(context, params, &url, route) };
        let mut asked = exchange::ask(&request).await;
        trusted &= asked.trusted;
        match chain.next(&url, &asked.draft) {
            Next::Follow(next) => {
                asked.draft.finish();
                url = next;
                redirect += 1;
                continue;
            }
            Next::Stop(why) => asked.draft.redirect_stopped = Some(why.to_owned()),
            Next::Unusable(failure) => asked.draft.failure = Some(failure),
            Next::End => {}
        }
        if asked.draft.status.is_some() && asked.draft.method != "CONNECT" {
            asked.draft.expectations = expect::judge(params, &asked.draft, &asked.sought);
            asked.draft.block_page = block_page::filter(asked.sought.kept()).map(str::to_owned);
        }
        let took_us = microseconds(context.clock.now().saturating_sub(began));
        return Ok(Leg { last: asked.draft.finish(), trusted, took_us });
    }
}
