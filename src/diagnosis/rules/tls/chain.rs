//! Chains that were sent badly: an intermediate certificate is missing, or the certificates are out of order.

use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::{BuiltChain, FetchedIssuer, Handshake, TrustReason, TrustStore};

pub(in crate::rules) const INCOMPLETE_RULE: Rule = Rule {
    refines: &["tls.unknown_issuer"],
    settled_by: Some(
        "fetching the missing certificate from the address that the server's own names (`netsonde run tls --param fetch=true`)",
    ),
    ..Rule::new("tls.chain_incomplete", &["tls.unknown_issuer"], incomplete)
};

pub(in crate::rules) const MISORDERED_RULE: Rule = Rule::new("tls.chain_misordered", &["tls.chain_incomplete"], misordered);

/// With the certificate that was fetched the chain is trusted: nothing else was missing.
const COMPLETED: f64 = 0.97;
/// Only public authorities log what they issue and say where their own certificate lies, and their roots issue nothing to servers.
const LOGGED: f64 = 0.88;
/// The issuer publishes its certificate, as intermediates do; a private authority may do so too.
const PUBLISHED: f64 = 0.7;
/// The positions stand in what was recorded.
const ORDER: f64 = 0.97;

fn incomplete(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.handshakes.iter().filter_map(|handshake| of_incomplete(evidence, handshake)).collect()
}

fn of_incomplete(evidence: &Evidence<'_>, handshake: &Seen<'_, Handshake>) -> Option<Candidate> {
    let built = handshake.fact.built.as_ref().filter(|built| !built.ends_in_root)?;
    let missing = built.missing_issuer.as_deref()?;
    let verdict = handshake.fact.deciding_verdict()?;
    let unknown = !verdict.trusted && verdict.reason == Some(TrustReason::UnknownIssuer);
    if !verdict.trusted && !unknown {
        return None;
    }
    let fetched = evidence.fetched_issuers.iter().filter(|fetched| Some(fetched.url.as_str()) == built.issuer_url.as_deref());
    let fetched: Vec<_> = fetched.filter(|fetched| fetched.fits).collect();
    let completes = |fetched: &&&Seen<'_, FetchedIssuer>| fetched.trust.iter().any(|verdict| verdict.trusted);
    let completed = fetched.iter().find(completes);
    // What was fetched is the authority itself, and it is not trusted: nothing is missing in between.
    let is_root = |fetched: &&Seen<'_, FetchedIssuer>| fetched.certificate.as_ref().is_some_and(|issuer| issuer.self_signed);
    if completed.is_none() && fetched.iter().any(is_root) {
        return None;
    }
    let logged = !handshake.fact.timestamps.is_empty();
    let confidence = match (completed, logged, &built.issuer_url) {
        (Some(_), _, _) => COMPLETED,
        (None, true, Some(_)) => LOGGED,
        (None, false, Some(_)) => PUBLISHED,
        (None, _, None) => return None,
    };
    let host = &handshake.fact.host;
    let felt = if unknown {
        "so that this machine cannot verify it, though browsers, which keep or fetch such certificates, may"
    } else {
        "which this machine found by itself; other programs will not trust it"
    };
    let mut candidate = Candidate::new(
        if unknown { Severity::Problem } else { Severity::Notice },
        confidence,
        format!("{host} does not send the certificate of \"{missing}\" that issued its own, {felt}."),
    )
    .at(place(handshake))
    .about(Spot::Endpoint(handshake.address))
    .resting_on([handshake.id])
    .next(
        Who::Server,
        format!("Load the full chain into the server of {host}: its own certificate followed by that of \"{missing}\" (often called fullchain or CA bundle)."),
    );
    if let Some(fetched) = completed {
        let reason = format!("With the certificate fetched from {} the chain is trusted.", fetched.url);
        candidate = candidate.resting_on([fetched.id]).rejecting("tls.unknown_issuer", reason, [fetched.id]);
    } else if logged {
        let reason = "The certificate stands in public logs, as only those of public authorities do.";
        candidate = candidate.rejecting("tls.unknown_issuer", reason, [handshake.id]);
    }
    Some(candidate)
}

fn misordered(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.handshakes.iter().filter_map(of_misordered).collect()
}

fn of_misordered(handshake: &Seen<'_, Handshake>) -> Option<Candidate> {
    let built = handshake.fact.built.as_ref().filter(|built| !built.in_order && built.missing_issuer.is_none())?;
    let sequence = out_of_order(built)?;
    let host = &handshake.fact.host;
    let candidate = Candidate::new(
        Severity::Notice,
        ORDER,
        format!("{host} sends all certificates of its chain, but not in their order: each issuer should follow what it issued, and here the order is {sequence}. Most programs put that right, some old or small ones do not."),
    )
    .at(place(handshake))
    .about(Spot::Endpoint(handshake.address))
    .resting_on([handshake.id])
    .rejecting("tls.chain_incomplete", "Every certificate up to a known authority was sent.", [handshake.id])
    .next(Who::Server, format!("Write the certificate file of {host} in order: its own certificate, then the one that issued it, and so on."));
    Some(candidate)
}

/// The places of the chain's certificates as sent, from 1, such as `1, 3, 2`; none where those that belong to it come one after the other.
fn out_of_order(built: &BuiltChain) -> Option<String> {
    let wrong = built.path.iter().enumerate().any(|(at, position)| u32::try_from(at).is_ok_and(|at| at != *position));
    let places: Vec<String> = built.path.iter().map(|position| (position + 1).to_string()).collect();
    wrong.then(|| places.join(", "))
}

/// Whether a store other than the deciding one vouches for the chain.
pub(super) fn mozilla_trusts(handshake: &Handshake) -> bool {
    handshake.trust.iter().any(|verdict| verdict.store == TrustStore::Mozilla && verdict.trusted)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, certificate, distrust, fetched_issuer, handshake, timestamp};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{BuiltChain, CertificateTimestamp, Fact, Handshake, TrustReason};

    const URL: &str = "http://aia.example/middle.crt";

    fn lone(change: impl FnOnce(&mut Handshake)) -> Fact {
        handshake(|handshake| {
            handshake.chain = vec![certificate("CN=shop.example", "CN=Middle")];
            distrust(handshake, TrustReason::UnknownIssuer);
            handshake.built = Some(BuiltChain {
                path: vec![0],
                in_order: true,
                ends_in_root: false,
                missing_issuer: Some("CN=Middle".into()),
                issuer_url: Some(URL.into()),
            });
            change(handshake);
        })
    }

    fn scene(facts: impl IntoIterator<Item = Fact>) -> Scene {
        Scene::new("https://shop.example").check(Kind::Tls, facts)
    }

    #[test]
    fn an_issuer_that_was_fetched_and_completes_the_chain_settles_it() {
        let finding = scene([lone(|_| {}), fetched_issuer(URL, true, false)]).finds("tls.chain_incomplete");
        assert!(finding.confidence > 0.9 && finding.sentence.contains("CN=Middle"), "{}", finding.sentence);
        assert_eq!(finding.rejected[0].cause, "tls.unknown_issuer");
    }

    #[test]
    fn without_fetching_the_public_logs_tell_a_public_authority() {
        assert!(scene([lone(|_| {})]).finds("tls.chain_incomplete").confidence < 0.75);
        let entry = CertificateTimestamp { version: 0, log_sha256: "00".repeat(32), at: timestamp("2026-01-01T00:00:00Z") };
        let logged = lone(|handshake| handshake.timestamps = vec![entry]);
        assert!(scene([logged]).finds("tls.chain_incomplete").confidence > 0.85);
    }

    #[test]
    fn an_authority_of_its_own_that_was_fetched_and_is_not_trusted_is_an_unknown_issuer() {
        scene([lone(|_| {}), fetched_issuer(URL, false, true)]).finds("tls.unknown_issuer");
    }

    #[test]
    fn a_lone_certificate_that_says_nothing_of_its_issuer_stays_unknown() {
        scene([lone(|handshake| handshake.built.as_mut().unwrap().issuer_url = None)]).finds("tls.unknown_issuer");
    }

    fn ordered(path: &[u32], in_order: bool) -> Fact {
        handshake(|handshake| {
            handshake.built = Some(BuiltChain { path: path.to_vec(), in_order, ends_in_root: true, ..BuiltChain::default() });
        })
    }

    #[test]
    fn certificates_in_the_wrong_order_are_worth_a_notice() {
        let scene = scene([ordered(&[0, 2, 1], false)]);
        assert_eq!(scene.is_healthy(), ["tls.chain_misordered"]);
        assert!(scene.diagnose().findings[0].sentence.contains("1, 3, 2"));
    }

    #[test]
    fn an_old_certificate_at_the_end_of_a_chain_in_order_is_no_disorder() {
        assert!(scene([ordered(&[0, 1], false)]).is_healthy().is_empty());
    }
}
