//! Servers that end the handshake with an alert (RFC 8446 section 6.2), over TCP or within QUIC (RFC 9001 section 4.8): which one, and
//! which other offer they would have taken.

use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::list;
use netsonde_contract::failure::{Failure, FailureCode};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::observation::{Handshake, Quic, TlsSupport, VersionSupport};

const EACH_OFFER: &str = "asking for each version and each cipher suite by itself (`netsonde run tls`)";

pub(in crate::rules) const VERSION_RULE: Rule = Rule {
    refines: &["tls.handshake_rejected"],
    settled_by: Some(EACH_OFFER),
    ..Rule::new("tls.version_unsupported", &["tls.handshake_timeout", "tls.cipher_unsupported"], version)
};

pub(in crate::rules) const CIPHER_RULE: Rule = Rule {
    refines: &["tls.handshake_rejected"],
    settled_by: Some(EACH_OFFER),
    ..Rule::new("tls.cipher_unsupported", &["tls.handshake_timeout", "tls.version_unsupported"], cipher)
};

pub(in crate::rules) const ALPN_RULE: Rule =
    Rule { refines: &["tls.handshake_rejected"], ..Rule::new("tls.alpn_mismatch", &["tls.version_unsupported"], alpn) };

pub(in crate::rules) const REJECTED_RULE: Rule = Rule {
    settled_by: Some(EACH_OFFER),
    ..Rule::new("tls.handshake_rejected", &["tls.cipher_unsupported", "tls.version_unsupported"], rejected)
};

const HANDSHAKE_FAILURE: u8 = 40;
const PROTOCOL_VERSION: u8 = 70;
const INSUFFICIENT_SECURITY: u8 = 71;
const CERTIFICATE_REQUIRED: u8 = 116;
const NO_APPLICATION_PROTOCOL: u8 = 120;

/// The versions that today's programs, and netsonde's own handshake, still speak (RFC 8996 forbids the older ones).
const CURRENT: [&str; 2] = ["TLSv1.2", "TLSv1.3"];

/// Another offer was taken, and it is known which.
const OFFER_KNOWN: f64 = 0.96;
/// The alert names its reason.
const NAMED: f64 = 0.9;
/// The alert has one meaning only.
const ONE_MEANING: f64 = 0.97;
/// The most general alert: no common cipher, a missing client certificate, or any other reason.
const GENERAL: f64 = 0.7;

/// What alerts tell, in words; the number is the standard's.
const MEANINGS: [(u8, &str); 14] = [
    (10, "it did not expect this message"),
    (40, "it found nothing in the offer that it accepts, or misses something such as a client certificate"),
    (42, "it finds the client's certificate broken"),
    (43, "it does not take this kind of client certificate"),
    (44, "the client's certificate was revoked"),
    (45, "the client's certificate has expired"),
    (46, "it does not accept the client's certificate"),
    (47, "it finds a field of the offer out of range"),
    (48, "it does not know who issued the client's certificate"),
    (49, "it denies access"),
    (50, "it could not read the message"),
    (80, "something inside the server went wrong"),
    (86, "it sees an inappropriate downgrade"),
    (112, "it knows no site of this name"),
];

/// The number of the alert that ended the handshake: the words end in `handshake_failure (40)`, or in the bare number.
fn alert(failure: Option<&Failure>) -> Option<u8> {
    let failure = failure.filter(|failure| failure.code == FailureCode::TlsAlert)?;
    failure.text.rsplit([' ', '(', ')']).find(|word| !word.is_empty())?.parse().ok()
}

fn meaning(number: u8) -> Option<&'static str> {
    MEANINGS.iter().find(|(known, _)| *known == number).map(|(_, meaning)| *meaning)
}

/// `handshake_failure (40)`.
fn name(failure: &Failure) -> &str {
    failure.text.rsplit_once("TLS alert ").map_or(failure.text.as_str(), |(_, name)| name)
}

fn support<'e, 'a>(evidence: &'e Evidence<'a>, handshake: &Seen<'_, Handshake>) -> Option<&'e Seen<'a, TlsSupport>> {
    evidence.tls_support.iter().find(|support| support.address == handshake.address)
}

fn accepted(support: &TlsSupport) -> Vec<&VersionSupport> {
    support.versions.iter().filter(|version| version.accepted).collect()
}

fn candidate(handshake: &Seen<'_, Handshake>, confidence: f64, sentence: String) -> Candidate {
    Candidate::new(Severity::Problem, confidence, sentence)
        .at(place(handshake))
        .about(Spot::Endpoint(handshake.address))
        .stopping()
        .resting_on([handshake.id])
}

/// Handshakes that ended, or whose server chose what the client does not speak, without any certificate problem.
fn each(evidence: &Evidence<'_>, of: impl Fn(&Seen<'_, Handshake>, &Failure) -> Option<Candidate>) -> Vec<Candidate> {
    evidence.handshakes.iter().filter_map(|handshake| of(handshake, handshake.fact.failure.as_ref()?)).collect()
}

fn version(evidence: &Evidence<'_>) -> Vec<Candidate> {
    each(evidence, |handshake, failure| {
        let number = alert(Some(failure));
        // A server that goes on in an old version is refused by the client's own library.
        let refused_here = failure.code == FailureCode::ProtocolError && failure.text.contains("incompatible");
        let support = support(evidence, handshake);
        let old: Vec<&str> =
            support.map(|support| accepted(support.fact)).unwrap_or_default().iter().map(|v| v.protocol.as_str()).collect();
        let only_old = !old.is_empty() && !old.iter().any(|version| CURRENT.contains(version));
        if number != Some(PROTOCOL_VERSION) && !(only_old && (number == Some(HANDSHAKE_FAILURE) || refused_here)) {
            return None;
        }
        let host = &handshake.fact.host;
        let (confidence, what) = match only_old {
            true => (OFFER_KNOWN, format!("it speaks {} only, which today's programs no longer do", list(&old))),
            false => (NAMED, "it refuses TLS 1.2 and 1.3, the versions of today's programs".to_owned()),
        };
        let sentence = format!("{host} and this machine have no TLS version in common: {what}.");
        let settled = support.filter(|_| only_old).map(|support| support.id);
        Some(
            candidate(handshake, confidence, sentence)
                .resting_on(settled)
                .rejecting("tls.handshake_timeout", "The server answered the first message.", [handshake.id])
                .rejecting("tls.cipher_unsupported", "No cipher of a current version is accepted, but old versions are.", settled)
                .next(
                    Who::Server,
                    format!("Turn on TLS 1.2 and 1.3 on {host}; where its software cannot, put a current proxy in front of it."),
                ),
        )
    })
}

fn cipher(evidence: &Evidence<'_>) -> Vec<Candidate> {
    each(evidence, |handshake, failure| {
        let number = alert(Some(failure)).filter(|number| [HANDSHAKE_FAILURE, INSUFFICIENT_SECURITY].contains(number))?;
        let support = support(evidence, handshake);
        let versions = support.map(|support| accepted(support.fact)).unwrap_or_default();
        let current = versions.iter().find(|version| CURRENT.contains(&version.protocol.as_str()));
        if current.is_none() && number == HANDSHAKE_FAILURE || handshake.fact.certificate_request.is_some() {
            return None;
        }
        let host = &handshake.fact.host;
        let (confidence, what) = match current {
            Some(version) => {
                let ciphers = version.ciphers.iter().take(3).map(String::as_str).collect::<Vec<_>>();
                (OFFER_KNOWN, format!("in {} it takes {}, which this machine does not offer", version.protocol, list(&ciphers)))
            }
            None => (NAMED, "it wants stronger ones than those that were offered".to_owned()),
        };
        let settled = support.filter(|_| current.is_some()).map(|support| support.id);
        let sentence = format!("{host} and this machine have no cipher in common: {what}.");
        Some(
            candidate(handshake, confidence, sentence)
                .resting_on(settled)
                .rejecting("tls.handshake_timeout", "The server answered the first message.", [handshake.id])
                .rejecting("tls.version_unsupported", "With another cipher the same version is accepted.", settled)
                .next(
                    Who::Server,
                    format!("Turn on cipher suites with forward secrecy on {host} (ECDHE with AES-GCM or ChaCha20), which all current programs offer."),
                ),
        )
    })
}

/// The handshakes within QUIC that the server ended with an alert, and the alert's number: RFC 9001 section 4.8 adds it to 0x0100.
fn within_quic<'e, 'a>(evidence: &'e Evidence<'a>) -> impl Iterator<Item = (&'e Seen<'a, Quic>, u8)> {
    evidence.quics.iter().filter_map(|quic| {
        let close = quic.fact.close.as_ref().filter(|close| !close.application && quic.fact.failure.is_some())?;
        let [high, number] = u16::try_from(close.code).ok()?.to_be_bytes();
        (high == 1).then_some((quic, number))
    })
}

fn quic_candidate(quic: &Seen<'_, Quic>, confidence: f64, sentence: String) -> Candidate {
    let place = Place {
        address: Some(quic.address.ip()),
        port: Some(quic.address.port()),
        name: Some(quic.host.clone()),
        ..Place::default()
    };
    Candidate::new(Severity::Problem, confidence, sentence)
        .at(place)
        .about(Spot::Endpoint(quic.address))
        .stopping()
        .resting_on([quic.id])
}

/// `CRYPTO_ERROR no_application_protocol (120)` without the words before the alert's own name.
fn quic_name(quic: &Quic, number: u8) -> String {
    let name = quic.close.as_ref().and_then(|close| close.name.as_deref());
    name.and_then(|name| name.strip_prefix("CRYPTO_ERROR ")).map_or_else(|| number.to_string(), str::to_owned)
}

fn alpn(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let mut found = each(evidence, |handshake, failure| {
        alert(Some(failure)).filter(|number| *number == NO_APPLICATION_PROTOCOL)?;
        let host = &handshake.fact.host;
        let sentence = format!(
            "{host} speaks none of the application protocols that were offered (ALPN): it ended the handshake with the alert {}.",
            name(failure)
        );
        Some(
            candidate(handshake, ONE_MEANING, sentence)
                .rejecting("tls.version_unsupported", "The alert names the application protocol.", [handshake.id])
                .next(Who::Server, format!("Check that {host} is a server for this protocol; if it is, turn on HTTP/1.1 or HTTP/2 (`http/1.1`, `h2`) in its TLS settings.")),
        )
    });
    found.extend(within_quic(evidence).filter(|(_, number)| *number == NO_APPLICATION_PROTOCOL).map(|(quic, number)| {
        let host = &quic.fact.host;
        let sentence = format!(
            "{host} speaks QUIC, but none of the application protocols that were offered (ALPN): it ended the handshake with the alert {}.",
            quic_name(quic.fact, number)
        );
        quic_candidate(quic, ONE_MEANING, sentence)
            .rejecting("tls.version_unsupported", "The alert names the application protocol.", [quic.id])
            .next(
                Who::Server,
                format!("Check that {host} is a server for this protocol over QUIC; if it is, turn on HTTP/3 (`h3`) in its settings."),
            )
    }));
    found
}

fn rejected(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let mut found = each(evidence, |handshake, failure| {
        if failure.code != FailureCode::TlsAlert || alert(Some(failure)) == Some(CERTIFICATE_REQUIRED) {
            return None;
        }
        let number = alert(Some(failure));
        let host = &handshake.fact.host;
        let meaning = number.and_then(meaning);
        let asked = handshake.fact.certificate_request.is_some();
        let mut sentence = format!("{host} refuses the TLS handshake with the alert {}", name(failure));
        if let Some(meaning) = meaning {
            sentence.push_str(&format!(": {meaning}"));
        }
        sentence.push('.');
        if asked {
            sentence.push_str(" It had asked for a client certificate before, and none was given.");
        }
        let general = number.is_none_or(|number| number == HANDSHAKE_FAILURE);
        let action = if asked {
            format!(
                "Give the application the client certificate that {host} asks for; if there is none, ask the operator of {host} what its log says."
            )
        } else {
            format!("Look into the TLS log of {host} at this time: it says which part of the offer was refused.")
        };
        Some(candidate(handshake, if general { GENERAL } else { NAMED }, sentence).next(Who::Server, action))
    });
    found.extend(within_quic(evidence).filter(|(_, number)| *number != CERTIFICATE_REQUIRED).map(|(quic, number)| {
        let meaning = meaning(number).map(|meaning| format!(": {meaning}")).unwrap_or_default();
        let host = &quic.fact.host;
        let sentence =
            format!("{host} refuses the TLS handshake within QUIC with the alert {}{meaning}.", quic_name(quic.fact, number));
        quic_candidate(quic, if number == HANDSHAKE_FAILURE { GENERAL } else { NAMED }, sentence)
            .next(Who::Server, format!("Look into the log of {host} at this time: it says which part of the offer was refused."))
    }));
    found
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, handshake, quic, support};
    use netsonde_contract::failure::{Failure, FailureCode, Step};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{CertificateRequest, Fact, Handshake, QuicClose};

    fn refused(name: &str, change: impl FnOnce(&mut Handshake)) -> Fact {
        handshake(|handshake| {
            (handshake.chain, handshake.trust, handshake.name) = (Vec::new(), Vec::new(), None);
            let text = format!("the peer sent the TLS alert {name}");
            handshake.failure = Some(Failure::new(FailureCode::TlsAlert, Step::Handshake, text));
            change(handshake);
        })
    }

    fn scene(facts: impl IntoIterator<Item = Fact>) -> Scene {
        Scene::new("https://shop.example").check(Kind::Tls, facts)
    }

    const GENERAL: &str = "handshake_failure (40)";

    #[test]
    fn a_server_of_old_versions_only_is_told_with_them() {
        let finding = scene([refused("protocol_version (70)", |_| {}), support(&[("TLSv1.0", "TLS_RSA_WITH_AES_128_CBC_SHA")])])
            .finds("tls.version_unsupported");
        assert!(finding.sentence.contains("TLSv1.0 only") && finding.confidence > 0.95, "{}", finding.sentence);
        let alert_alone = scene([refused("protocol_version (70)", |_| {})]).finds("tls.version_unsupported");
        assert!(alert_alone.confidence <= 0.9);
    }

    #[test]
    fn another_cipher_of_the_same_version_that_is_taken_is_named() {
        let facts = [refused(GENERAL, |_| {}), support(&[("TLSv1.2", "TLS_RSA_WITH_AES_128_CBC_SHA")])];
        let finding = scene(facts).finds("tls.cipher_unsupported");
        assert!(finding.sentence.contains("TLS_RSA_WITH_AES_128_CBC_SHA"), "{}", finding.sentence);
        assert!(finding.rejected.iter().any(|rejected| rejected.cause == "tls.version_unsupported"));
    }

    #[test]
    fn the_general_alert_alone_names_no_cipher() {
        assert!(scene([refused(GENERAL, |_| {})]).finds("tls.handshake_rejected").confidence < 0.8);
        scene([refused(GENERAL, |_| {}), support(&[])]).finds("tls.handshake_rejected");
    }

    #[test]
    fn a_server_that_asked_for_a_certificate_before_it_refused_is_not_short_of_ciphers() {
        let asked = refused(GENERAL, |handshake| handshake.certificate_request = Some(CertificateRequest::default()));
        let finding =
            scene([asked, support(&[("TLSv1.2", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")])]).finds("tls.handshake_rejected");
        assert!(finding.sentence.contains("client certificate before"), "{}", finding.sentence);
    }

    #[test]
    fn no_common_application_protocol_has_an_alert_of_its_own() {
        scene([refused("no_application_protocol (120)", |_| {})]).finds("tls.alpn_mismatch");
    }

    /// A server that ended the handshake within QUIC, with a code of the transport or of the application.
    fn closed(code: u64, name: &str, application: bool) -> Scene {
        let fact = quic("192.0.2.80:443", |quic| {
            let text = format!("the server closed the connection: {name}");
            quic.failure = Some(Failure::new(FailureCode::TlsAlert, Step::Handshake, text));
            quic.close = Some(QuicClose { application, code, name: Some(name.to_owned()), reason: String::new() });
        });
        Scene::new("shop.example").check(Kind::Quic, [fact])
    }

    #[test]
    fn an_alert_within_quic_means_what_it_means_over_tcp() {
        let finding = closed(0x0178, "CRYPTO_ERROR no_application_protocol (120)", false).finds("tls.alpn_mismatch");
        assert!(finding.sentence.ends_with("the alert no_application_protocol (120)."), "{}", finding.sentence);
        let finding = closed(0x0170, "CRYPTO_ERROR unrecognised_name (112)", false).finds("tls.handshake_rejected");
        assert!(finding.sentence.ends_with("it knows no site of this name."), "{}", finding.sentence);
    }

    #[test]
    fn an_applications_own_code_is_no_alert() {
        assert!(!closed(0x0178, "own", true).names("tls.alpn_mismatch"));
        assert!(!closed(0x0278, "own", false).names("tls.alpn_mismatch"));
    }

    #[test]
    fn any_other_alert_is_told_with_its_meaning() {
        let finding = scene([refused("unrecognised_name (112)", |_| {})]).finds("tls.handshake_rejected");
        assert!(finding.sentence.ends_with("it knows no site of this name."), "{}", finding.sentence);
        assert!(scene([refused("200", |_| {})]).finds("tls.handshake_rejected").sentence.ends_with("the alert 200."));
    }

    #[test]
    fn a_wanted_client_certificate_is_not_merely_rejected() {
        assert!(!scene([refused("certificate_required (116)", |_| {})]).names("tls.handshake_rejected"));
    }
}
