//! Handshakes that die because of what the first message holds: the name of the host, or its size.

use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, small_segments};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::failure::{FailureCode, Step};
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::{Handshake, HandshakeVariant, Variant};

pub(in crate::rules) const SNI_BLOCKED_RULE: Rule = Rule {
    refines: &["tls.handshake_timeout"],
    settled_by: Some(
        "the distance that the reset came from (a capture with raw sockets), and the same name to an unrelated address",
    ),
    ..Rule::new("tls.sni_blocked", &["tcp.reset_midstream", "tls.handshake_timeout", "tls.large_hello_blocked"], sni_blocked)
};

pub(in crate::rules) const LARGE_HELLO_RULE: Rule = Rule {
    refines: &["tls.handshake_timeout"],
    settled_by: Some("a large ping that may not be split: where it passes too, the server or a filter rejects the hello itself"),
    ..Rule::new("tls.large_hello_blocked", &["path.mtu_blackhole", "tls.handshake_timeout", "tls.sni_blocked"], large_hello)
};

/// The same address completes at once under another name; the server itself may still be what refuses the name.
const RESET: f64 = 0.88;
/// Silence may be a server that waits for a site that it no longer has.
const SILENT: f64 = 0.82;
/// It broke off every handshake that named it, in checks one after the other.
const RESET_AGAIN: f64 = 0.92;
/// It met every one with silence.
const SILENT_AGAIN: f64 = 0.86;
/// The small hello completes and the large one died every time. A path that loses every full packet does the same.
const REPEATED: f64 = 0.85;
/// It died in small segments as well, which pass every path: its length in all is what is not taken.
const OVER_SMALL_SEGMENTS: f64 = 0.93;
/// It died once, which chance may do.
const ONCE: f64 = 0.75;

/// The handshake died right after its first message: nothing came, or the connection was broken off. An alert is an answer.
fn died(handshake: &Handshake) -> bool {
    let broken = |code: &FailureCode| matches!(code, FailureCode::Reset | FailureCode::Closed | FailureCode::TimedOut);
    let during = |step| matches!(step, Step::Handshake | Step::Receive);
    // What ended before TLS began says nothing about a hello.
    let began = handshake.starttls.as_ref().is_none_or(|starttls| starttls.agreed);
    began
        && handshake.plain_reply.is_none()
        && handshake.chain.is_empty()
        && handshake.failure.as_ref().is_some_and(|failure| broken(&failure.code) && during(failure.during))
}

fn variants<'e, 'a>(
    evidence: &'e Evidence<'a>,
    handshake: &Seen<'_, Handshake>,
    variant: Variant,
) -> impl Iterator<Item = &'e Seen<'a, HandshakeVariant>> {
    let address = handshake.address;
    evidence.variants.iter().filter(move |other| other.address == address && other.variant == variant)
}

/// No handshake as applications make it ever completed there.
fn never_completed(evidence: &Evidence<'_>, handshake: &Seen<'_, Handshake>) -> bool {
    evidence.handshakes.iter().filter(|other| other.address == handshake.address).all(|other| died(other.fact))
}

fn sni_blocked(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let dead = evidence.handshakes.iter().filter(|handshake| died(handshake.fact) && never_completed(evidence, handshake));
    dead.filter_map(|handshake| of_name(evidence, handshake)).collect()
}

fn of_name(evidence: &Evidence<'_>, handshake: &Seen<'_, Handshake>) -> Option<Candidate> {
    let name = handshake.fact.server_name.as_deref()?;
    let other = variants(evidence, handshake, Variant::ServerName)
        .find(|other| other.failure.is_none() && other.server_name.as_deref() != Some(name))?;
    let small: Vec<_> = variants(evidence, handshake, Variant::ClassicGroups).collect();
    if small.iter().any(|small| small.failure.is_none()) {
        return None;
    }
    let silent = handshake.failure.as_ref().is_some_and(|failure| failure.code == FailureCode::TimedOut);
    let how = if silent { "nothing comes back" } else { "the connection is broken off" };
    let instead = other.server_name.as_deref().map_or("without a name".to_owned(), |name| format!("under the name {name}"));
    let address = handshake.address.ip();
    let times = evidence.handshakes.iter().filter(|again| again.address == handshake.address).count();
    let candidate = Candidate::new(
        Severity::Problem,
        match (silent, times > 1) {
            (true, false) => SILENT,
            (true, true) => SILENT_AGAIN,
            (false, false) => RESET,
            (false, true) => RESET_AGAIN,
        },
        format!("As soon as the handshake with {address} names {name}, {how}; {instead} the same address completes it. Something on the way, or in front of the server, blocks the name."),
    )
    .at(place(handshake))
    .about(Spot::Endpoint(handshake.address))
    .stopping()
    .resting_on([handshake.id, other.id])
    .rejecting("tls.handshake_timeout", format!("The server completes a handshake {instead}."), [other.id])
    .rejecting("tcp.reset_midstream", "It follows the name: other handshakes with the address are not broken off.", [other.id])
    .rejecting("tls.large_hello_blocked", "A small hello with the name dies as well.", small.iter().map(|small| small.id))
    .next(Who::Network, format!("Ask whoever runs the firewall or the web filter to allow {name}; if there is none, ask the operator of the server whether it still serves {name}."));
    Some(candidate)
}

fn large_hello(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let dead = evidence.handshakes.iter().filter(|handshake| died(handshake.fact) && never_completed(evidence, handshake));
    dead.filter_map(|handshake| of_size(evidence, handshake)).collect()
}

fn of_size(evidence: &Evidence<'_>, handshake: &Seen<'_, Handshake>) -> Option<Candidate> {
    let small = variants(evidence, handshake, Variant::ClassicGroups).find(|small| small.failure.is_none())?;
    let times = evidence.handshakes.iter().filter(|other| other.address == handshake.address).count();
    let halted = |other: &&Seen<'_, Handshake>| other.address == handshake.address && small_segments(other.outcome).is_some();
    let over_small: Vec<_> =
        evidence.handshakes.iter().filter(halted).filter(|other| died(other.fact)).map(|other| other.id).collect();
    let host = &handshake.fact.host;
    let candidate = Candidate::new(
        Severity::Problem,
        match (over_small.is_empty(), times > 1) {
            (false, _) => OVER_SMALL_SEGMENTS,
            (true, true) => REPEATED,
            (true, false) => ONCE,
        },
        format!("{host} completes the handshake only when the first message is small: the usual one, which offers post-quantum key exchange and needs two packets, is never answered. Something on the way, or the server's own TLS, does not read past the first packet."),
    )
    .at(place(handshake))
    .about(Spot::Endpoint(handshake.address))
    .stopping()
    .resting_on([handshake.id, small.id])
    .rejecting("tls.handshake_timeout", "The server answers a smaller hello at once.", [small.id])
    .rejecting("tls.sni_blocked", "The smaller hello names the same host.", [small.id])
    .rejecting("path.mtu_blackhole", "In small segments, which no path is too narrow for, the large hello dies as well.", over_small)
    .next(Who::Network, format!("Update the firewall, load balancer or TLS stack in front of {host} so that it reads a ClientHello of several packets; until then, clients can leave out X25519MLKEM768."));
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, failure, handshake, variant};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, Variant};

    fn dead(code: FailureCode) -> Fact {
        handshake(|handshake| {
            (handshake.chain, handshake.trust, handshake.name) = (Vec::new(), Vec::new(), None);
            handshake.failure = Some(failure(code, Step::Handshake));
        })
    }

    fn silence() -> Option<netsonde_contract::failure::Failure> {
        Some(failure(FailureCode::TimedOut, Step::Handshake))
    }

    fn scene(facts: Vec<Fact>) -> Scene {
        Scene::new("https://shop.example").check(Kind::Tcp, [connected("192.0.2.1:443")]).check(Kind::Tls, facts)
    }

    #[test]
    fn a_name_that_breaks_the_connection_is_told_from_a_server_that_is_silent() {
        for code in [FailureCode::Reset, FailureCode::TimedOut] {
            let facts = vec![
                dead(code),
                variant(Variant::ClassicGroups, Some("shop.example"), silence()),
                variant(Variant::ServerName, None, None),
            ];
            let finding = scene(facts).finds("tls.sni_blocked");
            assert!(finding.sentence.contains("without a name") && finding.rejected.len() == 3, "{finding:?}");
        }
    }

    #[test]
    fn a_server_that_is_silent_under_every_name_is_silent() {
        scene(vec![dead(FailureCode::TimedOut), variant(Variant::ServerName, None, silence())]).finds("tls.handshake_timeout");
    }

    #[test]
    fn a_hello_of_two_packets_that_dies_where_a_small_one_lives_is_too_large() {
        let small = || variant(Variant::ClassicGroups, Some("shop.example"), None);
        let once = scene(vec![dead(FailureCode::TimedOut), small(), variant(Variant::ServerName, None, None)]);
        let twice = scene(vec![dead(FailureCode::TimedOut), dead(FailureCode::TimedOut), small()]);
        assert!(once.finds("tls.large_hello_blocked").confidence < twice.finds("tls.large_hello_blocked").confidence);
    }

    #[test]
    fn a_hello_that_completed_once_is_not_too_large() {
        let facts =
            vec![dead(FailureCode::TimedOut), handshake(|_| {}), variant(Variant::ClassicGroups, Some("shop.example"), None)];
        assert!(!scene(facts).names("tls.large_hello_blocked"));
    }
}
