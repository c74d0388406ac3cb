use super::chain::{self, Leg, Way};
use super::proxy::Route;
use crate::context::{Context, NotMeasurable};
use netsonde_contract::kind::HttpParams;
use netsonde_contract::observation::{ComparedAnswer, Comparison, Exchange, ExchangePurpose, Fact, Header};
use url::Url;

/// Headers that differ between any two answers and say nothing of the way.
const VOLATILE: [&str; 6] = ["date", "age", "expires", "set-cookie", "x-request-id", "server-timing"];

/// Headers listed of one sort: real answers have some dozens.
const MAX_LISTED: usize = 64;

/// Asks the other way, and records how its last answer differs.
///
/// # Errors
/// Never after the first packet: the way is given.
pub(super) async fn other_way(
    context: &Context,
    params: &HttpParams,
    url: &Url,
    (route, leg): (&Route, &Leg),
    other: Route,
) -> Result<(), NotMeasurable> {
    let began_us = context.clock.now_us();
    let proxy = route.proxy.as_ref().or(other.proxy.as_ref()).map(|proxy| proxy.shown.clone()).unwrap_or_default();
    let first_is_proxied = route.proxy.is_some();
    let second = chain::follow(context, params, url, ExchangePurpose::Compared, &Way::Fixed(other)).await?;
    let (proxied, direct) = if first_is_proxied { (leg, &second) } else { (&second, leg) };
    let times = (proxied.took_us, direct.took_us);
    let comparison = compare(url.as_str(), proxy, &proxied.last, &direct.last, times);
    context.recorder.record(began_us, Fact::Comparison(Box::new(comparison)));
    Ok(())
}

/// Pure: what differs between two answers.
fn compare(url: &str, proxy: String, proxied: &Exchange, direct: &Exchange, times: (u64, u64)) -> Comparison {
    let whole = |exchange: &Exchange| exchange.status.is_some() && exchange.failure.is_none() && !exchange.body_cut;
    let (a, b) = (&proxied.headers, &direct.headers);
    Comparison {
        url: url.to_owned(),
        proxy,
        same_status: proxied.status.is_some() && proxied.status == direct.status,
        same_body: (whole(proxied) && whole(direct)).then(|| proxied.body_sha256 == direct.body_sha256),
        same_certificate: proxied.certificate_sha256.as_ref().zip(direct.certificate_sha256.as_ref()).map(|(a, b)| a == b),
        headers_proxied_only: names(a, |name| values(b, name).is_empty()),
        headers_direct_only: names(b, |name| values(a, name).is_empty()),
        headers_changed: names(a, |name| !values(b, name).is_empty() && values(a, name) != values(b, name)),
        proxied: answer(proxied, times.0),
        direct: answer(direct, times.1),
    }
}

fn answer(exchange: &Exchange, took_us: u64) -> ComparedAnswer {
    ComparedAnswer {
        status: exchange.status,
        body_sha256: exchange.body_sha256.clone(),
        body_bytes: exchange.body_bytes,
        certificate_sha256: exchange.certificate_sha256.clone(),
        first_byte_us: exchange.phases.first_byte_us,
        took_us,
        failure: exchange.failure.clone(),
    }
}

/// The names of these headers, each once, that are of the sort.
fn names(headers: &[Header], is_of_the_sort: impl Fn(&str) -> bool) -> Vec<String> {
    let mut names: Vec<String> = headers.iter().map(|header| header.name.to_ascii_lowercase()).collect();
    names.sort();
    names.dedup();
    names.retain(|name| !VOLATILE.contains(&name.as_str()) && is_of_the_sort(name));
    names.truncate(MAX_LISTED);
    names
}

fn values<'h>(headers: &'h [Header], name: &str) -> Vec<&'h str> {
    headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::request::blank;
    use super::*;

    fn answered(status: u16, body: &str, headers: &[(&str, &str)]) -> Exchange {
        let header = |(name, value): &(&str, &str)| Header { name: (*name).into(), value: (*value).into() };
        Exchange {
            status: Some(status),
            body_sha256: Some(body.to_owned()),
            headers: headers.iter().map(header).collect(),
            ..blank("http://a.test/", "GET", 0, None)
        }
    }

    #[test]
    fn what_the_proxy_adds_takes_away_and_changes_is_told_apart() {
        let proxied = answered(200, "one", &[("Via", "1.1 p"), ("server", "a"), ("date", "1")]);
        let direct = answered(200, "two", &[("server", "b"), ("date", "2"), ("etag", "x")]);
        let found = compare("http://a.test/", "http://p.test:3128".into(), &proxied, &direct, (1, 2));
        assert_eq!((found.same_status, found.same_body, found.same_certificate), (true, Some(false), None));
        assert_eq!(found.headers_proxied_only, ["via"]);
        assert_eq!(found.headers_direct_only, ["etag"]);
        assert_eq!(found.headers_changed, ["server"]);
    }

    #[test]
    fn a_body_that_was_cut_cannot_be_compared() {
        let (mut proxied, direct) = (answered(200, "one", &[]), answered(200, "one", &[]));
        proxied.body_cut = true;
        assert_eq!(compare("http://a.test/", String::new(), &proxied, &direct, (1, 2)).same_body, None);
    }
}
