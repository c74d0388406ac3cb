use super::{Attempt, Evidence, Seen};
use netsonde_contract::failure::{Failure, FailureCode, IcmpMeaning, Step};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Chain, Clock, Counters, Echo, Firewall, Interface};
use std::net::IpAddr;

impl<'a> Evidence<'a> {
    /// Whether the address belongs to this machine, as far as its interfaces, routes and sockets tell.
    pub(crate) fn is_own(&self, address: IpAddr) -> bool {
        let on_interface =
            |interface: &Interface| interface.addresses.iter().any(|cidr| prefix(cidr).is_some_and(|(own, _)| own == address));
        address.is_loopback()
            || self.interfaces.iter().any(|interface| on_interface(interface))
            || self.routes.iter().any(|route| route.source == Some(address))
            || self.attempts().iter().any(|attempt| attempt.local == Some(address))
    }

    /// Whether the address is on a link of this machine, with no gateway between; none where nothing tells.
    pub(crate) fn on_link(&self, address: IpAddr) -> Option<bool> {
        if let Some(route) = self.route_of(address).filter(|route| route.failure.is_none()) {
            return Some(route.gateway.is_none());
        }
        let holds = |cidr: &String| prefix(cidr).is_some_and(|(network, bits)| same_network(network, address, bits));
        let known = self.interfaces.iter().any(|interface| !interface.addresses.is_empty());
        known.then(|| self.interfaces.iter().any(|interface| interface.addresses.iter().any(holds)))
    }

    /// Failures of packets to the address, whichever check sent them.
    pub(crate) fn failures_to(&self, address: IpAddr) -> Vec<(&'a Failure, &'a ObservationId)> {
        let routes =
            self.routes.iter().filter(|route| route.target == address).map(|route| (route.fact.failure.as_ref(), route.id));
        let attempts =
            self.attempts().iter().filter(|attempt| attempt.address.ip() == address).map(|attempt| (attempt.failure, attempt.id));
        let echoes = self.echoes_of(address).map(|echo| (echo.fact.failure.as_ref(), echo.id));
        let traces =
            self.traces.iter().filter(|trace| trace.target == address).map(|trace| (trace.fact.failure.as_ref(), trace.id));
        let sendings = self.sendings_to_target().filter(|sending| sending.address.ip() == address);
        let sendings = sendings.map(|sending| (sending.failure, sending.id));
        let all = routes.chain(attempts).chain(echoes).chain(traces).chain(sendings);
        all.filter_map(|(failure, id)| Some((failure?, id))).collect()
    }

    /// Observations in which this machine's own routing table led nowhere for the address; empty where it knows a route.
    pub(crate) fn without_route(&self, address: IpAddr) -> Vec<&'a ObservationId> {
        let routes = || self.routes.iter().filter(|route| route.target == address);
        if routes().any(|route| route.failure.is_none()) {
            return Vec::new();
        }
        let barred = |failure: &Failure| failure.code == FailureCode::PermissionDenied && failure.icmp.is_none();
        let attempts = || self.attempts().iter().filter(|attempt| attempt.address.ip() == address);
        // A route of type prohibit bars connections too; a lookup that is barred alone only lacked a right.
        let prohibited = attempts().any(|attempt| attempt.failure.is_some_and(barred));
        let by_table = routes().filter(|route| route.fact.failure.as_ref().is_some_and(|failure| prohibited || !barred(failure)));
        let by_attempt = attempts().filter(|attempt| attempt.failure.is_some_and(is_without_route));
        // What an earlier ICMP error left behind fails a later send in the same words: only series that met none count.
        let unmet = |echo: &&Seen<'_, Echo>| echo.fact.errors.is_empty() && echo.fact.replies.is_empty();
        let by_echo =
            self.echoes_of(address).filter(unmet).filter(|echo| echo.fact.failure.as_ref().is_some_and(is_without_route));
        let by_trace = self.traces.iter().filter(|trace| trace.target == address && self.hops_of(address).is_empty());
        let by_trace = by_trace.filter(|trace| trace.fact.failure.as_ref().is_some_and(is_without_route));
        let ids = by_table.map(|route| route.id).chain(by_attempt.map(|attempt| attempt.id));
        let by_sending = self.sendings_to_target().filter(|sending| sending.address.ip() == address);
        let by_sending = by_sending.filter(|sending| sending.failure.is_some_and(is_without_route)).map(|sending| sending.id);
        ids.chain(by_echo.map(|echo| echo.id)).chain(by_trace.map(|trace| trace.id)).chain(by_sending).collect()
    }

    /// Observations in which this machine said host unreachable itself: it found no hardware address for the next hop (RFC 1122
    /// section 2.3.2.2).
    pub(crate) fn next_hop_unresolved(&self, address: IpAddr) -> Vec<&'a ObservationId> {
        // A route of type unreachable fails in the same words.
        if !self.without_route(address).is_empty() {
            return Vec::new();
        }
        let own = self.icmp_errors(address, IcmpMeaning::HostUnreachable).into_iter();
        let own = own.filter(|seen| self.is_own(seen.error.offender)).map(|seen| seen.id);
        let at_once = |attempt: &&Attempt<'_>| {
            let failure = attempt.failure.filter(|_| attempt.address.ip() == address);
            failure.is_some_and(|failure| failure.code == FailureCode::HostUnreachable && failure.icmp.is_none())
        };
        own.chain(self.attempts().iter().filter(at_once).map(|attempt| attempt.id)).collect()
    }

    /// The observation that shows that no rule of this machine's own packet filter rejects anything, where it was read whole.
    pub(crate) fn own_filter_rejects_nothing(&self) -> Option<&'a ObservationId> {
        let read = |firewall: &&Seen<'_, Firewall>| firewall.unread.is_none() && firewall.legacy_tables.is_empty();
        let rejects =
            |firewall: &Firewall| firewall.tables.iter().flat_map(|table| &table.chains).any(|chain| chain.reject_rules > 0);
        self.firewalls.iter().filter(read).find(|firewall| !rejects(firewall)).map(|firewall| firewall.id)
    }

    /// The observation that shows a rule or policy of this machine's own packet filter which drops, at one of these hooks or in a chain that
    /// others call. Of the older iptables only its tables are known, and any may.
    pub(crate) fn own_filter_drops(&self, hooks: &[&str]) -> Option<&'a ObservationId> {
        let at_hook = |chain: &Chain| chain.hook.as_deref().is_none_or(|hook| hooks.contains(&hook));
        let drops = |chain: &Chain| at_hook(chain) && (chain.drop_rules > 0 || chain.policy.as_deref() == Some("drop"));
        let any = |firewall: &Firewall| {
            !firewall.legacy_tables.is_empty() || firewall.tables.iter().flat_map(|table| &table.chains).any(drops)
        };
        self.firewalls.iter().find(|firewall| any(firewall)).map(|firewall| firewall.id)
    }

    /// The observation that shows a rule of it which rejects.
    pub(crate) fn own_filter_rejects(&self) -> Option<&'a ObservationId> {
        let any = |firewall: &Firewall| {
            let chains = || firewall.tables.iter().flat_map(|table| &table.chains);
            !firewall.legacy_tables.is_empty() || chains().any(|chain| chain.reject_rules > 0)
        };
        self.firewalls.iter().find(|firewall| any(firewall)).map(|firewall| firewall.id)
    }

    /// How much the kernel's counters grew during the run, where they were read at both ends.
    pub(crate) fn grown(&self) -> Option<Seen<'a, Counters>> {
        self.counters.iter().find(|counters| counters.over_us.is_some()).copied()
    }

    /// The interface that the route to the address leads out of.
    pub(crate) fn interface_to(&self, address: IpAddr) -> Option<Seen<'a, Interface>> {
        let name = self.route_of(address)?.fact.interface.as_deref()?;
        self.interfaces.iter().find(|interface| interface.name == name).copied()
    }

    /// This machine's addresses that lead beyond its own links.
    pub(crate) fn own_addresses(&self) -> Vec<IpAddr> {
        let written = self.interfaces.iter().filter(|interface| interface.up).flat_map(|interface| &interface.addresses);
        let addresses = written.filter_map(|cidr| cidr.split('/').next()?.parse::<IpAddr>().ok());
        let on_link = |address: &IpAddr| match address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        addresses.filter(|address| !address.is_loopback() && !on_link(address)).collect()
    }

    /// Observations of connections to the address that stayed without any answer.
    pub(crate) fn silent_tcp(&self, address: IpAddr) -> Vec<&'a ObservationId> {
        let silent = self.attempts().iter().filter(|attempt| attempt.address.ip() == address && attempt.silent());
        silent.map(|attempt| attempt.id).collect()
    }

    /// The machine's clock as it was read, where a check read it.
    pub(crate) fn clock(&self) -> Option<Seen<'a, Clock>> {
        self.clocks.first().copied()
    }
}

/// The operating system had no route: it said so at once, and no ICMP error from elsewhere was the reason.
pub(crate) fn is_without_route(failure: &Failure) -> bool {
    failure.code == FailureCode::NetworkUnreachable && failure.icmp.is_none()
}

/// The system refused to connect, and no ICMP error was the reason: what it answers where a route forbids the way.
pub(crate) fn is_barred(failure: &Failure) -> bool {
    failure.code == FailureCode::PermissionDenied && failure.during == Step::Connect && failure.icmp.is_none()
}

/// Of a private network (RFC 1918, RFC 6598, RFC 4193).
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || (v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64),
        IpAddr::V6(v6) => v6.segments()[0] & 0xfe00 == 0xfc00,
    }
}

/// `192.0.2.7/24` in its parts.
fn prefix(cidr: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = cidr.split_once('/')?;
    Some((address.parse().ok()?, bits.parse().ok()?))
}

fn same_network(left: IpAddr, right: IpAddr, bits: u32) -> bool {
    match (left, right) {
        (IpAddr::V4(left), IpAddr::V4(right)) => (left.to_bits() ^ right.to_bits()).leading_zeros() >= bits,
        (IpAddr::V6(left), IpAddr::V6(right)) => (left.to_bits() ^ right.to_bits()).leading_zeros() >= bits,
        _ => false,
    }
}
