//! The indexed view that rules read: every fact of one target, by its type, and the questions that several rules ask.

/// What became of packets to an address that are no pings.
mod beside_pings;
/// What a run sends to beside its target.
mod destination;
/// How far away whoever sent a packet is.
mod distance;
/// Attempts to connect, whichever check made them.
mod endpoint;
/// What the machine knows of itself.
mod machine;
/// What each source of names said.
mod naming;
/// Connections at different paces.
mod paces;
/// What is known about the way to one address.
mod path;
/// Where only redirects led.
mod redirect;
/// What was sent beside connections.
mod sending;
/// What connections had to send again.
mod sent_again;
/// What a series of echo requests shows of the way.
mod series;
/// What made a check fail, and where.
mod symptom;
/// How far connections to one port get.
mod syn_trace;

pub(crate) use beside_pings::{BesidePings, ENOUGH_MOMENTS};
pub(crate) use distance::passed;
pub(crate) use endpoint::{Attempt, Endpoint, host_of};
pub(crate) use machine::{is_barred, is_private, is_without_route};
pub(crate) use naming::{Answer, NXDOMAIN, NameView, REFUSED, SERVFAIL, ServerView, went_out};
pub(crate) use paces::{LEAST_SLOW, Paces, SLOW_SPREAD_MS};
pub(crate) use path::{IcmpSeen, LARGE_ECHO_BYTES, LARGE_ECHOES};
pub(crate) use sending::Sending;
pub(crate) use sent_again::{Order, SentAgain, data_resent};
pub(crate) use series::{CALM_INTERVAL_MS, Share, is_fragmented};
pub(crate) use symptom::{Symptom, sets_cookie};
pub(crate) use syn_trace::{Router, replies};

use netsonde_contract::environment::Environment;
use netsonde_contract::id::ObservationId;
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::{
    AddressProbe, Capacity, Clock, CloudHint, CloudMetadata, Connect, ConnectAttempt, Counters, Delegation, DnssecChain, Echo,
    Exchange, ExchangePurpose, Fact, FetchedIssuer, Firewall, Handshake, HandshakeVariant, Hop, Interface, Load, Lookup, Machine,
    Mtu, NameSources, Neighbours, Observation, PlatformAddress, PortSweep, Proxies, Proxy, Purpose, Quic, Reflection, Resolvers,
    Revocation, Route, Service, Sockets, SystemLoad, TimeOffset, TlsSupport, Trace, ZoneServer,
};
use netsonde_contract::outcome::Outcome;
use netsonde_contract::target::Target;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;

/// The check of a set that connects to the proxy in force instead of the target; `proxy#2` is the second target's.
const PROXY_CHECK: &str = "proxy";

/// Whether the check connects to the proxy.
pub(crate) fn is_of_proxy(outcome: &Outcome) -> bool {
    outcome.check.as_str().split('#').next() == Some(PROXY_CHECK)
}

/// The proxy behind whose tunnel an http check speaks at this address, and the URL that it asks for there.
pub(crate) fn proxy_towards(outcome: &Outcome, at: SocketAddr) -> Option<(&str, &str)> {
    outcome.observations.iter().find_map(|observation| match &observation.fact {
        Fact::Exchange(exchange) if exchange.address == Some(at) => Some((exchange.proxy.as_deref()?, exchange.url.as_str())),
        _ => None,
    })
}

/// Bytes of data in one segment at most, where the check held its connections to that.
pub(crate) fn small_segments(outcome: &Outcome) -> Option<u64> {
    outcome.parameters.get("max_segment_bytes").and_then(serde_json::Value::as_u64)
}

/// One fact with the observation it came from and the check that made it.
#[derive(Debug)]
pub(crate) struct Seen<'a, T> {
    pub(crate) outcome: &'a Outcome,
    pub(crate) id: &'a ObservationId,
    /// When the step began, since the run began.
    pub(crate) at_us: u64,
    pub(crate) fact: &'a T,
}

impl<T> Clone for Seen<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Seen<'_, T> {}

impl<T> Deref for Seen<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.fact
    }
}

/// Everything that was observed for one target.
#[derive(Debug)]
pub(crate) struct Evidence<'a> {
    pub(crate) target: Option<&'a Target>,
    pub(crate) environment: &'a Environment,
    pub(crate) outcomes: Vec<&'a Outcome>,
    /// The questions of the checks.
    pub(crate) lookups: Vec<Seen<'a, Lookup>>,
    /// The same questions with checking disabled, after SERVFAIL.
    pub(crate) unchecked: Vec<Seen<'a, Lookup>>,
    /// Chains of signatures that netsonde verified itself.
    pub(crate) chains: Vec<Seen<'a, DnssecChain>>,
    /// Questions beside them: identity, control, search, checking disabled.
    pub(crate) lookups_beside: Vec<Seen<'a, Lookup>>,
    pub(crate) name_sources: Vec<Seen<'a, NameSources>>,
    pub(crate) delegations: Vec<Seen<'a, Delegation>>,
    pub(crate) zone_servers: Vec<Seen<'a, ZoneServer>>,
    pub(crate) echoes: Vec<Seen<'a, Echo>>,
    pub(crate) hops: Vec<Seen<'a, Hop>>,
    pub(crate) traces: Vec<Seen<'a, Trace>>,
    /// Traces whose packets announce congestion marks (ECN), and their hops, where one without stands beside them to compare.
    pub(crate) marked_traces: Vec<Seen<'a, Trace>>,
    pub(crate) marked_hops: Vec<Seen<'a, Hop>>,
    pub(crate) handshakes: Vec<Seen<'a, Handshake>>,
    /// Handshakes that differ from a check's own in one thing.
    pub(crate) variants: Vec<Seen<'a, HandshakeVariant>>,
    pub(crate) tls_support: Vec<Seen<'a, TlsSupport>>,
    pub(crate) fetched_issuers: Vec<Seen<'a, FetchedIssuer>>,
    pub(crate) revocations: Vec<Seen<'a, Revocation>>,
    pub(crate) exchanges: Vec<Seen<'a, Exchange>>,
    pub(crate) quics: Vec<Seen<'a, Quic>>,
    pub(crate) services: Vec<Seen<'a, Service>>,
    pub(crate) routes: Vec<Seen<'a, Route>>,
    pub(crate) mtus: Vec<Seen<'a, Mtu>>,
    pub(crate) time_offsets: Vec<Seen<'a, TimeOffset>>,
    /// The distances on the ways to other targets of the run, which share routers with this one.
    pub(crate) hops_elsewhere: Vec<Seen<'a, Hop>>,
    /// The certificates, the time and the pages that other targets of the run showed: one clock judges them all.
    pub(crate) handshakes_elsewhere: Vec<Seen<'a, Handshake>>,
    pub(crate) time_offsets_elsewhere: Vec<Seen<'a, TimeOffset>>,
    pub(crate) exchanges_elsewhere: Vec<Seen<'a, Exchange>>,
    /// Every TCP attempt of a tcp check, with what was done once it stood.
    pub(crate) connects: Vec<Seen<'a, Connect>>,
    pub(crate) interfaces: Vec<Seen<'a, Interface>>,
    pub(crate) machines: Vec<Seen<'a, Machine>>,
    pub(crate) clocks: Vec<Seen<'a, Clock>>,
    /// This machine's own packet filter in figures.
    pub(crate) firewalls: Vec<Seen<'a, Firewall>>,
    pub(crate) resolvers: Vec<Seen<'a, Resolvers>>,
    pub(crate) proxies: Vec<Seen<'a, Proxies>>,
    pub(crate) sockets: Vec<Seen<'a, Sockets>>,
    pub(crate) capacities: Vec<Seen<'a, Capacity>>,
    /// What the kernel counted, before and after the run.
    pub(crate) counters: Vec<Seen<'a, Counters>>,
    /// Whom the machine knows on its own links.
    pub(crate) neighbours: Vec<Seen<'a, Neighbours>>,
    /// Own addresses that were asked for on their links.
    pub(crate) address_probes: Vec<Seen<'a, AddressProbe>>,
    /// Connections to the proxy, which say nothing of the way to the target.
    pub(crate) to_proxy: Vec<Seen<'a, Connect>>,
    pub(crate) cloud_hints: Vec<Seen<'a, CloudHint>>,
    pub(crate) cloud_metadata: Vec<Seen<'a, CloudMetadata>>,
    pub(crate) platform_addresses: Vec<Seen<'a, PlatformAddress>>,
    /// Requests beside a check's own question: known answers, echoes of headers, uploads. The other way of a comparison is none.
    pub(crate) beside: Vec<Seen<'a, Exchange>>,
    pub(crate) loads: Vec<Seen<'a, Load>>,
    pub(crate) system_loads: Vec<Seen<'a, SystemLoad>>,
    /// What proxies say that were asked as such.
    pub(crate) proxy_answers: Vec<Seen<'a, Proxy>>,
    /// Further ports of an address, tried for what they say of the address.
    pub(crate) port_sweeps: Vec<Seen<'a, PortSweep>>,
    attempts: Vec<Attempt<'a>>,
    /// Beside connections, to this target and to what its checks asked beside it.
    sendings: Vec<Sending<'a>>,
    /// Series to reflectors, each direction by itself.
    pub(crate) reflections: Vec<Seen<'a, Reflection>>,
    /// Connections to other targets of the run, which leave the same network.
    attempts_elsewhere: Vec<Attempt<'a>>,
}

impl<'a> Evidence<'a> {
    /// Indexes the outcomes of one target. Outcomes that belong to no target, and host checks, lend their facts about the machine.
    pub(crate) fn of(outcomes: &'a [Outcome], target: Option<&'a Target>, environment: &'a Environment) -> Self {
        let mut evidence = Self {
            target,
            environment,
            outcomes: outcomes.iter().filter(|outcome| outcome.target.as_ref() == target).collect(),
            lookups: Vec::new(),
            unchecked: Vec::new(),
            chains: Vec::new(),
            lookups_beside: Vec::new(),
            name_sources: Vec::new(),
            delegations: Vec::new(),
            zone_servers: Vec::new(),
            echoes: Vec::new(),
            hops: Vec::new(),
            traces: Vec::new(),
            marked_traces: Vec::new(),
            marked_hops: Vec::new(),
            handshakes: Vec::new(),
            variants: Vec::new(),
            tls_support: Vec::new(),
            fetched_issuers: Vec::new(),
            revocations: Vec::new(),
            exchanges: Vec::new(),
            quics: Vec::new(),
            services: Vec::new(),
            routes: Vec::new(),
            mtus: Vec::new(),
            time_offsets: Vec::new(),
            hops_elsewhere: Vec::new(),
            handshakes_elsewhere: Vec::new(),
            time_offsets_elsewhere: Vec::new(),
            exchanges_elsewhere: Vec::new(),
            connects: Vec::new(),
            interfaces: Vec::new(),
            machines: Vec::new(),
            clocks: Vec::new(),
            firewalls: Vec::new(),
            resolvers: Vec::new(),
            proxies: Vec::new(),
            sockets: Vec::new(),
            capacities: Vec::new(),
            counters: Vec::new(),
            neighbours: Vec::new(),
            address_probes: Vec::new(),
            to_proxy: Vec::new(),
            cloud_hints: Vec::new(),
            cloud_metadata: Vec::new(),
            platform_addresses: Vec::new(),
            beside: Vec::new(),
            loads: Vec::new(),
            system_loads: Vec::new(),
            proxy_answers: Vec::new(),
            port_sweeps: Vec::new(),
            attempts: Vec::new(),
            sendings: Vec::new(),
            reflections: Vec::new(),
            attempts_elsewhere: Vec::new(),
        };
        for outcome in outcomes {
            let of_target = outcome.target.as_ref() == target;
            // The machine is the same for every target, and is read for the first one only; ways to other targets share routers and the way out,
            // and what they show of certificates and of the time is read by the same clock.
            let shared = matches!(
                outcome.kind,
                Kind::Host | Kind::Traceroute | Kind::Tcp | Kind::Service | Kind::Tls | Kind::Http | Kind::Ntp
            );
            if of_target || outcome.target.is_none() || shared {
                for observation in &outcome.observations {
                    evidence.add(outcome, observation, of_target);
                }
            }
        }
        evidence.set_marked_apart();
        evidence.set_redirected();
        evidence
    }

    /// What only packets with congestion marks meet says nothing of all others.
    fn set_marked_apart(&mut self) {
        let is_marked =
            |outcome: &Outcome| outcome.parameters.get("ecn").and_then(serde_json::Value::as_bool).unwrap_or_default();
        if self.traces.iter().all(|trace| is_marked(trace.outcome)) {
            return;
        }
        self.marked_traces = self.traces.extract_if(.., |trace| is_marked(trace.outcome)).collect();
        self.marked_hops = self.hops.extract_if(.., |hop| is_marked(hop.outcome)).collect();
    }

    /// An attempt at a connection, and those at other addresses that it took.
    fn add_attempts(&mut self, attempt: Option<Attempt<'a>>, all: &'a [ConnectAttempt]) {
        let Some(attempt) = attempt else { return };
        self.attempts.push(attempt);
        self.attempts.extend(attempt.others(all));
    }

    fn add(&mut self, outcome: &'a Outcome, observation: &'a Observation, of_target: bool) {
        macro_rules! seen {
            ($fact:expr) => {
                Seen { outcome, id: &observation.id, at_us: observation.at_us, fact: $fact }
            };
        }
        match &observation.fact {
            Fact::Interface(fact) => self.interfaces.push(seen!(fact)),
            Fact::Machine(fact) => self.machines.push(seen!(fact)),
            Fact::SystemLoad(fact) => self.system_loads.push(seen!(fact)),
            Fact::Counters(fact) => self.counters.push(seen!(fact)),
            Fact::Clock(fact) => self.clocks.push(seen!(fact)),
            Fact::Firewall(fact) => self.firewalls.push(seen!(fact)),
            Fact::Resolvers(fact) => self.resolvers.push(seen!(fact)),
            Fact::Proxies(fact) => self.proxies.push(seen!(fact)),
            Fact::Sockets(fact) => self.sockets.push(seen!(fact.as_ref())),
            Fact::Capacity(fact) => self.capacities.push(seen!(fact)),
            Fact::Neighbours(fact) => self.neighbours.push(seen!(fact)),
            Fact::AddressProbe(fact) => self.address_probes.push(seen!(fact)),
            Fact::CloudHint(fact) => self.cloud_hints.push(seen!(fact)),
            Fact::CloudMetadata(fact) => {
                self.sendings.push(Sending::of_metadata(seen!(fact.as_ref())));
                self.cloud_metadata.push(seen!(fact));
            }
            Fact::PlatformAddress(fact) => {
                self.sendings.push(Sending::of_platform(seen!(fact.as_ref())));
                self.platform_addresses.push(seen!(fact));
            }
            Fact::Hop(fact) if !of_target => self.hops_elsewhere.push(seen!(fact)),
            Fact::Connect(fact) if !of_target && !is_of_proxy(outcome) => {
                self.attempts_elsewhere.extend(Attempt::of_connect(seen!(fact)));
            }
            Fact::Service(fact) if !of_target => self.attempts_elsewhere.extend(Attempt::of_service(seen!(fact.as_ref()))),
            Fact::Handshake(fact) if !of_target => self.handshakes_elsewhere.push(seen!(fact.as_ref())),
            Fact::TimeOffset(fact) if !of_target => self.time_offsets_elsewhere.push(seen!(fact.as_ref())),
            Fact::Exchange(fact) if !of_target && fact.purpose.is_question() => {
                self.exchanges_elsewhere.push(seen!(fact.as_ref()))
            }
            _ if !of_target => {}
            Fact::Lookup(fact) if fact.purpose == Purpose::Question => {
                // Whoever answers over TLS has to show who it is, as any server.
                let doubtful = fact.tls.as_deref().filter(|_| !fact.is_vouched_for());
                self.handshakes.extend(doubtful.map(|handshake| seen!(handshake)));
                self.lookups.push(seen!(fact));
            }
            Fact::Lookup(fact) if fact.purpose == Purpose::CheckingDisabled => {
                self.unchecked.push(seen!(fact));
                self.lookups_beside.push(seen!(fact));
            }
            Fact::DnssecChain(fact) => self.chains.push(seen!(fact.as_ref())),
            Fact::Lookup(fact) => self.lookups_beside.push(seen!(fact)),
            Fact::NameSources(fact) => self.name_sources.push(seen!(fact)),
            Fact::Delegation(fact) => self.delegations.push(seen!(fact)),
            Fact::ZoneServer(fact) => self.zone_servers.push(seen!(fact)),
            Fact::HandshakeVariant(fact) => self.variants.push(seen!(fact)),
            Fact::TlsSupport(fact) => self.tls_support.push(seen!(fact)),
            Fact::FetchedIssuer(fact) => self.fetched_issuers.push(seen!(fact)),
            Fact::Revocation(fact) => self.revocations.push(seen!(fact)),
            Fact::Connect(fact) if is_of_proxy(outcome) => self.to_proxy.push(seen!(fact)),
            Fact::Connect(fact) => {
                self.attempts.extend(Attempt::of_connect(seen!(fact)));
                self.connects.push(seen!(fact));
            }
            Fact::Echo(fact) => self.echoes.push(seen!(fact)),
            Fact::Hop(fact) => self.hops.push(seen!(fact)),
            Fact::Trace(fact) => self.traces.push(seen!(fact)),
            Fact::Handshake(fact) => {
                let seen = seen!(fact.as_ref());
                self.add_attempts(Attempt::of_handshake(seen), &seen.fact.attempts);
                self.handshakes.push(seen);
            }
            // What is asked beside the question, such as the other way or a known answer, says nothing of the target by itself.
            Fact::Exchange(fact) if fact.purpose == ExchangePurpose::Compared => {}
            Fact::Exchange(fact) if !fact.purpose.is_question() => self.beside.push(seen!(fact.as_ref())),
            Fact::Exchange(fact) => {
                let seen = seen!(fact.as_ref());
                self.add_attempts(Attempt::of_exchange(seen), &seen.fact.attempts);
                self.exchanges.push(seen);
            }
            Fact::Proxy(fact) => self.proxy_answers.push(seen!(fact.as_ref())),
            Fact::Quic(fact) => {
                // Where it completed, its certificate is judged as any other. Its address is no attempt at TCP.
                let completed = fact.tls.as_deref().filter(|_| fact.failure.is_none());
                self.handshakes.extend(completed.map(|handshake| seen!(handshake)));
                self.sendings.push(Sending::of_quic(seen!(fact.as_ref())));
                self.quics.push(seen!(fact.as_ref()));
            }
            Fact::Service(fact) => {
                let seen = seen!(fact.as_ref());
                self.attempts.extend(Attempt::of_service(seen));
                self.sendings.extend(Sending::of_service(seen));
                self.services.push(seen);
            }
            Fact::Route(fact) => self.routes.push(seen!(fact)),
            Fact::Mtu(fact) => self.mtus.push(seen!(fact.as_ref())),
            Fact::TimeOffset(fact) => {
                self.sendings.push(Sending::of_time(seen!(fact.as_ref())));
                self.time_offsets.push(seen!(fact.as_ref()));
            }
            // No rule reads these yet.
            Fact::Comparison(_) => {}
            Fact::Load(fact) => {
                let seen = seen!(fact.as_ref());
                self.add_attempts(Attempt::of_load(seen), &seen.fact.attempts);
                self.loads.push(seen);
            }
            Fact::Reflection(fact) => {
                let seen = seen!(fact.as_ref());
                self.sendings.push(Sending::of_reflection(seen));
                self.reflections.push(seen);
            }
            Fact::PortSweep(fact) => self.port_sweeps.push(seen!(fact)),
            // Sums over many addresses: no rule reads a cause from them.
            Fact::Sweep(_) | Fact::Race(_) => {}
            Fact::Unknown(_) => {}
        }
    }

    /// The target's host as it was asked for, for sentences.
    pub(crate) fn host(&self) -> String {
        let from_facts = || {
            let connect = self.attempts.first().map(|attempt| attempt.host.to_owned());
            let echo = || self.echoes.first().map(|echo| echo.host.clone());
            let trace = || self.traces.first().map(|trace| trace.host.clone());
            let sending = || self.sendings_to_target().find_map(|sending| Some(sending.host?.to_owned()));
            connect.or_else(echo).or_else(trace).or_else(sending)
        };
        self.target.map(|target| target.host.clone()).or_else(from_facts).unwrap_or_else(|| "the target".to_owned())
    }

    /// The addresses of the target that anything was sent to or looked up for, each once. Hosts that only redirects led to are left out,
    /// unless no connection to them stood: then what is wrong with their addresses is what the target's user meets.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        // Only where a router ended it, the search for the path MTU tells more of the address than of sizes.
        let refused = |failure: &netsonde_contract::failure::Failure| failure.icmp.is_some();
        let mut addresses = Vec::new();
        let stood = |address: IpAddr| self.attempts.iter().any(|attempt| attempt.address.ip() == address && attempt.connected());
        let matters = |attempt: &&Attempt<'_>| !attempt.redirected || !stood(attempt.address.ip());
        let attempts = self.attempts.iter().filter(matters).map(|attempt| attempt.address.ip());
        let all = attempts
            .chain(self.echoes.iter().map(|echo| echo.address))
            .chain(self.traces.iter().map(|trace| trace.target))
            .chain(self.routes.iter().map(|route| route.target))
            .chain(self.mtus.iter().filter(|mtu| mtu.failure.as_ref().is_some_and(refused)).map(|mtu| mtu.address))
            .chain(self.sendings_to_target().map(|sending| sending.address.ip()));
        for address in all {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }
}
