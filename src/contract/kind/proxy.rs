use super::ParameterError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which proxy is asked is no parameter: only the person at the machine and its own settings name one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyParams {
    /// The URL to get through to; the proxy is the one that this machine uses for it.
    pub url: String,
    /// Also ask for the URL in plain HTTP through the proxy, which an http:// URL always does.
    #[serde(default)]
    pub get: bool,
    /// The URL of a proxy auto-configuration script (PAC), or the empty text: it is fetched, and never run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub script_url: String,
    /// Milliseconds to wait for connection, handshake and answer, each.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 50, max = 60_000))]
    pub timeout_ms: u64,
}

impl ProxyParams {
    /// Bytes of a script that are read at most: browsers stop at 1 MiB as well.
    pub const MAX_SCRIPT_BYTES: u64 = 1_048_576;

    /// Connections to the proxy at most: of SOCKS 5 one for each of three ways to sign in, one that connects, and plain HTTP.
    pub const MAX_CONNECTIONS: u32 = 5;

    pub(super) fn validate(&self) -> Result<(), ParameterError> {
        if !self.script_url.is_empty() && !["http://", "https://"].iter().any(|scheme| self.script_url.starts_with(scheme)) {
            let text = "`script_url` is neither an http:// nor an https:// URL".to_owned();
            return Err(ParameterError::of("script_url", text));
        }
        Ok(())
    }
}

fn timeout_ms() -> u64 {
    10_000
}
