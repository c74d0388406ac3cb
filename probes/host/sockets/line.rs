use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kernel's numbers for the states of TCP (net/tcp_states.h); sockets of UDP are `established` or `close`.
pub(super) const STATES: [&str; 13] = [
    "unknown",
    "established",
    "syn_sent",
    "syn_received",
    "fin_wait_1",
    "fin_wait_2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
    "new_syn_received",
];

/// What is counted of one socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) local: IpAddr,
    pub(super) local_port: u16,
    pub(super) remote: IpAddr,
    pub(super) remote_port: u16,
    pub(super) state: u8,
    pub(super) user_id: u32,
    /// 0 where no program holds it any more.
    pub(super) inode: u64,
    /// Datagrams dropped; always 0 for TCP.
    pub(super) drops: u64,
}

impl Line {
    /// A line of proc(5), `/proc/net/tcp`; none for its heading.
    pub(super) fn parse(line: &str) -> Option<Self> {
        /// Only the lists of UDP end in a count of drops.
        const DROPS: usize = 12;
        let words: Vec<&str> = line.split_whitespace().collect();
        let (local, local_port) = endpoint(words.get(1)?)?;
        let (remote, remote_port) = endpoint(words.get(2)?)?;
        let is_udp = words.len() == DROPS + 1;
        Some(Self {
            local,
            local_port,
            remote,
            remote_port,
            state: u8::from_str_radix(words.get(3)?, 16).ok()?,
            user_id: words.get(7)?.parse().ok()?,
            inode: words.get(9)?.parse().ok()?,
            drops: words.get(DROPS).filter(|_| is_udp).and_then(|word| word.parse().ok()).unwrap_or_default(),
        })
    }
}

/// `0100007F:0050`: words of the address in the machine's own byte order, then the port. IPv4 within IPv6 is IPv4.
fn endpoint(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let address: IpAddr = match address.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let octets: Vec<u8> = (0..4).filter_map(word).flatten().collect();
            let v6 = Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?);
            v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4)
        }
        _ => return None,
    };
    Some((address, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn a_line_of_either_family_gives_its_addresses_and_owner() {
        let v4 =
            "   1: 020200C0:873A 507100CB:0050 06 00000000:00000000 03:00001400 00000000     0        0 0 3 0000000022e9f84c";
        let found = Line::parse(v4).unwrap();
        assert_eq!((found.remote.to_string(), found.remote_port, found.state), ("203.0.113.80".into(), 80, 6));
        let mapped = "0: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:D431 01 0:0 0:0 0 1000 0 42 1 0";
        let found = Line::parse(mapped).unwrap();
        assert_eq!((found.remote.to_string(), found.user_id, found.inode), ("127.0.0.1".into(), 1_000, 42));
        let udp = " 5: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 900 2 000000003a 17";
        assert_eq!(Line::parse(udp).unwrap().drops, 17);
        assert_eq!(Line::parse("  sl  local_address rem_address   st tx_queue"), None);
    }

    proptest! {
        #[test]
        fn no_line_makes_the_reader_panic(text in "[0-9A-Fé: ]{0,200}") {
            let _ = Line::parse(&text);
        }
    }
}
