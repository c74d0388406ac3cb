//! What a finding leaves open: the neighbouring causes that no observation rules out, and for each the permission, the place to measure
//! from or the measurement that would decide.

use crate::rule::Rule;
use netsonde_contract::capability::{HOST_FIREWALL, Right, Rights, Seen, System};
use netsonde_contract::cause;
use netsonde_contract::environment::Environment;
use netsonde_contract::finding::{NotSeparated, Place, Rejected};

/// What a decision needs that the run did not have.
enum Needs {
    /// Raw sockets, and what they would show. Where the run had them, this was not what was missing.
    RawSockets(&'static str),
    /// This machine's own packet filter.
    OwnFilter,
    /// A place elsewhere, an agreement or another measurement, in words.
    Other(&'static str),
}

use Needs::{Other, OwnFilter, RawSockets};

const ELSEWHERE_TLS: &str = "the same server asked from another network: interception shows another certificate there";
const FETCH: &str =
    "leave to fetch the issuer's certificate from the address that the server's own names: netsonde run tls --param fetch=true";
const AT_TARGET: &str = "a look at the target itself, or a connection to it from its own network";
const RESET_TTL: &str = "show how many routers the reset passed";
const SYNS_LEAVE: &str = "show whether its connections leave this machine";
const IN_THE_SERVER: &str =
    "a look at the server: `ss -ltn` shows Recv-Q at Send-Q where its queue is full, and its own firewall counts what it drops";
const CONTROL: &str = "another name server to compare with, one that is not on the same way";

/// By cause and neighbour; of several lines the first that was missing counts. What is not here is settled as the rule itself says.
const TABLE: &[(&str, &str, Needs)] = &[
    ("tcp.refused", "tcp.rejected_by_middlebox", RawSockets(RESET_TTL)),
    ("tcp.refused", "tcp.rejected_by_middlebox", Other("a connection to the port from the target's own network")),
    ("tcp.refused", "host.firewall_local", OwnFilter),
    ("tcp.filtered", "host.firewall_local", RawSockets(SYNS_LEAVE)),
    ("tcp.filtered", "host.firewall_local", OwnFilter),
    ("tcp.filtered", "tcp.accept_queue_full", Other(IN_THE_SERVER)),
    ("tcp.reset_midstream", "tcp.idle_timeout", RawSockets(RESET_TTL)),
    ("tcp.backend_unhealthy", "tcp.rejected_by_middlebox", RawSockets(RESET_TTL)),
    ("tcp.snat_exhausted", "host.ephemeral_ports_exhausted", Other("as many connections from a machine behind another gateway")),
    (
        "path.target_silent",
        "path.blackhole",
        Other("a trace from another network, or a second target behind the same router: --target may be given several times"),
    ),
    ("path.target_silent", "tcp.filtered", Other(AT_TARGET)),
    ("path.ecmp_member_bad", "tcp.backend_unhealthy", Other("a look at each server behind the address")),
    ("path.ecmp_member_bad", "path.loss", Other("leave to ping: with it, loss by chance is seen")),
    ("path.ipv6_broken", "host.no_route", Other("IPv6 addresses of other hosts as further targets")),
    ("tls.unknown_issuer", "tls.intercepted", Other(ELSEWHERE_TLS)),
    ("tls.self_signed", "tls.intercepted", Other(ELSEWHERE_TLS)),
    ("tls.unknown_issuer", "tls.chain_incomplete", Other(FETCH)),
    ("dns.nxdomain", "dns.nxdomain_injected", Other(CONTROL)),
    ("dns.servfail", "dns.dnssec_bogus", Other("the same question with checking disabled (CD=1)")),
    (
        "http.timeout",
        "path.mtu_blackhole",
        Other("a host that answers large packets to a closed port, or a capture at the server"),
    ),
    (
        "tls.handshake_timeout",
        "path.mtu_blackhole",
        Other("a host that answers large packets to a closed port, or a capture at the server"),
    ),
];

/// The neighbours that remain beside a finding of this rule.
pub(crate) fn remaining(
    rule: &Rule,
    place: &Place,
    rejected: &[Rejected],
    settled_by: Option<&str>,
    environment: &Environment,
) -> Vec<NotSeparated> {
    let is_open =
        |neighbour: &&&str| !rejected.iter().any(|rejected| rejected.cause == ***neighbour) && !rule.refines.contains(*neighbour);
    let of = |neighbour: &&str| {
        let would_take = would_take(rule.code, neighbour, environment).or_else(|| settled_by.map(str::to_owned))?;
        Some(NotSeparated { cause: (*neighbour).to_owned(), would_take })
    };
    // What is wrong with a name server is no neighbour of what was seen elsewhere.
    let is_near = |neighbour: &&&str| cause::area(neighbour) != "dns" || rule.area() == "dns" || place.resolver.is_some();
    // A handshake of TLS that hangs is no neighbour of a page without TLS, a limit on pings none of questions over UDP, and a listen queue one
    // of what is seen at a port only.
    let plain = place.url.as_deref().is_some_and(|url| url.starts_with("http://"));
    let is_there = |neighbour: &&&str| match **neighbour {
        "tls.handshake_timeout" => !plain,
        "path.icmp_rate_limited" => place.resolver.is_none(),
        "tcp.accept_queue_full" => rule.area() == "tcp" || place.port.is_some(),
        _ => true,
    };
    rule.neighbours.iter().filter(is_near).filter(is_there).filter(is_open).filter_map(of).collect()
}

fn would_take(cause: &str, neighbour: &str, environment: &Environment) -> Option<String> {
    let (system, rights) = (System::of(&environment.os), Rights::from(environment));
    let lines = TABLE.iter().filter(|(of, beside, _)| *of == cause && *beside == neighbour);
    lines
        .filter_map(|(_, _, needs)| match needs {
            RawSockets(_) if rights.raw_sockets => None,
            RawSockets(shows) => {
                let grant = Right::RawSockets.grant(system, rights.grantor);
                Some(format!("{}, which {shows}: {grant}", Right::RawSockets.name()))
            }
            OwnFilter => Some(match HOST_FIREWALL.seen(system, rights) {
                // Whoever has the right to read it needs to be told of no right.
                Seen::Yes => "this machine's own packet filter, which `netsonde probe host` reads".to_owned(),
                Seen::Lacks(right) if !rights.grantor.is_person() => {
                    format!(
                        "this machine's own packet filter, which needs {}: {}",
                        right.name(),
                        right.grant(system, rights.grantor)
                    )
                }
                Seen::Lacks(_) | Seen::Unbuilt => "this machine's own packet filter, which an administrator may read".to_owned(),
            }),
            Other(words) => Some((*words).to_owned()),
        })
        .next()
}

#[cfg(test)]
mod tests {
    use super::TABLE;
    use crate::RULES;
    use crate::scene::{Scene, echo, refused, silent, trace};
    use netsonde_contract::kind::Kind;

    #[test]
    fn the_table_speaks_of_rules_and_their_neighbours() {
        for (cause, neighbour, _) in TABLE {
            let rule = RULES.iter().find(|rule| rule.code == *cause);
            let known = rule.is_some_and(|rule| rule.neighbours.contains(neighbour) && !rule.refines.contains(neighbour));
            assert!(known, "{cause} beside {neighbour}");
        }
    }

    #[test]
    fn without_raw_sockets_a_refusal_says_which_right_would_tell_its_sender() {
        let finding = Scene::new("shop.example").check(Kind::Tcp, [refused("192.0.2.1:443", 9_000)]).finds("tcp.refused");
        let open = finding.could_not_separate.iter().find(|open| open.cause == "tcp.rejected_by_middlebox").unwrap();
        assert!(open.would_take.contains("raw sockets") && open.would_take.contains("sudo"), "{open:?}");
    }

    #[test]
    fn with_raw_sockets_they_are_not_what_is_missing() {
        let mut scene = Scene::new("shop.example").check(Kind::Tcp, [refused("192.0.2.1:443", 9_000)]);
        scene.be_privileged();
        let finding = scene.finds("tcp.refused");
        let rights = ["raw sockets", "administrator", "sudo"];
        let asks = |words: &str| rights.iter().any(|right| words.contains(right));
        assert!(finding.could_not_separate.iter().all(|open| !asks(&open.would_take)), "{finding:?}");
        assert!(!finding.settled_by.is_some_and(|words| asks(&words)));
    }

    #[test]
    fn root_of_a_container_is_told_what_the_packet_filter_takes_there() {
        let attempts = [silent("192.0.2.1:443"), silent("192.0.2.1:443"), silent("192.0.2.1:443")];
        let mut scene = Scene::new("shop.example").check(Kind::Tcp, attempts).check(Kind::Icmp, [echo("192.0.2.1", &[9_000])]);
        scene.be_root_of_a_container();
        let open = scene.finds("tcp.filtered").could_not_separate;
        let filter = open.iter().find(|open| open.cause == "host.firewall_local").unwrap();
        assert!(filter.would_take.contains("--cap-add NET_ADMIN") && !filter.would_take.contains("sudo"), "{filter:?}");
        assert!(!filter.would_take.contains("NET_RAW"), "raw sockets it has: {filter:?}");
    }

    #[test]
    fn what_is_ruled_out_or_settled_is_not_open() {
        let scene = Scene::new("shop.example")
            .check(Kind::Tcp, [silent("192.0.2.1:443"), silent("192.0.2.1:443"), silent("192.0.2.1:443")])
            .check(Kind::Icmp, [echo("192.0.2.1", &[9_000])]);
        let open = scene.finds("tcp.filtered").could_not_separate;
        assert!(open.iter().all(|open| open.cause != "path.blackhole" && open.cause != "tcp.refused"), "{open:?}");
        let silent = Scene::new("shop.example")
            .check(Kind::Tcp, [silent("192.0.2.1:443")])
            .check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "*"]));
        let finding = silent.finds("path.target_silent");
        let open: Vec<_> = finding.could_not_separate.iter().map(|open| open.cause.as_str()).collect();
        assert_eq!(open, ["path.blackhole"], "a filter for the port alone is ruled out by the trace");
    }
}
