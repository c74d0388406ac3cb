use super::{failure, of};
use crate::units;
use netsonde_contract::observation::{Fact, Mtu, MtuAnswer, MtuLimit, MtuTransport};
use netsonde_contract::outcome::Outcome;

pub(super) fn outcome(outcome: &Outcome) -> String {
    let facts = of(outcome, |fact| if let Fact::Mtu(mtu) = fact { Some(&**mtu) } else { None });
    facts.into_iter().map(line).collect::<Vec<_>>().join("; ")
}

/// `192.0.2.7 packets up to 1400 bytes pass; 10.0.0.1 says that larger ones do not`, and for TCP `192.0.2.7 port 443, TCP packets up to …`.
pub(super) fn line(mtu: &Mtu) -> String {
    let (port, kind) = match (mtu.transport, mtu.port) {
        (MtuTransport::Udp, _) => (String::new(), ""),
        (MtuTransport::Tcp, Some(port)) => (format!(" port {port},"), "TCP "),
        (MtuTransport::Tcp, None) => (String::new(), "TCP "),
        (MtuTransport::Icmp, _) => (String::new(), "ICMP "),
    };
    let mut line = match mtu.passed_bytes {
        Some(bytes) => format!("{}{port} {kind}packets up to {bytes} bytes pass", mtu.address),
        None => format!("{}{port} no {kind}packet was answered", mtu.address),
    };
    match (mtu.limit, &mtu.told) {
        (MtuLimit::None, _) => line.push_str(", the largest that were tried"),
        (MtuLimit::Interface, _) => line.push_str("; the machine's own interface sends no larger ones"),
        (MtuLimit::Told, Some(icmp)) => line.push_str(&format!("; {} says that larger ones do not", icmp.offender)),
        (MtuLimit::Told, None) if mtu.transport == MtuTransport::Icmp => {
            line.push_str("; this machine remembers that larger ones do not")
        }
        (MtuLimit::Told, None) => line.push_str("; larger ones are refused"),
        (MtuLimit::Untold, _) => line.push_str("; larger ones vanish without a word"),
        (MtuLimit::Unknown, _) if mtu.passed_bytes.is_some() => line.push_str("; what stops larger ones is not known"),
        (MtuLimit::Unknown, _) => {}
    }
    if let Some(found) = &mtu.failure {
        line.push_str(&format!(" ({})", failure::short(found)));
    }
    line
}

pub(super) fn details(mtu: &Mtu) -> Vec<String> {
    let mut lines = failure::details(mtu.failure.as_ref());
    let allowed = mtu.mss_bytes.zip(mtu.announced_bytes());
    lines.extend(
        allowed.map(|(mss, whole)| format!("the host allows segments of {mss} bytes, which are packets of up to {whole}")),
    );
    let each = mtu.probes.iter().map(|probe| {
        let answer = match probe.answer {
            MtuAnswer::Passed => "passed",
            MtuAnswer::TooBig => "too big",
            MtuAnswer::NotSent => "not sent",
            MtuAnswer::Refused => "refused",
            MtuAnswer::Silent => "silent",
        };
        let took = probe.took_us.map_or(String::new(), |us| format!(" in {}", units::duration(us)));
        format!("{} {answer}{took}", probe.size_bytes)
    });
    let each: Vec<String> = each.collect();
    if !each.is_empty() {
        lines.push(each.join(", "));
    }
    for (words, icmp) in
        mtu.told.iter().map(|icmp| ("told", icmp)).chain(mtu.disbelieved.iter().map(|icmp| ("not believed", icmp)))
    {
        let named = icmp.mtu.map_or(String::new(), |mtu| format!(", MTU {mtu}"));
        lines.push(format!("{words}: {} from {}{named}", icmp.words(), icmp.offender));
    }
    lines
}
