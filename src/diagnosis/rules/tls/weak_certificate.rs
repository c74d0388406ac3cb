use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::{Certificate, Handshake, TrustReason};

pub(in crate::rules) const RULE: Rule = Rule {
    refines: &["tls.unknown_issuer"],
    settled_by: Some("a program that states its own limits, such as `openssl s_client -cipher DEFAULT@SECLEVEL=2`"),
    ..Rule::new("tls.weak_certificate", &["tls.unknown_issuer"], evaluate)
};

/// Key and signature stand in the certificate, and no current program takes them.
const REFUSED: f64 = 0.93;
/// This machine still takes them.
const TAKEN: f64 = 0.95;

/// Fewer bits have not been issued by a public authority since 2014, and current libraries refuse them.
const LEAST_RSA_BITS: u32 = 2_048;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.handshakes.iter().filter_map(weak).collect()
}

fn weak(handshake: &Seen<'_, Handshake>) -> Option<Candidate> {
    let chain = &handshake.fact.chain;
    let (at, why) = chain.iter().enumerate().find_map(|(at, certificate)| Some((at, weakness(certificate)?)))?;
    let trusted = handshake.fact.failure.is_none() && handshake.fact.deciding_verdict().is_some_and(|verdict| verdict.trusted);
    // Where a verifier names another fault, that one is what stands in the way.
    let other = [TrustReason::Expired, TrustReason::NotYetValid, TrustReason::NameMismatch, TrustReason::Revoked];
    let blamed = handshake.fact.deciding_verdict().and_then(|verdict| verdict.reason);
    if !trusted && blamed.is_some_and(|reason| other.contains(&reason)) {
        return None;
    }
    let host = &handshake.fact.host;
    let what = match at {
        0 => format!("The certificate of {host}"),
        _ => format!("The certificate \"{}\" that {host} sends along", chain.get(at)?.subject),
    };
    let felt = if trusted {
        "this machine still takes it, current programs do not"
    } else {
        "this machine does not take it, as current programs do not"
    };
    let candidate = Candidate::new(
        if trusted { Severity::Notice } else { Severity::Problem },
        if trusted { TAKEN } else { REFUSED },
        format!("{what} is too weak: {why}; {felt}."),
    )
    .at(place(handshake))
    .about(Spot::Endpoint(handshake.address))
    .resting_on([handshake.id])
    .rejecting("tls.unknown_issuer", format!("It would be refused whoever issued it: {why}."), [handshake.id])
    .next(Who::Server, format!("Give {host} a certificate with a key of RSA 2048 or ECDSA P-256 at least, signed with SHA-256."));
    Some(candidate)
}

/// Why no current program accepts it. Nobody verifies the signature of a certificate that signed itself.
fn weakness(certificate: &Certificate) -> Option<String> {
    let bits = certificate.key.strip_prefix("RSA ").and_then(|bits| bits.parse::<u32>().ok());
    if let Some(bits) = bits.filter(|bits| *bits < LEAST_RSA_BITS) {
        return Some(format!("its RSA key has {bits} bits"));
    }
    let signature = certificate.signature.to_lowercase().replace('-', "");
    let digest = [("md2", "MD2"), ("md5", "MD5"), ("sha1", "SHA-1")].into_iter().find(|(word, _)| signature.contains(word));
    digest.filter(|_| !certificate.self_signed).map(|(_, digest)| format!("it is signed with {digest}"))
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, certificate, distrust, handshake};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Certificate, Fact, TrustReason};

    fn with(change: impl FnOnce(&mut Certificate), reason: Option<TrustReason>) -> Fact {
        handshake(|handshake| {
            change(&mut handshake.chain[0]);
            if let Some(reason) = reason {
                distrust(handshake, reason);
            }
        })
    }

    fn scene(fact: Fact) -> Scene {
        Scene::new("https://shop.example").check(Kind::Tls, [fact])
    }

    #[test]
    fn a_short_key_and_an_old_digest_are_named() {
        let short = with(|leaf| leaf.key = "RSA 1024".into(), Some(TrustReason::Other));
        assert!(scene(short).finds("tls.weak_certificate").sentence.contains("1024 bits"));
        for signature in ["sha1WithRSAEncryption", "ecdsa-with-SHA1"] {
            let old = with(|leaf| leaf.signature = signature.into(), Some(TrustReason::Other));
            assert!(scene(old).finds("tls.weak_certificate").sentence.contains("SHA-1"));
        }
    }

    #[test]
    fn a_weak_one_that_is_still_taken_here_is_a_notice() {
        assert_eq!(scene(with(|leaf| leaf.key = "RSA 1024".into(), None)).is_healthy(), ["tls.weak_certificate"]);
    }

    #[test]
    fn a_root_that_signed_itself_with_an_old_digest_is_not_weak() {
        let fact = handshake(|handshake| {
            let mut root = certificate("CN=Root", "CN=Root");
            root.signature = "sha1WithRSAEncryption".into();
            handshake.chain.push(root);
        });
        assert!(scene(fact).is_healthy().is_empty());
    }

    #[test]
    fn what_has_expired_is_not_called_weak() {
        assert!(!scene(with(|leaf| leaf.key = "RSA 1024".into(), Some(TrustReason::Expired))).names("tls.weak_certificate"));
    }
}
