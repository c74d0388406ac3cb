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
    /// Statuses that are as expected: numbers such as 401, or classes such as 2xx and 3xx.
    #[serde(default = "expect_status")]
    pub expect_status: Vec<String>,
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
    /// Milliseconds to wait for connection, handshake and first byte, each.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 50, max = 60_000))]
    pub timeout_ms: u64,
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
    /// Whether the status is an expected one. A pattern is three digits, or a digit and `xx`.
    pub fn expects(&self, status: u16) -> bool {
        let digits = status.to_string();
        self.expect_status.iter().any(|pattern| {
            *pattern == digits
                || pattern
                    .strip_suffix("xx")
                    .is_some_and(|class| digits.len() == 3 && digits.starts_with(class) && class.len() == 1)
        })
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

fn timeout_ms() -> u64 {
    10_000
}

#[cfg(test)]
mod tests {
    use super::HttpParams;

    #[test]
    fn statuses_are_expected_by_number_or_class() {
        let params: HttpParams =
            serde_json::from_value(serde_json::json!({"url": "http://x/", "expect_status": ["2xx", "401"]})).unwrap();
        assert!(params.expects(204) && params.expects(401));
        assert!(!params.expects(404) && !params.expects(500));
    }
}
