use super::{Kind, NameServer, Params};
use crate::target::{Target, TargetForm};
use serde_json::Value;

/// Parameters that are a URL which is fetched beside the check's own.
const URLS: [&str; 4] = ["known_url", "echo_url", "upload_url", "script_url"];
/// Parameters that list hosts, addresses, ranges or prefixes.
const LISTS: [&str; 2] = ["targets", "others"];
/// Parameters of `dns` that are, or list, name servers.
const SERVERS: [&str; 4] = ["servers", "control", "unserved", "roots"];

impl Params {
    /// The host that a check is about, with a port where it names one. What it finds out on its way, the gate holds against the policy.
    pub fn named_hosts(&self) -> Vec<(String, Option<u16>)> {
        if self.kind() == Kind::Dns {
            // Which name is asked for sends no packet to it; which server is asked does, and the gate sees that address.
            return Vec::new();
        }
        let value = self.to_value();
        let number = |key: &str| value.get(key).and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
        let own = texts(&value, "host").into_iter().map(|host| (host, number("port")));
        let url = texts(&value, "url").into_iter().filter_map(|url| Target::parse(&url, TargetForm::Url).ok());
        own.chain(url.map(|target| (target.host, target.port))).collect()
    }

    /// Everything that a check names to send packets to: hosts without scheme, port and path, ranges and prefixes as they are written. Each once.
    pub fn destinations(&self) -> Vec<String> {
        let value = self.to_value();
        let of =
            |keys: &[&str]| keys.iter().flat_map(|key| texts(&value, key)).filter(|text| !text.is_empty()).collect::<Vec<_>>();
        let host = |form: TargetForm| move |text: String| Target::parse(&text, form).map_or(text, |target| target.host);
        let mut all: Vec<String> = self.named_hosts().into_iter().map(|(name, _)| host(TargetForm::Host)(name)).collect();
        all.extend(of(&URLS).into_iter().map(host(TargetForm::Url)));
        all.extend(of(&LISTS).into_iter().map(host(TargetForm::Host)));
        if self.kind() == Kind::Dns {
            let server = |text: String| NameServer::parse(&text).map_or(text, |server| server.address.ip().to_string());
            all.extend(of(&SERVERS).into_iter().map(server));
        }
        let mut each = Vec::new();
        all.into_iter().for_each(|one| {
            if !each.contains(&one) {
                each.push(one);
            }
        });
        each
    }
}

/// The texts of a parameter, which may be one or a list.
fn texts(value: &Value, key: &str) -> Vec<String> {
    let found = value.get(key);
    let one = found.and_then(Value::as_str).map(str::to_owned);
    let list = found.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    one.into_iter().chain(list).collect()
}

#[cfg(test)]
mod tests {
    use crate::set::{ProbeSet, Request};

    fn destinations(checks: &str) -> Vec<String> {
        let set = format!("name = \"x\"\nversion = 1\nquestion = \"Q?\"\nbudget = \"60s\"\n{checks}");
        let plan = ProbeSet::parse("x", &set).unwrap().plan(&Request::default()).unwrap();
        plan.checks.iter().flat_map(|check| check.params.destinations()).collect()
    }

    #[test]
    fn every_host_that_a_check_is_aimed_at_is_named() {
        let checks = [
            (
                "icmp",
                "host = \"10.9.0.77\", targets = [\"192.0.2.0/28\", \"db.example\"]",
                &["10.9.0.77", "192.0.2.0/28", "db.example"][..],
            ),
            (
                "http",
                "url = \"https://Shop.example:8443/a\", known_url = \"http://known.example/x\"",
                &["shop.example", "known.example"][..],
            ),
            (
                "dns",
                "name = \"asked.example\", servers = [\"tls://192.0.2.53#dns.example\"], control = \"192.0.2.54:5353\"",
                &["192.0.2.53", "192.0.2.54"][..],
            ),
            ("ntp", "host = \"time.example\", others = [\"other.example\"]", &["time.example", "other.example"][..]),
        ];
        for (kind, with, expected) in checks {
            let check = format!("[[check]]\nid = \"c\"\nkind = \"{kind}\"\nwith = {{ {with} }}\n");
            assert_eq!(destinations(&check), expected, "{kind}");
        }
    }
}
