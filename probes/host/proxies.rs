use netsonde_contract::observation::{Proxies, ProxySetting};

/// The variables that programs read, and what each is for.
const VARIABLES: [(&str, &str); 3] = [("http", "HTTP_PROXY"), ("https", "HTTPS_PROXY"), ("all", "ALL_PROXY")];

const EXCLUDED: &str = "NO_PROXY";

/// The proxies set in the environment that `variable` reads. Both spellings are kept, the lower-case one first, which most programs
/// prefer: where they differ, programs differ.
pub(super) fn proxies(variable: impl Fn(&str) -> Option<String>) -> Proxies {
    let set = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let settings = VARIABLES.iter().flat_map(|(scheme, name)| {
        let setting =
            |set_by: String| set(&set_by).map(|value| ProxySetting { scheme: (*scheme).into(), url: plain(&value), set_by });
        spellings(name).into_iter().filter_map(setting).collect::<Vec<_>>()
    });
    Proxies {
        settings: settings.collect(),
        excluded: spellings(EXCLUDED).into_iter().find_map(|name| set(&name)),
        of_system: Vec::new(),
        unread: None,
    }
}

/// Windows does not tell the two spellings apart.
fn spellings(name: &str) -> Vec<String> {
    if cfg!(windows) { vec![name.to_owned()] } else { vec![name.to_lowercase(), name.to_owned()] }
}

/// Scheme, host and port of a proxy. Everything up to the last `@` goes: a password may hold any character, and too little is
/// better than a piece of it.
pub(super) fn plain(value: &str) -> String {
    let (scheme, rest) = match value.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) => {
            (Some(scheme), rest)
        }
        _ => (None, value),
    };
    let host = rest.rsplit('@').next().unwrap_or_default();
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    scheme.map_or_else(|| host.to_owned(), |scheme| format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_credentials_are_kept_however_they_are_written() {
        let cases = [
            ("http://proxy.example:3128", "http://proxy.example:3128"),
            ("http://canary:canary@proxy.example:3128/", "http://proxy.example:3128"),
            ("http://canary:ca/na?r#y@proxy.example:3128", "http://proxy.example:3128"),
            ("http://canary:c@nary@[2001:db8::1]:3128", "http://[2001:db8::1]:3128"),
            ("canary:canary://canary@proxy.example:3128", "proxy.example:3128"),
            ("canary:canary@proxy.example:3128", "proxy.example:3128"),
            ("socks5h://proxy.example/?token=canary", "socks5h://proxy.example"),
        ];
        for (given, kept) in cases {
            assert_eq!(plain(given), kept);
        }
    }

    #[test]
    #[cfg(not(windows))]
    fn both_spellings_are_kept_where_they_differ() {
        let found = proxies(|name| match name {
            "https_proxy" => Some("http://a:1".into()),
            "HTTPS_PROXY" => Some("http://b:2".into()),
            "http_proxy" => Some("  ".into()),
            "NO_PROXY" => Some("localhost,.lab".into()),
            _ => None,
        });
        let short: Vec<_> = found.settings.iter().map(|s| (s.scheme.as_str(), s.url.as_str(), s.set_by.as_str())).collect();
        assert_eq!(short, [("https", "http://a:1", "https_proxy"), ("https", "http://b:2", "HTTPS_PROXY")]);
        assert_eq!(found.excluded.as_deref(), Some("localhost,.lab"));
    }
}
