use std::fmt::Write as _;
use std::net::IpAddr;

/// The name under which the DNS keeps the name of an address, without the final dot (RFC 1035 section 3.5, RFC 3596 section 2.5).
pub fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let mut name = String::new();
            for octet in v6.octets().iter().rev() {
                // A text takes whatever is written.
                let _ = write!(name, "{:x}.{:x}.", octet & 0xf, octet >> 4);
            }
            name + "ip6.arpa"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_backwards() {
        let name = |text: &str| reverse_name(text.parse().unwrap());
        assert_eq!(name("203.0.113.8"), "8.113.0.203.in-addr.arpa");
        // The example of RFC 3596 section 2.5.
        assert_eq!(name("4321:0:1:2:3:4:567:89ab"), "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa");
    }
}
