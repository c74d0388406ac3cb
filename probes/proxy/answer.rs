use netsonde_contract::observation::{Exchange, Header, ProxyAnswer, ProxyMethod};

/// Ways to sign in that are kept: proxies offer one to four.
pub(super) const MAX_METHODS: usize = 16;

/// Characters kept of a header and of a realm.
const MAX_CHARS: usize = 200;

/// Words in a proxy's headers, in lower case, and the product that they stand for. The first that fits counts.
const PRODUCTS: [(&str, &str); 24] = [
    ("squid", "Squid"),
    ("tinyproxy", "Tinyproxy"),
    ("privoxy", "Privoxy"),
    ("zscaler", "Zscaler"),
    ("netskope", "Netskope"),
    ("bluecoat", "Blue Coat ProxySG"),
    ("proxysg", "Blue Coat ProxySG"),
    ("mcafee web gateway", "Skyhigh Secure Web Gateway"),
    ("skyhigh", "Skyhigh Secure Web Gateway"),
    ("mwg", "Skyhigh Secure Web Gateway"),
    ("forcepoint", "Forcepoint"),
    ("websense", "Forcepoint"),
    ("ironport", "Cisco Secure Web Appliance"),
    ("cisco-wsa", "Cisco Secure Web Appliance"),
    ("fortiproxy", "FortiProxy"),
    ("fortigate", "FortiGate"),
    ("sophos", "Sophos"),
    ("trafficserver", "Apache Traffic Server"),
    ("haproxy", "HAProxy"),
    ("envoy", "Envoy"),
    ("mitmproxy", "mitmproxy"),
    ("cntlm", "Cntlm"),
    ("nginx", "nginx"),
    ("apache", "Apache httpd"),
];

/// Headers in which proxies name themselves.
const TELLING: [&str; 8] =
    ["via", "proxy-agent", "server", "x-squid-error", "x-cache", "x-cache-lookup", "proxy-authenticate", "x-proxy-product"];

/// What one exchange with the proxy came to.
pub(super) fn of(exchange: &Exchange, asked: String) -> ProxyAnswer {
    ProxyAnswer {
        asked,
        status: exchange.status,
        took_us: exchange.phases.first_byte_us.filter(|_| exchange.status.is_some()),
        via: exchange.header("via").map(short),
        server: exchange.header("server").or_else(|| exchange.header("proxy-agent")).map(short),
        // A body that breaks off says nothing of the proxy's word.
        failure: exchange.failure.clone().filter(|_| exchange.status.is_none()),
    }
}

/// The program, where one of the telling headers names it.
pub(super) fn product(headers: &[Header]) -> Option<String> {
    let telling = headers.iter().filter(|header| TELLING.contains(&header.name.to_ascii_lowercase().as_str()));
    let values: Vec<String> = telling.map(|header| format!("{}: {}", header.name, header.value).to_ascii_lowercase()).collect();
    let (_, product) = PRODUCTS.iter().find(|(word, _)| values.iter().any(|value| value.contains(word)))?;
    Some((*product).to_owned())
}

/// The schemes of Proxy-Authenticate (RFC 9110 section 11.7.1). Several may stand in one header, with their parameters between them:
/// a word without `=` begins the next.
pub(super) fn methods(headers: &[Header]) -> Vec<ProxyMethod> {
    let mut methods: Vec<ProxyMethod> = Vec::new();
    for header in headers.iter().filter(|header| header.name.eq_ignore_ascii_case("proxy-authenticate")) {
        for part in split_at_commas(&header.value) {
            let (first, rest) = part.split_once([' ', '\t']).map_or((part, ""), |(first, rest)| (first, rest.trim()));
            let begins = !first.contains('=') && !first.is_empty();
            if begins && !methods.iter().any(|known| known.name.eq_ignore_ascii_case(first)) {
                methods.push(ProxyMethod { name: short(first), realm: None });
            }
            let parameter = if begins { rest } else { part };
            let realm = parameter.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("realm"));
            if let (Some((_, realm)), Some(method)) = (realm, methods.last_mut()) {
                method.realm = Some(short(realm.trim().trim_matches('"')));
            }
        }
    }
    methods.truncate(MAX_METHODS);
    methods
}

/// The parts between commas that stand in no quotes.
fn split_at_commas(value: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let parts = value.split(move |character| {
        quoted ^= character == '"';
        character == ',' && !quoted
    });
    parts.map(str::trim)
}

fn short(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&str, &str)]) -> Vec<Header> {
        all.iter().map(|(name, value)| Header { name: (*name).into(), value: (*value).into() }).collect()
    }

    #[test]
    fn schemes_are_told_apart_however_they_are_written() {
        let named = |all: &[(&str, &str)]| -> Vec<(String, Option<String>)> {
            methods(&headers(all)).into_iter().map(|method| (method.name, method.realm)).collect()
        };
        let one =
            [("Proxy-Authenticate", "Negotiate, NTLM, Digest realm=\"a, b\", nonce=\"x==\", qop=\"auth\", Basic realm=\"c\"")];
        let expected = [("Negotiate", None), ("NTLM", None), ("Digest", Some("a, b")), ("Basic", Some("c"))];
        assert_eq!(named(&one), expected.map(|(name, realm)| (name.to_owned(), realm.map(str::to_owned))));
        let several = [("proxy-authenticate", "Basic realm=\"x\""), ("proxy-authenticate", "NTLM TlRMTVNTUAAC")];
        assert_eq!(named(&several).len(), 2);
        assert!(named(&[("www-authenticate", "Basic")]).is_empty());
    }

    #[test]
    fn a_product_is_known_by_its_own_headers_only() {
        let product = |all: &[(&str, &str)]| product(&headers(all));
        assert_eq!(product(&[("Via", "1.1 gate (squid/5.7)")]).as_deref(), Some("Squid"));
        assert_eq!(product(&[("X-Squid-Error", "ERR_ACCESS_DENIED 0")]).as_deref(), Some("Squid"));
        assert_eq!(product(&[("Server", "tinyproxy/1.11.1")]).as_deref(), Some("Tinyproxy"));
        assert_eq!(product(&[("content-type", "application/squid")]), None);
    }
}
