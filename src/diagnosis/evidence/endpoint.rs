use super::{Evidence, Seen};
use netsonde_contract::failure::{Failure, FailureCode, IcmpError, IcmpMeaning, Step};
use netsonde_contract::id::ObservationId;
use netsonde_contract::kind::Kind;
use netsonde_contract::kind::ServiceTransport;
use netsonde_contract::observation::{Connect, ConnectAttempt, Exchange, Handshake, Load, SeenSegment, Service};
use std::net::{IpAddr, SocketAddr};

/// What a program takes to wake up is no part of a round trip. The kernel measures it from the only SYN to its answer.
fn took_us(connect: &Connect) -> u64 {
    let at_once = connect.failure.is_none() && connect.syn_retransmits == Some(0);
    connect.kernel_rtt_us.filter(|_| at_once).map_or(connect.took_us, |rtt_us| rtt_us.min(connect.took_us))
}

/// A little less than the second after which a SYN is sent again.
const SYN_RETRY_US: u64 = 950_000;

/// One attempt at a TCP connection: by a tcp check, or as the first step of a handshake or an exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) id: &'a ObservationId,
    pub(crate) host: &'a str,
    pub(crate) address: SocketAddr,
    pub(crate) local: Option<IpAddr>,
    /// When it began, since the run began.
    pub(crate) at_us: u64,
    /// How long it took: of a tcp check whose first SYN was answered the kernel's own round trip, which a busy machine does not stretch.
    pub(crate) took_us: u64,
    /// SYNs sent again before it was decided, where the system tells it.
    pub(crate) syn_retransmits: Option<u32>,
    /// None where it connected.
    pub(crate) failure: Option<&'a Failure>,
    /// The request was sent there by a redirect, so that the address may be another host's.
    pub(crate) redirected: bool,
    /// By a measurement that was made to tell causes apart, at an address that the run had met before.
    pub(crate) by_follow_up: bool,
    /// By a tcp check, whose attempts are side by side and differ in nothing else.
    pub(crate) by_tcp_check: bool,
    /// The reset that answered, where it was read.
    pub(crate) reset: Option<SeenSegment>,
    /// The next hop of the own route to the address, where a reset was read and there is one.
    pub(crate) gateway: Option<IpAddr>,
    /// The SYN-ACK that came in, where it was read, whether or not the system took it.
    pub(crate) syn_ack: Option<SeenSegment>,
    /// How many of its SYNs left this machine, where that was watched.
    pub(crate) syns_left: Option<u32>,
}

impl<'a> Attempt<'a> {
    pub(super) fn of_connect(seen: Seen<'a, Connect>) -> Option<Self> {
        let connect = seen.fact;
        Some(Self {
            id: seen.id,
            at_us: seen.at_us,
            host: &connect.host,
            address: connect.address,
            local: connect.local.map(|local| local.ip()),
            took_us: took_us(connect),
            syn_retransmits: connect.syn_retransmits,
            failure: connect.failure.as_ref(),
            redirected: false,
            by_follow_up: !seen.outcome.separates.is_empty(),
            by_tcp_check: true,
            reset: connect.reset,
            gateway: connect.gateway,
            syn_ack: connect.syn_ack,
            syns_left: connect.syns_left,
        })
        .filter(Self::was_made)
    }

    /// The handshake within an http check stands beside its exchange, which tells the same and knows of a proxy.
    pub(super) fn of_handshake(seen: Seen<'a, Handshake>) -> Option<Self> {
        let handshake = Some(seen.fact).filter(|_| seen.outcome.kind != Kind::Http)?;
        Some(Self {
            id: seen.id,
            at_us: seen.at_us,
            host: &handshake.host,
            address: handshake.address,
            local: None,
            took_us: handshake.connect_us,
            syn_retransmits: None,
            failure: handshake.failure.as_ref().filter(|failure| is_before_connected(failure)),
            redirected: false,
            by_follow_up: !seen.outcome.separates.is_empty(),
            by_tcp_check: false,
            reset: None,
            gateway: None,
            syn_ack: None,
            syns_left: None,
        })
        .map(|attempt| attempt.by_itself(&handshake.attempts))
        .filter(Self::was_made)
    }

    /// A datagram makes no connection.
    pub(super) fn of_service(seen: Seen<'a, Service>) -> Option<Self> {
        let service = Some(seen.fact).filter(|service| service.protocol.transport() == ServiceTransport::Tcp)?;
        Some(Self {
            id: seen.id,
            at_us: seen.at_us,
            host: &service.host,
            address: service.address,
            local: None,
            took_us: service.connect_us.unwrap_or_default(),
            syn_retransmits: None,
            failure: service.failure.as_ref().filter(|failure| is_before_connected(failure)),
            redirected: false,
            by_follow_up: !seen.outcome.separates.is_empty(),
            by_tcp_check: false,
            reset: None,
            gateway: None,
            syn_ack: None,
            syns_left: None,
        })
        .map(|attempt| attempt.by_itself(&service.attempts))
        .filter(Self::was_made)
    }

    /// An exchange through a proxy says nothing about the way to the target.
    pub(super) fn of_exchange(seen: Seen<'a, Exchange>) -> Option<Self> {
        let exchange = seen.fact;
        let address = exchange.address.filter(|_| exchange.proxy.is_none())?;
        let failure = exchange.failure.as_ref().filter(|failure| is_before_connected(failure));
        if failure.is_none() && exchange.phases.connect_us.is_none() {
            return None;
        }
        Some(Self {
            id: seen.id,
            at_us: seen.at_us,
            host: host_of(&exchange.url),
            address,
            local: None,
            took_us: exchange.phases.connect_us.unwrap_or_default(),
            syn_retransmits: None,
            failure,
            redirected: exchange.redirect > 0,
            by_follow_up: !seen.outcome.separates.is_empty(),
            by_tcp_check: false,
            reset: None,
            gateway: None,
            syn_ack: None,
            syns_left: None,
        })
        .map(|attempt| attempt.by_itself(&exchange.attempts))
        .filter(Self::was_made)
    }

    /// The connection that a measurement under load begins with. Through a proxy it says nothing about the way to the target.
    pub(super) fn of_load(seen: Seen<'a, Load>) -> Option<Self> {
        let load = Some(seen.fact).filter(|load| load.proxy.is_none())?;
        Some(Self {
            id: seen.id,
            at_us: seen.at_us,
            host: host_of(&load.url),
            address: load.address?,
            local: None,
            took_us: load.connect_us?,
            syn_retransmits: None,
            failure: load.failure.as_ref().filter(|failure| is_before_connected(failure)),
            redirected: false,
            by_follow_up: !seen.outcome.separates.is_empty(),
            by_tcp_check: false,
            reset: None,
            gateway: None,
            syn_ack: None,
            syns_left: None,
        })
        .map(|attempt| attempt.by_itself(&load.attempts))
        .filter(Self::was_made)
    }

    /// Of a fact that took several attempts, what the one at its address was by itself: the time of them all is no round trip.
    fn by_itself(self, attempts: &[ConnectAttempt]) -> Self {
        match attempts.iter().find(|attempt| attempt.address == self.address) {
            Some(own) => Self { took_us: own.took_us, reset: own.reset, gateway: own.gateway, ..self },
            None => self,
        }
    }

    /// The attempts at other addresses that failed before the fact's own. One that this machine has no route for costs nobody time, and one
    /// that was given up because another connected failed at nothing.
    pub(super) fn others(self, attempts: &'a [ConnectAttempt]) -> impl Iterator<Item = Self> {
        let left = |failure: &Failure| {
            let without_route = matches!(failure.code, FailureCode::NetworkUnreachable | FailureCode::AddressNotAvailable);
            !(without_route && failure.icmp.is_none())
        };
        let others = attempts.iter().filter(move |attempt| attempt.address != self.address);
        let failed = others.filter_map(move |attempt| {
            let failure = attempt.failure.as_ref().filter(|failure| left(failure))?;
            let (address, took_us, reset, gateway) = (attempt.address, attempt.took_us, attempt.reset, attempt.gateway);
            let at_us = self.at_us.saturating_add(attempt.began_us);
            Some(Self { address, at_us, took_us, reset, gateway, local: None, failure: Some(failure), ..self })
        });
        failed.filter(Self::was_made)
    }

    /// What netsonde itself did not let out, or did not wait for, says nothing about the network.
    fn was_made(&self) -> bool {
        let unsaid = |code: &FailureCode| {
            matches!(code, FailureCode::NotAllowed | FailureCode::BudgetExhausted | FailureCode::Interrupted)
        };
        !self.failure.is_some_and(|failure| unsaid(&failure.code))
    }

    pub(crate) fn connected(&self) -> bool {
        self.failure.is_none()
    }

    /// A reset came back: no ICMP error caused the refusal.
    pub(crate) fn refused_by_reset(&self) -> bool {
        self.failure.is_some_and(|failure| failure.code == FailureCode::Refused && failure.icmp.is_none())
    }

    /// The connection stood and was reset before anything was sent: a refused SYN ends in other words.
    pub(crate) fn reset_at_once(&self) -> bool {
        self.failure.is_some_and(|failure| failure.code == FailureCode::Reset && failure.icmp.is_none())
    }

    pub(crate) fn silent(&self) -> bool {
        self.failure.is_some_and(|failure| failure.code == FailureCode::TimedOut && failure.icmp.is_none())
    }

    /// It connected only after its first SYN had stayed without an answer: the system counted, or it took the second that a SYN is
    /// sent again after (RFC 6298 section 2).
    pub(crate) fn connected_late(&self) -> bool {
        let late = self.syn_retransmits.map_or(self.took_us >= SYN_RETRY_US, |retransmits| retransmits > 0);
        self.connected() && late
    }

    /// How often its SYN was sent again: as the system counted, or as its time tells (after 1 s and 3 s, RFC 6298 section 2).
    pub(crate) fn sent_again(&self) -> u32 {
        let by_time = match self.took_us {
            ..SYN_RETRY_US => 0,
            took_us if took_us < 3 * SYN_RETRY_US => 1,
            _ => 2,
        };
        self.syn_retransmits.unwrap_or(by_time)
    }

    /// The ICMP error of a router or a filter that would not let it through, where one did.
    pub(crate) fn rejected_by(&self) -> Option<&'a IcmpError> {
        let rejects = |error: &&IcmpError| {
            matches!(
                error.meaning(),
                IcmpMeaning::AdministrativelyProhibited
                    | IcmpMeaning::PortUnreachable
                    | IcmpMeaning::NetworkUnreachable
                    | IcmpMeaning::HostUnreachable
            )
        };
        self.failure?.icmp.as_ref().filter(rejects)
    }

    /// What the ICMP error that ended the attempt means, where one did.
    pub(crate) fn icmp_meaning(&self) -> Option<IcmpMeaning> {
        self.failure?.icmp.as_ref().map(|icmp| icmp.meaning())
    }
}

fn is_before_connected(failure: &Failure) -> bool {
    matches!(failure.during, Step::Open | Step::Connect)
}

/// The host of a URL, without port and brackets; the whole text where it is no URL.
pub(crate) fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => authority.split(':').next().unwrap_or(authority),
    }
}

/// All attempts at one port of one address.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) attempts: Vec<Attempt<'a>>,
}

impl<'a> Endpoint<'a> {
    pub(crate) fn host(&self) -> &'a str {
        self.attempts.first().map_or("", |attempt| attempt.host)
    }

    pub(crate) fn connected(&self) -> bool {
        self.attempts.iter().any(Attempt::connected)
    }

    /// Every attempt stayed without any answer.
    pub(crate) fn silent(&self) -> bool {
        !self.attempts.is_empty() && self.attempts.iter().all(Attempt::silent)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &'a ObservationId> + '_ {
        self.attempts.iter().map(|attempt| attempt.id)
    }
}

impl<'a> Evidence<'a> {
    pub(crate) fn attempts(&self) -> &[Attempt<'a>] {
        &self.attempts
    }

    /// Connections to other targets of the run.
    pub(crate) fn attempts_elsewhere(&self) -> &[Attempt<'a>] {
        &self.attempts_elsewhere
    }

    /// The endpoints that connections were attempted to, in the order of the first attempt.
    pub(crate) fn endpoints(&self) -> Vec<Endpoint<'a>> {
        let mut endpoints: Vec<Endpoint<'a>> = Vec::new();
        for attempt in &self.attempts {
            match endpoints.iter_mut().find(|endpoint| endpoint.address == attempt.address) {
                Some(endpoint) => endpoint.attempts.push(*attempt),
                None => endpoints.push(Endpoint { address: attempt.address, attempts: vec![*attempt] }),
            }
        }
        endpoints
    }

    /// A connection to the same port of another address of the same host that stood.
    pub(crate) fn connected_elsewhere(&self, endpoint: &Endpoint<'_>) -> Option<Attempt<'a>> {
        let other = |attempt: &&Attempt<'_>| {
            attempt.connected()
                && attempt.host == endpoint.host()
                && attempt.address.port() == endpoint.address.port()
                && attempt.address.ip() != endpoint.address.ip()
        };
        self.attempts.iter().find(other).copied()
    }
}
