use super::Redactor;
use super::label;
use super::text::encoded_sign;
use super::token::{LEAST_IN_PATH, looks_secret};
use netsonde_contract::target::bracketed;

/// What advice has in the place of somebody's host and port: "run again with --proxy http://host:port".
const IN_ADVICE: &str = "host:port";

impl Redactor<'_> {
    /// A URL without user info, query, fragment and token-like path segments; that there was a query or a fragment is kept.
    pub(super) fn url(&mut self, url: &str) -> String {
        if url.chars().any(char::is_whitespace) {
            return self.text(url);
        }
        let Some((scheme, rest)) = url.split_once("://") else { return self.path(url) };
        if rest == IN_ADVICE {
            return format!("{}://{IN_ADVICE}", self.word(scheme));
        }
        let (authority, path) = rest.find(['/', '?', '#']).map_or((rest, ""), |at| rest.split_at(at));
        let host_and_port = match authority.rsplit_once('@') {
            Some((_, host_and_port)) => {
                self.count("user_info");
                host_and_port
            }
            None => authority,
        };
        let (host, port) = match host_and_port.rsplit_once(':') {
            Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => (host, format!(":{port}")),
            _ => (host_and_port, String::new()),
        };
        let host = host.trim_matches(['[', ']']);
        if host.chars().any(|c| !(c.is_alphanumeric() || "-_.:%".contains(c)))
            || host.contains(':') != host_and_port.contains('[')
        {
            // Whatever stands in the host's place, it is none.
            self.count("user_info");
            return "[redacted]".to_owned();
        }
        let host = self.name(host);
        let scheme = self.word(scheme);
        format!("{scheme}://{}{port}{}", bracketed(&host), self.path(path))
    }

    /// Path, query and fragment of a URL.
    pub(super) fn path(&mut self, text: &str) -> String {
        let (before_fragment, fragment) = text.split_once('#').map_or((text, None), |(before, after)| (before, Some(after)));
        let (path, query) = before_fragment.split_once('?').map_or((before_fragment, None), |(path, query)| (path, Some(query)));
        let segments: Vec<String> = path.split('/').map(|segment| self.segment(segment)).collect();
        let mut redacted = segments.join("/");
        if query.is_some_and(|query| !query.is_empty()) {
            self.count("query_string");
            redacted.push_str("?[redacted]");
        }
        if fragment.is_some_and(|fragment| !fragment.is_empty()) {
            self.count("fragment");
            redacted.push_str("#[redacted]");
        }
        redacted
    }

    /// One path segment; parameters after `;` (RFC 3986 section 3.3), where session ids hide, go with it, and so does a value that a
    /// name announces.
    fn segment(&mut self, segment: &str) -> String {
        let (name, parameters) = segment.split_once(';').map_or((segment, None), |(name, after)| (name, Some(after)));
        let (name, value) = match name.find('=').or_else(|| encoded_sign(name)) {
            Some(at) => (&name[..at], Some(&name[at..])),
            None => (name, None),
        };
        let is_mail_address = name.contains('@') || name.contains("%40");
        let is_no_segment = name.contains(|c: char| c.is_whitespace() || c.is_control() || "\\\"<>{}|^`".contains(c));
        let secret = label::announced(name, name).is_some() || looks_secret(name, LEAST_IN_PATH) || self.is_user_name(name);
        let mut kept = if is_mail_address || is_no_segment || secret {
            self.count("token_in_path");
            "[redacted]".to_owned()
        } else if self.is_strict() {
            self.strict_word(name)
        } else {
            name.to_owned()
        };
        if value.is_some() {
            self.count("token_in_path");
            kept.push_str("=[redacted]");
        }
        if parameters.is_some() {
            self.count("token_in_path");
            kept.push_str(";[redacted]");
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use crate::redaction::tests::redactor;

    #[test]
    fn what_a_url_carries_beside_its_place_goes() {
        let cases = [
            ("https://shop.example/pay", "https://shop.example/pay"),
            ("https://shop.example:8443/pay?card=4111", "https://shop.example:8443/pay?[redacted]"),
            ("http://anna:secret@[2001:db8::1]:80/x#frag", "http://[2001:db8::1]:80/x#[redacted]"),
            ("https://x.example/reset/9f86d081884c7d659a2feaa0c55ad015/go", "https://x.example/reset/[redacted]/go"),
            ("https://x.example/a;jsessionid=1/b", "https://x.example/a;[redacted]/b"),
            ("https://x.example/u/anna@mail.example", "https://x.example/u/[redacted]"),
            ("/blob?sv=2026&sig=abc%3D", "/blob?[redacted]"),
            ("https://x.example?token=1", "https://x.example?[redacted]"),
            ("https://x.example/?", "https://x.example/"),
            ("https://x.example/id=hunter2/b", "https://x.example/id=[redacted]/b"),
            ("https://x.example/to%3Fid%3Dhunter2", "https://x.example/to=[redacted]"),
            ("https://u:hun/ter@x.example/", "[redacted]"),
            ("{\"password\":\"hunter2\"}", "[redacted]"),
            ("//u:hunter2@x.example/a", "//[redacted]/a"),
        ];
        for (given, expected) in cases {
            assert_eq!(redactor().url(given), expected, "{given}");
        }
    }
}
