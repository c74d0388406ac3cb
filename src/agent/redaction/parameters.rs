use super::Redactor;
use netsonde_contract::kind::{HeaderMust, HeaderRule, HttpParams, Kind, Params, TargetSpan};
use netsonde_contract::observation::Header;
use serde_json::Value;

impl Redactor<'_> {
    /// A check's parameters, by the kind's own types. What does not fit them is not kept.
    pub(super) fn parameters(&mut self, kind: Kind, parameters: &Value) -> Value {
        let Ok(mut params) = Params::parse(kind, parameters.clone()) else {
            self.count("unknown_parameters");
            return Value::Object(serde_json::Map::new());
        };
        match &mut params {
            Params::Dns(params) => {
                params.name = self.name(&params.name);
                params.types = params.types.iter().map(|word| self.word(word)).collect();
                params.servers = params.servers.iter().map(|server| self.name_server(server)).collect();
                params.control = params.control.as_deref().map(|server| self.name_server(server));
                params.roots = params.roots.iter().map(|server| self.text(server)).collect();
                params.client_subnet = params.client_subnet.as_deref().map(|subnet| self.subnet(subnet));
                params.unserved = params.unserved.as_deref().map(|server| self.text(server));
                params.expect = params.expect.iter().map(|address| self.text(address)).collect();
            }
            Params::Tcp(params) => {
                params.host = self.name(&params.host);
                let spans = params.spans().unwrap_or_default();
                let targets = params.targets.iter().zip(spans);
                params.targets = targets.filter_map(|(text, span)| self.target_span(text, &span)).collect();
            }
            Params::Icmp(params) => {
                params.host = self.name(&params.host);
                // A range of addresses has no counterpart among replaced ones.
                let spans = params.spans().unwrap_or_default();
                let targets = params.targets.iter().zip(spans);
                params.targets = targets.filter_map(|(text, span)| self.target_span(text, &span)).collect();
            }
            Params::Traceroute(params) => params.host = self.name(&params.host),
            Params::Tls(params) => {
                params.host = self.name(&params.host);
                params.server_name = params.server_name.as_deref().map(|name| self.name(name));
                params.alpn = params.alpn.iter().map(|word| self.word(word)).collect();
                params.pin = params.pin.as_deref().map(|pin| self.fingerprint(pin));
                params.compare_names = self.names(&params.compare_names);
            }
            Params::Http(params) => self.http(params),
            Params::Load(params) => {
                params.url = self.url(&params.url);
                params.upload_url = params.upload_url.as_deref().map(|url| self.url(url));
            }
            Params::Proxy(params) => {
                params.url = self.url(&params.url);
                if !params.script_url.is_empty() {
                    params.script_url = self.url(&params.script_url);
                }
            }
            Params::Mtu(params) => params.host = self.name(&params.host),
            Params::Ntp(params) => {
                params.host = self.name(&params.host);
                params.others = self.names(&params.others);
            }
            Params::Quic(params) => {
                params.host = self.name(&params.host);
                params.server_name = params.server_name.as_deref().map(|name| self.name(name));
                params.alpn = params.alpn.iter().map(|word| self.word(word)).collect();
            }
            Params::Reflect(params) => params.host = self.name(&params.host),
            // Words of a closed list.
            Params::Cloud(_) => {}
            Params::Service(params) => params.host = self.name(&params.host),
            Params::Host(params) => params.target = params.target.as_deref().map(|name| self.name(name)),
        }
        params.to_value()
    }

    /// `tls://192.0.2.53#dns.example`: what stands behind the sign is the name that its certificate must have, and no fragment of a URL.
    fn name_server(&mut self, server: &str) -> String {
        match server.rsplit_once('#') {
            Some((address, name)) => format!("{}#{}", self.text(address), self.name(name)),
            None => self.text(server),
        }
    }

    /// An address with the length of its prefix.
    fn subnet(&mut self, subnet: &str) -> String {
        let apart = subnet.split_once('/').and_then(|(address, length)| Some((address.parse().ok()?, length)));
        match apart {
            Some((address, length)) => format!("{}/{length}", self.address(address)),
            None => self.text(subnet),
        }
    }

    fn http(&mut self, params: &mut HttpParams) {
        params.url = self.url(&params.url);
        for url in [&mut params.known_url, &mut params.echo_url, &mut params.upload_url] {
            *url = url.as_deref().map(|url| self.url(url));
        }
        params.expect_status = params.expect_status.iter().map(|word| self.word(word)).collect();
        params.expect_headers =
            params.header_rules().collect::<Vec<_>>().into_iter().map(|rule| self.header_rule(rule)).collect();
        params.expect_body_sha256 = params.expect_body_sha256.as_deref().map(|digest| self.digest(digest));
        // What is looked for in a page is a part of the page. Only that there were rules, and how many, is kept.
        for text in params.expect_body.iter_mut().chain(&mut params.known_body) {
            *text = self.withheld();
        }
        for rule in &mut params.expect_json {
            let pointer = rule.split_once('=').map_or("", |(pointer, _)| pointer).to_owned();
            *rule = format!("{}={}", self.text(&pointer), self.withheld());
        }
    }

    fn withheld(&mut self) -> String {
        self.count("expected_text");
        "[redacted]".to_owned()
    }

    fn header_rule(&mut self, rule: HeaderRule) -> String {
        let HeaderRule { name, must } = rule;
        let mut value = |value: String| self.header(&Header { name: name.clone(), value }).value;
        let (before, after) = match must {
            HeaderMust::BePresent => ("", String::new()),
            HeaderMust::BeAbsent => ("!", String::new()),
            HeaderMust::Equal(wanted) => ("", format!("={}", value(wanted))),
            HeaderMust::Contain(wanted) => ("", format!("~{}", value(wanted))),
        };
        format!("{before}{}{after}", self.word(&name))
    }

    fn target_span(&mut self, text: &str, span: &TargetSpan) -> Option<String> {
        match span {
            TargetSpan::Name(name) => Some(self.name(name)),
            TargetSpan::Addresses(first, last) if first == last => Some(self.address(*first).to_string()),
            TargetSpan::Addresses(..) if self.is_strict() => {
                self.count("address_range");
                None
            }
            TargetSpan::Addresses(..) => Some(text.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::redaction::tests::redactor;
    use crate::redaction::{MappingKey, Redactor};
    use netsonde_contract::kind::Kind;
    use serde_json::json;

    #[test]
    fn the_name_that_a_name_server_must_have_stays_and_no_address_of_one_leaves_at_the_strict_level() {
        let given = json!({"name": "shop.example", "servers": ["quic://192.0.2.53#dns.example"], "control": "tls://192.0.2.54#dns.example",
            "roots": ["192.0.2.55"], "client_subnet": "192.0.2.0/24"});
        let kept = redactor().parameters(Kind::Dns, &given);
        assert_eq!(kept["servers"], json!(["quic://192.0.2.53#dns.example"]));
        let key = MappingKey::from_bytes([3; 32]);
        let strict = Redactor::new(Some(&key), &[]).parameters(Kind::Dns, &given).to_string();
        assert!(!strict.contains("192.0.2.") && !strict.contains("dns.example"), "{strict}");
    }
}
