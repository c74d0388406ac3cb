use super::{Attempt, Evidence, Seen};
use netsonde_contract::failure::{FailureCode, IcmpError, IcmpMeaning};
use netsonde_contract::finding::Severity;
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{
    Echo, Fact, Hop, HopReply, Mtu, MtuLimit, PortState, ReplyKind, Route, Trace, TraceProtocol,
};
use netsonde_contract::outcome::{Outcome, Status};
use std::net::IpAddr;

/// An echo payload, and a body, from which on the answer takes packets near the usual size.
pub(crate) const LARGE_ECHO_BYTES: u32 = 1_400;
const LARGE_BODY_BYTES: u64 = 3_000;
/// Large pings that are lost together by no chance, where small ones come back.
pub(crate) const LARGE_ECHOES: u32 = 5;

/// An ICMP error on the way to one address: who sent it, and when it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IcmpSeen<'a> {
    pub(crate) id: &'a ObservationId,
    pub(crate) error: &'a IcmpError,
    /// When it came, since the run began; unknown for echo series.
    pub(crate) came_us: Option<u64>,
    /// The TTL of the probe that it answers; none for packets with the usual TTL.
    pub(crate) ttl: Option<u8>,
}

/// Paths on the Internet have seldom more routers, and a trace that is not told otherwise looks so far.
const USUAL_HOPS: u8 = 30;
/// So many distances of silence behind the last router that answered are the target's silence, and no end that was set too early.
const SILENT_HOPS: u8 = 10;

/// So many connections of which each sends its first packet several times: a router that says of pings that they get no further, at its usual
/// pace, says so of one of these as well.
const LEAST_SILENT: usize = 3;

/// Why a trace ended before the target could be heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// It was to look at so many distances only.
    AtLimit(u8),
    /// Its time was over.
    OutOfTime,
}

/// Why the trace says nothing of its target; none where it does, or failed by itself.
pub(crate) fn stopped(outcome: &Outcome, trace: &Trace) -> Option<Stopped> {
    if trace.arrived || trace.failure.is_some() {
        return None;
    }
    if outcome.status == Status::TimedOut {
        return Some(Stopped::OutOfTime);
    }
    let answered = |fact: &Fact| match fact {
        Fact::Hop(hop) if hop.target == trace.target && !hop.addresses().is_empty() => Some(hop.ttl),
        _ => None,
    };
    let last = outcome.observations.iter().filter_map(|seen| answered(&seen.fact)).max().unwrap_or(0);
    let early = trace.max_ttl < USUAL_HOPS && trace.max_ttl < last.saturating_add(SILENT_HOPS);
    early.then_some(Stopped::AtLimit(trace.max_ttl))
}

/// Where a router is that was first heard of at the distance `first`, as it turned a packet away. One that is silent where a packet's time is up, or
/// sends few errors a second, is heard of too far: its errors come back over fewer routers than that, where all others come back over as many
/// as the way there has.
fn turns_away_at(hops: &[Seen<'_, Hop>], first: u8, router: IpAddr) -> Option<u8> {
    let at = |ttl: u8| hops.iter().filter(move |hop| hop.ttl == ttl).flat_map(|hop| super::replies(hop.fact));
    let mut errors = at(first).filter(|reply| reply.from == router).peekable();
    let back = errors.peek()?.return_hops.filter(|back| (1..first).contains(back))?;
    let is_alike = |reply: &HopReply| reply.kind == ReplyKind::Unreachable && reply.return_hops == Some(back);
    let mut before = (1..back).flat_map(|ttl| at(ttl).map(move |reply| (ttl, reply))).peekable();
    let next_door = first == 2;
    let holds = errors.all(is_alike)
        && (back..first).all(|ttl| at(ttl).next().is_none())
        && (next_door || before.peek().is_some())
        && before.all(|(ttl, reply)| reply.return_hops == Some(ttl));
    holds.then_some(back)
}

impl<'a> Evidence<'a> {
    pub(crate) fn echoes_of(&self, address: IpAddr) -> impl Iterator<Item = &Seen<'a, Echo>> {
        self.echoes.iter().filter(move |echo| echo.address == address)
    }

    /// Traces that were really made: those that could not be sent at all, or that ended before they could tell, show nothing of the target.
    pub(crate) fn traces_of(&self, address: IpAddr) -> impl Iterator<Item = &Seen<'a, Trace>> {
        let made = |trace: &Seen<'_, Trace>| trace.failure.is_none() && stopped(trace.outcome, trace.fact).is_none();
        self.traces.iter().filter(move |trace| trace.target == address && (trace.arrived || made(trace)))
    }

    /// The distances on the way to the address, the nearest first.
    pub(crate) fn hops_of(&self, address: IpAddr) -> Vec<Seen<'a, Hop>> {
        let mut hops: Vec<_> = self.hops.iter().filter(|hop| hop.target == address).copied().collect();
        hops.sort_by_key(|hop| hop.ttl);
        hops
    }

    pub(crate) fn route_of(&self, address: IpAddr) -> Option<&Seen<'a, Route>> {
        self.routes.iter().find(|route| route.target == address)
    }

    /// The farthest distance at which a router answered, short of the target itself.
    pub(crate) fn last_router(&self, address: IpAddr) -> Option<(u8, IpAddr, &'a ObservationId)> {
        self.hops_of(address).into_iter().rev().find_map(|hop| {
            let router = hop.addresses().into_iter().find(|from| *from != address && !self.is_own(*from))?;
            Some((hop.ttl, router, hop.id))
        })
    }

    /// The distance at which an address answered on the way to `target`.
    pub(crate) fn hop_of(&self, target: IpAddr, router: IpAddr) -> Option<u8> {
        let hops = self.hops_of(target);
        let first = hops.iter().find(|hop| hop.addresses().contains(&router))?.ttl;
        Some(turns_away_at(&hops, first, router).unwrap_or(first))
    }

    /// What was measured of the sizes that pass to the address, over UDP and TCP and by echo requests.
    pub(crate) fn mtus_of(&self, address: IpAddr) -> impl Iterator<Item = &Seen<'a, Mtu>> {
        self.mtus.iter().filter(move |mtu| mtu.address == address)
    }

    /// Packets of this size, or larger ones, reach the address, whatever they carry.
    pub(crate) fn carries(&self, address: IpAddr, bytes: u32) -> bool {
        self.mtus_of(address).any(|mtu| mtu.passed_bytes.is_some_and(|passed| passed >= bytes))
    }

    /// Observations in which the address answered to echo requests.
    pub(crate) fn echoed(&self, address: IpAddr) -> Vec<&'a ObservationId> {
        self.echoes_of(address).filter(|echo| !echo.replies.is_empty()).map(|echo| echo.id).collect()
    }

    /// Observations in which the address answered to a traceroute.
    pub(crate) fn arrived(&self, address: IpAddr) -> Vec<&'a ObservationId> {
        self.traces_of(address).filter(|trace| trace.arrived).map(|trace| trace.id).collect()
    }

    /// Observations in which TCP of the address answered: a connection or a reset, on any port.
    pub(crate) fn answered_tcp(&self, address: IpAddr) -> Vec<&'a ObservationId> {
        let of_address = self.attempts().iter().filter(|attempt| attempt.address.ip() == address);
        let by_attempt = of_address.filter(|attempt| attempt.connected() || attempt.refused_by_reset()).map(|attempt| attempt.id);
        by_attempt.chain(self.answering_sweeps(address).map(|(_, id)| id)).collect()
    }

    /// A connection to some port of the address stood. Refusals alone may be those of a box on the way.
    pub(crate) fn takes_connections(&self, address: IpAddr) -> bool {
        let mut attempts = self.attempts().iter().filter(|attempt| attempt.address.ip() == address);
        let mut sweeps = self.port_sweeps.iter().filter(|sweep| sweep.address == address);
        attempts.any(Attempt::connected) || sweeps.any(|sweep| sweep.fact.ports.iter().any(|port| port.failure.is_none()))
    }

    /// Further ports of the address that are open, or refused with a reset that did not begin before it, and the observation that shows each.
    pub(crate) fn answering_sweeps(&self, address: IpAddr) -> impl Iterator<Item = (u16, &'a ObservationId)> {
        let answers = move |port: &PortState| {
            port.failure.as_ref().is_none_or(|failure| {
                let by_reset = failure.code == FailureCode::Refused && failure.icmp.is_none();
                by_reset && !port.reset.is_some_and(|reset| self.began_before(address, reset))
            })
        };
        let of_address = self.port_sweeps.iter().filter(move |sweep| sweep.address == address);
        of_address
            .flat_map(move |sweep| sweep.fact.ports.iter().filter(move |port| answers(port)).map(|port| (port.port, sweep.id)))
    }

    /// Observations in which any port or protocol of the address answered.
    pub(crate) fn answered(&self, address: IpAddr) -> Vec<&'a ObservationId> {
        let mut ids = self.answered_tcp(address);
        ids.extend(self.echoed(address));
        ids.extend(self.arrived(address));
        let sendings = self.sendings_to_target().filter(|sending| sending.address.ip() == address && sending.answered);
        ids.extend(sendings.map(|sending| sending.id));
        ids
    }

    /// The smallest round trip to the address that ICMP showed, and where: TCP's own times are what it is compared with.
    pub(crate) fn path_rtt(&self, address: IpAddr) -> Option<(u64, &'a ObservationId)> {
        let echoes = self.echoes_of(address).filter_map(|echo| Some((echo.min_rtt_us()?, echo.id)));
        let hops = self.plain_hops(address).flat_map(|hop| {
            let arrived = super::replies(hop.fact).filter(|reply| reply.kind == ReplyKind::Arrived);
            arrived.map(move |reply| (reply.rtt_us, hop.id))
        });
        echoes.chain(hops).min_by_key(|(rtt, _)| *rtt)
    }

    /// Every round trip to the address itself: of small pings, of probes that arrived and of the connections of tcp checks that stood at
    /// once. Those of handshakes and exchanges are timed by the program, which a busy machine wakes late.
    pub(crate) fn round_trips(&self, address: IpAddr) -> Vec<(u64, &'a ObservationId)> {
        let connections = self
            .attempts()
            .iter()
            .filter(|attempt| attempt.address.ip() == address && attempt.by_tcp_check)
            .filter(|attempt| attempt.connected() && !attempt.connected_late())
            .map(|attempt| (attempt.took_us, attempt.id));
        let pings = self.answered_series(address).flat_map(|echo| echo.fact.replies.iter().map(|reply| (reply.rtt_us, echo.id)));
        let hops = self.hops_of(address).into_iter().flat_map(|hop| {
            let replies = hop.fact.probes.iter().filter_map(|probe| probe.reply.as_ref());
            replies.filter(|reply| reply.kind == ReplyKind::Arrived).map(move |reply| (reply.rtt_us, hop.id))
        });
        connections.chain(pings).chain(hops).collect()
    }

    /// The ICMP errors with this meaning that packets to the address met, from connections, echo series and traces.
    pub(crate) fn icmp_errors(&self, address: IpAddr, meaning: IcmpMeaning) -> Vec<IcmpSeen<'a>> {
        let mut errors = Vec::new();
        for attempt in self.attempts().iter().filter(|attempt| attempt.address.ip() == address) {
            if let Some(error) = attempt.failure.and_then(|failure| failure.icmp.as_ref()) {
                let came_us = Some(attempt.at_us + attempt.took_us);
                errors.push(IcmpSeen { id: attempt.id, error, came_us, ttl: None });
            }
        }
        for echo in self.echoes_of(address) {
            let of_echo = echo.fact.errors.iter().chain(echo.fact.failure.iter().filter_map(|failure| failure.icmp.as_ref()));
            errors.extend(of_echo.map(|error| IcmpSeen { id: echo.id, error, came_us: None, ttl: None }));
        }
        for mtu in self.mtus_of(address) {
            if let Some(error) = mtu.fact.failure.as_ref().and_then(|failure| failure.icmp.as_ref()) {
                errors.push(IcmpSeen { id: mtu.id, error, came_us: Some(mtu.at_us + mtu.took_us), ttl: None });
            }
        }
        for hop in self.hops_of(address) {
            for reply in hop.fact.probes.iter().filter_map(|probe| probe.reply.as_ref()) {
                if let (ReplyKind::Unreachable, Some(error)) = (reply.kind, &reply.icmp) {
                    let came_us = Some(hop.at_us + reply.rtt_us);
                    errors.push(IcmpSeen { id: hop.id, error, came_us, ttl: Some(hop.ttl) });
                }
            }
        }
        for sending in self.sendings_to_target().filter(|sending| sending.address.ip() == address) {
            if let Some(error) = sending.failure.and_then(|failure| failure.icmp.as_ref()) {
                errors.push(IcmpSeen { id: sending.id, error, came_us: None, ttl: None });
            }
        }
        errors.extend(self.icmp_errors_between(address));
        errors.retain(|seen| seen.error.meaning() == meaning);
        errors
    }

    /// Packets of every kind that was tried went to the address, and nothing at all came back: no answer, not even as a name server, no
    /// refusal, no error.
    pub(crate) fn is_silent(&self, address: IpAddr) -> bool {
        let attempts: Vec<_> = self.attempts().iter().filter(|attempt| attempt.address.ip() == address).collect();
        let echoes: Vec<_> = self.echoes_of(address).collect();
        let traces: Vec<_> = self.traces_of(address).collect();
        let unreachable = |hop: &Seen<'_, Hop>| {
            hop.fact.probes.iter().filter_map(|probe| probe.reply.as_ref()).any(|reply| reply.kind == ReplyKind::Unreachable)
        };
        let tried = !attempts.is_empty() || !traces.is_empty() || echoes.iter().any(|echo| echo.fact.failure.is_none());
        tried
            && attempts.iter().all(|attempt| attempt.silent())
            && echoes.iter().all(|echo| echo.fact.replies.is_empty() && echo.fact.errors.is_empty())
            && traces.iter().all(|trace| !trace.fact.arrived)
            && !self.hops_of(address).iter().any(unreachable)
            && self.answering_sweeps(address).next().is_none()
            && !self.came_back_over_udp(address)
            && !self.answers_for_names(address)
    }

    /// These errors answered pings or traces alone, and several connections that left this machine met none and stayed silent: whatever keeps
    /// those from an answer need not be what sent the errors.
    pub(crate) fn contradicted_by_silence(&self, address: IpAddr, errors: &[IcmpSeen<'_>]) -> bool {
        let attempts = || self.attempts().iter().filter(|attempt| attempt.address.ip() == address);
        let sweeps = self.port_sweeps.iter().filter(|sweep| sweep.address == address);
        let ended = |port: &PortState| port.failure.as_ref().is_some_and(|failure| failure.icmp.is_some());
        let by_sweep = sweeps.flat_map(|sweep| &sweep.fact.ports).any(ended);
        let answers_probes = |seen: &IcmpSeen<'_>| {
            let by_echo = self.echoes_of(address).any(|echo| echo.id == seen.id);
            let by_trace = self.hops.iter().any(|hop| hop.id == seen.id && hop.protocol != TraceProtocol::Tcp);
            let by_size = self.mtus_of(address).any(|mtu| mtu.id == seen.id);
            by_echo || by_trace || by_size
        };
        attempts().count() >= LEAST_SILENT
            && attempts().all(Attempt::silent)
            && !by_sweep
            && !errors.is_empty()
            && errors.iter().all(answers_probes)
    }

    /// Further ports of the address were tried.
    pub(crate) fn was_swept(&self, address: IpAddr) -> bool {
        self.port_sweeps.iter().any(|sweep| sweep.address == address && !sweep.fact.ports.is_empty())
    }

    /// A connection or a service over UDP was tried, or a check that matters looked at the path: only then is silence more than a filtered ping.
    pub(crate) fn silence_matters(&self, address: IpAddr) -> bool {
        let echo = self.echoes_of(address).any(|echo| echo.outcome.required);
        let trace = self.traces_of(address).any(|trace| trace.outcome.required);
        let over_udp = || !self.silent_udp_ports(address).is_empty() || !self.turned_away_over_udp(address).is_empty();
        self.tried_tcp(address) || echo || trace || over_udp()
    }

    pub(crate) fn tried_tcp(&self, address: IpAddr) -> bool {
        self.attempts().iter().any(|attempt| attempt.address.ip() == address)
    }

    /// Measurements that show that large packets to the address pass, or that whoever drops them says so.
    pub(crate) fn passes_large(&self, address: IpAddr) -> Vec<&'a ObservationId> {
        let passes = |mtu: &&Seen<'_, Mtu>| {
            let told = matches!(mtu.limit, MtuLimit::None | MtuLimit::Interface | MtuLimit::Told);
            mtu.address == address && mtu.passed_bytes.is_some() && told
        };
        self.mtus.iter().filter(passes).map(|mtu| mtu.id).collect()
    }

    /// Large answers of the address that came back whole: a path that swallows them would have kept them. The sizes that are sent out say
    /// nothing of this direction.
    pub(crate) fn large_came_back(&self, address: IpAddr) -> Vec<&'a ObservationId> {
        let is_large = |echo: &&Seen<'a, Echo>| {
            echo.size_bytes >= LARGE_ECHO_BYTES && !super::is_fragmented(echo.fact) && !echo.replies.is_empty()
        };
        let bodies = self.exchanges.iter().filter(|exchange| {
            exchange.proxy.is_none()
                && exchange.address.is_some_and(|at| at.ip() == address)
                && exchange.failure.is_none()
                && exchange.body_bytes >= LARGE_BODY_BYTES
        });
        self.echoes_of(address).filter(is_large).map(|echo| echo.id).chain(bodies.map(|exchange| exchange.id)).collect()
    }

    /// Large pings of which none was answered, where small ones are and large packets reach the address: its large answers are lost.
    pub(crate) fn large_answers_lost(&self, address: IpAddr) -> Vec<&'a ObservationId> {
        let is_large = |echo: &&Seen<'a, Echo>| echo.size_bytes >= LARGE_ECHO_BYTES && !super::is_fragmented(echo.fact);
        let lost = |echo: &&Seen<'a, Echo>| echo.sent >= LARGE_ECHOES && echo.replies.is_empty() && echo.failure.is_none();
        let small = self.echoes_of(address).any(|echo| echo.size_bytes < LARGE_ECHO_BYTES && !echo.replies.is_empty());
        if !small || !self.large_came_back(address).is_empty() || self.passes_large(address).is_empty() {
            return Vec::new();
        }
        self.echoes_of(address).filter(is_large).filter(lost).map(|echo| echo.id).collect()
    }

    /// All observations of packets to the address.
    pub(crate) fn sent_to(&self, address: IpAddr) -> Vec<&'a ObservationId> {
        let mut ids: Vec<_> =
            self.attempts().iter().filter(|attempt| attempt.address.ip() == address).map(|attempt| attempt.id).collect();
        ids.extend(self.echoes_of(address).map(|echo| echo.id));
        ids.extend(self.traces_of(address).map(|trace| trace.id));
        ids.extend(self.port_sweeps.iter().filter(|sweep| sweep.address == address).map(|sweep| sweep.id));
        ids.extend(self.sendings_to_target().filter(|sending| sending.address.ip() == address).map(|sending| sending.id));
        ids
    }

    /// How much of a fault at one address is felt: less where another address of the target works.
    pub(crate) fn severity_at(&self, address: IpAddr) -> Severity {
        // Nothing else says that the clock cannot be compared.
        if self.is_between(address).is_some() && self.is_beside_for_time(address) {
            return Severity::Degraded;
        }
        // How it is felt that a name server or a proxy cannot be reached is for the cause that is told of it to say.
        if self.is_between(address).is_some() {
            return Severity::Notice;
        }
        let works = if self.attempts().is_empty() {
            self.addresses().into_iter().any(|other| other != address && !self.answered(other).is_empty())
        } else {
            self.attempts_beside(address).any(super::Attempt::connected)
        };
        if works { Severity::Degraded } else { Severity::Problem }
    }

    /// When the first packet to the address was sent, since the run began.
    pub(crate) fn first_sent_us(&self, address: IpAddr) -> Option<u64> {
        let attempts = self.attempts().iter().filter(|attempt| attempt.address.ip() == address).map(|attempt| attempt.at_us);
        let echoes = self.echoes_of(address).filter(|echo| echo.sent > 0).map(|echo| echo.at_us);
        let mtus = self.mtus_of(address).filter(|mtu| !mtu.probes.is_empty()).map(|mtu| mtu.at_us);
        attempts.chain(echoes).chain(mtus).chain(self.hops_of(address).iter().map(|hop| hop.at_us)).min()
    }

    /// The round trip to a router on the way, as it answered to probes that expired there; its distance is known with it.
    pub(crate) fn rtt_of_router(&self, target: IpAddr, router: IpAddr) -> Option<u64> {
        let hops = self.hops_of(target);
        let replies = hops.iter().flat_map(|hop| hop.fact.probes.iter().filter_map(|probe| probe.reply.as_ref()));
        replies.filter(|reply| reply.from == router && reply.kind == ReplyKind::TimeExceeded).map(|reply| reply.rtt_us).min()
    }

    /// The distance of the sender of an ICMP error: where it also answered as a router, else the TTL that drew the error, else the
    /// next after the last router that answers.
    pub(crate) fn hop_of_error(&self, target: IpAddr, seen: &IcmpSeen<'_>) -> Option<u8> {
        self.hop_of_offender(target, seen.error.offender).or(seen.ttl)
    }

    pub(crate) fn hop_of_offender(&self, target: IpAddr, offender: IpAddr) -> Option<u8> {
        let next = || self.last_router(target).map(|(hop, _, _)| hop + 1).filter(|_| self.arrived(target).is_empty());
        self.hop_of(target, offender).or_else(next)
    }
}
