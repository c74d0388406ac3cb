use crate::failure::Failure;
use crate::outcome::Note;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// One of the machine's own addresses, asked for on its link: whoever answers uses it too. An ARP probe (RFC 5227 section 2.1.1) or a
/// neighbour solicitation from the unspecified address (RFC 4862 section 5.4.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddressProbe {
    /// The address that was asked or measured.
    pub address: IpAddr,
    /// The interface's name.
    pub interface: String,
    /// How many probes were sent.
    pub sent: u32,
    /// The hardware addresses that answered, each once.
    pub answers: Vec<AddressAnswer>,
    /// What was missing to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unasked: Option<Note>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddressAnswer {
    /// The hardware (MAC) address.
    pub hardware_address: String,
    /// Since the first probe.
    pub after_us: u64,
}
