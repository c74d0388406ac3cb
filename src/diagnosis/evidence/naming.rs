use super::{Evidence, Seen, Share};
use netsonde_contract::failure::{Failure, FailureCode};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{DnsReply, Lookup, LookupSource, Purpose, QueryReason, Record, Transport, ZoneServer};
use std::net::{IpAddr, SocketAddr};

/// All that was asked about one name, by whom it was answered.
#[derive(Debug)]
pub(crate) struct NameView<'a> {
    pub(crate) name: &'a str,
    /// What an application gets (getaddrinfo).
    pub(crate) system: Vec<Seen<'a, Lookup>>,
    pub(crate) servers: Vec<ServerView<'a>>,
}

/// All questions about one name that one server was asked.
#[derive(Debug)]
pub(crate) struct ServerView<'a> {
    pub(crate) server: SocketAddr,
    pub(crate) lookups: Vec<Seen<'a, Lookup>>,
}

/// What a reply amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// NOERROR with what was asked for.
    Data,
    /// NOERROR without it, from a server that speaks for the name (RFC 2308 section 2.2).
    NoData,
    /// NOERROR with aliases that lead back to one another.
    AliasCircle,
    /// NOERROR with nothing but the names of other servers: not an answer.
    Referral,
    /// Cut to fit the packet; the answer comes over TCP.
    Truncated,
    /// Any other response code.
    Code(u16),
}

pub(crate) const SERVFAIL: u16 = 2;
pub(crate) const NXDOMAIN: u16 = 3;
pub(crate) const REFUSED: u16 = 5;

fn answer_of(reply: &DnsReply, record_type: &str) -> Answer {
    let is = |record_type: &'static str| move |record: &&Record| record.record_type == record_type;
    if reply.rcode_number != 0 {
        Answer::Code(reply.rcode_number)
    } else if reply.answers.iter().any(|record| record.record_type == record_type) {
        Answer::Data
    } else if reply.flags.tc {
        Answer::Truncated
    } else if goes_in_circle(&reply.answers) {
        Answer::AliasCircle
    } else if reply.answers.is_empty()
        && reply.authority.iter().find(is("NS")).is_some()
        && reply.authority.iter().find(is("SOA")).is_none()
    {
        Answer::Referral
    } else {
        Answer::NoData
    }
}

/// Following the aliases comes back to a name that was passed before.
fn goes_in_circle(answers: &[Record]) -> bool {
    let plain = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
    let alias_of = |name: &str| answers.iter().find(|record| record.record_type == "CNAME" && plain(&record.name) == name);
    answers.iter().filter(|record| record.record_type == "CNAME").any(|first| {
        let mut name = plain(&first.data);
        // A chain longer than the reply has records has passed one of them twice.
        for _ in 0..answers.len() {
            match alias_of(&name) {
                Some(next) => name = plain(&next.data),
                None => return false,
            }
        }
        true
    })
}

impl<'a> ServerView<'a> {
    /// The replies that count, each with what it amounts to: one that was cut gives way to the same question over TCP.
    pub(crate) fn answers(&self) -> Vec<(Seen<'a, Lookup>, Answer)> {
        let all = self
            .lookups
            .iter()
            .filter_map(|lookup| Some((*lookup, answer_of(lookup.fact.reply.as_ref()?, &lookup.fact.record_type))));
        let all: Vec<_> = all.collect();
        let superseded = |lookup: &Seen<'_, Lookup>, answer: Answer| {
            answer == Answer::Truncated
                && all.iter().any(|(other, better)| other.record_type == lookup.record_type && *better != Answer::Truncated)
        };
        all.iter().filter(|(lookup, answer)| !superseded(lookup, *answer)).copied().collect()
    }

    pub(crate) fn gave_data(&self) -> Option<Seen<'a, Lookup>> {
        self.answers().into_iter().find(|(_, answer)| *answer == Answer::Data).map(|(lookup, _)| lookup)
    }

    /// It was asked and nothing at all came back, neither over UDP nor over TCP, though the questions left this machine.
    pub(crate) fn unreachable(&self) -> bool {
        !self.lookups.is_empty()
            && self.lookups.iter().all(|lookup| lookup.reply.is_none() && lookup.failure.as_ref().is_some_and(went_out))
    }

    /// The packets over UDP that got no answer, and how many there were, of questions that were answered at some time: what is never
    /// answered is no loss.
    pub(crate) fn lost_questions(&self) -> Share<'a> {
        let by_udp = || {
            self.lookups.iter().filter(|lookup| matches!(lookup.source, LookupSource::Server { transport: Transport::Udp, .. }))
        };
        let is_answered = |lookup: &Seen<'_, Lookup>| {
            by_udp().any(|other| other.record_type == lookup.record_type && other.fact.reply.is_some())
        };
        let mut share = Share::default();
        for lookup in by_udp().filter(|lookup| is_answered(lookup) && lookup.others.is_empty()) {
            let sent = lookup.fact.sent.iter().filter(|sent| sent.why != QueryReason::Truncated);
            let count = |of: usize| u32::try_from(of).unwrap_or(u32::MAX);
            let lost = sent.clone().filter(|sent| sent.rcode.is_none()).count();
            share.add(count(lost), count(sent.count()), lookup.id);
        }
        share
    }

    /// The types of records whose questions over UDP all met with silence, while it answered for another type.
    pub(crate) fn silent_types(&self) -> Vec<&'a str> {
        let by_udp = || {
            self.lookups.iter().filter(|lookup| matches!(lookup.source, LookupSource::Server { transport: Transport::Udp, .. }))
        };
        let answered = |wanted: &str| by_udp().any(|lookup| lookup.record_type == wanted && lookup.reply.is_some());
        if by_udp().all(|lookup| lookup.reply.is_none()) {
            return Vec::new();
        }
        let mut types: Vec<&str> = by_udp().map(|lookup| lookup.fact.record_type.as_str()).filter(|of| !answered(of)).collect();
        types.dedup();
        types
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &'a ObservationId> + '_ {
        self.lookups.iter().map(|lookup| lookup.id)
    }
}

/// The question was sent, and silence or an error from the network came back.
pub(crate) fn went_out(failure: &Failure) -> bool {
    match failure.code {
        FailureCode::TimedOut
        | FailureCode::Refused
        | FailureCode::Reset
        | FailureCode::Closed
        | FailureCode::HostUnreachable => true,
        // Whatever the system makes of it: of a filter's word over IPv6 it says that it was not allowed.
        _ => failure.icmp.is_some(),
    }
}

impl<'a> NameView<'a> {
    pub(crate) fn system_gave_address(&self) -> bool {
        self.system.iter().any(|lookup| !lookup.addresses.is_empty())
    }

    /// An application gets what it needs: an address from the system, or, where the system was not asked, data from a server.
    pub(crate) fn resolved(&self) -> bool {
        if self.system.is_empty() { self.server_with_data().is_some() } else { self.system_gave_address() }
    }

    /// The first server that gave what was asked for.
    pub(crate) fn server_with_data(&self) -> Option<Seen<'a, Lookup>> {
        self.servers.iter().find_map(ServerView::gave_data)
    }

    /// Replies of this kind, with the server that gave each.
    pub(crate) fn answers(&self, wanted: impl Fn(Answer) -> bool) -> Vec<(SocketAddr, Seen<'a, Lookup>)> {
        let of_server = |view: &ServerView<'a>| {
            let server = view.server;
            view.answers()
                .into_iter()
                .filter(|(_, answer)| wanted(*answer))
                .map(move |(lookup, _)| (server, lookup))
                .collect::<Vec<_>>()
        };
        self.servers.iter().flat_map(of_server).collect()
    }

    /// What was asked for and nobody answered, neither with records nor by saying that there are none.
    pub(crate) fn unanswered_types(&self) -> Vec<&'a str> {
        let by_servers = self.servers.iter().flat_map(|server| &server.lookups);
        Lookup::unanswered_types(self.system.iter().chain(by_servers).map(|lookup| lookup.fact))
    }

    /// The system's own failure, which rests on what the servers said.
    pub(crate) fn system_failures(&self) -> impl Iterator<Item = &'a ObservationId> + '_ {
        self.system.iter().filter(|lookup| lookup.addresses.is_empty()).map(|lookup| lookup.id)
    }
}

fn same_name(left: &str, right: &str) -> bool {
    left.trim_end_matches('.').eq_ignore_ascii_case(right.trim_end_matches('.'))
}

impl<'a> Evidence<'a> {
    /// What the server was asked beside the checks' own questions, such as who it is.
    pub(crate) fn beside_of(&self, wanted: SocketAddr) -> Vec<Seen<'a, Lookup>> {
        let same = |lookup: &&Seen<'_, Lookup>| matches!(lookup.source, LookupSource::Server { server, .. } if server == wanted);
        self.lookups_beside.iter().filter(same).copied().collect()
    }

    /// Questions over UDP to a name server at the address that got no answer, where the same were answered at another time.
    pub(crate) fn lost_questions_to(&self, address: IpAddr) -> Share<'a> {
        let names = self.names();
        let servers = names.iter().flat_map(|view| &view.servers).filter(|server| server.server.ip() == address);
        servers.map(ServerView::lost_questions).fold(Share::default(), Share::and)
    }

    /// What the server that is asked for comparison says of the name.
    pub(crate) fn control_for(&self, name: &str) -> Vec<Seen<'a, Lookup>> {
        let control = self.lookups_beside.iter().filter(|lookup| lookup.purpose == Purpose::Control);
        control.filter(|lookup| same_name(&lookup.name, name)).copied().collect()
    }

    /// The zone's own servers that answered for the name with authority, each with its answer.
    pub(crate) fn authority_for(&self, name: &str) -> Vec<(Seen<'a, ZoneServer>, &'a DnsReply)> {
        let reply = |server: &Seen<'a, ZoneServer>| server.fact.reply.as_ref().filter(|_| server.authoritative == Some(true));
        let answers = |reply: &&DnsReply| reply.answers.first().is_some_and(|record| same_name(&record.name, name));
        self.zone_servers.iter().filter_map(|server| Some((*server, reply(server).filter(answers)?))).collect()
    }

    /// The system completes the name with its search list before it asks for the name itself.
    pub(crate) fn is_short(&self, name: &str) -> bool {
        let sources = self.name_sources.iter().find(|sources| same_name(&sources.name, name));
        sources.and_then(|sources| sources.tried.first()).is_some_and(|first| !same_name(first, name))
    }

    /// Everything that was asked, one view a name.
    pub(crate) fn names(&self) -> Vec<NameView<'a>> {
        let mut views: Vec<NameView<'a>> = Vec::new();
        for lookup in &self.lookups {
            let at = views.iter().position(|view| view.name.eq_ignore_ascii_case(&lookup.fact.name)).unwrap_or_else(|| {
                views.push(NameView { name: &lookup.fact.name, system: Vec::new(), servers: Vec::new() });
                views.len() - 1
            });
            let view = &mut views[at];
            match lookup.fact.source {
                LookupSource::System => view.system.push(*lookup),
                LookupSource::Library => {}
                LookupSource::Server { server, .. } => match view.servers.iter_mut().find(|known| known.server == server) {
                    Some(known) => known.lookups.push(*lookup),
                    None => view.servers.push(ServerView { server, lookups: vec![*lookup] }),
                },
            }
        }
        views
    }
}
