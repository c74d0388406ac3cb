use crate::candidate::Candidate;
use crate::evidence::{Answer, Evidence, NameView, SERVFAIL, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::list;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{DnssecChain, Lookup, LookupSource, Security};
use std::net::{IpAddr, SocketAddr};

pub(in crate::rules) const RULE: Rule = Rule {
    refines: &["dns.servfail"],
    settled_by: Some("a walk down the delegations (`delegation` of the dns check), which verifies every signature itself"),
    ..Rule::new("dns.dnssec_bogus", &["dns.servfail"], evaluate)
};

/// The server has the data and hands it out only where it may leave the signatures alone, and netsonde finds the same fault.
const VERIFIED: f64 = 0.98;
/// The server's own behaviour alone.
const UNVERIFIED: f64 = 0.9;
/// netsonde finds the fault alone, and a server vouches for the very records.
const VOUCHED: f64 = 0.5;
/// netsonde finds the signatures in order: then it is the server that judges wrongly, by its clock or its trust anchor.
const CONTRADICTED: f64 = 0.7;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = evidence.names().iter().filter_map(|view| bogus(evidence, view)).collect();
    let is_told = |chain: &&Seen<'_, DnssecChain>| {
        candidates.iter().any(|candidate| candidate.place.name.as_deref().is_some_and(|name| same_name(name, &chain.name)))
    };
    let untold: Vec<_> = evidence.chains.iter().filter(|chain| chain.verdict == Security::Bogus && !is_told(chain)).collect();
    candidates.extend(untold.into_iter().map(|chain| walked(evidence, chain)));
    candidates
}

/// The walk down the delegations finds the signatures broken, and the name servers that were asked hand the records out all the same:
/// those that validate will not.
fn walked(evidence: &Evidence<'_>, chain: &Seen<'_, DnssecChain>) -> Candidate {
    let vouched = evidence.names().iter().filter(|view| same_name(view.name, &chain.name)).any(|view| {
        let lookups = view.servers.iter().flat_map(|server| &server.lookups);
        lookups.into_iter().any(|lookup| lookup.reply.as_ref().is_some_and(|reply| reply.flags.ad))
    });
    let why = chain.why.as_deref().unwrap_or("the signatures do not verify");
    let but = if vouched {
        "; a name server that was asked says that it verified them, so that the keys that the walk was told to trust may be others than its own"
    } else {
        "; name servers that validate refuse the name"
    };
    let sentence = format!("The DNSSEC signatures of {} ({}) do not fit: {why}{but}.", chain.name, chain.record_type);
    let (severity, confidence) = if vouched { (Severity::Notice, VOUCHED) } else { (Severity::Degraded, UNVERIFIED) };
    Candidate::new(severity, confidence, sentence)
        .at(Place { name: Some(chain.name.trim_end_matches('.').to_owned()), ..Place::default() })
        .resting_on([chain.id])
        .settled_by("the word of another name server that validates, with checking enabled and disabled (`delv NAME`)")
        .next(
            Who::Server,
            format!(
                "Have the operator of the zone of {} renew its signatures, and compare its DS record at the zone above with its keys.",
                chain.name
            ),
        )
}

fn bogus(evidence: &Evidence<'_>, view: &NameView<'_>) -> Option<Candidate> {
    let failed = view.answers(|answer| answer == Answer::Code(SERVFAIL));
    let mut servers: Vec<IpAddr> = Vec::new();
    let mut ids: Vec<&ObservationId> = Vec::new();
    for (server, lookup) in &failed {
        if let Some(unchecked) = answered_unchecked(evidence, *server, lookup) {
            ids.extend([lookup.id, unchecked.id]);
            if !servers.contains(&server.ip()) {
                servers.push(server.ip());
            }
        }
    }
    let resolver = *servers.first()?;
    let chain = evidence.chains.iter().find(|chain| same_name(&chain.name, view.name));
    let (confidence, verdict) = judged(chain);
    let sentence = format!(
        "The name server {} refuses the records of {} because their DNSSEC signatures do not fit: with checking disabled it hands them out.{verdict}",
        list(&servers),
        view.name
    );
    let severity = if view.resolved() { Severity::Degraded } else { Severity::Problem };
    let mut candidate = Candidate::new(severity, confidence, sentence)
        .at(Place { name: Some(view.name.to_owned()), resolver: Some(resolver), ..Place::default() })
        .resting_on(ids.iter().copied())
        .resting_on(chain.map(|chain| chain.id))
        .rejecting("dns.servfail", "The server has the records, and gives them where it need not validate them.", ids)
        .next(
            Who::Server,
            format!(
                "Have the operator of the zone of {} renew its signatures, and compare its DS record at the zone above with its keys.",
                view.name
            ),
        );
    if severity == Severity::Problem {
        candidate = candidate.about(Spot::Name(view.name.to_owned())).stopping().resting_on(view.system_failures());
    }
    Some(candidate)
}

/// The same question to the same server with checking disabled, where it was answered with data.
fn answered_unchecked<'a>(evidence: &Evidence<'a>, server: SocketAddr, failed: &Seen<'_, Lookup>) -> Option<Seen<'a, Lookup>> {
    let is_answer = |lookup: &Seen<'_, Lookup>| {
        let of_server = matches!(lookup.source, LookupSource::Server { server: asked, .. } if asked == server);
        let has_data = lookup.reply.as_ref().is_some_and(|reply| reply.rcode_number == 0 && !reply.answers.is_empty());
        of_server && has_data && same_name(&lookup.name, &failed.name) && lookup.record_type == failed.record_type
    };
    evidence.unchecked.iter().find(|lookup| is_answer(lookup)).copied()
}

fn judged(chain: Option<&Seen<'_, DnssecChain>>) -> (f64, String) {
    match chain.map(|chain| (chain.verdict, chain.why.as_deref())) {
        Some((Security::Bogus, why)) => {
            (VERIFIED, format!(" netsonde comes to the same end: {}.", why.unwrap_or("the signatures do not verify")))
        }
        Some((Security::Secure, _)) => (
            CONTRADICTED,
            " netsonde itself finds every signature in order, so that the server's clock or trust anchor may be wrong."
                .to_owned(),
        ),
        _ => (UNVERIFIED, String::new()),
    }
}

fn same_name(one: &str, other: &str) -> bool {
    one.trim_end_matches('.').eq_ignore_ascii_case(other.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, answer, dnssec_chain, rcode, system, unchecked};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, Security};

    const NAME: &str = "shop.example";
    const SERVER: &str = "10.0.0.53";

    fn refused_with(more: impl IntoIterator<Item = Fact>) -> Scene {
        let facts = [system(NAME, &[]), rcode(SERVER, NAME, "A", 2, &[])];
        Scene::new(NAME).check(Kind::Dns, facts.into_iter().chain(more))
    }

    #[test]
    fn data_that_comes_only_with_checking_disabled_is_bogus_and_takes_the_place_of_servfail() {
        let scene = refused_with([unchecked(answer(SERVER, NAME, &["192.0.2.1"]))]);
        let finding = scene.finds("dns.dnssec_bogus");
        assert_eq!((finding.confidence, finding.severity), (0.9, Severity::Problem));
        assert!(!scene.names("dns.servfail"));
    }

    #[test]
    fn a_broken_chain_strengthens_it_and_says_where() {
        let chain = dnssec_chain(NAME, Security::Bogus, Some("the keys of example have no signature that is good now"));
        let finding = refused_with([unchecked(answer(SERVER, NAME, &["192.0.2.1"])), chain]).finds("dns.dnssec_bogus");
        assert!(finding.confidence > 0.95 && finding.sentence.contains("keys of example"), "{}", finding.sentence);
    }

    #[test]
    fn a_good_chain_points_at_the_server() {
        let chain = dnssec_chain(NAME, Security::Secure, None);
        let finding = refused_with([unchecked(answer(SERVER, NAME, &["192.0.2.1"])), chain]).finds("dns.dnssec_bogus");
        assert!(finding.confidence < 0.9 && finding.sentence.contains("trust anchor"), "{}", finding.sentence);
    }

    #[test]
    fn a_server_that_fails_either_way_is_not_validating() {
        let scene = refused_with([unchecked(rcode(SERVER, NAME, "A", 2, &[]))]);
        assert!(scene.names("dns.servfail") && !scene.names("dns.dnssec_bogus"));
    }

    #[test]
    fn a_chain_that_only_the_walk_finds_broken_is_told_and_a_server_that_vouches_weighs_against_it() {
        use crate::scene::with_lookup;
        let scene = |vouches: bool| {
            let reply = with_lookup(answer(SERVER, NAME, &["192.0.2.1"]), |lookup| {
                if let Some(reply) = &mut lookup.reply {
                    reply.flags.ad = vouches;
                }
            });
            let chain = dnssec_chain(NAME, Security::Bogus, Some("no key of . is one that the zone above vouches for"));
            let diagnosis = Scene::new(NAME).check(Kind::Dns, [system(NAME, &["192.0.2.1"]), reply, chain]).diagnose();
            diagnosis.findings.into_iter().find(|finding| finding.cause == "dns.dnssec_bogus").unwrap()
        };
        let (alone, vouched) = (scene(false), scene(true));
        assert_eq!((alone.severity, vouched.severity), (Severity::Degraded, Severity::Notice));
        assert!(alone.sentence.contains("no key of .") && vouched.sentence.contains("told to trust"), "{}", vouched.sentence);
        assert!(vouched.confidence <= 0.5 && alone.confidence > 0.8);
    }

    #[test]
    fn another_servers_answer_says_nothing_of_this_one() {
        let scene = refused_with([unchecked(answer("10.0.0.54", NAME, &["192.0.2.1"]))]);
        assert!(scene.names("dns.servfail") && !scene.names("dns.dnssec_bogus"));
    }
}
