//! Connections that end right after the first message of TLS, whatever it says, before anything of the server's came.

use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, proxy_towards};
use crate::rules::tls;
use crate::spot::Spot;
use crate::wording::duration;
use netsonde_contract::failure::{FailureCode, Step};
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::{Handshake, HandshakeVariant, Variant};

/// Hellos of another name and of another size ended in the same way: neither is what is not taken.
const WHATEVER_IT_SAYS: f64 = 0.85;
/// Only one hello was tried, whose name or size may be what is not taken.
const ONE_HELLO: f64 = 0.75;

/// The handshakes that all ended so, a candidate for each server. The first of them decides whether they are resets.
pub(super) fn ended(evidence: &Evidence<'_>, code: &FailureCode) -> Vec<Candidate> {
    let mut first: Vec<&Seen<'_, Handshake>> = Vec::new();
    for handshake in evidence.handshakes.iter().filter(|handshake| is_cut(handshake)) {
        if first.iter().all(|known| !is_of_same(known, handshake)) {
            first.push(handshake);
        }
    }
    let by_code = first.into_iter().filter(|handshake| handshake.failure.as_ref().is_some_and(|failure| failure.code == *code));
    by_code.filter_map(|handshake| of_server(evidence, handshake, code)).collect()
}

/// It ended with nothing of the server's. What ended before TLS began, or over UDP, is no such thing.
fn is_cut(handshake: &Seen<'_, Handshake>) -> bool {
    let began = handshake.starttls.as_ref().is_none_or(|starttls| starttls.agreed);
    let cut = handshake.failure.as_ref().is_some_and(|failure| {
        matches!(failure.code, FailureCode::Reset | FailureCode::Closed) && failure.during == Step::Handshake
    });
    cut && began && handshake.outcome.kind != Kind::Quic && handshake.plain_reply.is_none() && handshake.chain.is_empty()
}

fn is_of_same(one: &Handshake, other: &Handshake) -> bool {
    one.address == other.address && one.host == other.host
}

fn of_server(evidence: &Evidence<'_>, handshake: &Seen<'_, Handshake>, code: &FailureCode) -> Option<Candidate> {
    let all = || evidence.handshakes.iter().filter(|other| is_of_same(other, handshake));
    let variants = || evidence.variants.iter().filter(|variant| variant.address == handshake.address);
    // Another hello that completes says what is not taken of this one, and other causes tell it.
    if all().any(|other| !is_cut(other)) || variants().any(|variant| variant.failure.is_none()) {
        return None;
    }
    let ids: Vec<&ObservationId> = all().map(|other| other.id).collect();
    let of = |kind: Variant| variants().filter(move |variant| variant.variant == kind && died(variant)).map(|variant| variant.id);
    let (named, small): (Vec<_>, Vec<_>) = (of(Variant::ServerName).collect(), of(Variant::ClassicGroups).collect());
    let whatever = !named.is_empty() && !small.is_empty();
    let proxy = proxy_towards(handshake.outcome, handshake.address);
    let mut candidate = Candidate::new(Severity::Problem, if whatever { WHATEVER_IT_SAYS } else { ONE_HELLO }, "")
        .at(tls::place(handshake))
        .resting_on(ids.iter().copied())
        .resting_on(named.iter().chain(&small).copied())
        .rejecting("tls.sni_blocked", "A hello with another name, or with none, ends in the same way.", named)
        .rejecting("tls.large_hello_blocked", "A hello that fits one packet ends in the same way.", small)
        .rejecting("tls.handshake_timeout", "It was ended at once, and did not meet with silence.", ids.iter().copied())
        .rejecting("tcp.idle_timeout", "The connection was in use.", ids.iter().copied());
    candidate = match code {
        FailureCode::Reset => candidate.rejecting("tcp.closed_early", "A reset ended it, and not a close.", ids.iter().copied()),
        _ => candidate.rejecting("tcp.reset_midstream", "It was closed in order, and not reset.", ids.iter().copied()).rejecting(
            "http.protocol_error",
            "Nothing came that could be HTTP.",
            ids.iter().copied(),
        ),
    };
    let also = if whatever { " With another name, and with a small hello, it is the same." } else { "" };
    Some(match proxy {
        None => directly(candidate, handshake, code, also),
        Some((proxy, url)) => behind(candidate, handshake, code, also, proxy, url),
    })
}

/// Reset or closed: which of the two a peer does is a matter of its timing.
fn died(variant: &HandshakeVariant) -> bool {
    variant.failure.as_ref().is_some_and(|failure| matches!(failure.code, FailureCode::Reset | FailureCode::Closed))
}

fn directly(candidate: Candidate, handshake: &Seen<'_, Handshake>, code: &FailureCode, also: &str) -> Candidate {
    let (host, port) = (&handshake.host, handshake.address.port());
    let ends = if *code == FailureCode::Reset { "it is reset" } else { "it is closed" };
    let mut candidate = candidate.about(Spot::Endpoint(handshake.address)).stopping().next(
        Who::Server,
        format!("Look at the log of {host} and of what stands in front of it, at the time of the run: whether a TLS server is behind port {port} at all, ends as it begins, or lets in only listed addresses. If it saw no hello, a firewall on the way ended the connection."),
    );
    candidate.sentence = format!(
        "{host} accepts the connection on port {port}, and {ends} right after the ClientHello, before any answer{}.{also}",
        taken(handshake)
    );
    candidate
}

/// Whether the hello had arrived by then, as the system counted.
fn taken(handshake: &Handshake) -> String {
    let Some(state) = handshake.at_close.as_deref() else { return String::new() };
    match (state.bytes_sent, state.bytes_acknowledged) {
        (Some(sent), Some(acknowledged)) if sent > 0 && acknowledged >= sent => {
            format!(", {} after it was sent, which the other side's system had acknowledged", duration(handshake.took_us))
        }
        (Some(sent), Some(0)) if sent > 0 => " and before the hello was acknowledged".to_owned(),
        _ => String::new(),
    }
}

/// Within a proxy's tunnel the handshake is with the target, and who of those behind ended it is not seen.
fn behind(
    candidate: Candidate,
    handshake: &Seen<'_, Handshake>,
    code: &FailureCode,
    also: &str,
    proxy: &str,
    url: &str,
) -> Candidate {
    let host = &handshake.host;
    let ends = if *code == FailureCode::Reset { "resets" } else { "closes" };
    let mut candidate = candidate.about(Spot::Url(url.to_owned())).next(
        Who::Network,
        format!("Look for {host} in the log of the proxy at the time of the run: it says which side ended the connection. If {host} did, run netsonde where the proxy runs."),
    );
    candidate.place.url = Some(url.to_owned());
    candidate.sentence = format!(
        "The proxy {proxy} opens the tunnel to {host}, and {ends} it right after the ClientHello, before any answer: {host} itself, something on the way from the proxy to it, or the proxy ends the connection.{also}"
    );
    candidate
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, exchange, failure, handshake, variant};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::finding::Who;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, TcpState, Variant};

    fn dead(code: FailureCode) -> Fact {
        handshake(|handshake| {
            (handshake.chain, handshake.trust, handshake.name) = (Vec::new(), Vec::new(), None);
            (handshake.took_us, handshake.failure) = (200_000, Some(failure(code, Step::Handshake)));
        })
    }

    fn scene(facts: Vec<Fact>) -> Scene {
        Scene::new("https://shop.example").check(Kind::Tcp, [connected("192.0.2.1:443")]).check(Kind::Tls, facts)
    }

    fn whatever(code: &FailureCode, name: Option<FailureCode>, small: Option<FailureCode>) -> Scene {
        let ended = |code: FailureCode| failure(code, Step::Handshake);
        scene(vec![
            dead(code.clone()),
            variant(Variant::ClassicGroups, Some("shop.example"), small.map(ended)),
            variant(Variant::ServerName, None, name.map(ended)),
        ])
    }

    #[test]
    fn a_reset_after_every_hello_rules_out_its_name_and_its_size() {
        let reset = || Some(FailureCode::Reset);
        let finding = whatever(&FailureCode::Reset, reset(), reset()).finds("tcp.reset_midstream");
        assert!(finding.sentence.contains("right after the ClientHello") && finding.sentence.contains("another name"));
        for neighbour in ["tls.sni_blocked", "tls.large_hello_blocked", "tls.handshake_timeout"] {
            assert!(finding.rejected.iter().any(|rejected| rejected.cause == neighbour), "{neighbour}: {finding:#?}");
        }
    }

    #[test]
    fn a_close_after_every_hello_is_told_as_a_close() {
        let closed = || Some(FailureCode::Closed);
        let finding = whatever(&FailureCode::Closed, closed(), closed()).finds("tcp.closed_early");
        assert!(finding.rejected.iter().any(|rejected| rejected.cause == "tcp.reset_midstream"), "{finding:#?}");
    }

    #[test]
    fn one_reset_hello_leaves_its_name_and_its_size_open() {
        let finding = scene(vec![dead(FailureCode::Reset)]).finds("tcp.reset_midstream");
        let open: Vec<_> = finding.could_not_separate.iter().map(|open| open.cause.as_str()).collect();
        assert!(finding.confidence < 0.8 && open.contains(&"tls.sni_blocked") && open.contains(&"tls.large_hello_blocked"));
    }

    #[test]
    fn another_hello_that_completes_is_another_cause() {
        let reset = || Some(FailureCode::Reset);
        assert!(!whatever(&FailureCode::Reset, None, reset()).names("tcp.reset_midstream"));
        assert!(!whatever(&FailureCode::Reset, reset(), None).names("tcp.reset_midstream"));
        assert!(!scene(vec![dead(FailureCode::Reset), handshake(|_| {})]).names("tcp.reset_midstream"));
        assert!(!scene(vec![dead(FailureCode::TimedOut)]).names("tcp.reset_midstream"));
    }

    #[test]
    fn a_hello_that_the_servers_system_took_is_told_as_taken() {
        let mut fact = dead(FailureCode::Reset);
        let Fact::Handshake(handshake) = &mut fact else { unreachable!() };
        let state = TcpState { bytes_sent: Some(1_480), bytes_acknowledged: Some(1_480), ..TcpState::default() };
        handshake.at_close = Some(Box::new(state));
        let finding = scene(vec![fact]).finds("tcp.reset_midstream");
        assert!(finding.sentence.contains("200 ms after it was sent"), "{}", finding.sentence);
    }

    #[test]
    fn within_a_proxys_tunnel_the_handshake_is_the_targets_and_the_end_is_behind_the_proxy() {
        let url = "https://shop.example/";
        let through = |change: fn(&mut netsonde_contract::observation::Exchange)| {
            exchange(url, |exchange| {
                exchange.proxy = Some("http://proxy.example:3128".into());
                change(exchange);
            })
        };
        let opened = through(|exchange| exchange.method = "CONNECT".into());
        let ended = through(|exchange| {
            (exchange.status, exchange.failure) = (None, Some(failure(FailureCode::Closed, Step::Handshake)));
        });
        let scene = Scene::new(url).check(Kind::Http, [opened, dead(FailureCode::Closed), ended]);
        let finding = scene.finds("tcp.closed_early");
        assert!(finding.sentence.starts_with("The proxy http://proxy.example:3128 opens the tunnel to shop.example"));
        assert_eq!((finding.place.address, finding.next_step.who), (None, Who::Network));
    }
}
