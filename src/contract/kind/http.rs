use super::ParameterError;
use super::expect::{ByteRange, HeaderRule, JsonRule, status_fits, status_is_readable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpParams {
    /// The URL to ask for.
    pub url: String,
    #[serde(default)]
    /// GET, or HEAD to leave out the body.
    pub method: HttpMethod,
    /// Statuses that are as expected: numbers such as 401, classes such as 2xx and 3xx, or ranges such as 200-204.
    #[serde(default = "expect_status")]
    pub expect_status: Vec<String>,
    /// What the last answer's headers must be: `name` is there, `!name` is not, `name=value` equals, `name~text` contains.
    #[serde(default)]
    pub expect_headers: Vec<String>,
    /// The SHA-256 of the whole body, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_body_sha256: Option<String>,
    /// Texts that the body must contain.
    #[serde(default)]
    pub expect_body: Vec<String>,
    /// Values in a body of JSON of at most 1 MiB: a JSON pointer (RFC 6901), `=`, and the value, such as `/status=up`.
    #[serde(default)]
    pub expect_json: Vec<String>,
    /// Follow redirects.
    #[serde(default = "yes")]
    pub follow: bool,
    /// Redirects to follow at most.
    #[serde(default = "max_redirects")]
    #[schemars(range(min = 0, max = 30))]
    pub max_redirects: u32,
    /// Bytes of a body to read at most.
    #[serde(default = "max_body_bytes")]
    #[schemars(range(min = 0, max = 104_857_600))]
    pub max_body_bytes: u64,
    /// Seconds to read a body at most.
    #[serde(default = "max_body_s")]
    #[schemars(range(min = 1, max = 60))]
    pub max_body_s: u64,
    /// Milliseconds to wait for connection, handshake and first byte, each.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 50, max = 60_000))]
    pub timeout_ms: u64,
    /// Bytes of data in one segment at most, both ways: what drops larger packets alone lets these pass. None leaves it to the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 536, max = 8_960))]
    pub max_segment_bytes: Option<u32>,
    /// Ask both through the proxy and without it, and compare the answers.
    #[serde(default)]
    pub compare: bool,
    /// Also ask for a part of the body: `0-1023` for the first 1024 bytes, `-500` for the last 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<String>,
    /// Another URL, asked first, whose answer is known: something that answers otherwise stands between (a captive portal).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_url: Option<String>,
    /// The status that the known URL answers with.
    #[serde(default = "known_status")]
    #[schemars(range(min = 100, max = 599))]
    pub known_status: u16,
    /// The whole body of the known URL's answer, without white space at its ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_body: Option<String>,
    /// A URL that answers with the request headers that reached it, as JSON or one a line: shows what was changed on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo_url: Option<String>,
    /// Bytes to post for measuring the way up: generated ones that mean nothing; 0 for none.
    #[serde(default)]
    #[schemars(range(min = 0, max = 67_108_864))]
    pub upload_bytes: u64,
    /// Where to post them, if not to the URL itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_url: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
pub enum HttpMethod {
    #[default]
    Get,
    Head,
}

impl HttpParams {
    /// Rules of one sort in a check: more than any health page has, and little enough for a table.
    pub const MAX_RULES: usize = 32;

    /// Longest rule, in bytes.
    pub const MAX_RULE_BYTES: usize = 1_024;

    /// Largest body that is read as JSON, in bytes.
    pub const MAX_JSON_BYTES: u64 = 1_048_576;

    /// Only the URL, and everything else as it is by default.
    pub fn of(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            method: HttpMethod::default(),
            expect_status: expect_status(),
            expect_headers: Vec::new(),
            expect_body_sha256: None,
            expect_body: Vec::new(),
            expect_json: Vec::new(),
            follow: yes(),
            max_redirects: max_redirects(),
            max_body_bytes: max_body_bytes(),
            max_body_s: max_body_s(),
            timeout_ms: timeout_ms(),
            max_segment_bytes: None,
            compare: false,
            range: None,
            known_url: None,
            known_status: known_status(),
            known_body: None,
            echo_url: None,
            upload_bytes: 0,
            upload_url: None,
        }
    }

    /// Whether the status is an expected one.
    pub fn expects(&self, status: u16) -> bool {
        self.expect_status.iter().any(|pattern| status_fits(pattern, status))
    }

    /// The statuses are not the ones that every check expects.
    pub fn chooses_status(&self) -> bool {
        self.expect_status != expect_status()
    }

    pub fn header_rules(&self) -> impl Iterator<Item = HeaderRule> {
        self.expect_headers.iter().filter_map(|text| HeaderRule::parse(text))
    }

    pub fn json_rules(&self) -> impl Iterator<Item = JsonRule> {
        self.expect_json.iter().filter_map(|text| JsonRule::parse(text))
    }

    pub fn byte_range(&self) -> Option<ByteRange> {
        ByteRange::parse(self.range.as_deref()?)
    }

    pub(super) fn validate(&self) -> Result<(), ParameterError> {
        let unread =
            |key: &str, text: &str, form: &str| Err(ParameterError::of(key, format!("`{key}` has `{text}`, but must be {form}")));
        if let Some(text) = self.expect_status.iter().find(|text| !status_is_readable(text)) {
            return unread("expect_status", text, "a status such as 401, a class such as 2xx or a range such as 200-204");
        }
        if let Some(text) = self.expect_headers.iter().find(|text| HeaderRule::parse(text).is_none()) {
            return unread("expect_headers", text, "`name`, `!name`, `name=value` or `name~text`");
        }
        if let Some(text) = self.expect_json.iter().find(|text| JsonRule::parse(text).is_none()) {
            return unread("expect_json", text, "a JSON pointer, `=` and a value, such as `/status=up`");
        }
        if let Some(text) = self.range.as_deref().filter(|text| ByteRange::parse(text).is_none()) {
            return unread("range", text, "`first-last`, such as `0-1023`, or `-count`, such as `-500`");
        }
        let digest = |text: &&str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if let Some(text) = self.expect_body_sha256.as_deref().filter(|text| !digest(text)) {
            return unread("expect_body_sha256", text, "64 hexadecimal digits");
        }
        let reads_body = !self.expect_body.is_empty() || !self.expect_json.is_empty() || self.expect_body_sha256.is_some();
        if self.method == HttpMethod::Head && reads_body {
            let message = "an answer to HEAD has no body that could be expected: use `method` get".to_owned();
            return Err(ParameterError::of("method", message));
        }
        let lists = [
            ("expect_status", &self.expect_status),
            ("expect_headers", &self.expect_headers),
            ("expect_body", &self.expect_body),
            ("expect_json", &self.expect_json),
        ];
        for (key, list) in lists {
            if list.len() > Self::MAX_RULES {
                let text = format!("`{key}` has {} entries, but must have at most {}", list.len(), Self::MAX_RULES);
                return Err(ParameterError::of(key, text));
            }
            if list.iter().any(|text| text.is_empty() || text.len() > Self::MAX_RULE_BYTES) {
                let text = format!("`{key}` has an entry that is empty or longer than {} bytes", Self::MAX_RULE_BYTES);
                return Err(ParameterError::of(key, text));
            }
        }
        if self.known_body.as_ref().is_some_and(|body| body.len() > Self::MAX_RULE_BYTES) {
            let text = format!("`known_body` is longer than {} bytes", Self::MAX_RULE_BYTES);
            return Err(ParameterError::of("known_body", text));
        }
        Ok(())
    }
}

fn expect_status() -> Vec<String> {
    vec!["2xx".into(), "3xx".into()]
}

fn yes() -> bool {
    true
}

fn max_redirects() -> u32 {
    10
}

fn max_body_bytes() -> u64 {
    1_048_576
}

fn max_body_s() -> u64 {
    60
}

fn timeout_ms() -> u64 {
    10_000
}

/// What the connectivity checks of browsers and phones answer: nothing, so that nothing needs to be compared.
fn known_status() -> u16 {
    204
}

#[cfg(test)]
mod tests {
    use super::HttpParams;
    use crate::kind::{Kind, Params};
    use serde_json::json;

    #[test]
    fn statuses_are_expected_by_number_class_or_range() {
        let params: HttpParams =
            serde_json::from_value(json!({"url": "http://x/", "expect_status": ["2xx", "401", "500-502"]})).unwrap();
        assert!(params.expects(204) && params.expects(401) && params.expects(501));
        assert!(!params.expects(404) && !params.expects(503));
    }

    #[test]
    fn a_rule_that_nobody_could_meet_is_refused_when_it_is_given() {
        for (key, value) in [
            ("expect_status", json!(["ok"])),
            ("expect_headers", json!(["=x"])),
            ("expect_json", json!(["status=up"])),
            ("expect_body", json!([""])),
            ("expect_body_sha256", json!("abc")),
            ("range", json!("9-1")),
            ("known_body", json!("x".repeat(1_025))),
            ("expect_body", json!(vec!["x"; 33])),
        ] {
            let error = Params::parse(Kind::Http, json!({"url": "http://x/", key: value})).unwrap_err();
            assert_eq!(error.key.as_deref(), Some(key), "{error}");
        }
    }
}
