use super::Redactor;
use netsonde_contract::kind::{Kind, Params, TargetSpan};
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
                params.servers = params.servers.iter().map(|server| self.text(server)).collect();
            }
            Params::Tcp(params) => params.host = self.name(&params.host),
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
            Params::Http(params) => {
                params.url = self.url(&params.url);
                params.expect_status = params.expect_status.iter().map(|word| self.word(word)).collect();
            }
            Params::Mtu(params) => params.host = self.name(&params.host),
            Params::Ntp(params) => {
                params.host = self.name(&params.host);
                params.others = self.names(&params.others);
            }
            Params::Service(params) => params.host = self.name(&params.host),
            Params::Host(params) => params.target = params.target.as_deref().map(|name| self.name(name)),
        }
        params.to_value()
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
