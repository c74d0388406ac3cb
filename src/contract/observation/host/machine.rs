use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of machine this is. No serial number, no id of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// Who made it, and what they call it (SMBIOS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// What the firmware calls the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The processor says that a hypervisor runs it; none where nothing tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hypervisor: Option<bool>,
    /// `docker`, `podman`, `kubernetes`, `lxc` and the like, where the process runs in a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// `azure`, `aws`, `google` and the like, by the vendor's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud: Option<String>,
}
