use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::failure::FailureCode;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::Handshake;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("speaking the other protocol to the port"),
    ..Rule::new("tls.not_tls", &["tls.handshake_timeout"], evaluate)
};

/// The reply is known and belongs to another protocol.
const RECOGNISED: f64 = 0.97;
/// It is not TLS; what it is instead is open.
const UNRECOGNISED: f64 = 0.9;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.handshakes.iter().filter_map(not_tls).collect()
}

fn not_tls(handshake: &Seen<'_, Handshake>) -> Option<Candidate> {
    let says_so = handshake.failure.as_ref().is_some_and(|failure| failure.code == FailureCode::NotTls);
    let reply = handshake.fact.plain_reply.as_deref();
    if !says_so && (reply.is_none() || handshake.failure.is_none()) {
        return None;
    }
    let protocol = handshake.fact.plain_protocol();
    let (host, port) = (&handshake.host, handshake.address.port());
    let sentence = match (protocol, reply) {
        (Some(protocol), _) => format!("Port {port} of {host} does not speak TLS: it answers in {protocol}."),
        (None, Some(reply)) => format!("Port {port} of {host} does not speak TLS: it answers \"{}\".", beginning(reply)),
        (None, None) => format!("Port {port} of {host} does not speak TLS: its answer is something else."),
    };
    let candidate = Candidate::new(Severity::Problem, if protocol.is_some() { RECOGNISED } else { UNRECOGNISED }, sentence)
        .at(place(handshake))
        .about(Spot::Endpoint(handshake.address))
        .stopping()
        .resting_on([handshake.id])
        .rejecting("tls.handshake_timeout", "The server answered at once.", [handshake.id])
        .next(
            Who::Customer,
            format!(
                "Check the port: {port} is not the TLS port of {host}. If it should be, the server has to turn TLS on there."
            ),
        );
    Some(candidate)
}

/// Enough of a reply to recognise it, on one line.
fn beginning(reply: &str) -> String {
    reply.lines().next().unwrap_or_default().chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, failure, handshake};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;

    fn scene(reply: Option<&str>, code: FailureCode) -> Scene {
        let fact = handshake(|handshake| {
            (handshake.chain, handshake.trust, handshake.name) = (Vec::new(), Vec::new(), None);
            handshake.plain_reply = reply.map(str::to_owned);
            handshake.failure = Some(failure(code, Step::Handshake));
        });
        Scene::new("https://shop.example").check(Kind::Tls, [fact])
    }

    #[test]
    fn the_other_protocol_is_named() {
        for (reply, protocol) in [("HTTP/1.1 400 Bad Request", "plain HTTP"), ("SSH-2.0-OpenSSH_9.2", "SSH")] {
            let finding = scene(Some(reply), FailureCode::NotTls).finds("tls.not_tls");
            assert!(finding.sentence.ends_with(&format!("in {protocol}.")), "{}", finding.sentence);
        }
    }

    #[test]
    fn an_unknown_protocol_is_quoted() {
        let finding = scene(Some("HELLO from a lathe\r\nmore"), FailureCode::NotTls).finds("tls.not_tls");
        assert!(finding.sentence.contains("\"HELLO from a lathe\""), "{}", finding.sentence);
    }

    #[test]
    fn a_server_that_says_nothing_is_not_known_to_speak_another_protocol() {
        scene(None, FailureCode::TimedOut).finds("tls.handshake_timeout");
    }

    #[test]
    fn an_alert_is_tls() {
        scene(None, FailureCode::TlsAlert).finds("tls.handshake_rejected");
    }
}
