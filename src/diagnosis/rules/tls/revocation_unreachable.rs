use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use netsonde_contract::failure::{FailureCode, Step};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::observation::{Handshake, Ocsp, OcspStatus, Revocation, RevocationSource};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the same question from another network: `openssl ocsp -url URL`, or `curl URL` for a list"),
    ..Rule::new("tls.revocation_unreachable", &["tls.expired", "tls.revoked"], evaluate)
};

/// The place that the certificate names was asked, and the network or its silence stood against it.
const NOT_REACHED: f64 = 0.9;
/// It answered, with an error or something that is no statement: which may pass.
const NOT_ANSWERED: f64 = 0.75;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.handshakes.iter().filter_map(|handshake| unasked(evidence, handshake)).collect()
}

fn unasked(evidence: &Evidence<'_>, handshake: &Seen<'_, Handshake>) -> Option<Candidate> {
    let asked: Vec<&Seen<'_, Revocation>> = evidence
        .revocations
        .iter()
        .filter(|asked| asked.outcome.check == handshake.outcome.check && asked.server == handshake.address)
        .collect();
    if asked.iter().any(|asked| asked.statement.as_ref().is_some_and(tells)) {
        return None;
    }
    let first = asked.iter().find(|asked| not_reached(asked)).or_else(|| asked.iter().find(|asked| not_answered(asked)))?;
    let stapled = handshake.fact.ocsp.as_ref().filter(|ocsp| tells(ocsp));
    let what = if first.by == RevocationSource::Crl { "list of revoked certificates" } else { "responder" };
    let (confidence, why) = match &first.failure {
        Some(failure) if not_reached(first) => (NOT_REACHED, format!("cannot be reached ({})", failure.words())),
        Some(failure) => (NOT_ANSWERED, format!("gives no statement ({})", failure.words())),
        None => (NOT_ANSWERED, "answers without a statement about it".to_owned()),
    };
    // A server that sends the statement along spares its clients the question.
    let (severity, effect) = match stapled {
        Some(_) => (Severity::Notice, "The server sends a statement along, so that few programs ask."),
        None => {
            (Severity::Degraded, "Programs that insist on an answer refuse the connection or wait for it; most browsers go on.")
        }
    };
    let host = &handshake.fact.host;
    let sentence = format!(
        "Whether the certificate of {host} was revoked cannot be asked: the {what} that it names, {}, {why}. {effect}",
        first.url
    );
    let in_time = handshake.chain.first().zip(handshake.verified_at).is_some_and(|(leaf, now)| leaf.not_after > now);
    let candidate = Candidate::new(severity, confidence, sentence)
        .at(Place { url: Some(first.url.clone()), ..place(handshake) })
        .resting_on(asked.iter().map(|asked| asked.id))
        .resting_on([handshake.id])
        .rejecting("tls.expired", "Its dates are in order.", in_time.then_some(handshake.id))
        .rejecting("tls.revoked", "The server sends along the authority's word that it is good.", stapled.map(|_| handshake.id))
        .next(
            Who::Network,
            format!("Let this machine reach {}, as firewalls and proxies often forget it; or let the server send the statement along (OCSP stapling).", first.url),
        );
    Some(candidate)
}

fn tells(statement: &Ocsp) -> bool {
    statement.about_leaf && matches!(statement.status, OcspStatus::Good | OcspStatus::Revoked)
}

/// The name, the way or the connection failed, or nothing came. What this machine did not ask says nothing.
fn not_reached(asked: &Revocation) -> bool {
    asked.failure.as_ref().is_some_and(|failure| match &failure.code {
        FailureCode::TimedOut
        | FailureCode::Refused
        | FailureCode::Reset
        | FailureCode::Closed
        | FailureCode::HostUnreachable
        | FailureCode::NetworkUnreachable => true,
        FailureCode::NoAddress | FailureCode::ResolveFailed => failure.during == Step::Resolve,
        _ => false,
    })
}

fn not_answered(asked: &Revocation) -> bool {
    match &asked.failure {
        Some(failure) => matches!(failure.code, FailureCode::ProtocolError | FailureCode::Incomplete),
        None => asked.statement.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, failure, handshake, revocation};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, Ocsp, OcspStatus};

    fn statement(status: OcspStatus) -> Ocsp {
        Ocsp {
            status,
            about_leaf: matches!(status, OcspStatus::Good),
            signature_valid: Some(true),
            produced: None,
            this_update: None,
            next_update: None,
            revoked_at: None,
            revocation_reason: None,
        }
    }

    fn scene(facts: impl IntoIterator<Item = Fact>) -> Scene {
        Scene::new("https://shop.example").check(Kind::Tls, std::iter::once(handshake(|_| {})).chain(facts))
    }

    #[test]
    fn a_responder_that_is_silent_or_has_no_name_is_felt_by_strict_programs() {
        for (code, during) in [(FailureCode::TimedOut, Step::Connect), (FailureCode::NoAddress, Step::Resolve)] {
            let finding = scene([revocation(Err(failure(code, during)))]).finds("tls.revocation_unreachable");
            assert_eq!((finding.severity, finding.confidence), (Severity::Degraded, 0.9));
            assert_eq!(finding.place.url.as_deref(), Some("http://ocsp.example/"));
        }
    }

    #[test]
    fn one_that_has_no_answer_is_told_with_less_certainty() {
        let finding = scene([revocation(Ok(statement(OcspStatus::NoAnswer)))]).finds("tls.revocation_unreachable");
        assert_eq!(finding.confidence, 0.75);
    }

    #[test]
    fn where_the_list_says_what_the_responder_does_not_nothing_is_missing() {
        let dead = revocation(Err(failure(FailureCode::TimedOut, Step::Connect)));
        assert!(scene([dead, revocation(Ok(statement(OcspStatus::Good)))]).is_healthy().is_empty());
    }

    #[test]
    fn where_the_server_sends_the_statement_along_few_programs_ask() {
        let stapled = handshake(|handshake| handshake.ocsp = Some(statement(OcspStatus::Good)));
        let facts = [stapled, revocation(Err(failure(FailureCode::Refused, Step::Connect)))];
        let scene = Scene::new("https://shop.example").check(Kind::Tls, facts);
        assert_eq!(scene.is_healthy(), ["tls.revocation_unreachable"]);
    }

    #[test]
    fn what_the_policy_does_not_let_be_asked_is_no_fault_of_the_network() {
        let refused = revocation(Err(failure(FailureCode::NotAllowed, Step::Resolve)));
        assert!(scene([refused]).is_healthy().is_empty());
    }
}
