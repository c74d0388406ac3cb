use super::{failure, http, of, tcp};
use crate::clean::shortened;
use crate::units;
use jiff::Timestamp;
use netsonde_contract::failure::{FailureCode, Step};
use netsonde_contract::inspection;
use netsonde_contract::observation::{Certificate, Fact, Handshake, Ocsp, OcspStatus, TrustReason, TrustStore, TrustVerdict};
use netsonde_contract::outcome::Outcome;

/// Enough of a reply that is not TLS to recognise it.
const MAX_REPLY_CHARS: usize = 40;

pub(super) fn outcome(outcome: &Outcome) -> String {
    let handshakes = of(outcome, |fact| if let Fact::Handshake(handshake) = fact { Some(&**handshake) } else { None });
    let mut parts: Vec<String> = handshakes.into_iter().map(summary).collect();
    for support in of(outcome, |fact| if let Fact::TlsSupport(support) = fact { Some(&**support) } else { None }) {
        let accepted: Vec<&str> =
            support.versions.iter().filter(|version| version.accepted).map(|version| &*version.protocol).collect();
        parts.push(format!("accepts {}", if accepted.is_empty() { "no version".to_owned() } else { accepted.join(" ") }));
    }
    parts.join(", ")
}

/// Protocol and what this machine makes of the certificate.
fn summary(handshake: &Handshake) -> String {
    if let Some(found) = &handshake.failure {
        let plain = plain(handshake).map_or(String::new(), |what| format!(": {what}"));
        // What came after the handshake was complete is no failure to agree.
        if let Some(protocol) = &handshake.protocol {
            let then = if found.code == FailureCode::Closed { "closed by the server".to_owned() } else { failure::short(found) };
            return format!("{} {protocol} agreed, then {then}", handshake.address);
        }
        return format!("{} {}{plain}", handshake.address, failure::short(found));
    }
    let mut parts = Vec::new();
    parts.extend(handshake.protocol.clone());
    match handshake.deciding_verdict() {
        // The dates below say it better.
        Some(TrustVerdict { reason: Some(TrustReason::Expired | TrustReason::NotYetValid), .. }) => {
            parts.push("not trusted".to_owned())
        }
        Some(verdict) => parts.push(trust(verdict).to_owned()),
        None => parts.push("no verdict on the certificate".to_owned()),
    }
    if let Some(name) = handshake.name.as_ref().filter(|name| !name.fits) {
        parts.push(format!("not made out for {}", name.wanted));
    }
    if let Some(at) = handshake.verified_at {
        let is_valid = |certificate: &&Certificate| (certificate.not_before..=certificate.not_after).contains(&at);
        let outdated = handshake.chain.iter().skip(1).find(|certificate| !is_valid(certificate));
        match (handshake.chain.first(), outdated) {
            (Some(leaf), Some(outdated)) if is_valid(&leaf) => {
                parts.push(format!("{} {}", outdated.subject, validity(outdated, at)))
            }
            (Some(leaf), _) => parts.push(validity(leaf, at)),
            (None, _) => {}
        }
    }
    parts.extend(tcp::before(&handshake.attempts));
    parts.extend(remarks(handshake));
    parts.join(", ")
}

/// `plain HTTP, status 400`; the beginning of a reply that is not known, the whole of which stands with the details.
fn plain(handshake: &Handshake) -> Option<String> {
    let reply = handshake.plain_reply.as_deref()?;
    Some(match (handshake.plain_protocol(), handshake.plain_status()) {
        (Some(protocol), Some(status)) => format!("{protocol}, status {status}"),
        (Some(protocol), None) => protocol.to_owned(),
        (None, _) => format!("\"{}\"", shortened(reply, MAX_REPLY_CHARS)),
    })
}

/// What is out of the ordinary beside protocol, trust and name.
fn remarks(handshake: &Handshake) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(built) = &handshake.built {
        remarks.extend(built.missing_issuer.as_ref().map(|issuer| format!("the issuer {issuer} was not sent")));
        if !built.in_order {
            remarks.push("the chain is out of order".to_owned());
        }
    }
    let product = handshake.chain.first().and_then(|leaf| inspection::product(&leaf.issuer));
    remarks.extend(product.map(|product| format!("issued by an authority called like {product}'s")));
    match handshake.ocsp.as_ref().map(|ocsp| ocsp.status) {
        Some(OcspStatus::Revoked) => remarks.push("OCSP says revoked".to_owned()),
        Some(OcspStatus::Unknown) => remarks.push("OCSP does not know the certificate".to_owned()),
        _ => {}
    }
    if handshake.pin.as_ref().is_some_and(|pin| !pin.fits) {
        remarks.push("not the certificate that was expected".to_owned());
    }
    if handshake.certificate_request.is_some() {
        remarks.push("asks for a client certificate".to_owned());
    }
    remarks
}

/// The verdict of one trust store in words.
pub(crate) fn trust(verdict: &TrustVerdict) -> &'static str {
    match (verdict.trusted, verdict.reason) {
        (true, _) => "trusted",
        (false, Some(TrustReason::Expired)) => "not trusted: expired",
        (false, Some(TrustReason::NotYetValid)) => "not trusted: not yet valid",
        (false, Some(TrustReason::NameMismatch)) => "not trusted: another name",
        (false, Some(TrustReason::UnknownIssuer)) => "not trusted: unknown issuer",
        (false, Some(TrustReason::Revoked)) => "not trusted: revoked",
        (false, Some(TrustReason::Other) | None) => "not trusted",
    }
}

pub(crate) fn store(store: TrustStore) -> &'static str {
    match store {
        TrustStore::Platform => "this machine",
        TrustStore::Mozilla => "Mozilla's list",
        TrustStore::Given => "the certificates given",
    }
}

/// The names that the certificate is for: as many as a person reads.
pub(crate) fn names(certificate: &Certificate) -> String {
    const MANY: usize = 20;
    let more = certificate.names.len().saturating_sub(MANY);
    let shown: Vec<&str> = certificate.names.iter().take(MANY).map(String::as_str).collect();
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

/// Where `at` lies in the certificate's life: `expired 20 days ago`, `valid until 2027-02-01`.
pub(crate) fn validity(certificate: &Certificate, at: Timestamp) -> String {
    let Certificate { not_before, not_after, .. } = *certificate;
    if at > not_after {
        format!("expired {} ({})", units::day(not_after), units::distance(at, not_after))
    } else if at < not_before {
        format!("valid from {} ({})", units::day(not_before), units::distance(at, not_before))
    } else {
        format!("valid until {} ({})", units::day(not_after), units::distance(at, not_after))
    }
}

pub(super) fn line(handshake: &Handshake) -> String {
    let name = handshake.server_name.as_deref().unwrap_or("no server name");
    // Where nothing connected, no handshake took any time.
    let took = Some(handshake.took_us).filter(|took_us| *took_us > 0);
    let took = took.map_or(String::new(), |took_us| format!(" in {}", units::duration(took_us)));
    format!("{} ({name}){took}: {}", handshake.address, summary(handshake))
}

/// What the handshake showed beside the certificates themselves.
fn offers(handshake: &Handshake) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(starttls) = &handshake.starttls {
        let agreed = if starttls.agreed { "agreed" } else { "did not agree" };
        let greeting = if starttls.greeting.is_empty() { String::new() } else { format!(" (\"{}\")", starttls.greeting) };
        lines.push(format!("{} {agreed} to TLS in {}{greeting}", starttls.protocol, units::duration(starttls.took_us)));
    }
    if let Some(built) = &handshake.built {
        let path: Vec<String> = built.path.iter().map(|position| (position + 1).to_string()).collect();
        let end = match (built.ends_in_root, &built.issuer_url) {
            (true, _) => "up to its root".to_owned(),
            (false, Some(url)) => format!("the next issuer is at {url}"),
            (false, None) => "the root is not among them".to_owned(),
        };
        lines.push(format!("chain built from certificates {}; {end}", path.join(" → ")));
    }
    if !handshake.timestamps.is_empty() {
        lines.push(format!("{} embedded", units::counted(handshake.timestamps.len(), "log timestamp", "log timestamps")));
    }
    lines.extend(handshake.ocsp.as_ref().map(ocsp));
    if let Some(pin) = &handshake.pin {
        lines.push(format!("expected {}: {}", pin.wanted, if pin.fits { "it is the one" } else { "it is another" }));
        lines.push(format!("  key sha256 {}", pin.key_sha256));
    }
    if let Some(request) = &handshake.certificate_request {
        let from = if request.authorities.is_empty() { "any authority".to_owned() } else { request.authorities.join("; ") };
        lines.push(format!("asks for a client certificate of {from}"));
    }
    if let Some(tickets) = &handshake.tickets {
        let early = match tickets.max_early_data_bytes {
            0 => "no early data".to_owned(),
            bytes => format!("early data up to {}", units::size(bytes.into())),
        };
        lines.push(format!("{}, {early}", units::counted(tickets.count as usize, "session ticket", "session tickets")));
    }
    lines
}

fn ocsp(ocsp: &Ocsp) -> String {
    format!("stapled OCSP response: {}", statement(ocsp))
}

/// What is said of a certificate's revocation.
pub(super) fn statement(ocsp: &Ocsp) -> String {
    let status = match ocsp.status {
        OcspStatus::Good => "good",
        OcspStatus::Revoked => "revoked",
        OcspStatus::Unknown => "unknown",
        OcspStatus::NoAnswer => "no answer",
        OcspStatus::Unreadable => "unreadable",
        OcspStatus::Other => "another",
    };
    let mut line = status.to_owned();
    line.push_str(&ocsp.revoked_at.map_or(String::new(), |at| format!(" since {}", units::day(at))));
    line.push_str(&ocsp.this_update.map_or(String::new(), |at| format!(", of {}", units::moment(at))));
    line.push_str(&ocsp.next_update.map_or(String::new(), |at| format!(", good until {}", units::moment(at))));
    if !ocsp.about_leaf {
        line.push_str(", about another certificate");
    }
    if ocsp.signature_valid == Some(false) {
        line.push_str(", signature not the issuer's");
    }
    line
}

pub(super) fn details(handshake: &Handshake) -> Vec<String> {
    let mut lines = failure::details(handshake.failure.as_ref());
    let negotiated = [("cipher", &handshake.cipher), ("group", &handshake.group), ("application protocol", &handshake.alpn)];
    let negotiated: Vec<String> =
        negotiated.into_iter().filter_map(|(name, value)| value.as_ref().map(|value| format!("{name} {value}"))).collect();
    if !negotiated.is_empty() {
        lines.push(negotiated.join("; "));
    }
    let stapled = if handshake.ocsp_stapled { "; OCSP response stapled" } else { "" };
    let connected = units::duration(handshake.connect_us);
    lines.extend(match handshake.failure.as_ref().map(|failure| failure.during) {
        Some(Step::Open | Step::Connect) => Some(format!("not connected after {connected}")),
        // Within QUIC there is no connection before the handshake.
        _ if handshake.connect_us == 0 => (!stapled.is_empty()).then(|| "OCSP response stapled".to_owned()),
        _ => Some(format!("connected in {connected}{stapled}")),
    });
    lines.extend(tcp::attempts(&handshake.attempts));
    lines.extend(handshake.at_close.as_deref().map(|known| format!("the kernel at the end: {}", http::kernel(known))));
    if let Some(reply) = &handshake.plain_reply {
        lines.push(format!("the reply begins \"{reply}\""));
    }
    lines.extend(offers(handshake));
    for verdict in &handshake.trust {
        let text = verdict.text.as_ref().map_or(String::new(), |text| format!(" ({text})"));
        lines.push(format!("{}: {}{text}", store(verdict.store), trust(verdict)));
    }
    if let Some(name) = &handshake.name {
        lines.push(format!("name {}: {}", name.wanted, if name.fits { "fits" } else { "does not fit" }));
    }
    for (position, certificate) in handshake.chain.iter().enumerate() {
        lines.push(format!("certificate {}: {}, issued by {}", position + 1, certificate.subject, certificate.issuer));
        let validity = handshake.verified_at.map_or(String::new(), |at| format!("; {}", validity(certificate, at)));
        let role = match (certificate.is_ca, certificate.self_signed) {
            (true, true) => "; self-signed authority",
            (true, false) => "; authority",
            (false, true) => "; self-signed",
            (false, false) => "",
        };
        let (from, until) = (units::day(certificate.not_before), units::day(certificate.not_after));
        lines.push(format!("  {from} to {until}{validity}; {}, {}{role}", certificate.key, certificate.signature));
        if !certificate.names.is_empty() {
            lines.push(format!("  for {}", names(certificate)));
        }
        lines.push(format!("  sha256 {}", certificate.sha256));
    }
    lines
}
