use crate::context::{NotMeasurable, ProxyChoice};
use http::header::HeaderValue;
use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

/// RFC 9110 section 4.2.1: the port of `http` where none is given.
const DEFAULT_PORT: u16 = 80;

/// An HTTP proxy.
#[derive(Clone)]
pub(super) struct Proxy {
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// As it is recorded: without credentials.
    pub(super) shown: String,
    /// For Proxy-Authorization only; never recorded.
    pub(super) authorization: Option<HeaderValue>,
}

/// The proxy that `url` is asked through; none for the direct way.
///
/// # Errors
/// Where the chosen proxy is of a kind that cannot be used. The words leave out its text, which may hold a password.
pub(super) fn choose(choice: &ProxyChoice, url: &Url) -> Result<Option<Proxy>, NotMeasurable> {
    let matcher = match choice {
        ProxyChoice::None => return Ok(None),
        ProxyChoice::Environment => Matcher::from_env(),
        ProxyChoice::Url(text) => Matcher::builder().all(text.as_str()).build(),
    };
    let found = through(&matcher, url)?;
    match choice {
        ProxyChoice::Url(_) if found.is_none() => {
            Err(NotMeasurable::new("the proxy cannot be read: write it as http://host:port"))
        }
        _ => Ok(found),
    }
}

fn through(matcher: &Matcher, url: &Url) -> Result<Option<Proxy>, NotMeasurable> {
    let Ok(uri) = url.as_str().parse::<http::Uri>() else { return Ok(None) };
    let Some(intercept) = matcher.intercept(&uri) else { return Ok(None) };
    let scheme = intercept.uri().scheme_str().unwrap_or("http");
    if scheme != "http" {
        return Err(NotMeasurable::new(format!(
            "the proxy for {} is a {scheme} proxy; only http:// proxies can be used",
            url.scheme()
        )));
    }
    let host = intercept.uri().host().unwrap_or_default();
    let port = intercept.uri().port_u16().unwrap_or(DEFAULT_PORT);
    Ok(Some(Proxy {
        host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        port,
        shown: format!("http://{host}:{port}"),
        authorization: intercept.basic_auth().cloned(),
    }))
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
        let proxy = choose(&choice, &url("http://a.test/")).unwrap().unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("2001:db8::1", 3128));
        assert_eq!(proxy.shown, "http://[2001:db8::1]:3128");
        assert_eq!(proxy.authorization.unwrap(), "Basic dXNlcjpzZWNyZXQ=");
    }

    #[test]
    fn a_proxy_of_another_kind_is_refused_without_its_password() {
        for text in ["socks5://user:secret@p.test", "https://user:secret@p.test", "gopher://user:secret@p.test", "::"] {
            let Err(error) = choose(&ProxyChoice::Url(text.into()), &url("http://a.test/")) else { panic!("{text}") };
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
