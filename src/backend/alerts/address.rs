use super::Trouble;
use netsonde_contract::policy::{plain, special};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A resolver that takes longer does not answer.
const RESOLVE: Duration = Duration::from_secs(5);

/// Where alerts may go: to any public address, and to what the operator names. Held against the addresses that a name leads to at the moment of
/// connecting, and the connection is made to just those.
#[derive(Default)]
pub(crate) struct Gate {
    /// Names and addresses as text, in lower case.
    allowed: Vec<String>,
}

impl Gate {
    pub(super) fn new(allowed: &[String]) -> Self {
        Self { allowed: allowed.iter().map(|host| bare(host)).collect() }
    }

    pub(super) fn names(&self, host: &str) -> bool {
        self.allowed.contains(&bare(host))
    }

    /// The addresses of `host` that may be connected to.
    pub(super) async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Trouble> {
        let host = bare(host);
        let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => match tokio::time::timeout(RESOLVE, tokio::net::lookup_host((host.as_str(), port))).await {
                Ok(Ok(found)) => found.collect(),
                Ok(Err(error)) => return Err(Trouble::of(format!("{host} has no address: {error}"))),
                Err(_) => return Err(Trouble::of(format!("no answer came to where {host} is"))),
            },
        };
        self.admit(&host, found)
    }

    fn admit(&self, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Trouble> {
        if self.names(host) {
            return Ok(found);
        }
        let (good, bad): (Vec<_>, Vec<_>) = found.into_iter().partition(|address| special(plain(address.ip())).is_none());
        match (good.is_empty(), bad.first()) {
            (true, Some(address)) => {
                let what = special(plain(address.ip())).unwrap_or("not public");
                Err(Trouble::of(format!(
                    "{host} leads to {}, which is {what}; if that is meant, write allow = [\"{host}\"] into the file of alerts",
                    address.ip()
                )))
            }
            (true, None) => Err(Trouble::of(format!("{host} has no address"))),
            (false, _) => Ok(good),
        }
    }
}

/// As names and addresses are compared: in lower case, without the brackets of an address in a URL and without the final dot of a name.
fn bare(host: &str) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(gate: &Gate, host: &str, addresses: &[&str]) -> Result<usize, String> {
        let found = addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 443)).collect();
        gate.admit(&bare(host), found).map(|good| good.len()).map_err(|trouble| trouble.words)
    }

    #[test]
    fn a_name_that_leads_inside_is_refused_whatever_notation_its_address_has() {
        let gate = Gate::default();
        for inside in
            ["127.0.0.1", "::1", "10.1.2.3", "192.168.0.9", "169.254.169.254", "fe80::1", "fd00::1", "::ffff:10.0.0.1", "0.0.0.0"]
        {
            let words = admitted(&gate, "hooks.example", &[inside]).unwrap_err();
            assert!(words.contains("allow = [\"hooks.example\"]"), "{words}");
        }
        assert_eq!(admitted(&gate, "hooks.example", &["8.8.8.8"]), Ok(1));
        assert_eq!(admitted(&gate, "hooks.example", &["10.0.0.1", "8.8.8.8"]), Ok(1), "of two, the public one");
    }

    #[test]
    fn what_the_operator_names_may_be_anywhere_and_nothing_else_may() {
        let gate = Gate::new(&["Hooks.Internal.Example.".into(), "[::1]".into()]);
        assert_eq!(admitted(&gate, "hooks.internal.example", &["10.0.0.1"]), Ok(1));
        assert_eq!(admitted(&gate, "[::1]", &["::1"]), Ok(1));
        assert!(admitted(&gate, "other.internal.example", &["10.0.0.1"]).is_err());
    }
}
