use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::list;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::{Handshake, TrustReason, TrustVerdict};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("a handshake with another server name, which shows whether the server chooses its certificate by name"),
    ..Rule::new("tls.name_mismatch", &["tls.intercepted"], evaluate)
};

/// The names are compared, and a trusted authority vouches for the certificate.
const TRUSTED: f64 = 0.96;
/// Whoever answers may not be the server at all.
const UNTRUSTED: f64 = 0.88;

/// Certificates of large providers hold hundreds of names; so many tell a person whose certificate it is.
const NAMES_SHOWN: usize = 4;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.handshakes.iter().filter_map(mismatch).collect()
}

fn mismatch(handshake: &Seen<'_, Handshake>) -> Option<Candidate> {
    let verdict = handshake.fact.name.as_ref().filter(|verdict| !verdict.fits)?;
    let wanted = &verdict.wanted;
    let names = handshake.fact.chain.first().map(|leaf| leaf.names.as_slice()).unwrap_or_default();
    let more = names.len().saturating_sub(NAMES_SHOWN);
    let mut shown: Vec<String> = names.iter().take(NAMES_SHOWN).cloned().collect();
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    let holds = if shown.is_empty() { "it names no host at all".to_owned() } else { format!("it is for {}", list(&shown)) };
    // A verifier that finds fault with the name alone has found the chain in order.
    let vouched = |verdict: &TrustVerdict| verdict.trusted || verdict.reason == Some(TrustReason::NameMismatch);
    let trusted = handshake.deciding_verdict().is_some_and(vouched);
    let candidate = Candidate::new(
        Severity::Problem,
        if trusted { TRUSTED } else { UNTRUSTED },
        format!("The certificate that {wanted} presents is not made out for that name: {holds}."),
    )
    .at(place(handshake))
    .about(Spot::Endpoint(handshake.address))
    .resting_on([handshake.id])
    .next(Who::Server, format!("Give the server a certificate that includes {wanted}, or use one of the names that it has."));
    let publicly_trusted = trusted.then_some(handshake.id);
    Some(candidate.rejecting(
        "tls.intercepted",
        "An authority that this machine trusts vouches for the certificate.",
        publicly_trusted,
    ))
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, distrust, handshake};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::TrustReason;

    #[test]
    fn a_certificate_for_other_names_is_told_with_the_names_it_has() {
        let fact = handshake(|handshake| {
            handshake.chain[0].names = ["a", "b", "c", "d", "e", "f"].map(|name| format!("{name}.example")).to_vec();
            handshake.name.as_mut().unwrap().fits = false;
        });
        let finding = Scene::new("https://shop.example").check(Kind::Tls, [fact]).finds("tls.name_mismatch");
        assert!(
            finding.sentence.ends_with("it is for a.example, b.example, c.example, d.example and 2 more."),
            "{}",
            finding.sentence
        );
    }

    #[test]
    fn only_a_chain_in_order_rules_interception_out() {
        for (reason, ruled_out) in [(TrustReason::NameMismatch, true), (TrustReason::Other, false)] {
            let fact = handshake(|handshake| {
                handshake.name.as_mut().unwrap().fits = false;
                distrust(handshake, reason);
            });
            let finding = Scene::new("https://shop.example").check(Kind::Tls, [fact]).finds("tls.name_mismatch");
            assert_eq!(!finding.rejected.is_empty(), ruled_out);
        }
    }

    #[test]
    fn a_wildcard_that_the_verifier_found_fitting_is_no_mismatch() {
        let fact = handshake(|handshake| handshake.chain[0].names = vec!["*.example".into()]);
        assert!(Scene::new("https://shop.example").check(Kind::Tls, [fact]).is_healthy().is_empty());
    }
}
