use super::exchange;
use super::meter::Ledger;
use super::proxy::Route;
use super::request::{Post, Request};
use crate::context::Context;
use netsonde_contract::kind::HttpParams;
use netsonde_contract::observation::Exchange;
use std::net::SocketAddr;
use url::Url;

/// Makes one request to this address, the proxy's where there is one, whose body counts into the ledger, which several of them share, and ends with it. Nothing is recorded: it is part
/// of another measurement. An upload posts so many bytes.
pub(crate) async fn once(
    context: &Context,
    params: &HttpParams,
    url: &Url,
    route: &Route,
    address: SocketAddr,
    upload: Option<u64>,
    ledger: &Ledger,
) -> Exchange {
    let apart = context.aside();
    let post = upload.map_or(Post::Nothing, Post::Exactly);
    let request = Request {
        post,
        ledger: Some(ledger.clone()),
        address: Some(address),
        ..Request::new(&apart, params, url, route.clone())
    };
    exchange::ask(&request).await.draft.finish()
}
