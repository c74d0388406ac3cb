use std::fmt;
use std::str::FromStr;

/// A host name, `*.` and a domain for every name below it, or `*` for every name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(String);

impl NamePattern {
    /// Whether `host` fits, an address never does: that is for networks to say. Case and a final dot make no difference.
    pub fn fits(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if host.is_empty() || host.parse::<std::net::IpAddr>().is_ok() {
            return false;
        }
        match self.0.strip_prefix('*') {
            Some("") => true,
            // The dot stays in front, so that `*.shop.example` does not fit `evilshop.example`.
            Some(below) => host.len() > below.len() && host.ends_with(below),
            None => host == self.0,
        }
    }
}

impl FromStr for NamePattern {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let lower = text.trim_end_matches('.').to_ascii_lowercase();
        let name = match lower.strip_prefix('*') {
            Some("") => return Ok(Self(lower)),
            Some(below) => below.strip_prefix('.').ok_or(())?,
            None => &lower,
        };
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let is_address = name.parse::<std::net::IpAddr>().is_ok();
        if name.len() <= 253 && name.split('.').all(label) && !is_address { Ok(Self(lower)) } else { Err(()) }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_names_below_and_for_nothing_else() {
        let fits = |pattern: &str, host: &str| pattern.parse::<NamePattern>().unwrap().fits(host);
        assert!(fits("shop.example", "Shop.Example."));
        assert!(!fits("shop.example", "www.shop.example"));
        assert!(fits("*.shop.example", "www.shop.example") && fits("*.shop.example", "a.b.shop.example"));
        assert!(!fits("*.shop.example", "shop.example") && !fits("*.shop.example", "evilshop.example"));
        assert!(fits("*", "anything.test") && !fits("*", "10.0.0.1") && !fits("*", "::1"));
        for bad in ["", "*shop.example", "a..b", "10.0.0.1", "http://x", "a b"] {
            assert!(bad.parse::<NamePattern>().is_err(), "{bad}");
        }
    }
}
