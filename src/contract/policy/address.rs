use crate::observation::CLOUD_ADDRESSES;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Alibaba Cloud's metadata service; it lies in the shared range of RFC 6598, which is no private one.
const ALIBABA_METADATA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);

/// The IPv4 address within an IPv4-mapped or IPv4-compatible (RFC 4291 section 2.5.5), NAT64 (RFC 6052, RFC 8215) or 6to4 (RFC 3056) address;
/// others as they are.
pub fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let embedded = |high: u16, low: u16| IpAddr::from([(high >> 8) as u8, high as u8, (low >> 8) as u8, low as u8]);
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] => embedded(high, low),
        // `::` and `::1` are themselves, not 0.0.0.0 and 0.0.0.1.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => embedded(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        // The local prefix of RFC 8215, with the address behind a prefix of 96 bits.
        [0x64, 0xff9b, 1, _, _, _, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        _ => address,
    }
}

/// What makes an address nobody else's business, in words: orders reach it only where the policy names it. Expects [`plain`] addresses.
pub fn special(address: IpAddr) -> Option<&'static str> {
    if CLOUD_ADDRESSES.contains(&address) || address == ALIBABA_METADATA {
        return Some("a cloud's own address");
    }
    match address {
        IpAddr::V4(v4) if v4.is_loopback() => Some("loopback"),
        IpAddr::V4(v4) if v4.is_private() => Some("private"),
        IpAddr::V4(v4) if v4.is_link_local() => Some("link-local"),
        IpAddr::V4(v4) if v4.is_multicast() || v4.is_broadcast() => Some("multicast"),
        // This network (RFC 791), shared space (RFC 6598) and what is reserved (RFC 1112) are nowhere on the Internet.
        IpAddr::V4(v4) if v4.octets()[0] == 0 => Some("unspecified"),
        IpAddr::V4(v4) if v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64 => Some("shared"),
        IpAddr::V4(v4) if v4.octets()[0] >= 240 => Some("reserved"),
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => special_v6(v6),
    }
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let first = address.segments()[0];
    if address.is_loopback() {
        Some("loopback")
    } else if address.is_unspecified() {
        Some("unspecified")
    } else if address.is_multicast() {
        Some("multicast")
    } else if address.is_unique_local() || first & 0xffc0 == 0xfec0 {
        Some("private")
    } else if first & 0xffc0 == 0xfe80 {
        Some("link-local")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_another_notation_is_what_it_hides() {
        for text in ["::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::10.0.0.1", "2002:a00:1::"] {
            assert_eq!(plain(text.parse().unwrap()), "10.0.0.1".parse::<IpAddr>().unwrap(), "{text}");
        }
        assert_eq!(special(plain("::1".parse().unwrap())), Some("loopback"));
        assert_eq!(special(plain("::".parse().unwrap())), Some("unspecified"));
    }

    #[test]
    fn what_is_nobody_elses_business_is_special() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "168.63.129.16",
            "100.100.100.200",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "0.0.0.0",
            "fd00:ec2::254",
            "fe80::1",
            "fc00::1",
            "ff02::1",
        ] {
            assert!(special(plain(text.parse().unwrap())).is_some(), "{text}");
        }
        for text in ["203.0.113.7", "2001:db8::1", "100.128.0.1"] {
            assert_eq!(special(plain(text.parse().unwrap())), None, "{text}");
        }
    }
}
