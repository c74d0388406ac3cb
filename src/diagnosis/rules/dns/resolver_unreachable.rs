use super::over_udp;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, NameView, Seen, ServerView};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::threshold::SLOW_LOOKUP_US;
use crate::wording::list;
use netsonde_contract::failure::{Failure, FailureCode, IcmpMeaning};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Lookup, LookupSource, Transport};
use std::net::{IpAddr, SocketAddr};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("asking the same server for another name, over UDP and over TCP"),
    ..Rule::new("dns.resolver_unreachable", &["dns.tcp_blocked", "dns.name_unanswered", "host.no_route"], evaluate)
};

/// Where name servers are asked that nothing else is said of (RFC 1035 section 4.2).
const DNS_PORT: u16 = 53;

/// An ICMP error says that nothing is there to answer.
const WITH_ERROR: f64 = 0.95;
/// Silence to every question; whether the server or the way to it is dead does not matter to the customer.
const SILENT: f64 = 0.88;
/// Silence to questions about the server itself and over TCP as well: not this name, and not only UDP.
const SILENT_TO_ALL: f64 = 0.93;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let names = evidence.names();
    let silent = names.iter().filter_map(|view| unreachable(evidence, &names, view));
    silent.chain(over_udp::dead(evidence)).collect()
}

fn unreachable(evidence: &Evidence<'_>, names: &[NameView<'_>], view: &NameView<'_>) -> Option<Candidate> {
    // A server that answers any question is there; what it does not answer is another cause's business.
    let answers_any = |server: SocketAddr| {
        let same = |view: &&NameView<'_>| view.servers.iter().any(|known| known.server == server && !known.answers().is_empty());
        names.iter().any(|view| same(&view))
    };
    let dead: Vec<_> = view.servers.iter().filter(|server| server.unreachable() && !answers_any(server.server)).collect();
    let servers: Vec<IpAddr> = dead.iter().map(|server| server.server.ip()).collect();
    let resolver = *servers.first()?;
    let alive = view.servers.iter().find(|server| !server.answers().is_empty());
    let severity = match (alive, view.resolved()) {
        // Waiting for the silent server used up the time before the other was asked.
        (Some(_), false) if ran_out_of_time(view) => Severity::Problem,
        // A spare that is dead, or one that nothing waited for, is felt by nobody until the other fails too.
        (Some(alive), _)
            if took_long(view) && servers.iter().any(|dead| is_asked_before(evidence, view, *dead, alive.server.ip())) =>
        {
            Severity::Degraded
        }
        (Some(_), _) | (None, true) => Severity::Notice,
        (None, false) => Severity::Problem,
    };
    let ids: Vec<&ObservationId> = dead.iter().flat_map(|server| server.ids()).collect();
    let errors: Vec<&ObservationId> = dead
        .iter()
        .flat_map(|server| &server.lookups)
        .filter(|lookup| lookup.fact.failure.as_ref().is_some_and(is_error))
        .map(|lookup| lookup.id)
        .collect();
    let told = errors.len() == ids.len();
    let silent_to_all = !told && dead.iter().all(|server| is_silent_to_all(evidence, server));
    let beside = if silent_to_all { beside(evidence, &dead) } else { Vec::new() };
    let confidence = match (told, beside.is_empty()) {
        (true, _) => WITH_ERROR,
        (false, false) => SILENT_TO_ALL,
        (false, true) => SILENT,
    };
    let by_datagrams = dead.iter().all(|server| server.lookups.iter().any(is_by_datagram));
    let by_reset: Vec<&ObservationId> = dead.iter().flat_map(|server| refused_at_connect(server)).collect();
    let by_icmp = errors.iter().copied().filter(|id| !by_reset.contains(id));
    let mut candidate =
        Candidate::new(severity, confidence, sentence(view, &dead, severity, alive.map(|server| server.server.ip())))
            .at(Place { resolver: Some(resolver), name: Some(view.name.to_owned()), ..Place::default() })
            .towards(servers.iter().copied())
            .resting_on(ids.iter().copied())
            .rejecting(
                "dns.tcp_blocked",
                "No reply came at all, so that none was cut and none had to be asked for over TCP.",
                ids.iter().copied().filter(|_| by_datagrams),
            )
            .rejecting("host.no_route", "The questions left this machine: it has a route to the server.", ids)
            .rejecting("dns.name_unanswered", "An ICMP error answered, whatever the name.", by_icmp)
            .rejecting("dns.name_unanswered", "The connection itself was refused, before any name was asked for.", by_reset.iter().copied())
            .rejecting("dns.name_unanswered", "It stays silent when it is asked who it is, and over TCP.", beside)
            .next(
                Who::Network,
                match places(&dead) {
                    None => format!(
                        "Restore the name server {}, or give this machine one that works (DHCP, /etc/resolv.conf, network settings).",
                        list(&servers)
                    ),
                    Some(places) => format!(
                        "Restore the service {}, or ask the server in a way that it offers; what it answers otherwise was not asked here.",
                        list(&places)
                    ),
                },
            );
    if severity == Severity::Problem {
        candidate = candidate.about(Spot::Name(view.name.to_owned())).stopping().resting_on(view.system_failures());
    }
    Some(candidate)
}

/// It answered neither a question about itself nor one over TCP.
fn is_silent_to_all(evidence: &Evidence<'_>, server: &ServerView<'_>) -> bool {
    let by_tcp = |lookup: &Seen<'_, Lookup>| matches!(lookup.source, LookupSource::Server { transport: Transport::Tcp, .. });
    let beside = evidence.beside_of(server.server);
    !beside.is_empty() && beside.iter().all(|lookup| lookup.reply.is_none()) && server.lookups.iter().any(by_tcp)
}

fn beside<'a>(evidence: &Evidence<'a>, servers: &[&ServerView<'a>]) -> Vec<&'a ObservationId> {
    servers.iter().flat_map(|server| evidence.beside_of(server.server)).map(|lookup| lookup.id).collect()
}

/// An ICMP error, or over TCP a reset, says that nothing is there to answer.
fn is_error(failure: &Failure) -> bool {
    failure.icmp.is_some() || failure.code == FailureCode::Refused
}

fn ran_out_of_time(view: &NameView<'_>) -> bool {
    view.system.iter().any(|lookup| lookup.failure.as_ref().is_some_and(|failure| failure.code == FailureCode::TimedOut))
}

/// The system waited for the answer as it does for a silent server.
fn took_long(view: &NameView<'_>) -> bool {
    view.system.iter().any(|lookup| lookup.took_us.is_some_and(|took_us| took_us > SLOW_LOOKUP_US))
}

/// The order is that of the system's configuration, and where none was read, that in which the servers were asked.
fn is_asked_before(evidence: &Evidence<'_>, view: &NameView<'_>, dead: IpAddr, alive: IpAddr) -> bool {
    let configured = evidence.resolvers.iter().map(|resolvers| resolvers.servers.clone());
    let asked = std::iter::once(view.servers.iter().map(|server| server.server.ip()).collect::<Vec<_>>());
    let place_of = |order: &[IpAddr], wanted: IpAddr| order.iter().position(|server| *server == wanted);
    let known = configured.chain(asked).find_map(|order| Some((place_of(&order, dead)?, place_of(&order, alive)?)));
    known.is_some_and(|(dead, alive)| dead < alive)
}

/// Over UDP, to which a server answers or says by a cut reply to come back over TCP.
fn is_by_datagram(lookup: &Seen<'_, Lookup>) -> bool {
    matches!(lookup.source, LookupSource::Server { transport: Transport::Udp, .. })
}

/// A reset answered the connection.
fn refused_at_connect<'a>(server: &ServerView<'a>) -> impl Iterator<Item = &'a ObservationId> {
    let refused = |failure: &Failure| failure.icmp.is_none() && failure.code == FailureCode::Refused;
    let lookups = server.lookups.iter().filter(move |lookup| lookup.fact.failure.as_ref().is_some_and(refused));
    lookups.map(|lookup| lookup.id).collect::<Vec<_>>().into_iter()
}

/// `over TLS at port 853 of 10.0.0.53`, where a server was asked otherwise than every machine asks, in plain DNS at port 53: then nothing
/// is known of that.
fn place(server: &ServerView<'_>) -> Option<String> {
    let transports = server.lookups.iter().filter_map(|lookup| match lookup.source {
        LookupSource::Server { transport, .. } => Some(transport),
        LookupSource::System | LookupSource::Library => None,
    });
    let over = transports.map(|transport| match transport {
        Transport::Udp | Transport::Tcp => "",
        Transport::Tls => "over TLS ",
        Transport::Https => "over HTTPS ",
        Transport::Quic => "over QUIC ",
    });
    let over = over.max()?;
    let is_usual = over.is_empty() && server.server.port() == DNS_PORT;
    (!is_usual).then(|| format!("{over}at port {} of {}", server.server.port(), server.server.ip()))
}

/// The same of all, where it holds for any of them.
fn places(dead: &[&ServerView<'_>]) -> Option<Vec<String>> {
    let usual = |server: &ServerView<'_>| format!("at port {} of {}", server.server.port(), server.server.ip());
    let named = |server: &&ServerView<'_>| place(server).unwrap_or_else(|| usual(server));
    dead.iter().any(|server| place(server).is_some()).then(|| dead.iter().map(named).collect())
}

/// What is said of a server that was asked in another way than plain DNS at port 53 is limited to that way.
fn limited(view: &NameView<'_>, dead: &[&ServerView<'_>], places: &[String], severity: Severity) -> String {
    let closed = if nothing_listens(dead) { ": the machine is there, but nothing listens there" } else { "" };
    let verb = if places.len() == 1 { "does" } else { "do" };
    let felt = match severity {
        Severity::Problem => format!(", so that {} could not be asked for in this way", view.name),
        Severity::Degraded => ", while another server does, which every program reaches only after this one".to_owned(),
        Severity::Notice => ", and nothing had to wait for it".to_owned(),
    };
    format!("DNS {} {verb} not answer{closed}{felt}. This says nothing of the server's other ports and ways.", list(places))
}

fn sentence(view: &NameView<'_>, dead: &[&ServerView<'_>], severity: Severity, alive: Option<IpAddr>) -> String {
    if let Some(places) = places(dead) {
        return limited(view, dead, &places, severity);
    }
    let servers: Vec<IpAddr> = dead.iter().map(|server| server.server.ip()).collect();
    let subject = match servers.as_slice() {
        [one] => format!("The name server {one} does not answer"),
        several => format!("The name servers {} do not answer", list(several)),
    };
    let detail = if nothing_listens(dead) { ": the machine is there, but runs no name server" } else { "" };
    match (severity, alive) {
        (Severity::Problem, _) => {
            format!("{subject}{detail}, so that {} and other names cannot be turned into addresses.", view.name)
        }
        (Severity::Degraded, _) => {
            format!("{subject}{detail}; another one does, but every program waits for the silent one first.")
        }
        (Severity::Notice, Some(alive)) => format!(
            "{subject}{detail}. {alive} does, and nothing had to wait; should it fail too, no name server is left in its place."
        ),
        (Severity::Notice, None) => format!("{subject}{detail}. The name {} did not need it.", view.name),
    }
}

/// The server's own address answered that its port is closed.
fn nothing_listens(dead: &[&ServerView<'_>]) -> bool {
    let mut errors =
        dead.iter().flat_map(|server| server.lookups.iter().map(|lookup| (server.server.ip(), lookup.fact.failure.as_ref())));
    errors.all(|(server, failure)| {
        let icmp = failure.and_then(|failure| failure.icmp.as_ref());
        let by_reset = icmp.is_none() && failure.is_some_and(|failure| failure.code == FailureCode::Refused);
        by_reset || icmp.is_some_and(|icmp| icmp.meaning() == IcmpMeaning::PortUnreachable && icmp.offender == server)
    })
}

#[cfg(test)]
mod tests {
    use crate::scene::{
        Scene, answer, beside, dns_silent, failure, icmp, no_reply, over_tcp, rcode, resolvers, slowly, system, with_failure,
    };
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::finding::{Severity, State};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, Purpose};
    use netsonde_contract::outcome::Status;

    const NAME: &str = "shop.example";

    #[test]
    fn a_dead_resolver_explains_everything_behind_it() {
        let facts = [dns_silent("10.0.0.53", NAME, "A"), dns_silent("10.0.0.53", NAME, "AAAA"), system(NAME, &[])];
        let scene = Scene::new(NAME).check(Kind::Dns, facts).ended(Kind::Tcp, Status::Skipped, []);
        let finding = scene.ended(Kind::Http, Status::TimedOut, []).finds("dns.resolver_unreachable");
        assert_eq!(finding.severity, Severity::Problem);
    }

    #[test]
    fn silence_to_everything_and_over_tcp_rules_one_name_out() {
        let dead = dns_silent("10.0.0.53", NAME, "A");
        let scene = Scene::new(NAME).check(Kind::Dns, [dead.clone(), system(NAME, &[])]);
        assert!(scene.finds("dns.resolver_unreachable").confidence < 0.9);
        let who = beside(dns_silent("10.0.0.53", "version.bind", "TXT"), Purpose::Identity);
        let finding = scene.check(Kind::Dns, [who, over_tcp(dead)]).finds("dns.resolver_unreachable");
        assert!(finding.confidence > 0.9 && finding.rejected.iter().any(|not| not.cause == "dns.name_unanswered"), "{finding:?}");
    }

    #[test]
    fn a_closed_port_53_says_that_no_name_server_runs_there() {
        let closed = failure(FailureCode::Refused, Step::Receive).with_icmp(icmp("10.0.0.53", 3, 3));
        let scene = Scene::new(NAME).check(Kind::Dns, [no_reply("10.0.0.53", NAME, "A", closed), system(NAME, &[])]);
        let finding = scene.finds("dns.resolver_unreachable");
        assert!(finding.confidence > 0.9 && finding.sentence.contains("runs no name server"), "{}", finding.sentence);
    }

    #[test]
    fn a_closed_port_of_another_way_says_nothing_of_the_name_server() {
        use netsonde_contract::observation::{LookupSource, Transport};
        let refused = failure(FailureCode::Refused, Step::Connect);
        for (server, over, words) in [
            ("10.0.0.53:853", Transport::Tls, "over TLS at port 853 of 10.0.0.53"),
            ("10.0.0.53:5353", Transport::Tcp, "at port 5353 of 10.0.0.53"),
        ] {
            let mut fact = no_reply("10.0.0.53", NAME, "A", refused.clone());
            if let Fact::Lookup(lookup) = &mut fact {
                lookup.source = LookupSource::Server { server: server.parse().unwrap(), transport: over };
            }
            let finding = Scene::new(NAME).check(Kind::Dns, [fact]).finds("dns.resolver_unreachable");
            assert!(
                finding.sentence.contains(words) && !finding.sentence.contains("runs no name server"),
                "{}",
                finding.sentence
            );
            let why: Vec<&str> = finding.rejected.iter().map(|rejected| rejected.reason.as_str()).collect();
            assert!(why.iter().all(|why| !why.contains("ICMP") && !why.contains("over TCP")), "{why:?}");
        }
    }

    #[test]
    fn a_second_resolver_that_works_makes_it_a_delay() {
        let facts = [resolvers(&["10.0.0.53", "10.0.0.54"]), dead(), alive(), slowly(system(NAME, &["192.0.2.1"]))];
        assert_eq!(Scene::new(NAME).check(Kind::Dns, facts).finds("dns.resolver_unreachable").severity, Severity::Degraded);
    }

    #[test]
    fn a_dead_spare_that_is_asked_second_is_a_notice() {
        let facts = [resolvers(&["10.0.0.54", "10.0.0.53"]), dead(), alive(), slowly(system(NAME, &["192.0.2.1"]))];
        notices(facts);
    }

    #[test]
    fn a_dead_first_server_that_nothing_waited_for_is_a_notice() {
        notices([resolvers(&["10.0.0.53", "10.0.0.54"]), dead(), alive(), system(NAME, &["192.0.2.1"])]);
    }

    fn notices(facts: [Fact; 4]) {
        let scene = Scene::new(NAME).check(Kind::Dns, facts);
        assert_eq!(scene.is_healthy(), ["dns.resolver_unreachable"]);
        let sentence = &scene.diagnose().findings[0].sentence;
        assert!(sentence.contains("10.0.0.54 does, and nothing had to wait"), "{sentence}");
    }

    fn dead() -> Fact {
        dns_silent("10.0.0.53", NAME, "A")
    }

    fn alive() -> Fact {
        answer("10.0.0.54", NAME, &["192.0.2.1"])
    }

    #[test]
    fn a_working_second_resolver_does_not_explain_that_the_system_gets_nothing() {
        let facts = [dns_silent("10.0.0.53", NAME, "A"), answer("10.0.0.54", NAME, &["192.0.2.1"]), system(NAME, &[])];
        assert_eq!(Scene::new(NAME).check(Kind::Dns, facts).diagnose().state, State::Unexplained);
    }

    #[test]
    fn a_second_resolver_that_is_asked_too_late_makes_it_a_problem() {
        let cut_off = with_failure(system(NAME, &[]), failure(FailureCode::TimedOut, Step::Resolve));
        let facts = [dns_silent("10.0.0.53", NAME, "A"), answer("10.0.0.54", NAME, &["192.0.2.1"]), cut_off];
        let finding = Scene::new(NAME).ended(Kind::Dns, Status::TimedOut, facts).finds("dns.resolver_unreachable");
        assert_eq!(finding.severity, Severity::Problem);
    }

    #[test]
    fn a_name_of_the_hosts_file_makes_it_a_notice() {
        let facts = [dns_silent("10.0.0.53", "localhost", "A"), system("localhost", &["127.0.0.1"])];
        assert_eq!(Scene::new("localhost").check(Kind::Dns, facts).is_healthy(), ["dns.resolver_unreachable"]);
    }

    #[test]
    fn a_resolver_silent_for_one_type_only_is_there() {
        let facts =
            [dns_silent("10.0.0.53", NAME, "AAAA"), answer("10.0.0.53", NAME, &["192.0.2.1"]), system(NAME, &["192.0.2.1"])];
        assert_eq!(Scene::new(NAME).check(Kind::Dns, facts).is_healthy(), ["dns.aaaa_dropped"]);
    }

    #[test]
    fn a_resolver_that_answers_with_an_error_is_there() {
        let facts = [dns_silent("10.0.0.53", NAME, "AAAA"), rcode("10.0.0.53", NAME, "A", 2, &[]), system(NAME, &[])];
        Scene::new(NAME).check(Kind::Dns, facts).finds("dns.servfail");
    }
}
