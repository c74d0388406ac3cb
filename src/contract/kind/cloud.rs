use super::ParameterError;
use crate::observation::CloudProvider;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloudParams {
    /// The clouds to ask for: azure, aws, gcp. Without any, the one that the machine's firmware names, or all.
    #[serde(default)]
    pub providers: Vec<String>,
    /// Milliseconds for each request, its connection included.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 100, max = 10_000))]
    pub timeout_ms: u64,
}

impl CloudParams {
    /// Requests and connections in all at most, to every address of three clouds.
    pub const MAX_REQUESTS: u32 = 16;

    pub fn chosen(&self) -> Vec<CloudProvider> {
        self.providers.iter().filter_map(|name| CloudProvider::from_name(name)).collect()
    }

    pub(super) fn validate(&self) -> Result<(), ParameterError> {
        match self.providers.iter().find(|name| CloudProvider::from_name(name).is_none()) {
            Some(name) => {
                Err(ParameterError::of("providers", format!("`{name}` is no cloud that can be asked: azure, aws or gcp")))
            }
            None => Ok(()),
        }
    }
}

/// The addresses are next to the machine; what is not there in a second and a half is not there.
fn timeout_ms() -> u64 {
    1_500
}
