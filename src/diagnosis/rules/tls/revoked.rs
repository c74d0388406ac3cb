use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::date;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::{Handshake, Ocsp, OcspStatus, TrustReason};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("asking the authority's own responder (`openssl ocsp`), whose address the certificate names"),
    ..Rule::new("tls.revoked", &["tls.expired"], evaluate)
};

/// The authority signed the statement, or the machine's own verifier says it.
const SIGNED: f64 = 0.97;
/// The statement came with the certificate; whether the authority signed it could not be verified without the issuer's certificate.
const UNVERIFIED: f64 = 0.8;

/// Why, in words (RFC 5280 section 5.3.1).
const REASONS: [(u8, &str); 6] = [
    (1, "its key was compromised"),
    (2, "the authority was compromised"),
    (3, "its owner's data changed"),
    (4, "another one took its place"),
    (5, "it is no longer used"),
    (9, "the right to the name was withdrawn"),
];

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.handshakes.iter().filter_map(|handshake| revoked(evidence, handshake)).collect()
}

fn revoked(evidence: &Evidence<'_>, handshake: &Seen<'_, Handshake>) -> Option<Candidate> {
    let said = |ocsp: &&Ocsp| ocsp.status == OcspStatus::Revoked && ocsp.about_leaf && ocsp.signature_valid != Some(false);
    let stapled = handshake.fact.ocsp.as_ref().filter(said);
    // Asked of the authority's responder, or looked up in its list, in the check that made the handshake.
    let asked = evidence.revocations.iter().filter(|asked| asked.outcome.check == handshake.outcome.check);
    let asked = asked.filter_map(|asked| Some((asked.fact.statement.as_ref().filter(said)?, asked.id))).next();
    let ocsp = stapled.or(asked.map(|(statement, _)| statement));
    let by_verifier = handshake.fact.trust.iter().any(|verdict| verdict.reason == Some(TrustReason::Revoked));
    let confidence = match (ocsp, by_verifier) {
        (_, true) => SIGNED,
        (Some(ocsp), false) if ocsp.signature_valid == Some(true) => SIGNED,
        (Some(_), false) => UNVERIFIED,
        (None, false) => return None,
    };
    let host = &handshake.fact.host;
    let mut sentence = format!("The certificate of {host} was revoked");
    if let Some(at) = ocsp.and_then(|ocsp| ocsp.revoked_at) {
        sentence.push_str(&format!(" on {}", date(at)));
    }
    let reason = ocsp.and_then(|ocsp| ocsp.revocation_reason);
    if let Some((_, reason)) = reason.and_then(|reason| REASONS.iter().find(|(known, _)| *known == reason)) {
        sentence.push_str(&format!(" because {reason}"));
    }
    sentence.push_str(": browsers refuse it, whatever its dates say.");
    let leaf = handshake.fact.chain.first();
    let in_time = leaf.zip(handshake.fact.verified_at).is_some_and(|(leaf, now)| leaf.not_after > now);
    let candidate = Candidate::new(Severity::Problem, confidence, sentence)
        .at(place(handshake))
        .about(Spot::Endpoint(handshake.address))
        .resting_on([handshake.id])
        .resting_on(asked.map(|(_, id)| id))
        .rejecting("tls.expired", "Its dates are in order.", in_time.then_some(handshake.id))
        .next(Who::Server, format!("Get a new certificate with a new key for {host} and load it into the server."));
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, handshake, revocation, timestamp};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Ocsp, OcspStatus};

    fn statement(status: OcspStatus, about_leaf: bool, signature_valid: Option<bool>) -> Ocsp {
        Ocsp {
            status,
            about_leaf,
            signature_valid,
            produced: None,
            this_update: None,
            next_update: None,
            revoked_at: Some(timestamp("2026-04-01T00:00:00Z")),
            revocation_reason: Some(1),
        }
    }

    fn scene(status: OcspStatus, about_leaf: bool, signature_valid: Option<bool>) -> Scene {
        let fact = handshake(|handshake| {
            handshake.ocsp_stapled = true;
            handshake.ocsp = Some(statement(status, about_leaf, signature_valid));
        });
        Scene::new("https://shop.example").check(Kind::Tls, [fact])
    }

    #[test]
    fn what_the_authoritys_own_responder_says_counts_like_what_the_server_sent_along() {
        let asked = |status| {
            let facts = [handshake(|_| {}), revocation(Ok(statement(status, true, Some(true))))];
            Scene::new("https://shop.example").check(Kind::Tls, facts)
        };
        let finding = asked(OcspStatus::Revoked).finds("tls.revoked");
        assert_eq!((finding.confidence, finding.evidence.len()), (0.97, 2));
        assert!(asked(OcspStatus::Good).is_healthy().is_empty());
    }

    #[test]
    fn a_revoked_certificate_is_told_with_day_and_reason() {
        let finding = scene(OcspStatus::Revoked, true, Some(true)).finds("tls.revoked");
        assert!(finding.sentence.contains("on 1 April 2026 because its key was compromised"), "{}", finding.sentence);
        assert_eq!(finding.rejected[0].cause, "tls.expired");
        assert!(scene(OcspStatus::Revoked, true, None).finds("tls.revoked").confidence < 0.9);
    }

    #[test]
    fn a_statement_about_another_certificate_or_one_that_nobody_signed_revokes_nothing() {
        assert!(scene(OcspStatus::Revoked, false, Some(true)).is_healthy().is_empty());
        assert!(scene(OcspStatus::Revoked, true, Some(false)).is_healthy().is_empty());
        assert!(scene(OcspStatus::Good, true, Some(true)).is_healthy().is_empty());
    }
}
