use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A network interface of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// It is switched on and has a link.
    pub up: bool,
    /// The link carries a signal; none where the system does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<bool>,
    /// The largest packet that it sends, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Address and prefix length, such as `192.0.2.7/24`.
    pub addresses: Vec<String>,
    /// It is the loopback interface.
    pub loopback: bool,
    /// A tunnel or VPN interface, judged by its type or name.
    pub tunnel: bool,
    /// The kernel's word for a virtual kind, such as `wireguard`, `tun`, `vlan`, `bridge`; none for hardware.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The interface's own hardware address, such as `02:00:5e:10:00:01`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware_address: Option<String>,
    /// Megabits a second that the link was agreed at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed_mbit: Option<u32>,
    /// The link carries both directions at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_duplex: Option<bool>,
    /// Work left to the hardware or done in bulk that is switched on, such as `tso`, `gro`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offloads: Vec<String>,
    /// Since the interface exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<InterfaceCounters>,
}

/// What an interface counts (`rtnl_link_stats64` of rtnetlink(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InterfaceCounters {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Frames that came in broken.
    pub rx_errors: u64,
    /// Packets that could not be sent out.
    pub tx_errors: u64,
    /// Packets received and dropped.
    pub rx_dropped: u64,
    /// Packets dropped instead of sent.
    pub tx_dropped: u64,
    /// The link came or went, where the kernel counts that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier_changes: Option<u64>,
}

impl InterfaceCounters {
    /// How much each counter grew since `earlier`; one that began anew counts from zero.
    pub fn since(&self, earlier: &Self) -> Self {
        let carrier_changes = self.carrier_changes.zip(earlier.carrier_changes);
        Self {
            rx_packets: self.rx_packets.saturating_sub(earlier.rx_packets),
            tx_packets: self.tx_packets.saturating_sub(earlier.tx_packets),
            rx_bytes: self.rx_bytes.saturating_sub(earlier.rx_bytes),
            tx_bytes: self.tx_bytes.saturating_sub(earlier.tx_bytes),
            rx_errors: self.rx_errors.saturating_sub(earlier.rx_errors),
            tx_errors: self.tx_errors.saturating_sub(earlier.tx_errors),
            rx_dropped: self.rx_dropped.saturating_sub(earlier.rx_dropped),
            tx_dropped: self.tx_dropped.saturating_sub(earlier.tx_dropped),
            carrier_changes: carrier_changes.map(|(now, then)| now.saturating_sub(then)),
        }
    }

    /// Errors and drops together, of both directions.
    pub fn lost(&self) -> u64 {
        [self.rx_errors, self.tx_errors, self.rx_dropped, self.tx_dropped].into_iter().fold(0, u64::saturating_add)
    }
}
