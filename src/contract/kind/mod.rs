//! Probe kinds and their parameters.
//!
//! [`kinds!`] below is the one list: names, help, completions, set checking and the agent's dispatch derive from it. A kind's
//! parameters are a plain struct; their help, defaults and bounds are read from its JSON Schema by [`Kind::fields`], so that the
//! struct is the only place that states them.

mod alpn;
mod cloud;
mod destinations;
pub mod dns;
mod expect;
mod field;
mod host;
mod http;
mod icmp;
mod least;
mod load;
mod mtu;
mod name_server;
mod ntp;
mod port_span;
mod proxy;
mod quic;
mod reflect;
mod service;
mod targets;
mod tcp;
mod tls;
mod traceroute;

pub use cloud::CloudParams;
pub use dns::{ClientSubnet, DnsParams, DnsTransport, EdnsUse, TrustAnchor};
pub use expect::{ByteRange, HeaderMust, HeaderRule, JsonRule};
pub(crate) use field::check as check_fields;
pub use field::{Field, FieldType, ParameterError};
pub use host::HostParams;
pub use http::{HttpMethod, HttpParams};
pub use icmp::{EchoEngine, IcmpParams};
pub use load::{LatencyBy, LoadDirection, LoadParams};
pub use mtu::MtuParams;
pub use name_server::{NameServer, Speaks};
pub use ntp::NtpParams;
pub use port_span::PortSpan;
pub use proxy::ProxyParams;
pub use quic::QuicParams;
pub use reflect::ReflectParams;
pub use service::{ServiceParams, ServiceProtocol, ServiceTransport};
pub use targets::TargetSpan;
pub use tcp::TcpParams;
pub use tls::{StartTlsProtocol, TlsParams};
pub use traceroute::{FlowChoice, TracerouteParams, TracerouteProtocol};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::LazyLock;

macro_rules! kinds {
    ($($variant:ident($params:ty) $name:literal $summary:literal;)*) => {
        /// A kind of measurement.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Kind {
            $(#[doc = $summary] $variant,)*
        }

        /// Checked parameters of one check.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Params {
            $(#[doc = $summary] $variant($params),)*
        }

        impl Kind {
            pub const ALL: &'static [Kind] = &[$(Kind::$variant,)*];

            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What the kind measures, in one line.
            pub fn summary(self) -> &'static str {
                match self { $(Self::$variant => $summary,)* }
            }

            /// The kind's parameters, the required ones first. They are read from its types once.
            pub fn fields(self) -> &'static [Field] {
                match self {
                    $(Self::$variant => {
                        static FIELDS: LazyLock<Vec<Field>> =
                            LazyLock::new(|| field::fields(&schemars::schema_for!($params).to_value()));
                        &FIELDS
                    })*
                }
            }
        }

        impl Params {
            /// Parameters of `kind` from a JSON object, with defaults filled in and bounds checked.
            ///
            /// # Errors
            /// Where a key is unknown or missing, a value has the wrong type, or a number is out of its bounds.
            pub fn parse(kind: Kind, value: Value) -> Result<Self, ParameterError> {
                field::check(kind.fields(), &value)?;
                match kind {
                    $(Kind::$variant => serde_json::from_value(value).map(Self::$variant).map_err(ParameterError::shape),)*
                }
                .and_then(Self::validated)
            }

            pub fn kind(&self) -> Kind {
                match self { $(Self::$variant(_) => Kind::$variant,)* }
            }

            /// The parameters in force, defaults included.
            pub fn to_value(&self) -> Value {
                match self { $(Self::$variant(params) => serde_json::to_value(params).unwrap_or_default(),)* }
            }
        }
    };
}

kinds! {
    Dns(DnsParams) "dns" "Asks name servers directly and through the system, and keeps the whole reply.";
    Tcp(TcpParams) "tcp" "Connects to a TCP port on every address of a host.";
    Icmp(IcmpParams) "icmp" "Sends echo requests (ping) to every address of a host.";
    Traceroute(TracerouteParams) "traceroute" "Finds the routers on the way to a host.";
    Tls(TlsParams) "tls" "Makes a TLS handshake and records chain, trust, protocol and cipher.";
    Http(HttpParams) "http" "Makes an HTTP request, follows redirects and times every phase.";
    Proxy(ProxyParams) "proxy" "Asks the proxy in force whether it lets this machine out, and with which sign-in.";
    Load(LoadParams) "load" "Measures the delay while idle and under a bounded transfer, and how much the path carries.";
    Mtu(MtuParams) "mtu" "Finds the largest packet that passes to a host, and whether the path says what it drops.";
    Ntp(NtpParams) "ntp" "Asks time servers how far the machine's clock is off.";
    Quic(QuicParams) "quic" "Makes a QUIC handshake, times it, and asks which versions the server speaks.";
    Reflect(ReflectParams) "reflect" "Measures loss, delay and packet size to a STAMP reflector, each direction by itself.";
    Cloud(CloudParams) "cloud" "Asks the cloud that the machine runs in for its metadata and platform services.";
    Service(ServiceParams) "service" "Speaks just enough of a protocol to tell a living service from a listening port.";
    Host(HostParams) "host" "Reads the machine's own network: interfaces, routes, sockets, resolvers, firewall, counters, load and clock.";
}

impl Params {
    /// What a schema cannot say, kind by kind.
    fn validated(self) -> Result<Self, ParameterError> {
        match &self {
            Self::Dns(params) => params.validate()?,
            Self::Icmp(params) => params.validate()?,
            Self::Tcp(params) => params.validate()?,
            Self::Tls(params) => params.validate()?,
            Self::Quic(params) => params.validate()?,
            Self::Http(params) => params.validate()?,
            Self::Load(params) => params.validate()?,
            Self::Proxy(params) => params.validate()?,
            Self::Cloud(params) => params.validate()?,
            // Their schema says it all.
            _ => {}
        }
        Ok(self)
    }
}

impl Kind {
    /// The kinds that judge certificates, and so heed further roots that somebody trusts.
    pub const JUDGING_CERTIFICATES: &'static [Self] = &[Self::Dns, Self::Tls, Self::Http, Self::Proxy, Self::Load, Self::Quic];

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_defaults_of_every_kind_are_within_its_own_bounds() {
        for kind in Kind::ALL {
            let fields = kind.fields();
            let mut value = serde_json::Map::new();
            for field in fields.iter().filter(|field| field.required) {
                let example = match &field.kind {
                    FieldType::Integer => json!(field.minimum.unwrap_or(1)),
                    FieldType::Choice(words) => json!(words[0]),
                    _ => json!("example.test"),
                };
                value.insert(field.name.clone(), example);
            }
            let params = Params::parse(*kind, Value::Object(value)).unwrap();
            field::check(fields, &params.to_value()).unwrap();
        }
    }

    #[test]
    fn an_unknown_parameter_is_refused_with_the_nearest_known_one() {
        let error = Params::parse(Kind::Tcp, json!({"host": "x", "prot": 80})).unwrap_err();
        assert_eq!(error.key.as_deref(), Some("prot"));
        assert!(error.to_string().contains("did you mean `port`"), "{error}");
    }

    #[test]
    fn what_no_handshake_can_offer_or_expect_is_refused_before_it_begins() {
        let long = "x".repeat(256);
        for (kind, with, words) in [
            (Kind::Tls, json!({"host": "x", "pin": "abc"}), ["`pin` is \"abc\"", "64 hexadecimal"]),
            (Kind::Tls, json!({"host": "x", "alpn": [long]}), ["`alpn` has a name of 256 bytes", "at most 16 protocol names"]),
            (Kind::Tls, json!({"host": "x", "alpn": vec!["h2"; 17]}), ["`alpn` has 17 names", "1 to 255 bytes"]),
            (Kind::Tls, json!({"host": "x", "compare_names": vec!["none"; 9]}), ["`compare_names` has 9", "at most 8"]),
            (Kind::Quic, json!({"host": "x", "alpn": []}), ["`alpn` has 0 names", "1 to 16 protocol names"]),
            (Kind::Quic, json!({"host": "x", "alpn": [""]}), ["`alpn` has a name of 0 bytes", "1 to 255 bytes"]),
        ] {
            let error = Params::parse(kind, with).unwrap_err();
            assert!(words.iter().all(|words| error.to_string().contains(words)), "{error}");
            assert!(error.key.is_some(), "{error}");
        }
        assert!(Params::parse(Kind::Tls, json!({"host": "x", "alpn": [], "pin": "AB:".repeat(31) + "ab"})).is_ok());
    }

    #[test]
    fn a_number_beyond_its_hard_maximum_is_refused() {
        let error = Params::parse(Kind::Icmp, json!({"host": "x", "count": 1_000_000})).unwrap_err();
        assert!(error.to_string().contains("at most"), "{error}");
    }
}
