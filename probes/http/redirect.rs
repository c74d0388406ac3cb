//! Redirects as a pure step: from what was asked and answered to what comes next.

use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::observation::Exchange;
use url::Url;

/// Ends a chain that comes back to a URL that it asked before.
const LOOP: &str = "loop";

/// Ends a chain that reached its bound.
const LIMIT: &str = "limit";

/// Ends a chain whose last response redirects without saying where to: no browser gets further.
const NO_LOCATION: &str = "no_location";

/// The redirects of one check.
#[derive(Debug)]
pub(super) struct Chain {
    follow: bool,
    max: usize,
    asked: Vec<Url>,
}

/// What comes after an exchange.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    Follow(Url),
    /// The response is the last one.
    End,
    /// The response redirects, and is not followed.
    Stop(&'static str),
    /// The response redirects to nowhere.
    Unusable(Failure),
}

impl Chain {
    pub(super) fn new(follow: bool, max: u32) -> Self {
        Self { follow, max: usize::try_from(max).unwrap_or(usize::MAX), asked: Vec::new() }
    }

    /// What comes after `answered`, which came from `url`.
    pub(super) fn next(&mut self, url: &Url, answered: &Exchange) -> Next {
        self.asked.push(url.clone());
        if answered.location.is_none() && answered.failure.is_none() && asks_to_go_on(answered) {
            return Next::Stop(NO_LOCATION);
        }
        let Some(location) = answered.location.as_deref().filter(|_| self.follow && answered.failure.is_none()) else {
            return Next::End;
        };
        let to = match Url::parse(location) {
            Ok(to) => plain(to),
            Err(error) => {
                let text = format!("the Location cannot be followed: {error}");
                return Next::Unusable(Failure::new(FailureCode::ProtocolError, Step::Receive, text));
            }
        };
        if !matches!(to.scheme(), "http" | "https") {
            // An application's own scheme: for another program, and the end of what HTTP has to say.
            Next::End
        } else if self.asked.contains(&to) {
            Next::Stop(LOOP)
        } else if self.asked.len() > self.max {
            Next::Stop(LIMIT)
        } else {
            Next::Follow(to)
        }
    }
}

/// The Location of a redirecting status (RFC 9110 section 15.4), made absolute where that is possible.
pub(super) fn location(url: &Url, status: u16, header: Option<&str>) -> Option<String> {
    if !redirects(status) {
        return None;
    }
    let header = header?;
    Some(url.join(header).map_or_else(|_| header.to_owned(), String::from))
}

fn redirects(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// What a proxy says to CONNECT is no answer of the server.
fn asks_to_go_on(answered: &Exchange) -> bool {
    answered.method != "CONNECT" && answered.status.is_some_and(redirects)
}

/// The URL as it is asked for: without the fragment, which is never sent, and without credentials, which netsonde does not send.
pub(super) fn plain(mut url: Url) -> Url {
    url.set_fragment(None);
    // Both only fail for a URL without a host, which has no credentials either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::blank;

    fn answered(from: &Url, status: u16, header: &str) -> Exchange {
        Exchange { status: Some(status), location: location(from, status, Some(header)), ..blank(from.as_str(), "GET", 0, None) }
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn a_location_is_taken_relative_to_the_url_that_was_asked() {
        let from = url("https://a.test/shop/pay?x=1");
        let cases = [
            ("cart", "https://a.test/shop/cart"),
            ("/", "https://a.test/"),
            ("?y=2", "https://a.test/shop/pay?y=2"),
            ("//b.test/x", "https://b.test/x"),
            ("http://c.test:8080/#part", "http://c.test:8080/"),
            ("https://user:secret@d.test/", "https://d.test/"),
        ];
        for (header, to) in cases {
            assert_eq!(Chain::new(true, 10).next(&from, &answered(&from, 302, header)), Next::Follow(url(to)), "{header}");
        }
    }

    #[test]
    fn a_chain_that_comes_back_is_a_loop_whatever_its_fragment() {
        let (a, b) = (url("http://a.test/"), url("http://a.test/b"));
        let mut chain = Chain::new(true, 10);
        assert_eq!(chain.next(&a, &answered(&a, 301, "/b")), Next::Follow(b.clone()));
        assert_eq!(chain.next(&b, &answered(&b, 301, "/#again")), Next::Stop("loop"));
    }

    #[test]
    fn a_chain_is_bounded() {
        let mut chain = Chain::new(true, 1);
        let (a, b) = (url("http://a.test/"), url("http://a.test/1"));
        assert!(matches!(chain.next(&a, &answered(&a, 301, "/1")), Next::Follow(_)));
        assert_eq!(chain.next(&b, &answered(&b, 301, "/2")), Next::Stop("limit"));
    }

    #[test]
    fn a_redirect_to_nowhere_is_told_and_what_a_proxy_says_is_none() {
        let a = url("http://a.test/");
        let next = |status, method, follow| {
            let answered = Exchange { status: Some(status), ..blank(a.as_str(), method, 0, None) };
            Chain::new(follow, 10).next(&a, &answered)
        };
        for status in [301, 302, 303, 307, 308] {
            assert_eq!(next(status, "GET", true), Next::Stop("no_location"), "{status}");
        }
        assert_eq!(next(302, "GET", false), Next::Stop("no_location"));
        assert_eq!(next(304, "GET", true), Next::End);
        assert_eq!(next(302, "CONNECT", true), Next::End);
    }

    #[test]
    fn what_is_no_redirect_ends_the_chain() {
        let a = url("http://a.test/");
        let next = |follow, status, header| Chain::new(follow, 10).next(&a, &answered(&a, status, header));
        assert_eq!(next(true, 200, "/b"), Next::End);
        assert_eq!(next(true, 304, "/b"), Next::End);
        assert_eq!(next(false, 302, "/b"), Next::End);
        assert_eq!(next(true, 302, "shop:open"), Next::End);
        assert!(matches!(next(true, 302, "http://[broken/"), Next::Unusable(_)));
    }
}
