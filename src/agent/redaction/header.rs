use super::Redactor;
use netsonde_contract::observation::Header;

/// A header whose name holds one of these carries a credential or a session.
const SENSITIVE: [&str; 16] = [
    "cookie",
    "auth",
    "token",
    "secret",
    "session",
    "passw",
    "credential",
    "signature",
    "api-key",
    "apikey",
    "csrf",
    "xsrf",
    "private",
    "assertion",
    "saml",
    "jwt",
];
/// Challenges name the schemes that a server offers, which a diagnosis needs; their parameters go.
const CHALLENGES: [&str; 2] = ["www-authenticate", "proxy-authenticate"];
/// Ids that the server's operator needs to find the request in their own logs. They name a request, not a person.
const CORRELATION: [&str; 12] = [
    "x-request-id",
    "request-id",
    "x-correlation-id",
    "x-ms-request-id",
    "x-amzn-requestid",
    "x-amz-request-id",
    "x-amz-cf-id",
    "cf-ray",
    "x-azure-ref",
    "x-trace-id",
    "traceparent",
    "x-fastly-request-id",
];
/// Real correlation ids are shorter.
const MAX_CORRELATION_BYTES: usize = 128;

impl Redactor<'_> {
    pub(super) fn header(&mut self, header: &Header) -> Header {
        let name = header.name.to_ascii_lowercase();
        let value = if CHALLENGES.contains(&name.as_str()) {
            self.challenge(&header.value)
        } else if SENSITIVE.iter().any(|word| name.contains(word)) {
            self.count("header_value");
            "[redacted]".to_owned()
        } else if matches!(name.as_str(), "location" | "content-location" | "referer" | "refresh" | "link") {
            self.url(&header.value)
        } else if matches!(name.as_str(), "server" | "x-powered-by") {
            self.product(&header.value)
        } else if CORRELATION.contains(&name.as_str()) && is_correlation(&header.value) {
            header.value.clone()
        } else {
            self.text(&header.value)
        };
        Header { name: self.word(&header.name), value }
    }

    /// The schemes of a challenge (RFC 9110 section 11.6.1) without their parameters.
    fn challenge(&mut self, value: &str) -> String {
        const SCHEMES: [&str; 7] = ["basic", "digest", "negotiate", "ntlm", "bearer", "kerberos", "hoba"];
        let words = value.split([' ', ',']);
        let schemes: Vec<&str> = words.filter(|word| SCHEMES.contains(&word.to_ascii_lowercase().as_str())).collect();
        if schemes.join(", ").len() < value.len() {
            self.count("header_value");
        }
        if schemes.is_empty() { "[redacted]".to_owned() } else { schemes.join(", ") }
    }

    /// The products of a banner (RFC 9110 section 10.2.4), without comments and what names the machine.
    pub(super) fn product(&mut self, value: &str) -> String {
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
        let words: Vec<&str> = plain.split_whitespace().collect();
        let kept: Vec<String> = words
            .iter()
            .enumerate()
            .filter(|(place, word)| *place == 0 || word.contains('/'))
            .map(|(_, word)| self.word(word))
            .collect();
        let kept = kept.join(" ");
        if kept.len() < value.trim().len() {
            self.count("banner");
        }
        kept
    }

    /// The first bytes of a reply that is not TLS: what protocol it speaks stays, which machine speaks goes.
    pub(super) fn banner(&mut self, reply: &str) -> String {
        let first = reply.split_whitespace().next().unwrap_or_default();
        let protocol = if reply.starts_with("HTTP/") {
            reply.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
        } else {
            first.to_owned()
        };
        let protocol = self.word(&protocol);
        if protocol.len() < reply.trim().len() {
            self.count("banner");
            return format!("{protocol} [redacted]");
        }
        protocol
    }
}

fn is_correlation(value: &str) -> bool {
    value.len() <= MAX_CORRELATION_BYTES && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/=+|".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redaction::tests::redactor;

    #[test]
    fn headers_keep_what_diagnoses_and_lose_what_opens_doors() {
        let cases = [
            ("Set-Cookie", "sid=1", "[redacted]"),
            ("Authorization", "Basic x", "[redacted]"),
            ("X-Api-Key", "k", "[redacted]"),
            ("Proxy-Authenticate", "Negotiate, Basic realm=\"corp.example\"", "Negotiate, Basic"),
            ("WWW-Authenticate", "Weird thing", "[redacted]"),
            ("Location", "https://x.example/?t=1", "https://x.example/?[redacted]"),
            ("Server", "Apache/2.4.57 (Debian) at web01.corp.example", "Apache/2.4.57"),
            ("Content-Type", "text/html; charset=utf-8", "text/html; charset=utf-8"),
            ("X-Request-Id", "0f8fad5b-d9cb-469f-a165-70867728950e", "0f8fad5b-d9cb-469f-a165-70867728950e"),
            ("ETag", "\"33a64df551425fcc55e4d42a148795d9\"", "\"[redacted]\""),
        ];
        for (name, given, expected) in cases {
            let header = redactor().header(&Header { name: name.into(), value: given.into() });
            assert_eq!(header.value, expected, "{name}");
        }
    }

    #[test]
    fn a_banner_tells_its_protocol_and_not_its_machine() {
        let cases = [
            ("SSH-2.0-OpenSSH_9.2p1 Debian-2", "SSH-2.0-OpenSSH_9.2p1 [redacted]"),
            ("220 mail.corp.example ESMTP", "220 [redacted]"),
            ("HTTP/1.1 400 Bad Request", "HTTP/1.1 400 [redacted]"),
        ];
        for (given, expected) in cases {
            assert_eq!(redactor().banner(given), expected);
        }
    }
}
