//! Keyed replacement of names and addresses for the strict level. Without the key nobody can tell what a token stands for; with
//! it the customer can compute the token of a name they suspect.

use hmac::{Hmac, KeyInit, Mac};
use netsonde_contract::bundle::hexadecimal;
use sha2::Sha256;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use zeroize::Zeroizing;

/// The customer's key; it never leaves the machine.
pub(crate) struct MappingKey(Zeroizing<[u8; 32]>);

/// A block of special-use addresses (RFC 6890). A mapped address stays in its block, so that a diagnosis that asks "private?"
/// or "multicast?" comes to the same end.
struct Block {
    prefix: u128,
    length: u32,
    /// Addresses within stay as they are: they name no one.
    kept: bool,
}

const fn v4(octets: [u8; 4], length: u32, kept: bool) -> Block {
    Block { prefix: u32::from_be_bytes(octets) as u128, length, kept }
}

const fn v6(first: u16, length: u32, kept: bool) -> Block {
    Block { prefix: (first as u128) << 112, length, kept }
}

const V4_BLOCKS: [Block; 8] = [
    v4([0, 0, 0, 0], 8, true),
    v4([10, 0, 0, 0], 8, false),
    v4([100, 64, 0, 0], 10, false),
    v4([127, 0, 0, 0], 8, true),
    v4([169, 254, 0, 0], 16, false),
    v4([172, 16, 0, 0], 12, false),
    v4([192, 168, 0, 0], 16, false),
    v4([224, 0, 0, 0], 3, true),
];

/// `::/64` holds the loopback and unspecified addresses.
const V6_BLOCKS: [Block; 5] =
    [v6(0, 64, true), v6(0x2000, 3, false), v6(0xfc00, 7, false), v6(0xfe80, 10, false), v6(0xff00, 8, true)];

impl MappingKey {
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A token of 128 bits for a name, the same whatever its case.
    pub(super) fn name(&self, name: &str) -> String {
        let digest = self.digest(b"name", name.to_ascii_lowercase().as_bytes());
        format!("name-{}", hexadecimal(&digest[..16]))
    }

    /// An address in the place of this one: two addresses share as many leading bits after as before.
    pub(super) fn address(&self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(v4) => IpAddr::V4(self.map_v4(v4)),
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => IpAddr::V6(self.map_v4(v4).to_ipv6_mapped()),
                None => IpAddr::V6(Ipv6Addr::from(self.map(v6.into(), 128, &V6_BLOCKS, b"v6"))),
            },
        }
    }

    fn map_v4(&self, address: Ipv4Addr) -> Ipv4Addr {
        let mapped = self.map(u128::from(u32::from(address)), 32, &V4_BLOCKS, b"v4");
        Ipv4Addr::from(u32::try_from(mapped).unwrap_or_default())
    }

    /// Each bit is turned or not by a keyed function of the bits before it, which preserves prefixes; where the bits before lead to
    /// a special block, none is turned, which keeps every block in its place.
    fn map(&self, address: u128, width: u32, blocks: &[Block], family: &[u8]) -> u128 {
        let mut mapped = 0;
        for position in 0..width {
            let before = leading(address, position, width);
            let on_the_way = |block: &Block| position < block.length && leading(block.prefix, position, width) == before;
            let within_kept = |block: &Block| {
                block.kept
                    && position >= block.length
                    && leading(address, block.length, width) == leading(block.prefix, block.length, width)
            };
            let fixed = blocks.iter().any(|block| on_the_way(block) || within_kept(block));
            let turned = !fixed && {
                let mut input = position.to_be_bytes().to_vec();
                input.extend_from_slice(&before.to_be_bytes());
                self.digest(family, &input)[0] & 1 == 1
            };
            let bit = (address >> (width - 1 - position)) & 1;
            mapped = (mapped << 1) | (bit ^ u128::from(turned));
        }
        mapped
    }

    fn digest(&self, purpose: &[u8], input: &[u8]) -> [u8; 32] {
        // HMAC takes keys of any length (RFC 2104 section 3), so the failure arm is never taken; it maps everything to one token.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.as_slice()) else { return [0; 32] };
        mac.update(purpose);
        mac.update(&[0]);
        mac.update(input);
        mac.finalize().into_bytes().into()
    }
}

/// The first `count` bits of an address of `width` bits.
fn leading(address: u128, count: u32, width: u32) -> u128 {
    if count == 0 { 0 } else { address >> (width - count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> MappingKey {
        MappingKey::from_bytes([7; 32])
    }

    fn mapped(text: &str) -> IpAddr {
        key().address(text.parse().unwrap())
    }

    fn shared(left: Ipv4Addr, right: Ipv4Addr) -> u32 {
        (u32::from(left) ^ u32::from(right)).leading_zeros()
    }

    #[test]
    fn neighbours_stay_neighbours_and_strangers_strangers() {
        let addresses: Vec<Ipv4Addr> = ["203.0.113.7", "203.0.113.9", "203.0.200.1", "198.51.100.1", "8.8.8.8"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        for left in &addresses {
            for right in &addresses {
                assert_eq!(shared(*left, *right), shared(key().map_v4(*left), key().map_v4(*right)), "{left} {right}");
            }
        }
        assert_ne!(mapped("203.0.113.7"), "203.0.113.7".parse::<IpAddr>().unwrap());
        assert_ne!(mapped("2001:db8::7"), "2001:db8::7".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn an_address_stays_in_its_special_block_and_none_is_mapped_into_one() {
        for own in ["127.0.0.1", "::1", "0.0.0.0", "255.255.255.255", "ff02::1", "::ffff:127.0.0.1"] {
            assert_eq!(mapped(own), own.parse::<IpAddr>().unwrap());
        }
        for last in 0..=255 {
            let private = key().map_v4(Ipv4Addr::new(192, 168, last, 1));
            assert!(private.is_private(), "{private}");
            let public = key().map_v4(Ipv4Addr::new(last.max(11), 200, 3, 4));
            let was = Ipv4Addr::new(last.max(11), 200, 3, 4);
            assert_eq!(
                (public.is_private(), public.is_multicast(), public.is_loopback()),
                (was.is_private(), was.is_multicast(), was.is_loopback())
            );
        }
    }

    #[test]
    fn another_key_gives_other_tokens() {
        let other = MappingKey::from_bytes([8; 32]);
        assert_eq!(key().name("Shop.example"), key().name("shop.example"));
        assert_ne!(key().name("shop.example"), other.name("shop.example"));
        assert_eq!(key().name("x").len(), "name-".len() + 32);
    }
}
