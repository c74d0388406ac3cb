use crate::harmless::{clean, is_clean};
use crate::internationalized::{readable, to_ascii};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// What a run is aimed at, as a person writes it: `https://shop.example/pay`, `db.example:5432`, `192.0.2.1`, `[2001:db8::1]:443`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// As given.
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// A host name in ASCII lower case without a final dot, or an address without brackets; a link-local one may have its zone, as in
    /// `fe80::1%eth0`.
    pub host: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Path and query of a URL, beginning with `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// What a set needs of its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetForm {
    /// A host; port and scheme may be there.
    Host,
    /// A host and a port; a scheme gives its own.
    Endpoint,
    /// A URL; a bare host is taken as `https://host/`, with port 80 or scheme `http` as `http`.
    Url,
}

impl TargetForm {
    pub const ALL: [(&'static str, Self); 3] = [("host", Self::Host), ("endpoint", Self::Endpoint), ("url", Self::Url)];
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a target: {reason}; write it as {expected}")]
pub struct TargetError {
    pub text: String,
    pub reason: &'static str,
    pub expected: &'static str,
}

/// Longer than any host name (253) with any sensible path; keeps a pasted page out.
const MAX_TARGET_BYTES: usize = 2048;

impl Target {
    /// # Errors
    /// Where the text has no host, an impossible name, port or address, a scheme other than `http` and `https`, or credentials.
    pub fn parse(text: &str, form: TargetForm) -> Result<Self, TargetError> {
        let expected = match form {
            TargetForm::Host => "a host name or address, such as db.example or 192.0.2.1",
            TargetForm::Endpoint => "host:port, such as db.example:5432 or [2001:db8::1]:443",
            TargetForm::Url => "a URL or a host, such as https://shop.example/pay",
        };
        let shown = || clean(&without_secrets(text).chars().take(120).collect::<String>()).into_owned();
        let fail = |reason| TargetError { text: shown(), reason, expected };
        if text.len() > MAX_TARGET_BYTES {
            return Err(fail("it is longer than 2048 bytes"));
        }
        if text.chars().any(char::is_whitespace) {
            return Err(fail("it contains white space"));
        }
        if !is_clean(text) {
            return Err(fail("it contains characters that cannot be seen"));
        }
        let (scheme, rest) = split_scheme(text).map_err(fail)?;
        let (authority, path) = match rest.find(['/', '?', '#']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(fail("it carries a user name or password, which netsonde neither needs nor keeps"));
        }
        let (host, port) = split_port(authority).map_err(fail)?;
        let host = normal_host(host).map_err(fail)?;
        if scheme.is_none() && !path.is_empty() && form != TargetForm::Url {
            return Err(fail("it has a path but no scheme"));
        }
        let mut target = Self { text: text.to_owned(), scheme, host, port, path: None };
        if form == TargetForm::Url {
            target.scheme.get_or_insert(if port == Some(80) { Scheme::Http } else { Scheme::Https });
        }
        if target.scheme.is_some() {
            let path = path.split('#').next().unwrap_or("");
            target.path = Some(if path.starts_with('/') { path.to_owned() } else { format!("/{path}") });
            target.port = target.port.or(target.scheme.map(Scheme::default_port));
        }
        if form == TargetForm::Endpoint && target.port.is_none() {
            return Err(fail("it names no port"));
        }
        Ok(target)
    }

    /// The host where it is an address, without its zone.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.split('%').next()?.parse().ok()
    }

    /// As [`fmt::Display`] has it, and the host as people write it where that is another form.
    pub fn shown(&self) -> String {
        match readable(&self.host) {
            Some(readable) => format!("{self} ({readable})"),
            None => self.to_string(),
        }
    }

    /// The target as a URL, where it has a scheme.
    pub fn url(&self) -> Option<String> {
        let scheme = self.scheme?;
        let port = self.port.filter(|port| *port != scheme.default_port()).map_or(String::new(), |port| format!(":{port}"));
        let path = self.path.as_deref().unwrap_or("/");
        Some(format!("{}://{}{port}{path}", scheme.as_str(), bracketed(&self.host).replace('%', "%25")))
    }
}

/// What may be a user name, a password or a token, as a dot each: all up to the last `@`, and what follows a `?` or `#`.
fn without_secrets(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (&text[..scheme.len() + 3], rest));
    let (user, rest) = rest.rsplit_once('@').map_or(("", rest), |(_, rest)| ("…@", rest));
    match rest.find(['?', '#']) {
        Some(at) => format!("{scheme}{user}{}…", &rest[..=at]),
        None => format!("{scheme}{user}{rest}"),
    }
}

/// Shown as the shortest form that says it all: URL, `host:port`, or host.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.url(), self.port) {
            (Some(url), _) => f.write_str(&url),
            (None, Some(port)) => write!(f, "{}:{port}", bracketed(&self.host)),
            (None, None) => f.write_str(&self.host),
        }
    }
}

/// An IPv6 address in the brackets that a port or a URL wants; anything else as it is.
pub fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn split_scheme(text: &str) -> Result<(Option<Scheme>, &str), &'static str> {
    match text.split_once("://") {
        None => Ok((None, text)),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => Ok((Some(Scheme::Http), rest)),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => Ok((Some(Scheme::Https), rest)),
        Some(_) => Err("its scheme is neither http nor https"),
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("its bracket is not closed")?;
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return Err("something other than a port follows the bracket"),
        }
    } else if authority.matches(':').count() > 1 {
        (authority, None)
    } else {
        authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)))
    };
    let port = match port {
        None => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => match digits.parse() {
            Ok(0) | Err(_) => return Err("its port is not between 1 and 65535"),
            Ok(port) => Some(port),
        },
        Some(_) => return Err("its port is not a number"),
    };
    Ok((host, port))
}

/// The system would not know where to send.
const NO_LINK: &str = "it is link-local and names no link: the interface stands behind it, as in fe80::1%eth0";

/// Turns a name beyond ASCII into the form that the network carries, and checks a host name (RFC 1123 section 2.1, with underscores as service names have them) or an address.
fn normal_host(host: &str) -> Result<String, &'static str> {
    if host.is_empty() {
        return Err("it names no host");
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        let is_on_a_link = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        return if is_on_a_link { Err(NO_LINK) } else { Ok(address.to_string()) };
    }
    if let Some((address, zone)) = host.split_once('%').filter(|(address, _)| address.contains(':')) {
        return with_zone(address, zone);
    }
    if host.contains(':') {
        return Err("it is not a valid IPv6 address");
    }
    let name = to_ascii(host)?;
    let name = name.strip_suffix('.').unwrap_or(&name);
    if name.len() > 253 {
        return Err("its host name is longer than 253 characters");
    }
    if is_numeric(name) {
        return Err("it is not a valid IPv4 address: write all four numbers, as in 192.0.2.1");
    }
    let label_fits = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if !name.split('.').all(label_fits) {
        return Err("its host name has an impossible label");
    }
    Ok(name.to_owned())
}

/// A link-local address with the link that it is on (RFC 4007 section 11): the interface's name or number. In a URL the sign between them
/// is written `%25` (RFC 6874 section 2), which is taken everywhere.
fn with_zone(address: &str, zone: &str) -> Result<String, &'static str> {
    /// Linux' names of interfaces have fewer bytes (IFNAMSIZ), those of Windows are numbers.
    const MAX_ZONE_BYTES: usize = 15;
    let Ok(address) = address.parse::<Ipv6Addr>() else { return Err("it is not a valid IPv6 address") };
    if !address.is_unicast_link_local() {
        return Err("it names a link, such as %eth0, which only link-local addresses (fe80::…) have");
    }
    let zone = zone.strip_prefix("25").filter(|rest| !rest.is_empty()).unwrap_or(zone);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if zone.is_empty() || zone.len() > MAX_ZONE_BYTES || !zone.bytes().all(fits) {
        return Err("what follows its % is no interface, such as eth0");
    }
    Ok(format!("{address}%{zone}"))
}

/// The last label is a number, decimal or hexadecimal: browsers and resolvers read such a host as an IPv4 address (WHATWG URL,
/// "ends in a number checker"), each in its own way.
fn is_numeric(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let is_hexadecimal = hexadecimal.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    is_hexadecimal || (!last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_writing_a_target_is_understood() {
        let cases = [
            ("https://Shop.Example/pay?x=1", TargetForm::Url, "https://shop.example/pay?x=1"),
            ("shop.example", TargetForm::Url, "https://shop.example/"),
            ("shop.example:80", TargetForm::Url, "http://shop.example/"),
            ("http://[::1]:8080", TargetForm::Url, "http://[::1]:8080/"),
            ("db.example:5432", TargetForm::Endpoint, "db.example:5432"),
            ("[2001:DB8::1]:443", TargetForm::Endpoint, "[2001:db8::1]:443"),
            ("2001:db8::1", TargetForm::Host, "2001:db8::1"),
            ("db.example.", TargetForm::Host, "db.example"),
            ("http://bücher.example/straße", TargetForm::Url, "http://xn--bcher-kva.example/straße"),
            ("Bücher.example.:53", TargetForm::Endpoint, "xn--bcher-kva.example:53"),
            ("fe80::1%eth0", TargetForm::Host, "fe80::1%eth0"),
            ("[FE80::1%25eth0.7]:443", TargetForm::Endpoint, "[fe80::1%eth0.7]:443"),
            ("http://[fe80::1%2]:8080/", TargetForm::Url, "http://[fe80::1%252]:8080/"),
        ];
        for (text, form, shown) in cases {
            assert_eq!(Target::parse(text, form).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn a_name_beyond_ascii_is_shown_in_both_forms() {
        let target = Target::parse("bücher.example", TargetForm::Host).unwrap();
        assert_eq!(target.shown(), "xn--bcher-kva.example (bücher.example)");
        assert_eq!(Target::parse("db.example", TargetForm::Host).unwrap().shown(), "db.example");
    }

    #[test]
    fn a_target_that_is_refused_is_repeated_without_its_secrets() {
        let cases = [
            ("https://u:pw@h/pay?access_token=abc", "`https://…@h/pay?…`"),
            ("https://u:p/w?#@h/", "`https://…@h/`"),
            ("u:pw@h:0", "`…@h:0`"),
            ("https://h:0/#access_token=abc", "`https://h:0/#…`"),
            ("h:0", "`h:0`"),
        ];
        for (text, shown) in cases {
            let error = Target::parse(text, TargetForm::Url).unwrap_err().to_string();
            assert!(error.starts_with(shown), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_no_target_is_refused_with_its_reason() {
        let cases = [
            ("", "names no host"),
            ("ftp://x", "scheme"),
            ("x:0", "between 1 and 65535"),
            ("x:99999", "between 1 and 65535"),
            ("x:http", "not a number"),
            ("[::1", "bracket"),
            ("300.1.1.1", "IPv4"),
            ("http://127.1", "IPv4"),
            ("http://0x7f000001", "IPv4"),
            ("1.2.3.0x4:80", "IPv4"),
            ("shop.1:80", "IPv4"),
            ("2001:db8::1%eth0", "only link-local"),
            ("[fe80::1%]:443", "no interface"),
            ("[fe80::1%eth0;x]:443", "no interface"),
            ("fe80::x%eth0", "not a valid IPv6"),
            ("[fe80::1]:443", "names no link"),
            ("a b", "white space"),
            ("https://u:p@x/", "password"),
            ("-x.example", "impossible label"),
            ("x", "no port"),
            ("https://x/\u{202e}gpj", "cannot be seen"),
            ("https://x/\u{1b}[2J", "cannot be seen"),
        ];
        for (text, reason) in cases {
            let error = Target::parse(text, TargetForm::Endpoint).unwrap_err();
            assert!(error.to_string().contains(reason), "{text}: {error}");
            assert!(is_clean(&error.to_string()), "{error:?}");
        }
    }
}
