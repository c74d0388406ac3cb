use crate::observation::CLOUD_ADDRESSES;
use ipnet::{Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Alibaba Cloud's metadata service; it lies in the shared range of RFC 6598, which is no private one.
const ALIBABA_METADATA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);

/// What `ipv4only.arpa` stands for in IPv4 (RFC 7050 section 2.2).
const KNOWN_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 0, 170), Ipv4Addr::new(192, 0, 0, 171)];

/// The lengths that a translator's prefix may have (RFC 6052 section 2.2).
const PREFIX_LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];

/// The bits 64 to 71 of a translated address are zero (RFC 6052 section 2.2).
const RESERVED_OCTET: usize = 8;

/// Where networks may have translators of their own (RFC 8215). Where in such an address the IPv4 address stands, only the network knows.
const LOCAL_TRANSLATORS: Ipv6Net = v6(0x64, 0xff9b, 1, 48);

/// The lengths that a prefix within [`LOCAL_TRANSLATORS`] may have (RFC 6052 section 2.2).
const LOCAL_LENGTHS: [u8; 4] = [48, 56, 64, 96];

/// What is given to hosts of the Internet (RFC 4291 section 2.4, IANA's registry of the IPv6 address space).
const GLOBAL: Ipv6Net = v6(0x2000, 0, 0, 3);

/// Teredo (RFC 4380 section 4).
const TEREDO: Ipv6Net = v6(0x2001, 0, 0, 32);

/// Parts of 2001::/23 that are reachable as other addresses are (IANA's registry of special addresses): anycast of PCP, TURN and the protocol of
/// RFC 9665, AMT, AS112, ORCHIDv2, and the identifiers of RFC 9374.
const REACHABLE_PROTOCOLS: [Ipv6Net; 5] =
    [v6(0x2001, 1, 0, 126), v6(0x2001, 3, 0, 32), v6(0x2001, 4, 0x112, 48), v6(0x2001, 0x20, 0, 28), v6(0x2001, 0x30, 0, 28)];

/// What is no part of the Internet by the IANA's registries of special addresses (RFC 6890), beside what the standard library knows. Those for
/// documentation are left out: they stand for public ones.
const RESERVED_V4: [(Ipv4Net, &str); 6] = [
    // This network (RFC 791).
    (Ipv4Net::new_assert(Ipv4Addr::new(0, 0, 0, 0), 8), "unspecified"),
    // RFC 6598.
    (Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10), "shared"),
    // RFC 6890; a cloud has its metadata service there.
    (Ipv4Net::new_assert(Ipv4Addr::new(192, 0, 0, 0), 24), "reserved for protocols"),
    // Relays of 6to4 (RFC 7526).
    (Ipv4Net::new_assert(Ipv4Addr::new(192, 88, 99, 0), 24), "reserved"),
    // RFC 2544.
    (Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 15), "reserved for benchmarks"),
    // RFC 1112.
    (Ipv4Net::new_assert(Ipv4Addr::new(240, 0, 0, 0), 4), "reserved"),
];

/// The same within [`GLOBAL`]; outside it everything is.
const RESERVED_V6: [(Ipv6Net, &str); 3] = [
    // RFC 5180.
    (v6(0x2001, 2, 0, 48), "reserved for benchmarks"),
    // RFC 2928, without [`TEREDO`] and [`REACHABLE_PROTOCOLS`].
    (v6(0x2001, 0, 0, 23), "reserved for protocols"),
    // The 6bone (RFC 3701).
    (v6(0x3ffe, 0, 0, 16), "reserved"),
];

const fn v6(first: u16, second: u16, third: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0), length)
}

fn v4(high: u16, low: u16) -> IpAddr {
    IpAddr::from([(high >> 8) as u8, high as u8, (low >> 8) as u8, low as u8])
}

/// The IPv4 address that another notation of it stands for: IPv4-mapped or IPv4-compatible (RFC 4291 section 2.5.5), IPv4-translated (RFC 2765
/// section 2.1), NAT64 (RFC 6052), 6to4 (RFC 3056). Others as they are; of what those may hide, see [`hidden`].
pub fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => v4(high, low),
        // `::` and `::1` are themselves, not 0.0.0.0 and 0.0.0.1.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => v4(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

/// The IPv4 addresses at which packets to an address may end besides it: those of a Teredo server and its client (RFC 4380 section 4), of an ISATAP
/// host (RFC 5214 section 6.1), and behind a translator of a network's own, whatever the length of its prefix.
pub(super) fn hidden(address: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V6(v6) = address else { return Vec::new() };
    let mut found = Vec::new();
    let [_, _, server_high, server_low, scope, isatap, high, low] = v6.segments();
    if TEREDO.contains(&v6) {
        // The client's bits are turned, so that translators on its way do not find them.
        found.extend([v4(server_high, server_low), v4(!high, !low)]);
    }
    // Two bits of the first sixteen say whether the identifier is unique, and whose it is.
    if scope & !0x0300 == 0 && isatap == 0x5efe {
        found.push(v4(high, low));
    }
    if LOCAL_TRANSLATORS.contains(&v6) {
        let prefixes = LOCAL_LENGTHS.iter().filter_map(|length| Ipv6Net::new(v6, *length).ok());
        // Nobody is at 0.0.0.0/8: zeros are what stands there where the prefix has another length.
        let is_somebody = |found: &IpAddr| matches!(found, IpAddr::V4(v4) if v4.octets()[0] != 0);
        found.extend(prefixes.filter_map(|prefix| embedded(prefix, address)).filter(is_somebody));
    }
    found
}

/// The IPv4 address that a network's own translator stands for, behind `prefix` (RFC 6052 section 2.2): the bits follow the prefix and leave out
/// those from 64 to 71. None where the address has another prefix.
pub(super) fn embedded(prefix: Ipv6Net, address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(v6) = address else { return None };
    let octets = v6.octets();
    let first = usize::from(prefix.prefix_len() / 8);
    let found: Vec<u8> = (first..octets.len()).filter(|at| *at != RESERVED_OCTET).take(4).map(|at| octets[at]).collect();
    let v4: [u8; 4] = found.try_into().ok()?;
    prefix.contains(&v6).then(|| IpAddr::from(v4))
}

/// Whether translators may have a prefix of this length (RFC 6052 section 2.2).
pub(super) fn translates(prefix: &Ipv6Net) -> bool {
    PREFIX_LENGTHS.contains(&prefix.prefix_len())
}

/// The prefixes of a network's own translators, by the addresses that its resolver makes of `ipv4only.arpa` (RFC 7050 section 3): wherever in one
/// of them a known IPv4 address stands. Where it stands at several places, all of them count.
pub fn translators(addresses: &[IpAddr]) -> Vec<Ipv6Net> {
    let mut found = Vec::new();
    for address in addresses {
        let IpAddr::V6(v6) = address else { continue };
        for prefix in PREFIX_LENGTHS.iter().filter_map(|length| Ipv6Net::new(*v6, *length).ok()) {
            let is_known = embedded(prefix, *address).is_some_and(|v4| KNOWN_V4.iter().any(|known| v4 == *known));
            if is_known && !found.contains(&prefix.trunc()) {
                found.push(prefix.trunc());
            }
        }
    }
    found
}

/// What makes an address nobody else's business, in words: orders reach it only where the policy names it. Expects [`plain`] addresses; one that
/// hides such an address is one.
pub fn special(address: IpAddr) -> Option<&'static str> {
    if CLOUD_ADDRESSES.contains(&address) || address == ALIBABA_METADATA {
        return Some("a cloud's own address");
    }
    match address {
        IpAddr::V4(v4) if v4.is_loopback() => Some("loopback"),
        IpAddr::V4(v4) if v4.is_private() => Some("private"),
        IpAddr::V4(v4) if v4.is_link_local() => Some("link-local"),
        IpAddr::V4(v4) if v4.is_multicast() || v4.is_broadcast() => Some("multicast"),
        IpAddr::V4(v4) => RESERVED_V4.iter().find(|(network, _)| network.contains(&v4)).map(|(_, what)| *what),
        IpAddr::V6(v6) => special_v6(v6).or_else(|| hidden(address).into_iter().find_map(special)),
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
    } else if LOCAL_TRANSLATORS.contains(&address) {
        Some("behind a translator that `targets.nat64` does not name")
    } else if !GLOBAL.contains(&address) {
        Some("reserved")
    } else if TEREDO.contains(&address) || REACHABLE_PROTOCOLS.iter().any(|network| network.contains(&address)) {
        None
    } else {
        RESERVED_V6.iter().find(|(network, _)| network.contains(&address)).map(|(_, what)| *what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_another_notation_is_what_it_hides() {
        for text in ["::ffff:10.0.0.1", "::10.0.0.1", "::ffff:0:10.0.0.1", "64:ff9b::10.0.0.1", "2002:a00:1::"] {
            assert_eq!(plain(text.parse().unwrap()), "10.0.0.1".parse::<IpAddr>().unwrap(), "{text}");
        }
        assert_eq!(special(plain("::1".parse().unwrap())), Some("loopback"));
        assert_eq!(special(plain("::".parse().unwrap())), Some("unspecified"));
    }

    #[test]
    fn a_tunnels_address_hides_those_of_its_ends() {
        let hides = |text: &str| hidden(text.parse().unwrap()).iter().map(IpAddr::to_string).collect::<Vec<_>>();
        assert_eq!(hides("2001:0:4136:e378:8000:63bf:3fff:fdd2"), ["65.54.227.120", "192.0.2.45"]);
        for isatap in ["2001:db8::5efe:10.9.9.9", "fe80::5efe:10.9.9.9", "2001:db8::200:5efe:10.9.9.9"] {
            assert_eq!(hides(isatap), ["10.9.9.9"], "{isatap}");
        }
        assert_eq!(hides("2001:db8::5eff:10.9.9.9"), [""; 0]);
        assert_eq!(hides("2001:1::1"), [""; 0]);
    }

    /// Each of the four lengths, with something behind the address where there is room for it.
    #[test]
    fn an_address_of_a_local_translator_hides_one_at_every_length() {
        for (text, behind) in [
            ("64:ff9b:1:a9fe:a9:fe00:808:808", "169.254.169.254"),
            ("64:ff9b:1:8a9:fe:a9fe:808:808", "169.254.169.254"),
            ("64:ff9b:1:2:a:909:900:0", "10.9.9.9"),
            ("64:ff9b:1:808:8:808:a09:909", "10.9.9.9"),
        ] {
            let address: IpAddr = text.parse().unwrap();
            assert!(hidden(address).contains(&behind.parse().unwrap()), "{text}: {:?}", hidden(address));
            assert_eq!((plain(address), special(address).is_some()), (address, true), "{text}");
        }
        assert_eq!(hidden("64:ff9b:1::203.0.113.7".parse().unwrap()), ["203.0.113.7".parse::<IpAddr>().unwrap()]);
        assert!(special("64:ff9b:1::203.0.113.7".parse().unwrap()).is_some_and(|what| what.contains("targets.nat64")));
    }

    /// The table of RFC 6052 section 2.4.
    #[test]
    fn an_address_behind_a_translators_own_prefix_is_found_at_every_length() {
        for (prefix, text) in [
            ("2001:db8::/32", "2001:db8:c000:221::"),
            ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
            ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
        ] {
            let prefix: Ipv6Net = prefix.parse().unwrap();
            assert!(translates(&prefix));
            assert_eq!(embedded(prefix, text.parse().unwrap()), Some("192.0.2.33".parse().unwrap()), "{text}");
            assert_eq!(embedded(prefix, "2001:db9::1".parse().unwrap()), None);
        }
        assert!(!translates(&"2001:db8::/33".parse().unwrap()));
    }

    #[test]
    fn a_networks_prefix_is_found_in_the_answer_for_ipv4only_arpa_at_every_length() {
        for (prefix, text) in [
            ("2001:db8::/32", "2001:db8:c000:aa::"),
            ("2001:db8:100::/40", "2001:db8:1c0:0:aa::"),
            ("2001:db8:122::/48", "2001:db8:122:c000:0:aa00::"),
            ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:aa::"),
            ("2001:db8:122:344::/64", "2001:db8:122:344:c0:0:aa00:0"),
            ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.0.170"),
        ] {
            let found = translators(&[text.parse().unwrap()]);
            assert_eq!(found, [prefix.parse::<Ipv6Net>().unwrap()], "{text}");
        }
        let both: [IpAddr; 3] = ["2001:db8:64::c000:aa", "2001:db8:64::c000:ab", "192.0.0.170"].map(|text| text.parse().unwrap());
        assert_eq!(translators(&both), ["2001:db8:64::/96".parse::<Ipv6Net>().unwrap()]);
        assert_eq!(translators(&["2001:db8:64::c000:ac".parse().unwrap()]), []);
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
            "192.0.0.192",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.255",
            "240.0.0.1",
            "100::1",
            "100:0:0:1::1",
            "200::1",
            "4000::1",
            "5f00::1",
            "3ffe::1",
            "2001:2::1",
            "2001:10::1",
            "::5",
            "2001:0:a00:1::cb00:7107",
            "2001:0:cb00:7107::f5f6:f6f6",
            "2001:db8::5efe:10.9.9.9",
            "::ffff:0:169.254.169.254",
        ] {
            assert!(special(plain(text.parse().unwrap())).is_some(), "{text}");
        }
        for text in [
            "203.0.113.7",
            "2001:db8::1",
            "100.128.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "192.0.1.1",
            "2001:0:cb00:7107::34ff:8ef8",
            "2001:db8::5efe:203.0.113.7",
            "2001:1::1",
            "2001:4:112::1",
            "2001:200::1",
            "64:ff9b::203.0.113.7",
        ] {
            assert_eq!(special(plain(text.parse().unwrap())), None, "{text}");
        }
    }
}
