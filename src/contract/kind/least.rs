use super::Params;

impl Params {
    /// So many packets and connections go to one address where all is well: no check can do what it is for with fewer. What depends on the
    /// answers counts as little as it can.
    pub fn least_packets(&self) -> u64 {
        match self {
            Self::Icmp(params) => params.count.into(),
            Self::Reflect(params) => params.count.into(),
            Self::Ntp(params) => params.samples.into(),
            Self::Traceroute(params) => params.rounds.into(),
            Self::Tcp(params) => {
                let further = u64::try_from(params.further_ports().len()).unwrap_or(u64::MAX);
                u64::from(params.attempts).saturating_add(further)
            }
            Self::Dns(params) => params.types.len().max(1) as u64,
            Self::Tls(_) | Self::Http(_) | Self::Quic(_) | Self::Service(_) | Self::Proxy(_) | Self::Mtu(_) | Self::Load(_) => 1,
            Self::Host(_) | Self::Cloud(_) => 0,
        }
    }
}
