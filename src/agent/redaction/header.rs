use super::Redactor;
use netsonde_contract::observation::Header;

/// How much of a header's value is kept.
#[derive(Clone, Copy)]
enum Keep {
    /// Digits alone.
    Number,
    /// A date (RFC 9110 section 5.6.7) or digits.
    Date,
    /// The type and its character set.
    MediaType,
    /// Words of this list, and numbers assigned to them, as in `max-age=60`.
    Words(&'static [&'static str]),
    /// The products of a banner, without what names the machine.
    Product,
    /// The protocols and products on the way, without the machines' names.
    Via,
    /// The names of metrics and their durations.
    Timing,
    /// The schemes that a server offers.
    Challenge,
    Url,
    /// An id that the server's operator finds the request by in their own logs. It names a request, not a person.
    Correlation,
}

/// The headers whose values tell something about the way or the server. Of every other header only the name is kept: nobody knows
/// what its value is.
const KEPT: [(&str, Keep); 48] = [
    ("accept-ranges", Keep::Words(&["bytes", "none"])),
    ("age", Keep::Number),
    ("allow", Keep::Words(METHODS)),
    ("alt-svc", Keep::Words(&["h2", "h3", "h3-29", "ma", "persist", "clear"])),
    ("cache-control", Keep::Words(CACHING)),
    ("cache-status", Keep::Words(CACHED)),
    ("cdn-cache-control", Keep::Words(CACHING)),
    ("cf-cache-status", Keep::Words(CACHED)),
    ("cf-ray", Keep::Correlation),
    ("connection", Keep::Words(&["close", "keep-alive", "upgrade"])),
    ("content-encoding", Keep::Words(CODINGS)),
    ("content-length", Keep::Number),
    ("content-location", Keep::Url),
    ("content-type", Keep::MediaType),
    ("date", Keep::Date),
    ("expires", Keep::Date),
    ("keep-alive", Keep::Words(&["timeout", "max"])),
    ("last-modified", Keep::Date),
    ("location", Keep::Url),
    ("pragma", Keep::Words(CACHING)),
    ("proxy-authenticate", Keep::Challenge),
    ("proxy-connection", Keep::Words(&["close", "keep-alive"])),
    ("ratelimit-limit", Keep::Number),
    ("ratelimit-remaining", Keep::Number),
    ("ratelimit-reset", Keep::Number),
    ("request-id", Keep::Correlation),
    ("retry-after", Keep::Date),
    ("server", Keep::Product),
    ("server-timing", Keep::Timing),
    ("strict-transport-security", Keep::Words(&["max-age", "includesubdomains", "preload"])),
    ("traceparent", Keep::Correlation),
    ("transfer-encoding", Keep::Words(CODINGS)),
    ("upgrade", Keep::Words(&["h2c", "websocket", "tls/1.2", "tls/1.3"])),
    ("via", Keep::Via),
    ("www-authenticate", Keep::Challenge),
    ("x-amz-cf-id", Keep::Correlation),
    ("x-amz-request-id", Keep::Correlation),
    ("x-amzn-requestid", Keep::Correlation),
    ("x-azure-ref", Keep::Correlation),
    ("x-cache", Keep::Words(CACHED)),
    ("x-cache-status", Keep::Words(CACHED)),
    ("x-content-type-options", Keep::Words(&["nosniff"])),
    ("x-correlation-id", Keep::Correlation),
    ("x-fastly-request-id", Keep::Correlation),
    ("x-ms-request-id", Keep::Correlation),
    ("x-powered-by", Keep::Product),
    ("x-request-id", Keep::Correlation),
    ("x-trace-id", Keep::Correlation),
];

const METHODS: &[&str] = &["get", "head", "post", "put", "delete", "patch", "options", "trace", "connect"];
const CODINGS: &[&str] = &["chunked", "gzip", "x-gzip", "br", "zstd", "deflate", "compress", "identity"];
/// Directives (RFC 9111 section 5.2.2 and those registered later).
const CACHING: &[&str] = &[
    "max-age",
    "s-maxage",
    "no-cache",
    "no-store",
    "no-transform",
    "must-revalidate",
    "must-understand",
    "proxy-revalidate",
    "public",
    "private",
    "immutable",
    "stale-while-revalidate",
    "stale-if-error",
];
/// What caches say of a request.
const CACHED: &[&str] = &[
    "hit",
    "miss",
    "expired",
    "stale",
    "bypass",
    "dynamic",
    "revalidated",
    "updating",
    "error",
    "pass",
    "tcp_hit",
    "tcp_miss",
    "tcp_mem_hit",
    "tcp_refresh_hit",
    "refreshhit",
    "fwd",
    "uri-miss",
    "ttl",
    "stored",
];
/// Products on the way that name no machine.
const INTERMEDIARIES: [&str; 14] = [
    "varnish",
    "google",
    "vegur",
    "squid",
    "cloudflare",
    "cloudfront",
    "akamai",
    "haproxy",
    "envoy",
    "traefik",
    "kong",
    "nginx",
    "zscaler",
    "bluecoat",
];
const SCHEMES: [&str; 7] = ["basic", "digest", "negotiate", "ntlm", "bearer", "kerberos", "hoba"];
const MEDIA_FAMILIES: [&str; 8] = ["text", "application", "image", "audio", "video", "font", "multipart", "message"];
/// Real correlation ids are neither shorter nor longer.
const CORRELATION_BYTES: std::ops::RangeInclusive<usize> = 8..=128;

impl Redactor<'_> {
    pub(super) fn header(&mut self, header: &Header) -> Header {
        let name = header.name.to_ascii_lowercase();
        let keep = KEPT.iter().find(|(known, _)| *known == name).map(|(_, keep)| *keep);
        let value = header.value.trim();
        let kept = match keep {
            None => None,
            Some(Keep::Url) => Some(self.url(value)),
            Some(Keep::Product) => self.product(value),
            Some(Keep::Number) => is_number(value).then(|| value.to_owned()),
            Some(Keep::Date) => (is_number(value) || is_date(value)).then(|| value.to_owned()),
            Some(Keep::MediaType) => media_type(value),
            Some(Keep::Words(known)) => list(value, known),
            Some(Keep::Via) => via(value),
            Some(Keep::Timing) => self.timing(value),
            Some(Keep::Challenge) => challenge(value),
            Some(Keep::Correlation) => is_correlation(value).then(|| value.to_owned()),
        };
        let lost = match (keep, &kept) {
            // What a URL lost is counted where it is taken out.
            (Some(Keep::Url), _) => false,
            (_, Some(kept)) => letters(kept) < letters(value),
            (_, None) => !value.is_empty(),
        };
        if lost {
            self.count("header_value");
        }
        let value = if value.is_empty() { String::new() } else { kept.unwrap_or_else(|| "[redacted]".to_owned()) };
        Header { name: self.word(&header.name), value }
    }

    /// The products of a banner (RFC 9110 section 10.2.4), without comments and what names the machine.
    fn product(&mut self, value: &str) -> Option<String> {
        let plain = without_comments(value);
        let words = plain.split_whitespace().enumerate();
        let products = words.filter(|(place, word)| is_product(word, *place == 0)).map(|(_, word)| self.word(word));
        joined(products, " ")
    }

    fn timing(&mut self, value: &str) -> Option<String> {
        let metric = |metric: &str| {
            let mut parts = metric.split(';').map(str::trim);
            let name = parts.next().filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)))?;
            let duration = parts.find_map(|part| part.strip_prefix("dur="))?.parse::<f64>().ok()?;
            Some(format!("{};dur={duration}", self.word(name)))
        };
        joined(value.split(',').filter_map(metric), ", ")
    }
}

/// What a value says, without the signs between.
fn letters(value: &str) -> usize {
    value.replace("[redacted]", "").chars().filter(|c| c.is_alphanumeric()).count()
}

fn joined(parts: impl Iterator<Item = String>, separator: &str) -> Option<String> {
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| parts.join(separator))
}

pub(super) fn is_number(value: &str) -> bool {
    const MAX_DIGITS: usize = 11;
    (1..=MAX_DIGITS).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_date(value: &str) -> bool {
    jiff::fmt::rfc2822::parse(value).is_ok()
}

fn media_type(value: &str) -> Option<String> {
    let mut parts = value.split(';').map(str::trim);
    let kind = parts.next()?;
    let (family, subtype) = kind.split_once('/')?;
    let plain = |text: &str, more: &[u8]| text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b));
    if !MEDIA_FAMILIES.contains(&family.to_ascii_lowercase().as_str()) || !plain(subtype, b"-+.") {
        return None;
    }
    let charset = parts.find(|part| {
        let set = part.to_ascii_lowercase();
        set.strip_prefix("charset=").is_some_and(|set| {
            ["utf-", "iso-8859-", "windows-", "us-ascii"].iter().any(|known| set.starts_with(known) && plain(set, b"-"))
        })
    });
    Some(charset.map_or(kind.to_owned(), |charset| format!("{kind}; {charset}")))
}

/// The known words of a list, each with the number that is assigned to it.
fn list(value: &str, known: &[&str]) -> Option<String> {
    let word = |part: &str| {
        let (name, number) = part.split_once('=').map_or((part, None), |(name, number)| (name, Some(number)));
        let number = number.map(|number| number.trim_matches('"'));
        let fits = known.contains(&name.to_ascii_lowercase().as_str());
        let number = number.filter(|number| is_number(number.strip_prefix(':').unwrap_or(number)));
        fits.then(|| number.map_or(name.to_owned(), |number| format!("{name}={number}")))
    };
    let parts = value.split([',', ';', ' ']).filter(|part| !part.is_empty());
    joined(parts.filter_map(word), ", ")
}

/// Each hop's protocol (RFC 9110 section 7.6.3), and its product where it is a known one.
fn via(value: &str) -> Option<String> {
    let hop = |hop: &str| {
        let hop = hop.trim();
        let protocol = hop.split(' ').next().unwrap_or_default();
        let version = protocol.rsplit('/').next().unwrap_or_default();
        let is_version = !version.is_empty() && version.len() <= 3 && version.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let lower = hop.to_ascii_lowercase();
        let product = INTERMEDIARIES.iter().find(|product| lower.contains(**product)).copied().unwrap_or("[redacted]");
        is_version.then(|| format!("{version} {product}"))
    };
    joined(value.split(',').filter_map(hop), ", ")
}

/// The schemes of a challenge (RFC 9110 section 11.6.1) without their parameters.
fn challenge(value: &str) -> Option<String> {
    let words = value.split([' ', ',']);
    joined(words.filter(|word| SCHEMES.contains(&word.to_ascii_lowercase().as_str())).map(str::to_owned), ", ")
}

fn without_comments(value: &str) -> String {
    let mut depth = 0_u32;
    let mut plain = String::new();
    for character in value.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            other if depth == 0 => plain.push(other),
            _ => {}
        }
    }
    plain
}

/// `name/version`; the first one may come without its version. A name with dots is a machine's.
fn is_product(word: &str, is_first: bool) -> bool {
    let (name, version) = word.split_once('/').map_or((word, None), |(name, version)| (name, Some(version)));
    let plain = |text: &str, more: &[u8]| text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b));
    !name.is_empty() && plain(name, b"-_") && version.map_or(is_first, |version| plain(version, b"-_.+~"))
}

fn is_correlation(value: &str) -> bool {
    let digits = value.bytes().any(|byte| byte.is_ascii_digit());
    let plain = value.trim_end_matches('=').bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./+|".contains(&b));
    CORRELATION_BYTES.contains(&value.len()) && digits && plain
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::redaction::tests::redactor;

    /// Every header that is not dropped whole.
    pub(in crate::redaction) fn kept_names() -> impl Iterator<Item = &'static str> {
        KEPT.iter().map(|(name, _)| *name)
    }

    #[test]
    fn headers_keep_what_diagnoses_and_lose_what_opens_doors() {
        let cases = [
            ("Set-Cookie", "sid=1", "[redacted]"),
            ("Authorization", "Basic x", "[redacted]"),
            ("X-Api-Key", "k", "[redacted]"),
            ("X-Of-Tomorrow", "hunter2", "[redacted]"),
            ("Link", "</next?page=hunter2>; rel=\"next\"", "[redacted]"),
            ("ETag", "\"33a64df551425fcc55e4d42a148795d9\"", "[redacted]"),
            ("Proxy-Authenticate", "Negotiate, Basic realm=\"corp.example\"", "Negotiate, Basic"),
            ("WWW-Authenticate", "Weird thing", "[redacted]"),
            ("Location", "https://x.example/?t=1", "https://x.example/?[redacted]"),
            ("Location", "/cb?code=x&state=hunterI", "/cb?[redacted]"),
            ("Server", "Apache/2.4.57 (Debian) at web01.corp.example", "Apache/2.4.57"),
            ("Server", "web01.corp.example", "[redacted]"),
            ("Via", "1.1 proxy01.corp.example (squid/5.7), 1.1 gate7", "1.1 squid, 1.1 [redacted]"),
            ("Content-Type", "text/html; charset=utf-8", "text/html; charset=utf-8"),
            ("Content-Type", "multipart/form-data; boundary=hunter2", "multipart/form-data"),
            ("Content-Length", "612", "612"),
            ("Date", "Sat, 21 Nov 2026 21:31:26 GMT", "Sat, 21 Nov 2026 21:31:26 GMT"),
            ("Retry-After", "120", "120"),
            ("Cache-Control", "max-age=60, private, community=\"hunter2\"", "max-age=60, private"),
            ("Strict-Transport-Security", "max-age=31536000; includeSubDomains", "max-age=31536000, includeSubDomains"),
            ("Alt-Svc", "h3=\":443\"; ma=86400", "h3=:443, ma=86400"),
            ("X-Cache", "HIT from cache7.corp.example", "HIT"),
            ("Server-Timing", "db;desc=\"hunter2\";dur=53.2, hunter3", "db;dur=53.2"),
            ("X-Request-Id", "0f8fad5b-d9cb-469f-a165-70867728950e", "0f8fad5b-d9cb-469f-a165-70867728950e"),
            ("X-Request-Id", "user=hunter2", "[redacted]"),
        ];
        for (name, given, expected) in cases {
            let mut redactor = redactor();
            let header = redactor.header(&Header { name: name.into(), value: given.into() });
            assert_eq!(header.value, expected, "{name}");
            assert_eq!(header.name, name);
            let counted = redactor.removed.contains_key("header_value");
            assert!(counted || expected != "[redacted]", "{name}: {given}");
            assert!(!counted || expected != given, "{name}: {given}");
        }
    }
}
