use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::Handshake;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the same server from another network, and the operator's own word on which certificate it has now"),
    ..Rule::new("tls.pin_mismatch", &["tls.intercepted"], evaluate)
};

/// That the two digests differ stands in what was recorded; which of four things made them differ, no measurement from one side tells.
const CONFIDENCE: f64 = 0.85;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.handshakes.iter().filter_map(mismatch).collect()
}

fn mismatch(handshake: &Seen<'_, Handshake>) -> Option<Candidate> {
    let pin = handshake.pin.as_ref().filter(|pin| !pin.fits)?;
    let host = &handshake.fact.host;
    let issuer = handshake.chain.last().map(|top| format!(", issued by \"{}\",", top.issuer)).unwrap_or_default();
    let sentence = format!(
        "The certificate that arrives for {host}{issuer} is not the one that was expected (`--pin`): it was renewed with another key, the pin is wrong, another server answers, or somebody on the way opens the connection."
    );
    let candidate = Candidate::new(Severity::Problem, CONFIDENCE, sentence)
        .at(place(handshake))
        .about(Spot::Endpoint(handshake.address))
        .resting_on([handshake.id])
        .next(
            Who::Customer,
            format!(
                "Ask the operator of {host} for the fingerprint that is right now. If it is the one that arrives (key SHA-256 {}), correct the pin; if not, compare from another network.",
                pin.key_sha256
            ),
        );
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, certificate, distrust, handshake};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Handshake, PinVerdict, TrustReason};

    fn pinned(fits: bool, change: impl FnOnce(&mut Handshake)) -> Scene {
        let fact = handshake(|handshake| {
            handshake.pin = Some(PinVerdict { wanted: "sha256:x".into(), key_sha256: "ab".repeat(32), fits });
            change(handshake);
        });
        Scene::new("https://shop.example").check(Kind::Tls, [fact])
    }

    #[test]
    fn another_key_than_the_pinned_one_accuses_nobody() {
        for private in [false, true] {
            let scene = pinned(false, |handshake| {
                if private {
                    handshake.chain = vec![certificate("CN=shop.example", "CN=Example Corp Root")];
                }
            });
            let finding = scene.finds("tls.pin_mismatch");
            assert_eq!(finding.severity, Severity::Problem);
            assert!(finding.could_not_separate.iter().any(|open| open.cause == "tls.intercepted"), "{finding:?}");
            assert!(finding.sentence.contains("the pin is wrong") && finding.rejected.is_empty(), "{finding:?}");
        }
    }

    #[test]
    fn a_pin_that_fits_is_nothing_to_say() {
        assert!(pinned(true, |_| {}).is_healthy().is_empty());
    }

    #[test]
    fn a_known_product_in_the_issuers_name_says_why_the_key_differs() {
        let scene = pinned(false, |handshake| {
            handshake.chain = vec![certificate("CN=shop.example", "CN=Zscaler Root CA")];
            distrust(handshake, TrustReason::UnknownIssuer);
        });
        assert!(!scene.names("tls.pin_mismatch") && scene.names("tls.intercepted"));
    }

    #[test]
    fn a_certificate_that_is_not_trusted_either_is_told_of_beside_it_and_nothing_contradicts() {
        let scene = pinned(false, |handshake| {
            handshake.chain[0].self_signed = true;
            distrust(handshake, TrustReason::UnknownIssuer);
        });
        let findings = scene.diagnose().findings;
        let causes: Vec<&str> = findings.iter().map(|finding| finding.cause.as_str()).collect();
        assert!(causes.contains(&"tls.pin_mismatch") && !causes.contains(&"tls.intercepted"), "{causes:?}");
    }
}
