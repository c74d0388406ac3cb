//! Who a connection comes from, as far as its address tells.

use std::net::{IpAddr, Ipv6Addr};

/// One subscriber holds a whole /64 of IPv6, and an address of IPv4 however it is written.
pub(crate) fn subscriber(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::subscriber;

    #[test]
    fn a_whole_prefix_is_one_subscriber_and_a_mapped_address_is_its_own() {
        let of = |text: &str| subscriber(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
