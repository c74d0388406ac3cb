//! What further connections to a TLS server showed beside the check's own handshake.

use super::{failure, tls};
use crate::units;
use netsonde_contract::failure::FailureCode;
use netsonde_contract::observation::{FetchedIssuer, HandshakeVariant, TlsSupport, Variant, VersionSupport};

pub(super) fn variant(fact: &HandshakeVariant) -> String {
    let what = match (fact.variant, &fact.server_name) {
        (Variant::ClassicGroups, _) => "with classic groups only".to_owned(),
        (Variant::ServerName, Some(name)) => format!("asked for {name}"),
        (Variant::ServerName, None) => "without a server name".to_owned(),
        (Variant::Resumption, _) => "with the session's ticket".to_owned(),
        (Variant::Other, _) => "in another way".to_owned(),
    };
    let took = units::duration(fact.took_us);
    if let Some(found) = &fact.failure {
        return format!("{} {what}: {} after {took}", fact.address, failure::short(found));
    }
    let mut parts: Vec<String> = fact.protocol.iter().chain(&fact.group).cloned().collect();
    match fact.variant {
        Variant::Resumption if fact.resumed => parts.push("resumed".to_owned()),
        Variant::Resumption => parts.push("not resumed".to_owned()),
        Variant::ServerName => parts.extend(fact.leaf_subject.iter().map(|subject| format!("certificate {subject}"))),
        Variant::ClassicGroups | Variant::Other => {}
    }
    format!("{} {what} in {took}: {}", fact.address, parts.join(", "))
}

pub(super) fn support(fact: &TlsSupport) -> String {
    let accepted: Vec<&str> = fact.versions.iter().filter(|version| version.accepted).map(|version| &*version.protocol).collect();
    let refused: Vec<&str> = fact.versions.iter().filter(|version| refuses(version)).map(|version| &*version.protocol).collect();
    let mut parts = Vec::new();
    if !accepted.is_empty() {
        parts.push(format!("accepts {}", accepted.join(", ")));
    }
    if !refused.is_empty() {
        parts.push(format!("refuses {}", refused.join(", ")));
    }
    parts.extend(fact.failure.iter().map(|found| format!("ended early: {}", failure::short(found))));
    format!("{} {} ({})", fact.address, parts.join("; "), units::counted(fact.connections as usize, "connection", "connections"))
}

pub(super) fn support_details(fact: &TlsSupport) -> Vec<String> {
    let mut lines = failure::details(fact.failure.as_ref());
    for version in &fact.versions {
        let order = match version.server_order {
            Some(true) => "; in the server's order",
            Some(false) => "; in the client's order",
            None => "",
        };
        let verdict = match (&version.failure, version.accepted) {
            (_, true) => format!("accepted with {}{order}", version.ciphers.join(", ")),
            // An alert is named already.
            (Some(found), false) if found.code == FailureCode::TlsAlert => failure::short(found),
            (Some(found), false) => format!("{}: {}", failure::short(found), found.words()),
            (None, false) => "not accepted".to_owned(),
        };
        lines.push(format!("{}: {verdict}", version.protocol));
    }
    lines
}

/// A time-out, or a reply that is not TLS, says nothing about the version.
fn refuses(version: &VersionSupport) -> bool {
    let refusal = |code: &FailureCode| match code {
        FailureCode::TlsAlert | FailureCode::Closed | FailureCode::Reset => true,
        FailureCode::Other(code) => code == "other_version",
        _ => false,
    };
    !version.accepted && version.failure.as_ref().is_some_and(|found| refusal(&found.code))
}

pub(super) fn fetched(fact: &FetchedIssuer) -> String {
    let took = units::duration(fact.took_us);
    if let Some(found) = &fact.failure {
        return format!("issuer from {}: {} after {took}", fact.url, failure::short(found));
    }
    let subject = fact.certificate.as_ref().map_or("nothing", |certificate| &certificate.subject);
    let fits = if fact.fits { "it is the issuer" } else { "it is not the issuer" };
    let trust = fact.trust.first().map_or(String::new(), |verdict| format!("; with it the chain is {}", tls::trust(verdict)));
    format!("issuer from {} in {took}: {subject}, {fits}{trust}", fact.url)
}
