//! What a run sends to beside its target: the name servers and the proxy that it needs to get there, and time servers.

use super::path::IcmpSeen;
use super::{Attempt, Evidence, NXDOMAIN, Seen, Sending, passed};
use netsonde_contract::failure::{Failure, IcmpMeaning};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Lookup, LookupSource, Purpose};
use std::net::{IpAddr, SocketAddr};

const TIME_SERVER: &str = "the time server";

/// What routers say of a way, and not what the machine at its end says of itself.
const OF_THE_WAY: [IcmpMeaning; 4] = [
    IcmpMeaning::TimeExceeded,
    IcmpMeaning::NetworkUnreachable,
    IcmpMeaning::HostUnreachable,
    IcmpMeaning::AdministrativelyProhibited,
];

impl<'a> Evidence<'a> {
    /// Whose way can be spoken of: the target's addresses, and those of [`Self::broken_off`].
    pub(crate) fn destinations(&self) -> Vec<IpAddr> {
        let mut all = self.addresses();
        for address in self.broken_off().into_iter().map(|socket| socket.ip()) {
            if !all.contains(&address) {
                all.push(address);
            }
        }
        all
    }

    /// A router on the way said why a packet got no further.
    pub(super) fn is_told(&self, failure: &Failure) -> bool {
        failure.icmp.as_ref().is_some_and(|error| OF_THE_WAY.contains(&error.meaning()) && !self.is_own(error.offender))
    }

    /// Name servers, proxies and time servers beside the target that never answered, and of whose packets a router said something: to
    /// themselves, or to those of a trace that followed them up.
    pub(crate) fn broken_off(&self) -> Vec<SocketAddr> {
        let told = |failure: Option<&Failure>| failure.is_some_and(|failure| self.is_told(failure));
        let servers = self.questions().filter(|(server, lookup)| told(lookup.failure.as_ref()) && self.is_dead(server.ip()));
        let stood = |address: &SocketAddr| {
            self.to_proxy.iter().any(|connect| connect.address.ip() == address.ip() && connect.failure.is_none())
        };
        let proxies = self.to_proxy.iter().filter(|connect| told(connect.failure.as_ref())).map(|connect| connect.address);
        let unheard = self.unheard_time_servers();
        let traced = |address: IpAddr| self.traces.iter().any(|trace| trace.target == address);
        let of_time = self
            .sendings_beside_target()
            .filter(|sending| unheard.contains(&sending.address.ip()) && (told(sending.failure) || traced(sending.address.ip())));
        let of_time = of_time.map(|sending| sending.address);
        let mut all: Vec<SocketAddr> = Vec::new();
        for socket in servers.map(|(server, _)| server).chain(proxies.filter(|address| !stood(address))).chain(of_time) {
            if !all.contains(&socket) && self.is_between(socket.ip()).is_some() {
                all.push(socket);
            }
        }
        all
    }

    /// The address is that of a name server, a proxy or a time server, and nothing that was asked for is there: only what netsonde asked further was sent
    /// to it beside that.
    pub(crate) fn is_between(&self, address: IpAddr) -> Option<&'static str> {
        let by_target = |attempt: &Attempt<'_>| attempt.address.ip() == address && !attempt.by_follow_up;
        let set = |outcome: &netsonde_contract::outcome::Outcome| outcome.separates.is_empty();
        let asked_for = self.attempts.iter().any(by_target)
            || self.echoes_of(address).any(|echo| set(echo.outcome))
            || self.traces.iter().any(|trace| trace.target == address && set(trace.outcome))
            || self.sendings_to_target().any(|sending| sending.address.ip() == address)
            || self.target.is_some_and(|target| target.host.parse() == Ok(address));
        if asked_for {
            return None;
        }
        if self.to_proxy.iter().any(|connect| connect.address.ip() == address) {
            return Some("the proxy");
        }
        if self.questions().any(|(server, _)| server.ip() == address) {
            return Some("the name server");
        }
        self.is_beside_for_time(address).then_some(TIME_SERVER)
    }

    /// A time server that the run asked beside its target.
    pub(crate) fn is_beside_for_time(&self, address: IpAddr) -> bool {
        self.sendings_beside_target().any(|sending| sending.address.ip() == address)
    }

    fn sendings_beside_target(&self) -> impl Iterator<Item = &Sending<'a>> {
        let host = self.target.map(|target| target.host.as_str());
        self.sendings.iter().filter(move |sending| sending.is_time && host.is_some_and(|host| sending.host != Some(host)))
    }

    /// Errors of routers that questions to this name server or time server, or connections to this proxy, met.
    pub(super) fn icmp_errors_between(&self, address: IpAddr) -> Vec<IcmpSeen<'a>> {
        let lookups = self.questions().filter(|(server, _)| server.ip() == address).filter_map(|(_, lookup)| {
            let error = lookup.fact.failure.as_ref()?.icmp.as_ref()?;
            Some(IcmpSeen { id: lookup.id, error, came_us: None, ttl: None })
        });
        let connects = self.to_proxy.iter().filter(|connect| connect.address.ip() == address).filter_map(|connect| {
            let error = connect.fact.failure.as_ref()?.icmp.as_ref()?;
            Some(IcmpSeen { id: connect.id, error, came_us: Some(connect.at_us + connect.took_us), ttl: None })
        });
        let of_time = self.sendings_beside_target().filter(|sending| sending.address.ip() == address).filter_map(|sending| {
            let error = sending.failure?.icmp.as_ref()?;
            Some(IcmpSeen { id: sending.id, error, came_us: None, ttl: None })
        });
        lookups.chain(connects).chain(of_time).collect()
    }

    /// The smallest round trip to the address that anything showed but name service itself.
    pub(crate) fn distance_of(&self, address: IpAddr) -> Option<(u64, &'a ObservationId)> {
        let connections = self.attempts().iter().filter(|attempt| attempt.address.ip() == address && attempt.connected());
        let connections = connections.map(|attempt| (attempt.took_us, attempt.id));
        let elsewhere = self.attempts_elsewhere().iter().filter(|attempt| attempt.address.ip() == address);
        let elsewhere = elsewhere.filter(|attempt| attempt.connected()).map(|attempt| (attempt.took_us, attempt.id));
        connections.chain(elsewhere).chain(self.path_rtt(address)).min_by_key(|(rtt_us, _)| *rtt_us)
    }

    /// The machine at the address answers as a name server: it replied, and no reply in its name shows that somebody on the way made it.
    pub(super) fn answers_for_names(&self, address: IpAddr) -> bool {
        // Whoever replies where no name server is may do so in the place of any other.
        let replaced = self.lookups_beside.iter().any(|lookup| lookup.purpose == Purpose::Unserved && lookup.reply.is_some());
        let mut replied = self.questions().filter(|(server, lookup)| server.ip() == address && lookup.reply.is_some()).peekable();
        !replaced && replied.peek().is_some() && replied.all(|(_, lookup)| !self.is_made_on_the_way(address, lookup.fact))
    }

    /// The reply bears a sign of somebody other than the server: a second one to the same question, a denial that names no zone, a certificate for another
    /// name, or fewer routers behind it than a trace to the address has before it.
    fn is_made_on_the_way(&self, address: IpAddr, lookup: &Lookup) -> bool {
        let Some(reply) = lookup.reply.as_deref() else { return false };
        // A question that was sent again may honestly be answered again.
        let twice = lookup.attempts <= 1 && lookup.others.iter().any(|other| other.second_reply);
        let without_zone = reply.rcode_number == NXDOMAIN && !reply.authority.iter().any(|record| record.record_type == "SOA");
        let farthest = self.farthest_router(address).map(|(hop, _)| hop);
        let nearer = reply.ip_ttl.zip(farthest).is_some_and(|(ttl, hop)| passed(ttl) < hop);
        twice || without_zone || !lookup.is_vouched_for() || nearer
    }

    /// It was asked, and no question of any kind got a reply.
    fn is_dead(&self, server: IpAddr) -> bool {
        self.questions().filter(|(asked, _)| asked.ip() == server).all(|(_, lookup)| lookup.reply.is_none())
    }

    /// Every question to a name server, with the server's address.
    fn questions(&self) -> impl Iterator<Item = (SocketAddr, &Seen<'a, Lookup>)> {
        let server = |lookup: &Seen<'a, Lookup>| match lookup.fact.source {
            LookupSource::Server { server, .. } => Some(server),
            LookupSource::System | LookupSource::Library => None,
        };
        self.lookups.iter().chain(&self.lookups_beside).filter_map(move |lookup| Some((server(lookup)?, lookup)))
    }
}
