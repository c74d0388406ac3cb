use super::write::Writer;
use crate::{facts, shown, units};
use jiff::Timestamp;
use netsonde_contract::document::Document;
use netsonde_contract::observation::{Certificate, Fact, Handshake};

pub(super) fn write(html: &mut Writer, document: &Document) {
    let mut seen = Vec::new();
    for observation in shown::all(document) {
        if let Fact::Handshake(handshake) = &observation.fact
            && !handshake.chain.is_empty()
        {
            // The http check makes a handshake of its own, which mostly shows the same chain.
            let chain_digests = handshake.chain.iter().map(|certificate| certificate.sha256.as_str()).collect::<Vec<_>>();
            let identity = (handshake.address, handshake.server_name.as_deref(), chain_digests);
            if !seen.contains(&identity) {
                chain(html, handshake);
                seen.push(identity);
            }
        }
    }
}

fn chain(html: &mut Writer, handshake: &Handshake) {
    let name = handshake.server_name.as_deref().unwrap_or("no server name");
    html.leaf("h3", &[], &format!("{} ({name})", handshake.address));
    let negotiated = [&handshake.protocol, &handshake.cipher, &handshake.group, &handshake.alpn];
    let negotiated: Vec<&str> = negotiated.into_iter().filter_map(Option::as_deref).collect();
    html.leaf("p", &[("class", "ns-muted")], &negotiated.join(", "));
    html.element("ul", &[("class", "ns-verdicts")], |html| {
        if let Some(name) = &handshake.name {
            let (class, words) = if name.fits { ("ns-ok", "fits") } else { ("ns-problem", "does not fit") };
            html.element("li", &[], |html| {
                html.text(&format!("The name {} ", name.wanted));
                html.leaf("strong", &[("class", class)], words);
            });
        }
        for verdict in &handshake.trust {
            html.element("li", &[], |html| {
                html.text(&format!("By {}: ", facts::store(verdict.store)));
                html.leaf("strong", &[("class", if verdict.trusted { "ns-ok" } else { "ns-problem" })], facts::trust(verdict));
                if let Some(text) = &verdict.text {
                    html.leaf("span", &[("class", "ns-muted")], &format!(" ({text})"));
                }
            });
        }
    });
    html.element("ol", &[("class", "ns-chain")], |html| {
        for certificate in &handshake.chain {
            html.element("li", &[], |html| self::certificate(html, certificate, handshake.verified_at));
        }
    });
}

fn certificate(html: &mut Writer, certificate: &Certificate, at: Option<Timestamp>) {
    html.leaf("strong", &[], &certificate.subject);
    html.leaf("div", &[("class", "ns-muted")], &format!("issued by {}", certificate.issuer));
    html.element("div", &[], |html| {
        html.text(&format!("{} to {}", units::day(certificate.not_before), units::day(certificate.not_after)));
        if let Some(at) = at {
            let within = (certificate.not_before..=certificate.not_after).contains(&at);
            html.text(": ");
            html.leaf("strong", &[("class", if within { "ns-ok" } else { "ns-problem" })], &facts::validity(certificate, at));
        }
    });
    let role = match (certificate.is_ca, certificate.self_signed) {
        (true, true) => ", self-signed authority",
        (true, false) => ", authority",
        (false, true) => ", self-signed",
        (false, false) => "",
    };
    html.leaf("div", &[("class", "ns-muted")], &format!("{}, {}{role}", certificate.key, certificate.signature));
    if !certificate.names.is_empty() {
        html.leaf("div", &[], &format!("for {}", facts::certificate_names(certificate)));
    }
    html.leaf("div", &[("class", "ns-muted ns-digest")], &format!("SHA-256 {}", certificate.sha256));
}
