use netsonde_contract::observation::HopOrigin;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Whose addresses are: prefixes with the numbers of autonomous systems, from a file that only the person at the command line names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    v4: BTreeMap<(u8, u128), Owner>,
    v6: BTreeMap<(u8, u128), Owner>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    asn: u32,
    name: Option<String>,
}

/// A line that is none of the format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct OriginsError {
    /// From 1.
    pub line: usize,
    pub why: &'static str,
}

impl Origins {
    /// Longer files are refused: the whole Internet's table has 40 MB in this form.
    pub const MAX_BYTES: u64 = 64 << 20;
    /// More prefixes are refused: the Internet has 1.3 million.
    const MAX_PREFIXES: usize = 2_000_000;
    /// A longer name is cut.
    const MAX_NAME_CHARS: usize = 80;

    /// Reads lines of `prefix asn [name]`, such as `192.0.2.0/24 AS64500 Example Net`. Empty lines and those that begin with `#` say
    /// nothing; the last line for a prefix counts.
    ///
    /// # Errors
    /// At the first line that has another form, or where there are too many.
    pub fn parse(text: &str) -> Result<Self, OriginsError> {
        let mut origins = Self::default();
        for (content, line) in text.lines().map(str::trim).zip(1..) {
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            origins.add(content).map_err(|why| OriginsError { line, why })?;
        }
        Ok(origins)
    }

    fn add(&mut self, line: &str) -> Result<(), &'static str> {
        let (prefix, rest) = line.split_once(char::is_whitespace).ok_or("write it as `prefix asn [name]`")?;
        let rest = rest.trim_start();
        let (asn, name) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let digits = asn.strip_prefix("AS").or(asn.strip_prefix("as")).unwrap_or(asn);
        let asn = digits.parse().map_err(|_| "the second word is no number of an autonomous system, such as AS64500")?;
        let (address, length) = prefix.split_once('/').ok_or("the prefix has no length, such as /24")?;
        let address: IpAddr = address.parse().map_err(|_| "the prefix is no address with a length")?;
        let length: u8 = length.parse().map_err(|_| "the prefix's length is no number")?;
        let (table, bits) = if address.is_ipv4() { (&mut self.v4, 32) } else { (&mut self.v6, 128) };
        if length > bits {
            return Err("the prefix is longer than an address");
        }
        let name: String = name.trim().chars().filter(|c| !c.is_control()).take(Self::MAX_NAME_CHARS).collect();
        let owner = Owner { asn, name: Some(name).filter(|name| !name.is_empty()) };
        // The longest prefixes come first.
        table.insert((bits - length, head(address, length)), owner);
        if table.len() > Self::MAX_PREFIXES {
            return Err("there are more prefixes than the Internet has");
        }
        Ok(())
    }

    /// The longest prefix that holds the address, and whose it is.
    pub fn of(&self, address: IpAddr) -> Option<HopOrigin> {
        let (table, bits) = if address.is_ipv4() { (&self.v4, 32) } else { (&self.v6, 128) };
        let lengths = (0..=bits).rev().filter(|_| !table.is_empty());
        let found = lengths.into_iter().find_map(|length| Some((length, table.get(&(bits - length, head(address, length)))?)));
        found.map(|(prefix_length, owner)| HopOrigin { address, prefix_length, asn: owner.asn, name: owner.name.clone() })
    }
}

/// The first bits of an address.
fn head(address: IpAddr, length: u8) -> u128 {
    let (value, bits) = match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    value.checked_shr(u32::from(bits - length)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(origins: &Origins, address: &str) -> Option<(u32, u8)> {
        origins.of(address.parse().unwrap()).map(|origin| (origin.asn, origin.prefix_length))
    }

    #[test]
    fn the_longest_prefix_counts_in_both_families() {
        let text = "# ours\n10.0.0.0/8 AS64500 Wide Net\n\n10.1.0.0/16\t64501\n0.0.0.0/0 1\n2001:db8::/32 as64502 Six\n";
        let origins = Origins::parse(text).unwrap();
        assert_eq!(of(&origins, "10.1.2.3"), Some((64_501, 16)));
        assert_eq!(of(&origins, "10.2.2.3"), Some((64_500, 8)));
        assert_eq!(of(&origins, "192.0.2.1"), Some((1, 0)));
        assert_eq!(of(&origins, "2001:db8::7"), Some((64_502, 32)));
        assert_eq!(of(&origins, "2001:db9::7"), None);
        assert_eq!(origins.of("10.2.0.1".parse().unwrap()).unwrap().name.as_deref(), Some("Wide Net"));
    }

    #[test]
    fn a_line_of_another_form_is_named() {
        for (text, line) in [("10.0.0.0/8", 1), ("\n10.0.0.0 1", 2), ("10.0.0.0/33 1", 1), ("x/8 1", 1), ("10.0.0.0/8 net", 1)] {
            assert_eq!(Origins::parse(text).unwrap_err().line, line, "{text}");
        }
    }
}
