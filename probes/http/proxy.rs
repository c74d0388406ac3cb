use crate::context::{NotMeasurable, ProxyChoice};
use http::header::HeaderValue;
use hyper_util::client::proxy::matcher::Matcher;
use netsonde_contract::observation::{ProxyProtocol, ProxyReason};
use netsonde_contract::set::ProxyAddress;
use netsonde_contract::target::bracketed;
use url::Url;

/// A proxy.
#[derive(Clone)]
pub(crate) struct Proxy {
    /// A name, or an address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) protocol: ProxyProtocol,
    /// As it is recorded: without credentials.
    pub(crate) shown: String,
    /// For Proxy-Authorization only; never recorded.
    pub(super) authorization: Option<HeaderValue>,
    /// User name and password for a SOCKS proxy; never recorded.
    pub(super) sign_in: Option<(String, String)>,
}

impl Proxy {
    /// A user name and password stand in the setting.
    pub(crate) fn has_sign_in(&self) -> bool {
        self.authorization.is_some() || self.sign_in.is_some()
    }

    /// The same without them.
    pub(crate) fn without_sign_in(&self) -> Self {
        Self { authorization: None, sign_in: None, ..self.clone() }
    }
}

/// The way to a URL, and why it is that one.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) proxy: Option<Proxy>,
    pub(crate) reason: ProxyReason,
}

const PROTOCOLS: [ProxyProtocol; 6] = [
    ProxyProtocol::Http,
    ProxyProtocol::Https,
    ProxyProtocol::Socks4,
    ProxyProtocol::Socks4a,
    ProxyProtocol::Socks5,
    ProxyProtocol::Socks5h,
];

/// The way that `url` is asked.
///
/// # Errors
/// Where the chosen proxy is of a kind that cannot be used. The words leave out its text, which may hold a password.
pub(crate) fn choose(choice: &ProxyChoice, url: &Url) -> Result<Route, NotMeasurable> {
    let Some(matcher) = matcher(choice) else { return Ok(Route { proxy: None, reason: ProxyReason::Declined }) };
    let proxy = through(&matcher, url)?;
    let reason = match (choice, &proxy) {
        (ProxyChoice::Url(_), None) => {
            return Err(NotMeasurable::new(
                "the proxy cannot be read: write it as http://host:port, https://host:port, socks5h://host:port or socks4a://host:port",
            ));
        }
        (ProxyChoice::Url(_), Some(_)) => ProxyReason::Given,
        (_, Some(_)) => ProxyReason::Environment,
        (_, None) if proxy_variables().next().is_some() => ProxyReason::Excepted,
        (_, None) => ProxyReason::NoneSet,
    };
    Ok(Route { proxy, reason })
}

/// The other way to `url` than `route`: directly, or through the proxy that the environment names although it excepts this host.
///
/// # Errors
/// Where there is no proxy to compare with.
pub(super) fn other(choice: &ProxyChoice, url: &Url, route: &Route) -> Result<Route, NotMeasurable> {
    let reason = ProxyReason::Comparison;
    if route.proxy.is_some() {
        return Ok(Route { proxy: None, reason });
    }
    let named = proxy_variables().next().filter(|_| *choice == ProxyChoice::Environment);
    let proxy = match named {
        Some(named) => through(&Matcher::builder().all(named).build(), url)?,
        None => None,
    };
    let none = || {
        NotMeasurable::with_grant("there is no proxy to compare the direct way with", "run again with --proxy http://host:port")
    };
    Ok(Route { proxy: Some(proxy.ok_or_else(none)?), reason })
}

/// The proxies that the environment names.
fn proxy_variables() -> impl Iterator<Item = String> {
    let names = ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
    names.into_iter().filter_map(|name| std::env::var(name).ok()).filter(|value| !value.trim().is_empty())
}

/// Where the proxy is that an http check of `url` uses, whether or not it is of a kind that can be used; none for the direct way, or
/// where `url` is none. A plan is made with it.
pub fn proxy_of(choice: &ProxyChoice, url: &str) -> Option<ProxyAddress> {
    let intercept = matcher(choice)?.intercept(&url.parse().ok()?)?;
    let (host, port) = place(intercept.uri());
    Some(ProxyAddress { host, port })
}

/// The same as `scheme://host:port`, for whoever has to name it: without credentials.
pub fn proxy_url_of(choice: &ProxyChoice, url: &str) -> Option<String> {
    let intercept = matcher(choice)?.intercept(&url.parse().ok()?)?;
    let (host, port) = place(intercept.uri());
    Some(format!("{}://{}:{port}", intercept.uri().scheme_str().unwrap_or("http"), bracketed(&host)))
}

fn matcher(choice: &ProxyChoice) -> Option<Matcher> {
    match choice {
        ProxyChoice::None => None,
        ProxyChoice::Environment => Some(Matcher::from_env()),
        ProxyChoice::Url(text) => Some(Matcher::builder().all(text.as_str()).build()),
    }
}

fn through(matcher: &Matcher, url: &Url) -> Result<Option<Proxy>, NotMeasurable> {
    let Ok(uri) = url.as_str().parse::<http::Uri>() else { return Ok(None) };
    let Some(intercept) = matcher.intercept(&uri) else { return Ok(None) };
    let scheme = intercept.uri().scheme_str().unwrap_or("http");
    let Some(protocol) = PROTOCOLS.into_iter().find(|protocol| protocol.scheme() == scheme) else {
        return Err(NotMeasurable::new(format!("the proxy for {} is a {scheme} proxy, which is not spoken", url.scheme())));
    };
    let (host, port) = place(intercept.uri());
    let shown = format!("{scheme}://{}:{port}", bracketed(&host));
    let authorization = intercept.basic_auth().cloned();
    let sign_in = intercept.raw_auth().map(|(user, password)| (user.to_owned(), password.to_owned()));
    Ok(Some(Proxy { host, port, protocol, shown, authorization, sign_in }))
}

/// The proxy's host, without brackets, and its port: where none is given, the scheme's (RFC 9110 sections 4.2.1 and 4.2.2; 1080 is
/// registered for SOCKS).
fn place(uri: &http::Uri) -> (String, u16) {
    let default = match uri.scheme_str() {
        Some("https") => 443,
        Some(socks) if socks.starts_with("socks") => 1080,
        _ => 80,
    };
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    (host.to_owned(), uri.port_u16().unwrap_or(default))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn each_scheme_has_its_proxy_and_exceptions_have_none() {
        let matcher = Matcher::builder().http("http://web.test:3128").https("tls.test").no("inner.test, 192.0.2.0/24").build();
        let shown = |text: &str| through(&matcher, &url(text)).unwrap().map(|proxy| proxy.shown);
        assert_eq!(shown("http://a.test/").as_deref(), Some("http://web.test:3128"));
        assert_eq!(shown("https://a.test/").as_deref(), Some("http://tls.test:80"));
        assert_eq!(shown("https://x.inner.test/"), None);
        assert_eq!(shown("http://192.0.2.7/"), None);
    }

    #[test]
    fn credentials_are_kept_apart_from_what_is_shown() {
        let choice = ProxyChoice::Url("http://user:secret@[2001:db8::1]:3128".into());
        let proxy = choose(&choice, &url("http://a.test/")).unwrap().proxy.unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("2001:db8::1", 3128));
        assert_eq!(proxy.shown, "http://[2001:db8::1]:3128");
        assert_eq!(proxy.authorization.unwrap(), "Basic dXNlcjpzZWNyZXQ=");
    }

    #[test]
    fn a_plan_is_told_where_the_proxy_is_and_nothing_secret() {
        let of = |choice: &str| {
            let choice = if choice.is_empty() { ProxyChoice::None } else { ProxyChoice::Url(choice.into()) };
            proxy_of(&choice, "https://a.test/?x=1").map(|proxy| (proxy.host, proxy.port))
        };
        assert_eq!(of("http://user:secret@p.test:3128"), Some(("p.test".into(), 3128)));
        assert_eq!(of("http://[2001:db8::1]"), Some(("2001:db8::1".into(), 80)));
        assert_eq!(of("socks5://user:secret@p.test"), Some(("p.test".into(), 1080)));
        assert_eq!(of(""), None);
    }

    #[test]
    fn the_other_way_is_the_direct_one_and_without_a_proxy_there_is_none() {
        let (choice, url) = (ProxyChoice::Url("http://p.test:3128".into()), url("http://a.test/"));
        let route = choose(&choice, &url).unwrap();
        assert_eq!(route.reason, ProxyReason::Given);
        assert!(other(&choice, &url, &route).unwrap().proxy.is_none());
        let direct = choose(&ProxyChoice::None, &url).unwrap();
        assert!(other(&ProxyChoice::None, &url, &direct).is_err_and(|error| error.0.grant.is_some()));
    }

    #[test]
    fn every_kind_of_proxy_that_is_spoken_keeps_its_sign_in_to_itself() {
        for (text, shown, protocol) in [
            ("socks5://user:secret@p.test", "socks5://p.test:1080", ProxyProtocol::Socks5),
            ("socks5h://user:secret@p.test:99", "socks5h://p.test:99", ProxyProtocol::Socks5h),
            ("socks4a://user@p.test", "socks4a://p.test:1080", ProxyProtocol::Socks4a),
            ("https://user:secret@p.test", "https://p.test:443", ProxyProtocol::Https),
        ] {
            let proxy = choose(&ProxyChoice::Url(text.into()), &url("http://a.test/")).unwrap().proxy.unwrap();
            assert_eq!((proxy.shown.as_str(), proxy.protocol), (shown, protocol));
            assert!(proxy.has_sign_in() && !proxy.without_sign_in().has_sign_in(), "{text}");
        }
    }

    #[test]
    fn a_proxy_of_another_kind_is_refused_without_its_password() {
        for text in ["socks9://user:secret@p.test", "gopher://user:secret@p.test", "::"] {
            let Err(error) = choose(&ProxyChoice::Url(text.into()), &url("http://a.test/")) else { panic!("{text}") };
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
