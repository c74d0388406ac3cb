use crate::failure::Failure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// A cloud whose metadata service is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CloudProvider {
    /// Microsoft Azure.
    Azure,
    /// Amazon Web Services.
    Aws,
    /// Google Cloud.
    Gcp,
    /// Of a newer agent.
    #[serde(other)]
    Other,
}

impl CloudProvider {
    /// Those that can be asked.
    pub const ALL: [Self; 3] = [Self::Azure, Self::Aws, Self::Gcp];

    /// As parameters and JSON write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Azure => "azure",
            Self::Aws => "aws",
            Self::Gcp => "gcp",
            Self::Other => "other",
        }
    }

    /// As people know it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Azure => "Azure",
            Self::Aws => "AWS",
            Self::Gcp => "Google Cloud",
            Self::Other => "another cloud",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.name() == name)
    }
}

/// What the machine's firmware says of the cloud it runs in. Nothing is sent for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CloudHint {
    /// None where the firmware names no cloud that is known, or cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<CloudProvider>,
    /// The firmware's word for the maker of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// The firmware's word for the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
}

/// One metadata service, asked as its cloud's documents say. Neither tokens nor anything that names machine, owner or data is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CloudMetadata {
    pub provider: CloudProvider,
    /// The address and port of the metadata service.
    pub address: SocketAddr,
    /// The service answered as only this cloud's does.
    pub recognised: bool,
    /// The status of the request that decides: of the session token for AWS, of the first field else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// From the first packet to the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_us: Option<u64>,
    /// From the first packet to the whole first answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_us: Option<u64>,
    /// Fields of a closed list: region, zone, size, image, environment, MTU.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    /// How long it took, in microseconds.
    pub took_us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// One service at a cloud platform's own address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlatformAddress {
    pub provider: CloudProvider,
    /// The address that was asked or measured.
    pub address: SocketAddr,
    /// Which service of the platform.
    pub service: PlatformService,
    /// It answered as only this cloud's does.
    #[serde(default)]
    pub recognised: bool,
    /// How long the TCP connection took, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_us: Option<u64>,
    /// From the first packet to the whole answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_us: Option<u64>,
    /// The HTTP status, or the response code of DNS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlatformService {
    /// Name resolution over UDP.
    Dns,
    /// Goal state for the machine's agent (port 80).
    Agent,
    /// Extensions and health reports (port 32526).
    Health,
    /// Another one, which this version has no word for.
    #[serde(other)]
    Other,
}

impl PlatformService {
    pub fn words(self) -> &'static str {
        match self {
            Self::Dns => "name server",
            Self::Agent => "agent service",
            Self::Health => "health service",
            Self::Other => "service",
        }
    }
}

/// Addresses at which clouds tell a machine about itself, and Azure's platform address: nobody else's business, and never a remote order's.
pub const CLOUD_ADDRESSES: [IpAddr; 3] = [
    IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(std::net::Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];
