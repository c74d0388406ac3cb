use super::resolver;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::{Lookup, LookupSource, Purpose, TrustReason};
use std::net::SocketAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("a capture behind the first router: where the question to that address really goes"),
    ..Rule::new("dns.intercepted", &["dns.spoofed"], evaluate)
};

/// The person said that no name server is there, and one answered.
const ANSWERED: f64 = 0.93;
/// Whoever answered shows a certificate for another name, of somebody whom this machine does not trust. A server of one's own that was
/// set up carelessly does the same.
const ANOTHER_NAME: f64 = 0.7;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let answered = evidence.lookups_beside.iter().filter(|lookup| lookup.purpose == Purpose::Unserved && lookup.reply.is_some());
    let mut found: Vec<Candidate> = Vec::new();
    for lookup in answered {
        let LookupSource::Server { server, .. } = lookup.source else { continue };
        match found.iter_mut().find(|known| known.place.resolver == Some(server.ip())) {
            Some(known) => *known = known.clone().resting_on([lookup.id]),
            None => found.push(candidate(evidence, lookup, server)),
        }
    }
    let by_name = evidence.lookups.iter().chain(&evidence.lookups_beside).filter_map(another_name);
    for candidate in by_name {
        match found.iter_mut().find(|known| known.place.resolver == candidate.place.resolver) {
            Some(known) => *known = known.clone().resting_on(&candidate.evidence),
            None => found.push(candidate),
        }
    }
    found
}

/// The server was asked by its name (DNS over TLS, HTTPS or QUIC), and an answer came from somebody with another one.
///
/// What servers call themselves in the clear (NSID, `id.server`) proves nothing: one server has several addresses, and the two
/// addresses of a public service are often the same machine.
fn another_name(lookup: &Seen<'_, Lookup>) -> Option<Candidate> {
    let LookupSource::Server { server, .. } = lookup.source else { return None };
    let handshake = lookup.tls.as_deref().filter(|_| lookup.reply.is_some())?;
    let name = handshake.name.as_ref().filter(|name| !name.fits && handshake.server_name.is_some())?;
    let trusted = handshake.deciding_verdict()?.trusted;
    // Where one store vouches for the chain, the name alone is wrong: most likely the one that was asked for.
    let only_the_name = handshake.trust.iter().any(|verdict| verdict.reason == Some(TrustReason::NameMismatch));
    let leaf = handshake.chain.first()?;
    if trusted || only_the_name {
        return None;
    }
    let sentence = format!(
        "Whoever answers as the name server {} at {} shows a certificate of {}, which {} did not issue to that name: most likely somebody on the way answers in its place.",
        name.wanted,
        server.ip(),
        leaf.subject,
        leaf.issuer
    );
    // Whoever asks for the name goes no further (RFC 8310 section 5.1).
    let severity = if lookup.purpose.is_question() { Severity::Degraded } else { Severity::Notice };
    let candidate = Candidate::new(severity, ANOTHER_NAME, sentence)
        .at(resolver(&lookup.name, server.ip()))
        .resting_on([lookup.id])
        .next(Who::Network, "Compare the certificate with the one that the server shows to another network; do not trust answers of this one until it is known whose it is.");
    Some(candidate)
}

/// Nobody feels that another server answers as long as the answers are right.
fn candidate(evidence: &Evidence<'_>, lookup: &Seen<'_, Lookup>, server: SocketAddr) -> Candidate {
    let names = evidence.names();
    let felt = names.iter().find(|view| !view.resolved());
    let sentence = format!(
        "A question to {}, where no name server is, was answered ({}): somebody on the way answers questions in the place of the servers that are asked.",
        server.ip(),
        lookup.reply.as_ref().map_or("", |reply| reply.rcode.as_str())
    );
    let candidate = Candidate::new(if felt.is_some() { Severity::Degraded } else { Severity::Notice }, ANSWERED, sentence)
        .at(resolver(&lookup.name, server.ip()))
        .resting_on([lookup.id])
        .next(Who::Network, "Ask whoever runs the network which device answers DNS in place of other servers, and whether it is meant to; a name server over TLS or HTTPS goes past it.");
    let candidate = match felt {
        Some(view) => candidate.about(Spot::Name(view.name.to_owned())),
        None => candidate,
    };
    let alone = lookup.others.iter().all(|other| !other.second_reply).then_some(lookup.id);
    candidate.rejecting("dns.spoofed", "One reply came, not two.", alone)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, answer, beside, dns_silent, handshake, rcode, system, with_lookup};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, NameVerdict, Purpose, TrustReason};

    const NAME: &str = "shop.example";
    const NOBODY: &str = "198.51.100.1";

    fn scene(unserved: Fact) -> Scene {
        let facts =
            [answer("10.0.0.53", NAME, &["192.0.2.1"]), system(NAME, &["192.0.2.1"]), beside(unserved, Purpose::Unserved)];
        Scene::new(NAME).check(Kind::Dns, facts)
    }

    #[test]
    fn an_answer_from_where_no_server_is_is_somebody_elses() {
        assert_eq!(scene(answer(NOBODY, NAME, &["192.0.2.1"])).is_healthy(), ["dns.intercepted"]);
        assert_eq!(scene(rcode(NOBODY, NAME, "A", 5, &[])).is_healthy(), ["dns.intercepted"]);
    }

    /// An answer over TLS of a server that was asked as `dns.example`.
    fn over_tls(fits: bool, reason: TrustReason) -> Scene {
        let Fact::Handshake(mut shown) = handshake(|_| {}) else { unreachable!() };
        shown.server_name = Some("dns.example".into());
        shown.name = Some(NameVerdict { wanted: "dns.example".into(), fits });
        for verdict in &mut shown.trust {
            (verdict.trusted, verdict.reason) = (fits, (!fits).then_some(reason));
        }
        let answer = with_lookup(answer("10.0.0.53", NAME, &["192.0.2.1"]), |lookup| lookup.tls = Some(shown));
        Scene::new(NAME).check(Kind::Dns, [answer, system(NAME, &["192.0.2.1"])])
    }

    #[test]
    fn whoever_answers_under_a_name_that_is_not_the_servers_is_somebody_else() {
        let diagnosis = over_tls(false, TrustReason::UnknownIssuer).diagnose();
        let severity =
            |cause: &str| diagnosis.findings.iter().find(|finding| finding.cause == cause).map(|finding| finding.severity);
        assert_eq!(severity("dns.intercepted"), Some(Severity::Degraded));
        assert_eq!(severity("tls.name_mismatch"), Some(Severity::Problem));
    }

    #[test]
    fn a_trusted_certificate_for_another_name_is_a_server_that_was_asked_by_the_wrong_one() {
        over_tls(false, TrustReason::NameMismatch).finds("tls.name_mismatch");
        assert!(over_tls(true, TrustReason::UnknownIssuer).is_healthy().is_empty());
    }

    #[test]
    fn a_chain_that_one_store_vouches_for_is_nobody_elses() {
        let mut scene = over_tls(false, TrustReason::UnknownIssuer);
        let Fact::Lookup(lookup) = &mut scene.outcomes_mut()[0].observations[0].fact else { unreachable!() };
        let shown = lookup.tls.as_mut().unwrap();
        shown.trust.truncate(1);
        shown.trust.push(shown.trust[0].clone());
        shown.trust[0].reason = Some(TrustReason::NameMismatch);
        let causes: Vec<_> = scene.diagnose().findings.into_iter().map(|finding| finding.cause).collect();
        assert_eq!(causes, ["tls.name_mismatch"]);
    }

    #[test]
    fn silence_from_where_no_server_is_is_as_it_should_be() {
        assert!(scene(dns_silent(NOBODY, NAME, "A")).is_healthy().is_empty());
    }

    #[test]
    fn it_is_felt_where_the_name_gets_no_address() {
        let facts = [
            rcode("10.0.0.53", NAME, "A", 5, &[]),
            system(NAME, &[]),
            beside(rcode(NOBODY, NAME, "A", 5, &[]), Purpose::Unserved),
        ];
        let diagnosis = Scene::new(NAME).check(Kind::Dns, facts).diagnose();
        let finding = diagnosis.findings.iter().find(|finding| finding.cause == "dns.intercepted").unwrap();
        assert_eq!(finding.severity, Severity::Degraded);
        assert_eq!(finding.rejected[0].cause, "dns.spoofed");
    }
}
