use super::Redactor;
use std::net::IpAddr;

impl Redactor<'_> {
    /// `NO_PROXY` names machines that were never asked for. What a diagnosis needs of it is whether a target is among them.
    pub(super) fn exclusions(&mut self, list: &str) -> String {
        let entries: Vec<&str> = list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).collect();
        for _ in &entries {
            self.count("proxy_exclusion");
        }
        let matched = self.target_hosts.iter().any(|host| entries.iter().any(|entry| excludes(entry, host)));
        let count = if entries.len() == 1 { "1 entry".to_owned() } else { format!("{} entries", entries.len()) };
        let verdict = match (self.target_hosts.is_empty(), matched) {
            (true, _) => "",
            (false, true) => ", one of which covers a target",
            (false, false) => ", none of which covers a target",
        };
        format!("{count}{verdict}")
    }
}

/// Whether an entry covers a host: `*`, a name and all names below it, an address, or a network in CIDR form. A port is of no account.
fn excludes(entry: &str, host: &str) -> bool {
    if entry == "*" {
        return true;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        let (network, length) = entry.split_once('/').map_or((entry, None), |(network, length)| (network, Some(length)));
        let network = network.trim_matches(['[', ']']);
        let network = network.parse::<IpAddr>().ok().or_else(|| network.split_once(':')?.0.parse().ok());
        return match (network, length.map(str::parse::<u32>)) {
            (Some(network), None) => network == address,
            (Some(network), Some(Ok(length))) => within(address, network, length),
            _ => false,
        };
    }
    let name = entry.trim_start_matches("*.").trim_start_matches('.');
    let name = name.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let host = host.to_ascii_lowercase();
    !name.is_empty() && (host == name || host.strip_suffix(&name).is_some_and(|before| before.ends_with('.')))
}

fn within(address: IpAddr, network: IpAddr, length: u32) -> bool {
    let differing = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => (u32::from(address) ^ u32::from(network)).leading_zeros(),
        (IpAddr::V6(address), IpAddr::V6(network)) => (u128::from(address) ^ u128::from(network)).leading_zeros(),
        _ => return false,
    };
    differing >= length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redaction::tests::redactor;

    #[test]
    fn an_entry_covers_names_below_it_addresses_and_networks() {
        let cases = [
            ("*", "shop.example", true),
            (".example", "shop.example", true),
            ("SHOP.example:443", "shop.example", true),
            ("op.example", "shop.example", false),
            ("203.0.113.0/24", "203.0.113.7", true),
            ("203.0.113.7:443", "203.0.113.7", true),
            ("203.0.112.0/24", "203.0.113.7", false),
            ("2001:db8::/32", "2001:db8::7", true),
            ("203.0.113.0/24", "shop.example", false),
            (".", "shop.example", false),
        ];
        for (entry, host, expected) in cases {
            assert_eq!(excludes(entry, host), expected, "{entry} {host}");
        }
    }

    #[test]
    fn of_the_list_only_its_length_and_its_verdict_are_kept() {
        let mut redactor = redactor();
        assert_eq!(redactor.exclusions("localhost, hr.corp.example"), "2 entries");
        redactor.target_hosts = vec!["shop.example".into()];
        assert_eq!(redactor.exclusions("localhost,hr.corp.example"), "2 entries, none of which covers a target");
        assert_eq!(redactor.exclusions(".example"), "1 entry, one of which covers a target");
        assert_eq!(redactor.removed["proxy_exclusion"], 5);
    }
}
