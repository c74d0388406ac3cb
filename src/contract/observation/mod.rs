//! Observations: what was measured, without a conclusion.
//!
//! Times: `at_us` counts microseconds since the run began, on a monotonic clock; every `*_us` is a duration in microseconds.
//! A fact type that this version does not know is kept as it came, so that a stored bundle of a newer agent survives.

mod cloud;
mod delegation;
mod dns;
mod dnssec;
mod expectation;
mod host;
mod http;
mod icmp;
mod load;
mod mtu;
mod name_sources;
mod ntp;
mod proxy;
mod quic;
mod reflect;
mod route;
mod route_depth;
mod service;
mod tcp;
mod tls;
mod transfer;

pub use cloud::{CLOUD_ADDRESSES, CloudHint, CloudMetadata, CloudProvider, PlatformAddress, PlatformService};
pub use delegation::{DelegatedTo, Delegation, Signature, VouchedKey, ZoneKey, ZoneServer};
pub use dns::{
    Cookie, DnsFlags, DnsReply, Edns, ExtendedError, Lookup, LookupSource, OtherMessage, Purpose, QueryReason, Record, SentQuery,
    SubnetScope, Transport,
};
pub use dnssec::{DnssecChain, Security, ZoneSecurity};
pub use expectation::{Expectation, ExpectationAbout, Relation, type_and_size};
pub use host::{
    AddressAnswer, AddressProbe, Capacity, Chain, Clock, Conntrack, Counter, Counters, CpuTime, Descriptors, EphemeralPorts,
    Firewall, FirewallTable, Interface, InterfaceCounters, InterfaceGrowth, Listener, Machine, Neighbour, Neighbours,
    OwnerSockets, PortUse, Pressure, ProcessSockets, Proxies, ProxySetting, RemotePort, ResolverSource, Resolvers, Route,
    RoutingRule, Sockets, StateCount, SystemLoad, TowardsTarget,
};
pub use http::{
    Alternative, ChangedHeader, ComparedAnswer, Comparison, EchoedHeaders, Exchange, ExchangePurpose, Header, Phases,
    ProxyReason, ServerTiming, StrictTransport,
};
pub use icmp::{
    Echo, EchoClock, EchoReply, EchoStatistics, ExtraKind, ExtraReply, RttDistribution, Sweep, SweepError, SweepTarget,
};
pub use load::{LatencySeries, Load, LoadedPhase};
pub use mtu::{Mtu, MtuAnswer, MtuLimit, MtuProbe, MtuTransport};
pub use name_sources::{HostsLine, NameSources};
pub use ntp::{Leap, TimeMessage, TimeOffset, TimeSample, TimeServer};
pub use proxy::{Proxy, ProxyAnswer, ProxyMethod, ProxyProtocol, SocksAnswer};
pub use quic::{Quic, QuicClose, QuicParameters};
pub use reflect::{DirectionMtu, ReflectDirection, ReflectSample, Reflection, ReflectorKind};
pub use route::{Hop, HopProbe, HopReply, ReplyKind, Trace, TraceProtocol};
pub use route_depth::{
    Changed, HopName, HopOrigin, MplsLabel, Multipath, PathAnswers, Quoted, RateShare, RateTest, RateVerdict, RouteChange,
    RttSpread, Share, TraceClock, TraceIds, TraceLacks, TracePath,
};
pub use service::{Service, ServiceReach, ServiceRefusal, ServiceStep, TlsUpgrade};
pub use tcp::{Banner, Connect, ConnectAttempt, Hold, PortState, PortSweep, Race, SeenSegment, TcpState};
pub use tls::{
    BuiltChain, Certificate, CertificateRequest, CertificateTimestamp, FetchedIssuer, Handshake, HandshakeVariant, NameVerdict,
    Ocsp, OcspStatus, PinVerdict, Revocation, RevocationSource, StartTls, Tickets, TlsSupport, TrustReason, TrustStore,
    TrustVerdict, Variant, VersionSupport,
};
pub use transfer::{RangeAnswer, Transfer, TransferEnd};

use crate::id::{CheckId, ObservationId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One measured fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Observation {
    pub id: ObservationId,
    pub check: CheckId,
    /// When the measured step began, in microseconds since the run began.
    pub at_us: u64,
    #[serde(flatten)]
    pub fact: Fact,
}

/// The fact itself; `fact` in JSON names its type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    Lookup(Lookup),
    NameSources(NameSources),
    Delegation(Delegation),
    ZoneServer(Box<ZoneServer>),
    DnssecChain(Box<DnssecChain>),
    Connect(Connect),
    Race(Race),
    PortSweep(PortSweep),
    Echo(Echo),
    Sweep(Box<Sweep>),
    Hop(Hop),
    Trace(Trace),
    Handshake(Box<Handshake>),
    HandshakeVariant(Box<HandshakeVariant>),
    TlsSupport(Box<TlsSupport>),
    FetchedIssuer(Box<FetchedIssuer>),
    Revocation(Box<Revocation>),
    Exchange(Box<Exchange>),
    Comparison(Box<Comparison>),
    Proxy(Box<Proxy>),
    Load(Box<Load>),
    Mtu(Box<Mtu>),
    TimeOffset(Box<TimeOffset>),
    Quic(Box<Quic>),
    Reflection(Box<Reflection>),
    CloudHint(CloudHint),
    CloudMetadata(Box<CloudMetadata>),
    PlatformAddress(Box<PlatformAddress>),
    Service(Box<Service>),
    Interface(Interface),
    Route(Route),
    Resolvers(Resolvers),
    Proxies(Proxies),
    Clock(Clock),
    Neighbours(Neighbours),
    Sockets(Box<Sockets>),
    Firewall(Firewall),
    Capacity(Capacity),
    Counters(Counters),
    SystemLoad(SystemLoad),
    Machine(Machine),
    AddressProbe(AddressProbe),
    /// From a newer agent: kept, shown raw, and read by no rule.
    #[serde(untagged)]
    Unknown(serde_json::Map<String, serde_json::Value>),
}

impl Fact {
    /// The failure that the fact records, if it records one.
    pub fn failure(&self) -> Option<&crate::failure::Failure> {
        match self {
            Self::Lookup(fact) => fact.failure.as_ref(),
            Self::ZoneServer(fact) => fact.failure.as_ref(),
            Self::Connect(fact) => fact.failure.as_ref(),
            Self::Echo(fact) => fact.failure.as_ref(),
            Self::Sweep(fact) => fact.failure.as_ref(),
            Self::PortSweep(fact) => fact.failure.as_ref(),
            Self::Trace(fact) => fact.failure.as_ref(),
            Self::Handshake(fact) => fact.failure.as_ref(),
            Self::Exchange(fact) => fact.failure.as_ref(),
            Self::Load(fact) => fact.failure.as_ref(),
            Self::Proxy(fact) => fact.failure.as_ref(),
            Self::Route(fact) => fact.failure.as_ref(),
            Self::HandshakeVariant(fact) => fact.failure.as_ref(),
            Self::TlsSupport(fact) => fact.failure.as_ref(),
            Self::FetchedIssuer(fact) => fact.failure.as_ref(),
            Self::Revocation(fact) => fact.failure.as_ref(),
            Self::Mtu(fact) => fact.failure.as_ref(),
            Self::TimeOffset(fact) => fact.failure.as_ref(),
            Self::Quic(fact) => fact.failure.as_ref(),
            Self::Reflection(fact) => fact.failure.as_ref(),
            Self::CloudMetadata(fact) => fact.failure.as_ref(),
            Self::PlatformAddress(fact) => fact.failure.as_ref(),
            Self::AddressProbe(fact) => fact.failure.as_ref(),
            Self::Service(fact) => fact.failure.as_ref(),
            Self::NameSources(_)
            | Self::Delegation(_)
            | Self::DnssecChain(_)
            | Self::Hop(_)
            | Self::Race(_)
            | Self::Comparison(_)
            | Self::Interface(_)
            | Self::Resolvers(_)
            | Self::Proxies(_)
            | Self::Clock(_)
            | Self::CloudHint(_)
            | Self::Neighbours(_)
            | Self::Sockets(_)
            | Self::Firewall(_)
            | Self::Capacity(_)
            | Self::Counters(_)
            | Self::SystemLoad(_)
            | Self::Machine(_)
            | Self::Unknown(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_of_a_newer_agent_survives_a_round_trip() {
        let text = r#"{"id":"q/1","check":"q","at_us":7,"fact":"quic_handshake","versions":[1]}"#;
        let observation: Observation = serde_json::from_str(text).unwrap();
        assert!(matches!(observation.fact, Fact::Unknown(_)));
        let again: serde_json::Value = serde_json::to_value(&observation).unwrap();
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(text).unwrap());
    }
}
