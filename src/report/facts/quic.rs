use super::{failure, of, tls};
use crate::units;
use netsonde_contract::observation::{Fact, Quic, QuicParameters};
use netsonde_contract::outcome::Outcome;

pub(super) fn outcome(outcome: &Outcome) -> String {
    let facts = of(outcome, |fact| if let Fact::Quic(quic) = fact { Some(&**quic) } else { None });
    facts.into_iter().map(line).collect::<Vec<_>>().join("; ")
}

/// `192.0.2.1:443 QUIC version 1 in 31 ms, h3, trusted`.
pub(super) fn line(quic: &Quic) -> String {
    let mut parts = Vec::new();
    if let Some(version) = &quic.version {
        parts.push(format!("QUIC version {version} in {}", units::duration(quic.took_us)));
    }
    if let Some(handshake) = quic.tls.as_ref().filter(|_| quic.version.is_some()) {
        parts.extend(handshake.alpn.clone());
        parts.extend(handshake.deciding_verdict().map(|verdict| tls::trust(verdict).to_owned()));
        parts.extend(handshake.name.as_ref().filter(|name| !name.fits).map(|name| format!("not made out for {}", name.wanted)));
    }
    match &quic.failure {
        Some(found) if quic.first_reply_us.is_some() && quic.version.is_none() => {
            parts.push(format!("answers, but {}", failure::short(found)));
        }
        Some(found) => parts.push(failure::short(found)),
        None => {}
    }
    if quic.version.is_none() {
        parts.extend(quic.server_versions.as_ref().map(|versions| format!("the server speaks {}", spoken(versions))));
    }
    format!("{} {}", quic.address, parts.join(", "))
}

pub(super) fn details(quic: &Quic) -> Vec<String> {
    let mut lines = failure::details(quic.failure.as_ref());
    if let Some(first) = quic.first_reply_us {
        let retry = if quic.retry { ", after it had the address proven" } else { "" };
        lines.push(format!(
            "first reply after {}, handshake over after {}{retry}",
            units::duration(first),
            units::duration(quic.took_us)
        ));
    }
    lines.extend(quic.server_versions.as_ref().map(|versions| format!("the server speaks {}", spoken(versions))));
    let packets = units::counted(quic.packets_sent as usize, "packet", "packets");
    let lost = if quic.packets_lost > 0 { format!(", {} lost", quic.packets_lost) } else { String::new() };
    lines.push(format!("{packets} sent, {} received{lost}", quic.packets_received));
    lines.extend(path(quic));
    lines.extend(quic.parameters.as_ref().map(parameters));
    if let Some(close) = &quic.close {
        let who = if close.application { "application" } else { "server" };
        let name = close.name.as_ref().map_or(String::new(), |name| format!(" {name}"));
        let reason = if close.reason.is_empty() { String::new() } else { format!(" (\"{}\")", close.reason) };
        lines.push(format!("the {who} closed with code 0x{:x}{name}{reason}", close.code));
    }
    if let Some(handshake) = &quic.tls {
        lines.extend(tls::details(handshake));
    }
    lines
}

/// What was learnt of the way to the server.
fn path(quic: &Quic) -> Option<String> {
    let mut parts = Vec::new();
    parts.extend(quic.rtt_us.map(|rtt| format!("round trip {}", units::duration(rtt))));
    parts.extend(quic.largest_payload_bytes.map(|bytes| format!("payloads of {bytes} bytes arrive")));
    parts.extend(quic.ecn.map(|seen| {
        if seen { "congestion marks are reported back".to_owned() } else { "congestion marks are not reported back".to_owned() }
    }));
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// A million gigabytes: whoever grants as much sets no bound.
const ENDLESS_BYTES: u64 = 1 << 50;

fn parameters(parameters: &QuicParameters) -> String {
    let idle = match parameters.max_idle_timeout_ms {
        0 => "no idle limit".to_owned(),
        limit => format!("idle limit {}", units::duration(limit.saturating_mul(1_000))),
    };
    let mut parts = vec![
        idle,
        match parameters.initial_max_data_bytes {
            ENDLESS_BYTES.. => "any number of bytes".to_owned(),
            bytes => format!("{} before it grants more", units::size(bytes)),
        },
        format!("{} and {} streams", parameters.initial_max_streams_bidi, parameters.initial_max_streams_uni),
    ];
    parts.extend(parameters.max_udp_payload_bytes.map(|bytes| format!("payloads up to {bytes} bytes")));
    parts.extend(parameters.max_datagram_frame_bytes.map(|bytes| format!("datagrams up to {bytes} bytes")));
    if parameters.disable_active_migration {
        parts.push("no change of address".to_owned());
    }
    if parameters.preferred_address {
        parts.push("prefers another address".to_owned());
    }
    format!("the server allows: {}", parts.join(", "))
}

fn spoken(versions: &[String]) -> String {
    if versions.is_empty() { "no version of QUIC".to_owned() } else { format!("QUIC version {}", versions.join(", ")) }
}
