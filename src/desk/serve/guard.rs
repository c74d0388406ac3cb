use hyper::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::{Method, StatusCode};
use std::net::SocketAddr;
use subtle::ConstantTimeEq;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Decides which requests are the own page's. Pure.
pub(super) struct Guard {
    host: String,
    origin: String,
    token: String,
}

impl Guard {
    pub(super) fn new(address: SocketAddr, token: String) -> Self {
        Self { host: address.to_string(), origin: format!("http://{address}"), token }
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// The rest of the path, after the token.
    ///
    /// # Errors
    /// The status to answer with, and why, for a request that is not the own page's.
    pub(super) fn admit<'p>(
        &self,
        method: &Method,
        path: &'p str,
        headers: &HeaderMap,
    ) -> Result<&'p str, (StatusCode, &'static str)> {
        // A name that was rebound to 127.0.0.1 is another Host; two of them are no browser's.
        if only(headers, &HOST) != Ok(Some(self.host.as_bytes())) {
            return Err((StatusCode::MISDIRECTED_REQUEST, "this address is not served here"));
        }
        match only(headers, &ORIGIN) {
            Ok(None) if method == Method::GET => {}
            Ok(Some(origin)) if origin == self.origin.as_bytes() => {}
            _ => return Err((StatusCode::FORBIDDEN, "the request comes from another page")),
        }
        // Browsers that say where a request comes from must say: from here, or from the address bar.
        match only(headers, &FETCH_SITE) {
            Ok(None | Some(b"same-origin")) => {}
            Ok(Some(b"none")) if method == Method::GET => {}
            _ => return Err((StatusCode::FORBIDDEN, "the request comes from another page")),
        }
        let (token, rest) = path.strip_prefix('/').unwrap_or_default().split_once('/').unwrap_or_default();
        if !self.holds(token) {
            return Err((StatusCode::NOT_FOUND, "there is nothing here"));
        }
        Ok(rest)
    }

    /// Compares in constant time; a form carries the token once more.
    pub(super) fn holds(&self, token: &str) -> bool {
        token.as_bytes().ct_eq(self.token.as_bytes()).into()
    }
}

/// The header's value where it stands there at most once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h [u8]>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(|value| value.as_bytes())),
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "00112233445566778899aabbccddeeff";

    fn admit(method: &Method, path: &str, given: &[(&'static str, &'static str)]) -> Result<String, u16> {
        let guard = Guard::new("127.0.0.1:4711".parse().unwrap(), TOKEN.into());
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        guard.admit(method, path, &headers).map(str::to_owned).map_err(|(status, _)| status.as_u16())
    }

    const HOST: (&str, &str) = ("host", "127.0.0.1:4711");
    const ORIGIN: (&str, &str) = ("origin", "http://127.0.0.1:4711");

    fn path(rest: &str) -> String {
        format!("/{TOKEN}/{rest}")
    }

    #[test]
    fn the_own_page_is_let_in() {
        assert_eq!(admit(&Method::GET, &path("drafts/x"), &[HOST]), Ok("drafts/x".into()));
        assert_eq!(admit(&Method::GET, &path(""), &[HOST, ("sec-fetch-site", "none")]), Ok(String::new()));
        assert_eq!(admit(&Method::POST, &path("sign"), &[HOST, ORIGIN, ("sec-fetch-site", "same-origin")]), Ok("sign".into()));
    }

    #[test]
    fn a_rebound_name_gets_nothing() {
        for host in ["evil.example", "localhost:4711", "127.0.0.1", "127.0.0.1:4712", "[::1]:4711", "127.0.0.1:4711.evil.example"]
        {
            assert_eq!(admit(&Method::GET, &path(""), &[("host", host)]), Err(421), "{host}");
        }
        assert_eq!(admit(&Method::GET, &path(""), &[]), Err(421), "no host");
        assert_eq!(admit(&Method::GET, &path(""), &[HOST, HOST]), Err(421), "two hosts");
    }

    #[test]
    fn another_page_signs_nothing() {
        for origin in ["http://evil.example", "null", "https://127.0.0.1:4711", "http://127.0.0.1:4712", "http://localhost:4711"]
        {
            assert_eq!(admit(&Method::POST, &path("sign"), &[HOST, ("origin", origin)]), Err(403), "{origin}");
            assert_eq!(admit(&Method::GET, &path(""), &[HOST, ("origin", origin)]), Err(403), "{origin}");
        }
        assert_eq!(admit(&Method::POST, &path("sign"), &[HOST]), Err(403), "a form without an origin");
        assert_eq!(admit(&Method::POST, &path("sign"), &[HOST, ORIGIN, ORIGIN]), Err(403), "two origins");
        for site in ["cross-site", "same-site", "none"] {
            assert_eq!(admit(&Method::POST, &path("sign"), &[HOST, ORIGIN, ("sec-fetch-site", site)]), Err(403), "{site}");
        }
        assert_eq!(admit(&Method::GET, &path(""), &[HOST, ("sec-fetch-site", "cross-site")]), Err(403));
    }

    #[test]
    fn without_the_token_there_is_nothing() {
        let other = TOKEN.replace('0', "1");
        for path in [
            "/",
            "",
            "/sign",
            "//sign",
            &format!("/{other}/sign"),
            &format!("/{}/sign", &TOKEN[..31]),
            &format!("/{TOKEN}0/sign"),
        ] {
            assert_eq!(admit(&Method::GET, path, &[HOST]), Err(404), "{path}");
            assert_eq!(admit(&Method::POST, path, &[HOST, ORIGIN]), Err(404), "{path}");
        }
    }
}
