use super::chain::mozilla_trusts;
use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::rules::dns::forged::is_private_name;
use crate::rules::host::clock_skew::owner;
use crate::rules::tcp::transparent_proxy::{Taker, taker};
use crate::spot::Spot;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::observation::{Handshake, TrustReason, TrustStore};

pub(in crate::rules) const RULE: Rule = Rule {
    refines: &["tls.unknown_issuer", "tls.self_signed", "tls.chain_incomplete", "tls.pin_mismatch", "tls.name_mismatch"],
    settled_by: Some("the same server from another network: interception shows another certificate there"),
    ..Rule::new("tls.intercepted", &["tls.unknown_issuer", "tls.self_signed"], evaluate)
};

/// The issuer carries the name of a product that opens TLS, and no public list knows it.
const PRODUCT: f64 = 0.93;
/// Hosts of different owners share an issuer that no public list knows.
const SHARED_ISSUER: f64 = 0.85;

/// Somebody nearer than the target takes the connection, and shows a certificate that nobody vouches for. The operator of the server may
/// have put that box there.
const TAKEN_BEFORE: f64 = 0.75;

/// Words in the issuer of certificates that products make up as they open connections. Each is the maker's name for the product, and no
/// public authority carries it.
const PRODUCTS: [(&str, &str); 32] = [
    ("zscaler", "Zscaler"),
    ("netskope", "Netskope"),
    ("goskope", "Netskope"),
    ("fortigate", "Fortinet FortiGate"),
    ("fortinet", "Fortinet FortiGate"),
    ("palo alto networks", "Palo Alto Networks"),
    ("blue coat", "Blue Coat (Symantec) proxy"),
    ("bluecoat", "Blue Coat (Symantec) proxy"),
    ("cisco umbrella", "Cisco Umbrella"),
    ("sophos", "Sophos"),
    ("mcafee web gateway", "McAfee Web Gateway"),
    ("skyhigh", "Skyhigh Secure Web Gateway"),
    ("forcepoint", "Forcepoint"),
    ("websense", "Forcepoint (Websense)"),
    ("check point", "Check Point"),
    ("barracuda", "Barracuda"),
    ("sonicwall", "SonicWall"),
    ("watchguard", "WatchGuard"),
    ("cato networks", "Cato Networks"),
    ("iboss", "iboss"),
    ("smoothwall", "Smoothwall"),
    ("securly", "Securly"),
    ("kaspersky", "Kaspersky"),
    ("avast", "Avast"),
    ("avg web", "AVG"),
    ("eset ssl filter", "ESET"),
    ("bitdefender", "Bitdefender"),
    ("mitmproxy", "mitmproxy"),
    ("portswigger", "Burp Suite"),
    ("charles proxy", "Charles"),
    ("fiddler", "Fiddler"),
    ("squid", "Squid"),
];

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let opened = |handshake| intercepted(evidence, handshake).or_else(|| taken_before(evidence, handshake));
    evidence.handshakes.iter().filter_map(opened).collect()
}

/// SYNs are answered before the target, and whoever answers them cannot show that it may speak for the host.
fn taken_before(evidence: &Evidence<'_>, handshake: &Seen<'_, Handshake>) -> Option<Candidate> {
    let verdict = handshake.fact.deciding_verdict().filter(|verdict| !verdict.trusted)?;
    let of_issuer = matches!(verdict.reason, Some(TrustReason::UnknownIssuer | TrustReason::Other) | None);
    let Taker::Before { hop, ids } = taker(evidence, handshake.address).filter(|_| of_issuer)? else { return None };
    let host = &handshake.host;
    let away = if hop == 1 { "one hop".to_owned() } else { format!("{hop} hops") };
    let sentence = format!(
        "Something {away} away takes the TLS connections to {host} in the target's place, and shows a certificate (\"{}\") that no authority known here vouches for: most likely it is not the server's own.",
        handshake.fact.chain.first()?.subject
    );
    let candidate = Candidate::new(Severity::Problem, TAKEN_BEFORE, sentence)
        .at(Place { hop: Some(hop), ..place(handshake) })
        .about(Spot::Endpoint(handshake.address))
        .resting_on([handshake.id])
        .resting_on(ids)
        .next(
            Who::Network,
            format!("Ask whoever runs the network what takes connections to {host}: a portal that wants a sign-in, a TLS inspection, or a load balancer of the server's own, which then needs a certificate that is trusted."),
        );
    Some(candidate)
}

fn intercepted(evidence: &Evidence<'_>, handshake: &Seen<'_, Handshake>) -> Option<Candidate> {
    let public = mozilla_trusts(handshake.fact);
    let host = &handshake.fact.host;
    let product = product(handshake.fact).filter(|_| !public);
    let issuer = handshake.fact.chain.last().map(|top| top.issuer.as_str())?;
    let sharing = unrelated_with_same_issuer(evidence, handshake);
    let trusted = handshake.fact.deciding_verdict().is_some_and(|verdict| verdict.trusted);
    let (confidence, sentence) = match (product, sharing) {
        (Some(product), _) => (
            PRODUCT,
            format!(
                "The connection to {host} is opened on the way by {product}: the certificate that arrives is made by \"{issuer}\", not by the site's own authority."
            ),
        ),
        (None, Some(other)) => (
            SHARED_ISSUER,
            format!(
                "The certificates of {host} and of {other}, which have nothing to do with each other, both come from \"{issuer}\", which is no public authority: somebody on the way opens the connections."
            ),
        ),
        (None, None) => return None,
    };
    // An inspection that this machine trusts is meant to be there, and most programs work through it.
    let pinned = handshake.fact.pin.as_ref().is_some_and(|pin| !pin.fits);
    let severity = if trusted && !pinned { Severity::Notice } else { Severity::Problem };
    let who = match product {
        Some(product) => format!(
            "Whoever runs {product} here has to exempt {host} from inspection, or its authority has to be installed where the program looks for authorities."
        ),
        None => format!(
            "Compare the certificate with the operator of {host}; if it is not theirs, whoever runs the network has to exempt {host} from TLS inspection."
        ),
    };
    let mut candidate = Candidate::new(severity, confidence, sentence)
        .at(place(handshake))
        .about(Spot::Endpoint(handshake.address))
        .resting_on([handshake.id])
        .next(Who::Network, who);
    if product.is_some() {
        let reason = "The issuer carries the name of a product that opens connections.";
        candidate = candidate.rejecting("tls.unknown_issuer", reason, [handshake.id]);
    }
    Some(candidate)
}

/// The product whose name an issuer of the chain carries. What it makes up is for the host that was asked for; a certificate of the
/// product's own pages carries its maker's name as subject or host, or signed itself.
fn product(handshake: &Handshake) -> Option<&'static str> {
    let leaf = handshake.chain.first().filter(|leaf| !leaf.self_signed)?;
    let issuers: Vec<String> = handshake.chain.iter().map(|certificate| certificate.issuer.to_lowercase()).collect();
    let own = format!("{} {}", handshake.host, leaf.subject).to_lowercase();
    let made_for_host = handshake.name.as_ref().is_none_or(|name| name.fits);
    let named = |word: &str| issuers.iter().any(|issuer| issuer.contains(word)) && !own.contains(word);
    PRODUCTS.iter().find(|(word, _)| made_for_host && named(word)).map(|(_, product)| *product)
}

/// Another host of the run, of another owner, whose certificate comes from the same issuer that Mozilla's list does not know.
fn unrelated_with_same_issuer(evidence: &Evidence<'_>, handshake: &Seen<'_, Handshake>) -> Option<String> {
    let unlisted = |handshake: &Handshake| {
        handshake
            .trust
            .iter()
            .any(|verdict| verdict.store == TrustStore::Mozilla && verdict.reason == Some(TrustReason::UnknownIssuer))
    };
    let issuer = |handshake: &Handshake| handshake.chain.first().filter(|leaf| !leaf.self_signed).map(|leaf| leaf.issuer.clone());
    let own = issuer(handshake.fact).filter(|_| unlisted(handshake.fact))?;
    let other = evidence.handshakes.iter().chain(&evidence.handshakes_elsewhere).find(|other| {
        unlisted(other.fact)
            && issuer(other.fact).as_ref() == Some(&own)
            && owner(&other.host).zip(owner(&handshake.host)).is_some_and(|(other, own)| other != own)
            // Of names that are private by their nature one organisation has several, and an authority of its own for them.
            && !(is_private_name(&other.host) && is_private_name(&handshake.host))
    })?;
    Some(other.host.clone())
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, certificate, distrust, handshake};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, Handshake, TrustReason, TrustStore};

    fn issued_by(issuer: &str, change: impl FnOnce(&mut Handshake)) -> Fact {
        handshake(|handshake| {
            handshake.chain = vec![certificate("CN=shop.example", issuer)];
            distrust(handshake, TrustReason::UnknownIssuer);
            change(handshake);
        })
    }

    fn trusted_here(handshake: &mut Handshake) {
        let platform = handshake.trust.iter_mut().find(|verdict| verdict.store == TrustStore::Platform).unwrap();
        (platform.trusted, platform.reason) = (true, None);
    }

    fn scene(facts: impl IntoIterator<Item = Fact>) -> Scene {
        Scene::new("https://shop.example").check(Kind::Tls, facts)
    }

    #[test]
    fn a_product_that_opens_connections_is_named() {
        let finding = scene([issued_by("CN=Zscaler Intermediate Root CA, O=Zscaler Inc.", |_| {})]).finds("tls.intercepted");
        assert!(finding.sentence.contains("by Zscaler:"), "{}", finding.sentence);
    }

    #[test]
    fn an_inspection_that_this_machine_trusts_is_a_notice() {
        let fact = issued_by("CN=FortiGate CA", trusted_here);
        assert_eq!(scene([fact]).is_healthy(), ["tls.intercepted"]);
    }

    #[test]
    fn the_pages_of_the_firewall_itself_are_not_intercepted() {
        let own =
            issued_by("CN=fortinet-subca, O=Fortinet", |handshake| handshake.chain[0].subject = "CN=FG100, O=Fortinet".into());
        assert!(!scene([own]).names("tls.intercepted"));
        let signed_itself = issued_by("CN=Sophos Appliance", |handshake| handshake.chain[0].self_signed = true);
        assert!(!scene([signed_itself]).names("tls.intercepted"));
    }

    #[test]
    fn an_organisations_own_authority_is_no_interception() {
        assert!(!scene([issued_by("CN=Example Corp Root", |_| {})]).names("tls.intercepted"));
        assert!(scene([issued_by("CN=Example Corp Root", trusted_here)]).is_healthy().is_empty());
    }

    #[test]
    fn one_private_issuer_over_hosts_of_different_owners_opens_them() {
        let other = |host: &str| {
            issued_by("CN=Gate", |handshake| {
                handshake.host = host.into();
                trusted_here(handshake);
            })
        };
        let here = || issued_by("CN=Gate", trusted_here);
        assert!(scene([here(), other("login.test")]).is_healthy().contains(&"tls.intercepted".to_owned()));
        assert!(scene([here(), other("login.shop.example")]).is_healthy().is_empty());
    }

    /// Each host is a target of its own, and its certificate comes from an authority that nobody trusts.
    fn targets(hosts: &[&str]) -> Scene {
        hosts.iter().fold(Scene::new(hosts[0]), |scene, host| {
            let fact = issued_by("CN=Gate", |handshake| handshake.host = (*host).into());
            scene.target(host).check(Kind::Tls, [fact])
        })
    }

    #[test]
    fn one_private_issuer_over_unrelated_targets_of_a_run_opens_them() {
        let diagnosis = targets(&["wiki.shop.example", "mail.bank.test"]).diagnose();
        let causes: Vec<&str> = diagnosis.findings.iter().map(|finding| finding.cause.as_str()).collect();
        assert_eq!(causes, ["tls.intercepted", "tls.intercepted"], "{diagnosis:#?}");
    }

    #[test]
    fn targets_of_one_owner_and_private_names_may_have_an_authority_of_their_own() {
        for hosts in [["wiki.shop.example", "mail.shop.example"], ["wiki.office.corp", "mail.branch.internal"]] {
            assert!(!targets(&hosts).names("tls.intercepted"), "{hosts:?}");
        }
    }
}
