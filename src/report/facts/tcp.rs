use super::{failure, of};
use crate::units;
use netsonde_contract::observation::{Connect, Fact};
use netsonde_contract::outcome::Outcome;
use std::net::SocketAddr;

/// Each address with its result: `192.0.2.7:443 in 11 ms; [2001:db8::7]:443 refused after 1.2 ms`.
pub(super) fn outcome(outcome: &Outcome) -> String {
    let connects = of(outcome, |fact| if let Fact::Connect(connect) = fact { Some(connect) } else { None });
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for connect in &connects {
        if !addresses.contains(&connect.address) {
            addresses.push(connect.address);
        }
    }
    let of_address = |address: &SocketAddr| {
        let attempts: Vec<&Connect> = connects.iter().copied().filter(|connect| connect.address == *address).collect();
        format!("{address} {}", attempts_at_one(&attempts))
    };
    addresses.iter().map(of_address).collect::<Vec<_>>().join("; ")
}

fn attempts_at_one(attempts: &[&Connect]) -> String {
    let good: Vec<&&Connect> = attempts.iter().filter(|connect| connect.failure.is_none()).collect();
    let failed = attempts.iter().find_map(|connect| Some((connect, connect.failure.as_ref()?)));
    let tally = if attempts.len() > 1 { format!(", {} of {} attempts", good.len(), attempts.len()) } else { String::new() };
    match (units::median(good.iter().map(|connect| connect.took_us)), failed) {
        (Some(took_us), None) => format!("in {}{tally}", units::duration(took_us)),
        (Some(took_us), Some((_, found))) => format!("in {}{tally}, else {}", units::duration(took_us), failure::short(found)),
        (None, Some((connect, found))) => format!("{} after {}{tally}", failure::short(found), units::duration(connect.took_us)),
        (None, None) => "not tried".to_owned(),
    }
}

pub(super) fn line(connect: &Connect) -> String {
    let result = match &connect.failure {
        None => format!("connected in {}", units::duration(connect.took_us)),
        Some(found) => format!("{} after {}", failure::short(found), units::duration(connect.took_us)),
    };
    format!("{}, attempt {}: {result}", connect.address, connect.attempt)
}

pub(super) fn details(connect: &Connect) -> Vec<String> {
    let mut lines = failure::details(connect.failure.as_ref());
    let mut facts = Vec::new();
    if let Some(local) = connect.local {
        facts.push(format!("from {local}"));
    }
    if let Some(rtt_us) = connect.kernel_rtt_us {
        facts.push(format!("RTT by the kernel {}", units::duration(rtt_us)));
    }
    if let Some(count) = connect.syn_retransmits.filter(|count| *count > 0) {
        facts.push(units::counted(count as usize, "SYN sent again", "SYNs sent again"));
    }
    if !facts.is_empty() {
        lines.push(facts.join("; "));
    }
    lines
}
