//! The delegations from the root down to a name (RFC 1034 section 5.3.3), and what every name server of each zone says.
//!
//! A resolver asks one server of a zone and hides which; the walk asks every address of every server, without recursion, for the name
//! itself, for the zone's SOA and NS records, and for its keys where the zone above vouches for some. It follows the first delegation it is given and records all of them, so that
//! servers which disagree, do not serve their zone or hold an old copy show by themselves.

use super::ask::exchange;
use super::chain::{self, Chain};
use super::exchange::{Exchange, Patience};
use super::query::{Offer, Query, Shape};
use super::{dnssec, manner_beside, record, reply};
use crate::clock::microseconds;
use crate::context::Context;
use futures_util::future::join_all;
use hickory_proto::op::Message;
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::{DnsParams, NameServer, Speaks};
use netsonde_contract::observation::{DelegatedTo, Delegation, Fact, QueryReason, Transport, VouchedKey, ZoneServer};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Real names lie two to five zones deep.
const MAX_ZONES: usize = 12;

/// The root has thirteen servers, and so has `com`.
const MAX_SERVERS: usize = 13;

/// Addresses of one server: one or two of each family.
const MAX_ADDRESSES: usize = 4;

/// Addresses asked in the whole walk, with three or four questions each: the root, a zone below it with as many servers, and some more.
const MAX_ASKED: usize = 100;

/// Names of a zone's own servers that are kept.
const MAX_OWN: usize = 32;

/// RFC 1035 section 4.2.
const DNS_PORT: u16 = 53;

/// The root servers by letter ("Root Hints" of IANA; RFC 9609).
const ROOTS: [(char, Ipv4Addr, Ipv6Addr); 13] = [
    ('a', Ipv4Addr::new(198, 41, 0, 4), Ipv6Addr::new(0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30)),
    ('b', Ipv4Addr::new(170, 247, 170, 2), Ipv6Addr::new(0x2801, 0x1b8, 0x10, 0, 0, 0, 0, 0xb)),
    ('c', Ipv4Addr::new(192, 33, 4, 12), Ipv6Addr::new(0x2001, 0x500, 2, 0, 0, 0, 0, 0xc)),
    ('d', Ipv4Addr::new(199, 7, 91, 13), Ipv6Addr::new(0x2001, 0x500, 0x2d, 0, 0, 0, 0, 0xd)),
    ('e', Ipv4Addr::new(192, 203, 230, 10), Ipv6Addr::new(0x2001, 0x500, 0xa8, 0, 0, 0, 0, 0xe)),
    ('f', Ipv4Addr::new(192, 5, 5, 241), Ipv6Addr::new(0x2001, 0x500, 0x2f, 0, 0, 0, 0, 0xf)),
    ('g', Ipv4Addr::new(192, 112, 36, 4), Ipv6Addr::new(0x2001, 0x500, 0x12, 0, 0, 0, 0, 0xd0d)),
    ('h', Ipv4Addr::new(198, 97, 190, 53), Ipv6Addr::new(0x2001, 0x500, 1, 0, 0, 0, 0, 0x53)),
    ('i', Ipv4Addr::new(192, 36, 148, 17), Ipv6Addr::new(0x2001, 0x7fe, 0, 0, 0, 0, 0, 0x53)),
    ('j', Ipv4Addr::new(192, 58, 128, 30), Ipv6Addr::new(0x2001, 0x503, 0xc27, 0, 0, 0, 2, 0x30)),
    ('k', Ipv4Addr::new(193, 0, 14, 129), Ipv6Addr::new(0x2001, 0x7fd, 0, 0, 0, 0, 0, 1)),
    ('l', Ipv4Addr::new(199, 7, 83, 42), Ipv6Addr::new(0x2001, 0x500, 0x9f, 0, 0, 0, 0, 0x42)),
    ('m', Ipv4Addr::new(202, 12, 27, 33), Ipv6Addr::new(0x2001, 0xdc3, 0, 0, 0, 0, 0, 0x35)),
];

/// What is looked for, and how.
struct Walk<'a> {
    context: &'a Context,
    name: &'a Name,
    record_type: RecordType,
    patience: Patience,
    /// Of every server found on the way: that of the first root, which is 53 but in a laboratory.
    port: u16,
}

/// What one server said, as far as the chain of signatures needs it.
struct Said {
    from: SocketAddr,
    reply: Option<Message>,
    keys: Option<Message>,
    referral: Option<Referral>,
}

/// The zone that a server says is the next on the way, and its servers.
#[derive(Debug, PartialEq, Eq)]
struct Referral {
    zone: Name,
    servers: Vec<DelegatedTo>,
    signed_by: Vec<VouchedKey>,
}

pub(super) async fn walk(context: &Context, params: &DnsParams, name: &Name, types: &[RecordType]) {
    let Some(record_type) = types.first().filter(|_| params.delegation) else { return };
    let roots = params.root_addresses();
    let port = roots.first().map_or(DNS_PORT, SocketAddr::port);
    let walk = Walk { context, name, record_type: *record_type, patience: manner_beside(params).patience, port };
    // Other roots than everybody's have other keys.
    let given = params.trust_anchors();
    let anchors = if given.is_empty() && !roots.is_empty() { Vec::new() } else { chain::anchors(&given) };
    let chain = Chain::new(anchors, context.clock.wall());
    walk.down(Referral { zone: Name::root(), servers: root_servers(&roots), signed_by: Vec::new() }, chain).await;
}

fn root_servers(given: &[SocketAddr]) -> Vec<DelegatedTo> {
    let known = |name: String, glue: Vec<IpAddr>| DelegatedTo { name, glue, resolved: Vec::new(), failure: None };
    match given {
        [] => ROOTS.map(|(letter, v4, v6)| known(format!("{letter}.root-servers.net"), vec![v4.into(), v6.into()])).into(),
        given => given.iter().take(MAX_SERVERS).map(|address| known(String::new(), vec![address.ip()])).collect(),
    }
}

impl Walk<'_> {
    async fn down(&self, mut next: Referral, mut chain: Chain) {
        let began_us = self.context.clock.now_us();
        let mut given_by = None;
        let mut asked = 0;
        for depth in 1..=MAX_ZONES {
            let at_us = self.context.clock.now_us();
            join_all(next.servers.iter_mut().map(|server| self.find(server))).await;
            let targets = targets(&next.servers, self.port, MAX_ASKED - asked);
            asked += targets.len();
            let stopped = if targets.is_empty() {
                Some(if asked >= MAX_ASKED {
                    "the walk has asked as many servers as it may"
                } else {
                    "no name server has an address"
                })
            } else {
                (depth == MAX_ZONES).then_some("the walk has passed as many zones as it may")
            };
            let delegation = Delegation {
                name: shown(self.name),
                zone: shown(&next.zone),
                given_by,
                name_servers: next.servers,
                secure: !next.signed_by.is_empty(),
                signed_by: next.signed_by,
                stopped: stopped.map(str::to_owned),
            };
            let wants_keys = delegation.secure || chain.wants_keys();
            self.context.recorder.record(at_us, Fact::Delegation(delegation));
            let zone = &next.zone;
            let asked = targets.iter().map(|(server, address)| self.interview(zone, wants_keys, server, *address));
            let Some(referral) = self.verify(join_all(asked).await, zone, &mut chain) else { break };
            (given_by, next) = (Some(referral.0), referral.1);
        }
        let verdict = chain.verdict(self.name, &record::type_name(self.record_type));
        self.context.recorder.record(began_us, Fact::DnssecChain(Box::new(verdict)));
    }

    /// Takes the chain of signatures through a zone. Gives the delegation that the walk follows; at the end of the walk there is none, and
    /// the chain's verdict is recorded.
    fn verify(&self, said: Vec<Said>, zone: &Name, chain: &mut Chain) -> Option<(SocketAddr, Referral)> {
        let leads_on = said.iter().position(|said| said.referral.is_some());
        let answers = || said.iter().position(|said| said.reply.as_ref().is_some_and(|reply| reply.authoritative));
        // One server speaks for its zone: whose delegation is followed, else the first that answers with authority.
        let chosen = leads_on.or_else(answers).and_then(|at| said.into_iter().nth(at));
        chain.zone(zone, chosen.as_ref().map(|said| said.from), chosen.as_ref().and_then(|said| said.keys.as_ref()));
        match chosen {
            Some(Said { from, reply, referral: Some(referral), .. }) => {
                if let Some(reply) = &reply {
                    chain.delegated(zone, &referral.zone, reply);
                }
                Some((from, referral))
            }
            last => {
                chain.answer(zone, last.as_ref().and_then(|said| said.reply.as_ref()));
                None
            }
        }
    }

    /// The addresses of a server that came without glue.
    async fn find(&self, server: &mut DelegatedTo) {
        if !server.glue.is_empty() {
            return;
        }
        let found = self.context.names.resolve(&self.context.gate, &server.name);
        match tokio::time::timeout(self.waiting(), found).await {
            Ok(Ok(addresses)) => server.resolved = addresses.into_iter().take(MAX_ADDRESSES).collect(),
            Ok(Err(failure)) => server.failure = Some(failure),
            Err(_) => {
                server.failure = Some(Failure::new(FailureCode::TimedOut, Step::Resolve, "the system gave no address in time"));
            }
        }
    }

    fn waiting(&self) -> Duration {
        self.patience.timeout * self.patience.attempts
    }

    /// Asks one address everything and records what it said. Gives the delegation that it knows.
    async fn interview(&self, zone: &Name, wants_keys: bool, server: &str, address: SocketAddr) -> Said {
        let keys = async {
            match wants_keys {
                true => Some(self.put(zone, RecordType::DNSKEY, address).await),
                false => None,
            }
        };
        let ((question, asked), (soa, asked_soa), (ns, asked_ns), keys) = tokio::join!(
            self.put(self.name, self.record_type, address),
            self.put(zone, RecordType::SOA, address),
            self.put(zone, RecordType::NS, address),
            keys,
        );
        let keys_reply = keys.as_ref().and_then(|(exchange, _)| message(exchange));
        let signed = [message(&question), message(&soa), keys_reply];
        let serial = message(&soa).and_then(|message| serial(message, zone));
        let fact = ZoneServer {
            zone: shown(zone),
            server: server.to_owned(),
            address,
            reply: question.outcome.as_ref().ok().map(|received| reply::of(received, address)),
            took_us: question.outcome.is_ok().then_some(question.took).flatten().map(microseconds),
            authoritative: message(&soa).map(|message| message.authoritative && serial.is_some()),
            serial,
            own_name_servers: message(&ns).map(|message| own_servers(message, zone)).unwrap_or_default(),
            keys: keys_reply.map(|reply| dnssec::keys(&reply.answers)).unwrap_or_default(),
            signatures: dnssec::signatures(signed.into_iter().flatten().flat_map(|reply| &reply.answers)),
            attempts: asked + asked_soa + asked_ns + keys.as_ref().map_or(0, |(_, asked)| *asked),
            failure: question.outcome.as_ref().err().cloned(),
        };
        self.context.recorder.record(microseconds(question.began), Fact::ZoneServer(Box::new(fact)));
        let referral = message(&question).and_then(|reply| referral(reply, zone, self.name));
        Said { from: address, reply: message(&question).cloned(), keys: keys_reply.cloned(), referral }
    }

    /// One question without recursion, over TCP where the reply over UDP was cut, and how many packets it took.
    async fn put(&self, name: &Name, record_type: RecordType, address: SocketAddr) -> (Exchange, u32) {
        let server = NameServer { address, speaks: Speaks::Any };
        let (mut transport, mut why, mut packets) = (Transport::Udp, QueryReason::First, 0);
        loop {
            // DS records come with a delegation where DNSSEC is asked for (RFC 4035 section 3.1.4.1).
            let offer = Offer { dnssec_ok: true, ..Offer::default() };
            let shape = Shape { class: DNSClass::IN, recursion: false, checking_disabled: false, edns: Some(offer) };
            let query = match Query::new(name.clone(), record_type, shape) {
                Ok(query) => query,
                Err(error) => {
                    let failure = Failure::new(FailureCode::TooLarge, Step::Send, error.to_string());
                    return (Exchange::begin(self.context.clock, address, failure), packets);
                }
            };
            let exchange = exchange(self.context, query, &server, transport, why, self.patience).await;
            packets += exchange.attempts;
            if transport == Transport::Tcp || !message(&exchange).is_some_and(|message| message.truncation) {
                return (exchange, packets);
            }
            (transport, why) = (Transport::Tcp, QueryReason::Truncated);
        }
    }
}

/// The addresses to ask, `room` at most.
fn targets(servers: &[DelegatedTo], port: u16, room: usize) -> Vec<(String, SocketAddr)> {
    let mut targets: Vec<(String, SocketAddr)> = Vec::new();
    for server in servers {
        for address in server.glue.iter().chain(&server.resolved) {
            let address = SocketAddr::new(*address, port);
            if targets.len() < room && !targets.iter().any(|(_, known)| *known == address) {
                targets.push((server.name.clone(), address));
            }
        }
    }
    targets
}

fn message(exchange: &Exchange) -> Option<&Message> {
    exchange.outcome.as_ref().ok().map(|received| &received.message)
}

/// The delegation in a reply: NS records, without an answer, for a zone that lies below `above` and holds the name or is named so. A
/// server that points up or aside leads nowhere.
fn referral(message: &Message, above: &Name, name: &Name) -> Option<Referral> {
    if u16::from(message.response_code) != 0 || !message.answers.is_empty() || message.authoritative {
        return None;
    }
    let leads_on = |zone: &Name| above.zone_of(zone) && above != zone && zone.zone_of(name);
    let zone = message
        .authorities
        .iter()
        .find(|record| record.record_type() == RecordType::NS && leads_on(&record.name))
        .map(|record| record.name.to_lowercase())?;
    let of_zone = |record_type| {
        message.authorities.iter().filter(move |record| record.record_type() == record_type).filter(|record| record.name == zone)
    };
    let mut servers: Vec<DelegatedTo> = Vec::new();
    for record in of_zone(RecordType::NS) {
        if let RData::NS(server) = &record.data
            && servers.len() < MAX_SERVERS
            && !servers.iter().any(|known| known.name == shown(&server.0))
        {
            let glue =
                message.additionals.iter().filter(|record| record.name == server.0).filter_map(|record| record.data.ip_addr());
            servers.push(DelegatedTo {
                name: shown(&server.0),
                glue: glue.take(MAX_ADDRESSES).collect(),
                resolved: Vec::new(),
                failure: None,
            });
        }
    }
    let signed_by = dnssec::vouched(of_zone(RecordType::DS));
    Some(Referral { zone, servers, signed_by })
}

fn serial(message: &Message, zone: &Name) -> Option<u32> {
    message.answers.iter().filter(|record| record.name == *zone).find_map(|record| match &record.data {
        RData::SOA(soa) => Some(soa.serial),
        _ => None,
    })
}

fn own_servers(message: &Message, zone: &Name) -> Vec<String> {
    let of_zone = message.answers.iter().filter(|record| record.name == *zone);
    let mut names: Vec<String> =
        of_zone.filter_map(|record| if let RData::NS(server) = &record.data { Some(shown(&server.0)) } else { None }).collect();
    names.sort();
    names.dedup();
    names.truncate(MAX_OWN);
    names
}

/// Absolute, in small letters, without the final dot; the root is `.`.
pub(super) fn shown(name: &Name) -> String {
    match name.is_root() {
        true => ".".to_owned(),
        false => name.to_lowercase().to_ascii().trim_end_matches('.').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::OpCode;
    use hickory_proto::rr::Record;
    use hickory_proto::rr::rdata::{A, NS};

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn pointing_at(zone: &str) -> Message {
        let mut message = Message::response(1, OpCode::Query);
        message.add_authority(Record::from_rdata(name(zone), 60, RData::NS(NS(name("NS1.sub.example.")))));
        message.add_additional(Record::from_rdata(name("ns1.sub.example."), 60, RData::A(A::new(192, 0, 2, 1))));
        message.add_additional(Record::from_rdata(name("ns9.sub.example."), 60, RData::A(A::new(192, 0, 2, 9))));
        message
    }

    #[test]
    fn a_delegation_further_down_is_followed_with_its_own_glue_only() {
        let found = referral(&pointing_at("Sub.example."), &name("example."), &name("www.sub.example.")).unwrap();
        assert_eq!(found.zone, name("sub.example."));
        assert_eq!(
            (found.servers[0].name.as_str(), found.servers.len(), found.signed_by.is_empty()),
            ("ns1.sub.example", 1, true)
        );
        assert_eq!(found.servers[0].glue, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn a_delegation_up_aside_or_in_a_circle_is_none() {
        for zone in [".", "example.", "other.example.", "www.www.sub.example."] {
            assert_eq!(referral(&pointing_at(zone), &name("example."), &name("www.sub.example.")), None, "{zone}");
        }
        let mut answered = pointing_at("sub.example.");
        answered.add_answer(Record::from_rdata(name("www.sub.example."), 60, RData::A(A::new(192, 0, 2, 1))));
        assert_eq!(referral(&answered, &name("example."), &name("www.sub.example.")), None);
    }

    #[test]
    fn an_address_is_asked_once_and_the_walk_has_an_end() {
        let server = |name: &str, last: u8| DelegatedTo {
            name: name.into(),
            glue: vec![IpAddr::from([192, 0, 2, last])],
            resolved: Vec::new(),
            failure: None,
        };
        let servers = [server("a", 1), server("b", 1), server("c", 2), server("d", 3)];
        let asked: Vec<String> = targets(&servers, 53, 2).into_iter().map(|(name, _)| name).collect();
        assert_eq!(asked, ["a", "c"]);
        assert_eq!(targets(&root_servers(&[]), 53, MAX_ASKED).len(), 26);
    }
}
