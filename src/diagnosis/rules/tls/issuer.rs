//! Chains that end outside the trust store: self-signed certificates, and issuers that this machine does not know.

use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::rules::tcp::transparent_proxy::{Taker, taker};
use crate::spot::Spot;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Handshake, TrustReason, TrustStore};

pub(in crate::rules) const UNKNOWN_ISSUER_RULE: Rule = Rule {
    settled_by: Some(
        "fetching the issuer's certificate from the address that the certificate names, and the same server from another network",
    ),
    ..Rule::new("tls.unknown_issuer", &["tls.intercepted", "tls.chain_incomplete"], unknown_issuer)
};

pub(in crate::rules) const SELF_SIGNED_RULE: Rule = Rule {
    refines: &["tls.unknown_issuer"],
    settled_by: Some("the same server from another network: interception shows another certificate there"),
    ..Rule::new("tls.self_signed", &["tls.intercepted", "tls.chain_incomplete"], self_signed)
};

/// The certificate vouches for itself, and its own key proves it; nobody on the way makes it up.
const SELF_SIGNED: f64 = 0.95;
/// Who makes it up is not seen: boxes that open connections show such certificates too, in the host's own name.
const BY_WHOM_UNSEEN: f64 = 0.89;
/// The server sent the whole chain up to a root, and the root is not known here.
const WITH_ROOT: f64 = 0.9;
/// The public list knows the issuer, and this machine's own list does not.
const KNOWN_ELSEWHERE: f64 = 0.9;
/// The chain ends below a root: the root is unknown, or a certificate between is missing.
const WITHOUT_ROOT: f64 = 0.75;
/// Only the server's own certificate came, which looks the same as a missing intermediate.
const LEAF_ONLY: f64 = 0.6;

fn unknown_issuer(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.handshakes.iter().filter_map(of_unknown_issuer).collect()
}

fn of_unknown_issuer(handshake: &Seen<'_, Handshake>) -> Option<Candidate> {
    let verdict = handshake.fact.deciding_verdict()?;
    if verdict.trusted || verdict.reason != Some(TrustReason::UnknownIssuer) {
        return None;
    }
    let (host, top) = (&handshake.fact.host, handshake.fact.chain.last()?);
    let public = handshake.fact.trust.iter().any(|other| other.store == TrustStore::Mozilla && other.trusted);
    let candidate = Candidate::new(Severity::Problem, 0.0, "")
        .at(place(handshake))
        .about(Spot::Endpoint(handshake.address))
        .resting_on([handshake.id]);
    if public {
        let reason = "The public list of authorities knows the issuer, and the chain is complete.";
        let mut candidate = candidate
            .rejecting("tls.intercepted", reason, [handshake.id])
            .rejecting("tls.chain_incomplete", reason, [handshake.id])
            .next(Who::Customer, "Update the list of trusted authorities of this machine (such as the package ca-certificates).");
        candidate.confidence = KNOWN_ELSEWHERE;
        candidate.sentence = format!(
            "This machine does not know the authority \"{}\" that issued the certificate of {host}, though the public list does: its own list is out of date.",
            top.issuer
        );
        return Some(candidate);
    }
    let mut candidate = candidate.next(
        Who::Customer,
        format!("If {host} belongs to an organisation with an authority of its own, add that authority to this machine (or try `--trust FILE`); otherwise the server needs a certificate of a public authority."),
    );
    candidate.sentence =
        format!("The certificate of {host} was issued by \"{}\", which this machine does not trust.", top.issuer);
    candidate.confidence = match (top.self_signed, handshake.fact.chain.len()) {
        (true, _) => {
            candidate = candidate.rejecting("tls.chain_incomplete", "The server sent the chain up to its root.", [handshake.id]);
            WITH_ROOT
        }
        (false, 1) => LEAF_ONLY,
        (false, _) => WITHOUT_ROOT,
    };
    Some(candidate)
}

fn self_signed(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.handshakes.iter().filter_map(|handshake| of_self_signed(evidence, handshake)).collect()
}

fn of_self_signed(evidence: &Evidence<'_>, handshake: &Seen<'_, Handshake>) -> Option<Candidate> {
    let verdict = handshake.fact.deciding_verdict()?;
    let leaf = handshake.fact.chain.first().filter(|leaf| leaf.self_signed)?;
    // Verifiers word a leaf that is its own authority in several ways; dates, names and revocation are other causes.
    let of_issuer = matches!(verdict.reason, Some(TrustReason::UnknownIssuer | TrustReason::Other) | None);
    if verdict.trusted || !of_issuer {
        return None;
    }
    let host = &handshake.fact.host;
    let sentence = format!(
        "The certificate of {host} is signed by itself (\"{}\"): no authority vouches for it, and this machine does not trust it.",
        leaf.subject
    );
    let own = not_on_the_way(evidence, handshake);
    let confidence = if own.is_some() { SELF_SIGNED } else { BY_WHOM_UNSEEN };
    let (why, shown_by) = own.unzip();
    let candidate = Candidate::new(Severity::Problem, confidence, sentence)
        .at(place(handshake))
        .about(Spot::Endpoint(handshake.address))
        .resting_on([handshake.id])
        .resting_on(shown_by)
        .rejecting("tls.chain_incomplete", "The certificate is its own issuer: nothing is missing.", [handshake.id])
        .rejecting("tls.intercepted", why.unwrap_or_default(), shown_by)
        .next(Who::Server, format!("Give {host} a certificate of an authority that its users trust; until then, they can trust this one by name (`--trust FILE`)."));
    Some(candidate)
}

/// Why the certificate is the server's own, and not of a box on the way that opens connections.
fn not_on_the_way<'a>(evidence: &Evidence<'a>, handshake: &Seen<'a, Handshake>) -> Option<(&'static str, &'a ObservationId)> {
    let address = handshake.address.ip();
    if handshake.fact.pin.as_ref().is_some_and(|pin| pin.fits) {
        return Some(("It is the certificate that was expected.", handshake.id));
    }
    if address.is_loopback() || evidence.is_own(address) {
        return Some(("The address is this machine itself: nothing lies between.", handshake.id));
    }
    match taker(evidence, handshake.address)? {
        Taker::NobodyBefore { id } => Some(("Nobody nearer than the target takes connections to the port.", id)),
        Taker::Before { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, certificate, distrust, handshake, syn_trace, trace};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Certificate, Fact, TrustReason, TrustStore, TrustVerdict};

    fn untrusted(chain: Vec<Certificate>, reason: TrustReason) -> Fact {
        handshake(|handshake| {
            handshake.chain = chain;
            distrust(handshake, reason);
        })
    }

    fn scene(fact: Fact) -> Scene {
        Scene::new("https://shop.example").check(Kind::Tls, [fact])
    }

    #[test]
    fn a_private_authority_is_named() {
        let chain = vec![certificate("CN=shop.example", "CN=Corp CA"), certificate("CN=Corp CA", "CN=Corp CA")];
        let finding = scene(untrusted(chain, TrustReason::UnknownIssuer)).finds("tls.unknown_issuer");
        assert!(finding.sentence.contains("CN=Corp CA") && finding.confidence >= 0.9);
        assert_eq!(finding.rejected[0].cause, "tls.chain_incomplete");
    }

    #[test]
    fn a_lone_certificate_may_only_lack_its_intermediate() {
        let finding = scene(untrusted(vec![certificate("CN=shop.example", "CN=Middle")], TrustReason::UnknownIssuer))
            .finds("tls.unknown_issuer");
        assert!(finding.confidence < 0.7 && finding.rejected.is_empty() && finding.settled_by.is_some());
    }

    #[test]
    fn an_authority_that_only_this_machine_lacks_is_the_machines_list() {
        let fact = handshake(|handshake| {
            handshake.trust[0] =
                TrustVerdict { store: TrustStore::Platform, trusted: false, reason: Some(TrustReason::UnknownIssuer), text: None }
        });
        assert!(scene(fact).finds("tls.unknown_issuer").next_step.action.contains("ca-certificates"));
    }

    #[test]
    fn a_self_signed_certificate_is_said_to_be_one_and_not_only_unknown() {
        for reason in [TrustReason::UnknownIssuer, TrustReason::Other] {
            let fact = untrusted(vec![certificate("CN=shop.example", "CN=shop.example")], reason);
            assert_eq!(scene(fact).finds("tls.self_signed").refines, ["tls.unknown_issuer"]);
        }
    }

    fn signed_itself() -> Fact {
        untrusted(vec![certificate("CN=shop.example", "CN=shop.example")], TrustReason::UnknownIssuer)
    }

    #[test]
    fn who_made_up_a_self_signed_certificate_stays_open_until_it_is_seen_who_takes_the_connection() {
        let finding = scene(signed_itself()).finds("tls.self_signed");
        let open = |finding: &netsonde_contract::finding::Finding| {
            finding.could_not_separate.iter().any(|open| open.cause == "tls.intercepted")
        };
        assert!(finding.confidence < 0.9 && open(&finding), "{finding:#?}");
        let way = ["10.0.1.1", "10.0.2.1", "192.0.2.1"];
        let seen = |syns: &[&str]| {
            let scene = scene(signed_itself()).check(Kind::Traceroute, trace("192.0.2.1", &way));
            scene.check(Kind::Traceroute, syn_trace("192.0.2.1", syns))
        };
        let finding = seen(&["10.0.1.1", "10.0.2.1"]).finds("tls.self_signed");
        assert!(finding.confidence >= 0.9 && finding.rejected.iter().any(|other| other.cause == "tls.intercepted"));
        let finding = seen(&["192.0.2.1"]).finds("tls.intercepted");
        assert!(finding.sentence.contains("one hop away") && finding.refines.contains(&"tls.self_signed".to_owned()));
    }

    #[test]
    fn a_self_signed_certificate_that_is_trusted_here_is_fine() {
        let fact = handshake(|handshake| {
            handshake.chain = vec![certificate("CN=shop.example", "CN=shop.example")];
            distrust(handshake, TrustReason::UnknownIssuer);
            handshake.trust.push(TrustVerdict { store: TrustStore::Given, trusted: true, reason: None, text: None });
        });
        assert!(scene(fact).is_healthy().is_empty());
    }

    #[test]
    fn an_expired_certificate_is_not_called_unknown() {
        let fact = untrusted(vec![certificate("CN=shop.example", "CN=Middle")], TrustReason::Expired);
        assert!(!scene(fact).names("tls.unknown_issuer"));
    }
}
