use super::{Evidence, IcmpSeen, Seen};
use netsonde_contract::failure::{Failure, FailureCode, IcmpError, IcmpMeaning};
use netsonde_contract::id::ObservationId;
use netsonde_contract::kind::ServiceTransport;
use netsonde_contract::observation::{CloudMetadata, PlatformAddress, Quic, Reflection, Service, TimeOffset};
use std::net::{IpAddr, SocketAddr};

/// What was sent to one port and is no connection of its own fact: questions over UDP, and those to the cloud's own addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sending<'a> {
    pub(crate) id: &'a ObservationId,
    /// None for addresses that belong to the platform and to no host that anybody asked for.
    pub(crate) host: Option<&'a str>,
    pub(crate) address: SocketAddr,
    pub(crate) failure: Option<&'a Failure>,
    /// Something came back.
    pub(crate) answered: bool,
    /// It asked a time server, of which a run may ask some beside its target.
    pub(crate) is_time: bool,
}

impl<'a> Sending<'a> {
    pub(super) fn of_quic(seen: Seen<'a, Quic>) -> Self {
        let quic = seen.fact;
        let answered = quic.first_reply_us.is_some();
        Self {
            id: seen.id,
            host: Some(&quic.host),
            address: quic.address,
            failure: quic.failure.as_ref(),
            answered,
            is_time: false,
        }
    }

    pub(super) fn of_time(seen: Seen<'a, TimeOffset>) -> Self {
        let offset = seen.fact;
        let answered = offset.server.is_some() || offset.offset_us.is_some() || !offset.others.is_empty();
        Self {
            id: seen.id,
            host: Some(&offset.host),
            address: offset.address,
            failure: offset.failure.as_ref(),
            answered,
            is_time: true,
        }
    }

    pub(super) fn of_reflection(seen: Seen<'a, Reflection>) -> Self {
        let reflection = seen.fact;
        Self {
            id: seen.id,
            host: Some(&reflection.host),
            address: reflection.address,
            failure: reflection.failure.as_ref(),
            answered: reflection.received > 0,
            is_time: false,
        }
    }

    /// A service over TCP is an attempt at a connection.
    pub(super) fn of_service(seen: Seen<'a, Service>) -> Option<Self> {
        let service = Some(seen.fact).filter(|service| service.protocol.transport() == ServiceTransport::Udp)?;
        Some(Self {
            id: seen.id,
            host: Some(&service.host),
            address: service.address,
            failure: service.failure.as_ref(),
            answered: service.first_byte_us.is_some(),
            is_time: false,
        })
    }

    pub(super) fn of_metadata(seen: Seen<'a, CloudMetadata>) -> Self {
        let metadata = seen.fact;
        let answered = metadata.connect_us.is_some();
        Self { id: seen.id, host: None, address: metadata.address, failure: metadata.failure.as_ref(), answered, is_time: false }
    }

    pub(super) fn of_platform(seen: Seen<'a, PlatformAddress>) -> Self {
        let platform = seen.fact;
        let answered = platform.connect_us.is_some() || platform.answer_us.is_some();
        Self { id: seen.id, host: None, address: platform.address, failure: platform.failure.as_ref(), answered, is_time: false }
    }
}

impl<'a> Evidence<'a> {
    /// All that was sent beside connections, whomever to.
    pub(crate) fn sendings(&self) -> &[Sending<'a>] {
        &self.sendings
    }

    /// What was sent beside connections to the target's own host.
    pub(super) fn sendings_to_target(&self) -> impl Iterator<Item = &Sending<'a>> {
        let target = self.target.map(|target| target.host.as_str());
        self.sendings.iter().filter(move |sending| match (sending.host, target) {
            (None, _) => false,
            (Some(host), Some(target)) => host == target,
            (Some(_), None) => true,
        })
    }

    /// Something came back from the very port.
    pub(crate) fn heard_over_udp(&self, port: SocketAddr) -> bool {
        self.sendings.iter().any(|sending| sending.address == port && sending.answered)
    }

    /// The address was heard of over UDP, or somebody on the way said why a question got no further: an answer, or an error that is not this
    /// machine's own.
    pub(super) fn came_back_over_udp(&self, address: IpAddr) -> bool {
        let refused = |failure: &Failure| match &failure.icmp {
            Some(error) => !self.is_own(error.offender),
            None => failure.code == FailureCode::Refused,
        };
        let heard = |sending: &Sending<'a>| sending.answered || sending.failure.is_some_and(refused);
        self.sendings.iter().any(|sending| sending.address.ip() == address && heard(sending))
    }

    /// The UDP ports of the target at this address of which nothing came back, in the order in which they were asked.
    pub(crate) fn silent_udp_ports(&self, address: IpAddr) -> Vec<u16> {
        let silent = |failure: &Failure| failure.code == FailureCode::TimedOut && failure.icmp.is_none();
        let of_address = self.sendings_to_target().filter(|sending| sending.address.ip() == address && !sending.answered);
        let mut ports: Vec<u16> = Vec::new();
        for sending in of_address.filter(|sending| sending.failure.is_some_and(silent)) {
            if !ports.contains(&sending.address.port()) {
                ports.push(sending.address.port());
            }
        }
        ports
    }

    /// The machine at the address said of a question over UDP that nobody takes it. Where the system tells no sender, it is taken to be the machine.
    pub(crate) fn refuses_over_udp(&self, address: IpAddr) -> bool {
        let refused = |failure: &Failure| {
            let by_itself = |error: &IcmpError| error.meaning() == IcmpMeaning::PortUnreachable && error.offender == address;
            failure.code == FailureCode::Refused && failure.icmp.as_ref().is_none_or(by_itself)
        };
        self.sendings.iter().any(|sending| sending.address.ip() == address && sending.failure.is_some_and(refused))
    }

    /// Questions over UDP to the target at this address that a filter or a router turned away. That nobody takes them the target says itself,
    /// and what has another address says it for a filter.
    pub(crate) fn turned_away_over_udp(&self, address: IpAddr) -> Vec<IcmpSeen<'a>> {
        let turns_away = |error: &IcmpError| match error.meaning() {
            IcmpMeaning::AdministrativelyProhibited | IcmpMeaning::NetworkUnreachable | IcmpMeaning::HostUnreachable => true,
            IcmpMeaning::PortUnreachable => error.offender != address,
            _ => false,
        };
        let of_address = self.sendings_to_target().filter(|sending| sending.address.ip() == address && !sending.answered);
        let errors = of_address.filter_map(|sending| Some((sending.id, sending.failure?.icmp.as_ref()?)));
        let errors = errors.filter(|(_, error)| turns_away(error) && !self.is_own(error.offender));
        errors.map(|(id, error)| IcmpSeen { id, error, came_us: None, ttl: None }).collect()
    }

    /// Time servers of which nothing came back but silence or a router's word.
    pub(crate) fn unheard_time_servers(&self) -> Vec<IpAddr> {
        let unheard = |sending: &&Sending<'a>| {
            let silent = |failure: &Failure| failure.code == FailureCode::TimedOut && failure.icmp.is_none();
            sending.is_time
                && !sending.answered
                && sending.failure.is_some_and(|failure| silent(failure) || self.is_told(failure))
        };
        let heard = |address: IpAddr| self.sendings.iter().any(|sending| sending.answered && sending.address.ip() == address);
        let mut all: Vec<IpAddr> = self.sendings.iter().filter(unheard).map(|sending| sending.address.ip()).collect();
        all.sort_unstable();
        all.dedup();
        all.retain(|address| !heard(*address));
        all
    }

    /// What was sent to hosts beside the target: further time servers, and the cloud's own addresses.
    pub(crate) fn sendings_beside(&self) -> impl Iterator<Item = &Sending<'a>> {
        let addresses = self.addresses();
        self.sendings.iter().filter(move |sending| !addresses.contains(&sending.address.ip()))
    }
}
